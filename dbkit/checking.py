"""What `db.check()` finds: where a database that dbkit need not have made does not fit its entities. Values only.

A finding never holds a stored value, so that a report can be shown to anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Finding", "FindingKind", "Report"]

FindingKind = Literal[
    "missing collection",
    "missing field",
    "undeclared field",
    "required field",
    "generated field",
    "type",
    "limit",
    "collation",
    "null",
    "value",
    "unique",
    "undeclared unique",
    "index",
    "reference",
    "validator",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the entity declares it."""

    entity: str
    """The class's name."""
    field: str | None
    """The declared field, several joined by commas for a key; the stored name of one that is not declared."""
    kind: FindingKind
    words: str
    """What a person reads; names and numbers only."""
    count: int | None = None
    """How many rows or documents show it; None where the schema alone says it."""
    sampled: bool = False
    """Whether *count* is of a sample only."""
    hint: str | None = None
    """The way out."""
    is_problem: bool = True
    """False for what does no harm: a field that is not declared, say."""

    def __str__(self) -> str:
        place = self.entity if self.field is None else f"{self.entity}.{self.field}"
        hint = f" ({self.hint})" if self.hint else ""
        return f"{'!' if self.is_problem else '·'} {place}: {self.kind}: {self.words}{hint}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of some entities on one store."""

    backend: str
    entities: tuple[str, ...]
    """The entities that were looked at."""
    findings: tuple[Finding, ...]
    """In the order of the entities, and of their fields."""
    sample: int | None = None
    """How many rows or documents of each were looked at, at most; None: all."""

    @property
    def ok(self) -> bool:
        """Whether the entities fit: no finding is a problem."""
        return not self.problems

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was found."""
        return not self.findings

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings without those that do no harm."""
        return tuple(f for f in self.findings if f.is_problem)

    def of(self, entity: str) -> tuple[Finding, ...]:
        """Return the findings of one entity, by its class's name."""
        return tuple(f for f in self.findings if f.entity == entity)

    def text(self) -> str:
        """Return the report as lines for people: `!` stands before a problem, `·` before what does no harm."""
        looked = f"{', '.join(self.entities)} on {self.backend}"
        if self.sample is not None:
            looked += f", {self.sample:,} rows of each at most"
        problems = len(self.problems)
        end = "everything fits" if not problems else f"{problems} problem{'s' if problems > 1 else ''}"
        return "\n".join([f"{looked}: {end}", *map(str, self.findings)])

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "ok": self.ok,
            "backend": self.backend,
            "entities": list(self.entities),
            "sample": self.sample,
            "findings": [asdict(f) for f in self.findings],
        }

    def json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=2)

    def __str__(self) -> str:
        return self.text()


def ordered(findings: Iterable[Finding], fields: Iterable[str]) -> list[Finding]:
    """Return one entity's findings in the order of its declared fields: the whole first, what is not declared last."""
    places = {name: place for place, name in enumerate(fields, 1)}

    def place(finding: Finding) -> int:
        if finding.field is None:
            return 0
        first = finding.field.split(",")[0].split(".")[0]
        return places.get(first, len(places) + 1)

    return sorted(findings, key=place)
