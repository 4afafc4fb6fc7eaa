"""SEMANTICS, "Values": what is stored comes back, and compares and sorts the same everywhere. One rule a kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, cast

from dbkit import DuplicateKey, InvalidInput, ObjectId, ReferenceViolation, any_related, via

from ..entities import Account, Legacy, LegacyChild, Zoo
from ..kit import rule
from ..samples import KINDS, assert_same, shuffled
from ..watch import raises
from .case import AsyncCase
from .checks import AsyncLabelled, fill

MAX_PIVOTS = 6


async def _kind(case: AsyncCase, name: str) -> None:
    """Check a kind: values come back with their types, and `< <= > >= == != in_` and both orders agree with theirs."""
    kind = KINDS[name]
    field, nullable = getattr(Zoo, kind.field), getattr(Zoo, kind.nullable)
    values = list(kind.values)
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        made = [Zoo(**{kind.field: value, kind.nullable: value}) for value in values]
        ids = [entity.id for entity in made]
        none = Zoo()
        rows = shuffled([*made, none])
        for entity in rows[:2]:
            assert_same(await store.create(entity), entity)
        await fill(store, rows[2:])
        for entity in (made[0], made[-1], none):
            assert_same(await store.get(entity.id), entity)
        everything = await store.get_many(entity.id for entity in rows)
        for entity in rows:
            assert_same(everything[entity.id], entity)
        if kind.is_ordered:
            for order, expected in (
                (nullable.asc(), [none.id, *ids]),
                (nullable.desc(), [*ids[::-1], none.id]),
            ):
                assert [e.id for e in await store.find(order_by=order)] == expected, f"{order}"
            ascending = [
                getattr(e, kind.field)
                for e in await store.find(field != getattr(none, kind.field), order_by=field)
            ]
            assert ascending == [v for v in values if v != getattr(none, kind.field)]
        step = max(1, len(values) // MAX_PIVOTS)
        for place in {*range(0, len(values), step), len(values) - 1}:
            value = values[place]
            expected_of: list[tuple[Any, list[Any]]] = [
                (nullable == value, [ids[place]]),
                (nullable.in_([value, None]), [ids[place], none.id]),
                (nullable != value, [i for i in [*ids, none.id] if i != ids[place]]),
            ]
            if kind.is_compared:
                expected_of += [
                    (nullable < value, ids[:place]),
                    (nullable <= value, ids[: place + 1]),
                    (nullable > value, ids[place + 1 :]),
                    (nullable >= value, ids[place:]),
                ]
            for where, expected in expected_of:
                assert {e.id for e in await store.find(where)} == set(expected), f"{where} with {value!r}"


@rule("values")
async def text_is_kept_and_ordered_by_code_point(case: AsyncCase) -> None:
    """Text comes back unchanged, and is compared and sorted by code point, beyond the first plane, too."""
    await _kind(case, "text")


@rule("values")
async def ints_are_signed_64_bits(case: AsyncCase) -> None:
    """Ints from -2^63 to 2^63 - 1 are exact, in filters and order too."""
    await _kind(case, "int")


@rule("values")
async def floats_are_exact_doubles(case: AsyncCase) -> None:
    """Finite floats come back to the last bit, the smallest and the greatest ones too."""
    await _kind(case, "float")


@rule("values")
async def decimals_are_exact(case: AsyncCase) -> None:
    """Decimals come back exact, with their declared places, and compare and sort as numbers."""
    await _kind(case, "decimal")


@rule("values")
async def bools_are_bools(case: AsyncCase) -> None:
    """Bools come back as bools, and False sorts before True."""
    await _kind(case, "bool")


@rule("values")
async def datetimes_are_moments(case: AsyncCase) -> None:
    """Datetimes from year 1 to 9999 come back in UTC, and sort by the moment, before 1970 too."""
    await _kind(case, "datetime")


@rule("values")
async def dates_are_days(case: AsyncCase) -> None:
    """Dates from year 1 to 9999 come back, and sort by the day."""
    await _kind(case, "date")


@rule("values")
async def times_have_microseconds(case: AsyncCase) -> None:
    """Times are exact to the microsecond, and sort by the clock."""
    await _kind(case, "time")


@rule("values")
async def timedeltas_have_64_bits_of_microseconds(case: AsyncCase) -> None:
    """Timedeltas are exact to the microsecond, negative ones and 292,000 years too, and sort by length."""
    await _kind(case, "timedelta")


@rule("values")
async def bytes_are_kept(case: AsyncCase) -> None:
    """Bytes come back unchanged, every byte and none, and are found by == != in_."""
    await _kind(case, "bytes")


@rule("values")
async def uuids_are_ordered_by_their_bytes(case: AsyncCase) -> None:
    """UUIDs come back, and sort by their sixteen bytes, unsigned."""
    await _kind(case, "uuid")


@rule("values")
async def objectids_are_ordered_by_their_bytes(case: AsyncCase) -> None:
    """ObjectIds come back as dbkit's own values, and sort by their twelve bytes, unsigned."""
    await _kind(case, "objectid")


