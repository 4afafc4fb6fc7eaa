"""`dbkit shell`: a Python prompt with the database open and the stores ready."""

from __future__ import annotations

import importlib
import importlib.util
import keyword
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Debug, Entities, Url
from .output import columns
from .settings import Settings

if TYPE_CHECKING:
    from .._sync.database import Database

__all__ = ["shell"]


def shell(
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Python's own prompt, even where IPython is installed.", show_default=False
        ),
    ] = False,
    url: Url = None,
    entities: Entities = None,
    debug: Debug = False,
) -> None:
    """Open a Python prompt with db and one store for each entity.

    The stores are called as their tables or collections: users.find(User.username == "ada").
    """
    del debug
    from .reaching import opened

    settings = Settings(url, entities)
    with opened(settings) as db:
        names = names_in(db, settings.entities)
        banner = _banner(db, settings.entities, names)
        if not plain and importlib.util.find_spec("IPython") is not None:
            _ipython(names, banner)
        else:
            _python(names, banner)


def names_in(db: Database, entities: list[Any]) -> dict[str, Any]:
    """Return what the prompt knows: dbkit's own names, the entities, their stores, and `db` itself."""
    import dbkit

    from ..entity import spec_of

    names: dict[str, Any] = {name: getattr(dbkit, name) for name in dbkit.__all__}
    for entity in entities:
        names[entity.__name__] = entity
    for entity in entities:
        name = store_name(spec_of(entity).stored, names)
        names[name] = db.store(entity)
    return {**names, "db": db}


def store_name(stored: str, taken: Mapping[str, Any]) -> str:
    """Return a name for the store: the table's, made an identifier that nothing else has."""
    name = stored.rpartition(".")[2]
    if not name.isidentifier():
        name = "".join(c if c.isalnum() else "_" for c in name)
    while keyword.iskeyword(name) or name in taken or name == "db" or not name.isidentifier():
        name = f"{name}_store" if name.isidentifier() else f"_{name}"
    return name


def _banner(db: Database, entities: list[Any], names: Mapping[str, Any]) -> str:
    from .._sync.store import Store

    stores = [name for name, value in names.items() if isinstance(value, Store)]
    rows = [("db", f"{db.url}: {db.server}")]
    rows += [(name, f"the store of {entity.__name__}") for name, entity in zip(stores, entities, strict=True)]
    return "\n".join([*columns(rows), "Everything that dbkit exports is here, too."])


def _python(names: dict[str, Any], banner: str) -> None:
    import code

    # Without it a prompt has no history and no arrow keys.
    if importlib.util.find_spec("readline") is not None:
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner=banner, local=names, exitmsg="")


def _ipython(names: dict[str, Any], banner: str) -> None:
    # IPython is the user's choice, no dependency: only its documented entrance is used.
    ipython: Any = importlib.import_module("IPython")
    typer.echo(banner)
    ipython.start_ipython(argv=["--no-banner"], user_ns=names)
