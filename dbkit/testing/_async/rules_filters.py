"""SEMANTICS, "Filters": two-valued, on every kind of value; `~` is the exact complement, which `takes` asserts each time."""

from __future__ import annotations

from typing import Any

from dbkit import InvalidInput, all_of, any_of, everything, via
from dbkit.fields import FieldRef

from ..entities import Address, Colour, Level, Place, Plain, Sheet, Zoo
from ..kit import rule
from ..samples import KINDS, every_kind
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import AsyncLabelled, fill


async def _integers(db: Any) -> AsyncLabelled:
    return await AsyncLabelled.make(
        db.store(Zoo),
        n=Zoo(),
        a=Zoo(integer_n=1),
        b=Zoo(integer_n=3),
        c=Zoo(integer_n=3, integer=1),
        d=Zoo(integer_n=5),
    )


@rule("filters")
async def comparisons_are_two_valued(case: AsyncCase) -> None:
    """On a null field == < <= > >= are false and != is true; ~ takes exactly the other rows."""
    async with case.database(Zoo) as db:
        rows = await _integers(db)
        await rows.takes(Zoo.integer_n == 3, "b c")
        await rows.takes(Zoo.integer_n != 3, "n a d")
        await rows.takes(Zoo.integer_n < 3, "a")
        await rows.takes(Zoo.integer_n <= 3, "a b c")
        await rows.takes(Zoo.integer_n > 3, "d")
        await rows.takes(Zoo.integer_n >= 3, "b c d")
        await rows.takes(Zoo.integer_n.between(2, 5), "b c d")
        await rows.takes(Zoo.integer_n.between(5, 2), "")
        await rows.takes(Zoo.integer_n == 4, "")


@rule("filters")
async def null_is_asked_for_by_name(case: AsyncCase) -> None:
    """== None, is_null() and != None tell null from all values, also on fields that are never null."""
    async with case.database(Zoo) as db:
        rows = await _integers(db)
        await rows.takes(Zoo.integer_n == None, "n")  # noqa: E711
        await rows.takes(Zoo.integer_n.is_null(), "n")
        await rows.takes(Zoo.integer_n != None, "a b c d")  # noqa: E711
        await rows.takes(~~Zoo.integer_n.is_null(), "n")
        await rows.takes(Zoo.integer.is_null(), "")
        await rows.takes(~Zoo.id.is_null(), "n a b c d")


@rule("filters")
async def in_and_not_in_with_none(case: AsyncCase) -> None:
    """in_ and not_in: None among the values means null, without it null is in not_in; in_([]) is false."""
    async with case.database(Zoo) as db:
        rows = await _integers(db)
        await rows.takes(Zoo.integer_n.in_([1, 5]), "a d")
        await rows.takes(Zoo.integer_n.in_([3, 3, 7]), "b c")
        await rows.takes(Zoo.integer_n.in_([3, None]), "n b c")
        await rows.takes(Zoo.integer_n.in_([None]), "n")
        await rows.takes(Zoo.integer_n.in_([]), "")
        await rows.takes(Zoo.integer_n.not_in([3]), "n a d")
        await rows.takes(Zoo.integer_n.not_in([3, None]), "a d")
        await rows.takes(Zoo.integer_n.not_in([]), "n a b c d")
        await rows.takes(Zoo.integer_n.not_in([None]), "a b c d")
        await rows.takes(Zoo.id.in_(e.id for e in list(rows.entities.values())[1:3]), "a b")


@rule("filters")
async def in_takes_1000_values(case: AsyncCase) -> None:
    """in_ takes any number of values from 1 to 1,000, and neighbouring sizes answer alike."""
    async with case.database(Zoo) as db:
        rows = await _integers(db)
        for size in (1, 2, 3, 4, 5, 8, 9, 63, 64, 65, 999, 1_000):
            values = list(range(3, 3 + size))
            await rows.takes(Zoo.integer_n.in_(values), "b c d" if size >= 3 else "b c")
            await rows.takes(Zoo.integer_n.not_in([*values[:-1], 3, None]), "a" if size > 3 else "a d")


@rule("filters")
async def filters_join_with_and_or_not(case: AsyncCase) -> None:
    """& | ~ any_of all_of nest, several positional filters mean and; none means all rows."""
    three, low, null = Zoo.integer_n == 3, Zoo.integer == 0, Zoo.integer_n.is_null()
    async with case.database(Zoo) as db:
        rows = await _integers(db)
        await rows.takes(three & low, "b")
        await rows.takes(three | null, "n b c")
        await rows.takes(~three & low, "n a d")
        await rows.takes(~(three & low), "n a c d")
        await rows.takes(~(three | null) | (three & ~low), "a c d")
        await rows.takes(any_of(three, null, Zoo.integer_n > 4), "n b c d")
        await rows.takes(all_of(~three, ~null), "a d")
        await rows.takes(~any_of(all_of(three, low), all_of(~three, ~low), null), "a c d")
        await rows.takes(everything(), "n a b c d")
        await rows.takes(everything() & three, "b c")
        await rows.takes(three & Zoo.integer_n.in_([]), "")
        await rows.takes(three | ~Zoo.integer_n.in_([]), "n a b c d")
        assert await rows.found(three, low) == "b"
        assert await rows.found() == "n a b c d"
        assert await rows.store.count(three, ~low) == 1
        deep = three
        # 20 joints deep; MongoDB takes 100 levels of objects and arrays, two to each.
        # https://www.mongodb.com/docs/manual/reference/limits/#mongodb-limit-Nested-Depth-for-BSON-Documents
        for _ in range(5):
            deep = ~(deep & low) | null
            deep = ~(deep | ~low) | three
        assert await rows.found(deep) == "b c"


