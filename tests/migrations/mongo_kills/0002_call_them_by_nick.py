"""A name is a nick, unique without case; each has a bio."""

from dbkit import Mapped, Record, field
from dbkit.migrations import Migration


class Before(Record[int], name="people"):
    id: Mapped[int]
    name: Mapped[str] = field(max_length=80, unique=True)


class Between(Record[int], name="people"):
    id: Mapped[int]
    nick: Mapped[str] = field(max_length=80, unique=True)


class Person(Record[int], name="people"):
    id: Mapped[int]
    nick: Mapped[str] = field(max_length=80, unique="casefold")
    bio: Mapped[str] = field(default="", max_length=500, index=True)


def up(m: Migration) -> None:
    m.rename_field(Between.nick, was="name")
    m.drop_unique(Between.nick)
    m.add_unique(Person.nick)
    m.add_field(Person.bio, fill=lambda person: f"I am {person.nick}")


def down(m: Migration) -> None:
    m.drop_field(Person.bio)
    m.drop_unique(Person.nick)
    m.add_unique(Between.nick)
    m.rename_field(Before.name, was="nick")
