"""`diff`: whatever changed, the migration that it drafts closes the difference, and what stays declared stays."""

from __future__ import annotations

import enum
import os
import shutil
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import Field

from dbkit import (
    Embedded,
    Mapped,
    ObjectId,
    Record,
    connect,
    field,
)
from dbkit.migrations import Migrator, create
from dbkit.testing.servers import drop_database, fresh_database

EXAMPLES = int(os.environ.get("DBKIT_DIFF_EXAMPLES", "0"))


@pytest.fixture(params=["sqlite", "postgresql", "mongodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/one.db"
        return
    server = request.getfixturevalue(
        {"postgresql": "postgres_server", "mongodb": "mongo_server"}[request.param]
    )
    made = fresh_database(server)
    yield made
    drop_database(server, made)


# -- whatever changed ----------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Place(Embedded):
    town: Mapped[str] = field(max_length=20)
    point: Mapped[list[float]] = field(stored_as="at")


def _when(n: int) -> datetime:
    return datetime(2026, 1, n, 3, 4, 5, 678_000, tzinfo=UTC)


TYPES: dict[str, tuple[Any, dict[str, Any], Callable[[int], Any]]] = {
    "int": (int, {}, lambda n: n),
    "positive": (int, {"ge": 0, "lt": 1_000}, lambda n: n),
    "float": (float, {"le": 1e9}, lambda n: n / 2),
    "decimal": (Decimal, {"max_digits": 10, "decimal_places": 2}, lambda n: Decimal(n) / 4),
    "finer": (Decimal, {"max_digits": 12, "decimal_places": 4}, lambda n: Decimal(n) / 4),
    "text": (str, {"max_length": 60}, str),
    "longer": (str, {"max_length": 100}, lambda n: f"{n}.25"),
    "endless": (str, {}, str),
    "literal": (Literal["red", "green", "blue"], {}, lambda _n: "red"),
    "enum": (Colour, {}, lambda _n: Colour.RED),
    "size": (Size, {}, lambda _n: Size.LARGE),
    "bool": (bool, {}, lambda n: n % 2 == 0),
    "uuid": (UUID, {}, lambda n: UUID(int=n)),
    "objectid": (ObjectId, {}, lambda n: ObjectId(n.to_bytes(12, "big"))),
    "datetime": (datetime, {}, _when),
    "date": (date, {}, lambda n: date(2026, 1, n)),
    "time": (time, {}, lambda n: time(1, 2, n, 5)),
    "timedelta": (timedelta, {}, lambda n: timedelta(microseconds=n)),
    "bytes": (bytes, {"max_length": 9}, lambda n: bytes([n])),
    "place": (Place, {}, lambda n: Place(town=f"t{n}", point=[0.5, n])),
    "ints": (list[int], {"max_length": 9}, lambda n: [n]),
    "words": (list[Annotated[str, Field(max_length=9)]], {}, lambda n: [str(n)]),
    "any": (list[Any], {}, lambda n: [n, None, {"a": 1}]),
    "dict": (dict[str, Any], {}, lambda n: {"a": n}),
    "dates": (dict[str, date | None], {}, lambda n: {"a": date(2026, 1, n), "b": None}),
}
CONVERTED: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("int", "positive"): int,
    ("positive", "int"): int,
    ("int", "decimal"): Decimal,
    ("int", "float"): float,
    ("int", "text"): str,
    ("positive", "endless"): str,
    ("decimal", "finer"): Decimal,
    ("decimal", "text"): lambda value: str(value.quantize(Decimal("0.01"))),
    ("text", "longer"): str,
    ("longer", "text"): str,
    ("text", "endless"): str,
    ("endless", "text"): str,
    ("text", "int"): int,
    ("longer", "decimal"): Decimal,
    ("literal", "endless"): str,
    ("literal", "enum"): Colour,
    ("enum", "literal"): lambda colour: colour.value,
    ("bool", "int"): int,
    ("uuid", "text"): str,
    ("objectid", "text"): str,
    ("date", "text"): str,
}
"""What becomes what, where nobody needs to say how."""


@dataclass(frozen=True)
class Declared:
    """One field as it was or is."""

    kind: str
    nullable: bool = False
    key: str | None = None
    """`unique`, `casefold` or `index`."""

    def declare(self) -> tuple[Any, Any]:
        annotation, limits, _ = TYPES[self.kind]
        options: dict[str, Any] = dict(limits)
        if self.key is not None:
            options |= (
                {"index": True} if self.key == "index" else {"unique": self.key == "unique" or "casefold"}
            )
        if self.nullable:
            annotation, options["default"] = annotation | None, None
        return annotation, field(**options)


Fields = dict[str, Declared]


@dataclass(frozen=True)
class Change:
    """A declaration before and after, and which fields have another name."""

    before: Fields
    after: Fields
    renames: dict[str, str]
    """New names to old ones."""
    compound_before: tuple[str, ...]
    compound_after: tuple[str, ...]
    is_unique: bool


SCALARS = sorted(set(TYPES) - {"place", "ints", "words", "any", "dict", "dates"})
INDEXED = ["int", "positive", "text", "longer", "decimal", "date", "uuid", "datetime"]


def _fields(kinds: list[str]) -> st.SearchStrategy[Declared]:
    return st.builds(Declared, st.sampled_from(kinds), st.booleans())


@st.composite
def changes(draw: st.DrawFn) -> Change:
    names = ["a", "b", "c", "class"]
    before = {n: draw(_fields(sorted(TYPES))) for n in draw(st.sets(st.sampled_from(names), min_size=1))}
    after: Fields = {}
    renames: dict[str, str] = {}
    for name, old in sorted(before.items()):
        match draw(st.sampled_from(["keep", "keep", "drop", "retype", "loosen", "rename"])):
            case "keep":
                after[name] = old
            case "retype":
                kinds = [new for kind, new in CONVERTED if kind == old.kind]
                after[name] = Declared(draw(st.sampled_from(kinds or [old.kind])), old.nullable)
            case "loosen":
                after[name] = Declared(old.kind, not old.nullable)
            case "rename":
                renames[name + "_new"] = name
                after[name + "_new"] = old
            case _:
                pass
    for name in draw(st.sets(st.sampled_from(["x", "y"]))):
        after[name] = draw(_fields(sorted(TYPES)))
    # Keys: on what has another value in each row.
    for fields, name in [(before, n) for n in before] + [(after, n) for n in after]:
        of = fields[name]
        is_new = fields is after and name not in before and name not in renames
        was = before.get(renames.get(name, name))
        is_own = was is None or was.kind in INDEXED
        if of.kind in INDEXED and not is_new and is_own:
            keys = [None, "index", "unique", *(["casefold"] if of.kind in ("text", "longer") else [])]
            fields[name] = Declared(of.kind, of.nullable, draw(st.sampled_from(keys)))
    indexed = [n for n in before if before[n].kind in INDEXED]
    now_indexed = [
        n
        for n in after
        if after[n].kind in INDEXED and (was := before.get(renames.get(n, n))) and was.kind in INDEXED
    ]
    pairs = (
        st.lists(st.sampled_from(indexed), min_size=2, max_size=2, unique=True)
        if len(indexed) > 1
        else st.just([])
    )
    now = (
        st.lists(st.sampled_from(now_indexed), min_size=2, max_size=2, unique=True)
        if len(now_indexed) > 1
        else st.just([])
    )
    return Change(before, after, renames, tuple(draw(pairs)), tuple(draw(now)), draw(st.booleans()))


def entity(fields: Fields, compound: tuple[str, ...], is_unique: bool) -> type[Record[int]]:
    """Make the class."""
    declared = {_name(name): of.declare() for name, of in fields.items()}

    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = __name__
        namespace["__annotations__"] = {name: annotation for name, (annotation, _) in declared.items()}
        for name, (_, said) in declared.items():
            namespace[name] = said

    options: dict[str, Any] = {"name": "things"}
    if compound and any(set(compound) - {"id"}):
        options["unique" if is_unique else "indexes"] = [tuple(map(_name, compound))]
    made = types.new_class("Thing", (Record[int],), options, body)
    return cast("type[Record[int]]", made)


def _name(name: str) -> str:
    return "class_" if name == "class" else name


def _rows(change: Change) -> list[dict[str, Any]]:
    later = {old: new for new, old in change.renames.items()}
    made: list[dict[str, Any]] = []
    for n in (1, 2, 3):
        row: dict[str, Any] = {"id": n}
        for name, of in change.before.items():
            now = change.after.get(later.get(name, name))
            value = TYPES[of.kind][2](n)
            row[_name(name)] = None if n == 2 and of.nullable and (now is None or now.nullable) else value
        made.append(row)
    return made


def _expected(change: Change, row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, of in change.after.items():
        old = change.renames.get(name, name)
        was = change.before.get(old)
        if was is None:
            continue
        value = row[_name(old)]
        if value is not None and was.kind != of.kind:
            value = CONVERTED[was.kind, of.kind](value)
        found[_name(name)] = value
    return found


def _check(url: str, folder: Path, change: Change) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    before = entity(change.before, change.compound_before, change.is_unique)
    after = entity(change.after, change.compound_after, change.is_unique)
    rows = _rows(change)
    renames = {f"things.{_name(new)}": f"things.{_name(old)}" for new, old in change.renames.items()}
    with Migrator(url, folder) as migrator:
        create(folder, "before", source=migrator.diff([before]).source)
        migrator.up()
        assert migrator.diff([before]).is_empty
        with connect(url, entities=[before]) as db:
            db.store(before).create_many([before(**row) for row in rows])
            there = db.store(before).find()
        draft = migrator.diff([after], renames=renames, allow_loss=True)
        assert not draft.unsolved
        if draft.source:
            create(folder, "after", source=draft.source)
            migrator.plan()
            migrator.up()
        assert migrator.diff([after]).is_empty, draft.source
        with connect(url, entities=[after]) as db:
            for row, found in zip(rows, db.store(after).find(), strict=True):
                wanted = _expected(change, row)
                assert {name: getattr(found, name) for name in wanted} == wanted, draft.source
        if draft.source and "m.irreversible" not in draft.source and not _is_lost(change, draft.source):
            migrator.steps(-1)
            assert migrator.diff([before]).is_empty, draft.source
            with connect(url, entities=[before]) as db:
                for was, found in zip(there, db.store(before).find(), strict=True):
                    for name in change.before:
                        later = {old: new for new, old in change.renames.items()}.get(name, name)
                        if later in change.after:
                            assert getattr(found, _name(name)) == getattr(was, _name(name)), draft.source
        migrator.force(0)
    with connect(url, entities=[before]) as db:
        db.drop_schema()


def _is_lost(change: Change, source: str) -> bool:
    """Whether the way down waits for its author: a dropped field was unique, or one of values that MongoDB does not tell."""
    old_names = {change.renames.get(name, name) for name in change.after}
    return "    # It fails where rows have the same" in source or any(
        not of.nullable and of.kind in ("literal", "enum", "size")
        for name, of in change.before.items()
        if name not in old_names
    )


def test_drop_schema_keeps_the_history(url: str, tmp_path: Path) -> None:
    kept = entity({}, (), False)
    with Migrator(url, tmp_path, entities=[kept]) as migrator:
        create(tmp_path, "begin", source=migrator.diff().source)
        migrator.up()
        with connect(url, entities=[kept]) as db:
            db.drop_schema()
        assert migrator.version().number == 1
        assert migrator.up() == []
        migrator.force(0)
        migrator.up()
        assert migrator.diff().is_empty
    with connect(url, entities=[kept]) as db:
        db.drop_schema()


def test_whatever_changed_the_draft_closes_it_and_keeps_what_stays(url: str, tmp_path: Path) -> None:
    few = 12 if url.startswith("sqlite") else 5

    @settings(
        max_examples=EXAMPLES or few,
        deadline=None,
        derandomize=not EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(changes())
    def check(change: Change) -> None:
        with connect(url, entities=[entity(change.before, (), False)]) as db:
            db.drop_schema()
        with Migrator(url, _empty(tmp_path)) as migrator:
            migrator.force(0)
        _check(url, tmp_path / "migrations", change)

    check()


def _empty(path: Path) -> Path:
    made = path / "none"
    made.mkdir(exist_ok=True)
    return made
