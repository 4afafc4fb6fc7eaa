"""Pairs of entities, one operation apart, and the operations that lead there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bson.int64 import Int64

from dbkit import Mapped, Record, field
from dbkit.entity import spec_of
from dbkit.migrations import operations as op
from dbkit.spec import EntitySpec

Operation = op.Operation
Rows = dict[int, dict[str, Any]]


class Org(Record[int], name="orgs"):
    id: Mapped[int]


class Ageless(Record[int]):
    """What all have."""

    id: Mapped[int]
    name: Mapped[str] = field(default="x", max_length=80)
    org: Mapped[int | None] = field(default=None)
    slug: Mapped[str] = field(default="s", max_length=80)


class Person(Ageless):
    """What most have."""

    age: Mapped[int | None] = field(default=None)


class Base(Person, name="people"):
    """Where all cases begin, but for those that say otherwise."""


def documents() -> list[dict[str, Any]]:
    """Return rows as they stand for years: nulls, missing keys, and keys that nobody declares."""
    return [
        {"_id": Int64(1), "name": "Ada", "org": Int64(7), "slug": "a", "age": Int64(30)},
        {"_id": Int64(2), "name": "ÉVE", "org": None, "slug": "b", "age": None},
        {"_id": Int64(3), "name": "bob", "slug": "c"},
        {
            "_id": Int64(4),
            "name": "x",
            "org": Int64(7),
            "slug": "d",
            "age": Int64(-1),
            "left": [None, {"a": 1}],
        },
    ]


class WithBio(Person, name="people"):
    bio: Mapped[str] = field(default="", max_length=500, index=True)


class WithMail(Person, name="people"):
    mail: Mapped[str | None] = field(default=None, unique="casefold", max_length=90)


class WithList(Person, name="people"):
    tags: Mapped[list[str | None]] = field(default_factory=list[str | None])


class WithCode(Person, name="people"):
    code: Mapped[str] = field(unique=True, max_length=90)


class WithBoss(Person, name="people"):
    boss: Mapped[int | None] = field(default=None, references=lambda: Org, on_delete="set_null")


class Folded(Person, name="people", unique=[("org", "name")], indexes=[("name", "age")]):
    name: Mapped[str] = field(default="x", max_length=80, unique="casefold")


class Renamed(Record[int], name="people", unique=[("org", "fullname")], indexes=[("fullname", "age")]):
    id: Mapped[int]
    fullname: Mapped[str] = field(default="x", max_length=80, unique="casefold")
    org: Mapped[int | None] = field(default=None)
    slug: Mapped[str] = field(default="s", max_length=80)
    age: Mapped[int | None] = field(default=None)


class UniqueAge(Ageless, name="people"):
    age: Mapped[int | None] = field(default=None, unique=True)


class AgeDecimal(Ageless, name="people"):
    age: Mapped[Decimal | None] = field(default=None, max_digits=14, decimal_places=2, unique=True)


class AgeFine(Ageless, name="people"):
    age: Mapped[Decimal | None] = field(default=None, max_digits=14, decimal_places=3, unique=True)


class AgeText(Ageless, name="people"):
    age: Mapped[str | None] = field(default=None, max_length=40, unique=True)


class AgeNeeded(Ageless, name="people"):
    age: Mapped[int] = field(default=0, index=True)


class AgeIndexed(Ageless, name="people"):
    age: Mapped[int | None] = field(default=None, index=True)


class FoldedName(Person, name="people"):
    name: Mapped[str] = field(default="x", max_length=80, unique="casefold")


class UniqueSlug(Person, name="people"):
    slug: Mapped[str] = field(default="s", max_length=80, unique=True)


class OrgRef(Person, name="people"):
    org: Mapped[int | None] = field(default=None, references=lambda: Org)


class OrgRefSlug(Person, name="people", unique=[("org", "slug")]):
    org: Mapped[int | None] = field(default=None, references=lambda: Org)


class Humans(Person, name="humans"):
    pass


class OnlyOrg(Record[int], name="people"):
    """A migration's class: only what it is about."""

    id: Mapped[int]
    org: Mapped[int | None] = field(default=None, references=lambda: Org)


def fields_of(entity: EntitySpec, *names: str) -> Any:
    return entity.unique_key(names)


@dataclass(frozen=True)
class Case:
    """One operation, and one that takes it back."""

    name: str
    before: type[Any]
    after: type[Any]
    there: Callable[[EntitySpec, EntitySpec], Operation]
    """From the descriptions of *before* and *after*."""
    back: Callable[[EntitySpec, EntitySpec], Operation]
    others: tuple[type[Any], ...] = ()
    seen: Rows | None = None
    """Rows afterwards, by id: the fields that are told of."""
    returned: Rows | None = None
    """The same after the way back."""

    def operations(self) -> tuple[Operation, Operation]:
        before, after = spec_of(self.before), spec_of(self.after)
        return self.there(before, after), self.back(before, after)


def _index(entity: EntitySpec, *names: str) -> Any:
    wanted = tuple(entity.by_name[n] for n in names)
    return next(i for i in entity.indexes if i.fields == wanted)


def _retype(name: str, using: Any = None, default: Any = None, was: bool = False) -> Any:
    def made(to: EntitySpec, of: EntitySpec) -> Operation:
        found = of.by_name[name] if was else None
        return op.RetypeField(to, to.by_name[name], found, using, default)

    return made


