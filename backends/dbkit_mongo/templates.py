"""Commands with holes: compiled once into a Python function that builds the command from a call's values.

A template is a tree of dicts and lists in which a `Hole` stands for a value. It becomes one expression of dict and list
displays, so that filling it costs little more than writing the command by hand. What a caller gives is never part of
the source: values come in as arguments, and all else is a constant of the declaration.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["Fill", "Fixed", "Hole", "compile_template", "text_of"]

Fill = Callable[[tuple[Any, ...]], Any]
"""Builds a command from a query's `binds`."""
Encode = Callable[..., Any]


class Hole:
    """A value of the call: what *encode* makes of the binds at *indexes*; without *encode* the bind itself."""

    __slots__ = ("encode", "indexes", "nullable")

    def __init__(self, *indexes: int, encode: Encode | None = None, nullable: bool = False) -> None:
        self.indexes = indexes
        self.encode = encode
        self.nullable = nullable
        """Whether the (only) bind may be None, which stays None."""

    def __repr__(self) -> str:
        return f"<Hole {self.indexes}>"


class Fixed:
    """A value that the declaration gives: part of the template, but no part of its text."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def compile_template(tree: Any) -> Fill:
    """Return the function that builds *tree* with its holes filled."""
    constants: dict[str, Any] = {}
    source = f"lambda b: {_source(tree, constants)}"
    # The source is made of our own displays, reprs of plain constants and the names of `constants`.
    fill: Fill = eval(compile(source, "<dbkit_mongo template>", "eval"), {"__builtins__": {}, **constants})  # noqa: S307
    return fill


DEEPEST = 40
"""How deep one expression nests: Python's parser gives up at 200 open brackets."""


def _source(tree: Any, constants: dict[str, Any], depth: int = 0) -> str:
    kind = tree.__class__
    if kind is Hole:
        return _hole_source(tree, constants)
    if kind is Fixed:
        return _constant(tree.value, constants)
    if kind in {dict, list} and _has_hole(tree):
        if depth == DEEPEST:
            return f"{_constant(compile_template(tree), constants)}(b)"
        if kind is list:
            return "[" + ", ".join(_source(value, constants, depth + 1) for value in tree) + "]"
        pairs = (f"{key!r}: {_source(value, constants, depth + 1)}" for key, value in tree.items())
        return "{" + ", ".join(pairs) + "}"
    if tree is None or kind in {bool, int, str}:
        return repr(tree)
    return _constant(tree, constants)


def _hole_source(hole: Hole, constants: dict[str, Any]) -> str:
    binds = [f"b[{index}]" for index in hole.indexes]
    if hole.encode is None:
        return binds[0]
    made = f"{_constant(hole.encode, constants)}({', '.join(binds)})"
    return f"(None if {binds[0]} is None else {made})" if hole.nullable else made


def _constant(value: Any, constants: dict[str, Any]) -> str:
    for name, known in constants.items():
        if known is value:
            return name
    name = f"c{len(constants)}"
    constants[name] = value
    return name


def _has_hole(tree: Any) -> bool:
    kind = tree.__class__
    if kind is dict:
        return any(map(_has_hole, tree.values()))
    return any(map(_has_hole, tree)) if kind is list else kind in {Hole, Fixed}


def text_of(tree: Any) -> str:
    """Return *tree* as JSON in which "?" stands for each value: of a call, or of a declared relation's filter."""
    return json.dumps(tree, default=lambda _value: "?", ensure_ascii=False)
