"""One history of schema and data over every store."""

from .folder import Folder, MigrationFile, create
from .history import Entry
from .migration import Migration
from .migrator import Migrator, Ran, Version
from .running import Event
from .state import Applied, State
from .store import Rendered

__all__ = [
    "Applied",
    "Entry",
    "Event",
    "Folder",
    "Migration",
    "MigrationFile",
    "Migrator",
    "Ran",
    "Rendered",
    "State",
    "Version",
    "create",
]
