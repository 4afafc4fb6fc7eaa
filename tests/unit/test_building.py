"""From a verb's arguments to a query value: shapes, binds, and what dbkit adds by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dbkit import (
    Entity,
    Group,
    Mapped,
    Record,
    Versioned,
    View,
    any_of,
    avg,
    count,
    everything,
    field,
    key,
    via,
)
from dbkit.building import (
    canonical_id,
    changes_of,
    check_limit,
    check_offset,
    check_own_fields,
    filter_of,
    find_query,
    group_query,
    ids_of,
    page_query,
    read_spec,
    replacing,
    rows_of,
    sort_keys,
    stored_instance,
    unasked_limit,
    unique_key_of,
    write_filter,
)
from dbkit.entity import row_of, spec_of
from dbkit.errors import InvalidInput, TooLarge
from dbkit.keys import open_keys
from dbkit.page import Cursors
from dbkit.query import Arithmetic, Assign, Compare, Constant, UpdateOne
from dbkit.values import casefold_key, utc_now


class Org(Record[str], name="building_orgs"):
    id: Mapped[str] = field(max_length=20)
    title: Mapped[str] = field(default="")


class User(Entity, Versioned, name="building_users", unique=[("org", "slug")]):
    email: Mapped[str] = field(unique="casefold")
    org: Mapped[str | None] = field(default=None, references=lambda: Org)
    slug: Mapped[str | None] = field(default=None)
    age: Mapped[int | None] = field(default=None)
    balance: Mapped[Decimal] = field(default=Decimal(0), max_digits=10, decimal_places=2)


class Card(View[User]):
    email: Mapped[str] = via(User.email)


class PerOrg(Group[User]):
    org: Mapped[str | None] = key(User.org)
    number: Mapped[int] = count()
    mean: Mapped[Decimal | None] = avg(User.age)


USER, ORG = spec_of(User), spec_of(Org)
ID = UUID("018f0000-0000-7000-8000-000000000000")


def names(orders: Any) -> list[str]:
    return [("-" if o.descending else "") + str(o.path).partition(".")[2] for o in orders]


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (None, ["id"]),
        ((), ["id"]),
        (User.age, ["age", "id"]),
        (User.age.desc(), ["-age", "-id"]),
        ([User.age, User.email.desc()], ["age", "-email", "-id"]),
        ((User.email.desc(), User.age), ["-email", "age", "id"]),
        (User.id, ["id"]),
        ((User.id.desc(), User.age), ["-id"]),
        ((User.age, User.id.desc(), User.email), ["age", "-id"]),
        ((User.age, User.age.desc(), User.email), ["age", "email", "id"]),
        (via(User.org, Org.title), ["org.title", "id"]),
    ],
)
def test_orders_are_total(order_by: Any, expected: list[str]) -> None:
    assert names(sort_keys(USER, order_by, "find")) == expected


def test_groups_are_ordered_by_all_keys() -> None:
    assert names(group_query(USER, PerOrg, (), None, None, None).order) == ["org"]
    assert names(group_query(USER, PerOrg, (), None, PerOrg.number.desc(), None).order) == ["-number", "org"]
    assert names(group_query(USER, PerOrg, (), None, PerOrg.org.desc(), None).order) == ["-org"]


# -- filters and limits ------------------------------------------------------------------------------------------------


def test_no_filter_is_no_filter() -> None:
    assert filter_of(USER, (), "find") is None
    assert filter_of(USER, (everything(),), "find") is None
    assert filter_of(USER, (everything(), User.age == 3), "find") is not None
    assert write_filter(USER, (everything(),), "delete_many") is None
    with pytest.raises(InvalidInput, match=r"everything\(\)"):
        write_filter(USER, (), "delete_many")


@pytest.mark.parametrize("value", [0, 1, 10_000])
def test_limits_that_fit(value: int) -> None:
    assert check_limit(value, "find", "User") == value


@pytest.mark.parametrize("value", [-1, 10_001, True, 1.0, "1", None, 10**5_000, -(10**5_000)], ids=range(8))
def test_limits_that_do_not(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"find on User: limit must be an int from 0 to 10,000, not "):
        check_limit(value, "find", "User")


def test_an_offset_of_nothing_is_none() -> None:
    assert check_offset(None, "find", "User") is None
    assert check_offset(0, "find", "User") is None
    assert check_offset(7, "find", "User") == 7
    for wrong in (-1, True, False, 1.0, "1", 2**63):
        with pytest.raises(InvalidInput, match="offset"):
            check_offset(wrong, "find", "User")


def test_a_read_without_a_limit_asks_for_one_more() -> None:
    query = find_query(USER, "find", (User.age == 3,), None, None, None, None)
    assert query.limit == 1_001
    unasked_limit([1] * 1_000, "find", "User")
    with pytest.raises(TooLarge, match="more than 1,000 rows"):
        unasked_limit([1] * 1_001, "find", "User")
    assert group_query(USER, PerOrg, (), None, None, None).limit == 1_001


def test_a_page_goes_on_after_its_cursor() -> None:
    cursors = Cursors()
    first = page_query(USER, cursors, "page", (User.age > 3,), User.email, None, 5, None, total=False)
    assert (first.limit, first.after, first.page, first.total) == (5, None, True, False)
    token = cursors.encode(USER, first.where, first.order, ("x", ID))
    second = page_query(USER, cursors, "page", (User.age > 3,), User.email, None, 9, token, total=True)
    assert (second.after, second.limit, second.total) == (("x", ID), 9, True)
    third = page_query(USER, cursors, "page", (User.age > 4,), User.email, None, 9, None, total=False)
    assert third.shape == first.shape
    assert second.shape != first.shape


def test_claims_stay_on_their_own_entity() -> None:
    own = filter_of(USER, (User.org == "x",), "claim")
    check_own_fields(USER, own, sort_keys(USER, User.age, "claim"), "claim")
    for where, order in (
        ((via(User.org, Org.title) == "x",), None),
        ((any_of(User.age == 1, ~(via(User.org, Org.title) == "x")),), None),
        ((), via(User.org, Org.title)),
    ):
        with pytest.raises(InvalidInput, match="own fields"):
            check_own_fields(USER, filter_of(USER, where, "claim"), sort_keys(USER, order, "claim"), "claim")


# -- ids and rows ------------------------------------------------------------------------------------------------------


def test_ids_are_checked_and_each_is_asked_once() -> None:
    assert canonical_id(USER, ID, "get") is ID
    assert ids_of(ORG, ["b", "a", "b"]) == ["b", "a"]
    assert ids_of(ORG, iter(["a"])) == ["a"]
    for wrong in ("abc", b"abc", 5, None):
        with pytest.raises(InvalidInput):
            ids_of(ORG, wrong)  # type: ignore[arg-type]
    assert len(ids_of(ORG, (str(n % 1_000) for n in range(5_000)))) == 1_000
    with pytest.raises(TooLarge):
        ids_of(ORG, (str(n) for n in range(1_001)))


def test_rows_are_limited() -> None:
    rows = [Org(id=str(n)) for n in range(10_001)]
    assert len(rows_of(ORG, rows[:-1], batched=False)) == 10_000
    assert len(rows_of(ORG, rows, batched=True)) == 10_001
    with pytest.raises(TooLarge, match="batched=True"):
        rows_of(ORG, rows, batched=False)


def test_a_view_is_of_its_entity() -> None:
    assert read_spec(USER, None, "find") is USER.read
    assert read_spec(USER, Card, "find").model is Card
    with pytest.raises(InvalidInput, match="Card is a view of User, not of Org"):
        read_spec(ORG, Card, "find")


def test_what_was_stored_is_what_is_returned() -> None:
    user = User(email="a@x")
    assert stored_instance(USER, user, row_of(USER, user)) is user
    odd = user.model_copy(
        update={"balance": Decimal(5), "created_at": datetime(2024, 1, 1, 0, 0, 0, 1999, UTC)}
    )
    stored = stored_instance(USER, odd, row_of(USER, odd))
    assert str(stored.balance) == "5.00"
    assert stored.created_at.microsecond == 1000
    far = user.created_at.astimezone(timezone(timedelta(hours=5)))
    stored = stored_instance(
        USER, far_user := user.model_copy(update={"created_at": far}), row_of(USER, far_user)
    )
    assert stored.created_at.utcoffset() == timedelta(0)
    assert stored == user


# -- changes -----------------------------------------------------------------------------------------------------------


def changed(changes: Any) -> dict[str, Any]:
    return {change.field.name: change for change in changes}


def test_changes_bring_what_dbkit_keeps() -> None:
    start = utc_now()
    found = changed(changes_of(USER, User.age.set(3), "update"))
    assert list(found) == ["age", "updated_at", "version"]
    assert start <= found["updated_at"].expression.value <= utc_now()
    version = found["version"].expression
    assert isinstance(version, Arithmetic)
    assert (version.op, version.right.value) == ("add", 1)  # type: ignore[attr-defined]
    assert list(changed(changes_of(ORG, [Org.title.set("x")], "update"))) == ["title"]


def test_a_casefold_key_follows_its_field() -> None:
    made = changes_of(USER, (User.email.set("Straße@X.org"),), "update")
    (shadow,) = [c for c in made if c.field in USER.shadows]
    assert isinstance(shadow, Assign)
    assert isinstance(shadow.expression, Constant)
    assert shadow.expression.value == casefold_key("Straße@X.org")


def test_the_shape_of_changes_holds_no_values() -> None:
    one = UpdateOne(USER, ID, None, changes_of(USER, User.age.set(3), "update"))
    two = UpdateOne(USER, UUID(int=5), None, changes_of(USER, User.age.set(None), "update"))
    assert one.shape == two.shape
    assert one.binds != two.binds
    assert hash(one.shape) == hash(two.shape)


def test_a_replacement_keeps_what_dbkit_keeps() -> None:
    user = User(email="a@x", age=3).evolve(version=7)
    where, changes = replacing(USER, row_of(USER, user))
    assert isinstance(where, Compare)
    assert (str(where.path), where.op, where.value) == ("User.version", "eq", 7)
    found = [change.field.name for change in changes]
    assert "id" not in found
    assert "created_at" not in found
    assert found.count("updated_at") == found.count("version") == 1
    assert {"email", "org", "slug", "age", "balance"} <= set(found)
    where, changes = replacing(ORG, row_of(ORG, Org(id="x", title="y")))
    assert where is None
    assert [change.field.name for change in changes] == ["title"]


def test_unique_keys_are_found_in_any_order() -> None:
    assert unique_key_of(USER, User.id).names == ("id",)
    assert unique_key_of(USER, [User.email]).names == ("email",)
    assert unique_key_of(USER, (User.slug, User.org)).names == ("org", "slug")
    for wrong in (
        User.age,
        (User.email, User.id),
        (),
        None,
        "email",
        Org.id,
        User.slug,
        (User.org, User.org),
    ):
        with pytest.raises(InvalidInput, match=r"declared: |takes the fields"):
            unique_key_of(USER, wrong)


def test_keys_in_changes_are_not_too_long() -> None:
    class Wide(Entity, name="building_wide", unique=[("left", "right")]):
        left: Mapped[str | None] = field(default=None, max_length=3_000)
        right: Mapped[str | None] = field(default=None, max_length=3_000)
        other: Mapped[str | None] = field(default=None)

    spec = spec_of(Wide)
    changes_of(spec, Wide.left.set("x" * 2_000), "update")
    changes_of(spec, Wide.other.set("x" * 20_000), "update")
    for text in ("x" * 2_001, "é" * 1_001):
        with pytest.raises(TooLarge) as caught:
            changes_of(spec, Wide.left.set(text), "update")
        assert caught.value.field == "left"
    given = changes_of(spec, (Wide.left.set("x" * 1_500), Wide.right.set("x" * 501)), "update")
    with pytest.raises(TooLarge, match="left, right"):
        open_keys(spec, given)
    assert open_keys(spec, changes_of(spec, Wide.other.set("x"), "update")) == []
    assert open_keys(spec, changes_of(spec, Wide.left.set(None), "update")) == []
    (key,) = open_keys(spec, changes_of(spec, Wide.left.set("é" * 750), "update"))
    key.check(Wide(right=None))
    key.check(Wide(right="x" * 500))
    with pytest.raises(TooLarge):
        key.check(Wide(right="x" * 501))