@rule("filters")
async def filters_are_two_valued_on_every_kind(case: AsyncCase) -> None:
    """Each operator on each kind of value, on rows with null, a low, a middle and a high one; and its complement."""
    async with case.database(Zoo) as db:
        low, mid, high = every_kind(0), every_kind(1), every_kind(2)
        rows = await AsyncLabelled.make(db.store(Zoo), n=Zoo(), a=low, b=mid, c=high)
        for name, kind in KINDS.items():
            if name in {"bool", "enum of int", "literal"}:  # they have two values
                continue
            field = getattr(Zoo, kind.nullable)
            x, y, z = (getattr(row, kind.nullable) for row in (low, mid, high))
            await rows.takes(field == y, "b")
            await rows.takes(field != y, "n a c")
            await rows.takes(field.is_null(), "n")
            await rows.takes(field.in_([x, None, z]), "n a c")
            await rows.takes(field.not_in([x, z]), "n b")
            if kind.is_compared:
                await rows.takes(field < y, "a")
                await rows.takes(field <= y, "a b")
                await rows.takes(field > y, "c")
                await rows.takes(field >= y, "b c")
                await rows.takes(field.between(x, y), "a b")
        pairs: list[tuple[Any, Any]] = [(Zoo.flag_n, True), (Zoo.level_n, Level.HIGH), (Zoo.word_n, "yes")]
        for field, value in pairs:
            await rows.takes(field == value, "b c")
            await rows.takes(field != value, "n a")
            await rows.takes(field.in_([value, None]), "n b c")
            await rows.takes(field.not_in([value]), "n a")
        await rows.takes(Zoo.level_n < Level.HIGH, "a")
        await rows.takes(Zoo.word_n > "no", "b c")
        await rows.takes(Zoo.colour_n.in_([Colour.RED, Colour.BLUE]), "a c")
        await rows.takes((Zoo.flag == False) & (Zoo.flag_n == False), "a")  # noqa: E712


@rule("filters")
async def dict_keys_filter_by_type(case: AsyncCase) -> None:
    """A dict's keys filter by path and type: bool is no int, 1 is 1.0, text is neither, missing and null are the same."""
    key = Zoo.extra["k"]
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(
            db.store(Zoo),
            missing=Zoo(extra={}),
            null=Zoo(extra={"k": None}),
            true=Zoo(extra={"k": True}),
            false=Zoo(extra={"k": False}),
            zero=Zoo(extra={"k": 0}),
            one=Zoo(extra={"k": 1}),
            float=Zoo(extra={"k": 1.0}),
            half=Zoo(extra={"k": 2.5}),
            text=Zoo(extra={"k": "1"}),
            upper=Zoo(extra={"k": "B"}),
            empty=Zoo(extra={"k": ""}),
            list=Zoo(extra={"k": [1]}),
            dict=Zoo(extra={"k": {"k": 1}}),
        )
        await rows.takes(key == 1, "one float")
        await rows.takes(key == 1.0, "one float")
        await rows.takes(key == True, "true")  # noqa: E712
        await rows.takes(key == False, "false")  # noqa: E712
        await rows.takes(key == "1", "text")
        await rows.takes(key == "", "empty")
        await rows.takes(key != 1, "missing null true false zero half text upper empty list dict")
        await rows.takes(key.is_null(), "missing null")
        await rows.takes(key != None, "true false zero one float half text upper empty list dict")  # noqa: E711
        await rows.takes(key < 2, "zero one float")
        await rows.takes(key >= 1, "one float half")
        await rows.takes(key < "2", "text empty")
        await rows.takes(key >= "A", "upper")
        await rows.takes(key.in_([1, "1", True]), "true one float text")
        await rows.takes(key.in_([0, None, "B"]), "missing null zero upper")
        await rows.takes(key.not_in([1, False, None]), "true zero half text upper empty list dict")
        await rows.takes(key.between(0, 1), "zero one float")


