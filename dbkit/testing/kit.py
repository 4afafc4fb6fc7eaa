"""The conformance kit's seam: what a rule is, which rules there are, and what is known of the store it runs on.

A rule is a coroutine function in `_async/rules_*.py`; `tools/unasync.py` writes its twin into `_sync/`. It takes one
argument, the case (`AsyncCase`, `Case`), which gives it databases, and it states one behaviour with literal
expectations. Its name and the first line of its docstring are the rule's text in every report.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from dbkit.features import FLAGS, Features
from dbkit.statement import ServerInfo

__all__ = ["COLOURS", "Colour", "NotApplicable", "Rule", "StoreInfo", "all_rules", "rule"]

Colour = Literal["sync", "async"]
COLOURS: tuple[Colour, ...] = ("sync", "async")
F = TypeVar("F", bound=Callable[..., Any])


class NotApplicable(Exception):  # an answer, not an error
    """Raised by a rule where the store has nothing that it could be about; counted as not run, with this reason."""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """The store that a rule runs on."""

    name: str
    """As the report's column shows it: `"sqlite"`, `"postgresql"`, …"""
    url: str = field(repr=False)
    """Of a database that is the kit's own."""
    colour: Colour
    features: Features
    """As probed at connect."""
    server: ServerInfo

    @property
    def is_surrogate(self) -> bool:
        """Whether it only speaks a product's protocol: nothing that it shows is said of the product."""
        return self.server.is_surrogate


@dataclass(slots=True)
class Rule:
    """One behaviour, stated once for every store and both colours."""

    name: str
    section: str
    """The heading of SEMANTICS that it belongs to: `"values"`, `"filters"`, `"pages"`, …"""
    text: str
    needs: tuple[str, ...]
    """Flags: where a store answers no to one of them, the rule is refused, not run."""
    real_mongod: bool
    """A surrogate cannot show it: counted as not run there, never as passed."""
    functions: dict[Colour, Callable[[Any], Any]] = field(default_factory=dict[Colour, Callable[[Any], Any]])

    def refused_by(self, features: Features) -> str | None:
        """Return the first flag that the rule needs and the store has not, or None."""
        return next((flag for flag in self.needs if not getattr(features, flag)), None)


_rules: dict[str, Rule] = {}


def rule(section: str, *, needs: tuple[str, ...] = (), real_mongod: bool = False) -> Callable[[F], F]:
    """Register a function as a rule of *section*, in its own colour.

    Args:
        section: the heading that it stands under in reports.
        needs: names of `dbkit.features.FLAGS`; where the store answers no to one, the rule is *refused* by that flag.
        real_mongod: what it shows (isolation, races, overflow, plans, limits, durability) a surrogate cannot.

    Raises:
        ValueError: an unknown flag, a rule without text, or two rules of one name.
    """

    def register(function: F) -> F:
        name = function.__name__
        lines = (inspect.getdoc(function) or "").splitlines()
        if not lines:
            raise ValueError(f"the rule {name} has no docstring")
        unknown = set(needs) - FLAGS.keys()
        if unknown:
            raise ValueError(f"the rule {name} needs unknown flags: {', '.join(sorted(unknown))}")
        colour: Colour = "async" if inspect.iscoroutinefunction(function) else "sync"
        known = _rules.setdefault(name, Rule(name, section, lines[0], needs, real_mongod))
        if colour in known.functions and known.functions[colour].__module__ != function.__module__:
            raise ValueError(f"two rules are called {name}")
        known.functions[colour] = function
        return function

    return register


def all_rules() -> list[Rule]:
    """Return all rules of dbkit's own conformance suite, section by section, in the order of their files."""
    for colour in ("_async", "_sync"):
        package = importlib.import_module(f"dbkit.testing.{colour}")
        for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
            if module.startswith("rules_"):
                importlib.import_module(f"{package.__name__}.{module}")
    order = {section: place for place, section in enumerate(SECTIONS)}
    return sorted(_rules.values(), key=lambda r: order.get(r.section, len(order)))


SECTIONS = (
    "values",
    "filters",
    "pages",
    "groups",
    "views",
    "writes",
    "transactions",
    "races",
    "references",
    "input",
    "database",
)
"""The reports' order; a third party's own sections stand behind them."""
