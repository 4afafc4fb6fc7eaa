"""A history of people that runs on every store, what it ends in, and what a database then holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from dbkit import Mapped, Record, connect, field
from dbkit.url import parse_url

__all__ = ["LAST", "Person", "contents", "schema", "write"]

_HEAD = """
from dbkit import Mapped, Record, everything, field
from dbkit.migrations import Migration
"""
_FILES = {
    "0001_people.py": """
class Person(Record[int], name="people"):
    name: Mapped[str] = field(max_length=40)

def up(m: Migration) -> None:
    m.create_collection(Person)
    m.once(lambda: m.store(Person).create_many([Person(id=n, name=f"Ann {n}") for n in range(1, 8)]))

def down(m: Migration) -> None:
    m.drop_collection(Person)
""",
    "0002_score.py": """
class Person(Record[int], name="people"):
    name: Mapped[str] = field(max_length=40)
    score: Mapped[int] = field(ge=0)

def up(m: Migration) -> None:
    m.add_field(Person.score, fill=lambda person: len(person.name))
    for people in m.batches(Person, batch=3):
        for person in people:
            # What is done twice shows.
            m.store(Person).update(person.id, Person.score.set(Person.score + 1))

def down(m: Migration) -> None:
    m.drop_field(Person.score)
""",
    "0003_rename.py": """
class Person(Record[int], name="people"):
    full_name: Mapped[str] = field(max_length=40)

def up(m: Migration) -> None:
    m.rename_field(Person.full_name, was="name")
    m.update_each(Person, lambda p: p.evolve(full_name=p.full_name + "!"), Person.id > 2, batch=2)

def down(m: Migration) -> None:
    m.update_each(Person, lambda p: p.evolve(full_name=p.full_name.removesuffix("!")), batch=2)
    m.rename_field((PersonBefore, "name"), was="full_name")

class PersonBefore(Record[int], name="people"):
    name: Mapped[str] = field(max_length=40)
""",
    "0004_keys.py": """
transactional = False

class Person(Record[int], name="people"):
    full_name: Mapped[str] = field(max_length=40, unique="casefold")
    score: Mapped[int] = field(ge=0, index=True)

def up(m: Migration) -> None:
    m.add_unique(Person.full_name)
    m.add_index(Person.score, concurrently=True)

def down(m: Migration) -> None:
    m.drop_index(Person.score)
    m.drop_unique(Person.full_name)
""",
}
LAST = 4


class Person(Record[int], name="people"):
    """A person as the history leaves them."""

    full_name: Mapped[str] = field(max_length=40, unique="casefold")
    score: Mapped[int] = field(ge=0, index=True)


def write(path: Path) -> Path:
    """Write the history into the folder."""
    for name, text in _FILES.items():
        (path / name).write_text(_HEAD + text, encoding="utf-8")
    return path


def contents(url: str) -> list[Any]:
    """Return all people as they are stored, however far the history came."""
    return sorted(_rows(url), key=json.dumps)


def _rows(url: str) -> Iterator[Any]:
    backend = parse_url(url).backend
    with connect(url, entities=[Person]) as db, db.native() as native:
        if backend == "mongodb":
            for document in native[0]["people"].find():
                yield {key: value for key, value in document.items() if not key.endswith("casefold")}
            return
        names = {row[0] for row in native.execute(_TABLES[backend])}
        if "people" not in names:
            return
        with closing(native.cursor()) as cursor:
            cursor.execute("SELECT * FROM people")
            keys = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                values = dict(zip(keys, row, strict=True))
                yield {key: value for key, value in values.items() if not key.endswith("casefold")}


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master",
    "postgresql": "SELECT relname FROM pg_class WHERE relkind = 'r'",
}
_COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, c.collname FROM pg_attribute a
    LEFT JOIN pg_collation c ON c.oid = a.attcollation
    WHERE a.attrelid = to_regclass('people') AND a.attnum > 0 AND NOT a.attisdropped
"""
_OTHERS = """
    SELECT pg_get_constraintdef(oid), conname FROM pg_constraint WHERE conrelid = to_regclass('people')
    UNION ALL SELECT pg_get_indexdef(indexrelid), '' FROM pg_index
    WHERE indrelid = to_regclass('people') AND indisvalid
"""


def schema(url: str) -> list[str]:
    """Return what there is of the collection's schema, in no order that means anything."""
    backend = parse_url(url).backend
    with connect(url, entities=[Person]) as db, db.native() as native:
        if backend == "mongodb":
            database = native[0]
            options = [c["options"] for c in database.list_collections(filter={"name": "people"})]
            for one in options:
                one["validator"]["$jsonSchema"]["required"].sort()
            indexes: Any = database["people"].index_information() if options else {}
            return sorted(json.dumps(part, sort_keys=True, default=str) for part in (*options, indexes))
        if backend == "postgresql":
            rows: list[Any] = [*native.execute(_COLUMNS), *native.execute(_OTHERS)]
            return sorted(repr(tuple(row)) for row in rows)
        columns = [tuple(row)[1:] for row in native.execute("PRAGMA table_info(people)")]
        parts = [
            line.strip().rstrip(",").replace('"', "")
            for (text,) in native.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'people'")
            for line in (text or "").replace("`", "").splitlines()
            if "CONSTRAINT" in line or "INDEX" in line
        ]
        return sorted([*map(repr, columns), *parts])
