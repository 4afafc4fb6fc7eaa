"""Random programs that run on several stores and must give the same results, order and errors."""

from .programs import Block, Program, programs, show
from .run import CONTROLS, Difference, Report, broken_rule, main, run_program, run_programs

__all__ = [
    "CONTROLS",
    "Block",
    "Difference",
    "Program",
    "Report",
    "broken_rule",
    "main",
    "programs",
    "run_program",
    "run_programs",
    "show",
]
