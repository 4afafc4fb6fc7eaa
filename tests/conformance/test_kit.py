"""The kit itself: what is asked for, decided and reported; and that it catches stores which get something wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbkit import Answer, ServerInfo
from dbkit.registry import register
from dbkit.testing import conformance
from dbkit.testing.kit import COLOURS, Colour, NotApplicable, Rule, StoreInfo, all_rules, rule
from dbkit.testing.report import Column, Report
from dbkit.testing.running import Outcome, decide, probe, run
from dbkit.testing.samples import assert_same, same_json
from dbkit.testing.stores import NotRun, Shelf, Store, labels
from dbkit.testing.watch import raises
from dbkit_memory import evaluate
from dbkit_memory import plugin as memory
from dbkit_memory.features import MEMORY
from dbkit_sql.features import FEATURES as SQL


def test_every_rule_is_stated_in_both_colours() -> None:
    rules = all_rules()
    assert len(rules) > 150
    for stated in rules:
        assert set(stated.functions) == set(COLOURS), stated.name
        assert stated.text.endswith("."), f"{stated.name}: {stated.text}"
        assert len(stated.text) <= 150, f"{stated.name}: {stated.text}"


def test_labels_are_names_and_never_urls() -> None:
    assert labels("memory, sqlite") == {"memory": "memory", "sqlite": "sqlite"}
    one, two = "postgresql://u:secret@h/a", "postgres://u:secret@h/b"
    assert labels([one, two, "mongodb+motor://h/a"]) == {
        "postgresql": one,
        "postgresql-2": two,
        "mongodb+motor": "mongodb+motor://h/a",
    }
    assert labels("mongodb://h1:1,h2:2/a?replicaSet=x,memory") == {
        "mongodb": "mongodb://h1:1,h2:2/a?replicaSet=x",
        "memory": "memory",
    }
    for wrong in ("", " , ", "orcale", "memory,sqlit"):
        with pytest.raises(ValueError, match="known: memory, sqlite"):
            labels(wrong)


def test_a_shelf_makes_each_store_once_and_puts_it_away() -> None:
    with Shelf() as shelf:
        first = shelf.store("sqlite", "sqlite")
        assert isinstance(first, Store)
        folder = Path(first.url.removeprefix("sqlite:///")).parent
        assert folder.is_dir()
        assert shelf.store("sqlite", "sqlite") is first
        assert shelf.servers() == []
    assert not folder.exists()
    shelf.close()


def test_a_store_that_does_not_answer_is_not_run() -> None:
    for colour in COLOURS:
        found = probe(Store("x", "nosuchstore://u:secret@h/a", "named by its URL"), colour)
        assert isinstance(found, NotRun)
        assert "secret" not in found.reason


def _rule(name: str, function: Callable[..., Any], **options: Any) -> Rule:
    return Rule(
        name,
        "values",
        f"{name}.",
        options.get("needs", ()),
        options.get("real_mongod", False),
        {"sync": function},
    )


def _info(**changes: Any) -> StoreInfo:
    server = ServerInfo("x", "1", is_surrogate=changes.pop("is_surrogate", False))
    return StoreInfo("memory", "memory://", "sync", replace(MEMORY, **changes), server)


def test_outcomes() -> None:
    def fails(_: Any) -> None:
        value = "what was found"  # noqa: F841  # pyright: ignore[reportUnusedVariable]
        raise AssertionError  # as `assert not value` does where nobody rewrites it

    def passes(_: Any) -> None:
        pass

    def is_about_something_else(_: Any) -> None:
        raise NotApplicable("no documents")

    assert run(_rule("a", passes), _info()) == Outcome("passed")
    assert run(_rule("a", is_about_something_else), _info()) == Outcome("not run", "no documents")
    failed = run(_rule("a", fails), _info())
    assert (failed.status, failed.why) == ("FAILED", "AssertionError")
    assert "value = 'what was found'" in failed.details
    no_groups = _info(groups=Answer(False, "because", "do so"))
    assert run(_rule("a", fails, needs=("views", "groups")), no_groups) == Outcome("refused", "groups")
    assert decide(_rule("a", fails, real_mongod=True), _info(is_surrogate=True)) == Outcome(
        "not run", "needs a real mongod"
    )
    assert decide(_rule("a", fails, real_mongod=True), _info()) is None
    assert run(_rule("a", fails), NotRun("x", "no server")) == Outcome("not run", "no server")


def test_a_rule_names_what_is_known_and_says_what_it_states() -> None:
    with pytest.raises(ValueError, match="unknown flags: telepathy"):
        rule("values", needs=("telepathy",))(_report)
    with pytest.raises(ValueError, match="no docstring"):
        rule("values")(_undocumented)


def _undocumented(_: Any) -> None:
    pass


def _report() -> Report:
    """Make a report of two rules on two stores."""
    one, two = _rule("one", print), _rule("two", print)
    other = replace(_info(), name="other", server=ServerInfo("Imitation", "2", is_surrogate=True))
    columns = [
        Column("memory", {"sync": _info(), "async": replace(_info(), colour="async")}),
        Column("other", {"sync": other, "async": NotRun("other", "no event loop")}),
    ]
    outcomes: dict[tuple[str, str, Colour], Outcome] = {
        ("one", "memory", "sync"): Outcome("passed"),
        ("one", "memory", "async"): Outcome("passed"),
        ("one", "other", "sync"): Outcome("refused", "groups"),
        ("one", "other", "async"): Outcome("not run", "no event loop"),
        ("two", "memory", "sync"): Outcome("passed"),
        ("two", "memory", "async"): Outcome("FAILED", "KeyError", "Traceback: here"),
        ("two", "other", "sync"): Outcome("not run", "needs a real mongod"),
        ("two", "other", "async"): Outcome("not run", "needs a real mongod"),
    }
    return Report(columns, [one, two], outcomes)


def test_a_report_shows_the_worst_of_the_colours() -> None:
    text = _report().as_text().splitlines()
    assert text[1:3] == ["  memory: x 1", "  other: Imitation 2 (surrogate: MongoDB wire protocol)"]
    assert re.split(r"  +", text[6]) == ["", "one", "passed", "not run (no event loop, async only)"]
    assert re.split(r"  +", text[7]) == [
        "",
        "two",
        "FAILED (KeyError, async only)",
        "not run (needs a real mongod)",
    ]
    assert text[-1] == "2 rules on 2 stores, 8 runs: 3 passed, 1 refused, 3 not run, 1 FAILED"
    assert _report().failures().splitlines()[1:] == ["two on memory, async", "Traceback: here"]


def test_the_docs_table_has_the_rules_text_and_the_flags() -> None:
    page = _report().as_markdown()
    assert "| one.<br>`one` | passed | not run (no event loop, async only) |" in page
    assert "- other: Imitation 2 (surrogate: MongoDB wire protocol)" in page
    assert "- `groups`: group(): exact figures, computed by the store." in page


def test_sameness_is_of_types_too() -> None:
    unlike: list[tuple[Any, Any]] = [(True, 1), (1, 1.0), ([1], (1,)), (0.0, -0.0), ({"a": 1}, {"a": True})]
    for found, expected in unlike:
        with pytest.raises(AssertionError):
            assert_same(found, expected)
    assert same_json({"a": [1, True, None]}, {"a": [1.0, True, None]})
    unlike = [({"a": 1}, {"a": True}), ([1], [1, 2]), ("1", 1), ({}, {"a": None}), ([], {})]
    for found, expected in unlike:
        assert not same_json(found, expected)


def test_raises_wants_the_very_class() -> None:
    with pytest.raises(AssertionError, match="LookupError was not raised"), raises(LookupError):
        pass
    with pytest.raises(AssertionError, match="KeyError instead of LookupError"), raises(LookupError):
        raise KeyError
    with raises(KeyError, ValueError) as raised:
        int("x")
    assert "'x'" in str(raised.error)


# -- stores that get something wrong: the kit must say so -----------------------------------------------------------------


@pytest.fixture
def wrong() -> str:
    """A third party's backend, registered by name; here the memory store, which the test then spoils."""
    register("wrong", memory)
    return "wrong://kit"


