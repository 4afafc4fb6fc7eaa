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
    source = f"lambda b: {_source(tree, constants, 0) or _literal(tree, constants)}"
    # The source is made of our own displays, reprs of plain constants and the names of `constants`.
    fill: Fill = eval(compile(source, "<dbkit_mongo template>", "eval"), {"__builtins__": {}, **constants})  # noqa: S307
    return fill


DEEPEST = 40
"""How deep one expression nests: Python's parser gives up at 200 open brackets."""


def _source(tree: Any, constants: dict[str, Any], depth: int) -> str | None:
    """Return the source of *tree*, or None where no value stands in it: then all calls share it."""
    kind = tree.__class__
    if kind is Hole:
        return _hole_source(tree, constants)
    if kind is Fixed:
        return _constant(tree.value, constants)
    if kind is not dict and kind is not list:
        return None
    if depth == DEEPEST:
        return f"{_constant(compile_template(tree), constants)}(b)"
    items: list[Any] = list(tree.values()) if kind is dict else tree
    sources = [_source(item, constants, depth + 1) for item in items]
    if not any(sources):
        return None
    made = [source or _literal(item, constants) for source, item in zip(sources, items, strict=True)]
    if kind is list:
        return f"[{', '.join(made)}]"
    return "{" + ", ".join(f"{key!r}: {value}" for key, value in zip(tree, made, strict=True)) + "}"


def _literal(tree: Any, constants: dict[str, Any]) -> str:
    if tree is None or tree.__class__ in {bool, int, str}:
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


def text_of(tree: Any) -> str:
    """Return *tree* as JSON in which "?" stands for each value: of a call, or of a declared relation's filter."""
    return json.dumps(tree, default=lambda _value: "?", ensure_ascii=False)
