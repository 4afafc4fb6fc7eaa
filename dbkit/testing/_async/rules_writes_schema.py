"""SEMANTICS, "Writes", the schema: made where it is missing, never altered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from dbkit import Entity, Mapped, Record, field
from dbkit.errors import ReferenceViolation, SchemaDrift

from ..entities import FAMILY, Account, Author, Book, Plain, Sheet, Zoo
from ..kit import NotApplicable, rule
from ..watch import raises
from .case import AsyncCase


class PlainOfText(Entity, name="kit_plain"):
    """`Plain` with another type."""

    name: Mapped[str] = field(default="")
    n: Mapped[str | None] = field(default=None)


class PlainOfMore(Entity, name="kit_plain"):
    """`Plain` with one field more."""

    name: Mapped[str] = field(default="")
    n: Mapped[int | None] = field(default=None)
    more: Mapped[str] = field(default="")


class PlainOfLess(Entity, name="kit_plain"):
    """`Plain` with one field less."""

    name: Mapped[str] = field(default="")


class PlainNeverNull(Entity, name="kit_plain"):
    """`Plain` whose number is never null."""

    name: Mapped[str] = field(default="")
    n: Mapped[int] = field(default=0)


class PlainById(Record[str], name="kit_plain"):
    """`Plain` with another kind of id."""

    id: Mapped[str]
    name: Mapped[str] = field(default="")
    n: Mapped[int | None] = field(default=None)


class PlainIndexed(Entity, name="kit_plain"):
    """`Plain` with an index more: what is missing, not what differs."""

    name: Mapped[str] = field(default="")
    n: Mapped[int | None] = field(default=None, index=True)


class AccountOfOtherDigits(Entity, name="kit_drift"):
    """A Decimal."""

    money: Mapped[Decimal] = field(default=Decimal(0), max_digits=10, decimal_places=2)


class AccountOfDigits(Entity, name="kit_drift"):
    """The same Decimal with other decimal places: stored scaled, it would read as another amount."""

    money: Mapped[Decimal] = field(default=Decimal(0), max_digits=10, decimal_places=4)


class Parent(Entity, name="kit_parents"):
    """What others refer to, also itself."""

    above: Mapped[UUID | None] = field(default=None, references=lambda: Parent)


class Child(Entity, name="kit_children"):
    """Refers to a parent."""

    parent: Mapped[UUID] = field(references=lambda: Parent, on_delete="cascade")


class KeptChild(Entity, name="kit_children", managed=False):
    """`Child`, whose owner is somebody else."""

    parent: Mapped[UUID] = field(references=lambda: Parent, on_delete="cascade")


def _needs_one_database(case: AsyncCase) -> None:
    if case.store.name.startswith("mongomock"):
        raise NotApplicable("each connection to mongomock is a database of its own")


@rule("database")
async def create_schema_twice_changes_nothing(case: AsyncCase) -> None:
    """`create_schema` on what is there does nothing, and keeps the data; `drop_schema` twice is no error."""
    _needs_one_database(case)
    async with case.database(Zoo, Account, Sheet) as db:
        made = await db.store(Zoo).create(Zoo(text="x"))
        await db.create_schema()
        async with case.connect(Account, Zoo, Sheet) as other:
            await other.create_schema()
            assert await other.store(Zoo).find() == [made]
        await db.drop_schema()
        await db.drop_schema()
        await db.create_schema()
        assert await db.counts(Zoo, Account, Sheet) == [0, 0, 0]


@rule("database", needs=("checked_references",))
async def create_schema_takes_any_order_and_cycles(case: AsyncCase) -> None:
    """Children may stand before their parents among the entities, and an entity may refer to itself."""
    async with case.database(*reversed(FAMILY)) as db:
        ada = await db.store(Author).create(Author(name="ada"))
        await db.store(Book).create(Book(author=ada.id))
        assert await db.counts(Author, Book) == [1, 1]


@rule("database")
async def create_schema_adds_what_is_missing(case: AsyncCase) -> None:
    """Entities and indexes that are new are made beside those that are there, whose data stays."""
    _needs_one_database(case)
    async with case.database(Plain) as db:
        made = await db.store(Plain).create(Plain(name="x", n=1))
        async with case.connect(PlainIndexed, Sheet) as other:
            await other.create_schema()
            found = await other.store(PlainIndexed).require(made.id)
            assert (found.name, found.n) == ("x", 1)
            await other.store(Sheet).create(Sheet(site=1))
            await other.create_schema()
        assert await db.store(Plain).find() == [made]
        async with case.connect(Sheet) as other:
            await other.drop_schema()


@rule("database", needs=("checked_references",))
async def drop_schema_leaves_no_orphans(case: AsyncCase) -> None:
    """A table or collection that another one refers to is not dropped without that one; nothing else is dropped then."""
    said = "'kit_parents' is not dropped, as 'kit_children' refers to it by parent"
    async with case.database(Parent, Child, Account) as db:
        parent = await db.store(Parent).create(Parent())
        child = await db.store(Child).create(Child(parent=parent.id))
        refused: list[tuple[type[Any], ...]] = [(Account, Parent, KeptChild)]
        if not case.store.name.startswith("mongo"):  # which records no references: they live in the programs
            refused.append((Account, Parent))
        for entities in refused:
            async with case.connect(*entities) as other:
                with raises(ReferenceViolation) as raised:
                    await other.drop_schema()
                assert raised.error.entity == "Parent"
                assert said in str(raised.error)
        assert await db.counts(Parent, Child, Account) == [1, 1, 0]
        async with case.connect(Parent, Child) as other:
            await other.drop_schema()
        await db.create_schema()
        assert await db.store(Child).get(child.id) is None


@rule("database", needs=("shared",))
async def create_schema_at_once_is_safe(case: AsyncCase) -> None:
    """Several that make the same schema at once all succeed, and it is made once."""
    entities = (Zoo, Account, Sheet, Plain)
    async with case.database(*entities) as db:
        for _ in range(3):
            await db.drop_schema()

            async def work(_number: int) -> None:
                async with case.connect(*entities) as other:
                    await other.create_schema()

            assert await case.run_workers(4, work) == [None] * 4
            assert await db.counts(*entities) == [0, 0, 0, 0]
            await db.create_schema()


@rule("database")
async def a_schema_that_differs_is_refused_and_never_altered(case: AsyncCase) -> None:
    """Another type, nullability, id or field than is declared: `create_schema` raises SchemaDrift, and alters nothing."""
    _needs_one_database(case)
    async with case.database(Plain) as db:
        made = await db.store(Plain).create(Plain(name="x", n=1))
        for entity in (PlainOfText, PlainOfMore, PlainNeverNull, PlainById, PlainOfLess):
            async with case.connect(entity) as other:
                with raises(SchemaDrift) as raised:
                    await other.create_schema()
                assert raised.error.entity == entity.__name__
                assert "kit_plain" in str(raised.error) or entity.__name__ in str(raised.error)
        assert await db.store(Plain).find() == [made]
        await db.create_schema()
        await db.store(Plain).create(Plain(name="y", n=None))


@rule("database")
async def other_decimal_places_are_a_drift(case: AsyncCase) -> None:
    """A Decimal with other decimal places than are stored is SchemaDrift: its amounts would be read wrongly."""
    _needs_one_database(case)
    async with case.database(AccountOfOtherDigits) as db:
        await db.store(AccountOfOtherDigits).create(AccountOfOtherDigits(money=Decimal("1.25")))
        async with case.connect(AccountOfDigits) as other:
            with raises(SchemaDrift):
                await other.create_schema()
