"""What a store answers, and whether stores agree."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel

__all__ = ["Answer", "Verdict", "failed", "fingerprint", "of", "of_rows", "verdict"]

Verdict = Literal["same", "DIFFERS", "not run"]


@dataclass(frozen=True)
class Answer:
    """One store's answer to one question."""

    shown: str
    """What stands in the table."""
    compared: str
    """Equal exactly when answers are the same."""
    sign: str = ""
    """What stands below it: a fingerprint of rows that do not fit the table."""
    details: str = ""
    """What else there is to tell: an error's traceback, a program that differs."""


def of(shown: str, *values: Any) -> Answer:
    """Return the answer that shows *shown* and is compared by it and all of *values*, with their types."""
    return Answer(shown, _written([shown, *values]))


def of_rows(shown: str, rows: Iterable[Any]) -> Answer:
    """Return the answer that shows *shown* and a fingerprint of *rows*, and is compared by all of them."""
    found = list(rows)
    return Answer(shown, _written([shown, *found]), fingerprint(*found))


def failed(error: Exception) -> Answer:
    """Return the answer of a store on which the question itself failed: it is no other store's."""
    details = "".join(traceback.format_exception(error))
    return Answer("FAILED", f"failed {id(error)} {details}", "see below", details)


def fingerprint(*values: Any) -> str:
    """Return five characters that are equal when values are, with their types and their order."""
    return "#" + hashlib.blake2b(_written(list(values)).encode(), digest_size=4).hexdigest()[:5]


def _written(value: Any) -> str:
    # True == 1 == 1.0 in Python; written out they are three.
    if isinstance(value, BaseModel):
        fields = ", ".join(f"{name}={_written(v)}" for name, v in value.__dict__.items())
        return f"{type(value).__name__}({fields})"
    if isinstance(value, list | tuple):
        items = cast("Iterable[object]", value)
        return f"[{', '.join(map(_written, items))}]"
    return repr(value)


def verdict(answers: Mapping[str, Answer], expected: Answer | None) -> Verdict:
    """Say whether all stores gave the same answer, and the right one where plain Python knows it."""
    if not answers:
        return "not run"
    different = {answer.compared for answer in answers.values()}
    if expected is not None:
        different.add(expected.compared)
    return "same" if len(different) == 1 else "DIFFERS"
