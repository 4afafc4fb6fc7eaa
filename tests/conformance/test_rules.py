"""Every rule of `dbkit.testing` on every store in both colours, each as a test of its own.

A flag that the store answers no to is a skip that names the flag; what needs a real `mongod` is a skip on a surrogate; a
server that is missing is a skip, and a failure in continuous integration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dbkit.testing import plugin
from dbkit.testing.kit import COLOURS, Colour, NotApplicable, Rule, StoreInfo, all_rules
from dbkit.testing.running import call, decide, probe
from dbkit.testing.stores import NotRun

_PROBED = pytest.StashKey[dict[tuple[str, Colour], StoreInfo | NotRun]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    stores, _ = plugin.asked(metafunc.config)
    cases: list[Any] = []
    for label, asked in stores.items():
        marks = [pytest.mark.server] if asked in {"postgresql", "mongodb"} else []
        cases += [
            pytest.param((label, asked), colour, id=f"{label}-{colour}", marks=marks) for colour in COLOURS
        ]
    metafunc.parametrize(("kit_store", "colour"), cases)


def _info(config: pytest.Config, label: str, asked: str, colour: Colour) -> StoreInfo | NotRun:
    probed = config.stash.setdefault(_PROBED, {})
    if (label, colour) not in probed:
        probed[label, colour] = probe(plugin.shelf(config).store(label, asked), colour)
    return probed[label, colour]


def _check(rule: Rule, config: pytest.Config, label: str, asked: str, colour: Colour) -> None:
    info = _info(config, label, asked, colour)
    if isinstance(info, NotRun):
        plugin.missing(info, named=plugin.asked(config)[1])
    known = decide(rule, info)
    if known is not None:
        why = f"refused by the flag {known.why}" if known.status == "refused" else known.why
        pytest.skip(f"{label}: {why}")
    try:
        call(rule, info)
    except NotApplicable as reason:
        pytest.skip(f"{label}: {reason}")


def _test(rule: Rule) -> Callable[..., None]:
    def test(request: pytest.FixtureRequest, kit_store: tuple[str, str], colour: Colour) -> None:
        _check(rule, request.config, *kit_store, colour)

    test.__doc__ = rule.text
    return pytest.mark.real_mongod(test) if rule.real_mongod else test


for _rule in all_rules():
    globals()[f"test_{_rule.name}"] = _test(_rule)
