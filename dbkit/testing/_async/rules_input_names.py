"""Bad input: names, cursors, limits, ids and classes from outside are typed errors, and no statement is sent."""

from __future__ import annotations

import pickle
import traceback
from typing import Any, cast
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

from dbkit import Group, Mapped, View, aconnect, any_of, any_related, count, everything, key, related, via
from dbkit.errors import (
    BadURL,
    ConfigurationError,
    DbkitError,
    InvalidCursor,
    InvalidInput,
    TooLarge,
    Unavailable,
)
from dbkit.url import parse_url

from ..entities import Account, Country, Job, Loose, Number, Plain, Sheet, Zoo
from ..hostile import NAMES
from ..kit import NotApplicable, rule
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import fill

ID = UUID("018f0000-0000-7000-8000-000000000000")


class PlainName(View[Plain]):
    """A view without the id."""

    name: Mapped[str] = via(Plain.name)


class PlainLoose(Plain, View[Plain]):
    """A view with a relation."""

    loose: Mapped[list[Loose]] = related(Loose, Loose.parent)


class PerName(Group[Plain]):
    """How many of each name."""

    name: Mapped[str] = key(Plain.name)
    number: Mapped[int] = count()


def _not_reached() -> None:
    raise AssertionError("not reached")


# -- names -------------------------------------------------------------------------------------------------------------


@rule("input")
async def names_from_outside_are_no_fields(case: AsyncCase) -> None:
    """Some 280 names from outside, as attributes, orders, filters, changes, keys and views: typed errors, nothing sent."""
    async with case.database(Plain, Loose) as db:
        store, watch = db.store(Plain), Watch(db)
        assert len(NAMES) > 200
        for name in NAMES:
            with raises(AttributeError) as missing:
                getattr(Plain, name)
            assert len(str(missing.error)) < 7_000
            outside: Any = name
            calls: list[Any] = [
                lambda outside=outside: store.find(order_by=outside),
                lambda outside=outside: store.find(order_by=[outside]),
                lambda outside=outside: store.find(order_by=(Plain.n.desc(), outside)),
                lambda outside=outside: store.page(order_by=outside),
                lambda outside=outside: store.find_one(order_by=outside),
                lambda outside=outside: store.group(PerName, order_by=outside),
                lambda outside=outside: store.find(outside),
                lambda outside=outside: store.find(Plain.n == 1, outside),
                lambda outside=outside: store.count(outside),
                lambda outside=outside: store.group(PerName, having=outside),
                lambda outside=outside: store.update_many(everything(), changes=outside),
                lambda outside=outside: store.update_many(everything(), changes=[outside]),
                lambda outside=outside: store.update(ID, outside),
                lambda outside=outside: store.update(ID, Plain.n.set(1), where=outside),
                lambda outside=outside: store.delete_many(outside),
                lambda outside=outside: store.delete(ID, where=outside),
                lambda outside=outside: store.upsert(Plain(), on=outside),
                lambda outside=outside: store.upsert(Plain(), on=(outside, outside)),
                lambda outside=outside: store.claim(everything(), changes=Plain.n.set(1), order_by=outside),
                lambda outside=outside: store.find(any_of(outside)),
                lambda outside=outside: store.find((Plain.n == 1) & outside),
                lambda outside=outside: store.find(Plain.n == 1, cast("Any", via)(outside, Plain.name)),
                lambda outside=outside: store.find(any_related(outside)),
            ]
            for number, call in enumerate(calls):
                try:
                    with raises(InvalidInput) as raised:
                        await call()
                except (AssertionError, TypeError) as error:
                    raise AssertionError(f"call {number} with {name!r}: {error}") from error
                assert len(name) < 12 or name not in raised.error.message, f"call {number} repeats {name!r}"
        wrong_views: list[Any] = ["PlainName", dict, Plain(), None.__class__, Loose, PerName, int]
        for into in wrong_views:
            for call in (lambda into=into: store.find(into=into), lambda into=into: store.get(ID, into=into)):
                with raises(InvalidInput, ConfigurationError):
                    await call()
        wrong_groups: list[Any] = ["PerName", Plain, PlainName, None, dict]
        for group in wrong_groups:
            with raises(InvalidInput, ConfigurationError):
                await store.group(group)
        assert watch.texts == []


