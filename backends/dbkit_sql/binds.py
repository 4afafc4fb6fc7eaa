"""From a query's binds to the tuple that the driver gets: each compiled text has one function that fills its places.

A bind parameter stands for a slot of the query, encoded for the place where it stands. The function is made from source,
as a row of indexing is faster than any loop over it; the source holds positions only, never a value or a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect as SaDialect
from sqlalchemy.sql.elements import BindParameter, ClauseElement
from sqlalchemy.sql.selectable import FromClause

from dbkit.query import Slot

from .codecs import Codec

__all__ = ["RAW", "Binds", "Fill", "Raw", "Text", "object_id_bytes", "uuid_bytes"]

Fill = Callable[[tuple[Any, ...]], tuple[Any, ...]]

uuid_bytes = attrgetter("bytes")
object_id_bytes = attrgetter("binary")
_INLINE: dict[Any, str] = {uuid_bytes: "{}.bytes", object_id_bytes: "{}.binary"}


class Raw(sa.types.UserDefinedType[Any]):
    """A type that is only a name: SQLAlchemy writes it into DDL and casts, and touches no value."""

    cache_ok = True

    def __init__(self, name: str = "") -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """Return the name."""
        return self.name


RAW = Raw()


@dataclass(frozen=True, slots=True)
class Text:
    """A compiled statement: its text, and what fills it."""

    text: str
    fill: Fill


class Binds:
    """Gives out the bind parameters of one statement, and compiles it."""

    def __init__(self) -> None:
        self._sources: dict[str, str] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        self._globals: dict[str, Any] = {}
        self._aliases = 0

    def alias(self, table: sa.TableClause) -> FromClause:
        """Return *table* under a name of its own in the statement.

        No entity's name can hold a dollar; servers take it (PostgreSQL's manual, 4.1.1).
        """
        self._aliases += 1
        return table.alias(f"{table.name}${self._aliases}")

    def one(self, slot: Slot, encode: Codec = None, *, nullable: bool = False) -> BindParameter[Any]:
        """Return the parameter for one value."""
        value = f"b[{slot.index}]"
        source = value if encode is None else self._call(encode, value)
        if nullable and encode is not None:
            source = f"(None if {value} is None else {source})"
        return self._parameter((slot.index, source), source)

    def plus(self, slot: Slot, more: int) -> BindParameter[Any]:
        """Return the parameter for a number that is *more* than the slot's."""
        return self._parameter((slot.index, more), f"b[{slot.index}] + {more}")

    def array(self, slot: Slot, encode: Codec) -> BindParameter[Any]:
        """Return the parameter for all values of a slot as one list."""
        value = "v" if encode is None else self._call(encode, "v")
        source = f"[{value} for v in b[{slot.index}]]"
        return self._parameter((slot.index, source), source)

    def each(self, slot: Slot, encode: Codec, *, repeat: bool = True) -> list[BindParameter[Any]]:
        """Return a parameter for each value of a slot, as many as its size class.

        What is too much holds the last value again, or null without *repeat*. They must stand side by side in the text.
        """
        value = "v" if encode is None else self._call(encode, "v")
        self._globals["pad"] = _pad
        # The first one fills them all.
        source = f"*pad([{value} for v in b[{slot.index}]], {slot.size}, {repeat})"
        first = self._parameter((slot.index, source), source)
        rest = [self._parameter((slot.index, source, n), "") for n in range(1, slot.size)]
        return [first, *rest]

    def _parameter(self, key: tuple[Any, ...], source: str) -> BindParameter[Any]:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"__slot_{len(self._names)}"
            self._sources[name] = source
        return sa.bindparam(name, type_=RAW)

    def _call(self, encode: Callable[[Any], Any], value: str) -> str:
        if encode in _INLINE:
            return _INLINE[encode].format(value)
        name = next((n for n, v in self._globals.items() if v is encode), None)
        if name is None:
            name = f"e{len(self._globals)}"
            self._globals[name] = encode
        return f"{name}({value})"

    def compile(self, statement: ClauseElement, dialect: SaDialect) -> Text:
        """Compile *statement*, whose bind parameters are this object's or SQLAlchemy's own constants."""
        compiled: Any = statement.compile(dialect=dialect)
        names: list[str] = compiled.positiontup or []
        parts: list[str] = []
        for name in names:
            source = self._sources.get(name)
            if source is None:
                # SQLAlchemy's own, such as SQLite's OFFSET 0.
                source = repr(int(compiled.params[name]))
            if source:
                parts.append(source)
        return Text(compiled.string, self._filler(parts))

    def _filler(self, parts: list[str]) -> Fill:
        if not parts:
            return _nothing
        source = f"lambda b: ({', '.join(parts)},)"
        fill: Fill = eval(source, self._globals)  # noqa: S307  # made of positions alone, see above
        return fill


def _nothing(_: tuple[Any, ...]) -> tuple[Any, ...]:
    return ()


def _pad(values: list[Any], size: int, repeat: bool) -> list[Any]:
    return values + [values[-1] if repeat else None] * (size - len(values))
