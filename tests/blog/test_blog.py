"""The worked domain, on every store and in both colours, by the fixtures that dbkit ships."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from dbkit import AsyncDatabase, Database, DuplicateKey, NotFound, ReferenceViolation
from dbkit.blog import AsyncBlog, Blog, Post, PostStore, StatsStore, Totals, User, UserStore


@pytest.fixture
def dbkit_entities() -> list[type[Any]]:
    return [User, Post]


def user(name: str = "ada", email: str | None = None) -> User:
    return User(username=name, email=email or f"{name}@example.org")


def posts_of(author: User, *days: int) -> list[Post]:
    return [
        Post(
            user_id=author.id,
            title=f"day {d}",
            created_at=datetime(2024, 5 + d // 28, 1 + d % 28, 12, tzinfo=UTC),
        )
        for d in days
    ]


def test_users(db: Database) -> None:
    users: UserStore = Blog(db).users
    ada = users.create(user("ada", "Ada@Example.org"))
    assert users.get(ada.id) == ada
    assert users.get(UUID(int=0)) is None
    assert users.by_email("aDA@example.ORG") == ada
    assert users.by_email("nobody@example.org") is None
    with pytest.raises(DuplicateKey) as caught:
        users.create(user("ada2", "ADA@example.org"))
    assert (caught.value.entity, caught.value.field) == ("User", "email")
    with pytest.raises(DuplicateKey) as caught:
        users.create(user("ada", "other@example.org"))
    assert caught.value.field == "username"
    changed = users.update(ada.id, User.bio.set("countess"))
    assert (changed.bio, changed.username) == ("countess", "ada")
    with pytest.raises(NotFound):
        users.update(UUID(int=0), User.bio.set("nobody"))
    users.create(user("bob"))
    users.create(user("Cy"))
    first = users.page(limit=2)
    second = users.page(limit=2, after=first.next_cursor)
    # By code point: capitals come first.
    assert [u.username for u in (*first.items, *second.items)] == ["Cy", "ada", "bob"]
    assert second.next_cursor is None


def test_posts(db: Database) -> None:
    blog = Blog(db)
    posts: PostStore = blog.posts
    ada, bob = blog.users.create(user("ada")), blog.users.create(user("bob"))
    made = [posts.create(p) for p in posts_of(ada, 1, 2, 3, 4, 5)]
    posts.create(posts_of(bob, 9)[0])
    assert posts.get(made[0].id) == made[0]
    first = posts.by_user(ada.id, limit=3)
    second = posts.by_user(ada.id, limit=3, after=first.next_cursor)
    assert [p.title for p in (*first.items, *second.items)] == ["day 5", "day 4", "day 3", "day 2", "day 1"]
    assert second.next_cursor is None
    assert [(line.title, line.author) for line in posts.lines(limit=2).items] == [
        ("day 9", "bob"),
        ("day 5", "ada"),
    ]
    assert posts.update(made[0].id, Post.title.set("changed")).title == "changed"
    assert posts.delete(made[0].id) is True
    assert posts.delete(made[0].id) is False
    with pytest.raises(ReferenceViolation):
        posts.create(Post(user_id=UUID(int=0), title="nobody's"))
    assert blog.users.delete(ada.id) is True
    assert blog.stats.totals() == Totals(users=1, posts=1)


def test_a_user_with_posts(db: Database) -> None:
    blog = Blog(db)
    ada, bob = blog.users.create(user("ada")), blog.users.create(user("bob"))
    for post in posts_of(ada, 1, 2, 3, 4):
        blog.posts.create(post)
    found = blog.users.get_with_posts(ada.id)
    assert found is not None
    assert [p.title for p in found.posts] == ["day 4", "day 3", "day 2"]
    assert (found.username, found.email) == (ada.username, ada.email)
    alone = blog.users.get_with_posts(bob.id)
    assert alone is not None
    assert alone.posts == []
    assert blog.users.get_with_posts(UUID(int=0)) is None


def test_statistics(db: Database) -> None:
    blog = Blog(db)
    stats: StatsStore = blog.stats
    assert stats.totals() == Totals(users=0, posts=0)
    assert stats.posts_per_user() == []
    ada, bob = blog.users.create(user("ada")), blog.users.create(user("bob"))
    blog.users.create(user("silent"))
    for post in (*posts_of(ada, 1, 1, 30), *posts_of(bob, 1)):
        blog.posts.create(post)
    assert stats.totals() == Totals(users=3, posts=4)
    assert [(c.user_id, c.username, c.post_count) for c in stats.posts_per_user()] == [
        (ada.id, "ada", 3),
        (bob.id, "bob", 1),
    ]
    assert [c.username for c in stats.posts_per_user(limit=1)] == ["ada"]
    assert [(d.posted, d.post_count) for d in stats.posts_per_day()] == [
        (date(2024, 5, 2), 3),
        (date(2024, 6, 3), 1),
    ]
    assert [(m.posted, m.post_count) for m in stats.posts_per_month()] == [
        (date(2024, 5, 1), 3),
        (date(2024, 6, 1), 1),
    ]


def test_a_user_with_a_first_post_is_both_or_neither(db: Database) -> None:
    blog = Blog(db)
    ada = user("ada")
    assert blog.create_user_with_post(ada, posts_of(ada, 1)[0])[0] == ada
    assert blog.stats.totals() == Totals(users=1, posts=1)
    bob = user("bob")
    with pytest.raises(ReferenceViolation):
        blog.create_user_with_post(bob, Post(user_id=UUID(int=0), title="nobody's"))
    assert blog.stats.totals() == Totals(users=1, posts=1)
    with db.transaction() as tx:
        Blog(tx).create_user_with_post(bob, posts_of(bob, 2)[0])
        assert Blog(tx).stats.totals() == Totals(users=2, posts=2)
    assert blog.stats.totals() == Totals(users=2, posts=2)


async def test_the_asynchronous_twin(adb: AsyncDatabase) -> None:
    blog = AsyncBlog(adb)
    ada = user("ada", "Ada@Example.org")
    await blog.create_user_with_post(ada, posts_of(ada, 1)[0])
    for post in posts_of(ada, 2, 3, 4):
        await blog.posts.create(post)
    assert await blog.users.by_email("ada@example.ORG") == ada
    with_posts = await blog.users.get_with_posts(ada.id)
    assert with_posts is not None
    assert [p.title for p in with_posts.posts] == ["day 4", "day 3", "day 2"]
    first = await blog.posts.by_user(ada.id, limit=3)
    second = await blog.posts.by_user(ada.id, limit=3, after=first.next_cursor)
    assert [p.title for p in (*first.items, *second.items)] == ["day 4", "day 3", "day 2", "day 1"]
    assert (await blog.users.update(ada.id, User.bio.set("countess"))).bio == "countess"
    assert [line.author for line in (await blog.posts.lines()).items] == ["ada"] * 4
    assert [c.post_count for c in await blog.stats.posts_per_user()] == [4]
    assert len(await blog.stats.posts_per_day()) == 4
    assert len(await blog.stats.posts_per_month()) == 1
    async with adb.transaction() as tx:
        inside = AsyncBlog(tx)
        assert await inside.posts.delete(first.items[0].id) is True
        assert await inside.stats.totals() == Totals(users=1, posts=3)
    assert await blog.users.delete(ada.id) is True
    assert await blog.stats.totals() == Totals(users=0, posts=0)
