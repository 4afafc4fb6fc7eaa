"""Tables of entities: SQLAlchemy's description of them, their DDL, and the names by which errors are understood.

A statement needs no more than a table's name and columns, which are described when the first one about it is compiled.
What stands in its definition is described, for all tables at once, when DDL is asked for, as most programs never do: it
is nearly all of what a table costs (0.8 ms of connecting, for each entity).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from dbkit.spec import EntitySpec, FieldSpec, Reference, Schema
from dbkit.values import Kind, ValueType

from .binds import Raw
from .dialects import Dialect

__all__ = [
    "MAX_STORED_BYTES",
    "Constraint",
    "Tables",
    "constraint_name",
    "digest",
    "signature",
    "size_condition",
]

MAX_STORED_BYTES = 16 * 2**20
"""What a row may grow to by updates (SEMANTICS, "Values": the whole entity)."""
_ON_DELETE = {"restrict": "NO ACTION", "cascade": "CASCADE", "set_null": "SET NULL"}


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a constraint's name stands for in an error."""

    kind: Literal["unique", "reference", "bounds", "size"]
    entity: EntitySpec
    names: tuple[str, ...]
    """The fields as declared."""

    @property
    def field(self) -> str:
        return ", ".join(self.names)


class Tables:
    """The tables of a schema in one dialect."""

    def __init__(self, dialect: Dialect, schema: Schema) -> None:
        self.dialect = dialect
        self.schema = schema
        self._clauses: dict[int, sa.TableClause] = {}

    def of(self, entity: EntitySpec) -> sa.TableClause:
        """Return the entity's table, as statements name it."""
        found = self._clauses.get(entity.token)
        if found is None:
            schema, name = self.split(entity.stored)
            columns = [sa.column(f.stored, Raw(self.dialect.column_type(f.type))) for f in entity.columns]
            # Two threads may be here at once, and one statement must not hold both their tables.
            found = self._clauses.setdefault(entity.token, sa.table(name, *columns, schema=schema))
        return found

    @cached_property
    def _definitions(self) -> _Definitions:
        return _Definitions(self)

    @cached_property
    def constraints(self) -> dict[str, Constraint]:
        """What the names of constraints stand for: made when the first one has failed."""
        return {name: means for entity in self.schema for name, means in self._constraints(entity)}

    def _constraints(self, entity: EntitySpec) -> Iterator[tuple[str, Constraint]]:
        yield self.named("pk", entity), Constraint("unique", entity, ("id",))
        for f in entity.columns:
            check = self.check(entity, f)
            if check is not None:
                yield check[0], Constraint("bounds", entity, (f.shadow_of or f.name,))
        size = self.size_check(entity)
        if size is not None:
            yield size[0], Constraint("size", entity, ())
        for unique in entity.uniques:
            yield self.named("ux", entity, *unique.fields), Constraint("unique", entity, unique.names)
        for f, _ in checked_references(entity):
            yield self.named("fk", entity, f), Constraint("reference", entity, (f.name,))

    def named(self, prefix: str, entity: EntitySpec, *fields: FieldSpec) -> str:
        """Return the name of the constraint or index of an entity's table that is about *fields*."""
        return constraint_name(self.dialect, prefix, entity.stored, tuple(f.stored for f in fields))

    @property
    def indexes(self) -> dict[int, list[sa.Index]]:
        """The indexes of each entity, by its token."""
        return self._definitions.indexes

    def quoted(self, name: str) -> str:
        """Return an identifier as it stands in SQL."""
        return self.dialect.core.identifier_preparer.quote(name)

    def quoted_table(self, stored: str) -> str:
        """Return an entity's stored name as it stands in SQL: with its schema, where the dialect has them."""
        schema, name = self.split(stored)
        return self.quoted(name) if schema is None else f"{self.quoted(schema)}.{self.quoted(name)}"

    def namespace(self, entity: EntitySpec) -> str | None:
        """Return the schema that the entity's table stands in, quoted; None where it names none."""
        schema, _ = self.split(entity.stored)
        return None if schema is None else self.quoted(schema)

    def split(self, stored: str) -> tuple[str | None, str]:
        """Return the schema that an entity's stored name holds, None for none, and the table's name."""
        if "." not in stored or not self.dialect.has_schemas:
            return None, stored
        schema, name = stored.split(".", 1)
        return schema, name

    def check(self, entity: EntitySpec, f: FieldSpec) -> tuple[str, str] | None:
        """Return the name and the condition of a column's CHECK, or None where it needs none."""
        text = " AND ".join(self.dialect.checks(self.quoted(f.stored), f.type))
        if not text:
            return None
        # What changed in the declaration shows as another name: checks are compared by it alone.
        parts = f.stored, digest(text + signature(f.type))
        return constraint_name(self.dialect, "ck", entity.stored, parts), text

    def size_term(self, f: FieldSpec) -> str | None:
        """Return what a column adds to its row's size, or None where its own length is bounded."""
        if not _is_unbounded(f.type):
            return None
        return f"coalesce({self.dialect.octets(self.quoted(f.stored), f.type)}, 0)"

    def size_check(self, entity: EntitySpec) -> tuple[str, str] | None:
        """Return the name and the condition of the CHECK of a row's size, or None where it needs none."""
        terms = [term for f in entity.columns if (term := self.size_term(f)) is not None]
        if not terms:
            return None
        text = size_condition(terms)
        return constraint_name(self.dialect, "ck", entity.stored, ("size", digest(text))), text

    def checks(self, entity: EntitySpec) -> list[tuple[str, str]]:
        """Return the names and the conditions of all CHECKs of the entity's table."""
        found = (*(self.check(entity, f) for f in entity.columns), self.size_check(entity))
        return [check for check in found if check is not None]

    # -- DDL -----------------------------------------------------------------------------------------------------------

    def create(self, entity: EntitySpec) -> list[str]:
        """Return the statements that make the entity's table and its indexes."""
        made = [self._ddl(CreateTable(self._definitions.tables[entity.token]))]
        for f in entity.shadows:
            # Other versions of Unicode could fold other characters: who compares keys wants to know which one made them.
            note = f"casefold key of {f.shadow_of}, by Unicode {unicodedata.unidata_version}"
            made = self.dialect.noted(made, self.quoted_table(entity.stored), self.quoted(f.stored), note)
        return made + self.index(entity)

    def index(self, entity: EntitySpec) -> list[str]:
        """Return the statements that make the entity's indexes, in the order of `indexes`."""
        return [self._ddl(CreateIndex(index)) for index in self.indexes[entity.token]]

    def refer(self, entity: EntitySpec) -> list[str]:
        """Return the statements that add the entity's references, where they do not stand in its table's own."""
        if not self.dialect.alters_constraints:
            return []
        return [self._ddl(AddConstraint(key)) for key in self._definitions.foreign_keys[entity.token]]

    def reference(self, entity: EntitySpec, name: str) -> str:
        """Return the statement that adds one of the entity's references, by its name."""
        key = next(key for key in self._definitions.foreign_keys[entity.token] if key.name == name)
        return self._ddl(AddConstraint(key))

    def _ddl(self, element: Any) -> str:
        # What a driver is given without parameters it takes as it stands, so SQLAlchemy's doubled % are undone.
        text = str(element.compile(dialect=self.dialect.core)).strip()
        return "\n".join(line.rstrip() for line in text.splitlines())


