"""One history of schema and data over every store."""

from .asynchronous import AsyncMigrator
from .diff import Draft, Question
from .folder import Folder, MigrationFile, create
from .history import Entry
from .migration import Migration
from .migrator import Migrator, Ran, Version
from .planning import PlannedPart, PlannedStep
from .running import Event
from .state import Applied, State
from .store import Rendered

__all__ = [
    "Applied",
    "AsyncMigrator",
    "Draft",
    "Entry",
    "Event",
    "Folder",
    "Migration",
    "MigrationFile",
    "Migrator",
    "PlannedPart",
    "PlannedStep",
    "Question",
    "Ran",
    "Rendered",
    "State",
    "Version",
    "create",
]