def _there(make: Any) -> Callable[[EntitySpec, EntitySpec], Operation]:
    return lambda before, after: make(after, before)


def _added(name: str, default: Any = None, fill: Any = None) -> Callable[[EntitySpec, EntitySpec], Operation]:
    return lambda _, after: op.AddField(after, after.by_name[name], default, fill)


def _dropped(stored: str) -> Callable[[EntitySpec, EntitySpec], Operation]:
    return lambda _b, _a: op.DropField("people", stored)


def _code(person: Any) -> str:
    return f"{person.name}-{person.id}"


def _years(age: int) -> str:
    return f"{age} years"


def _number(age: str) -> int:
    return int(age.split()[0])


def _louder(name: str) -> str:
    return name + "!"


def _quieter(name: str) -> str:
    return name.removesuffix("!")


AGES: Rows = {1: {"age": 30}, 2: {"age": None}, 3: {"age": None}, 4: {"age": -1}}
CASES = [
    Case(
        "create_collection",
        Org,
        Base,
        lambda _, after: op.CreateCollection(after),
        lambda _b, _a: op.DropCollection("people"),
    ),
    Case(
        "rename_collection",
        Base,
        Humans,
        lambda _, after: op.RenameCollection(after, "people"),
        lambda before, _: op.RenameCollection(before, "humans"),
    ),
    Case("add_field", Base, WithBio, _added("bio", "-"), _dropped("bio"), seen={3: {"bio": "-"}}),
    Case(
        "add_field list", Base, WithList, _added("tags", [None]), _dropped("tags"), seen={3: {"tags": [None]}}
    ),
    Case("add_field casefold", Base, WithMail, _added("mail"), _dropped("mail"), seen={3: {"mail": None}}),
    Case(
        "add_field fill",
        Base,
        WithCode,
        _added("code", fill=_code),
        _dropped("code"),
        seen={1: {"code": "Ada-1"}, 3: {"code": "bob-3"}},
    ),
    Case(
        "add_field reference", Base, WithBoss, _added("boss"), _dropped("boss"), (Org,), {3: {"boss": None}}
    ),
    Case(
        "rename_field",
        Folded,
        Renamed,
        lambda _, after: op.RenameField(after, after.by_name["fullname"], "name"),
        lambda before, _: op.RenameField(before, before.by_name["name"], "fullname"),
        seen={1: {"fullname": "Ada"}, 2: {"fullname": "ÉVE"}},
        returned={1: {"name": "Ada"}, 2: {"name": "ÉVE"}},
    ),
    Case(
        "retype_field int to Decimal",
        UniqueAge,
        AgeDecimal,
        _there(_retype("age")),
        _retype("age", using=int),
        seen={1: {"age": Decimal("30.00")}, 2: {"age": None}, 3: {"age": None}},
        returned=AGES,
    ),
    Case(
        "retype_field places",
        AgeDecimal,
        AgeFine,
        _there(_retype("age")),
        _retype("age"),
        seen={3: {"age": None}},
    ),
    Case(
        "retype_field int to text",
        UniqueAge,
        AgeText,
        _there(_retype("age", using=_years)),
        _retype("age", using=_number, was=True),
        seen={1: {"age": "30 years"}, 2: {"age": None}, 4: {"age": "-1 years"}},
        returned=AGES,
    ),
    Case(
        "retype_field not null",
        AgeIndexed,
        AgeNeeded,
        _there(_retype("age", default=0)),
        _retype("age"),
        seen={1: {"age": 30}, 2: {"age": 0}, 3: {"age": 0}},
        returned={1: {"age": 30}, 2: {"age": 0}, 3: {"age": 0}},
    ),
    Case(
        "retype_field same type",
        FoldedName,
        FoldedName,
        _there(_retype("name", using=_louder)),
        _retype("name", using=_quieter),
        seen={1: {"name": "Ada!"}, 4: {"name": "x!"}},
        returned={1: {"name": "Ada"}, 4: {"name": "x"}},
    ),
    Case(
        "add_unique",
        Base,
        UniqueSlug,
        lambda _, after: op.AddUnique(after, fields_of(after, "slug")),
        lambda _, after: op.DropUnique(after, fields_of(after, "slug")),
    ),
    Case(
        "add_unique casefold",
        Base,
        FoldedName,
        lambda _, after: op.AddUnique(after, fields_of(after, "name")),
        lambda _, after: op.DropUnique(after, fields_of(after, "name")),
    ),
    Case(
        "add_unique compound",
        OrgRef,
        OrgRefSlug,
        lambda _, after: op.AddUnique(after, fields_of(after, "org", "slug")),
        lambda _, after: op.DropUnique(after, fields_of(after, "org", "slug")),
        (Org,),
    ),
    Case(
        "add_index",
        Base,
        AgeIndexed,
        lambda _, after: op.AddIndex(after, _index(after, "age")),
        lambda _, after: op.DropIndex(after, _index(after, "age")),
    ),
    Case(
        "add_reference",
        Base,
        OrgRef,
        lambda _, after: op.AddReference(spec_of(OnlyOrg), spec_of(OnlyOrg).by_name["org"]),
        lambda _, after: op.DropReference(spec_of(OnlyOrg), spec_of(OnlyOrg).by_name["org"]),
        (Org,),
    ),
]
