"""Entities: declaration, input, descriptions, rows."""

# Classes that are refused are never used.
# pyright: reportUnusedClass=false

from __future__ import annotations

import copy
import enum
import json
import math
import pickle
import threading
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID, uuid4

import pydantic
import pytest
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError, field_validator

from dbkit.entity import Embedded, Entity, Record, Versioned, row_of, spec_of
from dbkit.errors import ConfigurationError, InvalidInput, TooLarge
from dbkit.fields import FieldRef, Mapped, field, via
from dbkit.query import Compare, IsNull
from dbkit.values import INT_MAX, INT_MIN, Kind
from dbkit.views import View


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Geo(Embedded):
    lat: Mapped[float]
    note: Mapped[str | None] = field(default=None, stored_as="n")


class Address(Embedded):
    city: Mapped[str] = field(max_length=50)
    geo: Mapped[Geo | None] = field(default=None)


class Owner(Entity, Versioned, name="owners", unique=[("org", "nick")], indexes=[("org", "born")], hot=8):
    email: Mapped[str] = field(unique="casefold", max_length=100)
    nick: Mapped[str] = field(default="x")
    org: Mapped[str | None] = field(default=None, max_length=20)
    born: Mapped[date | None] = field(default=None)


class Thing(Entity, name="things"):
    owner_id: Mapped[UUID] = field(references=lambda: Owner, on_delete="cascade")
    text: Mapped[str] = field(default="")
    number: Mapped[int] = field(default=0, ge=-5)
    ratio: Mapped[float] = field(default=0.0)
    price: Mapped[Decimal] = field(default=Decimal(0), max_digits=6, decimal_places=2)
    flag: Mapped[bool] = field(default=False)
    at: Mapped[datetime | None] = field(default=None)
    day: Mapped[date | None] = field(default=None)
    clock: Mapped[time | None] = field(default=None)
    span: Mapped[timedelta | None] = field(default=None)
    raw: Mapped[bytes] = field(default=b"")
    color: Mapped[Color] = field(default=Color.RED)
    level: Mapped[Level | None] = field(default=None)
    size: Mapped[Literal["s", "l"]] = field(default="s", stored_as="sz")
    address: Mapped[Address | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    tags: Mapped[list[str]] = field(default_factory=list)
    ratios: Mapped[list[float]] = field(default_factory=list)
    places: Mapped[list[Address]] = field(default_factory=list)


OWNER = uuid4()


def thing(**values: Any) -> Thing:
    return Thing.model_validate({"owner_id": OWNER} | values)


# -- descriptions ------------------------------------------------------------------------------------------------------


def test_a_description_is_made_once_and_says_what_was_declared() -> None:
    spec = spec_of(Owner)
    assert spec is spec_of(Owner)
    assert (spec.name, spec.stored, spec.model) == ("Owner", "owners", Owner)
    assert [f.name for f in spec.fields] == [
        "id", "version", "created_at", "updated_at", "email", "nick", "org", "born",
    ]  # fmt: skip
    assert [f.name for f in spec.columns[len(spec.fields) :]] == ["email__casefold"]
    assert spec.versioned
    assert spec.timestamped
    assert spec.stripes == 8
    assert {key.names for key in spec.uniques} == {("email",), ("org", "nick")}
    assert [tuple(f.name for f in index.fields) for index in spec.indexes] == [("org", "born")]


def test_text_in_a_key_or_an_index_has_a_length() -> None:
    spec = spec_of(Owner)
    assert spec.by_name["nick"].type.max_length == 255
    assert spec.by_name["org"].type.max_length == 20
    shadow = spec.shadow("email")
    assert shadow is not None
    assert (shadow.stored, shadow.type.max_length, shadow.type.nullable) == ("email__casefold", 400, False)
    assert spec_of(Thing).by_name["text"].type.max_length is None
    with pytest.raises(ValidationError):
        Owner(email="a", nick="x" * 256)


def test_a_reference_is_indexed_unless_it_leads_an_index() -> None:
    assert [i.fields[0].name for i in spec_of(Thing).indexes] == ["owner_id"]

    class Led(Entity, name="led", unique=[("owner_id", "n")]):
        owner_id: Mapped[UUID] = field(references=lambda: Owner)
        n: Mapped[int]

    assert spec_of(Led).indexes == ()
    reference = spec_of(Led).by_name["owner_id"].reference
    assert reference is not None
    assert reference.target is spec_of(Owner)


def test_types() -> None:
    types = {f.name: f.type for f in spec_of(Thing).fields}
    assert types["price"].decimal_places == 2
    assert types["number"].bounds == (-5, INT_MAX)
    assert types["color"].enum is Color
    assert types["color"].choices == ("red", "blue")
    assert (types["level"].kind, types["level"].choices, types["level"].nullable) == (Kind.INT, (1, 2), True)
    assert types["size"].choices == ("s", "l")
    assert types["extra"].element is not None
    assert types["extra"].element.kind is Kind.JSON
    assert types["address"].model is not None
    assert [f.stored for f in types["address"].model.fields] == ["city", "geo"]
    assert spec_of(Thing).by_name["size"].stored == "sz"
    geo = types["address"].model.by_name["geo"].type.model
    assert geo is not None
    assert geo.by_name["note"].stored == "n"


def test_records_have_ids_of_their_own() -> None:
    class Country(Record[str], name="countries"):
        id: Mapped[str] = field(max_length=2)

    class Plain(Record[int], name="plain"):
        pass

    assert spec_of(Country).id.type.max_length == 2
    assert not spec_of(Country).timestamped
    assert spec_of(Plain).id.type.kind is Kind.INT
    assert row_of(spec_of(Plain), Plain(id=3)) == (3,)
    with pytest.raises(ValidationError):
        Country(id="xyz")
    with pytest.raises(ValidationError):
        Plain(id=True)


def test_entities_made_in_functions_find_their_names() -> None:
    class Inner(Embedded):
        n: Mapped[int]

    class Outer(Entity, name="outer"):
        inner: Mapped[Inner]
        later: Mapped[list[Later]]

    class Later(Embedded):
        m: Mapped[int]

    with pytest.raises(ConfigurationError, match="'Later'"):
        spec_of(Outer)
    assert not hasattr(Outer, "inner")
    spec = spec_of(Outer, locals())
    assert spec.by_name["later"].type.element is not None
    assert isinstance(Outer.inner, FieldRef)
    made = Outer(inner=Inner(n=1), later=[Later(m=2)])
    assert row_of(spec, made)[-1] == [Later(m=2)]


def test_references_may_be_declared_later() -> None:
    class Child(Entity, name="children"):
        parent_id: Mapped[UUID] = field(references=lambda: Parent)

    class Parent(Entity, name="parents"):
        pass

    reference = spec_of(Child).by_name["parent_id"].reference
    assert reference is not None
    assert reference.target is spec_of(Parent)


def test_a_reference_has_the_type_of_its_parents_id() -> None:
    class Child(Entity, name="wrong_children"):
        owner_id: Mapped[int] = field(references=lambda: Owner)
        view_id: Mapped[UUID] = field(references=lambda: OwnerView)

    class OwnerView(Owner, View[Owner]):
        pass

    for name, problem in (("owner_id", "is int, but Owner.id is uuid"), ("view_id", "is a view")):
        reference = spec_of(Child).by_name[name].reference
        assert reference is not None
        with pytest.raises(ConfigurationError, match=problem):
            _ = reference.target


def test_a_description_is_one_for_all_threads() -> None:
    class Busy(Entity, name="busy"):
        later: Mapped[Later2]

    class Later2(Embedded):
        m: Mapped[int]

    names = locals()
    barrier = threading.Barrier(8)
    found: list[Any] = []

    def ask() -> None:
        barrier.wait()
        found.append(spec_of(Busy, names))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_what_is_no_entity_says_so() -> None:
    class Base(Entity):
        pass

    class OwnerView(Owner, View[Owner]):
        pass

    for wrong, problem in (
        (Base, "an abstract class"),
        (OwnerView, "a view"),
        (Address, "a nested model"),
        (int, "int is no entity"),
        (Owner(email="x"), "an instance of Owner is no entity"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            spec_of(wrong)


# -- declarations that are wrong ---------------------------------------------------------------------------------------


def _make(annotation: Any, *, base: Any = Entity, value: Any = None, **keywords: Any) -> Any:
    body: dict[str, Any] = {"__annotations__": {"a": annotation}, "__module__": __name__}
    namespace = type(base).__prepare__("X", (base,))
    for name, item in body.items():
        namespace[name] = item
    if value is not None:
        namespace["a"] = value
    return type(base)("X", (base,), namespace, **({"name": "xs"} | keywords))


class Mixed(enum.Enum):
    A = "a"
    B = 1


class Bits(enum.Flag):
    A = 1


class Plain(BaseModel):
    x: int


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (Decimal, "max_digits and decimal_places"),
        (list[Decimal], "Annotated"),
        (Mixed, "all str or all int"),
        (Literal["a", 1], "all str or all int"),
        (Literal[True], "must be all"),
        (Bits, "Flag"),
        (Plain, "not an Embedded model"),
        (set[int], "set cannot be stored"),
        (tuple[int, ...], "tuple cannot be stored"),
        (int | str, "a union"),
        (list[list[int]], "list of lists"),
        (dict[int, str], "keys must be str"),
        (Any, "cannot be stored"),
        (object, "cannot be stored"),
        (pydantic.SecretStr, "cannot be stored"),
    ],
)
def test_types_that_no_store_keeps_are_refused(annotation: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        _make(annotation)
    assert str(caught.value).startswith("X.a")


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (int, field(default="3"), "the default: must be an int"),
        (int, field(ge=5, le=3), "no value lies within"),
        (list[int], field(unique=True), "cannot be unique"),
        (int, field(unique="casefold"), "is for text"),
        (UUID, field(references=lambda: Owner, on_delete="set_null"), "can be None"),
        (float, field(references=lambda: Owner), "a reference holds an id"),
        (int, field(stored_as="a-b"), "a stored name is"),
        (int, field(stored_as="ctid"), "keeps for itself"),
        (int, field(stored_as="_id"), "keeps for itself"),
        (int, field(stored_as="CREATED_AT"), "would both be stored"),
        (str, field(unique="casefold", stored_as="a" * 55), "a stored name is"),
        (Decimal, field(max_digits=19, decimal_places=2), "max_digits is 1 to 18"),
        (int, Field(alias="b"), "alias"),
        (str, via(Owner.email), "stand in views and groups"),
    ],
)
def test_fields_that_cannot_be_are_refused(annotation: Any, value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        _make(annotation, value=value)


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"unique": [("a", "zz")]}, "'zz', which is no field"),
        ({"unique": ["a"]}, "a list of tuples"),
        ({"unique": [("a", "a")]}, "twice"),
        ({"unique": [("a",), ("a",)]}, "unique twice"),
        ({"indexes": [("aa",)]}, "did you mean 'a'"),
        ({"name": "a b"}, "a stored name is"),
        ({"name": "sqlite_x"}, "belong to"),
        ({"name": "_dbkit_x"}, "belong to"),
        ({"name": None, "unique": [("a",)]}, "has no name="),
        ({"hot": 0}, "hot="),
    ],
)
def test_class_lines_that_cannot_be_are_refused(keywords: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        _make(int, **keywords)


@pytest.mark.parametrize("keyword", ["alias", "validation_alias", "serialization_alias"])
def test_aliases_are_refused(keyword: str) -> None:
    keywords: Any = {keyword: "b"}
    with pytest.raises(ConfigurationError, match="stored_as"):
        field(**keywords)


def test_field_refuses_what_contradicts_itself() -> None:
    wrong: Any = Owner
    with pytest.raises(ConfigurationError, match="takes a function"):
        field(references=wrong)
    with pytest.raises(ConfigurationError, match="about references"):
        field(on_delete="cascade")
    with pytest.raises(ConfigurationError, match="about references"):
        field(check=False)
    bad: Any = "nocase"
    with pytest.raises(ConfigurationError, match="casefold"):
        field(unique=bad)
    with pytest.raises(ConfigurationError, match="on_delete"):
        field(references=lambda: Owner, on_delete=bad)


def test_names_that_pydantic_has_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="copy_ with stored_as='copy'"):

        class Bad(Entity, name="bad"):
            copy: Mapped[int]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    with pytest.raises(ConfigurationError, match="evolve"):

        class Bad2(Entity, name="bad"):
            evolve: Mapped[int]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    with pytest.raises(ConfigurationError, match="private"):

        class Bad3(Entity, name="bad"):
            _x: int = 3

    with pytest.raises(ConfigurationError, match="annotation"):

        class Bad4(Entity, name="bad"):
            a = field(default=1)  # pyright: ignore[reportGeneralTypeIssues]