@rule("values")
async def objectids_are_ids(case: AsyncCase) -> None:
    """An ObjectId made by the program, or by MongoDB for another one, is an id, a reference's value and part of a unique key."""
    first, second, third = ObjectId("0" * 24), ObjectId("5f43a1b2c3d4e5f607182930"), ObjectId("f" * 24)
    async with case.database(Legacy) as db:
        store = db.store(Legacy)
        rows = [
            Legacy(id=second, label="b", before=first),
            Legacy(id=first, label="a", twin=third),
            Legacy(id=third, label="c", before=second),
        ]
        for row in rows:
            assert_same(await store.create(row), row)
        assert_same(await store.get(second), rows[0])
        assert list(await store.get_many([third, first])) == [third, first]
        assert [e.id for e in await store.find(order_by=Legacy.id.desc())] == [third, second, first]
        assert [e.id for e in await store.find(Legacy.id > first, Legacy.id < third)] == [second]
        assert [e.id for e in await store.find(Legacy.before.in_([first, None]), order_by=Legacy.id)] == [
            first,
            second,
        ]
        page = await store.page(order_by=Legacy.id, limit=2)
        rest = await store.page(order_by=Legacy.id, limit=2, after=page.next_cursor)
        assert [e.label for e in [*page.items, *rest.items]] == ["a", "b", "c"]
        with raises(DuplicateKey) as raised:
            await store.create(Legacy(id=first))
        assert raised.error.field == "id"
        with raises(DuplicateKey) as raised:
            await store.create(Legacy(twin=third))
        assert raised.error.field == "twin"
        assert_same((await store.update(second, Legacy.twin.set(first))).twin, first)
        assert (await store.upsert(Legacy(label="new", twin=first), on=Legacy.twin)).id == second
        with raises(InvalidInput):
            await store.find(Legacy.id == cast("Any", str(first)))
        assert await store.delete(third)
        assert await store.count() == 2
        assert Legacy().id < Legacy().id


@rule("references", needs=("checked_references", "views"))
async def objectids_lead_to_parents(case: AsyncCase) -> None:
    """A reference by an ObjectId is checked, joined and cascades as any other."""
    async with case.database(Legacy, LegacyChild) as db:
        parents, children = db.store(Legacy), db.store(LegacyChild)
        parent = await parents.create(Legacy(label="p"))
        made = [await children.create(LegacyChild(parent=parent.id)) for _ in range(2)]
        with raises(ReferenceViolation):
            await children.create(LegacyChild(parent=ObjectId("0" * 24)))
        found = await children.find(via(LegacyChild.parent, Legacy.label) == "p", order_by=LegacyChild.id)
        assert [e.id for e in found] == [e.id for e in made]
        assert await parents.count(any_related(LegacyChild.parent)) == 1
        assert await parents.delete(parent.id)
        assert await children.count() == 0


@rule("values")
async def enums_are_stored_by_value(case: AsyncCase) -> None:
    """Enums of str come back as members, and compare and sort by their values."""
    await _kind(case, "enum of str")


@rule("values")
async def int_enums_are_ordered_as_ints(case: AsyncCase) -> None:
    """Enums of int come back as members, and sort as numbers."""
    await _kind(case, "enum of int")


@rule("values")
async def literals_are_text(case: AsyncCase) -> None:
    """Literals come back, and sort as text."""
    await _kind(case, "literal")


