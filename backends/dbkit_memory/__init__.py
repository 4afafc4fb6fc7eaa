"""The memory store: the reference for what every verb means, and a real store for `memory://`."""

from .evaluate import Row
from .plugin import async_backend, backend
from .tables import Tables

__all__ = ["Row", "Tables", "async_backend", "backend"]