class _Definitions:
    """What DDL says about the tables of a schema; nothing of it changes once it is made."""

    def __init__(self, names: Tables) -> None:
        self._names = names
        self._dialect = names.dialect
        self._metadata = sa.MetaData()
        self.tables = {entity.token: self._table(entity) for entity in names.schema}
        self.indexes = {entity.token: self._indexes(entity) for entity in names.schema}
        self.foreign_keys = {entity.token: self._foreign_keys(entity) for entity in names.schema}

    def _table(self, entity: EntitySpec) -> sa.Table:
        columns = [
            sa.Column(f.stored, Raw(self._dialect.column_type(f.type)), nullable=f.type.nullable)
            for f in entity.columns
        ]
        key = sa.PrimaryKeyConstraint(entity.id.stored, name=self._names.named("pk", entity))
        checks = [
            sa.CheckConstraint(sa.literal_column(condition), name=name)
            for name, condition in self._names.checks(entity)
        ]
        schema, name = self._names.split(entity.stored)
        options = self._dialect.table_options()
        return sa.Table(name, self._metadata, *columns, key, *checks, schema=schema, **options)

    def _indexes(self, entity: EntitySpec) -> list[sa.Index]:
        table = self.tables[entity.token]
        made: list[sa.Index] = []
        for unique in entity.uniques:
            name = self._names.named("ux", entity, *unique.fields)
            columns = [self._dialect.index_column(table.c[f.stored], f) for f in unique.fields]
            made.append(sa.Index(name, *columns, unique=True, _table=table, **self._dialect.unique_options()))
        seen: set[tuple[int, ...]] = set()
        for index in entity.indexes:
            # The id at the end makes the order total, so that pages are ranges of the index.
            fields = index.fields if entity.id in index.fields else (*index.fields, entity.id)
            tokens = tuple(f.token for f in fields)
            if tokens in seen:
                continue
            seen.add(tokens)
            columns = [self._dialect.index_column(table.c[f.stored], f) for f in fields]
            made.append(sa.Index(self._names.named("ix", entity, *index.fields), *columns, _table=table))
        return made

    def _foreign_keys(self, entity: EntitySpec) -> list[sa.ForeignKeyConstraint]:
        table = self.tables[entity.token]
        made: list[sa.ForeignKeyConstraint] = []
        for f, reference in checked_references(entity):
            parent = self.tables[reference.target.token]
            key = sa.ForeignKeyConstraint(
                [f.stored],
                [parent.c[reference.target.id.stored]],
                name=self._names.named("fk", entity, f),
                ondelete=_ON_DELETE[reference.on_delete],
                # So that a verb can put off the check to its end; only NO ACTION can be put off.
                deferrable=True if reference.on_delete == "restrict" else None,
                initially="IMMEDIATE" if reference.on_delete == "restrict" else None,
                use_alter=self._dialect.alters_constraints,
            )
            table.append_constraint(key)
            made.append(key)
        return made


