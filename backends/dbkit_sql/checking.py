"""Does a database that dbkit need not have made fit its entities? Read from the catalogue, and from the rows. Pure.

What is there is compared with what the *verbs* need, not with what `create_schema()` would make: an `integer` where the
declared bounds fit into 32 bits is fine, as is a `varchar` that is long enough, or a unique index of another name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dbkit.checking import Finding, FindingKind, ordered
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import Kind, ValueType

from .dialects import Dialect
from .schema import Tables

__all__ = ["Column", "Found", "Index", "Inspection", "Link", "Misfit", "Rules"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is there."""

    name: str
    type: str
    not_null: bool
    has_default: bool = False
    is_generated: bool = False
    """The server makes its value, and takes no other."""
    collation: str | None = None
    """A collation that does not order by code point."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is there, valid and over columns alone."""

    columns: tuple[str, ...]
    is_unique: bool
    predicate: str | None = None
    nulls_first: tuple[bool, ...] = ()
    """Of each column; empty where nulls are always first."""
    flaw: str | None = None
    """Why it does not enforce what dbkit declares by `unique`, in words."""


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key that is there."""

    columns: tuple[str, ...]
    parent: str
    """The parent's stored name, as an entity that leads there would give it."""
    parent_columns: tuple[str, ...]
    on_delete: str
    is_valid: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A table that is there."""

    columns: dict[str, Column]
    indexes: tuple[Index, ...]
    links: tuple[Link, ...]
    checks: frozenset[str]
    """The names of its CHECK constraints."""
    types_are_kept: bool = True
    """Whether the server keeps each column to its type (SQLite: STRICT tables only)."""


Misfit = tuple[FindingKind, str, str | None]
"""What is wrong with a column's type: (kind, words, hint). In the hint `{alter}` is the beginning of ALTER TABLE … ALTER
COLUMN …, `{column}` the column."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one server has its own way."""

    misfit: Callable[[ValueType, str], Misfit | None]
    """Says what is wrong with a column's type for values of a declared one, None where they fit."""
    collation_hint: str
    keeps: Callable[[ValueType, str, bool], bool]
    """Whether a column of a type keeps a computed number within the declared bounds; the last as in `condition`."""
    condition: Callable[[str, ValueType, Sequence[str], bool], str | None]
    """Makes of a column, its type and the conditions that a value must meet one that is never null; with False the
    server does not keep the column to its type."""


_COMPATIBLE_DELETES = {
    "restrict": ("restrict", "no action"),
    "cascade": ("cascade",),
    "set_null": ("set null",),
}


