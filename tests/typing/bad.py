"""Uses that must fail: each line that is marked is an error in both checkers, and no other line is."""

# ruff: noqa: B018, E711, F841, I001
from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from dbkit.entity import Entity, Record
from dbkit.fields import Change, Mapped, any_related, field, via
from dbkit.query import Filter
from dbkit.views import Group, View, avg, count, day, key, max_, related, sum_
from models import Address, Old, Org, Post, PostLine, PostStats, User
from dbkit import AsyncStores, Database, Stores


def names(user: User) -> None:
    User.emial  # E: misspelt
    user.emial  # E: misspelt
    PostLine.titel  # E: misspelt
    PostStats.post_cuont  # E: misspelt


def constructors(user: User) -> None:
    User(username="a")  # E: email is missing
    User(email="a", username="a", age="3")  # E: age is int
    User(email="a", username="a", emial="a")  # E: misspelt
    User(email=None, username="a")  # E: email is never None
    Post(user_id="x", title="t")  # E: an id is a UUID
    user.email = "x"  # E: frozen


def filters(user: User) -> None:
    f01: Filter = User.email == 3  # E: of another type
    f02: Filter = User.age >= "18"  # E: of another type
    f03: Filter = user.email == "x"  # E: an instance instead of the class
    f04: Filter = User.email == None  # E: never None
    f05: Filter = User.age < None  # E: no order
    f07: Filter = User.email.in_([1])  # E: of another type
    f08: Filter = User.email.in_(["a", None])  # E: never None
    f09: Filter = User.age.between(1, "2")  # E: of another type
    f10: Filter = User.age.contains("1")  # E: not a text
    f11: Filter = User.age.starts_with("1")  # E: not a text
    f12: Filter = User.email.has("x")  # E: not a list
    f13: Filter = User.tags.has(3)  # E: of another type
    f14: Filter = User.email["x"] == "y"  # E: not a dict
    f15: Filter = User.balance == 1.5  # E: a float is no Decimal
    f16: Filter = Post.status == "drafty"  # E: not of the Enum
    f17: Filter = Post.kind == "medium"  # E: not of the Literal
    f18: Filter = Post.created_at > "2024"  # E: of another type
    f19: Filter = via(Post.user_id, User.username) == 3  # E: of another type
    f20: Filter = any_related(Post.user_id, user.age == 3)  # E: an instance instead of the class
    f21: Filter = PostStats.post_count > "3"  # E: of another type
    f22: Filter = PostStats.last > 3  # E: of another type
    f23: Filter = User.note == 3  # E: of another type
    f24: Filter = User.id == "x"  # E: of another type
    f25: Filter = (User.age > 3) & (user.age > 3)  # E: an instance instead of the class


def changes() -> None:
    c01: Change = User.email.set(3)  # E: of another type
    c02: Change = User.email.set(None)  # E: never None
    c03: Change = User.age.set(User.limit + 1)  # E: can be None
    c04: Change = User.age.set(User.age * 1.5)  # E: a float
    c05: Change = User.balance.set(User.balance * Decimal("1.5"))  # E: times an int only
    c06: Change = User.email.set(User.email + "x")  # E: not a number
    c07: Change = User.tags.append(3)  # E: of another type
    c08: Change = User.email.append("x")  # E: not a list
    c09: Change = User.age.set(User.balance)  # E: of another type
    c10: Change = User.age.set(User.age - "1")  # E: of another type


class BadEntity(Entity, name="bad"):
    a: Mapped[int] = field(default="3")  # E: of another type
    b: Mapped[list[int]] = field(default_factory=dict)  # E: of another type
    c: Mapped[str] = field(max_lenght=3)  # E: misspelt


class BadView(View[Post]):
    a: Mapped[int] = via(Post.title)  # E: of another type
    b: Mapped[int] = via(Post.user_id, User.username)  # E: of another type
    c: Mapped[str] = via(Post.user_id, via(User.address, Address.city))  # E: can be None
    d: Mapped[Org] = via(Post.user_id, User)  # E: of another type
    e: Mapped[str] = via(Post.user_id, User.titel)  # E: misspelt


class BadRelation(User, View[User]):
    a: Mapped[list[User]] = related(Post, Post.user_id)  # E: of another type
    b: Mapped[Post] = related(Post, Post.user_id)  # E: one instead of several


class BadGroup(Group[Post]):
    a: Mapped[str] = key(Post.user_id)  # E: of another type
    b: Mapped[str] = count()  # E: of another type
    c: Mapped[int] = avg(Post.score)  # E: of another type
    d: Mapped[datetime] = max_(Post.created_at)  # E: can be None
    e: Mapped[datetime] = key(day(Post.created_at))  # E: a date
    f: Mapped[int] = sum_(Post.title)  # E: not a number
    g: Mapped[int] = key(day(Post.title))  # E: not a datetime


class BadKey(Record[bytes], name="bad_key"):  # E: an id is a UUID, a str or an int
    pass


def databases(db: Database) -> None:
    db.backfill(User, User.age, "3")  # E: age is int
    db.backfill(User, User.age, None)  # E: never None
    db.check(User, sample="all")  # E: an int


def stores(db: Stores, user: User) -> None:
    users, orgs = db.store(User), db.store(Org)
    users.get("x")  # E: the id is a UUID
    orgs.get(user.id)  # E: the id is a str
    db.store(Old).get("5f43a1b2c3d4e5f607182930")  # E: the id is an ObjectId
    users.find(into=PostLine)  # E: a view of another entity
    users.get(user.id, into=PostLine)  # E: a view of another entity
    users.find(user.age == 3)  # E: an instance instead of the class
    users.find(User.email == 3)  # E: of another type
    users.find(order_by="age")  # E: a name
    users.find(User.age > 3, order_by=user.age)  # E: an instance instead of the class
    users.group(PostStats)  # E: a group of another entity
    db.store(Post).group(PostLine)  # E: no group
    users.create(Org(id="o", title="O"))  # E: another entity
    users.update_many(User.age > 3, changes=User.age == 3)  # E: a filter, no change
    users.update("x", User.age.set(3))  # E: the id is a UUID
    users.update(user.id, User.age == 3)  # E: a filter, no change
    users.delete("x")  # E: the id is a UUID
    users.upsert(user, on="email")  # E: a name
    users.create_many([Org(id="o", title="O")])  # E: another entity
    users.page(User.age > 3, into=PostLine)  # E: a view of another entity
    users.count(user.age > 3)  # E: an instance instead of the class
    db.store(PostLine)  # E: a view has no store


async def async_stores(db: AsyncStores, user: User) -> None:
    await db.store(User).get("x")  # E: the id is a UUID
    await db.store(User).find(into=PostLine)  # E: a view of another entity
    await db.store(User).find(user.age == 3)  # E: an instance instead of the class
