"""Authors and what they write."""

from uuid import UUID

from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration


class User(Entity, name="users"):
    login: Mapped[str] = field(unique=True, max_length=100)
    email: Mapped[str] = field(max_length=254)


class Post(Entity, name="posts"):
    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")
    text: Mapped[str]


def up(m: Migration) -> None:
    m.create_collection(User)
    m.create_collection(Post)


def down(m: Migration) -> None:
    m.drop_collection(Post)
    m.drop_collection(User)
