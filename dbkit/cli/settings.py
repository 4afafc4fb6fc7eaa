"""Where the database, the entities and the migrations are: options, then the environment, then pyproject.toml.

    [tool.dbkit]
    url = "sqlite:///app.db"            # --url, DBKIT_URL; relative to this file, and without a password: it is shared
    entities = "app.models:ENTITIES"    # --entities
    path = "migrations"                 # --path; relative to the file

The nearest pyproject.toml counts, from the current folder upwards.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import DbkitError
from ..fields import suggestion
from ..url import URL, parse_url
from .failures import SECRETS, Misuse

if TYPE_CHECKING:
    from ..entity import Record

__all__ = ["Settings"]

_KEYS = frozenset({"url", "entities", "path"})
_URL_HINT = "say --url sqlite:///app.db, or set DBKIT_URL"


@dataclass(frozen=True)
class Settings:
    """What the options say, and what stands in pyproject.toml where they say nothing. Nothing is read before it is asked for."""

    url_option: str | None = None
    """`--url`, or `DBKIT_URL`."""
    entities_option: str | None = None
    path_option: Path | None = None

    @cached_property
    def project(self) -> _Project:
        return _Project.nearest(Path.cwd())

    @cached_property
    def url_text(self) -> str | None:
        """The URL as a driver needs it, never to be shown; None where nobody said one."""
        return self.url_option or self.project.url

    @cached_property
    def url(self) -> str:
        """The URL as a driver needs it, never to be shown."""
        if self.url_text is None:
            raise Misuse("which database?", hint=_URL_HINT)
        return self.url_text

    @cached_property
    def parsed_url(self) -> URL:
        """The URL taken apart; its secrets are hidden from now on in whatever is shown."""
        parsed = parse_url(self.url)
        SECRETS.learn(parsed)
        return parsed

    @property
    def path(self) -> Path:
        """The folder of the migrations, there or not."""
        return self.path_option or self.project.path or Path("migrations")

    @cached_property
    def has_entities(self) -> bool:
        return bool(self.entities_option or self.project.entities)

    @cached_property
    def entities(self) -> list[type[Record[Any]]]:
        """The entity classes, imported; the current folder can be imported from."""
        named = self.entities_option or self.project.entities
        if named is None:
            raise Misuse(
                "which entities?",
                hint='say --entities app.models:ENTITIES, or entities = "app.models:ENTITIES" under [tool.dbkit] '
                "in pyproject.toml",
            )
        folders = [Path.cwd()]
        if self.entities_option is None and self.project.folder is not None:
            folders.append(self.project.folder)
        return _load(named, folders)

    def view(self, named: str) -> type[Any]:
        """Return the view that MODULE:NAME names, imported from where the entities are."""
        from ..views import read_of

        assert self.entities, "they are imported first"
        module, value = _named(named, "a view", "a module and a class in it: app.views:UserLine")
        read_of(value, vars(module))
        return cast("type[Any]", value)


@dataclass(frozen=True)
class _Project:
    """`[tool.dbkit]` of a pyproject.toml."""

    folder: Path | None = None
    url: str | None = None
    entities: str | None = None
    path: Path | None = None

    @classmethod
    def nearest(cls, folder: Path) -> _Project:
        for place in (folder, *folder.parents):
            file = place / "pyproject.toml"
            if file.is_file():
                return cls._read(file)
        return cls()

    @classmethod
    def _read(cls, file: Path) -> _Project:
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Misuse(f"pyproject.toml cannot be read: {error}") from None
        tools: object = content.get("tool", {})
        table: object = (
            cast("Mapping[str, object]", tools).get("dbkit", {}) if isinstance(tools, dict) else {}
        )
        if not isinstance(table, dict):
            raise Misuse("dbkit under [tool] in pyproject.toml is no table", hint="write [tool.dbkit]")
        found = cast("dict[str, object]", table)
        for key, value in found.items():
            if key not in _KEYS:
                raise Misuse(
                    f"[tool.dbkit] in pyproject.toml has the unknown key {key!r}",
                    hint=suggestion(key, _KEYS),
                )
            if not isinstance(value, str):
                raise Misuse(f"{key} under [tool.dbkit] in pyproject.toml must be a text")
        texts = cast("dict[str, str]", found)
        url = texts.get("url")
        if url is not None:
            parsed = parse_url(url)
            SECRETS.learn(parsed)
            if parsed.password is not None:
                raise Misuse(
                    "the URL under [tool.dbkit] in pyproject.toml holds a password, and the file is shared",
                    hint="take it out of there, and set DBKIT_URL",
                )
            # A file of the project is one file, whatever folder of it one is in.
            if parsed.backend == "sqlite" and parsed.database and file.parent != Path.cwd():
                url = replace(parsed, database=str(file.parent / parsed.database)).render(show_password=True)
        path = texts.get("path")
        return cls(file.parent, url, texts.get("entities"), None if path is None else file.parent / path)


def _load(named: str, folders: list[Path]) -> list[type[Record[Any]]]:
    from ..entity import spec_of

    for folder in reversed(folders):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    module, value = _named(named, "a list of entities", "a module and a name in it: app.models:ENTITIES")
    classes: Any = value
    if not isinstance(value, list | tuple) or not value:
        what = "empty" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        raise Misuse(
            f"{named} must be a list or tuple of entity classes, and is {what}",
            hint=f"{named.partition(':')[2]} = [User, Post]",
        )
    for item in classes:
        spec_of(item, vars(module))
    return list(classes)


def _named(named: str, what: str, hint: str) -> tuple[object, Any]:
    """Return the module, and what *named* names in it."""
    module_name, colon, attribute = named.partition(":")
    if not colon or not module_name or not attribute.isidentifier():
        raise Misuse(f"{named!r} does not name {what}", hint=hint)
    module = _import(module_name, named)
    if not hasattr(module, attribute):
        raise Misuse(
            f"{module_name} has no {attribute!r}",
            hint=suggestion(attribute, [name for name in vars(module) if not name.startswith("_")]),
        )
    return module, getattr(module, attribute)


def _import(name: str, named: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise Misuse(
                f"{name} cannot be imported: it needs {error.name}, which is not installed here",
                hint="run dbkit in the environment of the program",
            ) from error
        raise Misuse(
            f"there is no module {error.name!r} to take {named} from",
            hint="name it as an import does, from the folder that you are in",
        ) from error
    except DbkitError:
        raise
    # The program's own module may raise anything while it is imported.
    except Exception as error:
        raise Misuse(
            f"importing {name} failed: {type(error).__name__}: {error}", hint="--debug shows where"
        ) from error
