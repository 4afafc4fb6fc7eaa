"""What a class's line and body may say, as far as it can be told before pydantic has the fields' types."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .annotations import refuse
from .declare import FieldOptions
from .fields import suggestion

__all__ = [
    "KINDS",
    "check_body",
    "check_fields",
    "check_name",
    "declare",
    "options_of",
    "own_annotations",
    "refuse_unknown",
]

_LINE = ("hot", "indexes", "managed", "name", "unique")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,58}\Z")


def own_annotations(cls: type[Any]) -> Mapping[str, Any]:
    """Return the annotations of the class's own body, unevaluated where they cannot be evaluated."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


def refuse_unknown(cls: type[Any], given: Iterable[str]) -> None:
    """Refuse what is *given* in the class line and nobody takes: a mixin of the program's may have words of its own."""
    for word in given:
        if any("__init_subclass__" in base.__dict__ for base in cls.__mro__[1:] if not _takes_none(base)):
            return
        raise refuse(cls.__name__, f"{word}= means nothing in the class line", suggestion(word, _LINE))


def _takes_none(base: type[Any]) -> bool:
    return base.__module__.partition(".")[0] in {"builtins", "typing", "pydantic", "dbkit"}


def check_body(cls: type[Any]) -> None:
    """Refuse names that pydantic's own attributes or a view's entity have; runs before pydantic would warn."""
    annotations = own_annotations(cls)
    parents = {n for base in cls.__mro__[1:] for n in base.__dict__.get("__pydantic_fields__", ())}
    for name in annotations:
        where = f"{cls.__name__}.{name}"
        if name.startswith("__") or name == "model_config":
            continue
        if name.startswith("_"):
            if "ClassVar" in str(annotations[name]):
                continue
            raise refuse(where, "an entity is a value and has no private state", "use a ClassVar, or a field")
        if name not in parents and (name == "evolve" or hasattr(BaseModel, name)):
            raise refuse(
                where, "pydantic's models have an attribute of this name", f"{name}_ with stored_as={name!r}"
            )
        if name in parents and _is_concrete(cls):
            raise refuse(
                where,
                "a view keeps its entity's fields as they are",
                "give the view's own field another name",
            )
    for kind in ("__dbkit_options__", "__dbkit_sources__"):
        for name in cls.__dict__.get(kind, {}):
            if name not in annotations:
                raise refuse(
                    f"{cls.__name__}.{name}", "a field needs an annotation", f"{name}: Mapped[…] = …"
                )


def _is_concrete(cls: type[Any]) -> bool:
    return any(base.__dict__.get("__dbkit_role__") == "entity" for base in cls.__mro__[1:])


def declare(
    cls: type[Any],
    name: str | None,
    unique: Iterable[Iterable[str]],
    indexes: Iterable[Iterable[str]],
    hot: Any,
    managed: Any,
) -> None:
    """Keep what the class line says, checked as far as it can be before pydantic has the fields."""
    families = {base.__dict__.get("__dbkit_family__") for base in cls.__mro__} - {None, "base"}
    family = next((f for f in ("view", "group", "embedded", "record") if f in families), "base")
    is_root = "__dbkit_family__" in cls.__dict__
    role = "abstract"
    if family == "record":
        if _is_concrete(cls):
            parent = next(b for b in cls.__mro__[1:] if b.__dict__.get("__dbkit_role__") == "entity").__name__
            raise refuse(
                cls.__name__,
                f"a subclass of the entity {parent} is a view of it and says so",
                f"class {cls.__name__}({parent}, View[{parent}])",
            )
        if name is not None:
            role = "entity"
            check_table_name(cls.__name__, name)
    elif family in ("view", "group", "embedded") and not is_root:
        role = family
    if role != "entity" and (name is not None or unique or indexes or hot != 1 or managed is not True):
        what = "has no name=" if role == "abstract" else f"is {KINDS[role]}, which has no table of its own"
        given = [n for n, v in (("name", name), ("unique", unique), ("indexes", indexes)) if v]
        given += ["hot"] * (hot != 1) + ["managed"] * (managed is not True)
        raise refuse(cls.__name__, f"the class {what}, so {', '.join(f'{n}=' for n in given)} means nothing")
    if not isinstance(hot, int) or not 1 <= hot <= 1_024:
        raise refuse(cls.__name__, "hot= is the number of guard documents, 1 to 1,024")
    if not isinstance(managed, bool):
        raise refuse(cls.__name__, "managed= is True or False")
    compounds = {"unique": _compound(cls, "unique", unique), "indexes": _compound(cls, "indexes", indexes)}
    type.__setattr__(cls, "__dbkit_role__", role)
    type.__setattr__(cls, "__dbkit_stored__", name)
    type.__setattr__(cls, "__dbkit_compounds__", compounds)
    type.__setattr__(cls, "__dbkit_hot__", hot)
    type.__setattr__(cls, "__dbkit_managed__", managed)
    sources = cls.__dict__.get("__dbkit_sources__", {})
    if sources and role not in ("view", "group"):
        first = next(iter(sources))
        raise refuse(
            f"{cls.__name__}.{first}",
            "via, related, key and figures stand in views and groups only",
            f"class {cls.__name__}(View[…])",
        )


