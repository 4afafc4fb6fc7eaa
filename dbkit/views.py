"""Views say what a read returns, groups what a GROUP BY does: classes whose fields name their sources.

    class PostLine(View[Post]):
        title: Mapped[str] = via(Post.title)
        author: Mapped[str] = via(Post.user_id, User.username)

    class UserPostCount(Group[Post]):
        user_id: Mapped[UUID] = key(Post.user_id)
        post_count: Mapped[int] = count()

A field's type must be its source's; that is checked when the class is made.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar, cast, get_args, get_origin

from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

from .annotations import FieldTypes, refuse
from .describe import LOCK, complete, embedded_spec, register, spec_of
from .entity import Model
from .errors import InvalidInput
from .fields import FieldRef, ParentRef, total_order
from .query import Everything, Filter, Path, all_of
from .sources import (
    AggregateSource,
    KeySource,
    RelatedSource,
    avg,
    count,
    count_distinct,
    day,
    key,
    max_,
    min_,
    month,
    related,
    sum_,
    year,
)
from .spec import Aggregate, EntitySpec, FieldSpec, GroupKey, GroupSpec, Output, ReadSpec, Relation
from .values import Kind, ValueType

__all__ = [
    "Group",
    "Grouping",
    "Into",
    "View",
    "avg",
    "count",
    "count_distinct",
    "day",
    "group_of",
    "key",
    "max_",
    "min_",
    "month",
    "read_of",
    "related",
    "sum_",
    "year",
]

_AVERAGE_PLACES = 6
_SUM_DIGITS = 38
_MAX_RELATED = 10_000
_WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)


E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)
V_co = TypeVar("V_co", covariant=True)


class Into(Protocol[E_contra, V_co]):
    """The class of a view of E: what `into=` takes, and V what the read returns."""

    def __dbkit_into__(self, entity: E_contra, /) -> V_co: ...


class Grouping(Protocol[E_contra, V_co]):
    """The class of a group of E: what a store's `group` takes, and V what it returns."""

    def __dbkit_grouping__(self, entity: E_contra, /) -> V_co: ...


if TYPE_CHECKING:

    class View(Model, Generic[E]):
        """What a read returns: `class UserWithPosts(User, View[User])` has all of User's fields, `View[Post]` its own."""

        @classmethod
        def __dbkit_into__(cls, entity: E, /) -> Self: ...

    class Group(Model, Generic[E]):
        """A row of a GROUP BY over an entity: `class UserPostCount(Group[Post])`."""

        @classmethod
        def __dbkit_grouping__(cls, entity: E, /) -> Self: ...

else:

    class View(Model):
        """What a read returns: `class UserWithPosts(User, View[User])` has all of User's fields, `View[Post]` its own."""

        __dbkit_family__: ClassVar[str] = "view"

        def __class_getitem__(cls, entity: Any) -> Any:
            return types.GenericAlias(cls, (entity,))

    class Group(Model):
        """A row of a GROUP BY over an entity: `class UserPostCount(Group[Post])`."""

        __dbkit_family__: ClassVar[str] = "group"

        def __class_getitem__(cls, entity: Any) -> Any:
            return types.GenericAlias(cls, (entity,))


# -- views -------------------------------------------------------------------------------------------------------------


def read_of(cls: Any, namespace: Mapping[str, Any] | None = None) -> ReadSpec:
    """Return the description of a read: of an entity as it is, or of a view; made once per class.

    Raises:
        InvalidInput: *cls* is neither.
        ConfigurationError: its declaration is wrong.
    """
    found = cls.__dict__.get("__dbkit_read__") if isinstance(cls, type) else None
    if found is not None:
        return cast("ReadSpec", found)
    role = cls.__dict__.get("__dbkit_role__") if isinstance(cls, type) else None
    if role != "view":
        return spec_of(cls, namespace).read
    with LOCK:
        complete(cls, namespace)
        if "__dbkit_read__" not in cls.__dict__:
            type.__setattr__(cls, "__dbkit_read__", _read_spec(cls))
    return cast("ReadSpec", cls.__dict__["__dbkit_read__"])


