"""Names of what is there already: `name="app.users"`, and `stored_as=` on the id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from dbkit import (
    ConfigurationError,
    DuplicateKey,
    Entity,
    Group,
    Mapped,
    Record,
    ReferenceViolation,
    SchemaDrift,
    Versioned,
    View,
    any_related,
    connect,
    count,
    field,
    key,
    related,
    via,
)


class User(Record[str], Versioned, name="app.users"):
    id: Mapped[str] = field(stored_as="user_no", max_length=20)
    email: Mapped[str | None] = field(default=None, unique="casefold", max_length=40)
    age: Mapped[int] = field(default=0, ge=0, index=True)


class Order(Entity, name="shop.orders", unique=[("user_id", "number")]):
    user_id: Mapped[str] = field(references=lambda: User, on_delete="cascade")
    twin: Mapped[UUID | None] = field(default=None, references=lambda: Order, on_delete="set_null")
    number: Mapped[int] = field(stored_as="id_in_shop")


class UserWithOrders(User, View[User]):
    orders: Mapped[list[Order]] = related(Order, Order.user_id, order_by=Order.number)


class OrdersByUser(Group[Order]):
    age: Mapped[int] = key(via(Order.user_id, User.age))
    orders: Mapped[int] = count()


ENTITIES: list[type[Any]] = [User, Order]


def test_every_verb_finds_its_table(store_url: str) -> None:
    with connect(store_url, entities=ENTITIES) as db:
        db.create_schema()
        db.create_schema()
        users, orders = db.store(User), db.store(Order)
        ada = users.create(User(id="a1", email="Ada@example.org", age=36))
        users.create_many([User(id="b2"), User(id="c3")])
        assert users.get("a1") == ada
        assert [u.id for u in users.find(order_by=User.id.desc())] == ["c3", "b2", "a1"]
        page = users.page(order_by=User.age.desc(), limit=2)
        assert [u.id for u in users.page(order_by=User.age.desc(), after=page.next_cursor).items] == ["b2"]
        for where in (User.id.in_(["b2"]), User.id == "b2", User.id > "b2"):
            assert users.count(where) == 1
        with pytest.raises(DuplicateKey) as taken:
            users.create(User(id="a1"))
        assert taken.value.field == "id"
        with pytest.raises(DuplicateKey) as taken:
            users.create(User(id="d4", email="ADA@example.org"))
        assert taken.value.field == "email"
        assert users.update("a1", User.age.set(User.age + 1)).version == 2
        assert users.upsert(User(id="x", email="ada@EXAMPLE.org", age=40), on=User.email).id == "a1"
        assert users.upsert(User(id="b2", age=5), on=User.id).version == 2
        assert users.replace(users.require("b2").evolve(age=6)).age == 6
        assert [u.id for u in users.claim(User.age == 6, changes=[User.age.set(0)])] == ["b2"]

        first = orders.create(Order(user_id="a1", number=1))
        orders.create_many([Order(user_id="a1", number=2, twin=first.id), Order(user_id="b2", number=1)])
        with pytest.raises(DuplicateKey) as taken:
            orders.create(Order(user_id="a1", number=1))
        assert taken.value.field == "user_id, number"
        with pytest.raises(ReferenceViolation):
            orders.create(Order(user_id="nobody", number=9))
        assert orders.count(via(Order.user_id, User.age) == 40) == 2
        assert [u.id for u in users.find(any_related(Order.user_id, Order.number == 2))] == ["a1"]
        whole = users.require("a1", into=UserWithOrders)
        assert [o.number for o in whole.orders] == [1, 2]
        found = orders.group(OrdersByUser, order_by=OrdersByUser.age)
        assert [(g.age, g.orders) for g in found] == [(0, 1), (40, 2)]
        with db.transaction() as tx:
            assert tx.store(Order).update_many(Order.number > 0, changes=Order.twin.set(None)) == 3
            assert tx.store(User).delete("a1")
        assert [o.number for o in orders.find()] == [1]
        assert users.delete_many(User.age < 10) == 2
        db.drop_schema()
        db.drop_schema()


class Wrong(Record[str], Versioned, name="app.users"):
    id: Mapped[str] = field(stored_as="user_no", max_length=20)


def test_drift_is_seen(store_url: str) -> None:
    with connect(store_url, entities=ENTITIES) as db:
        db.create_schema()
        with connect(store_url, entities=[Wrong]) as other, pytest.raises(SchemaDrift, match=r"app\.users"):
            other.create_schema()
        db.drop_schema()


def test_the_schema_and_the_column_are_there_as_named(postgres_url: str) -> None:
    with connect(postgres_url, entities=ENTITIES) as db:
        db.create_schema()
        with db.native() as raw:
            found = raw.execute(
                "SELECT table_schema, table_name, column_name FROM information_schema.columns "
                "WHERE column_name IN ('user_no', 'id_in_shop')"
            ).fetchall()
            raw.execute("CREATE SCHEMA other")
            raw.execute("CREATE TABLE other.orders (id uuid)")
        assert sorted(found) == [("app", "users", "user_no"), ("shop", "orders", "id_in_shop")]
        db.create_schema()


def test_two_schemas_may_hold_one_name(store_url: str) -> None:
    class Here(Entity, name="here.things"):
        there: Mapped[UUID | None] = field(default=None, references=lambda: There, index=True)

    class There(Entity, name="there.things"):
        n: Mapped[int] = field(default=0)

    with connect(store_url, entities=[Here, There]) as db:
        db.create_schema()
        parent = db.store(There).create(There(n=7))
        child = db.store(Here).create(Here(there=parent.id))
        assert db.store(Here).find(via(Here.there, There.n) == 7) == [child]
        with pytest.raises(ReferenceViolation):
            db.store(There).delete(parent.id)
        # A plan calls them by the names that they are declared by.
        assert db.store(There).explain().count(There.n == 7).scans == ("there.things",)
        assert db.store(Here).explain().count(Here.created_at == parent.created_at).scans == ("here.things",)


@pytest.mark.parametrize(
    "name", ["a.b.c", ".users", "app.", "a b.c", "pg_temp.users", "system.users", "app._dbkit_x", "App.1"]
)
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name="):

        class Odd(Entity, name=name):  # pyright: ignore[reportUnusedClass]
            pass


def test_an_id_is_still_no_reference() -> None:
    with pytest.raises(ConfigurationError, match="is unique anyhow"):

        class Child(Record[str], name="children"):  # pyright: ignore[reportUnusedClass]
            id: Mapped[str] = field(references=lambda: User)


def test_public_is_where_no_schema_is_named() -> None:
    class One(Entity, name="public.same"):
        pass

    class Two(Entity, name="same"):
        pass

    with pytest.raises(ConfigurationError, match="have the same name"):
        connect("memory://", entities=[One, Two])
