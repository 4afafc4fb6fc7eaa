"""The flags: documented, answered by every backend, and what a missing one raises."""

from __future__ import annotations

from dataclasses import fields

import pytest

from dbkit import registry
from dbkit.errors import Unsupported
from dbkit.features import FLAGS, Answer, Features, Flag

ALL = Features(**{name: Answer(yes=True, why="as the manual says") for name in FLAGS})


def test_there_is_one_answer_for_each_flag() -> None:
    assert [f.name for f in fields(Features)] == list(FLAGS)
    assert all(flag.name == name for name, flag in FLAGS.items())
    assert [flag for flag, _ in ALL] == list(FLAGS.values())


@pytest.mark.parametrize("flag", FLAGS.values(), ids=lambda f: f.name)
def test_a_flag_says_what_a_program_may_rely_on(flag: Flag) -> None:
    assert len(flag.means) > 20 or flag.name == "casefold_unique"


def test_what_is_there_is_not_refused() -> None:
    for name in FLAGS:
        ALL.require(name, backend="sqlite", operation="transaction")


def test_what_is_missing_is_refused_with_why_and_how_to_get_it() -> None:
    features = Features(
        **{
            name: Answer(
                yes=name != "transactions", why="this mongod stands alone", hint="start it with --replSet"
            )
            for name in FLAGS
        }
    )
    with pytest.raises(Unsupported) as caught:
        features.require("transactions", backend="mongodb", operation="transaction", entity="User")
    assert str(caught.value) == (
        "transaction needs 'transactions' (several verbs commit or roll back together, on one snapshot), which mongodb "
        "does not have here: this mongod stands alone (start it with --replSet)"
    )
    error = caught.value
    assert (error.backend, error.operation, error.entity, error.retryable) == (
        "mongodb",
        "transaction",
        "User",
        False,
    )


def test_an_answer_is_true_where_it_is_yes() -> None:
    assert Answer(yes=True, why="x")
    assert not Answer(yes=False, why="x")


@pytest.mark.parametrize("name", sorted(registry.backends()))
def test_every_backend_declares_an_answer_with_its_evidence(name: str) -> None:
    declared = registry.plugin(name).FEATURES[name]
    for flag, answer in declared:
        assert answer.why.strip(), flag.name
        if not answer and flag.name != "real_server":
            assert answer.why, flag.name
