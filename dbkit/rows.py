"""From an instance to the row that is stored, checked again: `model_copy(update=)` and `model_construct` check nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, NoReturn, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import core_schema

from .errors import InvalidInput, TooLarge
from .keys import MAX_KEY_BYTES, LongKey, check_keys, long_keys
from .spec import EntitySpec
from .values import Kind, ValueType, casefold_key, explain_validation, own_validator

__all__ = [
    "MAX_ENTITY_BYTES",
    "entity_bytes",
    "harmless_lengths",
    "row_maker",
]

MAX_ENTITY_BYTES = 15 * 1024 * 1024
_STRINGS: frozenset[Any] = frozenset({str, bytes})
_TEXTS = frozenset({Kind.TEXT, Kind.BYTES})
_SEQUENCES: frozenset[Any] = frozenset({list, tuple})
_SMALL_LENGTH = 16_000
"""Text and bytes that are declared no longer than this cannot make an entity too large."""


def row_maker(spec: EntitySpec) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function that makes an instance of *spec*'s class a canonical row of `spec.columns`.

    It raises InvalidInput where a value does not fit, TooLarge where the entity or an indexed text is too long.
    """
    names = [f.name for f in spec.fields]
    if len(names) == 1:
        (only,) = names

        def single(values: dict[str, Any]) -> Any:
            return (values[only],)

        values_of: Callable[[dict[str, Any]], Any] = single
    else:
        values_of = cast("Any", itemgetter(*names))
    items: list[core_schema.CoreSchema] = []
    for f in spec.fields:
        schema = f.type.schema("write")
        items.append(core_schema.nullable_schema(schema) if f.type.nullable else schema)
    # Validating a tuple is about half the cost of validating the dict of an instance.
    validate = own_validator(core_schema.tuple_schema(items)).validate_python
    model = spec.model
    positions = {name: position for position, name in enumerate(names)}
    shadows = tuple(positions[s.shadow_of] for s in spec.shadows if s.shadow_of is not None)
    large, has_containers = _large(spec)
    # With containers the whole is measured each time.
    watched = _watched(() if has_containers else large, long_keys(spec))
    is_plain = not shadows and not has_containers and not watched

    def make(instance: Any) -> tuple[Any, ...]:
        if instance.__class__ is not model:
            raise _wrong_class(spec, instance)
        try:
            row: tuple[Any, ...] = validate(values_of(instance.__dict__))
        except ValidationError as error:
            _refuse(spec, names, error)
        except KeyError as error:
            name = error.args[0]
            raise InvalidInput(f"{spec.name}.{name}: is missing", entity=spec.name, field=name) from None
        if is_plain:
            return row
        for position in shadows:
            value = row[position]
            row = (*row, None if value is None else casefold_key(value))
        if has_containers:
            _check_size(spec, row, large)
        for position, harmless in watched:
            value = row[position]
            if value is not None and len(value) > harmless:
                _check_size(spec, row, large)
                check_keys(spec, row)
                break
        return row

    return make


def _refuse(spec: EntitySpec, names: list[str], error: ValidationError) -> NoReturn:
    (position, *inside), message = explain_validation(error)
    name = names[position] if isinstance(position, int) else str(position)
    path = ".".join([name, *map(str, inside)])
    raise InvalidInput(f"{spec.name}.{path}: {message}", entity=spec.name, field=name) from None


def _wrong_class(spec: EntitySpec, instance: Any) -> InvalidInput:
    kind: Any = instance.__class__
    if isinstance(instance, type):
        problem, hint = f"{spec.name} was expected, not the class {instance.__name__}", "an instance of it"
    elif issubclass(kind, spec.model):
        problem = f"{spec.name} was expected; {kind.__name__} is a view, which is read and never written"
        hint = f"{spec.name}(…) with the fields of the entity"
    else:
        is_stored = "__dbkit_role__" in vars(kind) and kind.__dbkit_role__ == "entity"
        problem = f"{spec.name} was expected, not {kind.__name__}"
        hint = f"db.store({kind.__name__})" if is_stored else f"an instance of {spec.name}"
    return InvalidInput(problem, entity=spec.name, hint=hint)


# -- sizes -------------------------------------------------------------------------------------------------------------


def _is_large(type: ValueType) -> bool:
    if type.choices is not None:
        return False
    if type.kind in _TEXTS:
        return type.max_length is None or type.max_length > _SMALL_LENGTH
    if type.kind is Kind.MODEL:
        assert type.model is not None
        return any(_is_large(f.type) for f in type.model.fields)
    return not type.kind.is_scalar


def _large(spec: EntitySpec) -> tuple[tuple[int, ...], bool]:
    """Return the positions of what can make an entity too large, and whether there are containers among them."""
    large = tuple(p for p, f in enumerate(spec.fields) if _is_large(f.type))
    return large, any(spec.fields[p].type.kind not in _TEXTS for p in large)


def harmless_lengths(spec: EntitySpec) -> dict[int, int] | None:
    """Return up to which length the texts at these positions of a row exceed no limit, whatever the others are.

    None where the row has containers that have to be measured as a whole.
    """
    large, has_containers = _large(spec)
    return None if has_containers else dict(_watched(large, long_keys(spec)))


def _watched(large: tuple[int, ...], keys: tuple[LongKey, ...]) -> tuple[tuple[int, int], ...]:
    """Return the positions of the texts to look at, each with the length up to which it cannot exceed any limit.

    Of texts that share a limit each has its part of it, a character being at most 4 bytes: one look at a length is all
    that nearly every row costs.
    """
    found: dict[int, int] = dict.fromkeys(large, MAX_ENTITY_BYTES // 4 // max(1, len(large)))
    for key in keys:
        for position in key.positions:
            part = MAX_KEY_BYTES // 4 // len(key.positions)
            found[position] = min(part, found.get(position, part))
    return tuple(found.items())


def _check_size(spec: EntitySpec, row: tuple[Any, ...], large: tuple[int, ...]) -> None:
    bound = 0
    for position in large:
        value = row[position]
        if value:
            # A character is at most 4 bytes, and a container at most 6 times its repr (a list of small ints).
            bound += len(value) * 4 if value.__class__ in _STRINGS else len(repr(value)) * 6
    if bound > MAX_ENTITY_BYTES and entity_bytes(row) > MAX_ENTITY_BYTES:
        raise TooLarge(
            f"this {spec.name} is larger than 15 MiB, more than every store keeps in one piece",
            entity=spec.name,
            hint="keep large files in an object store, and their address here",
        )


def entity_bytes(value: Any) -> int:
    """Return about how many bytes *value* takes where it takes most: as BSON."""
    if isinstance(value, str):
        return len(value.encode()) + 5
    if isinstance(value, bytes):
        return len(value) + 5
    if isinstance(value, BaseModel):
        return _items_bytes(value.__dict__.items())
    if value.__class__ is dict:
        return _items_bytes(value.items())
    if value.__class__ in _SEQUENCES:
        return _items_bytes(enumerate(value))  # pyright: ignore[reportUnknownArgumentType]
    return 16


def _items_bytes(items: Iterable[tuple[Any, Any]]) -> int:
    return 5 + sum(len(str(key).encode()) + 2 + entity_bytes(item) for key, item in items)
