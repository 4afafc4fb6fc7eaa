"""`diff`: what the database lacks of what the entities declare, as a migration. Renames are asked about, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import InvalidInput, LosesData
from ..fields import suggestion
from ..spec import EntitySpec, Schema
from .differences import Difference
from .drafting import Drafting
from .renaming import OldNames
from .store import MigrationStore

__all__ = ["Ask", "Draft", "Question", "diff"]


@dataclass(frozen=True, slots=True)
class Question:
    """Whether something that is not there yet is something that is there under another name."""

    kind: Literal["field"]
    entity: str
    """The class's name."""
    new: str
    """The declared stored name: `users.name`."""
    candidates: tuple[str, ...]
    """What is there and not declared: `users.fullname`."""
    words: str


Ask = Callable[[Question], str | None]
"""Gives the candidate that it was, or None: it is new."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A migration that is not written yet."""

    source: str
    """Of the Python file; "" where nothing differs that a migration could close."""
    losses: tuple[str, ...]
    """What it would throw away."""
    unsolved: tuple[str, ...]
    """Differences that somebody must close by hand."""
    notes: tuple[str, ...]
    """What its author should look at: values that were made up, steps that stored values may fail."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not self.source and not self.unsolved


def diff(
    store: MigrationStore,
    schema: Schema,
    *,
    renames: Mapping[str, str] | None = None,
    ask: Ask | None = None,
    allow_loss: bool = False,
) -> Draft:
    """Return the migration that makes the database as *schema* declares it.

    Args:
        store: the database, which is only read.
        schema: what is declared.
        renames: new stored names to old ones: `{"users.name": "users.fullname", "users": "people"}`.
        ask: is asked about each field that may have had another name.
        allow_loss: whether the draft may throw data away.

    Raises:
        LosesData: it would, and may not; the error has the draft.
        InvalidInput: *renames* names what is not missing, or not there.
    """
    names = _Names(schema, dict(renames or {}), ask)
    while True:
        old = OldNames(schema, names.collections, names.fields)
        found = store.differences(old.schema)
        if not names.learn(old, found):
            break
    names.check()
    drafting = Drafting(old, names.collections, names.fields, found)
    draft = Draft(drafting.source(), tuple(drafting.losses), tuple(drafting.unsolved), tuple(drafting.notes))
    if draft.losses and not allow_loss:
        error = LosesData(
            f"the migration would lose data: {'; '.join(draft.losses)}",
            backend=store.name,
            hint="say so by allow_loss; or say what has another name now by renames",
        )
        error.draft = draft
        raise error
    return draft


class _Names:
    """Which of the declared names had other ones."""

    def __init__(self, schema: Schema, renames: dict[str, str], ask: Ask | None) -> None:
        self.collections: dict[str, str] = {}
        self.fields: dict[tuple[str, str], str] = {}
        self._schema = schema
        self._renames = renames
        self._left = set(renames)
        self._ask = ask
        self._asked: set[tuple[str, str]] = set()

    def learn(self, old: OldNames, found: list[Difference]) -> bool:
        """Take in what is missing and what is there; return whether another look is needed."""
        is_new = False
        there: dict[str, list[str]] = {}
        for difference in found:
            entity = old.declared(difference.entity)
            if difference.kind == "missing collection":
                is_new = self._collection(entity) or is_new
            elif difference.kind == "undeclared field":
                there.setdefault(entity.stored, []).extend(difference.stored)
        for difference in found:
            if difference.kind == "missing field" and difference.field is not None:
                entity = old.declared(difference.entity)
                stored = entity.by_name[difference.field.name].stored
                is_new = self._field(entity, stored, there.get(entity.stored, [])) or is_new
        return is_new

    def _collection(self, entity: EntitySpec) -> bool:
        was = self._renames.get(entity.stored)
        if was is None:
            return False
        if entity.stored in self.collections:
            raise InvalidInput(
                f"{was} cannot be renamed to {entity.stored}: there is no {was}",
                operation="diff",
                entity=entity.name,
            )
        self.collections[entity.stored] = was
        self._left.discard(entity.stored)
        return True

    def _field(self, entity: EntitySpec, stored: str, there: list[str]) -> bool:
        new = f"{entity.stored}.{stored}"
        was = self._renames.get(new)
        if was is not None:
            name = was.rpartition(".")[2]
            if name not in there:
                raise InvalidInput(
                    f"{was} cannot be renamed to {new}: it is not there, or is declared itself",
                    operation="diff",
                    entity=entity.name,
                    hint=suggestion(name, there),
                )
            self._left.discard(new)
        elif there and self._ask is not None and (entity.stored, stored) not in self._asked:
            self._asked.add((entity.stored, stored))
            place = self.collections.get(entity.stored, entity.stored)
            candidates = tuple(f"{place}.{name}" for name in there)
            words = f"{new} is declared and not there. Is it new, or one of these under another name?"
            was = self._ask(Question("field", entity.name, new, candidates, words))
            if was is None:
                return False
            if was not in candidates:
                raise InvalidInput(f"{was!r} is none of the candidates", operation="diff", entity=entity.name)
            name = was.rpartition(".")[2]
        else:
            return False
        self.fields[entity.stored, stored] = name
        there.remove(name)
        return True

    def check(self) -> None:
        """Refuse renames of what is not missing."""
        for new in sorted(self._left):
            raise InvalidInput(
                f"{self._renames[new]} cannot be renamed to {new}, which is not declared, or is there already",
                operation="diff",
                hint="rename users.fullname to users.name: --rename users.fullname=users.name, "
                'or renames={"users.name": "users.fullname"}',
            )
