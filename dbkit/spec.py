"""The frozen description of entities, views and groups: what backends read instead of classes.

A backend never looks at a pydantic model: it gets `EntitySpec`, `ReadSpec` and `GroupSpec`, made once per class. Every
description has a `token`, an int that is unique in the process, so that a query's shape can be ints and strings only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel
from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, core_schema

from .errors import ConfigurationError
from .values import Kind, ValueType, own_validator

if TYPE_CHECKING:
    from .query import Filter, Order, Path

__all__ = [
    "Aggregate",
    "EntitySpec",
    "FieldSpec",
    "GroupKey",
    "GroupSpec",
    "IndexSpec",
    "ModelSpec",
    "Output",
    "ReadSpec",
    "Reference",
    "Relation",
    "Schema",
    "UniqueKey",
]

OnDelete = Literal["restrict", "cascade", "set_null"]
Decoders = Mapping[Kind, Callable[[ValueType], CoreSchema]]
_tokens = itertools.count(1)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A field that holds the id of another entity."""

    resolve: Callable[[], EntitySpec]
    """Gives the parent's description; a function, as the parent may be declared later."""
    on_delete: OnDelete = "restrict"
    check: bool = True
    """False: the store does not check that the parent exists, and deleting the parent leaves the child."""

    @property
    def target(self) -> EntitySpec:
        return self.resolve()


@dataclass(frozen=True, slots=True, eq=False)
class FieldSpec:
    """One field of an entity, of a nested model, or of a group's result."""

    name: str
    """What the program calls it."""
    stored: str
    """The column, or the document's key (`stored_as=`)."""
    type: ValueType
    reference: Reference | None = None
    shadow_of: str | None = None
    """The name of the field whose `casefold_key` this one holds; such a field is not the program's."""
    token: int = field(default_factory=lambda: next(_tokens))

    def __repr__(self) -> str:
        return f"<FieldSpec {self.name}: {self.type.kind}>"


@dataclass(frozen=True, slots=True, eq=False)
class UniqueKey:
    """Fields that no two rows share; null in any of them never conflicts."""

    fields: tuple[FieldSpec, ...]
    """As stored: for `unique="casefold"` this is the shadow."""
    names: tuple[str, ...]
    """As declared: what `on=` and `DuplicateKey.field` name."""


@dataclass(frozen=True, slots=True, eq=False)
class IndexSpec:
    """Fields that are searched or sorted by; not unique."""

    fields: tuple[FieldSpec, ...]


@dataclass(eq=False, slots=True)
class ModelSpec:
    """A nested `Embedded` model."""

    model: type[BaseModel]
    fields: tuple[FieldSpec, ...]
    token: int = field(default_factory=lambda: next(_tokens))
    by_name: dict[str, FieldSpec] = field(init=False)

    def __post_init__(self) -> None:
        self.by_name = {f.name: f for f in self.fields}

    def write_schema(self) -> CoreSchema:
        """Return the strict schema that checks an instance again and makes a canonical copy, without user code."""
        fields: dict[str, core_schema.ModelField] = {}
        for f in self.fields:
            schema = f.type.schema("write")
            fields[f.name] = core_schema.model_field(
                core_schema.nullable_schema(schema) if f.type.nullable else schema
            )
        copied = core_schema.model_schema(
            self.model,
            core_schema.model_fields_schema(fields),
            config=CoreConfig(revalidate_instances="always"),
        )
        # A model schema takes a dict too, even in strict mode.
        return core_schema.chain_schema([core_schema.is_instance_schema(self.model), copied])

    def read_schema(self, override: Decoders) -> CoreSchema:
        """Return the lax schema that makes an instance of what is stored, by the stored names, without user code."""
        return _instances(
            self.model,
            [(f.name, f.stored, f.type.read_schema(override), f.type.nullable) for f in self.fields],
        )


def _instances(model: type[BaseModel], fields: Iterable[tuple[str, str, CoreSchema, bool]]) -> CoreSchema:
    made: dict[str, core_schema.ModelField] = {}
    for name, key, schema, nullable in fields:
        # SEMANTICS "Values", None: a field that a document lacks reads as None where the type allows.
        value = core_schema.with_default_schema(schema, default=None) if nullable else schema
        made[name] = core_schema.model_field(value, validation_alias=None if key == name else key)
    return core_schema.model_schema(model, core_schema.model_fields_schema(made, extra_behavior="ignore"))


