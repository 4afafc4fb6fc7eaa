"""A loop over `m.batches` that is left early, and what may not begin inside of one: the same on every store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbkit import Dirty, Mapped, MigrationFailed, Record, connect, field
from dbkit.migrations import Migrator
from dbkit.testing.servers import drop_database, fresh_database

HEAD = """
from pathlib import Path

from dbkit import Mapped, Record, field
from dbkit.migrations import Migration

transactional = {transactional}


class Point(Record[int], name="points"):
    n: Mapped[int] = field(default=0, index=True)

def down(m: Migration) -> None:
    pass
"""
CREATE = """
def up(m: Migration) -> None:
    m.create_collection(Point)
    m.once(lambda: m.store(Point).create_many([Point(id=n) for n in range(1, 8)]))
"""
LOOP = """
def up(m: Migration) -> None:
    for points in m.batches(Point, batch=3):
        for point in points:
            m.store(Point).update(point.id, Point.n.set(Point.n + 1))
        {inside}
    {after}
"""
ALONE = "a data step begins inside a loop over m.batches"
LEFT = "a loop over m.batches was left before its end"


class Point(Record[int], name="points"):
    """As the history leaves them."""

    n: Mapped[int] = field(default=0, index=True)


@dataclass
class Place:
    """A database with seven points, and a folder to write migrations into."""

    url: str
    folder: Path
    is_whole: bool
    """Whether a step commits as a whole."""

    def write(self, inside: str = "pass", after: str = "pass") -> Migrator:
        """Write the loop, and return what runs it."""
        self.file("0002_loop", LOOP.format(inside=inside, after=after))
        return Migrator(self.url, self.folder)

    def file(self, stem: str, text: str) -> None:
        head = HEAD.format(transactional=self.is_whole)
        (self.folder / f"{stem}.py").write_text(head + text, encoding="utf-8")

    def points(self) -> list[int]:
        """Return what is stored, by id."""
        with connect(self.url, entities=[Point]) as db:
            return [point.n for point in db.store(Point).find()]

    def fails(self, migrator: Migrator, said: str) -> None:
        """Check that it stops with these words, as a whole or half-way."""
        with pytest.raises(MigrationFailed if self.is_whole else Dirty, match=said):
            migrator.up()
        assert migrator.version().dirty is not self.is_whole
        assert migrator.version().number == 1


@pytest.fixture(params=["sqlite", "postgresql", "postgresql in pieces", "mongodb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind, _, pieces = request.param.partition(" ")
    server = None
    url = f"sqlite:///{tmp_path}/one.db"
    if kind != "sqlite":
        server = request.getfixturevalue({"postgresql": "postgres_server", "mongodb": "mongo_server"}[kind])
        url = fresh_database(server)
    made = Place(url, tmp_path / "migrations", is_whole=not pieces and kind != "mongodb")
    made.folder.mkdir()
    made.file("0001_create", CREATE)
    with Migrator(url, made.folder) as migrator:
        migrator.up()
    yield made
    if server is not None:
        drop_database(server, url)


@pytest.mark.parametrize("leaves", ["break", "return"])
def test_left_early_it_is_refused_and_goes_on_behind_the_last_whole_batch(
    place: Place, tmp_path: Path, leaves: str
) -> None:
    flag = tmp_path / "leave"
    flag.touch()
    inside = f"if points[0].id == 4 and Path({str(flag)!r}).exists(): {leaves}"
    with place.write(inside) as migrator:
        place.fails(migrator, LEFT)
        # The batch that it was left in is rolled back.
        assert place.points() == ([0] * 7 if place.is_whole else [1, 1, 1, 0, 0, 0, 0])
        flag.unlink()
        if not place.is_whole:
            migrator.force(1)
        assert [r.version for r in migrator.up()] == [2]
    assert place.points() == [1] * 7


def test_an_error_inside_of_it_ends_it(place: Place) -> None:
    with place.write("if points[0].id == 7: raise KeyError") as migrator:
        place.fails(migrator, "KeyError in line")
    assert place.points() == ([0] * 7 if place.is_whole else [1, 1, 1, 1, 1, 1, 0])


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("for _ in m.batches(Point): pass", ALONE),
        ("m.update_each(Point, lambda point: None)", ALONE),
        ("m.once(lambda: None)", ALONE),
        ("m.drop_index(Point.n)", "a schema operation begins inside a loop over m.batches"),
    ],
)
def test_nothing_of_its_own_begins_inside_of_it(place: Place, inside: str, said: str) -> None:
    with place.write(inside) as migrator:
        place.fails(migrator, said)
    assert place.points() == [0] * 7


@pytest.mark.parametrize("after", ["m.update_each(Point, lambda point: None)", "m.drop_index(Point.n)"])
def test_nothing_goes_on_behind_one_that_was_left(place: Place, after: str) -> None:
    with place.write("break", after) as migrator:
        place.fails(migrator, "begins inside a loop over m.batches, or behind one that was left")
    assert place.points() == [0] * 7


def test_one_that_is_never_gone_through_is_left_early(place: Place) -> None:
    with place.write(after="m.batches(Point)") as migrator:
        place.fails(migrator, LEFT)
    assert place.points() == ([0] * 7 if place.is_whole else [1] * 7)


def test_two_loops_one_after_the_other(place: Place) -> None:
    with place.write(
        after="m.update_each(Point, lambda point: point.evolve(n=point.n + 1), batch=2)"
    ) as migrator:
        migrator.up()
    assert place.points() == [2] * 7