@rule("input")
async def only_identifiers_are_keys_of_dicts(case: AsyncCase) -> None:
    """A dict's key in a filter is an identifier; every other text, or no text, is InvalidInput, unsent."""
    async with case.database(Zoo) as db:
        watch = Watch(db)
        identifiers = 0
        for name in NAMES:
            if name.isidentifier() and name.isascii() and len(name) <= 100:
                identifiers += 1
                assert await db.store(Zoo).count(Zoo.extra[name] == 1) == 0
                continue
            watch.clear()
            with raises(InvalidInput) as raised:
                await db.store(Zoo).find(Zoo.extra[name] == 1)
            assert raised.error.entity == "Zoo"
            assert watch.texts == []
        assert 10 < identifiers < 60
        wrong: list[Any] = [1, None, {"$ne": 1}, ("a",), b"a", True]
        untyped: Any = Zoo
        for name in wrong:
            with raises(InvalidInput):
                untyped.extra[name]
        with raises(InvalidInput):
            untyped.text["a"]


# -- cursors -----------------------------------------------------------------------------------------------------------


@rule("input")
async def damaged_and_foreign_cursors_are_refused(case: AsyncCase) -> None:
    """A cursor that was changed, cut, or made by another query or key is InvalidCursor, unsent."""
    async with case.database(Plain, Loose, cursor_key="0123456789abcdef") as db:
        store, loose = db.store(Plain), db.store(Loose)
        await fill(store, [Plain(name=str(n), n=n) for n in range(5)])
        await fill(loose, [Loose(n=n) for n in range(5)])
        cursor = (await store.page(Plain.n >= 0, order_by=Plain.n, limit=2)).next_cursor
        assert cursor is not None
        foreign = [
            (await store.page(order_by=Plain.n, limit=2)).next_cursor,
            (await store.page(Plain.n >= 1, order_by=Plain.n, limit=2)).next_cursor,
            (await store.page(Plain.n >= 0, order_by=Plain.n.desc(), limit=2)).next_cursor,
            (await store.page(Plain.n >= 0, order_by=Plain.name, limit=2)).next_cursor,
            (await store.page(Plain.n >= 0, limit=2)).next_cursor,
            (await loose.page(Loose.n >= 0, order_by=Loose.n, limit=2)).next_cursor,
        ]
        for key_ in ("fedcba9876543210", None):
            async with aconnect("memory://", entities=[Plain], cursor_key=key_) as other:
                await other.create_schema()
                await fill(other.store(Plain), [Plain(name=str(n), n=n) for n in range(5)])
                page = await other.store(Plain).page(Plain.n >= 0, order_by=Plain.n, limit=2)
                foreign.append(page.next_cursor)
        swapped = "B" if cursor[10] != "B" else "C"
        damaged: list[Any] = [
            "", "x", "AAAA", "null", "0", "' or 1=1 --", "é", "\0", cursor[:-1], cursor[1:], cursor + "A", cursor + "=", " " + cursor,
            cursor.upper(), cursor[::-1], cursor[:10] + swapped + cursor[11:], cursor * 2, "A" * 100_000, b"abc", 5, True,
            {"$gt": ""}, [cursor], ID,
        ]  # fmt: skip
        watch = Watch(db)
        for token in [*foreign, *damaged]:
            assert token is not None
            with raises(InvalidCursor) as raised:
                await store.page(Plain.n >= 0, order_by=Plain.n, limit=2, after=token)
            assert (raised.error.entity, raised.error.hint is not None) == ("Plain", True)
        assert watch.texts == []
        # The limit is no part of it.
        page = await store.page(Plain.n >= 0, order_by=Plain.n, limit=50, after=cursor)
        assert [p.n for p in page.items] == [2, 3, 4]


# -- numbers, ids, classes ---------------------------------------------------------------------------------------------


