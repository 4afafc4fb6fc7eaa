"""`dbkit demo`: the packaged blog, on a database of one's own or on a temporary one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Debug, Json
from .output import emit
from .settings import Settings

if TYPE_CHECKING:
    from .._sync.database import Database
    from ..blog import Post, User

__all__ = ["demo"]


def demo(
    # Not from DBKIT_URL: nobody wants a demonstration where that leads.
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="A database without users and posts.")
    ] = "sqlite://",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what dbkit does: authors and posts, on any store.

    Its tables or collections, users and posts, are removed at the end; where they exist, nothing is touched.
    """
    del debug
    from ..blog import Post, User
    from ..connect import connect
    from .reaching import refuse_existing

    shown = str(Settings(url).parsed_url)
    refuse_existing(url, [User, Post])
    with connect(url, entities=[User, Post]) as db:
        said = [f"{shown} ({db.server})"]
        try:
            db.create_schema()
            said += _tour(db)
        finally:
            db.drop_schema()
    emit(as_json, {"url": shown, "lines": said}, said)


def _post(author: User, title: str, day: int) -> Post:
    from ..blog import Post

    return Post(user_id=author.id, title=title, created_at=datetime(2024, 5, day, tzinfo=UTC))


def _tour(db: Database) -> Iterator[str]:
    """Yield what is done, after it was done."""
    from ..blog import Blog, User
    from ..errors import DuplicateKey

    blog = Blog(db)
    ada = blog.users.create(User(username="ada", email="Ada@example.org"))
    yield f"created {ada.username}: {ada.id}"
    bob = User(username="bob", email="bob@example.org")
    blog.create_user_with_post(bob, _post(bob, "Notes", 1))
    yield "created bob and a first post, both or neither"
    for day, title in enumerate(["More notes", "Last notes"], start=2):
        blog.posts.create(_post(bob, title, day))
    blog.posts.create(_post(ada, "On engines", 4))
    found = blog.users.by_email("ADA@EXAMPLE.ORG")
    yield f"ADA@EXAMPLE.ORG is {found.username if found else 'nobody'}: unique without case"
    try:
        blog.users.create(User(username="eve", email="ada@EXAMPLE.org"))
    except DuplicateKey as error:
        yield f"refused eve: {error.entity}.{error.field} is taken"
    first = blog.posts.lines(limit=2)
    rest = blog.posts.lines(limit=2, after=first.next_cursor)
    yield "pages: " + " | ".join(
        ", ".join(f"{line.title} by {line.author}" for line in page.items) for page in (first, rest)
    )
    yield "most posts: " + ", ".join(
        f"{line.username} {line.post_count}" for line in blog.stats.posts_per_user()
    )
    blog.users.delete(bob.id)
    yield f"deleted bob, and his posts with him: {blog.stats.totals().posts} left"
