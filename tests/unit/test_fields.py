"""Fields of a class in filters, orders and changes."""

# What is refused is made inside a lambda, untyped on purpose.
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest

from dbkit import query
from dbkit.entity import Embedded, Entity, Record, Versioned, spec_of
from dbkit.errors import InvalidInput
from dbkit.fields import Mapped, any_related, field, order_of, orders_of, total_order, via
from dbkit.query import Filter, all_of, any_of, everything
from dbkit.values import Kind


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Geo(Embedded):
    lat: Mapped[float]
    tags: Mapped[list[str]] = field(default_factory=list)


class Address(Embedded):
    city: Mapped[str]
    zip: Mapped[str | None] = field(default=None)
    geo: Mapped[Geo | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)


class Point(Embedded):
    x: Mapped[int]
    y: Mapped[int | None] = field(default=None)


class Org(Record[str], name="orgs"):
    id: Mapped[str]
    title: Mapped[str]


class User(Entity, Versioned, name="users"):
    email: Mapped[str] = field(unique="casefold")
    name: Mapped[str] = field(default="")
    note: Mapped[str | None] = field(default=None)
    age: Mapped[int] = field(default=0, ge=0, le=150)
    limit: Mapped[int | None] = field(default=None)
    ratio: Mapped[float] = field(default=0.0)
    price: Mapped[Decimal] = field(default=Decimal(0), max_digits=6, decimal_places=2)
    cents: Mapped[Decimal] = field(default=Decimal(0), max_digits=6, decimal_places=3)
    flag: Mapped[bool] = field(default=False)
    raw: Mapped[bytes] = field(default=b"")
    at: Mapped[datetime | None] = field(default=None)
    color: Mapped[Color] = field(default=Color.RED)
    size: Mapped[Literal[1, 2]] = field(default=1)
    point: Mapped[Point | None] = field(default=None)
    address: Mapped[Address | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    tags: Mapped[list[str]] = field(default_factory=list)
    ratios: Mapped[list[float]] = field(default_factory=list)
    things: Mapped[list[Any]] = field(default_factory=list)
    points: Mapped[list[Point]] = field(default_factory=list)
    org_id: Mapped[str | None] = field(default=None, references=lambda: Org, on_delete="set_null")


class Post(Entity, name="posts"):
    user_id: Mapped[UUID] = field(references=lambda: User)
    loose_id: Mapped[UUID] = field(references=lambda: User, check=False)
    title: Mapped[str]


def cases(*given: tuple[Callable[[], object], str]) -> list[Any]:
    """Return the cases with names that are the same in every process."""
    return [pytest.param(*case, id=f"{n}-{case[1]}") for n, case in enumerate(given)]


# Checkers refuse these uses too; here is what happens where nobody runs one.
ANY: Any = User
NAN = math.nan
ANY_POST: Any = Post
ANY_ADDRESS: Any = Address


def parts(made: Filter) -> tuple[Any, ...]:
    assert isinstance(made, query.Compare)
    return str(made.path), made.op, made.value


# -- filters -----------------------------------------------------------------------------------------------------------


def test_comparisons() -> None:
    assert parts(User.email == "x") == ("User.email", "eq", "x")
    assert parts(User.email != "x") == ("User.email", "ne", "x")
    assert parts(User.age < 3) == ("User.age", "lt", 3)
    assert parts(User.age <= 3) == ("User.age", "le", 3)
    assert parts(User.age > 3) == ("User.age", "gt", 3)
    assert parts(3 <= User.age) == ("User.age", "ge", 3)  # noqa: SIM300
    assert parts(User.color == Color.BLUE) == ("User.color", "eq", Color.BLUE)
    assert parts(User.flag == True) == ("User.flag", "eq", True)  # noqa: E712
    assert parts(User.raw == b"x") == ("User.raw", "eq", b"x")


def test_operands_are_canonical_and_may_lie_outside_the_bounds() -> None:
    assert str(parts(User.price == 3)[2]) == "3.00"
    assert str(parts(User.price >= -5)[2]) == "-5.00"
    assert parts(User.age > 1_000)[2] == 1_000
    assert math.copysign(1, parts(User.ratio == -0.0)[2]) == 1
    at = datetime(2024, 1, 1, 2, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert parts(User.at == at)[2] == datetime(2024, 1, 1, tzinfo=UTC)


def test_none() -> None:
    assert isinstance(User.note == None, query.IsNull)  # noqa: E711
    assert isinstance(User.note.is_null(), query.IsNull)
    made = User.note != None  # noqa: E711
    assert isinstance(made, query.Not)
    assert isinstance(made.part, query.IsNull)
    assert isinstance(ANY.email == None, query.IsNull)  # noqa: E711
    compares: list[Callable[[], object]] = [
        lambda: ANY.age < None,
        lambda: ANY.limit >= None,
        lambda: ANY.age.between(None, 3),
    ]
    for compare in compares:
        with pytest.raises(InvalidInput, match="None"):
            compare()


@pytest.mark.parametrize(
    ("make", "where"),
    cases(
        (lambda: ANY.email == 3, "User.email: must be a str"),
        (lambda: ANY.age == True, "User.age: must be an int"),  # noqa: E712
        (lambda: ANY.age == "3", "User.age"),
        (lambda: ANY.age == 2**63, "64 bits"),
        (lambda: ANY.ratio == NAN, "finite"),
        (lambda: ANY.price == 1.5, "User.price: must be a Decimal or an int"),
        (lambda: ANY.price == Decimal("0.001"), "2 decimal places"),
        (lambda: ANY.email == "a\0", "NUL"),
        (lambda: ANY.email == "\ud800", "surrogate"),
        (lambda: ANY.at == datetime(2024, 1, 1), "time zone"),  # noqa: DTZ001
        (lambda: ANY.color == "red", "must be an instance of Color"),
        (lambda: ANY.size == 3, "one of the declared"),
        (lambda: ANY.email == ANY.name, "not with each other"),
        (lambda: ANY.raw < b"x", "no order"),
        (lambda: ANY.flag < True, "no order"),
        (lambda: ANY.tags == ["a"], r"User.tags.has\("),
        (lambda: ANY.extra == {"a": 1}, r'User.extra\["source"\]'),
        (lambda: ANY.tags < ["a"], "no order"),
        (lambda: ANY.point < Point(x=1), "no order"),
        (lambda: ANY.point == {"x": 1}, "must be an instance of Point"),
        (lambda: ANY.point.in_([]), "single values"),
        (lambda: ANY.email.in_("ab"), "several values"),
        (lambda: ANY.age.contains("x"), "for text"),
        (lambda: ANY.color.starts_with("x"), "for text"),
        (lambda: ANY.email.contains(3), "must be a str"),
        (lambda: ANY.email.contains("x" * 1_001), "1,000"),
        (lambda: ANY.email.has("x"), "for lists"),
        (lambda: ANY.points.has(Point(x=1)), "single values"),
        (lambda: ANY.tags.has(3), "must be a str"),
        (lambda: ANY.tags.has(None), "exactly"),
        (lambda: ANY.ratios.has(1), "exactly"),
        (lambda: ANY.name.equals_casefold("x"), "casefold"),
        (lambda: ANY.email.equals_casefold(None), "not None"),
        (lambda: ANY.extra["a.b"], "identifiers"),
        (lambda: ANY.extra["$a"], "identifiers"),
        (lambda: ANY.extra[""], "identifiers"),
        (lambda: ANY.extra["a\n"], "identifiers"),
        (lambda: ANY.extra["é"], "identifiers"),
        (lambda: ANY.extra[0], "identifiers"),
        (lambda: ANY.email["a"], "only a dict has keys"),
        (lambda: ANY.extra["a"]["b"], "only a dict has keys"),
        (lambda: ANY.extra["a"] == [1], "str, int, float or bool"),
        (lambda: ANY.extra["a"] < True, "bool"),
        (lambda: ANY.extra["a"] > None, "None"),
        (lambda: ANY.extra["a"].contains("x"), "for text"),
        (lambda: ANY.extra["a"] == math.inf, "finite"),
        (lambda: ANY.extra["a"].in_([2**63]), "64 bits"),
        (lambda: bool(ANY.flag), "no truth value"),
        (lambda: bool(ANY.age > 3), "no truth value"),
        (lambda: 1 < ANY.age < 3, "no truth value"),
        (lambda: (ANY.age > 3) & (User(email="x").age > 3), "an instance compared instead of the class"),
        (lambda: any_of(ANY.age > 3, ANY.email), "a filter was expected"),
    ),
)
def test_what_no_store_could_answer_is_refused(make: Callable[[], object], where: str) -> None:
    with pytest.raises(InvalidInput, match=where):
        make()


def test_a_message_holds_no_value() -> None:
    with pytest.raises(InvalidInput) as caught:
        _ = ANY.age == "s3cret"
    assert "s3cret" not in str(caught.value)
    assert (caught.value.entity, caught.value.field) == ("User", "age")


def test_references_are_no_containers() -> None:
    with pytest.raises(TypeError):
        list(ANY.tags)
    with pytest.raises(TypeError):
        _ = "x" in ANY.tags
    assert len({User.email, User.name, User.email}) == 2


def test_in() -> None:
    made = User.age.in_([3, 1, 3, 2])
    assert isinstance(made, query.In)
    assert made.values == (3, 1, 2)
    assert isinstance(User.age.in_([]), query.Nothing)
    assert isinstance(User.age.in_(n for n in (1, 2)), query.In)
    made = User.note.in_(["a", None])
    assert isinstance(made, query.Or)
    assert [type(part) for part in made.parts] == [query.In, query.IsNull]
    assert isinstance(User.note.in_([None]), query.IsNull)
    made = User.note.not_in(["a"])
    assert isinstance(made, query.Not)
    assert isinstance(made.part, query.In)
    User.age.in_(range(1_000))
    User.age.in_([1] * 5_000)
    with pytest.raises(InvalidInput, match="at most 1,000"):
        User.age.in_(range(1_001))


def test_between_is_two_comparisons() -> None:
    made = User.age.between(1, 3)
    assert isinstance(made, query.And)
    assert [parts(part)[1:] for part in made.parts] == [("ge", 1), ("le", 3)]


def test_texts() -> None:
    made = User.email.contains("x")
    assert isinstance(made, query.Contains)
    assert made.value == "x"
    made = User.note.starts_with("")
    assert isinstance(made, query.StartsWith)
    assert made.is_open
    made = User.email.equals_casefold("STRASSE")
    assert parts(made) == ("User.email__casefold", "eq", "strasse")
    assert parts(via(Post.user_id, User.email).equals_casefold("Straße"))[2] == "strasse"


def test_elements() -> None:
    made = User.tags.has("x")
    assert isinstance(made, query.Has)
    assert made.value == "x"
    assert isinstance(User.things.has(True), query.Has)
    assert isinstance(User.ratios.has(1.0), query.Has)


def test_a_dicts_values_are_typed_by_what_they_are_compared_with() -> None:
    key = User.extra["source"]
    assert key is User.extra["source"]
    assert key.path.type.kind is Kind.JSON
    assert key.path.inside == ("source",)
    for value, kind in (("a", "text"), (1, "number"), (1.5, "number"), (True, "bool")):
        made = key == value
        assert isinstance(made, query.Compare)
        assert made.json_class == kind
        assert type(made.value) is type(value)
    assert isinstance(key == None, query.IsNull)  # noqa: E711
    negated = key != 3
    assert isinstance(negated, query.Not)
    assert negated.part.shape == (key == 3).shape
    assert isinstance(key > 3, query.Compare)
    made = key.in_([1, True, 1.0, "a", None, False])
    assert isinstance(made, query.Or)
    lists = [part for part in made.parts if isinstance(part, query.In)]
    assert [(part.json_class, part.values) for part in lists] == [
        ("number", (1,)),
        ("bool", (True, False)),
        ("text", ("a",)),
    ]
    assert isinstance(made.parts[-1], query.IsNull)
    with pytest.raises(InvalidInput, match="no order"):
        key.desc()


def test_a_nested_model_is_compared_leaf_by_leaf() -> None:
    made = User.point == Point(x=1)
    assert isinstance(made, query.And)
    # Without the first, Point(x=None, …) would equal no point at all.
    assert [type(part) for part in made.parts] == [query.Not, query.Compare, query.IsNull]
    assert parts(made.parts[1]) == ("User.point.x", "eq", 1)
    negated = User.point != Point(x=1)
    assert isinstance(negated, query.Not)
    assert negated.part.shape == made.shape
    assert isinstance(User.point == None, query.IsNull)  # noqa: E711
    with pytest.raises(InvalidInput, match="extra is a dict"):
        _ = User.address == Address(city="Rome")


def test_joining() -> None:
    a, b, c = User.age > 1, User.age > 2, User.age > 3
    made = a & b & c
    assert isinstance(made, query.And)
    assert len(made.parts) == 3
    made = a | b | c
    assert isinstance(made, query.Or)
    assert len(made.parts) == 3
    assert ~~a is a
    assert isinstance(any_of(), query.Nothing)
    assert isinstance(all_of(), query.Everything)
    assert isinstance(any_of(a, everything()), query.Everything)
    assert all_of(a, everything()) is a
    with pytest.raises(InvalidInput, match="cannot be joined"):
        _ = a & (Post.title == "x")
    with pytest.raises(InvalidInput, match="200 conditions"):
        any_of(*[a] * 201)


# -- reaching further --------------------------------------------------------------------------------------------------


def test_via_a_reference() -> None:
    author = via(Post.user_id, User.email)
    assert author.path.root is spec_of(Post)
    assert [f.name for f in author.path.references] == ["user_id"]
    assert author.path.entity is spec_of(User)
    assert not author.path.type.nullable
    assert parts(author == "x") == ("Post.user_id.email", "eq", "x")
    assert via(Post.user_id, User.note).path.type.nullable
    assert via(Post.loose_id, User.email).path.type.nullable
    assert via(User.org_id, Org.title).path.type.nullable


def test_via_nests() -> None:
    inner = via(Post.user_id, via(User.org_id, Org.title))
    outer = via(via(Post.user_id, User.org_id), Org.title)
    assert inner.path.shape == outer.path.shape
    assert str(inner.path) == "Post.user_id.org_id.title"
    city = via(Post.user_id, via(User.address, Address.city))
    assert city.path.shape == via(via(Post.user_id, User.address), Address.city).path.shape
    assert city.path.type.nullable
    deep = via(User.address, via(Address.geo, Geo.lat))
    assert deep.path.shape == via(via(User.address, Address.geo), Geo.lat).path.shape
    assert [getattr(step, "name", step) for step in deep.path.inside] == ["geo", "lat"]
    key = via(User.address, Address.extra["a"])
    assert key.path.type.kind is Kind.JSON
    assert key.path.shape == via(User.address, Address.extra)["a"].path.shape
    assert parts(via(Post.user_id, User.extra["a"]) == 1)[0] == "Post.user_id.extra.a"


@pytest.mark.parametrize(
    ("make", "where"),
    cases(
        (lambda: via(Post.title, User.email), "no reference"),
        (lambda: via(Post.user_id, Org.title), "refers to User, not to Org"),
        (lambda: via(Post.user_id, Post.title), "refers to User, not to Post"),
        (lambda: via(User.point, Address.city), "no field of type Address"),
        (lambda: via(Address.city, User.email), "only to a field of its own nested model"),
        (lambda: via(Address.city, Geo.lat), "no field of type Geo"),
        (lambda: via(Post.user_id, Org), "refers to User, not to Org"),
        (lambda: via(ANY(email="x").id, ANY.email), "a field of a class"),
        (lambda: via(ANY_POST.user_id, ANY(email="x")), "leads to a field or a class"),
        (lambda: via(Post.user_id, Entity), "not an entity"),
        (lambda: ANY_ADDRESS.city == "Rome", r"via\(Entity\.field, Address\.city\)"),
        (lambda: [ANY_ADDRESS.city.desc()], "no place of its own"),
        (lambda: any_related(Post.title, Post.title == "x"), "no reference"),
        (lambda: any_related(Post.user_id, User.email == "x"), "filters on Post, not on User"),
        (lambda: any_related(ANY(email="x").id), "starts from the child's reference"),
        (lambda: any_related(via(Post.user_id, User.org_id)), "no reference of the child's own"),
    ),
)
def test_where_nothing_leads_is_refused(make: Callable[[], object], where: str) -> None:
    with pytest.raises(InvalidInput, match=where):
        make()


def test_any_related() -> None:
    made = any_related(Post.user_id, Post.title == "x", Post.title != "y")
    assert isinstance(made, query.AnyRelated)
    assert made.root is spec_of(User)
    assert made.child is spec_of(Post)
    assert isinstance(made.where, query.And)
    assert made.conditions == 3
    bare = any_related(Post.user_id)
    assert isinstance(bare, query.AnyRelated)
    assert bare.where is None
    assert any_related(Post.user_id, everything()).shape == bare.shape
    both = made & (User.age > 3)
    assert both.root is spec_of(User)


# -- orders ------------------------------------------------------------------------------------------------------------


def test_orders() -> None:
    assert not order_of(User.age).descending
    assert User.age.desc().descending
    assert order_of(User.age.desc()).descending
    assert [str(o.path) for o in orders_of([User.age, User.email.desc(), User.age.desc()])] == [
        "User.age",
        "User.email",
    ]
    assert orders_of(None) == orders_of(()) == ()
    assert User.flag.asc().path.field.name == "flag"
    for wrong in (User.raw, User.tags, User.point):
        with pytest.raises(InvalidInput, match="no order"):
            wrong.asc()
    for not_a_key in ("age", ["age"], 3):
        with pytest.raises(InvalidInput, match=r"order_by=User\.age\.desc"):
            orders_of(not_a_key)


def test_a_total_order_ends_with_the_id_in_the_last_keys_direction() -> None:
    spec = spec_of(User)

    def keys(order_by: Any) -> list[tuple[str, bool]]:
        return [(o.path.field.name, o.descending) for o in total_order(spec, order_by)]

    assert keys(None) == [("id", False)]
    assert keys(User.age) == [("age", False), ("id", False)]
    assert keys([User.age, User.email.desc()]) == [("age", False), ("email", True), ("id", True)]
    assert keys([User.id.desc(), User.age]) == [("id", True)]
    with pytest.raises(InvalidInput, match="not about User"):
        keys(Post.title)


# -- changes -----------------------------------------------------------------------------------------------------------


def assigned(made: query.Change) -> query.Expression:
    assert isinstance(made, query.Assign)
    return made.expression


def test_literals_pass_the_fields_bounds() -> None:
    made = assigned(User.price.set(3))
    assert isinstance(made, query.Constant)
    assert str(made.value) == "3.00"
    assert assigned(User.note.set(None)).binds == (None,)
    assert assigned(User.point.set(Point(x=1))).binds == (Point(x=1),)
    assert assigned(User.tags.set(["a"])).binds == (["a"],)
    for make, where in (
        (lambda: User.age.set(-1), "at least 0"),
        (lambda: ANY.age.set("1"), "must be an int"),
        (lambda: ANY.age.set(True), "must be an int"),
        (lambda: ANY.email.set(None), "cannot be set to None"),
        (lambda: User.email.set("x" * 256), "255 characters"),
        (lambda: User.price.set(10_000), "bounds|digits"),
        (lambda: ANY.tags.set(["a", 1]), r"User.tags\.1"),
        (lambda: ANY.extra.set({"a": object()}), "JSON"),
    ):
        with pytest.raises(InvalidInput, match=where):
            make()


def test_expressions() -> None:
    made = assigned(User.age.set(2 * User.age - 1))
    assert isinstance(made, query.Arithmetic)
    assert (made.op, made.type.kind) == ("sub", Kind.INT)
    assert made.binds == (2, 1)
    made = assigned(User.price.set(5 - User.price))
    assert isinstance(made, query.Arithmetic)
    assert str(made.binds[0]) == "5.00"
    assert isinstance(made.right, query.FieldValue)
    made = assigned(User.price.set(User.price * 3))
    assert made.binds == (3,)
    assert made.type.decimal_places == 2
    assert assigned(User.price.set(User.price * User.age)).type.kind is Kind.DECIMAL
    assert assigned(User.ratio.set(User.ratio + 1)).binds == (1.0,)
    assert type(assigned(User.ratio.set(User.ratio + 1)).binds[0]) is float
    assert assigned(User.ratio.set(User.age * 1.5)).type.kind is Kind.FLOAT
    assert assigned(User.limit.set(User.limit + 1)).type.nullable
    assert isinstance(assigned(User.age.set(ANY.age)), query.FieldValue)


def test_an_int_expression_becomes_a_float_for_a_float_field() -> None:
    assert assigned(User.ratio.set(User.age)).type.kind is Kind.FLOAT
    assert assigned(User.ratio.set(User.age + 1)).type.kind is Kind.FLOAT


@pytest.mark.parametrize(
    ("make", "where"),
    cases(
        (lambda: ANY.age.set(ANY.price), "does not fit"),
        (lambda: ANY.age.set(ANY.ratio), "does not fit"),
        (lambda: ANY.age.set(ANY.limit), "can be None"),
        (lambda: ANY.price.set(ANY.cents), "3 places does not fit a Decimal with 2"),
        (lambda: ANY.price + ANY.cents, "do not go together"),
        (lambda: ANY.price * ANY.price, "do not go together"),
        (lambda: ANY.price + ANY.age, "do not go together"),
        (lambda: ANY.price * Decimal("1.5"), "must be an int"),
        (lambda: ANY.price + Decimal("0.001"), "2 decimal places"),
        (lambda: ANY.price + 0.5, "must be a Decimal or an int"),
        (lambda: ANY.age + True, "must be an int"),
        (lambda: ANY.age + "1", "must be an int"),
        (lambda: ANY.age + 2**63, "64 bits"),
        (lambda: ANY.ratio + "1", "must be a float"),
        (lambda: ANY.ratio + math.inf, "finite"),
        (lambda: ANY.email + "x", "int, float and Decimal fields"),
        (lambda: ANY.size + 1, "int, float and Decimal fields"),
        (lambda: via(Post.user_id, User.age) + 1, "the row's own fields"),
        (lambda: ANY.age.set(ANY.age + Other.n), "cannot join fields of User and Other"),
        (lambda: ANY.age.set(Other.n), "an expression of Other"),
        (lambda: ANY.email.append("x"), "for lists"),
        (lambda: ANY.tags.append(3), "must be a str"),
        (lambda: ANY.points.remove(Point(x=1)), "single values"),
        (lambda: ANY.ratios.remove(1), "exactly"),
        (lambda: ANY.id.set(uuid4()), "is never changed"),
        (lambda: ANY.created_at.set(datetime.now(UTC)), "kept by dbkit"),
        (lambda: ANY.updated_at.set(datetime.now(UTC)), "kept by dbkit"),
        (lambda: ANY.version.set(3), "kept by dbkit"),
        (lambda: via(Post.user_id, User.age).set(3), "a whole field of the entity itself"),
        (lambda: via(User.address, Address.city).set("x"), "a whole field of the entity itself"),
        (lambda: ANY.extra["a"].set(3), "a whole field of the entity itself"),
        (lambda: (ANY.age + 1) == 3, "an expression cannot be compared"),
        (lambda: (ANY.age + 1) < 3, "an expression cannot be compared"),
    ),
)
def test_changes_that_cannot_be_are_refused(make: Callable[[], object], where: str) -> None:
    with pytest.raises(InvalidInput, match=where):
        make()


class Other(Record[int], name="others"):
    n: Mapped[int]
    created_at: Mapped[int]


def test_names_are_kept_by_dbkit_only_where_it_keeps_them() -> None:
    assert isinstance(Other.created_at.set(3), query.Assign)


def test_lists() -> None:
    made = User.tags.append("x")
    assert isinstance(made, query.Append)
    assert made.value == "x"
    assert isinstance(User.points.append(Point(x=1)), query.Append)
    assert isinstance(User.things.append({"a": 1}), query.Append)
    assert isinstance(User.tags.remove("x"), query.Remove)