@rule("filters")
async def dict_keys_are_reached_in_nullable_dicts(case: AsyncCase) -> None:
    """In a null dict every key is null; keys that hold 64-bit ints or astral text compare exactly."""
    number, text = Zoo.extra_n["n"], Zoo.extra_n["s"]
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(
            db.store(Zoo),
            null=Zoo(),
            a=Zoo(extra_n={"n": 2**53, "s": "\ufffd"}),
            b=Zoo(extra_n={"n": 2**53 + 1, "s": "\U00010000"}),
            c=Zoo(extra_n={"n": -(2**63), "s": "a%_"}),
            d=Zoo(extra_n={"n": 2**63 - 1, "s": "it's"}),
        )
        await rows.takes(number == 2**53 + 1, "b")
        await rows.takes(number > 2**53, "b d")
        await rows.takes(number <= -(2**63), "c")
        await rows.takes(number.is_null(), "null")
        await rows.takes(number != 2**53, "null b c d")
        await rows.takes(text > "\ufffd", "b")
        await rows.takes(text <= "\ufffd", "a c d")
        await rows.takes(text == "it's", "d")
        await rows.takes(text.in_(["a%_", None]), "null c")


@rule("filters")
async def leaves_of_nested_models_are_two_valued(case: AsyncCase) -> None:
    """Via into a nested model: a null model, or a null one inside it, makes every leaf null."""
    floor: FieldRef[Any] = via(Zoo.address_n, Address.floor)
    latitude: FieldRef[Any] = via(Zoo.address_n, via(Address.place, Place.latitude))
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(
            db.store(Zoo),
            no=Zoo(),
            null=Zoo(address_n=Address(city="x")),
            one=Zoo(address_n=Address(city="x", floor=1, place=Place(latitude=1.0))),
            three=Zoo(address_n=Address(city="y", floor=3, place=Place(latitude=3.0))),
        )
        for field, one, three in ((floor, 1, 3), (latitude, 1.0, 3.0)):
            await rows.takes(field == 3 * one, "three")
            await rows.takes(field != three, "no null one")
            await rows.takes(field < three, "one")
            await rows.takes(field >= one, "one three")
            await rows.takes(field.is_null(), "no null")
            await rows.takes(field.in_([one, None]), "no null one")
            await rows.takes(field.not_in([one]), "no null three")
            await rows.takes(~(field > one) & ~field.is_null(), "one")
        await rows.takes(via(Zoo.address_n, Address.city) == "x", "null one")


@rule("filters")
async def what_no_store_compares_is_refused(case: AsyncCase) -> None:
    """What has no order or equality that is the same everywhere is InvalidInput: < on None, bools, bytes, whole dicts, lists."""
    zoo: Any = Zoo  # type checkers refuse most of this, too
    questions: list[Any] = [
        lambda: zoo.integer_n < None,
        lambda: zoo.text_n.between(None, "x"),
        lambda: zoo.flag < True,
        lambda: zoo.blob >= b"",
        lambda: zoo.extra == {"a": 1},
        lambda: zoo.extra_n != {},
        lambda: zoo.tags == ["a"],
        lambda: zoo.tags_n.in_([["a"]]),
        lambda: zoo.address > Address(city=""),
        lambda: zoo.extra["k"] < True,
        lambda: zoo.extra["k"] == [1],
        lambda: zoo.extra["k"] > None,
        lambda: zoo.integer.contains("1"),
        lambda: zoo.colour.starts_with("r"),
        lambda: zoo.text.has("a"),
        lambda: zoo.tags.has(None),
        lambda: zoo.numbers.has(True),
        lambda: zoo.places.has(Place(latitude=1.0)),
        lambda: zoo.text.in_("abc"),
        lambda: zoo.integer.in_(range(1_001)),
        lambda: zoo.text.contains("x" * 1_001),
        lambda: zoo.integer == zoo.integer_n,
        lambda: zoo.level == 1,
        zoo.blob.desc,
        zoo.extra.asc,
        zoo.extra["k"].asc,
        zoo.tags.desc,
        zoo.address.asc,
        lambda: (zoo.integer == 1) and (zoo.text == ""),
        lambda: 1 < zoo.integer < 3,
        lambda: bool(zoo.integer == 1),
    ]
    async with case.database(Zoo) as db:
        watch = Watch(db)
        for place, ask in enumerate(questions):
            with raises(InvalidInput) as raised:
                ask()
            assert str(raised.error), place
        assert watch.statements == []


@rule("filters")
async def operators_in_values_are_values(case: AsyncCase) -> None:
    """What looks like an operator, a field or SQL is text like any other, in values and in stored data."""
    texts = [
        "$ne",
        "$name",
        "$$ROOT",
        "{'$ne': null}",
        "' OR 1=1 --",
        "%s",
        ":1",
        "?",
        "{}",
        "NULL",
        "\\'",
        "*",
        "^a",
        "a.b",
    ]
    async with case.database(Plain, Sheet) as db:
        store = db.store(Plain)
        await fill(store, [Plain(name=text, n=place) for place, text in enumerate(texts)])
        for place, text in enumerate(texts):
            assert [e.n for e in await store.find(Plain.name == text)] == [place], text
            assert [e.n for e in await store.find(Plain.name.in_([text]))] == [place], text
            assert [
                e.n
                for e in await store.find(Plain.name.starts_with(text), Plain.name.contains(text), limit=1)
            ] == [place]
            changed = await store.update(
                (await store.find(Plain.n == place))[0].id, Plain.name.set(text + text)
            )
            assert changed.name == text + text
        assert await store.count() == len(texts)