class Inspection:
    """Compares the table of one entity, and says what is to be asked of its rows."""

    def __init__(
        self,
        tables: Tables,
        entity: EntitySpec,
        found: dict[int, Found | None],
        rules: Rules,
        sample: int | None,
    ) -> None:
        self._tables = tables
        self._dialect: Dialect = tables.dialect
        self.entity = entity
        self._all = found
        self._found = found[entity.token]
        self._rules = rules
        self._sample = sample
        self._findings: list[Finding] = []
        self._misfits: set[str] = set()
        """Stored names of columns whose values cannot be compared."""
        self._counts: list[tuple[str, Callable[[int], None]]] = []
        """Conditions on single rows, all counted by one query."""
        self._questions: list[tuple[str, Callable[[int], None]]] = []

    @property
    def findings(self) -> list[Finding]:
        """What was found, in order."""
        return ordered(self._findings, [f.name for f in self.entity.fields])

    def _add(
        self, field: str | None, kind: FindingKind, words: str, *, hint: str | None = None, **more: Any
    ) -> None:
        self._findings.append(Finding(self.entity.name, field, kind, words, hint=hint, **more))

    # -- the catalogue -------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare the table with the entity."""
        if self._found is None:
            hint = "db.create_schema() makes it" if self.entity.managed else "its owner has to make it"
            self._add(None, "missing collection", f"there is no table {self.entity.stored!r}", hint=hint)
            return
        declared = {f.stored: f for f in self.entity.columns}
        for f in self.entity.columns:
            column = self._found.columns.get(f.stored)
            if column is None:
                self._missing(f)
            else:
                self._column(f, column)
        for name, column in self._found.columns.items():
            if name not in declared:
                self._undeclared(name, column)
        self._keys()
        self._indexes()
        for f in self.entity.references:
            self._reference(f)
        self._values()

    def _missing(self, f: FieldSpec) -> None:
        self._misfits.add(f.stored)
        name = f.shadow_of or f.name
        if f.shadow_of is not None:
            words = f'there is no column {f.stored!r}, in which unique="casefold" keeps the folded text'
            hint = "declare it without unique=, or add the column and fill it"
        else:
            words, hint = f"there is no column {f.stored!r}", "field(stored_as=…) names another one"
        self._add(name, "missing field", words, hint=hint)

    def _column(self, f: FieldSpec, column: Column) -> None:
        name, quoted = f.shadow_of or f.name, self._tables.quoted(f.stored)
        wrong = self._rules.misfit(f.type, column.type)
        if wrong is not None:
            kind, words, hint = wrong
            self._add(name, kind, words, hint=None if hint is None else self._hint(hint, quoted))
            if kind == "type":
                self._misfits.add(f.stored)
        if f.type.kind is Kind.TEXT and column.collation is not None and wrong is None:
            self._add(
                name,
                "collation",
                f"is sorted and compared by {column.collation!r}, not by code point: order, <, >= and starts_with differ",
                hint=self._hint(self._rules.collation_hint, quoted),
            )
        self._bounds(f, column, wrong)
        if column.is_generated:
            self._add(
                name,
                "generated field",
                "is generated by the server, which takes no value for it",
                hint="GENERATED BY DEFAULT takes the program's" if f is self.entity.id else None,
            )
        if column.not_null and f.type.nullable:
            self._add(
                name,
                "null",
                "can be None here and takes no null there: writing None fails",
                hint="declare it without | None",
            )

    def _bounds(self, f: FieldSpec, column: Column, wrong: Misfit | None) -> None:
        """Say where nothing keeps a computed number within its bounds, as the CHECK of dbkit's own tables does."""
        assert self._found is not None
        number = f.type.kind.is_number and f.type.choices is None and wrong is None
        # Where the table is somebody else's by declaration, each statement keeps the bounds itself.
        if not self.entity.managed or not number or f is self.entity.id or f.reference is not None:
            return
        check = self._tables.check(self.entity, f)
        if check is not None and check[0] in self._found.checks:
            return
        if not self._rules.keeps(f.type, column.type, self._found.types_are_kept):
            made = None if check is None else f"add CHECK ({check[1]})"
            self._add(
                f.name, "limit", "nothing there keeps a computed change within the declared bounds", hint=made
            )

    def _hint(self, hint: str, column: str) -> str:
        alter = f"ALTER TABLE {self._tables.quoted_table(self.entity.stored)} ALTER COLUMN {column}"
        return hint.replace("{column}", column).replace("{alter}", alter)

    def _undeclared(self, name: str, column: Column) -> None:
        if column.not_null and not column.has_default and not column.is_generated:
            self._add(
                name,
                "required field",
                f"the column {name!r} takes no null, has no default and is not declared: every create fails",
                hint="declare the field, or give the column a default",
            )
        else:
            self._add(name, "undeclared field", f"the column {name!r} is not declared", is_problem=False)

    def _keys(self) -> None:
        assert self._found is not None
        keys: list[tuple[tuple[FieldSpec, ...], tuple[str, ...]]] = [((self.entity.id,), ("id",))]
        keys += [(key.fields, key.names) for key in self.entity.uniques]
        wanted: set[frozenset[str]] = set()
        for fields, names in keys:
            columns = frozenset(f.stored for f in fields)
            wanted.add(columns)
            same = [i for i in self._found.indexes if i.is_unique and frozenset(i.columns) == columns]
            flaws = [self._flaw(index, fields) for index in same]
            if None in flaws or any(c not in self._found.columns for c in columns):
                continue
            words = flaws[0] if flaws else None
            self._ask_duplicates(fields, ", ".join(names), words)
        for index in self._found.indexes:
            if index.is_unique and frozenset(index.columns) not in wanted:
                columns = frozenset(index.columns)
                if any(columns >= w for w in wanted):
                    continue  # follows from a declared one
                self._add(
                    ", ".join(self._declared(c) for c in index.columns),
                    "undeclared unique",
                    "is unique there and not here: DuplicateKey will not name the field",
                    hint="declare it unique",
                    is_problem=False,
                )

    def _declared(self, stored: str) -> str:
        return next((f.shadow_of or f.name for f in self.entity.columns if f.stored == stored), stored)

    def _flaw(self, index: Index, fields: Sequence[FieldSpec]) -> str | None:
        """Return why a unique index does not enforce the declared key, or None where it does."""
        if index.predicate is not None and not _is_not_null_only(
            index.predicate, {f.stored for f in fields if f.type.nullable}
        ):
            return f"its unique index covers only rows WHERE {index.predicate}"
        if index.flaw == "nulls" and any(f.type.nullable for f in fields):
            return "its unique index takes two nulls for duplicates"
        return None if index.flaw in (None, "nulls") else index.flaw

    def _indexes(self) -> None:
        assert self._found is not None
        for index in self.entity.indexes:
            columns = tuple(f.stored for f in index.fields)
            if any(c not in self._found.columns for c in columns):
                continue
            leading = [
                i
                for i in self._found.indexes
                if i.columns[: len(columns)] == columns and (i.predicate is None or i.predicate == "(1 = 1)")
            ]
            names = ", ".join(f.name for f in index.fields)
            if not leading:
                self._add(names, "index", "is not indexed there: reads scan the table")
            elif not any(_has_order(i, index.fields) for i in leading):
                self._add(
                    names,
                    "index",
                    "is indexed with nulls last there: it serves filters, and order_by sorts in memory",
                    is_problem=False,
                )

    def _reference(self, f: FieldSpec) -> None:
        assert self._found is not None
        reference = f.reference
        if reference is None or not reference.check or f.stored not in self._found.columns:
            return
        target = reference.target
        links = [
            link
            for link in self._found.links
            if link.columns == (f.stored,)
            and link.parent == target.stored
            and link.parent_columns in ((target.id.stored,), ())
        ]
        if not links:
            self._ask_orphans(f, f"no foreign key keeps it to {target.name}")
        elif not any(link.is_valid for link in links):
            self._ask_orphans(
                f, f"its foreign key to {target.name} is NOT VALID: older rows were never checked"
            )
        if links and not any(link.on_delete in _COMPATIBLE_DELETES[reference.on_delete] for link in links):
            self._add(
                f.name,
                "reference",
                f"ON DELETE {links[0].on_delete.upper()} there, on_delete={reference.on_delete!r} here",
            )

    # -- the rows ------------------------------------------------------------------------------------------------------

    @property
    def questions(self) -> list[tuple[str, Callable[[Sequence[int]], None]]]:
        """Queries of one row of numbers each, and what is to be told them."""
        made: list[tuple[str, Callable[[Sequence[int]], None]]] = []
        if self._counts:
            figures = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition, _ in self._counts)
            listeners = [told for _, told in self._counts]

            def tell(numbers: Sequence[int]) -> None:
                for told, number in zip(listeners, numbers, strict=True):
                    told(number)

            made.append((f"SELECT {figures} FROM {self._rows()} AS r", tell))  # noqa: S608
        made += [(query, _first(told)) for query, told in self._questions]
        if self._dialect.core.paramstyle == "format":
            # A choice may hold a %, which the driver would take for a parameter.
            made = [(query.replace("%", "%%"), told) for query, told in made]
        return made

    def _rows(self) -> str:
        table = self._tables.quoted_table(self.entity.stored)
        return table if self._sample is None else f"(SELECT * FROM {table} LIMIT {self._sample})"  # noqa: S608

    def _values(self) -> None:
        """Ask for nulls where none may be, and for values outside of what is declared."""
        assert self._found is not None
        for f in self.entity.columns:
            column = self._found.columns.get(f.stored)
            if column is None:
                continue
            name, quoted = f.shadow_of or f.name, self._tables.quoted(f.stored)
            if not column.not_null and not f.type.nullable:
                self._ask(f"{quoted} IS NULL", self._told_nulls(name))
            check = self._tables.check(self.entity, f)
            is_kept = self._found.types_are_kept and check is not None and check[0] in self._found.checks
            condition = None if is_kept or f.stored in self._misfits else self._condition(f, quoted)
            if condition is not None:
                self._ask(f"{quoted} IS NOT NULL AND NOT ({condition})", self._told_values(name))

    def _condition(self, f: FieldSpec, quoted: str) -> str | None:
        assert self._found is not None
        parts = list(self._dialect.checks(quoted, f.type))
        if f.type.choices is not None:
            choices = ", ".join(_literal(choice) for choice in f.type.choices)
            parts.append(f"{quoted} IN ({choices})")
        return self._rules.condition(quoted, f.type, parts, self._found.types_are_kept)

    def _told_nulls(self, name: str) -> Callable[[int], None]:
        def told(count: int) -> None:
            words = "can be null there and not here"
            words += f": {_many(count, 'row')} without a value" if count else "; no row is"
            self._add(
                name,
                "null",
                words,
                count=count,
                sampled=self._sample is not None,
                hint="declare it with | None" if count else None,
                is_problem=count > 0,
            )

        return told

    def _told_values(self, name: str) -> Callable[[int], None]:
        def told(count: int) -> None:
            if count:
                self._add(
                    name,
                    "value",
                    f"{_many(count, 'row')} outside of the declared type or bounds",
                    count=count,
                    sampled=self._sample is not None,
                )

        return told

    def _ask_duplicates(self, fields: Sequence[FieldSpec], names: str, flaw: str | None) -> None:
        lacks = flaw or "no unique index enforces it"
        if any(f.stored in self._misfits for f in fields):
            self._add(names, "unique", lacks)
            return
        columns = [self._tables.quoted(f.stored) for f in fields]
        there = " AND ".join(f"{c} IS NOT NULL" for c in columns)
        query = (
            f"SELECT count(*) FROM (SELECT 1 FROM {self._rows()} AS r WHERE {there} "  # noqa: S608
            f"GROUP BY {', '.join(columns)} HAVING count(*) > 1) AS d"
        )

        def told(count: int) -> None:
            self._add(
                names,
                "unique",
                f"{lacks}; {_many(count, 'key')} there more than once"
                if count
                else f"{lacks}; no key is there twice",
                count=count,
                sampled=self._sample is not None,
            )

        self._questions.append((query, told))

    def _ask_orphans(self, f: FieldSpec, lacks: str) -> None:
        assert f.reference is not None
        target = f.reference.target
        parent = self._all.get(target.token)
        column = None if parent is None else parent.columns.get(target.id.stored)
        wrong = None if column is None else self._rules.misfit(target.id.type, column.type)
        if f.stored in self._misfits or column is None or (wrong is not None and wrong[0] == "type"):
            self._add(f.name, "reference", lacks)
            return
        child, id = self._tables.quoted(f.stored), self._tables.quoted(target.id.stored)
        query = (
            f"SELECT count(*) FROM {self._rows()} AS r WHERE r.{child} IS NOT NULL AND NOT EXISTS "  # noqa: S608
            f"(SELECT 1 FROM {self._tables.quoted_table(target.stored)} AS p WHERE p.{id} = r.{child})"
        )

        def told(count: int) -> None:
            self._add(
                f.name,
                "reference",
                f"{lacks}; {_many(count, 'row')} without a parent"
                if count
                else f"{lacks}; no row is without a parent",
                count=count,
                sampled=self._sample is not None,
                hint="references=…, check=False keeps it as it is",
            )

        self._questions.append((query, told))

    def _ask(self, condition: str, told: Callable[[int], None]) -> None:
        self._counts.append((condition, told))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}s are" if count != 1 else f"1 {what} is"


def _first(told: Callable[[int], None]) -> Callable[[Sequence[int]], None]:
    return lambda numbers: told(numbers[0])


def _literal(choice: str | int) -> str:
    return str(choice) if isinstance(choice, int) else "'" + choice.replace("'", "''") + "'"


def _is_not_null_only(predicate: str, nullable: set[str]) -> bool:
    """Whether a predicate leaves out nothing but nulls, which never conflict anyhow."""
    text = predicate.replace("(", " ").replace(")", " ").replace('"', "").strip()
    if re.fullmatch(r"1\s*=\s*1", text):
        return True
    parts = re.split(r"\s+AND\s+", text, flags=re.IGNORECASE)
    found = [re.fullmatch(r"\s*(\S+)\s+IS\s+NOT\s+NULL\s*", part, re.IGNORECASE) for part in parts]
    return all(m is not None and m[1] in nullable for m in found)


def _has_order(index: Index, fields: Sequence[FieldSpec]) -> bool:
    """Whether the index has the order in which dbkit sorts, or its reverse: null first ascending."""
    if not index.nulls_first:
        return True
    return all(index.nulls_first[place] or not f.type.nullable for place, f in enumerate(fields))
