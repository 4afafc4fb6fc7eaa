"""What a driver's error means, in one table per server: by SQLSTATE, or by SQLite's result code.

A message's text is read only where nothing else names the column or the table. Pure: drivers give `Failure`, get an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dbkit import answers
from dbkit.errors import (
    BadURL,
    ConfigurationError,
    Conflict,
    DbkitError,
    DeadlineExceeded,
    DuplicateKey,
    OperationalError,
    OutcomeUnknown,
    ReferenceViolation,
    StoredDataInvalid,
    TooLarge,
    TransactionAborted,
    TransactionError,
    Unavailable,
    Unsupported,
)
from dbkit.query import (
    Assign,
    Change,
    Claim,
    Constant,
    DeleteMany,
    DeleteOne,
    Insert,
    Query,
    UpdateMany,
    UpdateOne,
    Upsert,
)
from dbkit.spec import EntitySpec, FieldSpec

from .schema import Constraint, Tables

__all__ = [
    "Failure",
    "Verb",
    "postgres_error",
    "refused_connection",
    "sqlite_error",
    "uncommitted",
    "verb_of",
]


@dataclass(frozen=True, slots=True)
class Verb:
    """What was being done when it failed."""

    entity: EntitySpec | None = None
    writes: bool = False
    deletes: bool = False
    changes: tuple[Change, ...] = ()

    @property
    def computed(self) -> str | None:
        """The only field whose new value was computed, or None."""
        fields = [
            c.field.name
            for c in self.changes
            if not isinstance(c, Assign) or not isinstance(c.expression, Constant)
        ]
        own = [name for name in fields if name != "version"]
        return own[0] if len(own) == 1 else None


@dataclass(frozen=True, slots=True)
class Failure:
    """A driver's error, as far as the tables look at it."""

    code: str | int | None
    """The SQLSTATE or the extended result code; None where no server answered."""
    message: str = ""
    constraint: str | None = None
    column: str | None = None
    table: str | None = None
    """Where the constraint stands."""
    key: tuple[str, ...] = ()
    """The columns of the key that clashed or led nowhere."""


def verb_of(query: Query | Verb | None) -> Verb:
    """Return what a query does."""
    if isinstance(query, Verb):
        return query
    if query is None:
        return Verb()
    deletes = isinstance(query, DeleteOne | DeleteMany)
    return Verb(
        query.entity,
        writes=deletes or isinstance(query, Insert | UpdateOne | UpdateMany | Upsert | Claim),
        deletes=deletes,
        changes=query.changes if isinstance(query, UpdateOne | UpdateMany | Claim) else (),
    )


def uncommitted(query: Query | Verb | None) -> Verb:
    """Return what a query does inside a transaction: should the connection break, it surely did not happen."""
    return replace(verb_of(query), writes=False)


@dataclass(frozen=True, slots=True)
class Case:
    """An error, with what is known around it."""

    failure: Failure
    verb: Verb
    tables: Tables

    @property
    def constraint(self) -> Constraint | None:
        """What the constraint that the server names stands for."""
        return self.tables.constraints.get(self.failure.constraint or "") or self._foreign()

    def _foreign(self) -> Constraint | None:
        """What a constraint that dbkit did not make, and named, is about."""
        failure = self.failure
        for entity in self.tables.schema:
            if failure.table is None or entity.stored.rpartition(".")[2] != failure.table:
                continue
            if failure.key == (entity.id.stored,) and failure.code == "23505":
                return Constraint("unique", entity, ("id",))
            for unique in entity.uniques:
                if sorted(f.stored for f in unique.fields) == sorted(failure.key):
                    return Constraint("unique", entity, unique.names)
            named = [f for f in entity.references if (f.stored,) == failure.key and not self.verb.deletes]
            # Of a parent that is still referenced the server names the child's table, and the parent's own key.
            leading = [f for f in entity.references if self.verb.deletes and _leads_to(f, self.verb.entity)]
            for found in (named, leading):
                if len(found) == 1 and failure.code == "23503":
                    return Constraint("reference", entity, (found[0].name,))
        return None


def _leads_to(f: FieldSpec, entity: EntitySpec | None) -> bool:
    return f.reference is not None and f.reference.target is entity


Translate = Callable[[Case], DbkitError]


# -- what several codes mean -------------------------------------------------------------------------------------------


def duplicate(constraint: Constraint | None) -> DbkitError:
    """Return the error for a key that is taken."""
    if constraint is None:
        return DuplicateKey("another row has the same unique key")
    return answers.duplicate(constraint.entity.name, constraint.field)


def reference(constraint: Constraint | None, *, deletes: bool) -> ReferenceViolation:
    """Return the error for a parent that is missing, or that still has children."""
    if constraint is None:
        what = "the row is still referenced" if deletes else "a reference leads to a row that is not there"
        return ReferenceViolation(what)
    child = constraint.entity
    (name,) = constraint.names
    link = child.by_name[name].reference
    assert link is not None
    parent = link.target.name
    if deletes:
        return answers.still_referenced(parent, child.name, name)
    return answers.missing_parent(child.name, name, parent)


