"""Entities: fields on the class, input, instances, rows."""

# Classes that are refused are never used.
# pyright: reportUnusedClass=false

from __future__ import annotations

import copy
import json
import math
import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import pydantic
import pytest
from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError, field_validator

from dbkit.entity import Embedded, Entity, row_of, spec_of
from dbkit.errors import InvalidInput, TooLarge
from dbkit.fields import FieldRef, Mapped, field
from dbkit.query import Compare, IsNull
from dbkit.values import INT_MAX, INT_MIN, Kind
from dbkit.views import View
from tests.unit.entities import OWNER, Address, Color, Level, Owner, Thing, thing

# -- the class's fields ------------------------------------------------------------------------------------------------


def test_a_field_is_a_reference_on_the_class_and_a_value_on_the_instance() -> None:
    assert isinstance(Owner.email, FieldRef)
    assert Owner.email is Owner.email
    assert isinstance(Owner.email == "x", Compare)
    assert Owner(email="x").email == "x"
    assert str(Owner.email) == repr(Owner.email) == "Owner.email"


def test_a_misspelt_field_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'email'"):
        _ = Owner.emial  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert not hasattr(Owner, "nothing")


def test_an_abstract_classes_field_is_in_no_table() -> None:
    with pytest.raises(AttributeError, match="abstract"):
        _ = Entity.created_at


# -- input -------------------------------------------------------------------------------------------------------------


def test_values_are_canonical_when_made() -> None:
    made = thing(
        ratio=-0.0,
        price="1.5",
        at=datetime(2024, 1, 1, 12, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2))),
        ratios=[-0.0, 1],
        extra={"a": [1, -0.0, {"b": None}]},
        address={"city": "Rome", "geo": {"lat": -0.0}},
    )
    assert math.copysign(1, made.ratio) == 1
    assert str(made.price) == "1.50"
    assert made.at == datetime(2024, 1, 1, 10, 0, 0, 123_000, tzinfo=UTC)
    assert made.at is not None
    assert made.at.tzinfo is UTC
    assert [math.copysign(1, x) for x in made.ratios] == [1, 1]
    assert math.copysign(1, made.extra["a"][1]) == 1
    assert made.address is not None
    assert made.address.geo is not None
    assert math.copysign(1, made.address.geo.lat) == 1


def test_defaults_are_canonical() -> None:
    assert str(thing().price) == "0.00"

    class Late(Entity, name="late"):
        at: Mapped[datetime] = field(default_factory=lambda: datetime(2024, 1, 1, 0, 0, 0, 999, tzinfo=UTC))
        n: Mapped[int] = field(default_factory=lambda: True)

    with pytest.raises(ValidationError):
        Late()
    assert Late(n=1).at.microsecond == 0


def test_the_two_times_of_a_new_entity_are_equal() -> None:
    made = Owner(email="x")
    assert made.created_at == made.updated_at
    assert made.created_at.microsecond % 1000 == 0
    then = datetime(2020, 1, 1, tzinfo=UTC)
    assert Owner(email="x", created_at=then).updated_at == then
    assert made.id.version == 7