@rule("input")
async def limits_are_numbers_in_range(case: AsyncCase) -> None:
    """Limits, offsets and batch sizes that are negative, too great or no ints are InvalidInput, unsent; `limit=0` is empty."""
    async with case.database(Plain) as db:
        store, watch = db.store(Plain), Watch(db)
        never: list[Any] = [
            -1,
            -(10**30),
            10_001,
            10**30,
            10**5_000,
            True,
            False,
            1.0,
            "1",
            {"$gt": 0},
            "1; drop table kit_plain",
            ID,
        ]
        given: list[Any] = [*never, 0, None]
        for limit in given:
            zero_is_wrong: list[Any] = [lambda limit=limit: store.page(limit=limit)]
            if limit is not None:
                zero_is_wrong.append(lambda limit=limit: _drain(store.iterate(batch=limit)))
            fine_with_zero: list[Any] = [
                lambda limit=limit: store.find(limit=limit),
                lambda limit=limit: store.group(PerName, limit=limit),
            ]
            for call in [
                *zero_is_wrong,
                *([] if limit in (0, None) and limit is not False else fine_with_zero),
            ]:
                with raises(InvalidInput) as raised:
                    await call()
                assert "limit must be" in str(raised.error) or "batch must be" in str(raised.error)
        for offset in (o for o in never if o != 10_001):
            with raises(InvalidInput) as raised:
                await store.find(offset=offset, limit=5)
            assert "offset" in str(raised.error)
        assert await store.find(limit=0) == []
        assert await store.group(PerName, limit=0) == []
        assert watch.texts == []
        assert await store.find(limit=10_000, offset=10_001) == []


async def _drain(items: Any) -> None:
    async for _ in items:
        pass


@rule("input")
async def ids_are_of_their_type(case: AsyncCase) -> None:
    """An id of another type is InvalidInput, unsent, and says which type it should have; too many ids are TooLarge."""
    async with case.database(Plain, Country, Number) as db:
        watch = Watch(db)
        wrong: list[tuple[Any, list[Any]]] = [
            (Plain, [str(ID), ID.hex, ID.bytes, 5, None, True, Plain(), Plain, {"$ne": None}]),
            (Country, [ID, 5, None, b"SE", ["SE"], Country(id="SE")]),
            (Number, ["5", 5.0, True, None, 2**63, ID]),
        ]
        for entity, ids in wrong:
            store: Any = db.store(entity)
            for value in ids:
                calls: list[Any] = [
                    lambda value=value, store=store: store.get(value),
                    lambda value=value, store=store: store.require(value),
                    lambda value=value, store=store: store.delete(value),
                    lambda value=value, store=store: store.get_many([value]),
                    lambda value=value, store=store: store.explain().get(value),
                ]
                for call in calls:
                    with raises(InvalidInput) as raised:
                        await call()
                    assert (raised.error.entity, raised.error.field) == (entity.__name__, "id")
                    assert f"{entity.__name__}.id: must" in str(raised.error) or "64 bits" in str(
                        raised.error
                    )
        several: list[Any] = ["abc", b"abc", 5, None]
        for ids in several:
            with raises(InvalidInput):
                await db.store(Country).get_many(ids)
        with raises(TooLarge):
            await db.store(Number).get_many(range(1_001))
        assert await db.store(Number).get_many([]) == {}
        assert watch.texts == []


@rule("input")
async def an_instance_is_no_class(case: AsyncCase) -> None:
    """An instance compared in the class's place is InvalidInput, unsent, and asks whether that was meant."""
    async with case.database(Plain, Job) as db:
        store, watch = db.store(Plain), Watch(db)
        plain = Plain(name="x", n=3)
        untyped: Any = Plain
        wrong: Any
        for wrong in (plain.name == "x", plain.name != "x", plain.name == "x" and plain.n == 3):
            with raises(InvalidInput) as raised:
                await store.find(wrong)
            assert "instance" in str(raised.error)
            with raises(InvalidInput) as raised:
                await store.delete_many(Plain.n == 3, wrong)
            assert "instance" in str(raised.error)
            with raises(InvalidInput) as raised:
                await store.update(plain.id, Plain.n.set(1), where=wrong)
            assert "instance" in str(raised.error)
            with raises(InvalidInput):
                await store.find((Plain.n == 3) & wrong)
        # Python's own connectives, and a chained comparison.
        with raises(InvalidInput) as raised:
            await store.find(Plain.n == 3 and Plain.name == "x")
        assert "&" in str(raised.error)
        with raises(InvalidInput):
            await store.find(1 < untyped.n < 5)
        with raises(InvalidInput):
            wrong = not untyped.n.is_null()
            await store.find(wrong)
        # Filters, orders and changes of another entity.
        with raises(InvalidInput):
            await store.find(Job.rank == 1)
        with raises(InvalidInput):
            await store.find((Plain.n == 1) & (Job.rank == 1))
        with raises(InvalidInput):
            await store.find(order_by=Job.rank)
        with raises(InvalidInput):
            await store.update(plain.id, Job.rank.set(1))
        assert watch.texts == []


