"""People and their points."""

from dbkit import Mapped, Record, field
from dbkit.migrations import Migration


class Person(Record[int], name="people"):
    id: Mapped[int]
    name: Mapped[str] = field(max_length=80, unique=True)
    points: Mapped[int] = field(default=0)


def up(m: Migration) -> None:
    m.create_collection(Person)


def down(m: Migration) -> None:
    m.drop_collection(Person)
