"""How psycopg reads and writes values for dbkit; imported only where PostgreSQL is used."""

from __future__ import annotations

import re
import select

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from .codecs import json_loads
from .errors import OUTDATED, UNREADABLE, Failure

__all__ = ["ADAPTERS", "has_input", "postgres_failure"]


def _as_it_is(text: str) -> str:
    return text


class _Context:
    """What psycopg's `connect` takes its adapters from (its protocol AdaptContext)."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)
        # By default an int's type follows its magnitude, and each combination would be prepared anew.
        self.adapters.register_dumper(int, Int8Dumper)
        self.adapters.register_dumper(int, Int8BinaryDumper)
        # What is written as JSON is text already.
        set_json_dumps(_as_it_is, self)
        set_json_loads(json_loads, self)


ADAPTERS = _Context()
_KEY = re.compile(r"\(([^()=]+)\)=\(")


def has_input(socket: int) -> bool:
    """Return whether something has come that is not yet read; waits for nothing."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))
    # Windows has no poll; elsewhere select knows no socket above 1,023 (https://docs.python.org/3/library/select.html).
    return bool(select.select([socket], [], [], 0)[0])


def postgres_failure(error: BaseException) -> Failure | None:
    """Return what an error of the driver says, None for another error."""
    if not isinstance(error, psycopg.Error):
        return None
    diagnostics = error.diag
    code = error.sqlstate
    if code is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        code = "08006"
    elif code is None and isinstance(error, psycopg.DataError):
        code = UNREADABLE
    elif code == "0A000" and diagnostics.source_function == "RevalidateCachedQuery":
        # By the function in PostgreSQL's source (utils/cache/plancache.c): the message may be in any language.
        code = OUTDATED
    return Failure(
        code,
        diagnostics.message_primary or "",
        diagnostics.constraint_name,
        diagnostics.column_name,
        diagnostics.table_name,
        _key(diagnostics.message_detail),
    )


def _key(detail: str | None) -> tuple[str, ...]:
    """Return the columns of "Key (a, b)=(1, 2) already exists.", in any language of the server's messages.

    The values that stand there are never shown.
    """
    found = None if detail is None else _KEY.search(detail)
    return () if found is None else tuple(part.strip().strip('"') for part in found[1].split(","))
