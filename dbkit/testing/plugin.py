"""The pytest plugin: the fixtures `db` and `adb`, a database on each store that `--dbkit-stores` names.

A project says which entities are stored, once, in its conftest.py:

    @pytest.fixture
    def dbkit_entities():
        return [User, Post]

Then a test that takes `db` (or `adb`, in an asynchronous test) runs once for each store, each time on an empty schema.
Nothing is imported and nothing started before the first such test.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbkit import AsyncDatabase, Database
    from dbkit.testing.stores import NotRun, Shelf, Store

__all__ = ["adb", "db", "dbkit_entities", "dbkit_store"]

_SHELF = pytest.StashKey["Shelf"]()
_REPORTED = "dbkit_servers"
_OPTION = "--dbkit-stores"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--dbkit-stores` and its setting."""
    group = parser.getgroup("dbkit", "databases on every store")
    what = "stores that tests with `db` and `adb` run on: names (memory, sqlite, postgresql, mongodb, mongomock) or URLs"
    group.addoption(
        _OPTION,
        metavar="STORES",
        help=f"{what}, separated by commas; named ones must be there (default: what can be had)",
    )
    parser.addini(
        "dbkit_stores", f"{what}; what --dbkit-stores is unless it is given", type="args", default=[]
    )


def asked(config: pytest.Config) -> tuple[dict[str, str], bool]:
    """Return the stores that the run is on, by label, and whether they were named, and so must be there."""
    from dbkit.testing.stores import DEFAULT_STORES, labels

    given: Any = config.getoption(_OPTION) or config.getini("dbkit_stores")
    try:
        return labels(given or DEFAULT_STORES), bool(given)
    except ValueError as error:
        raise pytest.UsageError(f"{_OPTION}: {error}") from None


def shelf(config: pytest.Config) -> Shelf:
    """Return the stores and servers of this session; made at the first call, put away at the session's end."""
    from dbkit.testing.stores import Shelf

    found = config.stash.get(_SHELF, None)
    if found is None:
        found = config.stash[_SHELF] = Shelf()
    return found


def missing(store: NotRun, *, named: bool) -> NoReturn:
    """Skip the test, as its store cannot be had; fail it where the store was named, or in continuous integration."""
    from dbkit.testing.servers import missing_is_failure

    text = f"{store.label} is not there: {store.reason}"
    if named or missing_is_failure():
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `db` or `adb` once for each store."""
    if "dbkit_store" in metafunc.fixturenames:
        stores, _ = asked(metafunc.config)
        metafunc.parametrize(
            "dbkit_store", list(stores.items()), ids=list(stores), indirect=True, scope="session"
        )


@pytest.fixture
def dbkit_entities() -> list[type[Any]]:
    """Return the entities that `db` and `adb` store. A project overrides it."""
    raise pytest.UsageError(
        "the fixtures db and adb need to know what is stored: in conftest.py, define the fixture "
        "`def dbkit_entities(): return [User, Post]`"
    )


@pytest.fixture
def dbkit_options() -> dict[str, Any]:
    """Return further arguments of `connect` for `db` and `adb`, such as `{"cursor_key": …}`. A project may override it."""
    return {}


@pytest.fixture(scope="session")
def dbkit_store(request: pytest.FixtureRequest) -> Store:
    """Return the store that the test runs on: `label` and `url` of a database that is the session's own."""
    label, name = request.param
    from dbkit.testing.stores import NotRun

    found = shelf(request.config).store(label, name)
    if isinstance(found, NotRun):
        missing(found, named=asked(request.config)[1])
    return found


@pytest.fixture
def db(
    dbkit_store: Store, dbkit_entities: list[type[Any]], dbkit_options: dict[str, Any]
) -> Iterator[Database]:
    """Return a database on the test's store, with an empty schema of `dbkit_entities`."""
    from dbkit import connect

    with connect(dbkit_store.url, entities=dbkit_entities, **dbkit_options) as database:
        database.drop_schema()
        database.create_schema()
        try:
            yield database
        finally:
            database.drop_schema()


async def _adb(
    dbkit_store: Store, dbkit_entities: list[type[Any]], dbkit_options: dict[str, Any]
) -> AsyncIterator[AsyncDatabase]:
    """Return an asynchronous database on the test's store, with an empty schema of `dbkit_entities`."""
    from dbkit import aconnect

    async with aconnect(dbkit_store.url, entities=dbkit_entities, **dbkit_options) as database:
        await database.drop_schema()
        await database.create_schema()
        try:
            yield database
        finally:
            await database.drop_schema()


def _asynchronous_fixture() -> Callable[..., Any]:
    """Return what makes an asynchronous fixture: pytest-asyncio's where it is installed, in its strict mode too.

    anyio's plugin takes pytest's own.
    """
    if importlib.util.find_spec("pytest_asyncio") is None:
        return pytest.fixture
    import pytest_asyncio

    return pytest_asyncio.fixture


adb = _asynchronous_fixture()(_adb, name="adb")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers the tests ran on: with their real names and versions, a surrogate as one."""
    lines: list[str] = getattr(config, _REPORTED, [])
    found = config.stash.get(_SHELF, None)
    if found is not None:
        lines = lines + [server.describe() for server in found.servers()]
    if lines:
        terminalreporter.section("dbkit: servers")
        for line in dict.fromkeys(lines):
            terminalreporter.line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Put the stores away, and stop what was started."""
    found = config.stash.get(_SHELF, None)
    if found is not None:
        found.close()
        del config.stash[_SHELF]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller of pytest-xdist, where there is one, which servers this worker ran on."""
    found = session.config.stash.get(_SHELF, None)
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if found is not None and output is not None:
        output[_REPORTED] = [server.describe() for server in found.servers()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Remember what a worker said of its servers."""
    lines = getattr(node, "workeroutput", {}).get(_REPORTED, [])
    setattr(node.config, _REPORTED, [*getattr(node.config, _REPORTED, []), *lines])
