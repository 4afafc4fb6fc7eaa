"""Runs the steps: every command through the link, so that its errors are translated and its statement is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import OperationFailure, WriteError

from dbkit.errors import DbkitError

from .._sync.link import Link
from ..errors import Doing, server_code
from .drafts import Draft
from .notes import Notebook
from .steps import Check, Command, Document, Note, Rewrite, Step, Transform, as_json

__all__ = ["Runner"]

BATCH = 1_000
WHOLE_BATCH = 200
"""Where whole documents are read: each may have megabytes."""
SCAN_S = 3_600.0
"""What looks at all documents of a collection takes as long as it takes."""
ADMIN = "admin"


class Runner:
    """Sends what was planned."""

    def __init__(self, link: Link, notebook: Notebook) -> None:
        self._link = link
        self._notebook = notebook

    # -- what is there -----------------------------------------------------------------------------------------------------

    def look(self, name: str) -> Draft:
        """Return the collection as it is."""
        options = self.collections().get(name)
        return Draft(name, None) if options is None else Draft(name, options, self.indexes(name))

    def collections(self) -> dict[str, Document]:
        """Return each collection's options by its name."""
        link = self._link
        return link.call(Doing('{"listCollections": 1}'), link.driver.collections, link.database)

    def indexes(self, name: str) -> list[Document]:
        """Return the indexes of a collection that is there."""
        link = self._link
        return link.call(Doing(f'{{"listIndexes": "{name}"}}'), link.driver.indexes, link.collection(name))

    # -- steps -------------------------------------------------------------------------------------------------------------

    def run(self, step: Step) -> int:
        """Do one step and return how many documents it rewrote."""
        match step:
            case Command():
                command = {**step.command, "writeConcern": {"w": "majority"}}
                self.command(command, is_admin=step.is_admin, is_slow=step.is_slow, done=step.settled_by)
                return 0
            case Check():
                self._check(step)
                return 0
            case Note():
                self._notebook.put(step.name, step.content)
                return 0
            case Rewrite():
                return sum(self._rewrite(step, ids) for ids in self._ids(step))
            case Transform():
                return sum(self._transform(step, found) for found in self._documents(step))

    def command(
        self,
        command: Mapping[str, Any],
        *,
        is_admin: bool = False,
        is_slow: bool = False,
        done: frozenset[int] = frozenset(),
    ) -> Document:
        """Send one command and return the reply; an error with one of the codes *done* is as good as success."""
        link = self._link
        verb, target = next(iter(command.items()))
        doing = Doing(
            as_json({verb: target, "…": "…"} if isinstance(target, str) else {verb: 1}),
            writes=True,
            within_s=SCAN_S if is_slow else None,
        )
        sent = dict(command)
        database = link.database
        if is_admin:
            # The one command that must be sent there, with full names.
            sent |= {verb: f"{database.name}.{target}", "to": f"{database.name}.{command['to']}"}
            database = link.client[ADMIN]
        try:
            return link.call(doing, _sent, link.driver.command, database, sent)
        except DbkitError as error:
            cause = error.__cause__
            if isinstance(cause, OperationFailure) and server_code(cause) in done:
                return {}
            raise

    def _check(self, step: Check) -> None:
        link = self._link
        doing = _reading({"aggregate": step.collection, "pipeline": "…"})
        found = link.call(
            doing,
            link.driver.aggregate,
            link.collection(step.collection),
            step.pipeline,
            allowDiskUse=True,
        )
        # MongoDB's `$count` gives no document for nothing; SecantusDB's gives a zero.
        if found and found[0]["n"]:
            for back in step.undo:
                self.run(back)
            raise step.refuse(found[0])

    def count(self, step: Rewrite | Transform) -> int:
        """Return how many documents the step would take."""
        link = self._link
        doing = _reading({"aggregate": step.collection, "pipeline": "…"})
        found: int = link.call(doing, link.collection(step.collection).count_documents, step.filter)
        return found

    # -- batches -----------------------------------------------------------------------------------------------------------

    def _documents(self, step: Rewrite | Transform) -> Iterator[list[Document]]:
        """Give the documents in the order of their ids, batch by batch; a cursor goes over ids of all types."""
        link = self._link
        fields = step.fields if isinstance(step, Transform) else ("_id",)
        projection = dict.fromkeys(fields, 1) or None
        size = BATCH if fields else WHOLE_BATCH
        doing = _reading({"find": step.collection, "filter": "…", "sort": {"_id": 1}})
        # Nothing is sent until the first documents are asked for, and what is sent for the next ones is PyMongo's matter.
        unsent = replace(doing, text="")
        cursor = link.call(
            unsent, link.collection(step.collection).find, step.filter, projection, batch_size=size
        )
        with cursor.sort("_id", 1):
            found = link.call(doing, _take, cursor, size)
            while found:
                yield found
                found = link.call(unsent, _take, cursor, size)

    def _ids(self, step: Rewrite) -> Iterator[list[Any]]:
        return ([document["_id"] for document in found] for found in self._documents(step))

    def _rewrite(self, step: Rewrite, ids: list[Any]) -> int:
        link = self._link
        doing = Doing(as_json({"update": step.collection, "updates": "…"}), writes=True)
        result = link.call(
            doing,
            link.collection(step.collection).update_many,
            {"$and": [{"_id": {"$in": ids}}, step.filter]},
            step.update,
            bypass_document_validation=True,
        )
        changed: int = result.modified_count
        return changed

    def _transform(self, step: Transform, found: list[Document]) -> int:
        link = self._link
        writes = [UpdateOne(filter, update) for filter, update in step.change(found)]
        if not writes:
            return 0
        doing = Doing(as_json({"update": step.collection, "updates": "…"}), writes=True)
        result = link.call(
            doing,
            link.collection(step.collection).bulk_write,
            writes,
            ordered=False,
            bypass_document_validation=True,
        )
        changed: int = result.modified_count
        return changed


def _reading(shown: Document) -> Doing:
    return Doing(as_json(shown), within_s=SCAN_S)


def _take(cursor: Any, size: int) -> list[Document]:
    return list(islice(cursor, size))


def _sent(command: Any, database: Any, document: Document) -> Document:
    """Send a command; a write that failed in part is an error, which the driver does not raise here."""
    reply: Document = command(database, document)
    for failed in reply.get("writeErrors", ()):
        raise WriteError(failed.get("errmsg", ""), failed.get("code"), failed)
    late = reply.get("writeConcernError")
    if late:
        raise OperationFailure(late.get("errmsg", ""), late.get("code"), late)
    return reply
