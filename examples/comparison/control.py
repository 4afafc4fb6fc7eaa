"""The control: a comparison that does not notice a broken rule shows nothing, so rules are broken to see it noticed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from dbkit import connect
from dbkit.testing.differential import broken_rule, run_programs, world

from .answers import Answer, verdict
from .data import ENTITIES, SEED, Sale
from .questions import Progress, Question, fill
from .stores import Column

__all__ = ["BROKEN", "Caught", "control"]

BROKEN = {
    "nulls-last": "a store that sorts null last",
    "three-valued": "a store where null != 3 is not true, as in raw SQL",
}
PROGRAMS = 200


@dataclass(frozen=True)
class Caught:
    """A rule that was broken in one store, and who noticed."""

    rule: str
    by: list[str]
    """The questions that it answered differently, and what it said; empty: the comparison is worth nothing."""


def control(
    questions: Sequence[Question],
    answers: Sequence[dict[str, Answer]],
    sales: Sequence[Sale],
    progress: Progress,
) -> list[Caught]:
    """Break each rule in a memory store, and put it beside the stores' own answers to the same questions."""
    caught: list[Caught] = []
    for rule, meaning in BROKEN.items():
        progress(meaning)
        with connect("memory://", entities=ENTITIES) as db:
            fill(db, sales, [], [])
            column = Column("control", "control", "", False, "memory://", db, db)
            by: list[str] = []
            for question, others in zip(questions, answers, strict=True):
                if not question.is_readable or not others:
                    continue
                with broken_rule(rule):
                    answer = question.ask([column], _quietly)
                label, other = next(iter(others.items()))
                if verdict({label: other, **answer}, None) == "DIFFERS":
                    by.append(f"{question.title}: {_both(answer['control'])}, not {_both(other)}")
        if rule == "three-valued" and _is_noticed_by_programs(rule):
            by.append("the random programs")
        caught.append(Caught(meaning, by))
        progress(meaning, 1)
    return caught


def _both(answer: Answer) -> str:
    return f"{answer.shown} {answer.sign}".strip()


def _quietly(_now: str, _done: float = 0, /) -> None:
    pass


def _is_noticed_by_programs(rule: str) -> bool:
    with ExitStack() as stack:
        databases = {
            label: stack.enter_context(connect("memory://", entities=world.ENTITIES))
            for label in ("memory", "control")
        }
        return run_programs(databases, PROGRAMS, SEED, control=rule).difference is not None
