"""SEMANTICS, "Values": nested models, dicts, lists, None, `unique="casefold"`, and how large an entity may be."""

from __future__ import annotations

from typing import Any

from dbkit import StoredDataInvalid, TooLarge, via
from dbkit.errors import DuplicateKey

from ..entities import Account, Address, Colour, Place, Plain, Zoo
from ..kit import NotApplicable, rule
from ..samples import ODD_KEYS, assert_same, every_kind, same_json
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import AsyncLabelled, fill

MIB = 2**20


@rule("values")
async def nested_models_come_back(case: AsyncCase) -> None:
    """Nested models come back as instances, two levels deep and in lists, with every None where it was."""
    deep = Address(city="Köln", zip=None, floor=-1, place=Place(latitude=50.94, longitude=None))
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        for entity in (
            Zoo(
                address=deep,
                address_n=Address(city="", place=None),
                places=[Place(latitude=1.5), Place(latitude=-0.25, longitude=2.5)],
            ),
            Zoo(address=Address(city="x", zip="", floor=0), address_n=None, places=[]),
        ):
            assert_same(await store.create(entity), entity)
            assert_same(await store.get(entity.id), entity)
        changed = await store.update(entity.id, Zoo.address.set(deep), Zoo.address_n.set(deep))
        assert_same(changed.address, deep)
        assert_same((await store.require(entity.id)).address_n, deep)
        assert_same((await store.update(entity.id, Zoo.address_n.set(None))).address_n, None)


@rule("values")
async def nested_models_compare_leaf_by_leaf(case: AsyncCase) -> None:
    """A nested model's leaves filter and sort by via; == on the whole model is leaf by leaf; a null model has null leaves."""
    city, zip_code, floor = (
        via(Zoo.address_n, Address.city),
        via(Zoo.address_n, Address.zip),
        via(Zoo.address_n, Address.floor),
    )
    latitude = via(Zoo.address_n, via(Address.place, Place.latitude))
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(
            db.store(Zoo),
            a=Zoo(address_n=None),
            b=Zoo(address_n=Address(city="Bonn", zip="1", floor=2, place=Place(latitude=-1.5))),
            c=Zoo(address_n=Address(city="Bonn", zip=None, floor=10)),
            d=Zoo(address_n=Address(city="", zip="", place=Place(latitude=7.25, longitude=0.0))),
        )
        await rows.takes(city == "Bonn", "b c")
        await rows.takes(city != "Bonn", "a d")
        await rows.takes(city == None, "a")  # noqa: E711
        await rows.takes(city.starts_with("B"), "b c")
        await rows.takes(zip_code.is_null(), "a c")
        await rows.takes(floor > 2, "c")
        await rows.takes(floor.in_([2, None]), "a b d")
        await rows.takes(latitude < 7.25, "b")
        await rows.takes(latitude.is_null(), "a c")
        await rows.takes(via(Zoo.address_n, Address.place).is_null(), "a c")
        await rows.takes(Zoo.address_n == None, "a")  # noqa: E711
        await rows.takes(Zoo.address_n.is_null(), "a")
        await rows.takes(Zoo.address_n == Address(city="Bonn", floor=10), "c")
        await rows.takes(
            Zoo.address_n == Address(city="Bonn", zip="1", floor=2, place=Place(latitude=-1.5)), "b"
        )
        await rows.takes(Zoo.address_n == Address(city="Bonn", zip="1", floor=2), "")
        await rows.takes(
            Zoo.address_n != Address(city="", zip="", place=Place(latitude=7.25, longitude=0.0)), "a b c"
        )
        assert await rows.found(order_by=(city.desc(), floor.desc())) == "c b d a"
        assert await rows.found(order_by=(floor, city)) == "a d b c"
        assert await rows.found(order_by=latitude.desc()) in {"d b c a", "d b a c"}


@rule("values")
async def dicts_come_back_equal(case: AsyncCase) -> None:
    """Dicts of any JSON come back equal: nested, empty, bools, null, 64-bit ints, floats."""
    values: list[dict[str, Any]] = [
        {},
        {"a": None, "b": True, "c": False, "d": 0, "e": 1, "f": 1.5, "g": "", "h": "😀", "i": [], "j": {}},
        {"int": [-(2**63), 2**63 - 1, 2**53 + 1, -1], "float": [0.1, 5e-324, 1.7976931348623157e308, -1e-7]},
        {"deep": {"list": [1, [2, [3, {"x": [True, None, "y", {}]}]]], "dict": {"a": {"b": {"c": {}}}}}},
        {"text": ["a\u0308", "\u00e4", "\t\r\n", "\u2028", "\U0010ffff", "'", '"', "\\", "%s", "NULL"]},
    ]
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        for value in values:
            made = await store.create(Zoo(extra=value, extra_n=value, things=[value, *value.values()]))
            found = await store.require(made.id)
            assert same_json(found.extra, value), f"{found.extra} for {value}"
            assert same_json(found.extra_n, value), f"{found.extra_n} for {value}"
            assert same_json(found.things, [value, *value.values()]), f"{found.things}"
            changed = await store.update(made.id, Zoo.extra.set({}), Zoo.extra_n.set({"again": value}))
            assert same_json(changed.extra, {})
            assert same_json((await store.require(made.id)).extra_n, {"again": value})