@rule("input")
async def only_its_own_entities_are_stored(case: AsyncCase) -> None:
    """A class, a view, another entity, a dict in an entity's place is InvalidInput, unsent; an unknown class is told."""
    async with case.database(Plain, Loose) as db:
        store, watch = db.store(Plain), Watch(db)
        plain = Plain()
        wrong: list[Any] = [
            Plain, Loose(), PlainLoose(loose=[]), PlainName(name="x"), {"name": "x"}, "x", None, plain.model_dump(), Sheet(), 5,
        ]  # fmt: skip
        for entity in wrong:
            for call in (
                lambda entity=entity: store.create(entity),
                lambda entity=entity: store.create_many([plain, entity]),
                lambda entity=entity: store.replace(entity),
                lambda entity=entity: store.upsert(entity, on=Plain.id),
            ):
                with raises(InvalidInput) as raised:
                    await call()
                assert (raised.error.entity, "Plain" in str(raised.error)) == ("Plain", True)
        assert watch.texts == []
        with raises(ConfigurationError) as unknown:
            db.store(Account)
        assert "entities=" in str(unknown.error)
        views: list[Any] = [PlainName, PlainLoose, dict, "Plain", plain]
        for view in views:
            with raises(ConfigurationError, InvalidInput):
                db.store(view)


# -- URLs --------------------------------------------------------------------------------------------------------------


@rule("input")
async def unknown_keys_of_a_url_are_refused(case: AsyncCase) -> None:
    """A key in the URL's query that nobody knows is BadURL, before anything is connected, and names the nearest."""
    url = case.store.url
    joint = "&" if "?" in url else ("?" if urlsplit(url).path or urlsplit(url).netloc else "/?")
    for query, suggested in (
        ("poolsize=3", "pool_size"),
        ("timeout=3", "timeout_s"),
        ("zzzzzz=1", "valid:"),
        ("Allow=x", "allow"),
    ):
        with raises(BadURL) as raised:
            async with aconnect(f"{url}{joint}{query}", entities=[Plain]):
                _not_reached()
        assert suggested in str(raised.error)
    for query in ("pool_size=0", "pool_size=many", "timeout_s=-1", "timeout_s=nan", "allow=everything"):
        with raises(BadURL, ConfigurationError):
            async with aconnect(f"{url}{joint}{query}", entities=[Plain]):
                _not_reached()
    async with aconnect(f"{url}{joint}pool_size=2&timeout_s=20", entities=[Plain]) as db:
        await db.ping()


PASSWORDS = (
    "XYZ",
    "XYZ p@ss/w:o#r?d&=%+,;[]",
    "%41XYZ%2F",
    "XYZ€пароль",
    "XYZ'; drop --",
    "{XYZ}",
    "XYZ\\",
    "XYZ@h/db?x=1",
)


@rule("input")
async def passwords_are_never_shown(case: AsyncCase) -> None:
    """A wrong login, or no server: neither the error, its causes, its traceback, pickle nor any repr shows the password."""
    parts = urlsplit(case.store.url)
    if not parse_url(case.store.url).hosts or case.store.name in ("memory", "mongomock"):
        raise NotApplicable("its URL holds no password")
    host = parts.netloc.rpartition("@")[2]
    for number, password in enumerate(PASSWORDS):
        # A driver may look for a server that is not there for as long as it may.
        for where in ("127.0.0.1:1", host) if number < 3 else (host,):
            netloc = f"someone:{quote(password, safe='')}@{where}"
            url = urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
            kind: type[BaseException] | None = None
            try:
                async with aconnect(url, entities=[Plain], timeout_s=0.4) as db:
                    shown = [repr(db), str(db.url), repr(db.url), repr(db.backend), repr(db.__dict__)]
                    await db.ping()
            except DbkitError as error:
                shown, kind = _shown(error), type(error)
            assert where == host or kind is Unavailable, kind
            for text in shown:
                assert "XYZ" not in text, text


def _shown(error: BaseException) -> list[str]:
    """Return all that a log, a traceback or a queue could get of *error* and of those that it came from."""
    texts = ["".join(traceback.format_exception(error))]
    seen: BaseException | None = error
    while seen is not None:
        texts += [repr(seen), str(seen), repr(seen.args), repr(getattr(seen, "__dict__", {}))]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    again = pickle.loads(pickle.dumps(error))
    return [*texts, repr(again), str(again), pickle.dumps(error).decode("latin-1")]
