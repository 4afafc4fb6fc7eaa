"""The entry point: `memory://` is a database of its own, `memory://name` one that the process shares by its name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dbkit.errors import BadURL
from dbkit.features import Features
from dbkit.options import Options
from dbkit.url import URL

from .features import FEATURES as DECLARED
from .tables import Tables

if TYPE_CHECKING:
    from ._async.backend import AsyncMemoryBackend
    from ._sync.backend import MemoryBackend

__all__ = ["EXTRA", "FEATURES", "QUERY_KEYS", "async_backend", "backend"]

QUERY_KEYS: frozenset[str] = frozenset()
FEATURES: dict[str, Features] = DECLARED
EXTRA: str | None = None

_named: dict[str, Tables] = {}
_lock = threading.Lock()


def backend(url: URL, options: Options) -> MemoryBackend:  # noqa: ARG001  # the protocol's
    """Make a backend on the database that *url* names."""
    from ._sync.backend import MemoryBackend

    return MemoryBackend(_tables(url))


def async_backend(url: URL, options: Options) -> AsyncMemoryBackend:  # noqa: ARG001
    """Make an asynchronous backend on the database that *url* names; both colours share it."""
    from ._async.backend import AsyncMemoryBackend

    return AsyncMemoryBackend(_tables(url))


def _tables(url: URL) -> Tables:
    """Return a new database, or the one of this name: it stays until the process ends, closed or not."""
    names = [host for host, _ in url.hosts] + ([url.database] if url.database else [])
    if url.driver or url.username is not None or len(names) > 1 or any(port for _, port in url.hosts):
        raise BadURL("a memory URL holds at most a name", backend="memory", hint="memory:// or memory://name")
    if not names:
        return Tables()
    with _lock:
        return _named.setdefault(names[0], Tables())
