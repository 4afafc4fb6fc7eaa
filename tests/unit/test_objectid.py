"""`ObjectId`: what it is made of, and that it is a value as a UUID is one."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import bson
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from dbkit import Embedded, Entity, Mapped, ObjectId, Record, connect, field, via

HEX = "5f43a1b2c3d4e5f607182930"
ONE = ObjectId(HEX)


def test_digits_bytes_and_pymongos_own_make_it() -> None:
    assert (
        ObjectId(bytes.fromhex(HEX))
        == ObjectId(bson.ObjectId(HEX))
        == ObjectId(HEX.upper())
        == ObjectId(ONE)
        == ONE
    )
    assert (str(ONE), repr(ONE)) == (HEX, f"ObjectId('{HEX}')")
    assert ONE.binary == bson.ObjectId(HEX).binary
    assert ONE.made_at == bson.ObjectId(HEX).generation_time


@pytest.mark.parametrize(
    "wrong", [" ", "5f", HEX + "0", HEX[:-1] + "g", HEX[:-2] + "  ", b"x", bytes(11), 7, 8.5, ["x"]]
)
def test_nothing_else_does(wrong: object) -> None:
    with pytest.raises(ValueError, match="24 hexadecimal digits or 12 bytes"):
        ObjectId(wrong)


def test_it_is_a_value() -> None:
    low, high = ObjectId(bytes(12)), ObjectId(b"\xff" * 12)
    assert sorted([high, ONE, low]) == [low, ONE, high]
    assert low < ONE <= ONE < high
    assert {ONE: 1}[ObjectId(HEX)] == 1
    assert ONE != HEX
    assert pickle.loads(pickle.dumps(ONE)) == copy.deepcopy(ONE) == ONE
    with pytest.raises(AttributeError):
        ONE._binary = bytes(12)
    with pytest.raises(TypeError):
        ONE < HEX  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]  # noqa: B015


def test_new_ones_are_made_as_mongodb_does() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    made = [ObjectId() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert before <= made[0].made_at <= datetime.now(UTC)
    assert len({m.binary[4:9] for m in made}) == 1


class Held(BaseModel):
    id: ObjectId
    maybe: ObjectId | None = None


def test_pydantic_takes_and_gives_it() -> None:
    assert Held.model_validate({"id": HEX}) == Held(id=ONE) == Held.model_validate({"id": bson.ObjectId(HEX)})
    assert Held(id=ONE).model_dump() == {"id": ONE, "maybe": None}
    assert Held(id=ONE).model_dump_json() == f'{{"id":"{HEX}","maybe":null}}'
    assert Held.model_validate_json(Held(id=ONE, maybe=ONE).model_dump_json()) == Held(id=ONE, maybe=ONE)
    assert TypeAdapter(ObjectId).json_schema() == {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
    for wrong in (None, 7, "x", bytes(3)):
        with pytest.raises(ValidationError, match="must be an ObjectId"):
            Held.model_validate({"id": wrong})


class Inner(Embedded):
    id: Mapped[ObjectId | None] = field(default=None)


class Outer(Entity, name="outers"):
    inner: Mapped[Inner] = field(default=Inner())
    ids: Mapped[list[ObjectId]] = field(default_factory=list)
    by_name: Mapped[dict[str, ObjectId]] = field(default_factory=dict)


@pytest.mark.parametrize("url", ["memory://", "sqlite://", "mongomock://"])
def test_it_stands_inside_other_values(url: str) -> None:
    with connect(url, entities=[Outer]) as db:
        db.create_schema()
        store = db.store(Outer)
        row = store.create(Outer(inner=Inner(id=ONE), ids=[ONE, ObjectId(bytes(12))], by_name={"a": ONE}))
        store.create(Outer())
        assert store.get(row.id) == row
        for where in (
            via(Outer.inner, Inner.id) == ONE,
            via(Outer.inner, Inner.id) > ObjectId(bytes(12)),
            Outer.ids.has(ONE),
        ):
            assert store.find(where) == [row]
        assert store.update(row.id, Outer.ids.remove(ONE)).ids == [ObjectId(bytes(12))]


class Legacy(Record[ObjectId], name="legacy"):
    """A class keyword's base."""


def test_a_record_may_have_it_as_its_id() -> None:
    assert Legacy(id=HEX).id == ONE  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
