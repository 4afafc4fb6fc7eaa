"""The zoo: entities with every kind of value, null and not, every kind of key and of reference; views and groups of them.

Names of tables begin with `kit_`, so that a run on somebody's database meets nothing of theirs.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import UUID

from dbkit import Embedded, Entity, Mapped, ObjectId, Record, Versioned, field

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _epoch() -> datetime:
    """Return what a moment is unless it is given, so that entities are made without the clock."""
    return EPOCH


class Colour(Enum):
    """An enum of str."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Level(IntEnum):
    """An enum of int."""

    LOW = 1
    HIGH = 10


class Place(Embedded):
    """A nested model inside a nested model."""

    latitude: Mapped[float]
    longitude: Mapped[float | None] = field(default=None)


class Address(Embedded):
    """A nested model."""

    city: Mapped[str]
    zip: Mapped[str | None] = field(default=None)
    floor: Mapped[int | None] = field(default=None)
    place: Mapped[Place | None] = field(default=None)


class Plain(Entity, name="kit_plain"):
    """The simplest one: two scalars."""

    name: Mapped[str] = field(default="")
    n: Mapped[int | None] = field(default=None)


class Zoo(Entity, name="kit_zoo"):
    """Every kind of value, not null and null."""

    text: Mapped[str] = field(default="")
    text_n: Mapped[str | None] = field(default=None)
    integer: Mapped[int] = field(default=0)
    integer_n: Mapped[int | None] = field(default=None)
    real: Mapped[float] = field(default=0.0)
    real_n: Mapped[float | None] = field(default=None)
    money: Mapped[Decimal] = field(default=Decimal(0), max_digits=18, decimal_places=2)
    money_n: Mapped[Decimal | None] = field(default=None, max_digits=18, decimal_places=6)
    flag: Mapped[bool] = field(default=False)
    flag_n: Mapped[bool | None] = field(default=None)
    moment: Mapped[datetime] = field(default_factory=_epoch)
    moment_n: Mapped[datetime | None] = field(default=None)
    on_day: Mapped[date] = field(default=date(1970, 1, 1))
    on_day_n: Mapped[date | None] = field(default=None)
    clock: Mapped[time] = field(default=time(0))
    clock_n: Mapped[time | None] = field(default=None)
    span: Mapped[timedelta] = field(default=timedelta(0))
    span_n: Mapped[timedelta | None] = field(default=None)
    blob: Mapped[bytes] = field(default=b"")
    blob_n: Mapped[bytes | None] = field(default=None)
    ref: Mapped[UUID] = field(default=UUID(int=0))
    ref_n: Mapped[UUID | None] = field(default=None)
    legacy: Mapped[ObjectId] = field(default=ObjectId(bytes(12)))
    legacy_n: Mapped[ObjectId | None] = field(default=None)
    colour: Mapped[Colour] = field(default=Colour.RED)
    colour_n: Mapped[Colour | None] = field(default=None)
    level: Mapped[Level] = field(default=Level.LOW)
    level_n: Mapped[Level | None] = field(default=None)
    word: Mapped[Literal["yes", "no"]] = field(default="no")
    word_n: Mapped[Literal["yes", "no"] | None] = field(default=None)
    address: Mapped[Address] = field(default_factory=lambda: Address(city=""))
    address_n: Mapped[Address | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    extra_n: Mapped[dict[str, Any] | None] = field(default=None)
    tags: Mapped[list[str]] = field(default_factory=list)
    tags_n: Mapped[list[str] | None] = field(default=None)
    numbers: Mapped[list[int]] = field(default_factory=list)
    things: Mapped[list[Any]] = field(default_factory=list)
    places: Mapped[list[Place]] = field(default_factory=list)


class Account(Entity, Versioned, name="kit_accounts"):
    """Versioned, with bounds, a unique text and a casefold-unique one."""

    owner: Mapped[str] = field(unique=True, max_length=100)
    email: Mapped[str | None] = field(default=None, unique="casefold", max_length=254)
    balance: Mapped[Decimal] = field(default=Decimal(0), max_digits=14, decimal_places=2, ge=0)
    points: Mapped[int] = field(default=0, ge=-1000, le=1000)
    big: Mapped[int] = field(default=0)
    rate: Mapped[float] = field(default=0.0)
    tags: Mapped[list[str]] = field(default_factory=list)
    note: Mapped[str | None] = field(default=None)


class Sheet(Entity, name="kit_sheets", unique=[("site", "slug")], indexes=[("site", "rank")]):
    """A compound unique key whose parts may be null, and a compound index."""

    site: Mapped[int | None] = field(default=None)
    slug: Mapped[str | None] = field(default=None)
    rank: Mapped[int | None] = field(default=None, index=True)
    title: Mapped[str] = field(default="", stored_as="heading")


class Country(Record[str], name="kit_countries"):
    """A natural key of text."""

    id: Mapped[str] = field(max_length=40)
    name: Mapped[str] = field(default="")
    people: Mapped[int | None] = field(default=None)


class Number(Record[int], name="kit_numbers"):
    """A natural key of int."""

    id: Mapped[int]
    word: Mapped[str | None] = field(default=None)


class Legacy(Record[ObjectId], name="kit_legacy", unique=[("twin", "label")]):
    """Ids that MongoDB made for another program; they are references, too."""

    id: Mapped[ObjectId] = field(default_factory=ObjectId)
    label: Mapped[str] = field(default="", max_length=40)
    twin: Mapped[ObjectId | None] = field(default=None, unique=True)
    before: Mapped[ObjectId | None] = field(default=None, references=lambda: Legacy, check=False)


class LegacyChild(Record[ObjectId], name="kit_legacy_children"):
    """A child by a checked reference."""

    id: Mapped[ObjectId] = field(default_factory=ObjectId)
    parent: Mapped[ObjectId] = field(references=lambda: Legacy, on_delete="cascade")


class Author(Entity, name="kit_authors"):
    """A parent; itself a child by `mentor` (set_null) and `country` (restrict)."""

    name: Mapped[str] = field(unique=True)
    age: Mapped[int | None] = field(default=None)
    country: Mapped[str | None] = field(default=None, references=lambda: Country)
    mentor: Mapped[UUID | None] = field(default=None, references=lambda: Author, on_delete="set_null")
    address: Mapped[Address | None] = field(default=None)


class Book(Entity, Versioned, name="kit_books"):
    """Children: of an author by cascade, of an editor by set_null, of an owner by restrict, of a shop by no check."""

    author: Mapped[UUID] = field(references=lambda: Author, on_delete="cascade")
    editor: Mapped[UUID | None] = field(default=None, references=lambda: Author, on_delete="set_null")
    owner: Mapped[UUID | None] = field(default=None, references=lambda: Author)
    shop: Mapped[int | None] = field(default=None, references=lambda: Number, check=False)
    title: Mapped[str] = field(default="")
    price: Mapped[Decimal | None] = field(default=None, max_digits=10, decimal_places=2)
    sold: Mapped[int] = field(default=0)


class Loose(Entity, name="kit_loose"):
    """A child by unchecked references only: also where a store cannot check."""

    parent: Mapped[UUID | None] = field(default=None, references=lambda: Plain, check=False)
    label: Mapped[str] = field(default="")
    n: Mapped[int | None] = field(default=None)


class Chapter(Entity, name="kit_chapters"):
    """Grandchildren, by cascade through the book."""

    book: Mapped[UUID] = field(references=lambda: Book, on_delete="cascade")
    title: Mapped[str] = field(default="")
    pages: Mapped[int] = field(default=0)


class Job(Entity, name="kit_jobs", indexes=[("state", "rank")]):
    """What workers claim."""

    state: Mapped[Literal["waiting", "taken", "done"]] = field(default="waiting")
    rank: Mapped[int] = field(default=0)
    worker: Mapped[int | None] = field(default=None)


class Sale(Entity, name="kit_sales"):
    """What is grouped."""

    region: Mapped[str | None] = field(default=None)
    product: Mapped[int | None] = field(default=None)
    amount: Mapped[Decimal | None] = field(default=None, max_digits=18, decimal_places=4)
    units: Mapped[int | None] = field(default=None)
    weight: Mapped[float | None] = field(default=None)
    sold_at: Mapped[datetime] = field(default_factory=_epoch)
    returned_at: Mapped[datetime | None] = field(default=None)


FAMILY: tuple[type[Any], ...] = (Country, Number, Author, Book, Chapter)
"""The entities with checked references, parents first."""
