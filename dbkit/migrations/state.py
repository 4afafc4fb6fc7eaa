"""Where a database stands: one row or document, changed by compare-and-set, so that no crash loses it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

__all__ = ["STATE_NAME", "Applied", "Progress", "State"]

STATE_NAME = "_dbkit_migrations"
"""The table or collection."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One migration that was applied."""

    version: int
    name: str
    checksum: str
    """Of the version's files: an edited one is refused by name."""
    applied_at: datetime
    """When it ended, UTC."""
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step came that does not commit as a whole: what `batches` need to go on after a crash."""

    version: int
    """The migration that was running."""
    direction: str
    """`"up"` or `"down"`."""
    checksum: str
    """Of its files then: after an edit it starts from its beginning."""
    step: int
    """How many data steps were done before this one."""
    after: Any = None
    """The id of the last row whose batch is committed, as JSON (a str or an int); None at a data step's beginning."""
    operations: int = 0
    """How many schema operations, SQL statements and commands were done: on what a later one has left half done, an
    earlier one cannot be done again."""


@dataclass(frozen=True, slots=True)
class State:
    """The version, whether a step was left half done, and what was applied."""

    revision: int = 0
    """Raised by each change; what compare-and-set compares."""
    version: int = 0
    """The last migration that was applied; 0 before the first."""
    dirty: bool = False
    """A step that does not commit as a whole is running, or failed: the schema is between *version* and `target`."""
    target: int = 0
    """The version that the running step leads to; *version* where none is running."""
    applied: tuple[Applied, ...] = ()
    """In the order of the versions."""
    progress: Progress | None = field(default=None)

    def changed(self, **changes: Any) -> State:
        """Return the next revision."""
        return replace(self, revision=self.revision + 1, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: what is stored, beside `version`, `dirty` and `revision`, which have columns of their own."""
        progress = self.progress
        return {
            "revision": self.revision,
            "version": self.version,
            "dirty": self.dirty,
            "target": self.target,
            "applied": [
                {
                    "version": a.version,
                    "name": a.name,
                    "checksum": a.checksum,
                    "applied_at": a.applied_at.isoformat(),
                    "duration_ms": a.duration_ms,
                }
                for a in self.applied
            ],
            "progress": None
            if progress is None
            else {
                "version": progress.version,
                "direction": progress.direction,
                "checksum": progress.checksum,
                "step": progress.step,
                "after": progress.after,
                "operations": progress.operations,
            },
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> State:
        """Return what `to_json` made."""
        progress = stored.get("progress")
        return cls(
            revision=int(stored["revision"]),
            version=int(stored["version"]),
            dirty=bool(stored["dirty"]),
            target=int(stored["target"]),
            applied=tuple(
                Applied(
                    int(a["version"]),
                    a["name"],
                    a["checksum"],
                    datetime.fromisoformat(a["applied_at"]),
                    int(a["duration_ms"]),
                )
                for a in stored["applied"]
            ),
            progress=None if progress is None else Progress(**progress),
        )
