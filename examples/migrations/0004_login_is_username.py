"""What was called a login is a username."""

from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration


class Before(Entity, name="users"):
    login: Mapped[str] = field(unique=True, max_length=100)


class User(Entity, name="users"):
    username: Mapped[str] = field(unique=True, max_length=100)


def up(m: Migration) -> None:
    m.rename_field(User.username, was="login")


def down(m: Migration) -> None:
    m.rename_field(Before.login, was="username")
