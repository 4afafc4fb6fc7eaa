"""One migrator at a time: a lease in the database, renewed by a thread, taken over when it has run out.

Whether it has run out is decided by the server's clock (`$$NOW`), in the very update that takes it:
https://www.mongodb.com/docs/manual/reference/aggregation-variables/. A migrator that was asleep for longer finds by its own
clock, before its next command, that the lease is no longer its own; and whoever takes over raises the state's revision,
so that the old owner can store nothing either.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from bson.binary import Binary
from bson.int64 import Int64
from pymongo.errors import OperationFailure, PyMongoError

from dbkit.concurrency import sleep
from dbkit.errors import DbkitError, DuplicateKey, Locked
from dbkit.migrations.state import STATE_NAME
from dbkit.retry import pauses

from .._sync.link import Link
from ..errors import Doing
from .steps import Document, as_json

__all__ = ["LEASE_S", "Lease"]

LEASE_S = 10.0
"""How long a killed migrator's lock lasts. A third of it is the heartbeat's pause."""
LEASE = "lease"


class Lease:
    """This migrator's claim to be the only one."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._length_s = LEASE_S
        self._owner = secrets.token_hex(8)
        self._good_until: float | None = None
        """By this process's clock, counted from before the request was sent: never later than by the server's."""
        self._noted: Binary | None = None
        self._stop = threading.Event()

    def check(self) -> None:
        """Raise unless the lease is held, or none was ever taken.

        Raises:
            Locked: it has run out, and another migrator may run.
        """
        until = self._good_until
        if until is not None and monotonic() >= until:
            raise Locked(
                "this migrator was held up for so long that its lock has run out, and another one may run",
                hint="look at dbkit migrate version, and run it again",
            )

    @contextmanager
    def held(self, timeout_s: float, fence: Callable[[], None]) -> Generator[None]:
        """Hold the lease inside the block; *fence* shuts out the one whose lease was taken over.

        Raises:
            Locked: another migrator holds it, and goes on doing so for *timeout_s*.
        """
        self._length_s = LEASE_S
        self._wait(timeout_s, fence)
        self._stop.clear()
        heart = threading.Thread(target=self._beat, name="dbkit-migrations-lease", daemon=True)
        heart.start()
        try:
            yield
        finally:
            self._stop.set()
            heart.join()
            self._good_until = None
            self._release()

    def _wait(self, timeout_s: float, fence: Callable[[], None]) -> None:
        waits = pauses(timeout_s, first_s=0.05, most_s=0.5)
        while not self._take(fence):
            pause = next(waits, None)
            if pause is None:
                raise Locked(
                    f"another process is migrating this database, and was not done within {timeout_s:g} s",
                    hint=f"wait for it; the lock of one that was killed ends by itself after {self._length_s:g} s",
                )
            sleep(pause)

    def _take(self, fence: Callable[[], None]) -> bool:
        asked = monotonic()
        doing = Doing(
            as_json({"findAndModify": STATE_NAME, "query": {"_id": LEASE}, "update": "…"}), writes=True
        )
        try:
            found: Document | None = self._link.call(
                doing,
                self._link.collection(STATE_NAME).find_one_and_update,
                {"_id": LEASE},
                self._taking(),
                upsert=True,
                return_document=True,
            )
        except DuplicateKey:
            # Two have made it at once; the other one was first.
            return False
        # SecantusDB gives nothing back to one of two that make it at once; the next look tells who has it.
        if found is None or found["owner"] != self._owner:
            return False
        self._good_until, self._noted = asked + self._length_s, None
        if found["taken_over"]:
            # First the session, whose transaction may have written the state.
            self._end_session(found["before"])
            fence()
        return True

    def note(self, session: Binary) -> None:
        """Keep the id of the session that has a transaction now, so that whoever takes over can end it."""
        if self._good_until is None or session == self._noted:
            return
        self._link.call(
            Doing(as_json({"update": STATE_NAME, "q": {"_id": LEASE}, "u": "the session"}), writes=True),
            self._link.collection(STATE_NAME).update_one,
            {"_id": LEASE, "owner": self._owner},
            {"$set": {"session": session}},
        )
        self._noted = session

    def _end_session(self, session: Binary | None) -> None:
        """End what a killed migrator's transaction holds: by itself the server would end it after a minute.

        https://www.mongodb.com/docs/manual/reference/command/killSessions/: own sessions need no privilege.
        """
        if session is None:
            return
        command = {"killSessions": [{"id": session}]}
        try:
            self._link.call(
                Doing(as_json({"killSessions": 1})), self._link.driver.command, self._link.database, command
            )
        except DbkitError as error:
            # Shared clusters do not know the command: there its documents stay locked for that minute.
            if not isinstance(error.__cause__, OperationFailure):
                raise

    def _taking(self) -> list[Document]:
        """Return the update that takes the lease where it is free or has run out, and else changes nothing."""
        owner = {"$ifNull": ["$owner", None]}
        is_mine, is_free = {"$eq": [owner, self._owner]}, {"$eq": [owner, None]}
        # As numbers, because SecantusDB takes any two dates for equal when one is `$$NOW`; null is less than any number.
        is_over = {"$lte": [{"$toLong": "$until"}, {"$toLong": "$$NOW"}]}
        free = {"$or": [is_mine, is_free, is_over]}
        until = {"$add": ["$$NOW", Int64(self._length_s * 1_000)]}
        return [
            {"$set": {"free": free}},
            {
                "$set": {
                    "taken_over": {
                        "$cond": ["$free", {"$not": [{"$or": [is_mine, is_free]}]}, "$taken_over"]
                    },
                    "before": {"$cond": ["$free", {"$ifNull": ["$session", None]}, "$before"]},
                    "session": {"$cond": ["$free", None, "$session"]},
                    "until": {"$cond": ["$free", until, "$until"]},
                    "owner": {"$cond": ["$free", self._owner, "$owner"]},
                }
            },
            {"$unset": "free"},
        ]

    def _beat(self) -> None:
        """Renew the lease again and again; what fails is tried again until the lease has run out."""
        collection = self._link.driver.collection(self._link.database, STATE_NAME)
        pause = self._length_s / 3
        until: Document = {"$add": ["$$NOW", Int64(self._length_s * 1_000)]}
        while not self._stop.wait(pause):
            asked = monotonic()
            try:
                result: Any = collection.update_one(
                    {"_id": LEASE, "owner": self._owner}, [{"$set": {"until": until}}]
                )
            except PyMongoError:
                # The lease is still good for a while; `check` tells when it is not.
                pause = self._length_s / 10
                continue
            if not result.matched_count:
                self._good_until = asked
                return
            self._good_until, pause = asked + self._length_s, self._length_s / 3

    def _release(self) -> None:
        doing = Doing(
            as_json({"update": STATE_NAME, "q": {"_id": LEASE}, "u": {"$unset": {"owner": ""}}}), writes=True
        )
        try:
            self._link.call(
                doing,
                self._link.collection(STATE_NAME).update_one,
                {"_id": LEASE, "owner": self._owner},
                {"$unset": {"owner": "", "until": ""}},
            )
        except DbkitError:
            # It ends by itself; what left the block is what matters.
            return
