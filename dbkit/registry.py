"""Which package serves which URL: entry points of the group `dbkit.backends`, or `register()`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, cast

from .errors import BadURL, MissingDriver
from .features import Features
from .nearest import nearest
from .options import Options
from .url import URL

if TYPE_CHECKING:
    from ._async.backend import AsyncBackend
    from ._sync.backend import Backend

__all__ = ["Plugin", "backends", "plugin", "register"]

# Those that ship with dbkit are known without metadata, so that a source tree on sys.path works.
_SHIPPED = {
    "memory": "dbkit_memory.plugin",
    "sqlite": "dbkit_sql.plugin",
    "postgresql": "dbkit_sql.plugin",
    "mongodb": "dbkit_mongo.plugin",
    "mongomock": "dbkit_mongo.plugin",
}
_registered: dict[str, Plugin] = {}


class Plugin(Protocol):
    """A module or object that makes backends; it imports the driver inside its functions only.

    It may have `REFUSED_KEYS`, too: keys of the driver's that cannot stand in the URL's query, each with what to say instead.
    """

    # Properties, as a module's dict is no Mapping to those who might assign another one.
    @property
    def QUERY_KEYS(self) -> frozenset[str]:  # noqa: N802  # a module's constant
        """The driver's own documented keys that may stand in the URL's query."""
        ...

    @property
    def FEATURES(self) -> Mapping[str, Features]:  # noqa: N802
        """The declared answers for each backend name it serves."""
        ...

    def backend(self, url: URL, options: Options) -> Backend:
        """Make a backend, without I/O."""
        ...

    def async_backend(self, url: URL, options: Options) -> AsyncBackend:
        """Make an asynchronous backend, without I/O."""
        ...


def register(name: str, plugin: Plugin) -> None:
    """Serve URLs that start with `name://` by *plugin*, in this process, before any entry point of that name."""
    _registered[name] = plugin


def backends() -> list[str]:
    """Return the names of all backends that can be chosen."""
    found = {point.name for point in entry_points(group="dbkit.backends")}
    return sorted(found | _SHIPPED.keys() | _registered.keys())


def plugin(name: str) -> Plugin:
    """Return what serves the backend *name*.

    Raises:
        BadURL: there is none.
        MissingDriver: its package cannot be imported.
    """
    if name in _registered:
        return _registered[name]
    target = _SHIPPED.get(name)
    if target is None:
        point = next(iter(entry_points(group="dbkit.backends", name=name)), None)
        if point is None:
            known = backends()
            near = nearest(name, known)
            raise BadURL(
                f"no backend serves {name}://",
                hint=(f"did you mean {near}://? " if near else "") + f"known: {', '.join(known)}",
            )
        target = point.value
    module, _, attribute = target.partition(":")
    try:
        loaded: object = importlib.import_module(module)
    except ImportError as error:
        raise MissingDriver(
            f"the backend {name}:// cannot be imported", backend=name, hint=str(error)
        ) from error
    return cast("Plugin", getattr(loaded, attribute) if attribute else loaded)
