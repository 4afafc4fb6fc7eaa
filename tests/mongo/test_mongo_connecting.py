"""URLs, the server's identity, and what is refused before anything is sent."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from dbkit import BadURL, Entity, Mapped, Unsupported, aconnect, connect, errors, field
from dbkit.migrations import Migrator
from dbkit.options import Options
from dbkit.url import parse_url
from dbkit_mongo.connecting import client_options, client_url, database_of
from dbkit_mongo.features import FEATURES, MONGODB
from dbkit_mongo.identity import Quirks, check_version, features_of, quirks_of, server_info
from tests.mongo.entities import ENTITIES, Plain

REAL = {
    "version": "7.0.5",
    "versionArray": [7, 0, 5, 0],
    "gitVersion": "7809d71e84",
    "storageEngines": ["wiredTiger"],
}


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("mongodb://h/app", "mongodb://h/app"),
        ("mongodb+motor://h/app", "mongodb://h/app"),
        ("mongodb+srv://u:p%40ss@c.example.net/app", "mongodb+srv://u:p%40ss@c.example.net/app"),
        ("mongodb+motor+srv://c.example.net/app", "mongodb+srv://c.example.net/app"),
        ("mongodb://h1:1,h2:2/app?pool_size=3", "mongodb://h1:1,h2:2/app"),
    ],
)
def test_the_driver_gets_its_own_url(url: str, given: str) -> None:
    assert client_url(parse_url(url), Options()) == given


def test_the_drivers_keys_pass_and_stay_the_users() -> None:
    url = parse_url("mongodb://h/app?replicaSet=rs0&w=majority&heartbeatFrequencyMS=600")
    options = Options(driver=url.query, pool_size=3, timeout_s=2)
    assert client_url(url, options) == "mongodb://h/app"
    made = client_options(options)
    assert (made["maxPoolSize"], made["waitQueueTimeoutMS"]) == (3, 2_000)
    assert (made["replicaSet"], made["heartbeatFrequencyMS"], made["w"]) == ("rs0", "600", "majority")


@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+motor", "mongomock"])
@pytest.mark.parametrize(
    "key",
    ["connectTimeoutMS", "serverSelectionTimeoutMS", "socketTimeoutMS", "timeoutMS", "waitQueueTimeoutMS"],
)
def test_a_limit_that_timeout_s_would_replace_is_refused(key: str, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:1/db?{key}=300"
    with pytest.raises(BadURL, match=f"{key} cannot stand in the URL") as caught:
        connect(url, entities=[Plain])
    assert "timeout_s" in str(caught.value)
    with pytest.raises(BadURL, match=key):
        aconnect(url, entities=[Plain])
    with pytest.raises(BadURL, match=key):
        Migrator(url, "migrations")


def test_timeout_s_bounds_the_search_for_a_server() -> None:
    started = monotonic()
    with pytest.raises(errors.Unavailable):
        connect("mongodb://127.0.0.1:1/db?timeout_s=0.3", entities=[Plain])
    assert monotonic() - started < 3


@pytest.mark.parametrize(("key", "value"), [("w", "1"), ("w", "0"), ("readPreference", "secondary")])
def test_what_would_break_promises_is_refused(key: str, value: str) -> None:
    url = parse_url(f"mongodb://h/app?{key}={value}")
    with pytest.raises(BadURL, match=f"{key} in the URL can only be"):
        client_url(url, Options(driver=url.query))


@pytest.mark.parametrize(
    "url", ["mongodb://h", "mongodb://h/", "mongodb://h/a.b", "mongodb://h/a/b", f"mongodb://h/{'x' * 64}"]
)
def test_the_path_names_the_database(url: str) -> None:
    with pytest.raises(BadURL):
        database_of(parse_url(url))


def test_mongomock_needs_no_name() -> None:
    assert database_of(parse_url("mongomock://")) == "dbkit"


@pytest.mark.parametrize("url", ["mongodb+mottor://h/app", "mongomock+motor://", "mongodb+motor://h/app"])
def test_a_wrong_driver_is_named(url: str) -> None:
    with pytest.raises(BadURL, match=r"driver|asynchronous only"):
        connect(url, entities=[Plain])


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://user:s3cret@h/app?authMechanism=NOPE",
        "mongodb://user:s3cret@h/app?replicaSet=",
        "mongodb://user:s3cret@h/app?tlsCAFile=/nowhere&tls=true",
    ],
)
def test_a_password_stands_in_no_error(url: str) -> None:
    with pytest.raises(errors.DbkitError) as caught:
        connect(url, entities=[Plain], timeout_s=0.1)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "s3cret" not in f"{seen!r}{seen}"
        seen = seen.__cause__


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(errors.Unavailable):
        connect("mongodb://127.0.0.1:9/app", entities=[Plain], timeout_s=0.2)


# -- who answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "name", "is_surrogate"),
    [
        (REAL, "MongoDB", False),
        ({**REAL, "secantusVersion": "0.7"}, "SecantusDB", True),
        ({**REAL, "ferretdb": {"version": "v2"}}, "FerretDB", True),
        ({**REAL, "gitVersion": "0" * 40}, "a server that says it is MongoDB", True),
        ({"version": "7.0.5"}, "a server that says it is MongoDB", True),
    ],
)
def test_a_surrogate_is_called_by_its_name(build: dict[str, Any], name: str, is_surrogate: bool) -> None:
    info = server_info(build)
    assert (info.name, info.is_surrogate) == (name, is_surrogate)


def test_mongodb_has_no_quirks() -> None:
    assert quirks_of(server_info(REAL)) == Quirks()
    assert quirks_of(server_info({**REAL, "secantusVersion": "0.7"})) != Quirks()


def test_an_old_server_is_refused() -> None:
    check_version(REAL)
    check_version({"versionArray": [6, 0, 0, 0]})
    with pytest.raises(Unsupported, match=r"6\.0 or later"):
        check_version({"version": "5.0.9", "versionArray": [5, 0, 9, 0]})


@pytest.mark.parametrize(
    ("hello", "has"), [({}, False), ({"setName": "rs0"}, True), ({"msg": "isdbgrid"}, True)]
)
def test_transactions_need_a_replica_set(hello: dict[str, Any], has: bool) -> None:
    features = features_of(MONGODB, hello, server_info(REAL))
    flags = ("transactions", "atomic_many", "checked_references", "snapshot_reads")
    assert {bool(getattr(features, flag)) for flag in flags} == {has}
    assert bool(features.real_server)
    if not has:
        assert "--replSet" in (features.transactions.hint or "")


def test_references_need_transactions() -> None:
    with pytest.raises(Unsupported) as caught:
        connect("mongomock://", entities=ENTITIES)
    assert "check=False" in str(caught.value)
    assert caught.value.field is not None


def test_declared_flags_are_there_for_each_scheme() -> None:
    assert set(FEATURES) == {"mongodb", "mongomock"}
    assert not FEATURES["mongomock"].transactions
    assert not FEATURES["mongodb"].serializable


# -- Motor ---------------------------------------------------------------------------------------------------------------


async def test_motor_says_when_it_ends(mongo_url: str) -> None:
    with pytest.warns(DeprecationWarning, match="May 2026.*May 2027"):
        database = aconnect(mongo_url.replace("mongodb://", "mongodb+motor://"), entities=[Plain])
    async with database as db:
        await db.create_schema()
        store = db.store(Plain)
        await store.create(Plain(id="a", n=1))
        async with db.transaction() as tx:
            await tx.store(Plain).update("a", Plain.n.set(Plain.n + 1))
        page = await store.page(total=True)
        assert ([p.n for p in page.items], page.total) == ([2], 1)
        assert (await store.explain().find(Plain.id == "a")).statement


# -- mongomock -----------------------------------------------------------------------------------------------------------


class Job(Entity, name="jobs"):
    word: Mapped[str] = field(unique="casefold")
    n: Mapped[int | None] = field(default=None)


async def test_mongomock_tells_each_read_once() -> None:
    told: list[str] = []
    with connect("mongomock://", entities=[Job]) as db:
        db.create_schema()
        db.on_statement(lambda statement: told.append(statement.text.split('"')[1]))
        db.store(Job).find(Job.n == 1)
        db.store(Job).count()
    async with aconnect("mongomock://", entities=[Job]) as adb:
        await adb.create_schema()
        adb.on_statement(lambda statement: told.append(statement.text.split('"')[1]))
        await adb.store(Job).find(Job.n == 1)
        await adb.store(Job).count()
    assert told == ["find", "aggregate"] * 2


async def test_mongomock_is_the_same_behind_await() -> None:
    async with aconnect("mongomock://", entities=[Job]) as db:
        await db.create_schema()
        store = db.store(Job)
        job = await store.create(Job(word="A", n=1))
        with pytest.raises(errors.DuplicateKey) as caught:
            await store.create(Job(word="a"))
        assert caught.value.field == "word"
        await store.create(Job(word="b"))
        assert await store.get(job.id) == job
        assert [j.n for j in (await store.page(order_by=Job.n, limit=1)).items] == [None]
        assert await store.count(Job.n != 1) == 1
        assert await store.delete(job.id) is True
        with pytest.raises(Unsupported):
            db.transaction()
        with pytest.raises(Unsupported):
            await store.create_many([Job(word="c")])
