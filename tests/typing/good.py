"""Uses that must pass."""

# ruff: noqa: E711, I001, SIM300
from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import assert_type
from uuid import UUID

from dbkit.fields import Change, FieldRef, any_related, via
from dbkit.query import Filter, all_of, any_of
from dbkit.objectid import ObjectId
from models import Address, Old, Org, Post, PostLine, PostStats, Status, User, UserLine, UserWithPosts
from dbkit import AsyncStores, Database, Finding, Page, Report, Stores, Transaction


def instances(user: User, post: Post) -> None:
    assert_type(user.email, str)
    assert_type(user.id, UUID)
    assert_type(user.note, str | None)
    assert_type(user.address, Address | None)
    assert_type(user.created_at, datetime)
    assert_type(post.version, int)
    assert_type(post.status, Status)
    assert_type(user.evolve(email="x"), User)
    assert_type({user: 1}, dict[User, int])
    User(email="a@x.org", username="a")
    User(email="a@x.org", username="a", age=3, note=None, balance=Decimal("1.50"), tags=["x"])
    Post(user_id=user.id, title="t")
    Org(id="o", title="O")


def references() -> None:
    assert_type(User.email, FieldRef[str])
    assert_type(User.note, FieldRef[str | None])
    assert_type(User.id, FieldRef[UUID])
    assert_type(Post.created_at, FieldRef[datetime])
    assert_type(UserWithPosts.email, FieldRef[str])
    assert_type(PostLine.author, FieldRef[str])
    assert_type(PostStats.post_count, FieldRef[int])
    assert_type(via(Post.user_id, User.username), FieldRef[str])
    assert_type(via(User.org_id, Org.title), FieldRef[str | None])
    assert_type(via(User.address, Address.city), FieldRef[str | None])


def filters(user: User) -> list[Filter]:
    assert_type(User.email == "x", Filter)
    assert_type(User.age >= 18, Filter)
    return [
        User.email == "x",
        User.email != user.email,
        User.note == None,
        User.note == "x",
        User.note < "x",
        User.note.is_null(),
        User.age.between(1, 2),
        18 <= User.age,
        User.limit >= 3,
        User.balance >= 1000,
        User.balance == Decimal("1.50"),
        User.score > 1,
        User.email.in_(["a", "b"]),
        User.note.in_(["a", None]),
        User.note.not_in({"a"}),
        User.email.contains("x") & ~User.note.starts_with("y"),
        User.email.equals_casefold("x"),
        User.tags.has("x"),
        User.extra["source"] == "ads",
        User.extra["visits"] > 3,
        User.address == Address(city="Rome"),
        User.address == None,
        Post.status == Status.DRAFT,
        Post.status.in_([Status.DRAFT]),
        Post.kind == "long",
        Post.created_at > datetime.now(UTC),
        via(Post.user_id, User.username) == "ada",
        via(Post.user_id, via(User.address, Address.city)).starts_with("R"),
        any_related(Post.user_id, Post.status == Status.DRAFT),
        any_of(User.age < 3, User.age > 9) | all_of(User.email == "x"),
        PostLine.author == "ada",
        PostStats.post_count > 3,
        PostStats.last > datetime.now(UTC),
    ]


def changes(amount: Decimal) -> list[Change]:
    return [
        User.email.set("x"),
        User.note.set(None),
        User.note.set("x"),
        User.age.set(User.age + 1),
        User.age.set(2 * User.age - User.age),
        User.limit.set(User.age),
        User.limit.set(User.limit - 1),
        User.score.set(User.score * 1.5 + 1),
        User.score.set(User.age * 1.5),
        User.balance.set(User.balance - amount),
        User.balance.set(amount - User.balance),
        User.balance.set(User.balance * 2),
        User.balance.set(100),
        User.tags.append("x"),
        User.tags.remove("x"),
        User.address.set(Address(city="Rome")),
    ]


def stores(db: Stores, user: User) -> None:
    users, posts, orgs = db.store(User), db.store(Post), db.store(Org)
    assert_type(users.get(user.id), User | None)
    assert_type(orgs.get("x"), Org | None)
    assert_type(users.get(user.id, into=UserWithPosts), UserWithPosts | None)
    assert_type(users.find(User.age > 3, order_by=User.age.desc()), list[User])
    assert_type(users.find(order_by=[User.age, User.email.desc()]), list[User])
    assert_type(posts.find(order_by=PostLine.author, into=PostLine), list[PostLine])
    assert_type(users.find(into=UserLine), list[UserLine])
    groups = posts.group(PostStats, having=PostStats.post_count > 3, order_by=PostStats.post_count.desc())
    assert_type(groups, list[PostStats])
    assert_type(groups[0].post_count, int)
    assert_type(users.find(into=UserWithPosts)[0].posts, list[Post])
    assert_type(posts.find(into=PostLine)[0].user, User)
    assert_type(users.find_one(User.age > 3), User | None)
    assert_type(users.page(limit=3), Page[User])
    assert_type(users.page(limit=3, into=UserWithPosts).items, list[UserWithPosts])
    assert_type(next(iter(posts.iterate(into=PostLine))), PostLine)
    assert_type(users.require(user.id), User)
    assert_type(users.get_many([user.id]), dict[UUID, User])
    assert_type(users.create(user), User)
    assert_type(users.update(user.id, User.age.set(3), where=User.age < 3), User)
    assert_type(orgs.update("x", Org.title.set("y")), Org)
    assert_type(users.update_many(User.age > 3, changes=User.age.set(3)), int)
    assert_type(users.upsert(user, on=User.email), User)
    assert_type(orgs.upsert(Org(id="o", title="O"), on=[Org.title, Org.id]), Org)
    assert_type(users.delete(user.id), bool)
    assert_type(users.claim(User.age > 3, changes=[User.age.set(3)], limit=2), list[User])


def object_ids(db: Stores, old: Old) -> None:
    olds = db.store(Old)
    assert_type(old.id, ObjectId)
    assert_type(Old.id, FieldRef[ObjectId])
    assert_type(olds.get(old.id), Old | None)
    assert_type(olds.get_many([old.id]), dict[ObjectId, Old])
    assert_type(olds.find(Old.before.in_([ObjectId(), None]), order_by=Old.id.desc()), list[Old])
    assert_type(olds.update(old.id, Old.before.set(ObjectId())), Old)
    assert_type(olds.delete(old.id), bool)


async def async_stores(db: AsyncStores, user: User) -> None:
    users, posts = db.store(User), db.store(Post)
    assert_type(await users.get(user.id), User | None)
    assert_type(await users.get(user.id, into=UserWithPosts), UserWithPosts | None)
    assert_type(await users.find(User.age > 3, into=UserLine), list[UserLine])
    assert_type(await posts.group(PostStats), list[PostStats])
    assert_type([line async for line in posts.iterate(into=PostLine)], list[PostLine])
    assert_type(await users.update(user.id, User.age.set(3)), User)


def databases(db: Database, user: User) -> None:
    stores(db, user)
    assert_type(db.check(User, Post, sample=10), Report)
    assert_type(db.check().findings, tuple[Finding, ...])
    assert_type(db.backfill(User, User.note, "x"), int)
    assert_type(db.backfill(User, User.note, None, batch=10, progress=lambda done, total: done <= total), int)
    assert_type(db.backfill(User, User.address, Address(city="Rome")), int)
    with db.transaction() as tx:
        stores(tx, user)

    def move(tx: Transaction) -> User:
        return tx.store(User).create(user)

    assert_type(db.run_in_transaction(move), User)
