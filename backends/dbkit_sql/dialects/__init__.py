"""What differs between the SQL dialects: types, codecs, and the expressions that each spells its own way.

Each dialect is asked for by its own module, as SQLAlchemy's own of PostgreSQL takes 20 ms to load.
"""

from .base import Dialect, JsonClass, Place

__all__ = ["Dialect", "JsonClass", "Place"]
