"""Authors have a bio; so far they wrote it as a post that begins with "About me"."""

from uuid import UUID

from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration

ABOUT = "About me\n"


class User(Entity, name="users"):
    bio: Mapped[str | None] = field(default=None)


class Post(Entity, name="posts"):
    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")
    text: Mapped[str]


def up(m: Migration) -> None:
    m.add_field(User.bio)

    def introduce(user: User) -> User | None:
        about = m.store(Post).find_one(
            Post.user_id == user.id, Post.text.starts_with(ABOUT), order_by=Post.created_at
        )
        return None if about is None else user.evolve(bio=about.text.removeprefix(ABOUT))

    m.update_each(User, introduce, batch=200)


def down(m: Migration) -> None:
    m.drop_field(User.bio)
