"""What dbkit says when it is used wrongly: `messages.txt` holds what was done and the message, the same on every store.

After a message was changed on purpose, write the file anew by

    DBKIT_UPDATE_GOLDEN=1 pytest tests/golden

which runs on memory alone, and read the difference before it is committed.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Generator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dbkit import Entity, Mapped, Versioned, connect, everything, field
from dbkit.errors import DbkitError
from dbkit.testing import plugin
from dbkit.testing.stores import NotRun

FILE = Path(__file__).with_name("messages.txt")
UPDATE = os.environ.get("DBKIT_UPDATE_GOLDEN") == "1"


class User(Entity, Versioned, name="golden_users"):
    name: Mapped[str] = field(unique=True, max_length=20)
    email: Mapped[str | None] = field(default=None, unique="casefold")
    age: Mapped[int | None] = field(default=None)
    born: Mapped[datetime | None] = field(default=None)
    score: Mapped[float] = field(default=0.0)
    balance: Mapped[Decimal] = field(default=Decimal(0), max_digits=10, decimal_places=2, ge=0)
    tags: Mapped[list[str]] = field(default_factory=list)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    boss: Mapped[UUID | None] = field(default=None, references=lambda: User)


class Post(Entity, name="golden_posts"):
    title: Mapped[str] = field(default="")


class Stranger(Entity, name="golden_strangers"):
    pass


NOBODY = UUID("018f0000-0000-7000-8000-000000000000")

# Each is an expression, evaluated as it stands.
CASES = r"""
User.emial
users.find(User.name == 3)
users.find(User.name == {"$ne": None})
users.find(ada.name == "ada")
users.find("name = 'ada'")
users.find(User.age == 3 and User.name == "ada")
users.find(Post.title == "x")
users.find(User.name == "a\0b")
users.find(User.name.contains("\ud800"))
users.find(User.born < datetime(2024, 1, 1))
users.find(User.age == 2**63)
users.find(User.age == True)
users.find(User.age < None)
users.find(User.score < math.nan)
users.find(User.balance == Decimal("0.001"))
users.find(User.extra == {"a": 1})
users.find(User.extra["a.b"] == 1)
users.find(User.age.in_(range(1001)))
users.find(order_by="name; drop table users")
users.find(order_by=User.tags)
users.find(limit=-1)
users.find(limit=10_001)
users.page(limit=0)
users.page(after="AAAA")
users.page(User.age > 3, limit=1, after=users.page(limit=1).next_cursor)
users.get("ada")
users.get_many("ada")
users.create(Post())
users.create(ada.model_copy(update={"balance": Decimal("-1")}))
users.create(ada.model_copy(update={"extra": {"a": math.inf}}))
users.create_many(User(name=str(n)) for n in range(10_001))
users.update(ada.id, User.name.set("x" * 21))
users.update(ada.id, User.balance.set(None))
users.update(ada.id, User.version.set(7))
users.update(ada.id, User.age.set(1), User.age.set(2))
users.update(ada.id)
users.update(NOBODY, User.age.set(1))
users.update(ada.id, User.age.set(1), where=User.age > 99)
users.update(ada.id, User.balance.set(User.balance - 1))
users.update_many(changes=User.age.set(1))
users.update_many(everything(), changes=User.email.set(None))
users.replace(ada.evolve(version=7))
users.require(NOBODY)
users.create(User(name="ada"))
users.create(User(name="bob", email="ADA@example.org"))
users.create(User(name="bob", boss=NOBODY))
users.delete(ada.id)
users.upsert(ada, on=User.age)
users.upsert(User(name="bob"), on=User.email)
users.claim(everything(), changes=User.age.set(1), limit=0)
db.store(Stranger)
connect("memory://?poolsize=3", entities=[User])
connect("postgresql://me:p@ss@host/db", entities=[User])
db.transaction(isolation="serializable")
doomed()
late()
beside()
""".strip().splitlines()


def situations(db: Any, users: Any) -> dict[str, Any]:
    """Return what takes more than an expression."""

    def doomed() -> None:
        with db.transaction() as tx:
            with contextlib.suppress(DbkitError):
                tx.store(User).create(User(name="ada"))
            tx.store(User).count()

    def late() -> None:
        with db.transaction() as tx:
            pass
        tx.store(User).count()

    def beside() -> None:
        with db.transaction():
            users.update(NOBODY, User.age.set(1))

    return {"doomed": doomed, "late": late, "beside": beside}


def collect(url: str) -> str:
    """Run all cases on the store at *url*, and return the text that `messages.txt` holds."""
    lines: list[str] = []
    with connect(url, entities=[User, Post]) as db:
        db.drop_schema()
        db.create_schema()
        try:
            users = db.store(User)
            ada = users.create(
                User(name="ada", email="ada@example.org", age=36, born=datetime(1815, 12, 10, tzinfo=UTC))
            )
            users.create(User(name="pupil", boss=ada.id))
            names = {
                **globals(),
                "math": math,
                "everything": everything,
                **situations(db, users),
                "db": db,
                "users": users,
                "ada": ada,
                "url": url,
            }
            for case in CASES:
                lines += [case, f"    {outcome(case, names)}", ""]
        finally:
            db.drop_schema()
    return "\n".join(lines)


def outcome(case: str, names: dict[str, Any]) -> str:
    try:
        result = eval(case, names)
    except (DbkitError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return f"no error, but {type(result).__name__}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_store" in metafunc.fixturenames:
        stores, _ = plugin.asked(metafunc.config)
        metafunc.parametrize("golden_store", list(stores.items()), ids=list(stores))


def test_messages_are_the_same_on_every_store(
    golden_store: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    label, asked = golden_store
    if UPDATE and asked != "memory":
        pytest.skip("memory writes the file")
    store = plugin.shelf(request.config).store(label, asked)
    if isinstance(store, NotRun):
        plugin.missing(store, named=plugin.asked(request.config)[1])
    text = collect(store.url)
    if UPDATE:
        FILE.write_text(text, encoding="utf-8", newline="\n")
    assert text == FILE.read_text(encoding="utf-8")


def messages() -> Generator[tuple[str, str]]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    yield from zip(lines[::3], lines[1::3], strict=True)


def test_every_case_is_in_the_file_and_is_an_error() -> None:
    found = list(messages())
    assert [case for case, _ in found] == CASES
    assert not [message for _, message in found if "no error" in message]


def test_messages_say_where_and_hold_no_values() -> None:
    for case, message in messages():
        for value in ("ada@example.org", "drop table", "$ne", "p@ss", "0.001", "x" * 21):
            assert value not in message, case
        assert len(message) < 420, case
