"""What is read of the zoo: its views and groups."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from dbkit import (
    Group,
    Mapped,
    ObjectId,
    View,
    avg,
    count,
    count_distinct,
    day,
    key,
    max_,
    min_,
    month,
    related,
    sum_,
    via,
    year,
)
from dbkit.testing.entities import (
    Address,
    Author,
    Book,
    Chapter,
    Colour,
    Country,
    Level,
    Loose,
    Number,
    Place,
    Plain,
    Sale,
    Zoo,
)

# -- views -------------------------------------------------------------------------------------------------------------


class ZooLine(View[Zoo]):
    """Some fields of the row itself, two of them inside others."""

    text: Mapped[str] = via(Zoo.text)
    city: Mapped[str] = via(Zoo.address, Address.city)
    latitude: Mapped[float | None] = via(Zoo.address_n, via(Address.place, Place.latitude))
    source: Mapped[Any] = via(Zoo.extra["source"])
    whole: Mapped[Address | None] = via(Zoo.address_n)


class BookLine(View[Book]):
    """Fields of parents, beside the row's own; nothing of an author but the name."""

    id: Mapped[UUID] = via(Book.id)
    title: Mapped[str] = via(Book.title)
    author: Mapped[str] = via(Book.author, Author.name)
    editor: Mapped[str | None] = via(Book.editor, Author.name)
    country: Mapped[str | None] = via(Book.author, via(Author.country, Country.name))
    shop: Mapped[str | None] = via(Book.shop, Number.word)


class BookWithParents(Book, View[Book]):
    """Whole parents."""

    writer: Mapped[Author] = via(Book.author, Author)
    editing: Mapped[Author | None] = via(Book.editor, Author)
    selling: Mapped[Number | None] = via(Book.shop, Number)


class AuthorName(View[Author]):
    """A small view, to be a parent or a child of others."""

    id: Mapped[UUID] = via(Author.id)
    name: Mapped[str] = via(Author.name)


class BookWithAuthorName(View[Book]):
    """A parent as a view of it."""

    title: Mapped[str] = via(Book.title)
    writer: Mapped[AuthorName] = via(Book.author, AuthorName)


class AuthorWithBooks(Author, View[Author]):
    """Children: the three that sold best, the cheap ones as lines, and those that were edited."""

    best: Mapped[list[Book]] = related(Book, Book.author, order_by=Book.sold.desc(), limit=3)
    cheap: Mapped[list[BookLine]] = related(
        BookLine, Book.author, Book.price < 10, order_by=(Book.title.desc(), Book.sold)
    )
    edited: Mapped[list[Book]] = related(Book, Book.editor)


class AuthorWithAllBooks(View[Author]):
    """Children without a limit: beyond 1,000 it raises."""

    name: Mapped[str] = via(Author.name)
    home: Mapped[str | None] = via(Author.country, Country.name)
    books: Mapped[list[Book]] = related(Book, Book.author)


class BookWithChapters(View[Book]):
    """A field of a parent, a whole parent, and children at once."""

    id: Mapped[UUID] = via(Book.id)
    author: Mapped[str] = via(Book.author, Author.name)
    writer: Mapped[Author] = via(Book.author, Author)
    chapters: Mapped[list[Chapter]] = related(Chapter, Chapter.book, order_by=Chapter.pages)


class PlainWithLoose(Plain, View[Plain]):
    """Children whose reference is not checked."""

    children: Mapped[list[Loose]] = related(Loose, Loose.parent, order_by=Loose.label)


class LooseLine(View[Loose]):
    """A parent that may be missing."""

    label: Mapped[str] = via(Loose.label)
    name: Mapped[str | None] = via(Loose.parent, Plain.name)
    whole: Mapped[Plain | None] = via(Loose.parent, Plain)


# -- groups ------------------------------------------------------------------------------------------------------------


class SalesTotal(Group[Sale]):
    """No key: exactly one row."""

    rows: Mapped[int] = count()
    products: Mapped[int] = count_distinct(Sale.product)
    units: Mapped[int] = sum_(Sale.units)
    amount: Mapped[Decimal] = sum_(Sale.amount)
    mean_units: Mapped[Decimal | None] = avg(Sale.units)
    mean_amount: Mapped[Decimal | None] = avg(Sale.amount)
    least: Mapped[Decimal | None] = min_(Sale.amount)
    most: Mapped[int | None] = max_(Sale.units)
    first: Mapped[datetime | None] = min_(Sale.sold_at)
    last_region: Mapped[str | None] = max_(Sale.region)


