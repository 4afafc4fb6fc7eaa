"""Bad input: values that no store could keep are typed errors before anything is sent; all others are only values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from dbkit import Entity, Filter, Mapped, everything, field
from dbkit._async.store import AsyncStore
from dbkit.errors import InvalidInput, NotFound, PreconditionFailed, TooLarge

from ..entities import Account, Colour, Country, Number, Plain, Zoo
from ..hostile import OPERATORS, TEXTS
from ..kit import rule
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import fill

ID = UUID("018f0000-0000-7000-8000-000000000000")

_WRONG_AMOUNTS: list[Any] = [
    Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("0.001"), Decimal("1E-30"),
    Decimal(10**16), Decimal("1E+400"), Decimal("-10000000000000000.00"), 10**17, 0.5, "1.00", True,
]  # fmt: skip


class Wide(Entity, name="kit_wide", unique=[("left", "right")]):
    """Long keys."""

    key: Mapped[str | None] = field(default=None, unique="casefold", max_length=5_000)
    left: Mapped[str | None] = field(default=None, max_length=1_000)
    right: Mapped[str | None] = field(default=None, max_length=1_000)
    short: Mapped[str] = field(default="", max_length=5)
    few: Mapped[bytes] = field(default=b"", max_length=3)


class Shelf(Entity, name="kit_shelves", unique=[("left", "right")], indexes=[("room", "label")]):
    """Long keys of several texts."""

    left: Mapped[str | None] = field(default=None, max_length=1_000)
    right: Mapped[str | None] = field(default=None, max_length=1_000)
    room: Mapped[str] = field(default="", max_length=1_000)
    label: Mapped[str] = field(default="", max_length=1_000)


async def _refused(store: AsyncStore[Any], watch: Watch, name: str, wrong: Sequence[Any]) -> None:
    """Assert that each value of *wrong* is refused in entities, filters and changes of the field *name*, unsent."""
    model: Any = store._spec.model
    ref = getattr(model, name)
    good = model()
    for value in wrong:
        calls: list[Any] = [
            lambda value=value: store.find(ref == value),
            lambda value=value: store.count(ref != value),
            lambda value=value: store.exists(ref.in_([value])),
            lambda value=value: store.delete_many(ref.not_in([getattr(good, name), value])),
            lambda value=value: store.update(good.id, ref.set(value)),
            lambda value=value: store.update_many(everything(), changes=ref.set(value)),
            lambda value=value: store.create(good.model_copy(update={name: value})),
            lambda value=value: store.create_many([good, good.model_copy(update={name: value})]),
            lambda value=value: store.replace(good.model_copy(update={name: value})),
            lambda value=value: store.upsert(good.model_copy(update={name: value}), on=model.id),
        ]
        for call in calls:
            with raises(InvalidInput) as raised:
                await call()
            error = raised.error
            assert error.entity == model.__name__
            assert error.field == name, f"{error.field} instead of {name}"
            assert f"{model.__name__}.{name}" in str(error)
    assert watch.texts == []


@rule("input")
async def datetimes_need_a_time_zone(case: AsyncCase) -> None:
    """Naive datetimes, times with a zone, and what is no datetime or date are InvalidInput everywhere, unsent."""
    now = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    async with case.database(Zoo) as db:
        store, watch = db.store(Zoo), Watch(db)
        await _refused(
            store,
            watch,
            "moment",
            [now.replace(tzinfo=None), "2024-05-06T07:08:09Z", 1715000000, date(2024, 5, 6)],
        )
        far = timezone(timedelta(hours=5))
        await _refused(
            store,
            watch,
            "moment",
            [datetime(1, 1, 1, tzinfo=far), datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=5)))],
        )
        await _refused(store, watch, "on_day", [now, "2024-05-06", 19849])
        await _refused(store, watch, "clock", [time(1, tzinfo=UTC), "01:00", 3600, now])
        await _refused(store, watch, "span", [5, 5.0, "P1D", time(1)])


@rule("input")
async def text_has_no_nul_and_no_lone_surrogates(case: AsyncCase) -> None:
    """NUL and lone surrogates are InvalidInput in fields, keys, lists, dicts, needles and ids, unsent."""
    async with case.database(Zoo, Country, Account) as db:
        store, watch = db.store(Zoo), Watch(db)
        wrong = ["\0", "a\0b", "\ud800", "a\udfffb", "\udc80\ud800"]
        await _refused(store, watch, "text", [*wrong, 5, b"a"])
        for text in wrong:
            calls: list[Any] = [
                lambda text=text: store.find(Zoo.text_n.contains(text)),
                lambda text=text: store.find(Zoo.text_n.starts_with(text)),
                lambda text=text: store.find(Zoo.text_n.between("", text)),
                lambda text=text: store.find(Zoo.tags.has(text)),
                lambda text=text: store.find(Zoo.extra["a"] == text),
                lambda text=text: store.update(ID, Zoo.tags.append(text)),
                lambda text=text: store.update(ID, Zoo.tags.remove(text)),
                lambda text=text: store.update(ID, Zoo.extra.set({text: 1})),
                lambda text=text: store.update(ID, Zoo.extra.set({"a": [{"b": text}]})),
                lambda text=text: store.update(ID, Zoo.things.set([[text]])),
                lambda text=text: store.create(Zoo().model_copy(update={"extra": {"a": {text: 1}}})),
                lambda text=text: store.create(Zoo().model_copy(update={"tags": ["a", text]})),
                lambda text=text: db.store(Country).get(text),
                lambda text=text: db.store(Country).delete(text),
                lambda text=text: db.store(Country).get_many(["SE", text]),
                lambda text=text: db.store(Account).find(Account.email.equals_casefold(text)),
            ]
            for call in calls:
                with raises(InvalidInput):
                    await call()
        assert watch.texts == []


@rule("input")
async def ints_fit_into_64_bits(case: AsyncCase) -> None:
    """Ints beyond 64 bits, and bools, floats and texts in their place, are InvalidInput everywhere, unsent."""
    async with case.database(Zoo, Number, Account) as db:
        store, watch = db.store(Zoo), Watch(db)
        untyped: Any = Zoo
        wrong: list[Any] = [2**63, -(2**63) - 1, 10**30, True, 1.0, "1", Decimal(1)]
        await _refused(store, watch, "integer", wrong)
        calls: list[Any] = []
        for value in wrong[:-1]:
            calls += [
                lambda value=value: store.find(Zoo.integer_n < value),
                lambda value=value: store.find(Zoo.integer.between(0, value)),
                lambda value=value: store.find(Zoo.numbers.has(value)),
                lambda value=value: store.update(ID, Zoo.numbers.append(value)),
                lambda value=value: store.update(ID, Zoo.integer.set(Zoo.integer + value)),
                lambda value=value: db.store(Number).get(value),
            ]
        for value in wrong[:3]:
            calls += [
                lambda value=value: store.update(ID, Zoo.extra.set({"a": value})),
                lambda value=value: store.update(ID, Zoo.things.set([[value]])),
                lambda value=value: store.find(Zoo.extra["a"] == value),
                lambda value=value: store.create(Zoo().model_copy(update={"extra": {"a": [value]}})),
            ]
        for number, call in enumerate(calls):
            if number == 4 + 6 * 4:
                continue  # an int field plus a float is a float: refused where it is set, below
            with raises(InvalidInput):
                await call()
        with raises(InvalidInput):
            untyped.integer.set(untyped.integer + 1.0)
        assert watch.texts == []


@rule("input")
async def numbers_are_finite_and_exact(case: AsyncCase) -> None:
    """NaN, infinities, Decimals with too many places or digits, and floats for Decimals are InvalidInput, unsent."""
    async with case.database(Zoo) as db:
        store, watch = db.store(Zoo), Watch(db)
        await _refused(store, watch, "real", [math.nan, math.inf, -math.inf, "1", True])
        await _refused(
            store,
            watch,
            "money",
            _WRONG_AMOUNTS,
        )
        for value in (math.nan, math.inf):
            with raises(InvalidInput):
                await store.update(ID, Zoo.extra.set({"a": value}))
            with raises(InvalidInput):
                await store.update(ID, Zoo.things.set([{"a": [value]}]))
            with raises(InvalidInput):
                await store.find(Zoo.extra["a"] == value)
            with raises(InvalidInput):
                await store.find(Zoo.real_n < value)
            with raises(InvalidInput):
                await store.create(Zoo().model_copy(update={"extra": {"a": value}}))
        assert watch.texts == []


@rule("input")
async def text_and_bytes_are_not_too_long(case: AsyncCase) -> None:
    """What is longer than declared is InvalidInput when it is stored; in a filter it is a fair question."""
    async with case.database(Wide, Country) as db:
        store, watch = db.store(Wide), Watch(db)
        calls: list[Any] = [
            lambda: store.create(Wide().model_copy(update={"short": "123456"})),
            lambda: store.update(ID, Wide.short.set("ééééééé")),
            lambda: store.update_many(everything(), changes=Wide.few.set(b"1234")),
            lambda: store.replace(Wide().model_copy(update={"few": b"1234"})),
            lambda: db.store(Country).create(Country(id="x").model_copy(update={"id": "x" * 41})),
        ]
        for call in calls:
            with raises(InvalidInput) as raised:
                await call()
            assert "declared" in str(raised.error)
        assert watch.texts == []
        made = await store.create(Wide(short="éé🧑éé", few=b"\0\1\2"))
        assert await store.find(Wide.short == "éé🧑éé") == [made]
        assert await store.find(Wide.short == "123456") == []
        assert await store.find(Wide.short > "a" * 2_000) == [made]
        assert await db.store(Country).get("x" * 41) is None


@rule("input")
async def keys_have_at_most_2000_bytes(case: AsyncCase) -> None:
    """More than 2,000 UTF-8 bytes of text in one unique key or index are TooLarge, unsent; 2,000 are stored."""
    async with case.database(Wide) as db:
        store, watch = db.store(Wide), Watch(db)
        # The casefold of "ŉ" is three bytes for its two: the stored key counts.
        for wrong in (
            Wide(key="x" * 2_001),
            Wide(key="é" * 1_001),
            Wide(key="🧑" * 501),
            Wide(left="é" * 1_000, right="x"),
        ):
            with raises(TooLarge) as raised:
                await store.create(wrong)
            assert raised.error.entity == "Wide"
            assert raised.error.field in ("key", "left, right")
            with raises(TooLarge):
                await store.create_many([Wide(), wrong])
            with raises(TooLarge):
                await store.replace(wrong)
        with raises(TooLarge):
            await store.update(ID, Wide.key.set("x" * 2_001))
        assert watch.texts == []
        rows = [Wide(key="x" * 2_000), Wide(left="é" * 500, right="x" * 1_000), Wide(key="🧑" * 500)]
        await fill(store, rows)
        assert await store.find(Wide.key == "x" * 2_000) == [rows[0]]
        assert await store.find(Wide.key.equals_casefold("X" * 2_000)) == [rows[0]]
        assert (await store.update(rows[1].id, Wide.key.set("y" * 2_000))).key == "y" * 2_000


@rule("input", needs=("atomic_many",))
async def a_part_of_a_key_is_counted_with_the_others(case: AsyncCase) -> None:
    """A change of one text of a key is TooLarge, nothing written, where the key had more than 2,000 bytes by what is stored."""
    async with case.database(Shelf) as db:
        store = db.store(Shelf)
        shelf = await store.create(Shelf(left="x" * 1_000, right="y" * 1_000, label="é" * 1_000))
        other = await store.create(Shelf())
        with raises(TooLarge) as raised:
            await store.update(shelf.id, Shelf.left.set("é" * 501))
        assert (raised.error.entity, raised.error.field) == ("Shelf", "left, right")
        with raises(PreconditionFailed):
            await store.update(shelf.id, Shelf.left.set("é" * 501), where=Shelf.right == "z")
        with raises(NotFound):
            await store.update(ID, Shelf.left.set("é" * 501))
        with raises(TooLarge):
            await store.update(ID, Shelf.left.set("é" * 501), Shelf.right.set("é" * 501))
        with raises(TooLarge) as raised:
            await store.update_many(Shelf.room == "", changes=Shelf.room.set("b"))
        assert raised.error.field == "room, label"
        with raises(TooLarge):
            await store.claim(Shelf.room == "", changes=Shelf.room.set("b"), order_by=Shelf.id, limit=2)
        assert await store.find() == [shelf, other]
        assert (await store.update(shelf.id, Shelf.left.set("é" * 500))).left == "é" * 500
        assert (await store.update(shelf.id, Shelf.right.set(None))).right is None
        assert (await store.update(shelf.id, Shelf.left.set("é" * 501))).left == "é" * 501
        assert await store.update_many(Shelf.id == other.id, changes=Shelf.room.set("b")) == 1
        assert await store.update_many(everything(), changes=[Shelf.room.set("c"), Shelf.label.set("d")]) == 2


# -- smuggled ----------------------------------------------------------------------------------------------------------


@rule("input")
async def texts_are_only_texts(case: AsyncCase) -> None:
    """Operators, SQL, placeholders and odd Unicode in a text are stored, found and returned as they are."""
    async with case.database(Zoo, Country) as db:
        store = db.store(Zoo)
        texts = list(TEXTS)
        rows = [
            Zoo(
                text=text,
                text_n=text,
                tags=[text, "z"],
                things=[text],
                extra={"k": text, text: [text, {text: text}]},
            )
            for text in texts
        ]
        assert await fill(store, rows) == len(rows)
        assert await store.get_many(row.id for row in rows) == {row.id: row for row in rows}
        for number, text in enumerate(texts):
            ways: list[Filter] = [
                Zoo.text_n.in_([text, "no such text"]),
                Zoo.tags.has(text),
                Zoo.things.has(text),
                Zoo.extra["k"] == text,
                Zoo.text.between(text, text),
            ]
            for where in (Zoo.text == text, ways[number % len(ways)]):
                found = [e.text for e in await store.find(where)]
                assert found == [text], f"{where} took {found} for {text!r}"
            if number % 2:
                assert {e.text for e in await store.find(Zoo.text.contains(text))} == {
                    t for t in texts if text in t
                }
            else:
                expected = {t for t in texts if t.startswith(text)}
                assert {e.text for e in await store.find(Zoo.text.starts_with(text))} == expected
        assert await store.count(Zoo.text != "$ne") == len(rows) - 1
        assert [e.text for e in await store.find(order_by=Zoo.text)] == sorted(texts)
        countries = db.store(Country)
        assert await fill(countries, [Country(id=text, name=text) for text in texts]) == len(texts)
        for text in texts[:40]:
            assert await countries.get(text) == Country(id=text, name=text)
            assert await countries.delete(text) is True
        assert list(await countries.get_many(texts)) == texts[40:]


@rule("input", needs=("computed_changes", "atomic_many", "claim"))
async def changes_take_texts_as_they_are(case: AsyncCase) -> None:
    """The same in changes, beside computed ones, in appended elements, `replace`, `upsert` and `claim`."""
    async with case.database(Zoo, Country, Account) as db:
        store = db.store(Zoo)
        row = await store.create(Zoo(integer=0))
        for number, text in enumerate(TEXTS):
            changed = await store.update(
                row.id,
                Zoo.text.set(text),
                Zoo.text_n.set(text),
                Zoo.tags.set([text]),
                Zoo.extra.set({text: text, "$set": {"integer": 99}, "a.b": [text]}),
                Zoo.integer.set(Zoo.integer + 1),
                Zoo.things.append(text),
                where=Zoo.integer == number,
            )
            assert (changed.text, changed.text_n, changed.tags, changed.integer) == (
                text,
                text,
                [text],
                number + 1,
            )
            assert changed.extra == {text: text, "$set": {"integer": 99}, "a.b": [text]}
            assert changed.things == [text]
            changed = await store.update(row.id, Zoo.things.remove(text), Zoo.tags.append(text))
            assert (changed.things, changed.tags) == ([], [text, text])
        await store.update_many(
            Zoo.text == TEXTS[-1], changes=[Zoo.text.set("$integer"), Zoo.integer.set(Zoo.integer * 0)]
        )
        changed = await store.require(row.id)
        assert (changed.text, changed.integer) == ("$integer", 0)
        replaced = await store.replace(
            changed.evolve(text="$text_n", extra={"$each": ["a"]}, tags=["$$ROOT"])
        )
        assert (replaced.text, replaced.extra, replaced.tags) == ("$text_n", {"$each": ["a"]}, ["$$ROOT"])
        (claimed,) = await store.claim(
            Zoo.text == "$text_n", changes=[Zoo.text.set("$$NOW"), Zoo.word.set("yes")]
        )
        assert claimed.text == "$$NOW"
        accounts = db.store(Account)
        for text in TEXTS[:12]:
            await accounts.upsert(Account(owner=text, note=text), on=Account.owner)
            stored = await accounts.upsert(Account(owner=text, note="$owner", tags=[text]), on=Account.owner)
            assert (stored.owner, stored.note, stored.tags, stored.version) == (text, "$owner", [text], 2)


@rule("input")
async def operators_are_no_values(case: AsyncCase) -> None:
    """Dicts with operators, and whatever is no text, in a text's place are InvalidInput, unsent."""
    async with case.database(Plain, Country, Zoo, Account) as db:
        plain, countries, zoo = db.store(Plain), db.store(Country), db.store(Zoo)
        untyped: Any = Zoo
        watch = Watch(db)
        for value in OPERATORS:
            calls: list[Any] = [
                lambda value=value: plain.find(Plain.name == value),
                lambda value=value: plain.find(~(Plain.name != value)),
                lambda value=value: plain.find(Plain.name > value),
                lambda value=value: plain.count(Plain.name.in_(["a", value])),
                lambda value=value: plain.find(Plain.name.contains(value)),
                lambda value=value: plain.find(Plain.name.starts_with(value)),
                lambda value=value: plain.find(Plain.name.between("a", value)),
                lambda value=value: plain.update(ID, Plain.name.set(value)),
                lambda value=value: plain.create(Plain().model_copy(update={"name": value})),
                lambda value=value: plain.get(value),
                lambda value=value: plain.require(value),
                lambda value=value: plain.delete(value),
                lambda value=value: plain.update(value, Plain.n.set(1)),
                lambda value=value: plain.get_many([ID, value]),
                lambda value=value: countries.get(value),
                lambda value=value: countries.delete(value),
                lambda value=value: zoo.find(Zoo.tags.has(value)),
                lambda value=value: zoo.update(ID, Zoo.tags.append(value)),
                lambda value=value: zoo.find(Zoo.colour == value),
                lambda value=value: zoo.find(Zoo.word == value),
                lambda value=value: zoo.find(Zoo.moment == value),
                lambda value=value: zoo.find(Zoo.ref == value),
                lambda value=value: zoo.find(
                    untyped.text == value if isinstance(value, bytes) else untyped.blob == value
                ),
                lambda value=value: db.store(Account).find(Account.email.equals_casefold(value)),
            ]
            for number, call in enumerate(calls):
                try:
                    with raises(InvalidInput) as raised:
                        await call()
                except AssertionError as error:
                    raise AssertionError(f"call {number} with {value!r}: {error}") from error
                assert raised.error.entity is not None
        assert watch.texts == []
        # What is declared as JSON data keeps them, as data.
        values: list[Any] = [v for v in OPERATORS if isinstance(v, dict)]
        row = await zoo.create(Zoo(extra={"a": values}, things=[*values]))
        assert await zoo.get(row.id) == row
        with raises(InvalidInput):
            where: Any = untyped.extra.__eq__({"$ne": None})
            await zoo.find(where)
        with raises(InvalidInput):
            await zoo.find(untyped.extra["a"] == {"$ne": None})
        with raises(InvalidInput):
            await zoo.find(Zoo.things.has({"$ne": None}))
        assert await zoo.find(Zoo.colour == Colour.RED) == [row]
