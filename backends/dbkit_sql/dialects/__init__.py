"""What differs between the SQL dialects: types, codecs, and the expressions that each spells its own way."""

from .base import Dialect, JsonClass, Place
from .postgresql import PostgresDialect
from .sqlite import SqliteDialect

__all__ = ["Dialect", "JsonClass", "Place", "PostgresDialect", "SqliteDialect"]
