"""An author's latest posts are read from an index, which is made while others write.

PostgreSQL makes such an index outside a transaction only, so this migration does nothing else. The index that a
reference has by itself is not needed beside one that begins with the same field.
"""

from uuid import UUID

from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration

transactional = False


class User(Entity, name="users"):
    pass


class Post(Entity, name="posts", indexes=[("user_id", "created_at")]):
    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")


def up(m: Migration) -> None:
    m.add_index(Post.user_id, Post.created_at, concurrently=True)
    m.drop_index(Post.user_id, concurrently=True)


def down(m: Migration) -> None:
    m.add_index(Post.user_id, concurrently=True)
    m.drop_index(Post.user_id, Post.created_at, concurrently=True)
