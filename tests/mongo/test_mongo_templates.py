"""Commands with holes: what is filled, what is shared, what no text shows."""

from __future__ import annotations

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from dbkit_mongo.templates import Fixed, Hole, compile_template, text_of


def test_holes_are_filled_and_the_rest_is_kept() -> None:
    template = {"a": Hole(1), "b": [1, {"c": Hole(0, encode=str)}, None], "d": {"$gt": Int64(5)}}
    fill = compile_template(template)
    assert fill((7, "x")) == {"a": "x", "b": [1, {"c": "7"}, None], "d": {"$gt": 5}}
    assert type(fill((7, "x"))["d"]["$gt"]) is Int64


def test_a_nullable_hole_keeps_none() -> None:
    fill = compile_template({"a": Hole(0, encode=Int64, nullable=True)})
    assert fill((None,)) == {"a": None}
    assert type(fill((1,))["a"]) is Int64


def test_each_call_has_its_own_command_where_values_stand() -> None:
    fill = compile_template({"a": [Hole(0)]})
    first, second = fill((1,)), fill((2,))
    assert first == {"a": [1]}
    assert second == {"a": [2]}


@pytest.mark.parametrize("key", ["'", '"', "\\", "{x}", "a\nb", "__import__('os')"])
def test_names_are_never_code(key: str) -> None:
    assert compile_template({key: Hole(0), "b": key})((3,)) == {key: 3, "b": key}


def test_any_depth_can_be_compiled() -> None:
    tree: object = Hole(0)
    for _ in range(150):
        tree = {"$nor": [tree]}
    made = compile_template(tree)((5,))
    for _ in range(150):
        made = made["$nor"][0]
    assert made == 5


def test_the_text_has_no_values() -> None:
    template = {"a": Hole(0), "b": Fixed("secret"), "c": Decimal128("1.50"), "$limit": 3}
    assert text_of(template) == '{"a": "?", "b": "?", "c": "?", "$limit": 3}'
    assert compile_template(template)((1,))["b"] == "secret"
