"""What `db.backfill()` may write, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import InvalidInput
from .keys import check_key_part
from .options import MAX_ROWS_TOUCHED
from .refs import FieldRef
from .spec import EntitySpec, FieldSpec
from .values import check_value

__all__ = ["Progress", "filling"]

Progress = Callable[[int, int], object]
"""Called with how many are done, and how many there are in all."""


def filling(spec: EntitySpec, field: object, value: Any, batch: int) -> tuple[tuple[FieldSpec, Any], ...]:
    """Return what is written into a row that lacks the field: the column and its canonical value, and its shadow's.

    Raises:
        InvalidInput: the field is not one of the entity's own, or one value for many rows cannot be right for it.
    """

    def refused(problem: str, hint: str | None = None, name: str | None = None) -> InvalidInput:
        return InvalidInput(problem, entity=spec.name, field=name, operation="backfill", hint=hint)

    if type(batch) is not int or not 1 <= batch <= MAX_ROWS_TOUCHED:
        raise refused(f"batch must be an int from 1 to {MAX_ROWS_TOUCHED:,}")
    path = field.path if isinstance(field, FieldRef) else None
    if path is None or path.root is not spec or not path.is_own_field:
        raise refused(
            f"backfill of {spec.name} takes one of its own fields", f"{spec.name}.{spec.fields[-1].name}"
        )
    f = path.field
    where = f"{spec.name}.{f.name}"
    made = check_value(f.type.literal, value, entity=spec.name, field=f.name, operation="backfill")
    if f is spec.id:
        raise refused(f"{where} is what a row is found by", name=f.name)
    if made is not None:
        check_key_part(spec, f, made)
        if any(f.name in key.names for key in spec.uniques):
            raise refused(
                f"{where} is in a unique key, so one value cannot be right for all",
                "update them one by one, or fill it with None",
                f.name,
            )
        if f.reference is not None and f.reference.check:
            raise refused(
                f"{where} is a checked reference, and backfill checks no parent",
                "update_many(…, batched=True)",
                f.name,
            )
    shadow = spec.shadow(f.name)
    # In a unique key it is null here, and so is its folded text.
    return ((f, made),) if shadow is None else ((f, made), (shadow, None))