class SalesWeight(Group[Sale]):
    """Floats: the one declared exception to sameness."""

    total: Mapped[float] = sum_(Sale.weight)
    mean: Mapped[float | None] = avg(Sale.weight)
    least: Mapped[float | None] = min_(Sale.weight)


class SalesByRegion(Group[Sale]):
    """One nullable key."""

    region: Mapped[str | None] = key(Sale.region)
    rows: Mapped[int] = count()
    units: Mapped[int] = sum_(Sale.units)
    amount: Mapped[Decimal] = sum_(Sale.amount)
    products: Mapped[int] = count_distinct(Sale.product)
    most: Mapped[int | None] = max_(Sale.units)


class SalesByRegionAndProduct(Group[Sale]):
    """Two nullable keys."""

    region: Mapped[str | None] = key(Sale.region)
    product: Mapped[int | None] = key(Sale.product)
    rows: Mapped[int] = count()


class SalesByDay(Group[Sale]):
    """A calendar key."""

    on: Mapped[date] = key(day(Sale.sold_at))
    rows: Mapped[int] = count()


class SalesByMonth(Group[Sale]):
    """A calendar key."""

    on: Mapped[date] = key(month(Sale.sold_at))
    rows: Mapped[int] = count()


class SalesByYear(Group[Sale]):
    """A calendar key."""

    on: Mapped[date] = key(year(Sale.sold_at))
    rows: Mapped[int] = count()


class ReturnsByMonth(Group[Sale]):
    """A nullable calendar key."""

    on: Mapped[date | None] = key(month(Sale.returned_at))
    rows: Mapped[int] = count()


class BooksByAuthor(Group[Book]):
    """Keys of the parent and of its parent."""

    author: Mapped[str] = key(via(Book.author, Author.name))
    country: Mapped[str | None] = key(via(Book.author, via(Author.country, Country.name)))
    books: Mapped[int] = count()
    sold: Mapped[int] = sum_(Book.sold)


class ZooByEverything(Group[Zoo]):
    """A key of every kind."""

    text: Mapped[str | None] = key(Zoo.text_n)
    integer: Mapped[int | None] = key(Zoo.integer_n)
    real: Mapped[float | None] = key(Zoo.real_n)
    money: Mapped[Decimal | None] = key(Zoo.money_n)
    flag: Mapped[bool | None] = key(Zoo.flag_n)
    moment: Mapped[datetime | None] = key(Zoo.moment_n)
    on_day: Mapped[date | None] = key(Zoo.on_day_n)
    clock: Mapped[time | None] = key(Zoo.clock_n)
    span: Mapped[timedelta | None] = key(Zoo.span_n)
    ref: Mapped[UUID | None] = key(Zoo.ref_n)
    legacy: Mapped[ObjectId | None] = key(Zoo.legacy_n)
    colour: Mapped[Colour | None] = key(Zoo.colour_n)
    level: Mapped[Level | None] = key(Zoo.level_n)
    word: Mapped[Literal["yes", "no"] | None] = key(Zoo.word_n)
    city: Mapped[str | None] = key(via(Zoo.address_n, Address.city))
    rows: Mapped[int] = count()


class ZooExtremes(Group[Zoo]):
    """The least and the greatest of every kind that has an order."""

    text: Mapped[str | None] = min_(Zoo.text_n)
    text_most: Mapped[str | None] = max_(Zoo.text_n)
    integer: Mapped[int | None] = min_(Zoo.integer_n)
    real: Mapped[float | None] = max_(Zoo.real_n)
    money: Mapped[Decimal | None] = min_(Zoo.money_n)
    moment: Mapped[datetime | None] = max_(Zoo.moment_n)
    on_day: Mapped[date | None] = min_(Zoo.on_day_n)
    clock: Mapped[time | None] = max_(Zoo.clock_n)
    span: Mapped[timedelta | None] = min_(Zoo.span_n)
    legacies: Mapped[int] = count_distinct(Zoo.legacy_n)
    texts: Mapped[int] = count_distinct(Zoo.text_n)
    flags: Mapped[int] = count_distinct(Zoo.flag_n)
    blobs: Mapped[int] = count_distinct(Zoo.blob_n)
