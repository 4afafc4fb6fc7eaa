"""The stores that random programs run on."""

from __future__ import annotations

import pytest

from dbkit.testing.servers import missing_is_failure
from dbkit.testing.stores import DEFAULT_STORES, NotRun, Shelf


@pytest.fixture
def differential_stores(shelf: Shelf) -> dict[str, str]:
    """Return the URL of each store that is there, by its label; at least two."""
    urls: dict[str, str] = {}
    for label in DEFAULT_STORES:
        store = shelf.store(f"differential-{label}", label)
        if not isinstance(store, NotRun):
            urls[label] = store.url
        elif missing_is_failure():
            pytest.fail(f"{label}: {store.reason}")
    return urls
