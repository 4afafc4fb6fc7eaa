"""The pytest plugin, in projects of its own: `db` and `adb` on each store, and nothing at all where they are not used."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

ENTITIES = """
    import pytest
    from dbkit import Entity, Mapped, field

    class Note(Entity, name="notes"):
        text: Mapped[str] = field(unique=True)

    @pytest.fixture
    def dbkit_entities():
        return [Note]
"""
TESTS = """
    from conftest import Note

    def test_first(db):
        db.store(Note).create(Note(text="x"))
        assert db.store(Note).count() == 1

    def test_second(db):
        assert db.store(Note).count() == 0
        db.store(Note).create(Note(text="x"))
"""
PLUGINS = ("-p", "no:randomly", "-p", "no:cacheprovider")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in ("CI", "DBKIT_TEST_POSTGRES_URL", "DBKIT_TEST_MONGODB_URL", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(ENTITIES)
    return pytester


def test_db_runs_on_each_store_with_an_empty_schema(project: pytest.Pytester) -> None:
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess(*PLUGINS, "-v", "--dbkit-stores", "memory,sqlite")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines_random(
        [
            "*test_first[[]memory[]]*",
            "*test_first[[]sqlite[]]*",
            "*test_second[[]memory[]]*",
            "*test_second[[]sqlite[]]*",
        ]
    )


def test_adb_runs_on_each_store(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest
        from conftest import Note

        pytestmark = pytest.mark.asyncio

        async def test_first(adb):
            await adb.store(Note).create(Note(text="x"))
            assert await adb.store(Note).count() == 1

        async def test_both_colours_are_on_one_store(adb, db):
            db.store(Note).create(Note(text="x"))
            assert db.url.backend == adb.url.backend
    """)
    project.makeini("[pytest]\nasyncio_mode = strict\n")
    result = project.runpytest_subprocess(*PLUGINS, "--dbkit-stores", "memory,sqlite")
    result.assert_outcomes(passed=4)


def test_the_setting_names_stores_too(project: pytest.Pytester) -> None:
    project.makepyfile(TESTS)
    project.makeini("[pytest]\ndbkit_stores = sqlite memory\n")
    result = project.runpytest_subprocess(*PLUGINS, "-v")
    result.assert_outcomes(passed=4)


def test_a_url_is_a_store(project: pytest.Pytester) -> None:
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess(
        *PLUGINS, "-v", "--dbkit-stores", "sqlite:///one.db,memory://named,sqlite:///two.db"
    )
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines_random(
        ["*test_first[[]sqlite[]]*", "*test_first[[]sqlite-2[]]*", "*test_first[[]memory[]]*"]
    )


def test_an_unknown_store_is_a_usage_error(project: pytest.Pytester) -> None:
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess(*PLUGINS, "--dbkit-stores", "memory,orcale")
    assert result.ret != 0
    result.stdout.fnmatch_lines(
        ["*'orcale' is no store; known: memory, sqlite, postgresql, mongodb, mongomock*"]
    )


def test_entities_must_be_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(db): pass")
    result = pytester.runpytest_subprocess(*PLUGINS, "--dbkit-stores", "memory")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*define the fixture `def dbkit_entities(): return*"])


def test_options_go_to_connect(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest
        from conftest import Note

        @pytest.fixture
        def dbkit_options():
            return {"cursor_key": "k" * 32}

        def test_it(db):
            assert db.cursors._key == b"k" * 32
    """)
    project.runpytest_subprocess(*PLUGINS, "--dbkit-stores", "memory").assert_outcomes(passed=1)


NOWHERE = {"DBKIT_TEST_POSTGRES_URL": "postgresql://nobody:hunter2@127.0.0.1:1/none"}


def test_a_missing_server_is_a_skip_that_says_why(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess(*PLUGINS, "-rs", "-k", "first and postgresql")
    result.assert_outcomes(skipped=1, deselected=7)
    result.stdout.fnmatch_lines(
        ["SKIPPED * postgresql is not there: the server that DBKIT_TEST_POSTGRES_URL names*"]
    )
    assert "hunter2" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("how", ["named", "in CI"])
def test_a_missing_server_is_a_failure(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    if how == "in CI":
        monkeypatch.setenv("CI", "true")
    project.makepyfile(TESTS)
    options = ["--dbkit-stores", "postgresql"] if how == "named" else []
    result = project.runpytest_subprocess(*PLUGINS, *options, "-k", "first and postgresql")
    result.assert_outcomes(errors=1, deselected=1 if how == "named" else 7)
    result.stdout.fnmatch_lines(["*postgresql is not there: the server that DBKIT_TEST_POSTGRES_URL names*"])
    assert "hunter2" not in result.stdout.str() + result.stderr.str()


def test_a_project_that_does_not_use_it_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_nothing_is_imported_or_started(request):
            drivers = {"psycopg", "pymongo", "bson", "motor", "mongomock", "aiosqlite", "sqlalchemy"}
            assert not drivers & set(sys.modules)
            assert "dbkit.testing.servers" not in sys.modules
            assert "dbkit.testing.stores" not in sys.modules
    """)
    result = pytester.runpytest_subprocess(
        *PLUGINS, "-p", "no:asyncio", "-W", "error", "-W", "ignore:Module already imported"
    )
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*dbkit: servers*")


def test_servers_are_named_at_the_end(project: pytest.Pytester, mongo_server: object) -> None:
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess(*PLUGINS, "--dbkit-stores", "mongodb", "-n", "2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*dbkit: servers*", "* (private*", "*2 passed*"])


def test_what_fails_leaves_an_empty_schema_to_the_next(project: pytest.Pytester) -> None:
    project.makepyfile("""
        from conftest import Note

        def test_first(db):
            db.store(Note).create(Note(text="x"))
            assert False

        def test_second(db):
            assert db.store(Note).count() == 0
    """)
    project.runpytest_subprocess(*PLUGINS, "--dbkit-stores", "memory").assert_outcomes(passed=1, failed=1)
