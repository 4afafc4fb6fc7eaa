"""`managed=False`: dbkit reads and writes what somebody else makes, and never makes, compares or drops it."""

from __future__ import annotations

from uuid import UUID

import pytest

from dbkit import ConfigurationError, Entity, Mapped, connect, field
from dbkit.entity import spec_of


class Maker(Entity, name="makers"):
    name: Mapped[str] = field(default="")


class Theirs(Entity, name="theirs", managed=False):
    maker_id: Mapped[UUID | None] = field(default=None, references=lambda: Maker, check=False)
    title: Mapped[str] = field(default="")


class Ours(Entity, name="theirs"):
    """The same table, as its owner declares it."""

    maker_id: Mapped[UUID | None] = field(default=None)
    title: Mapped[str] = field(default="")


def test_it_stands_in_the_description() -> None:
    assert spec_of(Maker).managed
    assert not spec_of(Theirs).managed


def test_it_is_true_or_false_and_of_an_entity() -> None:
    with pytest.raises(ConfigurationError, match="managed= is True or False"):

        class Odd(Entity, name="odd", managed=0):  # pyright: ignore[reportArgumentType, reportUnusedClass]
            pass

    with pytest.raises(ConfigurationError, match="managed= means nothing"):

        class Base(Entity, managed=False):  # pyright: ignore[reportUnusedClass]
            pass


def test_its_owner_makes_and_drops_it(store_url: str) -> None:
    with connect(store_url, entities=[Maker, Theirs]) as db:
        db.create_schema()
        if not store_url.startswith("memory"):
            with pytest.raises(ConfigurationError, match="'theirs' does not exist"):
                db.store(Theirs).find()
    with connect(store_url, entities=[Ours]) as owner:
        owner.create_schema()
        with connect(store_url, entities=[Maker, Theirs]) as db:
            made = db.store(Theirs).create(Theirs(title="kept"))
            db.create_schema()
            db.drop_schema()
            assert db.store(Theirs).get(made.id) == made
            with pytest.raises(ConfigurationError, match="'makers' does not exist"):
                db.store(Maker).find()
