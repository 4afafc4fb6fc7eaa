"""Nobody registers twice by writing an address in capitals.

Where two did, nothing is changed and the migration fails: which of them stays is for a person to say.
"""

from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration


class User(Entity, name="users"):
    email: Mapped[str] = field(unique="casefold", max_length=254)


def up(m: Migration) -> None:
    m.add_unique(User.email)


def down(m: Migration) -> None:
    m.drop_unique(User.email)