@pytest.mark.parametrize(
    "values",
    [
        {"number": True},
        {"number": "3"},
        {"number": 3.0},
        {"number": 2**63},
        {"number": -(2**63) - 1},
        {"number": -6},
        {"ratio": "1.5"},
        {"ratio": math.nan},
        {"ratio": math.inf},
        {"ratio": True},
        {"flag": 1},
        {"flag": "yes"},
        {"price": Decimal("0.001")},
        {"price": Decimal("12345.00")},
        {"price": Decimal("NaN")},
        {"text": "a\0b"},
        {"text": "\ud800"},
        {"text": None},
        {"at": datetime(2024, 1, 1)},  # noqa: DTZ001
        {"at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
        {"clock": time(1, tzinfo=UTC)},
        {"span": timedelta.max},
        {"color": "green"},
        {"size": "m"},
        {"extra": {"a": object()}},
        {"extra": {1: 2}},
        {"extra": {"a": 2**63}},
        {"extra": {"a": math.nan}},
        {"extra": {"a\0": 1}},
        {"tags": ["a\0"]},
        {"tags": [1]},
        {"ratios": [math.inf]},
        {"address": {"city": "x" * 51}},
        {"address": {"city": "x", "geo": {"lat": "1"}}},
        {"owner_id": "x"},
    ],
)
def test_bad_input_is_a_validation_error(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        thing(**values)
    for value in values.values():
        if isinstance(value, str) and len(value) > 2:
            assert value not in str(caught.value)


def test_a_misspelt_name_is_not_dropped() -> None:
    with pytest.raises(ValidationError, match="noet") as raised:
        Owner.model_validate({"email": "a@example.org", "noet": "lost otherwise"})
    assert "lost otherwise" not in str(raised.value)
    with pytest.raises(ValidationError, match="ctiy"):
        Address.model_validate({"city": "Paris", "ctiy": "Paris"})


def test_lax_input_is_pydantics() -> None:
    made = thing(
        at="2024-01-01T00:00:00+01:00",
        day="2024-01-01",
        clock="12:00",
        span=60,
        color="blue",
        level=2,
        raw="x",
    )
    assert made.at == datetime(2023, 12, 31, 23, tzinfo=UTC)
    assert made.day == date(2024, 1, 1)
    assert made.color is Color.BLUE
    assert made.level is Level.HIGH
    assert made.raw == b"x"
    assert Thing.model_validate_json(made.model_dump_json()) == made


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_json_is_at_most_64_levels_deep() -> None:
    thing(extra={"a": _deep(63)})
    with pytest.raises(ValidationError, match="64"):
        thing(extra={"a": _deep(64)})


def test_a_users_validators_run_on_input_only_and_before_canonical_form() -> None:
    calls: list[str] = []

    def seen(value: str) -> str:
        calls.append(value)
        return value.strip()

    class Checked(Entity, name="checked"):
        a: Mapped[Annotated[str, AfterValidator(seen)]]
        price: Mapped[Decimal] = field(default=Decimal(0), max_digits=9, decimal_places=2)
        maybe: Mapped[float | None] = field(default=None)

        @field_validator("price")
        @classmethod
        def _half(cls, value: Decimal) -> Decimal:
            return value / 2

        @field_validator("maybe")
        @classmethod
        def _sign(cls, value: float | None) -> float | None:
            return value if value is None else -value

    made = Checked(a=" x ", price=Decimal(3), maybe=0.0)
    assert made.a == "x"
    assert str(made.price) == "1.50"
    assert made.maybe is not None
    assert math.copysign(1, made.maybe) == 1
    assert Checked(a="x", maybe=None).maybe is None
    calls.clear()
    row_of(spec_of(Checked), made)
    (read,) = spec_of(Checked).read.validator({}).validate_python([made.__dict__])
    assert read == made
    assert not calls
    with pytest.raises(ValidationError, match="2 decimal places"):
        Checked(a="x", price=Decimal("0.01"))


def test_a_nested_models_validators_run_on_input_only() -> None:
    calls: list[str] = []

    class Inner(Embedded):
        word: Mapped[str]

        @field_validator("word")
        @classmethod
        def _seen(cls, value: str) -> str:
            calls.append(value)
            return value

    class Holder(Entity, name="holders"):
        inner: Mapped[Inner]

    made = Holder(inner=Inner(word="x"))
    assert calls == ["x"]
    spec = spec_of(Holder)
    row_of(spec, made)
    (read,) = spec.read.validator({}).validate_python([made.__dict__ | {"inner": {"word": "y"}}])
    assert read.inner == Inner.model_construct(word="y")
    assert isinstance(Holder.inner == Inner.model_construct(word="z"), Compare)
    assert calls == ["x"]


def test_an_email_is_text() -> None:
    pytest.importorskip("email_validator")

    class Mail(Entity, name="mails"):
        address: Mapped[pydantic.EmailStr] = field(unique="casefold", max_length=254)

    assert spec_of(Mail).by_name["address"].type.kind is Kind.TEXT
    assert Mail(address="ada@example.org").address == "ada@example.org"


# -- instances ---------------------------------------------------------------------------------------------------------


def test_instances_are_frozen_values() -> None:
    made = thing(address=Address(city="Rome"))
    with pytest.raises(ValidationError, match="frozen") as raised:
        made.text = "secret"  # type: ignore[arg-type]  # pyright: ignore[reportAttributeAccessIssue]
    assert "secret" not in str(raised.value)
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert hash(again) == hash(made)
    assert copy.deepcopy(made) == made
    assert made != made.evolve(text="other")
    assert hash(made) == hash(made.evolve(text="other"))


def test_instances_that_were_read_behave_like_those_that_were_made() -> None:
    made = thing(address=Address(city="Rome"), extra={"a": 1})
    (read,) = spec_of(Thing).read.validator({}).validate_python([made.__dict__])
    assert read == made
    assert type(read) is Thing
    assert repr(read) == repr(made)
    assert read.model_dump() == made.model_dump()
    assert pickle.loads(pickle.dumps(read)) == made
    assert copy.deepcopy(read) == made
    assert hash(read) == hash(made)
    assert read.evolve(text="x").text == "x"
    assert row_of(spec_of(Thing), read) == row_of(spec_of(Thing), made)
    with pytest.raises(ValidationError, match="frozen"):
        read.text = "y"  # type: ignore[arg-type]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_field_that_a_document_lacks_reads_as_none_where_it_may() -> None:
    values = dict(thing().__dict__)
    del values["at"]
    (read,) = spec_of(Thing).read.validator({}).validate_python([values])
    assert read.at is None
    del values["number"]
    with pytest.raises(ValidationError):
        spec_of(Thing).read.validator({}).validate_python([values])


def test_evolve_validates_and_leaves_the_rest() -> None:
    made = thing(price="1.50")
    changed = made.evolve(price=Decimal("2.5"), number=3)
    assert (str(changed.price), changed.number, changed.id) == ("2.50", 3, made.id)
    assert made.number == 0
    with pytest.raises(ValidationError):
        made.evolve(number=-6)
    with pytest.raises(InvalidInput, match="did you mean 'number'"):
        made.evolve(numbr=3)


def test_evolve_does_not_validate_twice() -> None:
    class Account(Entity, name="accounts"):
        secret: Mapped[str]
        n: Mapped[int] = field(default=0)

        @field_validator("secret")
        @classmethod
        def _hash(cls, value: str) -> str:
            return f"hash({value})"

    made = Account(secret="x")
    assert made.evolve(n=1).secret == "hash(x)"
    assert made.evolve(secret="y").secret == "hash(y)"


def test_other_models_may_hold_entities() -> None:
    adapter = TypeAdapter(list[Thing])
    made = thing(price="1")
    assert adapter.validate_python([made]) == [made]
    schema = json.dumps(adapter.json_schema())
    assert '"Thing"' in schema

    class Response(BaseModel):
        item: Thing

    assert Response.model_validate(json.loads(Response(item=made).model_dump_json())).item == made


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_row_has_one_value_for_each_column() -> None:
    spec = spec_of(Owner)
    made = Owner(email="Straße@X.org")
    row = row_of(spec, made)
    assert len(row) == len(spec.columns)
    assert row[spec.columns.index(spec.by_name["email"])] == "Straße@X.org"
    assert row[-1] == "strasse@x.org"
    assert row[0] == made.id


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"number": True}, "Thing.number: must be an int"),
        ({"number": -6}, "Thing.number"),
        ({"number": "secret"}, "Thing.number"),
        ({"text": "\0"}, "Thing.text"),
        ({"text": None}, "Thing.text"),
        ({"at": datetime(2024, 1, 1)}, "Thing.at"),  # noqa: DTZ001
        ({"tags": ["a", 3]}, r"Thing.tags\.1: must be a str"),
        ({"address": {"city": "x"}}, "Thing.address: must be an instance of Address"),
        ({"color": "red"}, "Thing.color"),
        ({"extra": {"a": math.nan}}, "Thing.extra"),
        ({"price": 1.5}, "Thing.price"),
    ],
)
def test_rows_are_checked_again(changes: dict[str, Any], where: str) -> None:
    wrong = thing().model_copy(update=changes)
    with pytest.raises(InvalidInput, match=where) as caught:
        row_of(spec_of(Thing), wrong)
    assert "secret" not in str(caught.value)
    assert caught.value.entity == "Thing"
    assert caught.value.field == next(iter(changes))


