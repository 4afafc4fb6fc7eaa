"""How the stores are called in tables and pictures."""

from __future__ import annotations

__all__ = ["STORE_TITLES"]

STORE_TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mongodb": "MongoDB"}
