"""An open transaction, as the generic store holds it."""

from __future__ import annotations

from .link import AsyncLink
from .operations import AsyncMongoOperations
from .sessions import begin_transaction, commit, rollback

__all__ = ["AsyncMongoTransaction"]


class AsyncMongoTransaction(AsyncMongoOperations):
    """All verbs with one session; it ends by one `commit` or `rollback`."""

    @classmethod
    async def begin(cls, link: AsyncLink) -> AsyncMongoTransaction:
        """Begin one; the snapshot is taken by its first operation."""
        return cls(link, await begin_transaction(link), in_transaction=True)

    async def commit(self) -> None:
        """Commit: `Conflict` and `OutcomeUnknown` are possible, and it is over either way."""
        await commit(self.link, self.session)

    async def rollback(self) -> None:
        """Roll back, whatever has become of the server."""
        await rollback(self.link, self.session)
