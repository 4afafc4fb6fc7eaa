"""How a failure is told: one or two lines with the way out, an exit code, and never a password."""

from __future__ import annotations

import re
import traceback
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import quote

import typer

from ..errors import BadURL, ConfigurationError, DbkitError, Dirty, MigrationFailed, SchemaDrift
from ..url import _SECRET_KEYS, URL
from .output import bad, to_json

__all__ = ["DIRTY", "DONE", "DRIFT", "REFUSED", "USAGE", "Misuse", "Secrets", "Stop", "code_of", "tell"]

DONE, REFUSED, USAGE, DIRTY, DRIFT = 0, 1, 2, 3, 4
_LOGIN = re.compile(r"(://[^\s:/@]*):[^\s]*@")
_KEY = re.compile(r"([?&][\w.-]*(?:pass|secret|key|token|credential)[\w.-]*=)[^&\s'\"]+", re.IGNORECASE)
_CODES: tuple[tuple[type[DbkitError], int], ...] = ((Dirty, DIRTY), (SchemaDrift, DRIFT), (BadURL, USAGE))


class Misuse(ConfigurationError):
    """What was asked for does not say enough, or contradicts itself."""


def Stop(code: int) -> NoReturn:  # noqa: N802  # reads as typer.Exit does
    """End the command with an exit code; everything was said."""
    raise typer.Exit(code)


def code_of(error: BaseException) -> int:
    """Return the exit code that *error* ends the command with."""
    if isinstance(error, Misuse):
        return USAGE
    return next((code for kind, code in _CODES if isinstance(error, kind)), REFUSED)


class Secrets:
    """What must not be shown, whoever put it into a message: the last net, as dbkit's own messages hold none."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def learn(self, url: URL) -> None:
        """Hide the URL's password from now on, and what its query says of keys and tokens."""
        found = [url.password or "", *(value for key, value in url.query if _SECRET_KEYS.search(key))]
        for secret in filter(None, found):
            self._known |= {secret, quote(secret, safe="")}

    def scrub(self, text: str) -> str:
        """Return *text* with `***` for each secret."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
        return _KEY.sub(r"\1***", _LOGIN.sub(r"\1:***@", text))


SECRETS = Secrets()
"""Of this process, which runs one command."""


def _below_typer(frames: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the command's own function on."""
    found = frames
    while found is not None and found.tb_frame.f_globals.get("__name__", "").startswith(
        ("typer", "dbkit.cli.app")
    ):
        found = found.tb_next
    return found or frames


def tell(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Print what went wrong and return the exit code."""
    code = code_of(error)
    document: dict[str, Any] = {"error": type(error).__name__, "exit_code": code}
    if isinstance(error, DbkitError):
        message, hint = error.message, error.hint
        document |= {
            name: value
            for name in ("backend", "operation", "entity", "field")
            if (value := getattr(error, name)) is not None
        }
        document["retryable"] = error.retryable
        cause = error.__cause__
        if (
            isinstance(error, MigrationFailed | Dirty)
            and cause is not None
            and not isinstance(cause, DbkitError)
            and not debug
        ):
            # Its words may hold a stored value, so nobody sees them unasked.
            more = f"--debug shows the {type(cause).__name__} itself"
            hint = more if hint is None else f"{hint}; {more}"
    else:
        message = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
        hint = None if debug else "run it again with --debug for the traceback, and please report it"
    document |= {"message": SECRETS.scrub(message), "hint": None if hint is None else SECRETS.scrub(hint)}
    if debug:
        frames = _below_typer(error.__traceback__)
        shown = SECRETS.scrub("".join(traceback.format_exception(type(error), error, frames)))
        document["traceback"] = shown
        typer.echo(shown, err=True, nl=False)
    if as_json:
        typer.echo(to_json(document))
    else:
        typer.echo(f"{bad('dbkit:')} {document['message']}", err=True)
        if hint is not None:
            typer.echo(f"  {document['hint']}", err=True)
    return code