@dataclass(eq=False, slots=True)
class EntitySpec:
    """A stored entity: a table or a collection."""

    name: str
    """The class's name, as errors show it."""
    stored: str
    """The table or the collection (`name=`); `"app.users"` has the schema's name before the dot, where a store has schemas."""
    model: type[BaseModel]
    fields: tuple[FieldSpec, ...]
    """The program's fields, in declared order; `id` is among them."""
    shadows: tuple[FieldSpec, ...] = ()
    uniques: tuple[UniqueKey, ...] = ()
    indexes: tuple[IndexSpec, ...] = ()
    versioned: bool = False
    timestamped: bool = False
    """Has `created_at` and `updated_at`, kept by dbkit."""
    stripes: int = 1
    """How many guard documents a parent has on MongoDB (`hot=`)."""
    managed: bool = True
    """False: somebody else makes and changes the table or collection; dbkit issues no DDL for it, and compares nothing."""
    token: int = field(default_factory=lambda: next(_tokens))
    by_name: dict[str, FieldSpec] = field(init=False)
    columns: tuple[FieldSpec, ...] = field(init=False)
    """What a stored row consists of: `fields`, then `shadows`. The order of the values of every row that is written."""
    id: FieldSpec = field(init=False)
    read: ReadSpec = field(init=False)
    """Reading the entity itself."""

    def __post_init__(self) -> None:
        self.by_name = {f.name: f for f in self.fields}
        self.columns = (*self.fields, *self.shadows)
        self.id = self.by_name["id"]
        self.read = ReadSpec.of_entity(self)

    def __repr__(self) -> str:
        return f"<EntitySpec {self.name} in {self.stored!r}>"

    @property
    def references(self) -> tuple[FieldSpec, ...]:
        return tuple(f for f in self.fields if f.reference is not None)

    def shadow(self, name: str) -> FieldSpec | None:
        """Return the shadow of the field *name*, or None."""
        return next((s for s in self.shadows if s.shadow_of == name), None)

    def unique_key(self, names: tuple[str, ...]) -> UniqueKey | None:
        """Return the declared unique key of exactly these fields, in any order, or None."""
        wanted = sorted(names)
        return next((key for key in self.uniques if sorted(key.names) == wanted), None)


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One value of a row that a read returns."""

    name: str
    path: Path
    """The value's place. With *parent*: the reference field itself."""
    parent: ReadSpec | None = None
    """The whole parent that the path's last reference leads to (`via(Post.user_id, User)`)."""

    @property
    def is_nullable(self) -> bool:
        """Whether the value can be None: also a parent whose existence is not checked."""
        reference = self.path.field.reference
        unchecked = self.parent is not None and reference is not None and not reference.check
        return unchecked or self.path.type.nullable


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """The children of each row (`related(Post, Post.user_id, …)`)."""

    name: str
    read: ReadSpec
    reference: FieldSpec
    """The child's field that holds the row's id."""
    where: Filter | None
    order: tuple[Order, ...]
    """Total: the child's id is in it."""
    limit: int | None
    """Children per row; None reads up to 1,000 and raises `TooLarge` beyond."""


@dataclass(eq=False, slots=True)
class ReadSpec:
    """What a read returns: an entity as it is, or a view of it.

    Whole parents and children are entities or views that have none themselves.
    """

    model: type[BaseModel]
    entity: EntitySpec
    outputs: tuple[Output, ...]
    relations: tuple[Relation, ...] = ()
    token: int = field(default_factory=lambda: next(_tokens))

    @classmethod
    def of_entity(cls, entity: EntitySpec) -> ReadSpec:
        from .query import Path  # query describes paths through these very classes

        return cls(entity.model, entity, tuple(Output(f.name, Path.of(entity, f)) for f in entity.fields))

    @property
    def is_entity(self) -> bool:
        return self.model is self.entity.model

    def read_schema(
        self, override: Decoders, key: Callable[[Output], str] = lambda output: output.name
    ) -> CoreSchema:
        """Return the schema that makes one instance of a mapping, without user code.

        *key* gives the mapping's key of each output; relations stand under their own names, as lists.
        """
        fields: list[tuple[str, str, CoreSchema, bool]] = []
        for output in self.outputs:
            nullable = output.is_nullable
            if output.parent is None:
                schema = output.path.type.read_schema(override)
            else:
                schema = output.parent.read_schema(override, key)
                if nullable:
                    schema = core_schema.nullable_schema(schema)
            fields.append((output.name, key(output), schema, nullable))
        for relation in self.relations:
            children = core_schema.list_schema(relation.read.read_schema(override, key))
            fields.append((relation.name, relation.name, children, False))
        return _instances(self.model, fields)

    def validator(
        self, override: Decoders, key: Callable[[Output], str] = lambda output: output.name
    ) -> SchemaValidator:
        """Return the validator of a list of mappings; build it once and keep it."""
        schema = core_schema.list_schema(self.read_schema(override, key))
        return own_validator(schema)