def check(constraint: Constraint | None, verb: Verb, name: str | None = None) -> DbkitError:
    """Return the error for a CHECK: a row that grew too large, or a computed value outside its bounds.

    Outside a verb the statement is somebody's own, and so is the CHECK called *name*.
    """
    if constraint is None and verb.entity is None:
        return answers.check_broken(name)
    if constraint is not None and constraint.kind == "size":
        return answers.row_too_large()
    return _beyond(verb, None if constraint is None else constraint.field)


def _beyond(verb: Verb, field: str | None) -> DbkitError:
    entity = None if verb.entity is None else verb.entity.name
    return answers.out_of_range(entity, field or verb.computed)


def missing_table(name: str | None, tables: Tables) -> ConfigurationError:
    """Return the error for a database without the entity's table."""
    if name is not None:
        return answers.no_table(name, tables.schema)
    return ConfigurationError("a table does not exist", hint=answers.CREATE_FIRST)


def _conflict(_: Case) -> DbkitError:
    return Conflict("another transaction changes the same rows, or holds their lock")


def _late(_: Case) -> DbkitError:
    return DeadlineExceeded("the statement took longer than timeout_s, and was stopped")


def lost(verb: Verb) -> DbkitError:
    """Return the error for a connection that broke after the statement may have been sent."""
    if verb.writes:
        return OutcomeUnknown(
            "the connection broke while a write was under way: it happened wholly, or not at all"
        )
    return Unavailable("the connection to the server broke; nothing was written")


def _out_of_range(case: Case) -> DbkitError:
    return _beyond(case.verb, None)


def _drifted(case: Case) -> DbkitError:
    entity = case.verb.entity
    where = "" if entity is None else f" of {entity.stored!r}"
    return ConfigurationError(
        f"the table{where} has other columns than its entity",
        hint=answers.DRIFTED,
    )


def _full(_: Case) -> DbkitError:
    return Unavailable("the server has no room or memory left", retryable=False)


# -- PostgreSQL (the manual, appendix A) -------------------------------------------------------------------------------

_RELATION = re.compile(r'"([^"]+)"')


def _missing_relation(case: Case) -> DbkitError:
    found = _RELATION.search(case.failure.message)
    if found is not None:
        return missing_table(found[1], case.tables)
    return missing_table(None if case.verb.entity is None else case.verb.entity.stored, case.tables)


def _not_null(case: Case) -> DbkitError:
    return _beyond(case.verb, _declared(case.verb, case.failure.column))


def _declared(verb: Verb, stored: str | None) -> str | None:
    if verb.entity is None or stored is None:
        return None
    return next((f.shadow_of or f.name for f in verb.entity.columns if f.stored == stored), None)


def _denied(_: Case) -> DbkitError:
    return ConfigurationError("the server refused the user, or the user may not do this")


UNREADABLE = "unreadable"
"""In the place of a SQLSTATE: the driver could not make a Python value of what the server sent."""

OUTDATED = "outdated"
"""In the place of a SQLSTATE: the statement was prepared before its table was altered; nothing was run."""

_SQLSTATES: Mapping[str, Translate] = {
    "23505": lambda c: duplicate(c.constraint),
    "23503": lambda c: reference(c.constraint, deletes=c.verb.deletes),
    "23514": lambda c: check(c.constraint, c.verb, c.failure.constraint),
    "23502": _not_null,
    "22003": _out_of_range,
    # By `Dialect.refused`, and longer than varchar(n): in a table that dbkit did not make.
    "22012": _out_of_range,
    "22001": _out_of_range,
    "54000": lambda _: TooLarge("a value is too long for its index"),
    "40001": _conflict,
    "40P01": _conflict,
    "55P03": _conflict,
    "57014": _late,
    "25P02": lambda _: TransactionAborted("an earlier error ended this transaction"),
    "25006": lambda _: TransactionError(
        "the server takes no writes here: a read-only transaction, or a standby"
    ),
    # What is dropped: by a view, say. The tables that refer to an entity's are looked for before.
    "2BP01": lambda _: ReferenceViolation(
        "something else in the database depends on what is to be dropped (a view?)", hint="drop that first"
    ),
    "42P01": _missing_relation,
    "42703": _drifted,
    "42804": _drifted,
    "3D000": lambda _: ConfigurationError("the database does not exist", hint="createdb makes it"),
    "42501": _denied,
    OUTDATED: lambda _: Conflict("a table was altered while this ran"),
    UNREADABLE: lambda _: StoredDataInvalid(
        "a stored value is beyond what Python can hold",
        hint="something other than dbkit wrote it; mend the row",
    ),
}
# By the first two characters, where the five are not listed.
_CLASSES: Mapping[str, Translate] = {
    "08": lambda c: lost(c.verb),
    "28": _denied,
    "53": _full,
    "57": lambda c: lost(c.verb),
    "0A": lambda _: Unsupported("the server does not support this"),
}


