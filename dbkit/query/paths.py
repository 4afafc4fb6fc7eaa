"""Where a value is, and where it will stand: paths and slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..spec import EntitySpec, FieldSpec, GroupSpec
from ..values import Kind, ValueType

__all__ = ["Path", "Shape", "Slot", "Take", "size_class", "slots"]


Shape = tuple[Any, ...]
"""Nested tuples of ints and strings."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value will stand: its position in the query's `binds`."""

    index: int
    size: int = 1
    """For the values of an `In`: the size class, a power of two that the number of values does not exceed."""


Take = Callable[[Any], Slot]
"""Hands out slots in the order of the binds."""


def slots() -> Take:
    """Return what hands out slots from 0 on; a tuple is the values of an `In`."""
    taken = 0

    def take(value: Any) -> Slot:
        nonlocal taken
        slot = Slot(taken, size_class(len(value)) if value.__class__ is tuple else 1)
        taken += 1
        return slot

    return take


def size_class(count: int) -> int:
    """Return the least power of two that is not below *count*."""
    return 1 << max(0, count - 1).bit_length()


_JSON_VALUE = ValueType(Kind.JSON, nullable=True)
"""The type of what is behind a dict's key."""


class Path:
    """The place of a value as seen from a row: through references to a parent, then a field, then into it.

    Attributes:
        root: the entity (or the group's results) from whose row the path starts.
        references: the reference fields that are followed, each a field of the entity reached so far.
        field: the field of the entity reached.
        inside: what is followed within a nested model (`FieldSpec`s) or a dict (one `str` key, always last).
        type: the value's type; nullable when anything on the way can be null.
    """

    __slots__ = ("field", "inside", "references", "root", "shape", "type")

    def __init__(
        self,
        root: EntitySpec | GroupSpec,
        field: FieldSpec,
        *,
        references: tuple[FieldSpec, ...] = (),
        inside: tuple[FieldSpec | str, ...] = (),
    ) -> None:
        self.root = root
        self.references = references
        self.field = field
        self.inside = inside
        steps: list[FieldSpec] = [*references, field]
        leaf = field.type
        for step in inside:
            if isinstance(step, str):
                leaf = _JSON_VALUE
            else:
                steps.append(step)
                leaf = step.type
        unchecked = any(r.reference is not None and not r.reference.check for r in references)
        self.type = leaf.optional() if unchecked or any(s.type.nullable for s in steps) else leaf
        self.shape: Shape = (
            root.token,
            *(r.token for r in references),
            field.token,
            *(step if isinstance(step, str) else step.token for step in inside),
        )

    @classmethod
    def of(cls, root: EntitySpec | GroupSpec, field: FieldSpec) -> Path:
        """Return the path to a row's own field."""
        # As __init__ does, without what only longer paths need: orders and group keys are made of these in each call.
        made = cls.__new__(cls)
        made.root, made.field, made.references, made.inside = root, field, (), ()
        made.type, made.shape = field.type, (root.token, field.token)
        return made

    def within(self, step: FieldSpec | str) -> Path:
        """Return the path one step further into a nested model or a dict."""
        return Path(self.root, self.field, references=self.references, inside=(*self.inside, step))

    def behind(self, root: EntitySpec, reference: FieldSpec) -> Path:
        """Return this path as seen from a child's row, through its *reference*."""
        return Path(root, self.field, references=(reference, *self.references), inside=self.inside)

    @property
    def is_own_field(self) -> bool:
        """Whether this is a whole field of the row itself."""
        return not self.references and not self.inside

    @property
    def entity(self) -> EntitySpec | GroupSpec:
        """The entity whose field it is: the last reference's target, else the root."""
        if not self.references:
            return self.root
        reference = self.references[-1].reference
        assert reference is not None
        return reference.target

    def __str__(self) -> str:
        names = [*(r.name for r in self.references), self.field.name]
        names += [step if isinstance(step, str) else step.name for step in self.inside]
        return f"{self.root.name}.{'.'.join(names)}"

    def __repr__(self) -> str:
        return f"<Path {self}>"
