"""What differs, as the values that `diff` makes a migration of: one for each thing that one operation mends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dbkit.migrations.differences import Difference
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import ValueType

from ..drift import Comparison
from ..found import StoredColumn, found_type
from ..schema import Tables, constraint_name
from .data import converted, shadow_name
from .nested import readable_as

__all__ = ["differences", "missing"]


def missing(entity: EntitySpec) -> Difference:
    """Return the difference of an entity that has no table."""
    return Difference("missing collection", entity, f"{entity.stored} is missing")


def differences(tables: Tables, entity: EntitySpec, found: Comparison) -> list[Difference]:
    """Return what a comparison found, each thing once: what comes with a missing field is not told beside it.

    What goes with an undeclared one is: who wants the field back wants its keys and its reference back.
    """
    return list(_Told(tables, entity, found).all())


class _Told:
    def __init__(self, tables: Tables, entity: EntitySpec, found: Comparison) -> None:
        self.tables = tables
        self.entity = entity
        self.found = found
        self.there = found.table
        self.by_stored = {f.stored: f for f in entity.columns}
        self.missing = {f for f in entity.fields if f.stored not in self.there.columns}
        shadows = {shadow_name(name) for name in self.there.columns}
        self.undeclared = [
            name for name in self.there.columns if name not in self.by_stored and name not in shadows
        ]
        self.shadows = [name for name in self.there.columns if name not in self.by_stored and name in shadows]

    def all(self) -> Iterator[Difference]:
        for f in self.entity.fields:
            if f in self.missing:
                yield self._say("missing field", f"{f.stored} is missing", field=f)
        for name in self.undeclared:
            yield self._undeclared(name)
        changed = list(self._changed())
        yield from changed
        yield from self._references()
        yield from self._keys()
        yield from self._rest({d.field for d in changed if d.field is not None})

    def _say(self, kind: object, words: str, **more: object) -> Difference:
        return Difference(kind, self.entity, f"{self.entity.stored}.{words}", **more)  # type: ignore[arg-type]

    def _type(self, column: StoredColumn) -> object:
        return found_type(self.tables, self.entity, column)

    def _undeclared(self, name: str) -> Difference:
        column = self.there.columns[name]
        return self._say(
            "undeclared field",
            f"{name} is not declared",
            stored=(name,),
            found=self._type(column),
            found_target=self.there.references.get(name),
            found_on_delete=self.there.actions.get(name),
        )

    # -- fields --------------------------------------------------------------------------------------------------------

    def _changed(self) -> Iterator[Difference]:
        wanted_size = {f.stored for f in self.entity.columns if self.tables.size_term(f) is not None}
        in_size = (self.there.size_columns or frozenset()) ^ wanted_size
        for f in self.entity.fields:
            if f in self.missing:
                continue
            parts = {f"column {f.stored}", f"check of {f.stored}"}
            shadow = self.entity.shadow(f.name)
            if shadow is not None and shadow.stored in self.there.columns:
                parts |= {f"column {shadow.stored}", f"check of {shadow.stored}"}
            if parts & self.found.problems.keys() or f.stored in in_size:
                column = self.there.columns[f.stored]
                found = self._twin(f, column) or self._type(column)
                yield self._say(
                    "changed field",
                    f"{f.stored} is {_words(column)} there, and declared otherwise",
                    field=f,
                    stored=(f.stored,),
                    found=found,
                    is_convertible=found is not None or self._is_convertible(f, column),
                )

    def _twin(self, f: FieldSpec, column: StoredColumn) -> ValueType | None:
        """Return the declared type with the nullability that is there, where the CHECK's digest says that it was this."""
        twin = replace(f.type, nullable=column.nullable)
        check = self.tables.check(self.entity, FieldSpec(column.name, column.name, twin))
        return twin if check is not None and check[0] in {name for name, _ in column.checks} else None

    def _is_convertible(self, f: FieldSpec, column: StoredColumn) -> bool:
        found = readable_as(self.tables, self.entity, column, f.type)
        return found is not None and converted(self.tables.dialect, column.name, found, f.type) is not None

    # -- references ----------------------------------------------------------------------------------------------------

    def _references(self) -> Iterator[Difference]:
        for part, what in self.found.problems.items():
            kind, _, name = part.partition(" ")
            f = self.by_stored.get(name)
            if kind != "reference" or f in self.missing:
                continue
            target = self.there.references.get(name)
            there = {
                "stored": (name,),
                "found_target": target,
                "found_on_delete": self.there.actions.get(name),
            }
            if "missing" in what:
                yield self._say("missing reference", f"{name}: the reference is not checked", field=f)
            elif "not declared" in what:
                words = f"{name}: the reference to {target} is not declared"
                yield self._say("undeclared reference", words, field=f, **there)
            else:
                words = f"{name}: the reference to {target} is declared otherwise"
                yield self._say("changed reference", words, field=f, **there)

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _keys(self) -> Iterator[Difference]:
        for key in self.found.missing_keys:
            owners = [self._owner(f) for f in key.fields]
            if len(owners) == 1 and owners[0] in self.missing:
                continue
            words = f"{', '.join(key.names)}: the unique key is missing"
            yield self._say("missing unique", words, key=key, field=owners[0] if len(owners) == 1 else None)
        for index, _ in self.found.missing_indexes:
            if len(index.fields) == 1 and index.fields[0] in self.missing:
                continue
            names = ", ".join(f.name for f in index.fields)
            yield self._say("missing index", f"{names}: the index is missing", key=index)
        yield from self._undeclared_keys()

    def _owner(self, f: FieldSpec) -> FieldSpec:
        return self.entity.by_name[f.shadow_of] if f.shadow_of is not None else f

    def _undeclared_keys(self) -> Iterator[Difference]:
        declared = {str(index.name) for index in self.tables.indexes[self.entity.token]}
        named = set[str]()
        for index in self.there.indexes:
            columns = tuple(name for name, _ in index.columns)
            if index.name in declared or not columns:
                continue
            kind, about = self._made_by_dbkit(index.name, columns)
            if kind is None:
                continue
            owners = tuple(name.removesuffix(shadow_name("")) for name in about)
            field = self.by_stored.get(owners[0]) if len(owners) == 1 else None
            named.update(about)
            yield self._say(
                kind,
                f"{', '.join(owners)}: the {'unique key' if 'unique' in kind else 'index'} is not declared",
                stored=about,
                field=field,
            )
        for name in self.shadows:
            if name not in named:
                field = self.by_stored.get(name.removesuffix(shadow_name("")))
                yield self._say("undeclared unique", f"{name} is not declared", stored=(name,), field=field)

    def _made_by_dbkit(self, name: str, columns: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
        """Return what dbkit's naming says an index is, and of which columns."""
        table = self.entity.stored
        shorter = columns[:-1] if columns[-1] == self.entity.id.stored and len(columns) > 1 else columns
        kinds = (("ux", "undeclared unique", columns), ("ix", "undeclared index", columns))
        for prefix, kind, about in (*kinds, ("ix", "undeclared index", shorter)):
            if name == constraint_name(self.tables.dialect, prefix, table, about):
                return kind, about
        return None, ()

    # -- what no operation is for --------------------------------------------------------------------------------------

    def _rest(self, changed: set[FieldSpec]) -> Iterator[Difference]:
        gone = {*self.undeclared, *self.shadows, *(f.stored for f in self.missing)}
        gone |= {shadow_name(f.stored) for f in self.missing}
        known = gone | set(self.by_stored)
        for part, what in self.found.problems.items():
            kind, _, name = part.partition(" ")
            is_explained = (
                (kind == "column" and name in known)
                or (kind == "reference" and name in known)
                or (kind == "check" and name.removeprefix("of ") in known)
                # The sum of what other differences are about.
                or (part == "check of size" and bool(changed or gone))
            )
            if not is_explained:
                yield self._say("other", f"{part}{what or ' differs'}", stored=(part,))
        columns = {
            str(index.name): {str(column.name) for column in index.columns}
            for index in self.tables.indexes[self.entity.token]
        }
        retyped = {f.stored for f in changed}
        for name in self.found.other_indexes:
            if columns[name] & retyped:
                continue  # where null stands in an index goes with its columns
            yield self._say("other", f"index {name} differs", stored=(name,))


def _words(column: StoredColumn) -> str:
    return f"{column.type}{'' if column.nullable else ' not null'}"