@rule("values")
async def dicts_keep_odd_keys(case: AsyncCase) -> None:
    """Keys with dots, a leading $, nothing in them, or what a store could take for its own, are stored literally."""
    value: dict[str, Any] = {name: place for place, name in enumerate(ODD_KEYS)}
    nested = {"inside": {name: {name: name} for name in ODD_KEYS}}
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        made = await store.create(Zoo(extra=value, extra_n=nested, things=[value]))
        found = await store.require(made.id)
        assert same_json(found.extra, value), f"{set(found.extra) ^ set(value)}"
        assert same_json(found.extra_n, nested)
        assert same_json(found.things, [value])
        assert same_json(
            (await store.update(made.id, Zoo.extra.set(nested), Zoo.extra_n.set(value))).extra, nested
        )
        assert same_json((await store.require(made.id)).extra_n, value)
        await fill(store, [Zoo(extra=value), Zoo(extra_n=nested)])
        assert await store.count() == 3


@rule("values")
async def dicts_may_be_64_levels_deep(case: AsyncCase) -> None:
    """Dicts and lists may be 64 levels deep, on every store."""
    deep: dict[str, Any] = {"bottom": [1]}
    wide: list[Any] = ["bottom"]
    for _ in range(62):
        deep, wide = {"a": deep}, [wide]
    async with case.database(Zoo) as db:
        made = await db.store(Zoo).create(Zoo(extra=deep, things=[wide]))
        found = await db.store(Zoo).require(made.id)
        assert same_json(found.extra, deep)
        assert same_json(found.things, [wide])


@rule("values")
async def lists_keep_order_and_repetitions(case: AsyncCase) -> None:
    """Lists come back in their order, with repetitions, empty ones too; an empty list is not null."""
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        full = await store.create(
            Zoo(
                tags=["b", "a", "b", "", "ä", "😀"],
                tags_n=[],
                numbers=[3, -(2**63), 2**63 - 1, 3],
                things=[None, 1, "1", True, [1]],
            )
        )
        empty = await store.create(Zoo(tags=[], tags_n=None, numbers=[], things=[]))
        for made in (full, empty):
            found = await store.require(made.id)
            assert_same(found.tags, made.tags)
            assert_same(found.tags_n, made.tags_n)
            assert_same(found.numbers, made.numbers)
            assert same_json(found.things, made.things)
        assert [e.id for e in await store.find(Zoo.tags_n.is_null())] == [empty.id]
        assert [e.id for e in await store.find(Zoo.tags_n != None)] == [full.id]  # noqa: E711


@rule("values")
async def none_is_stored_as_null(case: AsyncCase) -> None:
    """None comes back as None in every kind of field, is found by is_null(), and "" , 0, False, {} and [] are not null."""
    nullable = [
        name for name, info in Zoo.model_fields.items() if name.endswith("_n") and not info.is_required()
    ]
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        none = await store.create(Zoo())
        full = await store.create(every_kind(0))
        empty = await store.create(
            Zoo(text_n="", integer_n=0, real_n=0.0, flag_n=False, blob_n=b"", extra_n={}, tags_n=[])
        )
        assert_same(await store.get(none.id), none)
        assert_same(await store.get(empty.id), empty)
        assert len(nullable) == 18
        for name in nullable:
            expected = {e.id for e in (none, full, empty) if getattr(e, name) is None}
            assert none.id in expected
            assert full.id not in expected, name
            found = {e.id for e in await store.find(getattr(Zoo, name).is_null())}
            assert found == expected, name


@rule("values")
async def missing_fields_read_as_none(case: AsyncCase) -> None:
    """A field that a document lacks reads as None where the type allows, filters as null, else StoredDataInvalid."""
    if not case.store.name.startswith("mongo"):
        raise NotApplicable("its rows lack no fields")
    async with case.database(Zoo, Plain) as db:
        store = db.store(Zoo)
        full, other = every_kind(0), every_kind(1)
        await fill(store, [full, other])
        plain = await db.store(Plain).create(Plain(name="x"))
        nullable = [name for name in Zoo.model_fields if name.endswith("_n")]
        async with db.native() as (database, _):
            # A validator, where there is one, is about what dbkit declares; existing data was there before it.
            lacking = {"bypass_document_validation": True}
            await database["kit_zoo"].update_one({}, {"$unset": dict.fromkeys(nullable, "")}, **lacking)
            await database["kit_plain"].update_one({}, {"$unset": {"name": ""}}, **lacking)
        lacks = next(e for e in await store.find() if e.text_n is None)
        for name in nullable:
            assert getattr(lacks, name) is None, name
            assert [e.id for e in await store.find(getattr(Zoo, name).is_null())] == [lacks.id], name
        assert [e.id for e in await store.find(Zoo.integer_n != 3)] == sorted([full.id, other.id])
        assert next(e.id for e in await store.find(order_by=Zoo.text_n)) == lacks.id
        with raises(StoredDataInvalid) as raised:
            await db.store(Plain).get(plain.id)
        assert (raised.error.entity, raised.error.field) == ("Plain", "name")