@dataclass(frozen=True, slots=True, eq=False)
class GroupKey:
    """What rows are grouped by: a value, or the period of a datetime that it falls into."""

    field: FieldSpec
    """The result's field."""
    path: Path
    period: Literal["day", "month", "year"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """One figure of a group."""

    field: FieldSpec
    """The result's field."""
    function: Literal["count", "count_distinct", "sum", "avg", "min", "max"]
    path: Path | None
    """None for `count`."""

    @property
    def is_comparable(self) -> bool:
        """Whether the figure may stand in `having` and `order_by` (SEMANTICS, "Groups")."""
        if self.function == "avg":
            return False
        return not (self.function == "sum" and self.path is not None and self.path.type.kind is Kind.FLOAT)


@dataclass(eq=False, slots=True)
class GroupSpec:
    """A class of results of GROUP BY."""

    name: str
    model: type[BaseModel]
    entity: EntitySpec
    keys: tuple[GroupKey, ...]
    aggregates: tuple[Aggregate, ...]
    token: int = field(default_factory=lambda: next(_tokens))
    by_name: dict[str, FieldSpec] = field(init=False)
    validator: SchemaValidator = field(init=False)
    """Of a list of mappings by the result's field names, values already decoded."""

    def __post_init__(self) -> None:
        fields = [k.field for k in self.keys] + [a.field for a in self.aggregates]
        self.by_name = {f.name: f for f in fields}
        # A sum is exact at any size, so it may exceed 64 bits; the lax int schema takes it.
        schema = _instances(
            self.model, [(f.name, f.name, f.type.read_schema({}), f.type.nullable) for f in fields]
        )
        self.validator = own_validator(core_schema.list_schema(schema))


class Schema:
    """The entities of one database, and who refers to whom."""

    def __init__(self, entities: Iterable[EntitySpec]) -> None:
        self.entities: tuple[EntitySpec, ...] = tuple(entities)
        self._known = {e.token for e in self.entities}
        self._children: dict[int, list[tuple[EntitySpec, FieldSpec]]] = {e.token: [] for e in self.entities}
        stored: dict[str, EntitySpec] = {}
        for entity in self.entities:
            # SQLite's names are the same without case, and `public` is PostgreSQL's schema where none is named.
            other = stored.setdefault(entity.stored.lower().removeprefix("public."), entity)
            if other is not entity:
                raise ConfigurationError(
                    f"entities {other.name} and {entity.name} have the same name={entity.stored!r}",
                    entity=entity.name,
                )
            for f in entity.references:
                assert f.reference is not None
                target = f.reference.target
                if target.token not in self._known:
                    raise ConfigurationError(
                        f"{entity.name}.{f.name} references {target.name}, which is not among entities=",
                        entity=entity.name,
                        field=f.name,
                        hint=f"connect(…, entities=[…, {target.name}])",
                    )
                if f.reference.check:
                    self._children[target.token].append((entity, f))

    def __contains__(self, entity: EntitySpec) -> bool:
        return entity.token in self._known

    def __iter__(self) -> Iterator[EntitySpec]:
        return iter(self.entities)

    @property
    def managed(self) -> tuple[EntitySpec, ...]:
        """The entities whose tables or collections dbkit makes, compares and drops."""
        return tuple(e for e in self.entities if e.managed)

    def children(self, entity: EntitySpec) -> list[tuple[EntitySpec, FieldSpec]]:
        """Return the checked references to *entity*: (child entity, its field)."""
        return self._children[entity.token]

    def parents_first(self) -> list[EntitySpec]:
        """Return the entities so that a parent stands before its children where no cycle prevents it."""
        done: dict[int, EntitySpec] = {}

        def visit(entity: EntitySpec, path: frozenset[int]) -> None:
            if entity.token in done or entity.token in path:
                return
            for f in entity.references:
                assert f.reference is not None
                visit(f.reference.target, path | {entity.token})
            done[entity.token] = entity

        for entity in self.entities:
            visit(entity, frozenset())
        return list(done.values())