def test_a_row_is_canonical_even_where_nothing_was_validated() -> None:
    spec = spec_of(Thing)
    wrong = thing().model_copy(
        update={"ratio": -0.0, "price": 3, "at": datetime(2024, 1, 1, 0, 0, 0, 999, tzinfo=UTC)}
    )
    row = dict(zip([c.name for c in spec.columns], row_of(spec, wrong), strict=True))
    assert math.copysign(1, row["ratio"]) == 1
    assert str(row["price"]) == "3.00"
    assert row["at"].microsecond == 0


def test_a_nested_model_is_checked_inside() -> None:
    wrong = thing(address=Address(city="Rome")).model_copy(
        update={"address": Address.model_construct(city=3, geo=None)}
    )
    with pytest.raises(InvalidInput, match=r"Thing.address.city"):
        row_of(spec_of(Thing), wrong)


def test_only_the_entity_itself_is_written() -> None:
    class ThingView(Thing, View[Thing]):
        pass

    view = ThingView(owner_id=OWNER)
    for wrong, problem in (
        (view, "ThingView is a view"),
        (Owner(email="x"), "not Owner"),
        (Thing, "not the class Thing"),
        ({"a": 1}, "not dict"),
        (Thing.model_construct(), "is missing"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            row_of(spec_of(Thing), wrong)


def test_an_entity_is_at_most_15_mib() -> None:
    spec = spec_of(Thing)
    row_of(spec, thing(text="x" * (15 * 1024 * 1024 - 2_000)))
    row_of(spec, thing(extra={"a": list(range(300_000))}))
    for values in (
        {"text": "x" * (15 * 1024 * 1024)},
        {"text": "é" * (8 * 1024 * 1024)},
        {"raw": b"x" * (8 * 1024 * 1024), "text": "x" * (8 * 1024 * 1024)},
        {"extra": {"a": ["x" * 1024 * 1024] * 16}},
        {"tags": ["x" * 1024 * 1024] * 16},
    ):
        with pytest.raises(TooLarge, match="15 MiB"):
            row_of(spec, thing(**values))


def test_an_index_holds_at_most_2000_bytes() -> None:
    class Wide(Entity, name="wide", indexes=[("a", "b")]):
        a: Mapped[str] = field(unique=True, max_length=2_000)
        b: Mapped[str] = field(default="", max_length=255)

    spec = spec_of(Wide)
    row_of(spec, Wide(a="x" * 2_000))
    with pytest.raises(TooLarge, match="2,000"):
        row_of(spec, Wide(a="é" * 1_001))
    with pytest.raises(TooLarge, match=r"Wide\.a, b"):
        row_of(spec, Wide(a="x" * 1_900, b="y" * 101))


def test_int_limits() -> None:
    spec = spec_of(Thing)
    assert row_of(spec, thing(number=INT_MAX))[spec.columns.index(spec.by_name["number"])] == INT_MAX

    class Free(Entity, name="free"):
        n: Mapped[int]

    assert Free(n=INT_MIN).n == INT_MIN


def test_null_is_one_of_the_values() -> None:
    assert isinstance(Thing.at == None, IsNull)  # noqa: E711
