"""Tables of entities: SQLAlchemy's description of them, their DDL, and the names by which errors are understood."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from dbkit.spec import EntitySpec, FieldSpec, Schema
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
        self.constraints: dict[str, Constraint] = {}
        self._metadata = sa.MetaData()
        self._tables = {entity.token: self._table(entity) for entity in schema}
        self.indexes = {entity.token: self._indexes(entity) for entity in schema}
        self.foreign_keys = {entity.token: self._foreign_keys(entity) for entity in schema}

    def of(self, entity: EntitySpec) -> sa.Table:
        """Return the entity's table."""
        return self._tables[entity.token]

    def quoted(self, name: str) -> str:
        """Return an identifier as it stands in SQL."""
        return self.dialect.core.identifier_preparer.quote(name)

    def quoted_table(self, stored: str) -> str:
        """Return an entity's stored name as it stands in SQL: with its schema, where the dialect has them."""
        schema, name = self._split(stored)
        return self.quoted(name) if schema is None else f"{self.quoted(schema)}.{self.quoted(name)}"

    def namespace(self, entity: EntitySpec) -> str | None:
        """Return the schema that the entity's table stands in, quoted; None where it names none."""
        schema, _ = self._split(entity.stored)
        return None if schema is None else self.quoted(schema)

    def _split(self, stored: str) -> tuple[str | None, str]:
        if "." not in stored or not self.dialect.has_schemas:
            return None, stored
        schema, name = stored.split(".", 1)
        return schema, name

    # -- making --------------------------------------------------------------------------------------------------------

    def _table(self, entity: EntitySpec) -> sa.Table:
        columns = [
            sa.Column(f.stored, Raw(self.dialect.column_type(f.type)), nullable=f.type.nullable)
            for f in entity.columns
        ]
        key = sa.PrimaryKeyConstraint(
            entity.id.stored, name=self._named("pk", entity, (), Constraint("unique", entity, ("id",)))
        )
        schema, name = self._split(entity.stored)
        options = self.dialect.table_options()
        return sa.Table(name, self._metadata, *columns, key, *self._checks(entity), schema=schema, **options)

    def _checks(self, entity: EntitySpec) -> Iterable[sa.CheckConstraint]:
        made = [check for f in entity.columns if (check := self.check(entity, f)) is not None]
        terms = [term for f in entity.columns if (term := self.size_term(f)) is not None]
        if terms:
            made.append(self.size_check(entity, terms))
        return [sa.CheckConstraint(sa.literal_column(text), name=name) for name, text in made]

    def check(self, entity: EntitySpec, f: FieldSpec) -> tuple[str, str] | None:
        """Return the name and the condition of a column's CHECK, or None where it needs none."""
        text = " AND ".join(self.dialect.checks(self.quoted(f.stored), f.type))
        if not text:
            return None
        meaning = Constraint("bounds", entity, (f.shadow_of or f.name,))
        # What changed in the declaration shows as another name: checks are compared by it alone.
        return self._named("ck", entity, (f.stored, digest(text + signature(f.type))), meaning), text

    def size_term(self, f: FieldSpec) -> str | None:
        """Return what a column adds to its row's size, or None where its own length is bounded."""
        if not _is_unbounded(f.type):
            return None
        return f"coalesce({self.dialect.octets(self.quoted(f.stored), f.type)}, 0)"

    def size_check(self, entity: EntitySpec, terms: Iterable[str]) -> tuple[str, str]:
        """Return the name and the condition of the CHECK of a row's size."""
        text = size_condition(terms)
        return self._named("ck", entity, ("size", digest(text)), Constraint("size", entity, ())), text

    def _indexes(self, entity: EntitySpec) -> list[sa.Index]:
        table = self.of(entity)
        made: list[sa.Index] = []
        for unique in entity.uniques:
            meaning = Constraint("unique", entity, unique.names)
            name = self._named("ux", entity, tuple(f.stored for f in unique.fields), meaning)
            columns = [self.dialect.index_column(table.c[f.stored], f) for f in unique.fields]
            made.append(sa.Index(name, *columns, unique=True, _table=table, **self.dialect.unique_options()))
        seen: set[tuple[int, ...]] = set()
        for index in entity.indexes:
            # The id at the end makes the order total, so that pages are ranges of the index.
            fields = index.fields if entity.id in index.fields else (*index.fields, entity.id)
            tokens = tuple(f.token for f in fields)
            if tokens in seen:
                continue
            seen.add(tokens)
            name = self._named("ix", entity, tuple(f.stored for f in index.fields), None)
            columns = [self.dialect.index_column(table.c[f.stored], f) for f in fields]
            made.append(sa.Index(name, *columns, _table=table))
        return made

    def _foreign_keys(self, entity: EntitySpec) -> list[sa.ForeignKeyConstraint]:
        table = self.of(entity)
        made: list[sa.ForeignKeyConstraint] = []
        for f in entity.references:
            reference = f.reference
            if reference is None or not reference.check:
                continue
            parent = self.of(reference.target)
            name = self._named("fk", entity, (f.stored,), Constraint("reference", entity, (f.name,)))
            key = sa.ForeignKeyConstraint(
                [f.stored],
                [parent.c[reference.target.id.stored]],
                name=name,
                ondelete=_ON_DELETE[reference.on_delete],
                # So that a verb can put off the check to its end; only NO ACTION can be put off.
                deferrable=True if reference.on_delete == "restrict" else None,
                initially="IMMEDIATE" if reference.on_delete == "restrict" else None,
                use_alter=self.dialect.alters_constraints,
            )
            table.append_constraint(key)
            made.append(key)
        return made

    def _named(
        self, prefix: str, entity: EntitySpec, parts: tuple[str, ...], means: Constraint | None
    ) -> str:
        name = constraint_name(self.dialect, prefix, entity.stored, parts)
        if means is not None:
            self.constraints[name] = means
        return name

    # -- DDL -----------------------------------------------------------------------------------------------------------

    def create(self, entity: EntitySpec) -> list[str]:
        """Return the statements that make the entity's table and its indexes."""
        made = [self._ddl(CreateTable(self.of(entity)))]
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
        return [self._ddl(AddConstraint(key)) for key in self.foreign_keys[entity.token]]

    def reference(self, entity: EntitySpec, name: str) -> str:
        """Return the statement that adds one of the entity's references, by its name."""
        key = next(key for key in self.foreign_keys[entity.token] if key.name == name)
        return self._ddl(AddConstraint(key))

    def _ddl(self, element: Any) -> str:
        # What a driver is given without parameters it takes as it stands, so SQLAlchemy's doubled % are undone.
        text = str(element.compile(dialect=self.dialect.core)).strip()
        return "\n".join(line.rstrip() for line in text.splitlines())


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