def _source_entity(cls: type[Any], origin: type[Any]) -> EntitySpec:
    found: list[Any] = []
    for base in cls.__mro__:
        for alias in base.__dict__.get("__orig_bases__", ()):
            if get_origin(alias) is origin:
                found.extend(a for a in get_args(alias) if a not in found)
    if not found:
        raise refuse(
            cls.__name__,
            f"a {origin.__name__.lower()} says of what",
            f"class {cls.__name__}({origin.__name__}[User])",
        )
    try:
        specs = {spec_of(entity).token: spec_of(entity) for entity in found}
    except InvalidInput as error:
        raise refuse(cls.__name__, f"{origin.__name__}[…]: {error.message}", error.hint) from None
    if len(specs) > 1:
        names = ", ".join(s.name for s in specs.values())
        raise refuse(cls.__name__, f"is a {origin.__name__.lower()} of several entities: {names}")
    return next(iter(specs.values()))


def _sources(cls: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found.update(base.__dict__.get("__dbkit_sources__", {}))
    return found


def _read_spec(cls: type[Any]) -> ReadSpec:
    entity = _source_entity(cls, View)
    bases = [b for b in cls.__mro__[1:] if b.__dict__.get("__dbkit_role__") == "entity"]
    if bases and bases[0] is not entity.model:
        raise refuse(cls.__name__, f"is derived from {bases[0].__name__}, but a view of {entity.name}")
    inherited: set[str] = set(entity.by_name) if bases else set()
    sources = _sources(cls)
    outputs: list[Output] = []
    relations: list[Relation] = []
    for name, info in cls.__pydantic_fields__.items():
        where = f"{cls.__name__}.{name}"
        source = sources.get(name)
        if name in inherited:
            outputs.append(Output(name, Path.of(entity, entity.by_name[name])))
        elif source is None:
            raise refuse(
                where,
                "the field has no source",
                f"via({entity.name}.{name}) or related(…)",
            )
        elif isinstance(source, FieldRef):
            _check_root(where, source.path, entity)
            _check_type(where, info, source.path.type)
            outputs.append(Output(name, source.path))
        elif isinstance(source, ParentRef):
            _check_root(where, source.path, entity)
            output = Output(name, source.path, source.read)
            _check_parent(where, info.annotation, output)
            outputs.append(output)
        elif isinstance(source, RelatedSource):
            relations.append(_relation(name, where, info.annotation, source, entity))
        else:
            raise refuse(
                where, "keys and figures stand in groups", f"class {cls.__name__}(Group[{entity.name}])"
            )
    return ReadSpec(cls, entity, tuple(outputs), tuple(relations))


def _check_root(where: str, path: Path, entity: EntitySpec) -> None:
    if path.root is not entity:
        raise refuse(
            where,
            f"its source {path} is a field of {path.root.name}, not of {entity.name}",
            f"via({entity.name}.reference, {path})",
        )


def _relation(name: str, where: str, annotation: Any, source: RelatedSource, entity: EntitySpec) -> Relation:
    read = read_of(source.target)
    path = source.path
    reference = path.field.reference
    if path.root is not read.entity or not path.is_own_field or reference is None:
        raise refuse(
            where, f"related(…): {path} is no reference of {read.entity.name}", "field(references=lambda: …)"
        )
    if reference.target is not entity:
        raise refuse(where, f"related(…): {path} refers to {reference.target.name}, not to {entity.name}")
    if get_origin(annotation) is not list or get_args(annotation) != (read.model,):
        raise refuse(where, "its annotation does not fit related(…)", f"Mapped[list[{read.model.__name__}]]")
    if read.relations or any(o.parent is not None for o in read.outputs):
        raise refuse(
            where,
            f"{read.model.__name__} has relations or whole parents itself",
            "one level can be read at once",
        )
    try:
        where_ = all_of(*source.where)
        order = total_order(read.entity, source.order_by)
    except InvalidInput as error:
        raise refuse(where, error.message, error.hint) from None
    filter_: Filter | None = None if isinstance(where_, Everything) else where_
    if filter_ is not None and filter_.root is not None and filter_.root is not read.entity:
        raise refuse(where, f"related(…) takes filters on {read.entity.name}, not on {filter_.root.name}")
    limit = source.limit
    if limit is not None and (type(limit) is not int or not 1 <= limit <= _MAX_RELATED):
        raise refuse(where, f"limit= is 1 to {_MAX_RELATED:,} children per row")
    return Relation(name, read, path.field, filter_, order, limit)


def _check_parent(where: str, annotation: Any, output: Output) -> None:
    assert output.parent is not None
    model = output.parent.model
    nullable = output.is_nullable
    if output.parent.relations or any(o.parent is not None for o in output.parent.outputs):
        raise refuse(
            where, f"{model.__name__} has relations or whole parents itself", "one level can be read at once"
        )
    given = set(get_args(annotation)) if get_origin(annotation) is not None else {annotation}
    if given - {types.NoneType} != {model} or (nullable and types.NoneType not in given):
        wanted = f"Mapped[{model.__name__}{' | None' if nullable else ''}]"
        raise refuse(where, "its annotation does not fit the parent that it is read from", wanted)


_RESULTS = FieldTypes(embedded_spec, results=True)


def _check_type(where: str, info: Any, source: ValueType) -> None:
    if info.annotation is Any and source.kind is Kind.JSON:
        return
    if source.kind is Kind.JSON:
        raise refuse(where, "a dict's value has no declared type", "Mapped[Any]")
    given = _RESULTS.of(info, where)
    if not _fits(given, source):
        raise refuse(
            where,
            f"is declared {_name(given)}, but its source is {_name(source)}",
            "declare the source's type",
        )


def _fits(given: ValueType, source: ValueType) -> bool:
    if given.kind is not source.kind or (source.nullable and not given.nullable):
        return False
    if given.model is not source.model:
        return False
    if given.choices is not None and (
        given.enum is not source.enum or not set(source.choices or ("",)) <= set(given.choices)
    ):
        return False
    if given.choices is None and source.enum is not None:
        return issubclass(source.enum, str if source.kind is Kind.TEXT else int)
    if given.element is not None and source.element is not None:
        return given.element.nullable == source.element.nullable and _fits(given.element, source.element)
    return True


def _name(type: ValueType) -> str:
    word = type.enum.__name__ if type.enum else type.model.model.__name__ if type.model else type.kind.value
    return f"{word} | None" if type.nullable else word


def _view_refs(cls: type[Any]) -> dict[str, FieldRef[Any]]:
    return {o.name: FieldRef(o.path) for o in read_of(cls).outputs if o.parent is None}


# -- groups ------------------------------------------------------------------------------------------------------------


def group_of(cls: Any, namespace: Mapping[str, Any] | None = None) -> GroupSpec:
    """Return the description of a group; made once per class.

    Raises:
        InvalidInput: *cls* is no group.
        ConfigurationError: its declaration is wrong.
    """
    found = cls.__dict__.get("__dbkit_group__") if isinstance(cls, type) else None
    if found is not None:
        return cast("GroupSpec", found)
    if not isinstance(cls, type) or cls.__dict__.get("__dbkit_role__") != "group":
        name = cls.__name__ if isinstance(cls, type) else f"an instance of {type(cls).__name__}"
        raise InvalidInput(f"{name} is no group", hint="class UserPostCount(Group[Post])")
    with LOCK:
        complete(cls, namespace)
        if "__dbkit_group__" not in cls.__dict__:
            type.__setattr__(cls, "__dbkit_group__", _group_spec(cls))
    return cast("GroupSpec", cls.__dict__["__dbkit_group__"])


def _group_spec(cls: type[Any]) -> GroupSpec:
    entity = _source_entity(cls, Group)
    sources = _sources(cls)
    keys: list[GroupKey] = []
    aggregates: list[Aggregate] = []
    for name, info in cls.__pydantic_fields__.items():
        where = f"{cls.__name__}.{name}"
        source = sources.get(name)
        if not isinstance(source, KeySource | AggregateSource):
            raise refuse(
                where, "a group's field is a key or a figure", f"key({entity.name}.{name}), count(), sum_(…)"
            )
        if source.path is not None:
            _check_root(where, source.path, entity)
        made = _key_type(source) if isinstance(source, KeySource) else _figure_type(source)
        _check_type(where, info, made)
        spec = FieldSpec(name, name, made)
        if isinstance(source, KeySource):
            keys.append(GroupKey(spec, source.path, source.period))
        else:
            aggregates.append(Aggregate(spec, source.function, source.path))
    if not keys and not aggregates:
        raise refuse(cls.__name__, "a group has at least one key or figure")
    return GroupSpec(cls.__name__, cls, entity, tuple(keys), tuple(aggregates))


def _key_type(source: KeySource) -> ValueType:
    if source.period is None:
        return source.path.type
    return ValueType(Kind.DATE, nullable=source.path.type.nullable)


def _figure_type(source: AggregateSource) -> ValueType:
    if source.path is None or source.function == "count_distinct":
        return ValueType(Kind.INT)
    of = source.path.type
    if source.function in ("min", "max"):
        return of.optional()
    if source.function == "sum":
        if of.kind is Kind.DECIMAL:
            return ValueType(of.kind, max_digits=_SUM_DIGITS, decimal_places=of.decimal_places)
        return ValueType(of.kind)
    if of.kind is Kind.FLOAT:
        return ValueType(of.kind, nullable=True)
    places = of.decimal_places + _AVERAGE_PLACES
    return ValueType(Kind.DECIMAL, nullable=True, max_digits=_SUM_DIGITS, decimal_places=places)


def _group_refs(cls: type[Any]) -> dict[str, FieldRef[Any]]:
    spec = group_of(cls)
    refs: dict[str, FieldRef[Any]] = {k.field.name: FieldRef(Path.of(spec, k.field)) for k in spec.keys}
    for figure in spec.aggregates:
        path = Path.of(spec, figure.field)
        why = None if figure.is_comparable else _WHY[figure.function]
        operand = _sum_operand(figure.field.type) if figure.function == "sum" else None
        refs[figure.field.name] = FieldRef(path, operand=operand, why_not_comparable=why)
    return {name: refs[name] for name in spec.by_name}


_WHY = {
    "avg": "an average cannot be compared or sorted by yet: it is rounded after the store's sum and count",
    "sum": "a sum of floats cannot be compared or sorted by: its last digits differ between stores",
}


def _sum_operand(type: ValueType) -> SchemaValidator:
    """Return the check of a value that a sum is compared with: sums exceed their fields' digits."""
    places = type.decimal_places
    limit = 10 ** (_SUM_DIGITS - places)

    def check(value: Any) -> Any:
        is_int = value.__class__ is int
        if not is_int and (type.kind is not Kind.DECIMAL or not isinstance(value, Decimal)):
            raise PydanticCustomError(
                "dbkit_sum_type", "must be an int" + (" or a Decimal" if places else "")
            )
        if not is_int and not value.is_finite():
            raise PydanticCustomError("finite_number", "a Decimal must be finite, not NaN or infinity")
        if not -limit < value < limit:
            raise PydanticCustomError("dbkit_sum_digits", "a sum is compared with at most 38 digits")
        if type.kind is Kind.INT:
            return value
        exact = Decimal(value).scaleb(places, _WIDE)
        if exact != exact.to_integral_value():
            raise PydanticCustomError(
                "decimal_max_places",
                "a Decimal may have at most {decimal_places} decimal places here",
                {"decimal_places": places},
            )
        made = Decimal(value).quantize(Decimal(1).scaleb(-places), context=_WIDE)
        return made or abs(made)

    return SchemaValidator(core_schema.no_info_plain_validator_function(check))


register("view", _view_refs)
register("group", _group_refs)
