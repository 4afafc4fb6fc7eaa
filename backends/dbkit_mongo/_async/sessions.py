"""Sessions: of transactions, from their beginning to their end, and of snapshots."""

from __future__ import annotations

from typing import Any

from pymongo.errors import PyMongoError

from dbkit.errors import DbkitError

from ..errors import Doing, is_commit_unknown
from .link import AsyncLink

__all__ = ["begin_transaction", "commit", "rollback", "start_snapshot"]

COMMIT_ATTEMPTS = 3
STARTING = Doing("")
"""The client alone starts a session and a transaction: the first command says both.
https://github.com/mongodb/specifications/blob/master/source/transactions/transactions.md#starttransaction"""


async def start_snapshot(link: AsyncLink) -> Any:
    """Return a session whose reads all see one committed instant, that of the first."""
    return await link.call(STARTING, link.driver.start_session, link.client, snapshot=True)


async def begin_transaction(link: AsyncLink) -> Any:
    """Return a session with an open transaction, whose snapshot its first command takes."""
    session = await link.call(STARTING, link.driver.start_session, link.client, snapshot=False)
    try:
        await link.call(STARTING, link.driver.start_transaction, session)
    except BaseException:
        await session.end_session()
        raise
    return session


async def commit(link: AsyncLink, session: Any) -> None:
    """Commit and end the session; where the reply is lost, ask again: the server answers as the first time."""
    # Not "in a transaction": whether this one is committed is just what is not known.
    doing = _ending(session, "commitTransaction", writes=True)
    try:
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                await link.call(doing, session.commit_transaction)
            except DbkitError as error:
                if attempt + 1 == COMMIT_ATTEMPTS or not _is_worth_asking(error.__cause__):
                    raise
            else:
                return
    finally:
        await session.end_session()


def _ending(session: Any, command: str, *, writes: bool) -> Doing:
    # Of a transaction that the server has not heard of the driver sends no end. A session here has one transaction only.
    return Doing("" if session.operation_time is None else f'{{"{command}": 1}}', writes=writes)


def _is_worth_asking(error: BaseException | None) -> bool:
    # Who has not answered in time is not asked again: the caller has waited as long as it said.
    return isinstance(error, PyMongoError) and is_commit_unknown(error) and not error.timeout


async def rollback(link: AsyncLink, session: Any) -> None:
    """Roll back and end the session; never raises for a server that is gone, which drops the transaction by itself."""
    try:
        await link.call(_ending(session, "abortTransaction", writes=False), session.abort_transaction)
    except DbkitError:
        # Nothing was committed either way.
        return
    finally:
        await session.end_session()