def test_class_variables_and_methods_are_the_programs_own() -> None:
    class Fine(Entity, name="fine"):
        limit: ClassVar[int] = 3
        _hidden: ClassVar[str] = "x"
        n: Mapped[int] = field(default=2)

        @property
        def double(self) -> int:
            return self.n * 2

    assert Fine.limit == 3
    assert Fine().double == 4
    assert isinstance(Fine.n, FieldRef)


def test_a_subclass_of_an_entity_is_a_view_and_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"View\[Owner\]"):

        class Sub(Owner):
            pass

    with pytest.raises(ConfigurationError, match=r"View\[Owner\]"):

        class Sub2(Owner, name="subs"):
            pass


def test_abstract_bases_hand_down_their_fields() -> None:
    class Named(Entity):
        label: Mapped[str] = field(unique=True, max_length=9)

    class A(Named, name="as"):
        pass

    class B(Named, name="bs"):
        label: Mapped[str] = field(default="b")

    assert [k.names for k in spec_of(A).uniques] == [("label",)]
    assert spec_of(A).by_name["label"].type.max_length == 9
    assert spec_of(B).uniques == ()
    assert B().label == "b"


def test_a_nested_model_cannot_hold_itself() -> None:
    with pytest.raises(ConfigurationError, match="cannot hold itself"):

        class Node(Embedded):
            child: Mapped[Node | None] = field(default=None)


def test_nested_models_have_no_keys() -> None:
    with pytest.raises(ConfigurationError, match="own fields"):

        class Inner(Embedded):
            n: Mapped[int] = field(unique=True)


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
    with pytest.raises(ValidationError, match="frozen"):
        made.text = "y"  # type: ignore[arg-type]  # pyright: ignore[reportAttributeAccessIssue]
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
