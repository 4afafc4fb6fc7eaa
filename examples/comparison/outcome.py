"""What a whole run found, as data: for the terminal, the figure, the JSON file and the exit code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .answers import Answer, Verdict, verdict
from .control import Caught
from .plans import Asked
from .questions import Question
from .refusals import Refusal
from .stores import Column, Missing
from .timing import Cost

__all__ = ["Line", "Outcome"]


@dataclass(frozen=True)
class Line:
    """A question with its answers."""

    title: str
    remark: str
    answers: dict[str, Answer]
    """By the stores' labels."""
    expected: Answer | None
    verdict: Verdict

    @classmethod
    def of(cls, question: Question, answers: dict[str, Answer]) -> Line:
        """Return the line of a question that was answered."""
        said = verdict(answers, question.expected)
        return cls(question.title, question.remark, answers, question.expected, said)

    def is_other(self, label: str) -> bool:
        """Whether this store's answer is not what plain Python says, or not what most stores say."""
        if self.verdict != "DIFFERS" or label not in self.answers:
            return False
        given = [answer.compared for answer in self.answers.values()]
        right = self.expected.compared if self.expected else max(given, key=given.count)
        return self.answers[label].compared != right


@dataclass
class Outcome:
    """A run."""

    asked: list[str]
    columns: list[Column]
    missing: list[Missing]
    lines: list[Line] = field(default_factory=list[Line])
    control: list[Caught] = field(default_factory=list[Caught])
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    call: list[Asked] = field(default_factory=list[Asked])
    costs: list[Cost] = field(default_factory=list[Cost])
    seconds: float = 0.0

    @property
    def differing(self) -> list[Line]:
        """The questions on which stores do not agree."""
        return [line for line in self.lines if line.verdict == "DIFFERS"]

    @property
    def exit_code(self) -> int:
        """0: all the same; 1: something differs, or what must be noticed or refused was not; 2: a store is missing."""
        unnoticed = any(not caught.by for caught in self.control)
        unrefused = any(not refusal.error for refusal in self.refusals)
        if self.differing or unnoticed or unrefused:
            return 1
        return 2 if self.missing else 0

    def write_json(self, path: Path) -> None:
        """Write all of it, without the stores' URLs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._as_data(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _as_data(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 1),
            "stores": [
                {"label": c.label, "name": c.name, "version": c.version, "is_surrogate": c.is_surrogate}
                for c in self.columns
            ],
            "not_run": [asdict(missing) for missing in self.missing],
            "questions": [
                {
                    "title": line.title,
                    "remark": line.remark,
                    "verdict": line.verdict,
                    "expected": line.expected.shown if line.expected else None,
                    "answers": {label: f"{a.shown} {a.sign}".strip() for label, a in line.answers.items()},
                    "details": {label: a.details for label, a in line.answers.items() if a.details},
                }
                for line in self.lines
            ],
            "control": [asdict(caught) for caught in self.control],
            "refused": [asdict(refusal) for refusal in self.refusals],
            "call": [asdict(asked) for asked in self.call],
            "client_cpu": [asdict(cost) | {"ratio": round(cost.ratio, 2)} for cost in self.costs],
        }