def checked_references(entity: EntitySpec) -> Iterator[tuple[FieldSpec, Reference]]:
    """Give the references that foreign keys check."""
    for f in entity.references:
        if f.reference is not None and f.reference.check:
            yield f, f.reference


def size_condition(terms: Iterable[str]) -> str:
    """Return the condition that a row is not too large, of what its columns add to its size."""
    # Sorted: a column that was added later stands where it would have stood from the beginning.
    return f"{' + '.join(sorted(terms))} <= {MAX_STORED_BYTES}"


def constraint_name(dialect: Dialect, prefix: str, table: str, parts: tuple[str, ...]) -> str:
    """Return the name of a constraint or an index of a table, made of the *parts* that it is about."""
    names = (table, *parts)
    name = f"{prefix}_{'__'.join(names)}".replace(".", "_")
    if any("__" in n or "." in n or n.startswith("_") or n.endswith("_") for n in names):
        # Two ways of cutting it into names shall not give one name.
        name = f"{name}_{digest(repr(names))}"
    if len(name) > dialect.max_name_bytes:
        # A long name would be cut off by the server, and two of them could become one.
        name = f"{name[: dialect.max_name_bytes - 9]}_{digest(name)}"
    return name


def _is_unbounded(type: ValueType) -> bool:
    if type.choices is not None:
        return False
    if type.kind in (Kind.TEXT, Kind.BYTES):
        return type.max_length is None
    return not type.kind.is_scalar


def signature(type: ValueType | None) -> str:
    """Return what makes stored values of two types different things, though their columns may be of one type."""
    if type is None:
        return ""
    inner = (
        "" if type.model is None else ", ".join(f"{f.stored}: {signature(f.type)}" for f in type.model.fields)
    )
    places = f".{type.decimal_places}" if type.kind is Kind.DECIMAL else ""
    return f"{type.kind.value}{places}{'?' if type.nullable else ''}[{signature(type.element)}]{{{inner}}}"


def digest(text: str) -> str:
    """Return eight characters that stand for *text*."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
