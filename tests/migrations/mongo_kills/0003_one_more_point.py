"""Everybody gets a point, once; a nick says that it is one."""

from dbkit import Mapped, Record, field
from dbkit.migrations import Migration


class Person(Record[int], name="people"):
    id: Mapped[int]
    nick: Mapped[str] = field(max_length=80, unique="casefold")
    points: Mapped[int] = field(default=0)


def up(m: Migration) -> None:
    m.update_each(Person, lambda person: person.evolve(points=person.points + 1), batch=2)
    m.retype_field(Person.nick, using=lambda nick: "@" + nick)


def down(m: Migration) -> None:
    m.retype_field(Person.nick, using=lambda nick: nick[1:])
    for people in m.batches(Person, batch=2):
        for person in people:
            m.store(Person).update(person.id, Person.points.set(Person.points - 1))
