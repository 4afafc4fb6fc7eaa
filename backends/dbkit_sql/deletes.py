"""The statements that delete: what goes with a row, how many rows that touches, what refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dbkit.query import DeleteMany, DeleteOne
from dbkit.spec import EntitySpec, FieldSpec, OnDelete
from dbkit.values import Kind

from .binds import Binds, Raw, Text
from .compile import Scope
from .dialects.base import Expr, literal
from .schema import Constraint, Tables
from .writes import TOO_MANY, counted, first_ids

__all__ = ["DeletePlan", "delete_many", "delete_one"]


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """Deletes one row or many.

    Attributes:
        cascades: whether other rows are touched.
        defers: whether a restricting child may go with the same verb, so that the check must wait for its end.
        restricting: what may have refused it, where the server does not say.
    """

    text: Text
    cascades: bool
    defers: bool
    restricting: tuple[tuple[Constraint, Text], ...]


def delete_one(tables: Tables, query: DeleteOne) -> DeletePlan:
    """Compile a slotted `DeleteOne`."""

    def where(scope: Scope) -> Expr:
        id = scope.id == scope.binds.one(query.id, tables.dialect.encoder(query.entity.id.type))
        return id if query.where is None else sa.and_(id, scope.condition(query.where))

    return _delete(tables, query.entity, where, many=False)


def delete_many(tables: Tables, query: DeleteMany) -> DeletePlan:
    """Compile a slotted `DeleteMany`."""
    return _delete(tables, query.entity, lambda scope: scope.condition(query.where), many=True)


def _delete(tables: Tables, entity: EntitySpec, where: Callable[[Scope], Expr], *, many: bool) -> DeletePlan:
    binds = Binds()
    table = tables.of(entity)
    scope = Scope(tables, binds, entity, table, correlated=True)
    edges = _touching(tables, entity)
    statement: Any = sa.delete(table)
    if tables.dialect.updates_in_cte and (many or edges):
        first = first_ids(scope, where(scope))
        touched = _cascade(tables, binds, entity, first, edges) if edges else first
        statement = counted(statement, where(scope), touched)
    elif many:
        other = Scope(tables, binds, entity, binds.alias(table))
        condition = where(other)
        statement = statement.where(scope.id.in_(first_ids(other, condition)))
    else:
        statement = statement.where(where(scope))
    return DeletePlan(
        binds.compile(statement, tables.dialect.core),
        cascades=bool(edges),
        defers=_defers(tables, entity, edges),
        restricting=tuple(_restricting(tables, entity, where)),
    )


Edge = tuple[EntitySpec, EntitySpec, FieldSpec, OnDelete]
"""Parent, child, the child's reference, what deleting the parent does."""


def _touching(tables: Tables, entity: EntitySpec) -> list[Edge]:
    """Return the references by which deleting rows of *entity* touches other rows."""
    found: list[Edge] = []
    reached, queue = {entity.token}, [entity]
    while queue:
        parent = queue.pop()
        for child, f in tables.schema.children(parent):
            assert f.reference is not None
            if f.reference.on_delete == "restrict":
                continue
            found.append((parent, child, f, f.reference.on_delete))
            if f.reference.on_delete == "cascade" and child.token not in reached:
                reached.add(child.token)
                queue.append(child)
    return found


def _defers(tables: Tables, entity: EntitySpec, edges: Sequence[Edge]) -> bool:
    """Return whether a child that restricts may itself go by a cascade of the same verb.

    A cascade is a statement of its own inside the server, and NO ACTION is looked at at its end, not at the verb's.
    """
    gone = {child.token for _, child, _, on_delete in edges if on_delete == "cascade"}
    if not gone:
        return False
    parents = [e for e in tables.schema if e.token in gone or e is entity]
    return any(
        f.reference is not None
        and f.reference.on_delete == "restrict"
        and child.token in {*gone, entity.token}
        for parent in parents
        for child, f in tables.schema.children(parent)
    )


_ID_COLUMNS = {
    Kind.UUID: ("u", "uuid"),
    Kind.OBJECT_ID: ("o", "bytea"),
    Kind.TEXT: ("t", "text"),
    Kind.INT: ("i", "bigint"),
}


def _cascade(tables: Tables, binds: Binds, entity: EntitySpec, first: Any, edges: Sequence[Edge]) -> Any:
    """Return the rows that would be deleted or set to null, found by following the references; each once.

    One recursive query: of each row its entity's number, whether it is only set to null, and its id in the column of
    its type.
    """
    entities = list({e.token: e for e in (entity, *(child for _, child, _, _ in edges))}.values())
    numbers = {e.token: n for n, e in enumerate(entities)}
    kinds = sorted({e.id.type.kind for e in entities})

    def row(of: EntitySpec, id: Expr, *, nulled: bool) -> list[Any]:
        columns: list[Any] = [
            literal(str(numbers[of.token])).label("entity"),
            literal(str(nulled).lower()).label("nulled"),
        ]
        for kind in kinds:
            name, type = _ID_COLUMNS[kind]
            value = id if of.id.type.kind is kind else sa.null()
            columns.append(sa.cast(value, Raw(type)).label(name))
        return columns

    start = first.subquery("first")
    found = (
        sa.select(*row(entity, start.c[0], nulled=False))
        .select_from(start)
        .cte("_dbkit_doomed", recursive=True)
    )
    branches: list[Any] = []
    for parent, child, f, on_delete in edges:
        table = binds.alias(tables.of(child))
        parent_id = found.c[_ID_COLUMNS[parent.id.type.kind][0]]
        branch = sa.select(*row(child, table.c[child.id.stored], nulled=on_delete == "set_null"))
        branch = branch.select_from(table).where(
            found.c.entity == literal(str(numbers[parent.token])),
            found.c.nulled == literal("false"),
            table.c[f.stored] == parent_id,
        )
        branches.append(branch.correlate(found))
    following = (
        sa.union_all(*branches).lateral("following")
        if len(branches) > 1
        else branches[0].lateral("following")
    )
    names = ["entity", "nulled", *(_ID_COLUMNS[kind][0] for kind in kinds)]
    step = sa.select(*(following.c[name] for name in names)).select_from(found.join(following, sa.true()))
    found = found.union(step)
    each = [found.c[name] for name in names if name != "nulled"]
    return sa.select(*each).distinct().limit(literal(str(TOO_MANY)))


def _restricting(
    tables: Tables, entity: EntitySpec, where: Callable[[Scope], Expr]
) -> list[tuple[Constraint, Text]]:
    """Return, for each restricting reference to the entity, the question whether a row to be deleted has such children."""
    made: list[tuple[Constraint, Text]] = []
    for child, f in tables.schema.children(entity):
        if f.reference is None or f.reference.on_delete != "restrict":
            continue
        binds = Binds()
        scope = Scope(tables, binds, entity, tables.of(entity))
        condition = where(scope)
        found = binds.alias(tables.of(child))
        exists = sa.exists(sa.select(literal("1")).select_from(found).where(found.c[f.stored] == scope.id))
        statement = (
            sa.select(literal("1")).select_from(scope.source).where(condition, exists).limit(literal("1"))
        )
        made.append(
            (Constraint("reference", child, (f.name,)), binds.compile(statement, tables.dialect.core))
        )
    return made
