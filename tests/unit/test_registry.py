"""Which package serves which URL."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from dbkit import registry
from dbkit.errors import BadURL, MissingDriver


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def test_those_that_ship_are_there() -> None:
    assert {"memory", "sqlite", "postgresql", "mongodb", "mongomock"} <= set(registry.backends())


def test_an_unknown_one_suggests_the_nearest() -> None:
    with pytest.raises(BadURL) as caught:
        registry.plugin("postgressql")
    assert "no backend serves postgressql://" in str(caught.value)
    assert "did you mean postgresql://?" in str(caught.value)
    with pytest.raises(BadURL) as caught:
        registry.plugin("zzz")
    assert "did you mean" not in str(caught.value)
    assert "known: " in str(caught.value)


@pytest.mark.usefixtures("clean")
def test_a_registered_one_goes_before_all() -> None:
    mine: Any = SimpleNamespace(QUERY_KEYS=frozenset(), FEATURES={})
    registry.register("sqlite", mine)
    registry.register("mine", mine)
    assert registry.plugin("sqlite") is mine
    assert registry.plugin("mine") is mine
    assert "mine" in registry.backends()


def test_an_entry_point_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", "types:SimpleNamespace", "dbkit.backends")

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == "dbkit.backends"
        return [point] if name in (None, "theirs") else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    found: Any = registry.plugin("theirs")
    assert found is SimpleNamespace
    assert "theirs" in registry.backends()


def test_a_package_that_cannot_be_imported_is_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._SHIPPED, "gone", "dbkit_gone.plugin")
    with pytest.raises(MissingDriver) as caught:
        registry.plugin("gone")
    assert caught.value.backend == "gone"
    assert "dbkit_gone" in str(caught.value)


@pytest.mark.parametrize("name", ["memory", "sqlite", "postgresql", "mongodb", "mongomock"])
def test_a_plugin_is_read_without_its_driver(name: str) -> None:
    """Flags and keys are for docs and messages: no driver is imported for them."""
    code = (
        "import sys\n"
        "from dbkit.registry import plugin\n"
        f"p = plugin({name!r})\n"
        f"assert p.FEATURES[{name!r}] is not None and isinstance(p.QUERY_KEYS, frozenset)\n"
        "print(sorted({'psycopg', 'pymongo', 'bson', 'motor', 'mongomock', 'aiosqlite'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == ("[]", "")