KINDS = {"view": "a view", "group": "a group", "embedded": "a nested model", "abstract": "an abstract class"}


def _compound(cls: type[Any], keyword: str, given: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[str, ...]] = []
    if isinstance(given, str) or any(isinstance(names, str) for names in given):
        raise refuse(
            cls.__name__, f"{keyword}= is a list of tuples of field names", f'{keyword}=[("org_id", "slug")]'
        )
    for names in given:
        fields = tuple(names)
        if not fields or len(set(fields)) != len(fields):
            raise refuse(cls.__name__, f"{keyword}= names a field twice, or none")
        found.append(fields)
    return tuple(found)


def check_name(where: str, what: str, name: Any) -> None:
    """Refuse a stored name that is not safe in every store."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise refuse(
            where, f"{what}{name!r}: a stored name is 1 to 59 ASCII letters, digits and _, no digit first"
        )


def check_table_name(where: str, name: Any) -> None:
    """Refuse the name of a table or collection that is not safe in every store; it may have a schema's before it."""
    if not isinstance(name, str) or "." not in name:
        schema, table = "", name
        check_name(where, "name=", table)
    else:
        schema, table = name.split(".", 1)
        for part in (schema, table):
            check_name(where, f"name={name!r}: ", part)
    for part in (schema, table):
        if part.lower().startswith(("_dbkit", "sqlite_")):
            raise refuse(where, f"name={name!r}: names that start so belong to dbkit or to SQLite")
    # MongoDB keeps what begins with `system.`, PostgreSQL schemas that begin with `pg_` (the manual, 5.10.6).
    if schema.lower().startswith("pg_") or schema.lower() in {"system", "information_schema"}:
        raise refuse(where, f"name={name!r}: a schema of this name belongs to the server")


def check_fields(cls: type[Any]) -> None:
    """Check what does not need the types: names, the class line, aliases."""
    fields: dict[str, FieldInfo] = cls.__pydantic_fields__
    if cls.model_config.get("alias_generator"):
        raise refuse(
            cls.__name__, "alias_generator would break reading by name", "field(stored_as=…) names the column"
        )
    if cls.model_config.get("extra") == "allow":
        raise refuse(
            cls.__name__, 'extra="allow": what is not declared is not stored', "declare a dict[str, Any]"
        )
    for name, info in fields.items():
        if info.alias or info.validation_alias or info.serialization_alias:
            raise refuse(
                f"{cls.__name__}.{name}",
                "an alias would break reading by name",
                "stored_as= names the column",
            )
    for keyword, compounds in cls.__dict__["__dbkit_compounds__"].items():
        for names in compounds:
            for name in names:
                if name not in fields:
                    raise refuse(
                        cls.__name__,
                        f"{keyword}= names {name!r}, which is no field",
                        suggestion(name, fields),
                    )


def options_of(cls: type[Any]) -> dict[str, FieldOptions]:
    """Return what `field()` said, by name; inherited fields included."""
    found: dict[str, FieldOptions] = {}
    for base in reversed(cls.__mro__):
        own: dict[str, FieldOptions] = base.__dict__.get("__dbkit_options__", {})
        for name in own_annotations(base) if "__dbkit_options__" in base.__dict__ else ():
            found.pop(name, None)
        found.update(own)
    return found