def _failed(name: str) -> set[str]:
    rules = [r for r in all_rules() if r.section in {"filters", "pages", "groups"} and "1000" not in r.name]
    with Shelf() as shelf:
        report = conformance.conformance(shelf, {"wrong": name}, ["sync"], rules, lambda what, outcome: None)
    return {rule for (rule, _, _), outcome in report.outcomes.items() if outcome.status == "FAILED"}


def test_a_third_partys_backend_is_certified(wrong: str) -> None:
    assert _failed(wrong) == set()


def test_nulls_last_is_caught(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[[Any], Any] = evaluate._rank

    def nulls_last(value: Any) -> Any:
        return value is None, right(value)

    monkeypatch.setattr(evaluate, "_rank", nulls_last)
    assert {"null_is_first_and_descending_last", "pages_reach_the_end_in_every_order"} <= _failed(wrong)


def test_three_valued_filters_are_caught(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Any = evaluate._leaf

    def null_is_never_true(path: Any, holds: Any, *, null: bool = False) -> Any:
        return right(path, holds, null=False)

    monkeypatch.setattr(evaluate, "_leaf", null_is_never_true)
    assert {
        "comparisons_are_two_valued",
        "in_and_not_in_with_none",
        "via_a_missing_parent_is_null",
    } <= _failed(wrong)


def test_sums_of_floats_are_caught(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Any = evaluate._sum

    def by_floats(values: list[Any], kind: Any) -> Any:
        return right([v and v.__class__(float(v)) for v in values], kind)

    monkeypatch.setattr(evaluate, "_sum", by_floats)
    assert {"int_sums_are_exact_at_any_size", "decimal_sums_are_exact_at_any_size"} <= _failed(wrong)


def test_the_commands_exit_code() -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dbkit.testing", "conformance", *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )

    passed = command("--stores", "memory", "--rule", "two_valued")
    assert passed.returncode == 0, passed.stderr
    assert "0 FAILED" in passed.stdout
    missing = command(
        "--stores",
        "memory,postgresql://nobody:hunter2@127.0.0.1:1/none",
        "--rule",
        "comparisons",
        "--colour",
        "sync",
    )
    assert missing.returncode == 2, missing.stderr
    assert "hunter2" not in missing.stdout + missing.stderr
    assert command("--stores", "orcale").returncode == 2
    assert command("--rule", "no such rule").returncode == 2
    assert set(SQL) >= {"sqlite", "postgresql"}
