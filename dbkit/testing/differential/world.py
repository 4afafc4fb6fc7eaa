"""The entities that random programs use: every kind of value, null and not, and every kind of reference."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from dbkit import (
    Embedded,
    Entity,
    Group,
    Mapped,
    ObjectId,
    Record,
    Versioned,
    View,
    avg,
    count,
    count_distinct,
    day,
    field,
    key,
    max_,
    min_,
    month,
    related,
    sum_,
    via,
    year,
)

__all__ = ["ENTITIES", "GROUPS", "VIEWS"]


class Colour(Enum):
    """An enum stored as text."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Place(Embedded):
    """A nested model."""

    city: Mapped[str | None] = field(default=None)
    floor: Mapped[int] = field(default=0)
    rent: Mapped[Decimal | None] = field(default=None, max_digits=9, decimal_places=2)


class Owner(Entity, Versioned, name="diff_owners"):
    """A parent whose children lose their reference when it goes."""

    name: Mapped[str] = field(unique=True, max_length=20)
    code: Mapped[str | None] = field(default=None, unique="casefold", max_length=20)
    score: Mapped[int | None] = field(default=None)


class Thing(Record[int], name="diff_things", unique=[("s", "m")], indexes=[("t", "n")]):
    """Every kind of value."""

    id: Mapped[int]
    n: Mapped[int]
    m: Mapped[int | None] = field(default=None, ge=-(2**62), le=2**62)
    f: Mapped[float | None] = field(default=None)
    d: Mapped[Decimal] = field(default=Decimal(0), max_digits=8, decimal_places=2)
    e: Mapped[Decimal | None] = field(default=None, max_digits=18, decimal_places=3)
    s: Mapped[str] = field(default="", max_length=40)
    t: Mapped[str | None] = field(default=None, max_length=40)
    b: Mapped[bool | None] = field(default=None)
    w: Mapped[datetime | None] = field(default=None)
    on: Mapped[date | None] = field(default=None)
    at: Mapped[time | None] = field(default=None)
    span: Mapped[timedelta | None] = field(default=None)
    raw: Mapped[bytes | None] = field(default=None, max_length=16)
    old: Mapped[ObjectId | None] = field(default=None)
    colour: Mapped[Colour | None] = field(default=None)
    size: Mapped[Literal[1, 2, 3]] = field(default=1)
    tags: Mapped[list[str]] = field(default_factory=list)
    nums: Mapped[list[int] | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    place: Mapped[Place | None] = field(default=None)
    owner_id: Mapped[UUID | None] = field(default=None, references=lambda: Owner, on_delete="set_null")


class Note(Record[int], name="diff_notes"):
    """A child that goes with its parent."""

    id: Mapped[int]
    thing_id: Mapped[int] = field(references=lambda: Thing, on_delete="cascade")
    text: Mapped[str] = field(default="", max_length=20)


class Seal(Record[int], name="diff_seals"):
    """A child that keeps its parent from going."""

    id: Mapped[int]
    note_id: Mapped[int | None] = field(default=None, references=lambda: Note)


class ThingWithNotes(Thing, View[Thing]):
    """A thing with its first two notes."""

    notes: Mapped[list[Note]] = related(Note, Note.thing_id, order_by=Note.text.desc(), limit=2)


class ThingLine(View[Thing]):
    """A thing's line, with what is behind its reference."""

    n: Mapped[int] = via(Thing.n)
    city: Mapped[str | None] = via(Thing.place, Place.city)
    owner: Mapped[str | None] = via(Thing.owner_id, Owner.name)
    whole: Mapped[Owner | None] = via(Thing.owner_id, Owner)


class NoteLine(View[Note]):
    """A note with what is two references away."""

    text: Mapped[str] = via(Note.text)
    score: Mapped[int | None] = via(Note.thing_id, via(Thing.owner_id, Owner.score))


class ByText(Group[Thing]):
    """Figures by a nullable text."""

    t: Mapped[str | None] = key(Thing.t)
    rows: Mapped[int] = count()
    total: Mapped[int] = sum_(Thing.n)
    money: Mapped[Decimal] = sum_(Thing.e)
    least: Mapped[int | None] = min_(Thing.m)
    latest: Mapped[datetime | None] = max_(Thing.w)
    colours: Mapped[int] = count_distinct(Thing.colour)
    mean: Mapped[Decimal | None] = avg(Thing.m)


class ByOwner(Group[Thing]):
    """Figures by what is behind a reference, and a nested value."""

    owner: Mapped[str | None] = key(via(Thing.owner_id, Owner.name))
    floor: Mapped[int | None] = key(via(Thing.place, Place.floor))
    rows: Mapped[int] = count()
    mean: Mapped[Decimal | None] = avg(Thing.d)


class ByDay(Group[Thing]):
    """Figures by calendar."""

    on_day: Mapped[date | None] = key(day(Thing.w))
    in_month: Mapped[date | None] = key(month(Thing.w))
    in_year: Mapped[date | None] = key(year(Thing.w))
    rows: Mapped[int] = count()


class All(Group[Thing]):
    """Figures over everything: one row even over nothing."""

    rows: Mapped[int] = count()
    total: Mapped[int] = sum_(Thing.n)
    money: Mapped[Decimal] = sum_(Thing.d)
    first: Mapped[str | None] = min_(Thing.s)
    mean: Mapped[Decimal | None] = avg(Thing.n)


ENTITIES: tuple[type[Record[Any]], ...] = (Owner, Thing, Note, Seal)
VIEWS = (ThingWithNotes, ThingLine, NoteLine)
GROUPS = (ByText, ByOwner, ByDay, All)