@rule("values", needs=("casefold_unique",))
async def casefold_is_unique_without_case(case: AsyncCase) -> None:
    """unique="casefold": what is equal when folded and decomposed clashes, nothing else does; == and order stay raw."""
    clashes = [
        ("Ada@Example.org", "ada@eXAMPLE.ORG"),
        ("STRASSE", "straße"),
        ("\u00c5ngstrom", "a\u030angstrom"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("\ufb01n", "FIN"),
        ("İx", "i\u0307X"),
    ]
    distinct = ["e", "\u00e9", "ı", "i", "e ", "\uff45"]
    async with case.database(Account) as db:
        store = db.store(Account)
        for number, (first, second) in enumerate(clashes):
            made = await store.create(Account(owner=str(number), email=first))
            with raises(DuplicateKey) as raised:
                await store.create(Account(owner=f"{number}b", email=second))
            assert raised.error.field == "email"
            for spelling in (first, second, first.swapcase().swapcase()):
                assert [e.id for e in await store.find(Account.email.equals_casefold(spelling))] == [
                    made.id
                ], spelling
            assert [e.email for e in await store.find(Account.email == first)] == [first]
            assert await store.count(Account.email == second) == 0
        await fill(store, [Account(owner=f"d{n}", email=email) for n, email in enumerate(distinct)])
        emails = sorted([first for first, _ in clashes] + distinct)
        assert [e.email for e in await store.find(order_by=Account.email)] == emails
        # Null never conflicts, and a row keeps its own value.
        await fill(store, [Account(owner="n1"), Account(owner="n2")])
        (ada,) = await store.find(Account.email == "Ada@Example.org")
        assert (await store.update(ada.id, Account.email.set("ADA@example.org"))).email == "ADA@example.org"
        assert await store.count(Account.email.equals_casefold("ada@example.org")) == 1


@rule("values")
async def stored_values_are_checked_when_read(case: AsyncCase) -> None:
    """A stored value that is none of the enum's raises StoredDataInvalid, which names entity and field, not the value."""
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        good, bad = Zoo(), Zoo()
        await fill(store, [good, bad])
        if case.store.name.startswith("mongo"):
            async with db.native() as (database, _):
                await database["kit_zoo"].update_one(
                    {"colour": "red"}, {"$set": {"colour": "zz-secret"}}, bypass_document_validation=True
                )
        elif case.store.name.startswith(("sqlite", "postgresql")):
            async with db.native() as connection:
                await connection.execute(
                    "UPDATE kit_zoo SET colour = 'zz-secret' WHERE id = (SELECT id FROM kit_zoo ORDER BY id DESC LIMIT 1)"
                )
        else:
            raise NotApplicable("nobody but dbkit writes to it")
        with raises(StoredDataInvalid) as raised:
            await store.find()
        assert (raised.error.entity, raised.error.field) == ("Zoo", "colour")
        assert "zz-secret" not in str(raised.error)
        found = await store.find(Zoo.colour == Colour.RED)
        assert len(found) == 1


@rule("values")
async def entities_have_at_most_15_mib(case: AsyncCase) -> None:
    """An entity of 14 MiB is stored; one of more than 15 MiB is TooLarge on create, create_many and replace, before sending."""
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        fits, small = Zoo(text="x" * (14 * MIB)), Zoo()
        await store.create(fits)
        await store.create(small)
        assert len((await store.require(fits.id)).text) == 14 * MIB
        watch = Watch(db)
        # Bytes count, not characters: 8 M characters of two bytes each.
        for big in (Zoo(text="é" * (8 * MIB)), Zoo(extra={"a": "x" * (8 * MIB)}, things=["y" * (8 * MIB)])):
            with raises(TooLarge):
                await store.create(big)
            if db.features.atomic_many:
                with raises(TooLarge):
                    await store.create_many([Zoo(), big])
        with raises(TooLarge):
            await store.replace(small.evolve(text="x" * (15 * MIB + 1)))
        assert watch.texts == []
        assert await store.count() == 2


@rule("values", real_mongod=True)
async def entities_do_not_grow_beyond_16_mib(case: AsyncCase) -> None:
    """Growth by updates is refused with TooLarge by 16 MiB at the latest, and the row is unchanged."""
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        made = await store.create(Zoo(text="x" * (9 * MIB)))
        with raises(TooLarge):
            await store.update(made.id, Zoo.text_n.set("y" * (8 * MIB)))
        assert (await store.find_one(Zoo.text_n.is_null())) is not None
        changed = await store.update(made.id, Zoo.text_n.set("y"))
        assert (changed.text_n, len(changed.text)) == ("y", 9 * MIB)
