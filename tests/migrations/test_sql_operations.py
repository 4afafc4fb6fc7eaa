"""Each schema operation on SQLite and PostgreSQL leaves what `create_schema()` makes for the entity afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dbkit import Entity, Mapped, Record, connect, field
from dbkit.entity import spec_of
from dbkit.migrations.arguments import index_of, unique_of
from dbkit.migrations.operations import (
    AddField,
    AddIndex,
    AddReference,
    AddUnique,
    CreateCollection,
    DropCollection,
    DropField,
    DropIndex,
    DropReference,
    DropUnique,
    Operation,
    RenameCollection,
    RenameField,
    RetypeField,
)
from dbkit.migrations.store import MigrationStore
from dbkit.options import Options
from dbkit.spec import Schema
from dbkit.testing.servers import Server, drop_database, fresh_database
from dbkit.url import parse_url
from dbkit_sql.plugin import migration_store


class Org(Record[str], name="orgs"):
    id: Mapped[str] = field(max_length=40)


class Slugged(Entity):
    slug: Mapped[str] = field(max_length=30)


class Aged(Slugged):
    age: Mapped[int | None] = field(default=None, ge=0, index=True)


class Mailed(Aged):
    email: Mapped[str | None] = field(default=None, max_length=60, unique="casefold")


class Noted(Mailed):
    notes: Mapped[str] = field(default="")


class User(Noted, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    """As every test begins."""

    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class Post(Entity, name="posts"):
    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")


ROWS: list[dict[str, Any]] = [
    {
        "slug": "ada",
        "email": "Ada@Example.org",
        "age": 36,
        "org": "a",
        "notes": 'it\'s 100% "odd"\n\t; -- so',
    },
    {"slug": "bob", "email": None, "age": None, "org": None},
    {"slug": "eve", "email": "ÉVE@example.org", "age": 0, "org": "a", "notes": "ß"},
]
"""What is stored at the beginning, in the order of the slugs."""


def opened(url: str) -> MigrationStore:
    """Return an open migration store."""
    store = migration_store(parse_url(url), Options())
    store.open()
    return store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database with an organisation, three users, and a post of each."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/db.sqlite"
        _begin(url)
        yield url
        return
    server: Server = request.getfixturevalue("postgres_server")
    url = fresh_database(server)
    _begin(url)
    yield url
    drop_database(server, url)


def _begin(url: str) -> None:
    with connect(url, entities=[Org, User, Post]) as db:
        db.create_schema()
        db.store(Org).create(Org(id="a"))
        for row in ROWS:
            user = db.store(User).create(User(**row))
            db.store(Post).create(Post(user_id=user.id))


@pytest.fixture
def store(url: str) -> Iterator[MigrationStore]:
    made = opened(url)
    yield made
    made.close()


def apply(store: MigrationStore, *operations: Operation) -> int:
    """Do them in one transaction."""
    rows = 0
    with store.transaction():
        for operation in operations:
            rows += store.apply(operation)
    return rows


def fits(url: str, store: MigrationStore, *entities: Any) -> None:
    """Assert that the database is what `create_schema()` makes, in the words of all who look."""
    schema = Schema(spec_of(entity) for entity in entities)
    assert [f"{d.kind}: {d.words}" for d in store.differences(schema)] == []
    with connect(url, entities=entities) as db:
        sent: list[str] = []
        db.on_statement(lambda statement: sent.append(statement.text))
        db.create_schema()
        assert [text for text in sent if text.startswith(("CREATE", "ALTER", "COMMENT"))] == []


def spec(entity: Any, name: str) -> Any:
    return spec_of(entity).by_name[name]


def users(url: str, *entities: Any) -> list[Any]:
    """Return the rows of the first entity, in the order of the slugs."""
    with connect(url, entities=entities) as db:
        return sorted(db.store(entities[0]).find(), key=lambda row: str(row.slug))


# -- what operations lead to -------------------------------------------------------------------------------------------
# Each class stands for the table afterwards; a migration's file would show no more of it than it is about.


class WithBio(Noted, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")
    bio: Mapped[str] = field(default="none: 100%\tyet", max_length=50)


class WithTags(Noted, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")
    tags: Mapped[list[str]] = field(default_factory=list)


class WithNick(Noted, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")
    nick: Mapped[str] = field(unique="casefold", max_length=20, index=True)


class WithHome(Noted, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")
    home: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org)


class WithoutOrg(Noted, name="users", indexes=[("slug", "age")]):
    pass


class WithoutEmail(Aged, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    notes: Mapped[str] = field(default="")
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class MailRenamed(Aged, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    mail: Mapped[str | None] = field(default=None, max_length=60, unique="casefold")
    notes: Mapped[str] = field(default="")
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class OrgRenamed(Noted, name="users", unique=[("team", "slug")], indexes=[("slug", "age")]):
    team: Mapped[str | None] = field(
        default=None, max_length=40, references=lambda: Org, on_delete="set_null"
    )


class NotesRenamed(Mailed, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    zettel: Mapped[str] = field(default="")
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class NotesShort(Mailed, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    notes: Mapped[str | None] = field(default=None, max_length=99)
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class AgeExact(Slugged, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    age: Mapped[Decimal] = field(max_digits=9, decimal_places=2, index=True)
    email: Mapped[str | None] = field(default=None, max_length=60, unique="casefold")
    notes: Mapped[str] = field(default="")
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class AgeText(Slugged, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    age: Mapped[str | None] = field(default=None, max_length=10, index=True)
    email: Mapped[str | None] = field(default=None, max_length=60, unique="casefold")
    notes: Mapped[str] = field(default="")
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class EmailAlways(Aged, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    email: Mapped[str] = field(max_length=90, unique="casefold")
    notes: Mapped[str] = field(default="")
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class EmailPlain(Aged, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    email: Mapped[str | None] = field(default=None, max_length=60)
    notes: Mapped[str] = field(default="")
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class NoKeys(Noted, name="users", indexes=[("slug", "age")]):
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class NoIndex(Noted, name="users", unique=[("org", "slug")]):
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class Unchecked(Noted, name="users", unique=[("org", "slug")], indexes=[("slug", "age")]):
    org: Mapped[str | None] = field(default=None, max_length=40)


class Person(Noted, name="people", unique=[("org", "slug")], indexes=[("slug", "age")]):
    org: Mapped[str | None] = field(default=None, max_length=40, references=lambda: Org, on_delete="set_null")


class PersonPost(Entity, name="posts"):
    user_id: Mapped[UUID] = field(references=lambda: Person, on_delete="cascade")


class Log(Record[int], name="Group"):
    """A table whose names need quotes, and that refers to itself."""

    id: Mapped[int]
    order: Mapped[int | None] = field(default=None, references=lambda: Log, index=True)
    Text: Mapped[str | None] = field(default=None)


@dataclass(frozen=True)
class Case:
    up: list[Operation]
    after: Any
    down: list[Operation]
    look: Callable[[list[Any]], Any] | None = None
    """What it makes of the rows afterwards."""
    sees: Any = None
    child: Any = None
    """The posts' class, where the users' name is another one."""


USER = spec_of(User)


def _key(entity: Any, *names: str) -> Any:
    return unique_of(spec_of(entity), tuple(spec(entity, name) for name in names))


def _index(entity: Any, *names: str) -> Any:
    return index_of(spec_of(entity), tuple(spec(entity, name) for name in names))


def _nick(user: Any) -> str:
    # The default stands in the new field's place, and the other fields are as they are stored.
    assert user.nick == "?"
    return f"N{user.slug.upper()}{len(user.notes)}"


CASES: dict[str, Case] = {
    "add_field": Case(
        [AddField(spec_of(WithBio), spec(WithBio, "bio"), "none: 100%\tyet")],
        WithBio,
        [DropField("users", "bio")],
        lambda rows: {row.bio for row in rows},
        {"none: 100%\tyet"},
    ),
    "add_field_without_bound": Case(
        [AddField(spec_of(WithTags), spec(WithTags, "tags"), ["x", "it's"])],
        WithTags,
        [DropField("users", "tags")],
        lambda rows: rows[0].tags,
        ["x", "it's"],
    ),
    "add_field_with_function": Case(
        [AddField(spec_of(WithNick), spec(WithNick, "nick"), "?", _nick)],
        WithNick,
        [DropField("users", "nick")],
        lambda rows: [row.nick for row in rows],
        ["NADA24", "NBOB0", "NEVE1"],
    ),
    "add_reference_field": Case(
        [AddField(spec_of(WithHome), spec(WithHome, "home"), "a")],
        WithHome,
        [DropField("users", "home")],
        lambda rows: {row.home for row in rows},
        {"a"},
    ),
    "drop_reference_field": Case(
        [DropField("users", "org")],
        WithoutOrg,
        [AddField(USER, spec(User, "org")), AddUnique(USER, _key(User, "org", "slug"))],
    ),
    "drop_casefold_field": Case(
        [DropField("users", "email")], WithoutEmail, [AddField(USER, spec(User, "email"))]
    ),
    "rename_casefold_field": Case(
        [RenameField(spec_of(MailRenamed), spec(MailRenamed, "mail"), "email")],
        MailRenamed,
        [RenameField(USER, spec(User, "email"), "mail")],
        lambda rows: [row.mail for row in rows],
        [row["email"] for row in ROWS],
    ),
    "rename_reference_field": Case(
        [RenameField(spec_of(OrgRenamed), spec(OrgRenamed, "team"), "org")],
        OrgRenamed,
        [RenameField(USER, spec(User, "org"), "team")],
        lambda rows: [row.team for row in rows],
        [row["org"] for row in ROWS],
    ),
    "rename_field_without_bound": Case(
        [RenameField(spec_of(NotesRenamed), spec(NotesRenamed, "zettel"), "notes")],
        NotesRenamed,
        [RenameField(USER, spec(User, "notes"), "zettel")],
        lambda rows: rows[0].zettel,
        ROWS[0]["notes"],
    ),
    "retype_length_and_null": Case(
        [RetypeField(spec_of(NotesShort), spec(NotesShort, "notes"))],
        NotesShort,
        [RetypeField(USER, spec(User, "notes"), default="")],
        lambda rows: rows[0].notes,
        ROWS[0]["notes"],
    ),
    "retype_to_decimal": Case(
        [RetypeField(spec_of(AgeExact), spec(AgeExact, "age"), default=Decimal("-1.00"))],
        AgeExact,
        [RetypeField(USER, spec(User, "age"), using=lambda age: None if age < 0 else int(age))],
        lambda rows: [row.age for row in rows],
        [Decimal(36), Decimal(-1), Decimal(0)],
    ),
    "retype_by_function": Case(
        [RetypeField(spec_of(AgeText), spec(AgeText, "age"), using=lambda age: f"{age} years")],
        AgeText,
        [RetypeField(USER, spec(User, "age"), using=lambda age: int(age.split()[0]))],
        lambda rows: [row.age for row in rows],
        ["36 years", None, "0 years"],
    ),
    "retype_casefold_field": Case(
        [RetypeField(spec_of(EmailAlways), spec(EmailAlways, "email"), default="None@Example.org")],
        EmailAlways,
        [RetypeField(USER, spec(User, "email"))],
        lambda rows: [row.email for row in rows],
        ["Ada@Example.org", "None@Example.org", "ÉVE@example.org"],
    ),
    "drop_casefold_unique": Case(
        [DropUnique(USER, _key(User, "email"))], EmailPlain, [AddUnique(USER, _key(User, "email"))]
    ),
    "drop_unique": Case(
        # A reference that no key begins with has an index of its own.
        [DropUnique(USER, _key(User, "org", "slug")), AddIndex(spec_of(NoKeys), _index(NoKeys, "org"))],
        NoKeys,
        [DropIndex(spec_of(NoKeys), _index(NoKeys, "org")), AddUnique(USER, _key(User, "org", "slug"))],
    ),
    "drop_index": Case(
        [DropIndex(USER, _index(User, "slug", "age"))], NoIndex, [AddIndex(USER, _index(User, "slug", "age"))]
    ),
    "drop_reference": Case(
        [DropReference(USER, spec(User, "org"))], Unchecked, [AddReference(USER, spec(User, "org"))]
    ),
    "rename_collection": Case(
        [RenameCollection(spec_of(Person), "users")],
        Person,
        [RenameCollection(USER, "people")],
        child=PersonPost,
    ),
    "several": Case(
        [
            AddField(spec_of(WithBio), spec(WithBio, "bio"), "x"),
            RenameField(spec_of(NotesRenamed), spec(NotesRenamed, "zettel"), "notes"),
            DropField("users", "bio"),
        ],
        NotesRenamed,
        [RenameField(USER, spec(User, "notes"), "zettel")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_up_and_down(name: str, url: str, store: MigrationStore) -> None:
    case = CASES[name]
    before = users(url, User, Org, Post)
    rendered = [r.text for operation in case.up for r in store.render(operation)]
    assert rendered
    sent: list[str] = []
    store.hook = lambda statement: sent.append(statement.text.replace("%%", "%"))
    apply(store, *case.up)
    # What was shown is what was sent; a fill is sent once a batch.
    assert [text for text in rendered if text not in sent] == []
    store.hook = None
    child = case.child or Post
    # A post refers to the class that the whole schema has.
    others = [Org, child] if case.child else [Org]
    fits(url, store, case.after, *others)
    rows = users(url, case.after, *others)
    assert [row.id for row in rows] == [row.id for row in before]
    if case.look is not None:
        assert case.look(rows) == case.sees
    apply(store, *case.down)
    fits(url, store, User, Org, Post)
    after = users(url, User, Org, Post)
    lost = {"drop_reference_field": {"org"}, "drop_casefold_field": {"email"}}.get(name, set())
    kept = [row.model_dump(exclude=lost) for row in before]
    if name == "retype_casefold_field":
        kept[1]["email"] = "None@Example.org"
    assert [row.model_dump(exclude=lost) for row in after] == kept
    with connect(url, entities=[User, Org, Post]) as db:
        assert db.counts(User, Post) == [3, 3]
        if "email" not in lost:
            assert db.store(User).find_one(User.email.equals_casefold("ADA@example.ORG")) == after[0]


def test_collections_come_and_go(url: str, store: MigrationStore) -> None:
    apply(store, CreateCollection(spec_of(Log)))
    fits(url, store, Log)
    with connect(url, entities=[Log]) as db:
        db.store(Log).create_many([Log(id=n, order=n - 1 or None, Text="x") for n in range(1, 700)])
    apply(store, DropField("Group", "Text"))
    apply(store, AddField(spec_of(Log), spec(Log, "Text"), None, lambda log: f"{log.id}"))
    fits(url, store, Log)
    with connect(url, entities=[Log]) as db:
        assert [log.Text for log in db.store(Log).find(limit=1000)] == [str(n) for n in range(1, 700)]
    apply(store, DropCollection("Group"))
    assert [d.kind for d in store.differences(Schema([spec_of(Log)]))] == ["missing collection"]
