"""Runs a rule on a store, and says what came of it. Used by the runner and by pytest."""

from __future__ import annotations

import asyncio
import reprlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dbkit import aconnect, connect
from dbkit.errors import DbkitError
from dbkit.testing._async.case import AsyncCase
from dbkit.testing._sync.case import Case
from dbkit.testing.entities import Plain
from dbkit.testing.kit import Colour, NotApplicable, Rule, StoreInfo
from dbkit.testing.stores import NotRun, Store

__all__ = ["Outcome", "Status", "call", "decide", "probe", "run"]

Status = Literal["passed", "refused", "not run", "FAILED"]
RULE_S = 150.0
"""An asynchronous rule that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one rule on one store in one colour."""

    status: Status
    why: str = ""
    """The flag that refused it, what is missing, or the error's class."""
    details: str = ""
    """A failure's traceback."""


def probe(store: Store | NotRun, colour: Colour) -> StoreInfo | NotRun:
    """Connect once, and return what is known of the store from then on."""
    if isinstance(store, NotRun):
        return store
    try:
        if colour == "sync":
            with connect(store.url, entities=[Plain]) as db:
                return StoreInfo(store.label, store.url, colour, db.features, db.server)
        return asyncio.run(_probe_async(store, colour))
    except DbkitError as error:
        return NotRun(store.label, f"{type(error).__name__}: {error}")


async def _probe_async(store: Store, colour: Colour) -> StoreInfo:
    async with aconnect(store.url, entities=[Plain]) as db:
        return StoreInfo(store.label, store.url, colour, db.features, db.server)


def decide(rule: Rule, store: StoreInfo | NotRun) -> Outcome | None:
    """Return what is known without running the rule, or None: run it."""
    if isinstance(store, NotRun):
        return Outcome("not run", store.reason)
    flag = rule.refused_by(store.features)
    if flag is not None:
        return Outcome("refused", flag)
    if rule.real_mongod and store.is_surrogate:
        return Outcome("not run", "needs a real mongod")
    if store.colour not in rule.functions:
        return Outcome("not run", f"has no {store.colour} form")
    return None


def call(rule: Rule, store: StoreInfo) -> None:
    """Run the rule; whatever it raises is a failure."""
    function: Callable[..., object] = rule.functions[store.colour]
    if store.colour == "sync":
        function(Case(store))
    else:
        asyncio.run(_within(rule, store))


async def _within(rule: Rule, store: StoreInfo) -> None:
    async with asyncio.timeout(RULE_S):
        await rule.functions["async"](AsyncCase(store))


def run(rule: Rule, store: StoreInfo | NotRun) -> Outcome:
    """Decide, else run the rule, and return its outcome; it never raises but for Ctrl-C."""
    known = decide(rule, store)
    if known is not None:
        return known
    assert isinstance(store, StoreInfo)
    try:
        call(rule, store)
    except NotApplicable as reason:
        return Outcome("not run", str(reason))
    except Exception as error:  # noqa: BLE001  # an outcome like others
        return Outcome("FAILED", type(error).__name__, traceback.format_exc() + _locals(error))
    return Outcome("passed")


def _locals(error: Exception) -> str:
    """Return the variables of the rule's innermost frame: a plain `assert` does not say what it compared."""
    if not isinstance(error, AssertionError) or error.args:
        return ""
    frames = list(traceback.walk_tb(error.__traceback__))
    frame, _ = frames[-1]
    shown = (f"    {name} = {reprlib.repr(value)}" for name, value in frame.f_locals.items())
    return "\n".join(["where", *shown, ""])
