"""The stores that the pages' examples run on."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from dbkit.testing import plugin
from dbkit.testing.stores import NotRun, Shelf, Store

_numbers = itertools.count(1)


@pytest.fixture(
    params=[
        "sqlite",
        "memory",
        pytest.param("postgresql", marks=pytest.mark.server),
        pytest.param("mongodb", marks=pytest.mark.server),
    ]
)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(store: str, shelf: Shelf) -> Callable[[], str] | None:
    """Makes a fresh database on the store; None on SQLite, for which the pages are written."""
    if store == "sqlite":
        return None

    def make() -> str:
        found = shelf.store(f"{store} {next(_numbers)}", store)
        if isinstance(found, NotRun):
            plugin.missing(found, named=False)
        assert isinstance(found, Store)
        return found.url

    return make
