"""Entities that the tests of declarations and of instances share."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

from dbkit.entity import Embedded, Entity, Versioned
from dbkit.fields import Mapped, field


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Geo(Embedded):
    lat: Mapped[float]
    note: Mapped[str | None] = field(default=None, stored_as="n")


class Address(Embedded):
    city: Mapped[str] = field(max_length=50)
    geo: Mapped[Geo | None] = field(default=None)


class Owner(Entity, Versioned, name="owners", unique=[("org", "nick")], indexes=[("org", "born")], hot=8):
    email: Mapped[str] = field(unique="casefold", max_length=100)
    nick: Mapped[str] = field(default="x")
    org: Mapped[str | None] = field(default=None, max_length=20)
    born: Mapped[date | None] = field(default=None)


class Thing(Entity, name="things"):
    owner_id: Mapped[UUID] = field(references=lambda: Owner, on_delete="cascade")
    text: Mapped[str] = field(default="")
    number: Mapped[int] = field(default=0, ge=-5)
    ratio: Mapped[float] = field(default=0.0)
    price: Mapped[Decimal] = field(default=Decimal(0), max_digits=6, decimal_places=2)
    flag: Mapped[bool] = field(default=False)
    at: Mapped[datetime | None] = field(default=None)
    day: Mapped[date | None] = field(default=None)
    clock: Mapped[time | None] = field(default=None)
    span: Mapped[timedelta | None] = field(default=None)
    raw: Mapped[bytes] = field(default=b"")
    color: Mapped[Color] = field(default=Color.RED)
    level: Mapped[Level | None] = field(default=None)
    size: Mapped[Literal["s", "l"]] = field(default="s", stored_as="sz")
    address: Mapped[Address | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    tags: Mapped[list[str]] = field(default_factory=list)
    ratios: Mapped[list[float]] = field(default_factory=list)
    places: Mapped[list[Address]] = field(default_factory=list)


OWNER = uuid4()


def thing(**values: Any) -> Thing:
    return Thing.model_validate({"owner_id": OWNER} | values)
