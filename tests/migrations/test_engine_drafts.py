"""`diff`'s drafts of what is hard to undo: each runs both ways, or says in the file what its author has to write."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dbkit import Embedded, Mapped, MigrationFailed, Record, connect, field
from dbkit.migrations import Draft, Migrator, create
from dbkit.testing.servers import drop_database, fresh_database

Class = type[Record[Any]]
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


class Town(Embedded):
    name: Mapped[str] = field(max_length=20)
    point: Mapped[list[float]]


class Marked(Embedded):
    name: Mapped[str] = field(max_length=20)
    point: Mapped[list[float]]
    code: Mapped[str | None] = field(default=None, max_length=9)


class Founded(Embedded):
    name: Mapped[int]


class Thing(Record[int], name="things"):
    """What all these were, and are."""

    n: Mapped[int]


class InTown(Record[int], name="things"):
    n: Mapped[int]
    town: Mapped[Town]


class PerhapsInTown(Record[int], name="things"):
    n: Mapped[int]
    town: Mapped[Town | None] = field(default=None)


class InMarked(Record[int], name="things"):
    n: Mapped[int]
    town: Mapped[Marked]


class InFounded(Record[int], name="things"):
    n: Mapped[int]
    town: Mapped[Founded]


class Coloured(Record[int], name="things"):
    n: Mapped[int]
    colour: Mapped[Literal["red", "blue"]]


class Named(Record[int], name="things"):
    n: Mapped[int]
    name: Mapped[str] = field(unique="casefold", max_length=40)
    nick: Mapped[str] = field(max_length=40)


class Dated(Record[int], name="things", unique=[("n", "day")]):
    n: Mapped[int]
    day: Mapped[date]


class Hen(Record[int], name="hens"):
    egg: Mapped[int | None] = field(default=None, references=lambda: Egg)


class Egg(Record[int], name="eggs"):
    hen: Mapped[int | None] = field(default=None, references=lambda: Hen, on_delete="set_null")


class Child(Record[int], name="children"):
    thing: Mapped[int] = field(references=lambda: Thing, on_delete="cascade")


class Orphan(Record[int], name="children"):
    pass


class Node(Record[int], name="nodes", indexes=[("up", "n")]):
    n: Mapped[int]
    up: Mapped[int | None] = field(default=None, references=lambda: Node, on_delete="set_null")


class Root(Record[int], name="nodes"):
    n: Mapped[int]


TOWN = Town(name="Ulm", point=[1.5, 2])


def _up(
    migrator: Migrator, before: Sequence[Class], after: Sequence[Class], rows: Sequence[Record[Any]]
) -> Draft:
    """Make the database as it was, and run the draft of what changed."""
    create(migrator.path, "before", source=migrator.diff(before).source)
    migrator.up()
    with connect(migrator.url.render(show_password=True), entities=before) as db:
        for row in rows:
            db.store(type(row)).create(row)
    draft = migrator.diff(after, allow_loss=True)
    assert not draft.unsolved
    if draft.source:
        create(migrator.path, "after", source=draft.source)
        migrator.plan()
        migrator.up()
        assert migrator.diff(after).is_empty, draft.source
    return draft


def _there_and_back(
    url: str, folder: Path, before: Sequence[Class], after: Sequence[Class], rows: Sequence[Record[Any]] = ()
) -> tuple[str, list[Any]]:
    """Run a draft both ways; return it, and the rows of the first class afterwards."""
    with Migrator(url, folder / "migrations") as migrator:
        draft = _up(migrator, before, after, rows)
        migrator.plan(steps=-1)
        migrator.steps(-1)
        assert migrator.diff(before).is_empty, draft.source
    with connect(url, entities=before) as db:
        return draft.source, list(db.store(before[0]).find())


def test_whether_a_nested_model_may_be_null_changes_both_ways(url: str, tmp_path: Path) -> None:
    rows = [InTown(id=n, n=n, town=TOWN) for n in (1, 2)]
    assert _there_and_back(url, tmp_path, [InTown], [PerhapsInTown], rows)[1] == rows


def test_a_nested_model_cannot_be_null_any_more(url: str, tmp_path: Path) -> None:
    rows = [PerhapsInTown(id=n, n=n, town=TOWN) for n in (1, 2)]
    assert _there_and_back(url, tmp_path, [PerhapsInTown], [InTown], rows)[1] == rows


def test_a_nested_model_gains_a_field_and_its_way_down_says_what_is_to_be_written(
    url: str, tmp_path: Path
) -> None:
    with Migrator(url, tmp_path / "migrations") as migrator:
        draft = _up(migrator, [InTown], [InMarked], [InTown(id=1, n=1, town=TOWN)])
        assert draft.notes == ("things.town: a value that does not fit its new declaration fails it",)
        _, _, down = draft.source.partition("def down")
        assert down.splitlines()[1:] == [
            "    # Where you know: declare things.town as it was in a class of its own, and m.retype_field(…,",
            "    # was=InMarked.town) in this line's place.",
            '    m.irreversible("nobody knows how things.town was declared")',
        ]
        with pytest.raises(MigrationFailed, match="nobody knows how"):
            migrator.steps(-1)
        assert not migrator.version().dirty
    with connect(url, entities=[InMarked]) as db:
        assert db.store(InMarked).require(1).town == Marked(name="Ulm", point=[1.5, 2])


def test_what_a_nested_model_cannot_become_is_not_drafted(url: str, tmp_path: Path) -> None:
    class Counted(Record[int], name="things"):
        n: Mapped[int]
        town: Mapped[int]

    with Migrator(url, tmp_path / "migrations") as migrator:
        create(migrator.path, "before", source=migrator.diff([InTown]).source)
        migrator.up()
        draft = migrator.diff([Counted], allow_loss=True)
        assert (draft.source, len(draft.unsolved)) == ("", 1)
        assert "only you know how it becomes int" in draft.unsolved[0]
        draft = migrator.diff([InFounded], allow_loss=True)
        # A SQL store looks at each value, as JSON has no types of its own to tell by.
        said = draft.unsolved if migrator.language == "mongodb" else draft.notes
        assert len(said) == 1


def test_a_bool_does_not_become_one_of_declared_texts_by_itself(url: str, tmp_path: Path) -> None:
    class Was(Record[int], name="things"):
        colour: Mapped[bool]

    with Migrator(url, tmp_path / "migrations") as migrator:
        create(migrator.path, "before", source=migrator.diff([Was]).source)
        migrator.up()
        draft = migrator.diff([Coloured], allow_loss=True)
        assert len(draft.unsolved) == 1


def test_dropped_choices_are_said_to_be_unknown(url: str, tmp_path: Path) -> None:
    with Migrator(url, tmp_path / "migrations") as migrator:
        draft = _up(migrator, [Coloured], [Thing], [Coloured(id=1, n=1, colour="red")])
        _, _, down = draft.source.partition("def down")
        if migrator.language == "mongodb":
            assert "does not tell the length, bounds or choices of things.colour: declare it" in down
        else:
            assert "# Where you know: declare things.colour as it was" in down
            assert "m.irreversible(" in down


def test_a_unique_field_comes_back_with_a_value_for_each_row(url: str, tmp_path: Path) -> None:
    rows = [Named(id=n, n=n, name=f"name {n}", nick="same") for n in (1, 2, 3)]
    source, there = _there_and_back(url, tmp_path, [Named], [Thing], rows)
    assert "fill=lambda row: str(row.id)" in source
    assert [(row.n, row.name) for row in there] == [(1, "1"), (2, "2"), (3, "3")]


def test_what_no_value_can_be_made_for_is_left_to_the_author(url: str, tmp_path: Path) -> None:
    with Migrator(url, tmp_path / "migrations") as migrator:
        draft = _up(migrator, [Dated], [Thing], [Dated(id=1, n=1, day=date(2026, 1, 1))])
        words = " ".join(draft.source.replace("    # ", "").split())
        assert (
            "It fails where rows have the same things.n, things.day, which is unique: give fill= a function that "
            "makes a value of its own of each row. m.add_field(ThingBefore.day, default="
        ) in words
        migrator.steps(-1)  # one row is no duplicate
        assert migrator.diff([Dated]).is_empty


def test_two_new_entities_that_refer_to_each_other(url: str, tmp_path: Path) -> None:
    with Migrator(url, tmp_path / "migrations") as migrator:
        create(migrator.path, "both", source=migrator.diff([Hen, Egg]).source)
        migrator.up()
        assert migrator.diff([Hen, Egg]).is_empty
        with connect(url, entities=[Hen, Egg]) as db, db.transaction() as tx:
            tx.store(Egg).create(Egg(id=1))
            tx.store(Hen).create(Hen(id=1, egg=1))
            tx.store(Egg).update(1, cast("Any", Egg).hen.set(1))
        migrator.down()
        migrator.up()
        assert migrator.diff([Hen, Egg]).is_empty


def test_the_way_down_of_a_dropped_reference_asks_for_the_parent(url: str, tmp_path: Path) -> None:
    with Migrator(url, tmp_path / "migrations") as migrator:
        rows = [Thing(id=1, n=1), Child(id=1, thing=1)]
        draft = _up(migrator, [Thing, Child], [Thing, Orphan], rows)
        is_told = (
            "# It fails where there are rows: say by default= to which row of things they refer."
            in draft.source
        )
        assert is_told is (migrator.language == "sql")  # MongoDB's references stand in the programs


def test_a_new_reference_says_that_an_orphan_fails_it(url: str, tmp_path: Path) -> None:
    class Unchecked(Record[int], name="children"):
        thing: Mapped[int] = field(index=True)

    with Migrator(url, tmp_path / "migrations") as migrator:
        create(migrator.path, "before", source=migrator.diff([Thing, Unchecked]).source)
        migrator.up()
        notes = migrator.diff([Thing, Child]).notes
    # What MongoDB has of a reference is its index.
    wanted = ("children.thing: a row that leads to no row of things fails it",)
    assert notes == (() if migrator.language == "mongodb" else wanted)


def test_what_refers_to_itself_comes_back_with_the_index_that_serves_it(url: str, tmp_path: Path) -> None:
    rows = [Node(id=1, n=1), Node(id=2, n=2, up=1)]
    source, there = _there_and_back(url, tmp_path, [Node], [Root], rows)
    assert 'class RootBefore(Record[int], name="nodes", indexes=[("up", "n")]):' in source
    assert [(row.id, row.n, row.up) for row in there] == [(1, 1, None), (2, 2, None)]


def test_what_is_set_to_null_from_now_on_was_not_before(url: str, tmp_path: Path) -> None:
    class Adopted(Record[int], name="children"):
        thing: Mapped[int | None] = field(default=None, references=lambda: Thing, on_delete="set_null")

    rows = [Thing(id=1, n=1), Child(id=1, thing=1)]
    assert _there_and_back(url, tmp_path, [Thing, Child], [Thing, Adopted], rows)[1] == [Thing(id=1, n=1)]


def test_a_reference_is_served_by_a_unique_key_once_it_cannot_be_null(url: str, tmp_path: Path) -> None:
    class Loose(Record[int], name="nodes", unique=[("up", "n")]):
        n: Mapped[int]
        up: Mapped[int | None] = field(default=None, references=lambda: Thing)

    class Strict(Record[int], name="nodes", unique=[("up", "n")]):
        n: Mapped[int]
        up: Mapped[int] = field(references=lambda: Thing)

    rows = [Thing(id=1, n=1), Loose(id=1, n=1, up=1)]
    assert _there_and_back(url, tmp_path, [Thing, Loose], [Thing, Strict], rows)[1] == [Thing(id=1, n=1)]


# -- whatever refers to whatever -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """The references of one table, and whether the first is part of a compound key or index."""

    targets: tuple[str | None, str | None]
    nullable: tuple[bool, bool]
    on_delete: tuple[Literal["restrict", "cascade", "set_null"], Literal["restrict", "cascade", "set_null"]]
    compound: Literal["unique", "indexes"] | None


_NAMES = ("aa", "bb", "cc")
_TABLES = st.builds(
    Table,
    st.tuples(*[st.sampled_from([None, *_NAMES])] * 2),
    st.tuples(st.booleans(), st.booleans()),
    st.tuples(*[st.sampled_from(["restrict", "cascade", "set_null"])] * 2),
    st.sampled_from(["unique", "indexes", None]),
)
_SETS = st.fixed_dictionaries(dict.fromkeys(_NAMES, _TABLES))


def _classes(tables: dict[str, Table], *, was: dict[str, Table] | None = None) -> list[Class]:
    made: dict[str, Class] = {}
    for name, table in tables.items():
        said: dict[str, tuple[Any, Any]] = {"n": (int, field())}
        for n, (target, nullable, on_delete) in enumerate(
            zip(table.targets, table.nullable, table.on_delete, strict=True)
        ):
            if target is None:
                continue
            # What comes to be is nullable, as no row has a parent yet.
            there = None if was is None else was[name].targets[n]
            may_be = nullable if was is None or there == target else True
            own: dict[str, Any] = {"references": lambda target=target: made[target]}
            own["on_delete"] = "cascade" if on_delete == "set_null" and not may_be else on_delete
            own |= {"default": None} if may_be else {}
            said[f"r{n}"] = (int | None if may_be else int, field(**own))

        def body(namespace: dict[str, Any], said: dict[str, tuple[Any, Any]] = said) -> None:
            namespace["__module__"] = __name__
            namespace["__annotations__"] = {key: annotation for key, (annotation, _) in said.items()}
            for key, (_, declared) in said.items():
                namespace[key] = declared

        options: dict[str, Any] = {"name": name}
        if table.compound and "r0" in said:
            options[table.compound] = [("r0", "n")]
        made[name] = cast("Class", types.new_class(name.upper(), (Record[int],), options, body))
    return list(made.values())


def test_whatever_refers_to_whatever_the_draft_runs_both_ways(url: str, tmp_path: Path) -> None:
    few = 8 if url.startswith("sqlite") else 4

    @settings(
        max_examples=EXAMPLES or few,
        deadline=None,
        derandomize=not EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(_SETS, _SETS)
    def check(was: dict[str, Table], now: dict[str, Table]) -> None:
        before, after = _classes(was), _classes(now, was=was)
        number = len(list(tmp_path.glob("m*")))
        # What an example that failed has left would hide why.
        with connect(url, entities=before) as db:
            db.drop_schema()
        with Migrator(url, tmp_path / f"m{number}") as migrator:
            migrator.path.mkdir()
            migrator.force(0)
            draft = _up(migrator, before, after, ())
            if draft.source:
                migrator.steps(-1)
                assert migrator.diff(before).is_empty, draft.source
            migrator.down()

    check()