def postgres_error(failure: Failure, verb: Verb, tables: Tables) -> DbkitError:
    """Return what an error of PostgreSQL means."""
    code = str(failure.code)
    translate = _SQLSTATES.get(code) or _CLASSES.get(code[:2])
    if translate is not None:
        return translate(Case(failure, verb, tables))
    return OperationalError(f"PostgreSQL refused the statement (SQLSTATE {code})", retryable=False)


_BAD_VALUE = re.compile(r"invalid \S+ value|invalid integer value|invalid port number")
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba.conf entry|role .* does not exist"
)


def refused_connection(code: str | None, message: str) -> DbkitError:
    """Return the error for a connection that could not be made; *message* may hold secrets, and is only looked at.

    libpq gives no SQLSTATE here.
    """
    if (code or "").startswith("28") or _REFUSED.search(message):
        return ConfigurationError(
            "the server refused the user or the password",
            hint="a password's odd characters must be escaped in the URL",
        )
    if code == "3D000" or ("database" in message and "does not exist" in message):
        return ConfigurationError("the database does not exist", hint="createdb makes it")
    if _BAD_VALUE.search(message):
        return BadURL("libpq does not accept a value in the URL's query")
    return Unavailable("the server cannot be reached")


# -- SQLite (https://www.sqlite.org/rescode.html) ----------------------------------------------------------------------

BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, TOOBIG, NOTADB = (
    5, 6, 7, 8, 9, 10, 11, 13, 14, 18, 26,
)  # fmt: skip
CONSTRAINT = 19
_CHECK, _FOREIGNKEY, _NOTNULL, _PRIMARYKEY, _UNIQUE, _DATATYPE = 275, 787, 1299, 1555, 2067, 3091
_FAILED = re.compile(r"constraint failed: (.*)")
_COLUMN = re.compile(r"column \S+\.(\S+)\Z")
_NAME = re.compile(r"[A-Za-z_]\w*")
_NO_TABLE = re.compile(r"no such table: (?:main\.)?(\S+)")


def _named(failure: Failure) -> str:
    found = _FAILED.search(failure.message)
    return found[1] if found else ""


def _unique(case: Case) -> DbkitError:
    # The message lists the columns: "UNIQUE constraint failed: posts.org_id, posts.slug".
    columns = [part.strip() for part in _named(case.failure).split(",")]
    # A table's name may have a dot in it, a column's never.
    stored = {column.rpartition(".")[2] for column in columns}
    table = columns[0].rpartition(".")[0]
    for entity in case.tables.schema:
        if entity.stored != table:
            continue
        if stored == {entity.id.stored}:
            return duplicate(Constraint("unique", entity, ("id",)))
        for unique in entity.uniques:
            if stored == {f.stored for f in unique.fields}:
                return duplicate(Constraint("unique", entity, unique.names))
    return duplicate(None)


def _sqlite_column(case: Case) -> DbkitError:
    """`NOT NULL constraint failed: t.c`, and `cannot store TEXT value in INTEGER column t.c`."""
    found = _COLUMN.search(case.failure.message)
    stored = found[1] if found else _named(case.failure).rpartition(".")[2]
    return _beyond(case.verb, _declared(case.verb, stored))


def _broken_check(case: Case) -> DbkitError:
    name = _named(case.failure)
    # Of a CHECK without a name the message has the expression, which may hold anything.
    return check(case.tables.constraints.get(name), case.verb, name if _NAME.fullmatch(name) else None)


_RESULT_CODES: Mapping[int, Translate] = {
    _UNIQUE: _unique,
    _PRIMARYKEY: _unique,
    _FOREIGNKEY: lambda c: reference(None, deletes=c.verb.deletes),
    _CHECK: _broken_check,
    _NOTNULL: _sqlite_column,
    _DATATYPE: _sqlite_column,
    BUSY: _conflict,
    LOCKED: _conflict,
    INTERRUPT: _late,
    READONLY: lambda _: TransactionError("the database takes no writes here: it is read-only"),
    TOOBIG: lambda _: TooLarge("a value is larger than SQLite keeps"),
    FULL: _full,
    NOMEM: _full,
    IOERR: lambda c: lost(c.verb),
    CANTOPEN: lambda _: Unavailable("the database file cannot be opened", retryable=False),
    CORRUPT: lambda _: OperationalError("the database file is damaged", retryable=False),
    NOTADB: lambda _: ConfigurationError("the file is not a SQLite database"),
}


def sqlite_error(failure: Failure, verb: Verb, tables: Tables) -> DbkitError:
    """Return what an error of SQLite means."""
    code = failure.code if isinstance(failure.code, int) else 1
    translate = _RESULT_CODES.get(code) or _RESULT_CODES.get(code & 0xFF)
    if translate is not None:
        return translate(Case(failure, verb, tables))
    # The plain "SQL logic error" has no extended code.
    if verb.changes and "malformed JSON" in failure.message:
        # By `Dialect.refused`.
        return _out_of_range(Case(failure, verb, tables))
    table = _NO_TABLE.search(failure.message)
    if table is not None:
        return missing_table(table[1], tables)
    if "no such column" in failure.message or "has no column" in failure.message:
        return _drifted(Case(failure, verb, tables))
    return OperationalError(f"SQLite refused the statement (result code {code})", retryable=False)
