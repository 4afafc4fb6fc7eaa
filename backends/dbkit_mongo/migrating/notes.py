"""Where the state is kept, and beside it what an operation that was interrupted must know. One document.

Notes go with the state: saving that a migration is through removes them by the same write.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dbkit.errors import DuplicateKey, Locked, OutcomeUnknown
from dbkit.migrations.state import STATE_NAME, State

from .._sync.link import Link
from ..errors import Doing
from .steps import Document, as_json, from_json

__all__ = ["Notebook"]

STATE, APART = "state", "notes"
"""Ids: of the state's document, and of the notes of operations that are run where nothing was ever migrated."""


class Notebook:
    """The state's document."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: State | None = None

    @property
    def collection(self) -> Any:
        return self._link.collection(STATE_NAME)

    def _read(self, id: str, session: Any = None) -> Document | None:
        doing = Doing(as_json({"find": STATE_NAME, "filter": {"_id": id}}))
        found: Document | None = self._link.call(
            doing, self.collection.find_one, {"_id": id}, session=session
        )
        return found

    # -- the state ---------------------------------------------------------------------------------------------------------

    def state(self) -> State | None:
        """Return the stored state, or None."""
        found = self._read(STATE)
        self._known = None if found is None else State.from_json(found)
        return self._known

    def save(self, state: State, session: Any = None) -> None:
        """Store the state, where nobody has changed it since the last revision.

        Raises:
            Locked: somebody has.
        """
        stored = {"_id": STATE, **state.to_json()}
        doing = Doing(
            as_json({"update": STATE_NAME, "q": {"_id": STATE, "revision": state.revision - 1}, "u": "…"}),
            writes=True,
            in_transaction=session is not None,
        )
        try:
            is_done = self._write(doing, state, stored, session)
        except OutcomeUnknown:
            # The document itself tells; inside a transaction the outcome is the transaction's.
            there = self._read(STATE) or {}
            if any(there.get(key) != value for key, value in stored.items()):
                raise
            is_done = True
        if not is_done:
            raise Locked(
                "another migrator has taken over: the state was changed meanwhile; nothing was stored",
                hint="look at dbkit migrate version, and run it again",
            )
        self._known = state

    def _write(self, doing: Doing, state: State, stored: Document, session: Any) -> bool:
        link, collection = self._link, self.collection
        if state.revision == 1:
            inserting = replace(doing, text=as_json({"insert": STATE_NAME, "documents": "…"}))
            try:
                link.call(inserting, collection.insert_one, stored, session=session)
            except DuplicateKey:
                return False
            return True
        expected = {"_id": STATE, "revision": state.revision - 1}
        if self._keeps_notes(state):
            change = {"$set": {key: value for key, value in stored.items() if key != "_id"}}
            result = link.call(doing, collection.update_one, expected, change, session=session)
        else:
            result = link.call(doing, collection.replace_one, expected, stored, session=session)
        matched: int = result.matched_count
        return matched == 1

    def _keeps_notes(self, state: State) -> bool:
        """Whether a migration is still on its way: its step runs, or was forced back to where it began."""
        known = self._known
        return state.dirty or (known is not None and known.version == state.version)

    def fence(self) -> None:
        """Raise the revision, so that a migrator whose lease was taken over can store nothing more."""
        doing = Doing(
            as_json({"update": STATE_NAME, "q": {"_id": STATE}, "u": {"$inc": {"revision": 1}}}), writes=True
        )
        change = {"$inc": {"revision": 1}}
        found = self._link.call(doing, self.collection.update_one, {"_id": STATE}, change)
        if not found.matched_count:
            first = State(revision=1)
            inserting = replace(doing, text=as_json({"insert": STATE_NAME, "documents": "…"}))
            try:
                self._link.call(inserting, self.collection.insert_one, {"_id": STATE, **first.to_json()})
            except DuplicateKey:
                self._link.call(doing, self.collection.update_one, {"_id": STATE}, change)

    # -- notes -------------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Document | None:
        """Return the note, or None."""
        for id in (STATE, APART):
            notes: Document = (self._read(id) or {}).get("notes") or {}
            if _key(name) in notes:
                return from_json(notes[_key(name)])
        return None

    def put(self, name: str, content: Document | None) -> None:
        """Keep a note, or remove it where *content* is None."""
        is_apart = self._known is None
        if is_apart and content is not None and content.get("done"):
            # Nobody will ever say that its migration is through.
            content = None
        place = f"notes.{_key(name)}"
        # As text: an index's filter has keys that no document may have everywhere.
        change = (
            {"$unset": {place: ""}} if content is None else {"$set": {place: as_json(content, exact=True)}}
        )
        id = APART if is_apart else STATE
        doing = Doing(as_json({"update": STATE_NAME, "q": {"_id": id}, "u": "a note"}), writes=True)
        self._link.call(doing, self.collection.update_one, {"_id": id}, change, upsert=is_apart)


def _key(name: str) -> str:
    # A dot would lead into a subdocument.
    return name.replace(".", "/")
