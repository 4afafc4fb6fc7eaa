"""What a store can keep: one documented flag per difference between stores.

A backend declares an `Answer` for each flag, then probes the server at connect and may answer "no" where this server,
as it is deployed, cannot. A verb that needs a flag which is not there raises `Unsupported` before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from .errors import Unsupported

__all__ = ["FLAGS", "Answer", "Features", "Flag"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One thing that not every store can do."""

    name: str
    means: str
    """What a program may rely on where the flag is there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a store has a flag, and what that rests on."""

    yes: bool
    why: str
    """The evidence: the manual's page, a probe's result, or what is missing."""
    hint: str | None = None
    """How to get it, where the answer is no."""

    def __bool__(self) -> bool:
        return self.yes


FLAGS: dict[str, Flag] = {
    flag.name: flag
    for flag in (
        Flag("transactions", "several verbs commit or roll back together, on one snapshot"),
        Flag("atomic_many", "create_many, update_many and delete_many are all or nothing"),
        Flag("checked_references", "no orphan in any history: references are checked, on_delete is kept"),
        Flag("snapshot_reads", "a read with its relations sees one committed instant"),
        Flag(
            "computed_changes",
            "changes are computed by the store from the row as it was, all at once, within bounds",
        ),
        Flag("views", "reads through references: via, related, any_related"),
        Flag("groups", "group(): exact figures, computed by the store"),
        Flag("concurrent_writers", "two writers of different rows do not wait for each other"),
        Flag("claim", "claim(): no row to two workers, no waiting behind another"),
        Flag("kept_schema", "the store itself refuses rows that do not fit the declared fields"),
        Flag("query_plans", "explain() shows the server's plan: indexes used, in-memory sorts"),
        Flag("persistent", "what was committed is there after the process ends"),
        Flag("shared", "several processes may use the same store at once"),
        Flag("casefold_unique", 'unique="casefold"'),
        Flag("serializable", "isolation='serializable', once allow={'serializable'} names it"),
        Flag("real_server", "answers come from the named product, not from a stand-in for tests"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A store's answers, one for each of `FLAGS`."""

    transactions: Answer
    atomic_many: Answer
    checked_references: Answer
    snapshot_reads: Answer
    computed_changes: Answer
    views: Answer
    groups: Answer
    concurrent_writers: Answer
    claim: Answer
    kept_schema: Answer
    query_plans: Answer
    persistent: Answer
    shared: Answer
    casefold_unique: Answer
    serializable: Answer
    real_server: Answer

    def __iter__(self) -> Iterator[tuple[Flag, Answer]]:
        for item in fields(self):
            yield FLAGS[item.name], getattr(self, item.name)

    def require(self, flag: str, *, backend: str, operation: str, entity: str | None = None) -> None:
        """Raise `Unsupported`, with what is missing and how to get it, unless the store has *flag*."""
        answer: Answer = getattr(self, flag)
        if not answer:
            raise Unsupported(
                f"{operation} needs {flag!r} ({FLAGS[flag].means}), which {backend} does not have here: {answer.why}",
                backend=backend,
                operation=operation,
                entity=entity,
                hint=answer.hint,
            )
