"""The `dbkit` command."""

from .entry import main

__all__ = ["main"]
