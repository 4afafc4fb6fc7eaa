"""Groups whose keys are a reference and what stands behind it: the parents are joined with the groups."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dbkit import (
    Database,
    Entity,
    Group,
    Mapped,
    Record,
    View,
    avg,
    connect,
    count,
    day,
    field,
    key,
    max_,
    month,
    sum_,
    via,
)


class Team(Entity, name="teams"):
    """At the top."""

    title: Mapped[str | None] = field(default=None)


class Player(Entity, name="players"):
    """May have a team, and may name one that is not there."""

    team: Mapped[UUID | None] = field(default=None, references=lambda: Team)
    guest_of: Mapped[UUID | None] = field(default=None, references=lambda: Team, check=False)
    since: Mapped[datetime] = field(default=datetime(2024, 1, 1, tzinfo=UTC))


class Game(Entity, name="games"):
    """Of one player."""

    player: Mapped[UUID] = field(references=lambda: Player)
    played: Mapped[datetime]
    points: Mapped[int] = field(default=0)


class ByTeam(Group[Player]):
    """Keys twice, of nullable references, and a calendar key behind none."""

    guest_title: Mapped[str | None] = key(via(Player.guest_of, Team.title))
    guest_of: Mapped[UUID | None] = key(Player.guest_of)
    again: Mapped[UUID | None] = key(Player.guest_of)
    title: Mapped[str | None] = key(via(Player.team, Team.title))
    players: Mapped[int] = count()


class ByPlayer(Group[Game]):
    """A reference, two steps behind it, a period before and one behind it."""

    player: Mapped[UUID] = key(Game.player)
    title: Mapped[str | None] = key(via(Game.player, via(Player.team, Team.title)))
    since: Mapped[date] = key(month(via(Game.player, Player.since)))
    played: Mapped[date] = key(day(Game.played))
    games: Mapped[int] = count()
    points: Mapped[int] = sum_(Game.points)
    mean: Mapped[Decimal | None] = avg(Game.points)
    latest: Mapped[datetime | None] = max_(via(Game.player, Player.since))


ENTITIES = [Team, Player, Game]
TEAMS = [Team(id=UUID(int=n), title=title) for n, title in enumerate(["b", None, "a", "b"], 1)]
PLAYERS = [
    Player(
        id=UUID(int=n),
        team=None if n % 3 == 0 else UUID(int=n % 4 + 1),
        guest_of=None if n % 4 == 0 else UUID(int=n % 6 + 1),
        since=datetime(2024, n % 5 + 1, 3, tzinfo=UTC),
    )
    for n in range(1, 25)
]
GAMES = [
    Game(
        id=UUID(int=n),
        player=UUID(int=n * n % 23 + 1),
        played=datetime(2024, 1, n % 3 + 1, 23, tzinfo=UTC),
        points=n % 7 * 10**17,
    )
    for n in range(1, 200)
]


def _filled(url: str) -> Database:
    db = connect(url, entities=ENTITIES)
    db.create_schema()
    db.store(Team).create_many(TEAMS)
    db.store(Player).create_many(PLAYERS)
    db.store(Game).create_many(GAMES)
    return db


def _answers(db: Database) -> list[Any]:
    players, games = db.store(Player), db.store(Game)
    return [
        players.group(ByTeam),
        players.group(ByTeam, Player.team == None, order_by=[ByTeam.title.desc(), ByTeam.guest_of]),  # noqa: E711
        players.group(ByTeam, having=(ByTeam.players > 1) | (ByTeam.guest_title == "a"), limit=3),
        players.group(ByTeam, order_by=ByTeam.players.desc(), limit=2),
        players.group(ByTeam, having=ByTeam.players > 1, limit=1),
        games.group(ByPlayer),
        games.group(ByPlayer, having=ByPlayer.points >= 1, order_by=ByPlayer.points.desc(), limit=2),
        games.group(
            ByPlayer,
            via(Game.player, via(Player.team, Team.title)) == "b",
            having=(ByPlayer.points >= 10**18) & (ByPlayer.since >= date(2024, 2, 1)),
            order_by=[ByPlayer.points.desc(), ByPlayer.since],
            limit=5,
        ),
    ]


def test_parents_of_groups_are_those_of_their_rows(sql_url: str) -> None:
    with _filled(sql_url) as db, _filled("memory://") as memory:
        answers = _answers(db)
        assert answers == _answers(memory)
        assert all(answers)


@pytest.mark.parametrize("joined", [ByTeam, ByPlayer])
def test_rows_are_grouped_before_the_parents_are_joined(sql_url: str, joined: Any) -> None:
    with _filled(sql_url) as db:
        text = db.store(Player if joined is ByTeam else Game).explain().group(joined).statement
        grouped, _, joins = text.partition("GROUP BY")
        assert grouped
        assert "AS groups$" in joins
        assert "JOIN teams" in joins


def test_parents_are_joined_with_the_groups_that_are_returned(sql_url: str) -> None:
    """Unless what is returned depends on them."""
    with _filled(sql_url) as db:
        explained = db.store(Game).explain()
        few = {
            "points": explained.group(
                ByPlayer, having=ByPlayer.points > 0, order_by=ByPlayer.points.desc(), limit=2
            ),
            "title": explained.group(ByPlayer, order_by=ByPlayer.title, limit=2),
            "having": explained.group(ByPlayer, having=ByPlayer.title == "a", limit=2),
        }
        inside = {name: "LIMIT" in plan.statement.partition("AS groups$")[0] for name, plan in few.items()}
        assert inside == {"points": True, "title": False, "having": False}


class Old(Record[int], name="old", managed=False):
    """Its table has no foreign key, and a row that leads nowhere."""

    id: Mapped[int]
    team: Mapped[UUID] = field(references=lambda: Team)


class OldLine(View[Old]):
    """What a missing parent is read as."""

    id: Mapped[int] = via(Old.id)
    title: Mapped[str | None] = via(Old.team, Team.title)


class ByOldTeam(Group[Old]):
    """Likewise."""

    team: Mapped[UUID] = key(Old.team)
    title: Mapped[str | None] = key(via(Old.team, Team.title))
    rows: Mapped[int] = count()


def test_a_table_without_foreign_keys_loses_no_row(sql_url: str) -> None:
    with connect(sql_url, entities=[Team, Old]) as db:
        db.create_schema()
        with db.native() as connection:
            kind = "uuid" if sql_url.startswith("postgresql") else "BLOB"
            connection.execute(f"CREATE TABLE old (id bigint PRIMARY KEY, team {kind} NOT NULL)")
        db.store(Team).create(TEAMS[0])
        db.store(Old).create_many([Old(id=1, team=TEAMS[0].id), Old(id=2, team=UUID(int=99))])
        assert [line.title for line in db.store(Old).find(into=OldLine)] == ["b", None]
        assert [(g.title, g.rows) for g in db.store(Old).group(ByOldTeam)] == [("b", 1), (None, 1)]