@rule("values")
async def datetimes_are_cut_to_milliseconds(case: AsyncCase) -> None:
    """Datetimes are cut, never rounded, to milliseconds, and turned to UTC: in entities, changes and filters alike."""
    given = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-3)))
    kept = datetime(2026, 3, 1, 2, 59, 59, 999_000, tzinfo=UTC)
    before_1970 = datetime(1960, 1, 1, 0, 0, 0, 1_999, tzinfo=UTC)
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        made = await store.create(Zoo(moment=given, moment_n=before_1970))
        assert_same(made.moment, kept)
        found = await store.require(made.id)
        assert_same(found, made)
        assert_same(found.moment, kept)
        assert_same(found.moment_n, datetime(1960, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC))
        for equal in (given, kept, kept + timedelta(microseconds=1)):
            assert [e.id for e in await store.find(Zoo.moment == equal)] == [made.id]
        assert await store.count(Zoo.moment > given) == 0
        assert await store.count(Zoo.moment < kept + timedelta(milliseconds=1)) == 1
        changed = await store.update(made.id, Zoo.moment.set(given + timedelta(hours=1)))
        assert_same(changed.moment, kept + timedelta(hours=1))
        assert_same((await store.require(made.id)).moment, kept + timedelta(hours=1))


@rule("values")
async def decimals_have_the_declared_places(case: AsyncCase) -> None:
    """Decimals are quantized to the declared places: 1.1 is 1.10, an int is one too, -0 is 0, and 18 digits are exact."""
    most, least = Decimal("9999999999999999.99"), Decimal("-9999999999999999.99")
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        rows = await AsyncLabelled.make(
            store,
            a=Zoo(money=Decimal("1.1")),
            b=Zoo(money=Decimal("-0")),
            c=Zoo(money=most),
            d=Zoo(money=least, money_n=Decimal("0.000001")),
            e=Zoo(money=Decimal("9999999999999999.98"), money_n=Decimal("-0.000001")),
        )
        stored = {label: await store.require(entity.id) for label, entity in rows.entities.items()}
        assert_same(stored["a"].money, Decimal("1.10"))
        assert_same(stored["b"].money, Decimal("0.00"))
        assert_same(stored["c"].money, most)
        assert_same(stored["d"].money, least)
        assert_same(stored["d"].money_n, Decimal("0.000001"))
        await rows.takes(Zoo.money == Decimal("1.100"), "a")
        await rows.takes(Zoo.money == 0, "b")
        await rows.takes(Zoo.money == most, "c")
        await rows.takes(Zoo.money < most, "a b d e")
        await rows.takes(Zoo.money.in_([Decimal("9999999999999999.98"), least]), "d e")
        await rows.takes(Zoo.money_n < 0, "e")
        assert await rows.found(order_by=Zoo.money) == "d b a e c"


@rule("values")
async def negative_zero_is_zero(case: AsyncCase) -> None:
    """A float's -0.0 becomes 0.0: in entities, changes, filters, nested models and dicts."""
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        made = await store.create(Zoo(real=-0.0, real_n=-0.0, extra={"x": -0.0}, things=[-0.0]))
        found = await store.require(made.id)
        assert_same(found.real, 0.0)
        assert_same(found.real_n, 0.0)
        assert str(found.extra["x"]) in {"0", "0.0"}
        assert str(found.things[0]) in {"0", "0.0"}
        assert await store.count(Zoo.real == -0.0) == await store.count(Zoo.real == 0.0) == 1
        assert await store.count(Zoo.real < 0.0) == await store.count(Zoo.real > -0.0) == 0
        changed = await store.update(made.id, Zoo.real.set(-0.0))
        assert_same(changed.real, 0.0)


@rule("values")
async def ids_are_made_by_the_client(case: AsyncCase) -> None:
    """An entity has its UUIDv7, and two equal times, before it is stored; ids made later sort later, and come back."""
    async with case.database(Account) as db:
        store = db.store(Account)
        made = [Account(owner=str(n)) for n in range(20)]
        assert {e.id.version for e in made} == {7}
        assert sorted(e.id for e in made) == [e.id for e in made]
        for entity in shuffled(made):
            assert entity.created_at == entity.updated_at
            assert_same(await store.create(entity), entity)
        found = await store.find()
        assert [e.owner for e in found] == [str(n) for n in range(20)]
        assert_same(found, made)
        assert_same(found[0].created_at.utcoffset(), timedelta(0))


@rule("values")
async def text_is_not_normalized(case: AsyncCase) -> None:
    """Equal text has equal code points: case, accents' composition, width and trailing spaces make a difference."""
    names = ["a", "A", "a ", " a", "\u00e4", "a\u0308", "\uff41", "", "\u200b", "ss", "ß", "a\n"]
    async with case.database(Account) as db:
        store = db.store(Account)
        assert await fill(store, [Account(owner=name) for name in names]) == len(names)
        for name in names:
            found = await store.find(Account.owner == name)
            assert [e.owner for e in found] == [name]
        assert [e.owner for e in await store.find(order_by=Account.owner)] == sorted(names)
