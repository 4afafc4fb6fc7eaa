"""How verbs are run: retried alone, refused beside one's own transaction; in one, doomed by the first error and in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from dbkit import retry
from dbkit._async import executor as async_module
from dbkit._async.executor import AsyncAutocommit, AsyncInTransaction
from dbkit._sync import executor as sync_module
from dbkit._sync.executor import Autocommit, InTransaction
from dbkit.async_concurrency import async_worker
from dbkit.concurrency import worker
from dbkit.errors import (
    Conflict,
    DbkitError,
    DeadlineExceeded,
    DuplicateKey,
    InvalidInput,
    NotFound,
    OutOfRange,
    PreconditionFailed,
    StaleVersion,
    StoredDataInvalid,
    TooLarge,
    TransactionAborted,
    TransactionError,
)
from dbkit.options import LOCK_WAIT_S, TRANSACTION_S


class Clock:
    """Time that passes when somebody sleeps, and when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    async def asleep(seconds: float) -> None:
        clock.sleep(seconds)

    for module in (sync_module, async_module, retry):
        monkeypatch.setattr(module, "monotonic", clock.monotonic)
    monkeypatch.setattr(sync_module, "sleep", clock.sleep)
    monkeypatch.setattr(async_module, "asleep", asleep)
    return clock


class Backend:
    name = "fake"


class BackendTransaction:
    """Writes down how it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.fails_with: BaseException | None = None

    def commit(self) -> None:
        self.ended.append("commit")
        if self.fails_with is not None:
            raise self.fails_with

    def rollback(self) -> None:
        self.ended.append("rollback")


class AsyncBackendTransaction(BackendTransaction):
    async def commit(self) -> None:  # type: ignore[override]
        BackendTransaction.commit(self)

    async def rollback(self) -> None:  # type: ignore[override]
        BackendTransaction.rollback(self)


class Calls:
    """A backend's operation that does what stands in its list, one after another, the last for ever."""

    def __init__(self, *outcomes: object, clock: Clock | None = None, takes_s: float = 0) -> None:
        self.outcomes = list(outcomes)
        self.count = 0
        self.clock = clock
        self.takes_s = takes_s

    def __call__(self, *_: Any) -> Any:
        outcome = self.outcomes[min(self.count, len(self.outcomes) - 1)]
        self.count += 1
        if self.clock is not None:
            self.clock.now += self.takes_s
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def asynchronous(self, *_: Any) -> Any:
        return self()


class Both:
    """An executor of either colour behind plain calls."""

    def __init__(self, colour: str) -> None:
        self.is_async = colour == "async"
        backend: Any = Backend()
        self.autocommit: Any = (AsyncAutocommit if self.is_async else Autocommit)(backend)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return asyncio.run(function(*args)) if self.is_async else function(*args)

    def call(self, executor: Any, kind: str, calls: Calls) -> Any:
        function = calls.asynchronous if self.is_async else calls
        return self.run(getattr(executor, kind), "create", "User", function)

    def transaction(self, *, read_only: bool = False) -> tuple[Any, BackendTransaction]:
        made = AsyncBackendTransaction() if self.is_async else BackendTransaction()
        cls: Any = AsyncInTransaction if self.is_async else InTransaction
        return cls(Backend(), made, read_only=read_only), made


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


# -- autocommit --------------------------------------------------------------------------------------------------------


def test_a_result_is_passed_on(both: Both) -> None:
    for kind in ("read", "write"):
        calls = Calls(7)
        assert both.call(both.autocommit, kind, calls) == 7
        assert calls.count == 1


@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_error_says_where_it_came_from(both: Both, kind: str) -> None:
    with pytest.raises(DuplicateKey) as caught:
        both.call(both.autocommit, kind, Calls(DuplicateKey("taken", field="email")))
    error = caught.value
    assert (error.backend, error.operation, error.entity, error.field) == ("fake", "create", "User", "email")


def test_what_an_error_said_already_stays(both: Both) -> None:
    with pytest.raises(NotFound) as caught:
        both.call(both.autocommit, "read", Calls(NotFound("gone", backend="b", operation="o", entity="e")))
    assert (caught.value.backend, caught.value.operation, caught.value.entity) == ("b", "o", "e")


def test_a_write_conflict_is_tried_again(both: Both, clock: Clock) -> None:
    calls = Calls(Conflict("1"), Conflict("2"), Conflict("3"), "done")
    assert both.call(both.autocommit, "write", calls) == "done"
    assert calls.count == 4
    assert all(0 < pause <= 0.25 for pause in clock.pauses)


def test_it_is_tried_for_five_seconds_and_no_longer(both: Both, clock: Clock) -> None:
    started = clock.now
    calls = Calls(Conflict("again"))
    with pytest.raises(Conflict) as caught:
        both.call(both.autocommit, "write", calls)
    assert LOCK_WAIT_S - 0.5 <= clock.now - started <= LOCK_WAIT_S
    assert calls.count > 10
    assert (caught.value.operation, caught.value.entity) == ("create", "User")


def test_pauses_grow_and_end(both: Both, clock: Clock) -> None:
    with pytest.raises(Conflict):
        both.call(both.autocommit, "write", Calls(Conflict("again")))
    assert clock.pauses[0] <= 0.002
    assert max(clock.pauses) <= 0.25
    assert max(clock.pauses) > 0.125


def test_a_lock_that_was_waited_for_is_not_waited_for_again(both: Both, clock: Clock) -> None:
    """The server waited for five seconds by itself: one attempt is all."""
    calls = Calls(Conflict("lock timeout"), clock=clock, takes_s=LOCK_WAIT_S)
    started = clock.now
    with pytest.raises(Conflict):
        both.call(both.autocommit, "write", calls)
    assert calls.count == 1
    assert clock.now - started == LOCK_WAIT_S


def test_pauses_end_by_time_and_by_attempts(clock: Clock) -> None:
    assert list(retry.pauses(0)) == []
    assert len(list(retry.pauses(60, attempts=4))) == 3
    assert list(retry.pauses(60, attempts=1)) == []
    waits = retry.pauses(1.0, first_s=0.1, most_s=0.4)
    started = clock.now
    spent: list[float] = []
    for pause in waits:
        spent.append(pause)
        clock.sleep(pause)
    assert clock.now - started <= 1.0
    assert all(
        least <= pause <= 2 * least for least, pause in zip((0.05, 0.1, 0.2, 0.2), spent, strict=False)
    )


def test_another_error_ends_the_retries(both: Both, clock: Clock) -> None:
    calls = Calls(Conflict("1"), DuplicateKey("taken"))
    with pytest.raises(DuplicateKey) as caught:
        both.call(both.autocommit, "write", calls)
    assert calls.count == 2
    assert caught.value.operation == "create"


def test_a_conflict_that_is_not_retryable_is_not_retried(both: Both, clock: Clock) -> None:
    calls = Calls(Conflict("no", retryable=False))
    with pytest.raises(Conflict):
        both.call(both.autocommit, "write", calls)
    assert calls.count == 1


def test_a_read_is_not_retried(both: Both, clock: Clock) -> None:
    calls = Calls(Conflict("1"), "done")
    with pytest.raises(Conflict):
        both.call(both.autocommit, "read", calls)
    assert calls.count == 1


def test_writes_beside_ones_own_transaction_are_refused() -> None:
    autocommit = Autocommit(cast("Any", Backend()))
    calls = Calls("done")
    autocommit.open_by_worker.add(worker())
    with pytest.raises(TransactionError, match="own open transaction") as caught:
        autocommit.write("create", "User", calls)
    assert calls.count == 0
    assert "tx.store" in (caught.value.hint or "")
    assert autocommit.read("get", "User", calls) == "done"

    others: list[Any] = []
    thread = threading.Thread(target=lambda: others.append(autocommit.write("create", "User", calls)))
    thread.start()
    thread.join()
    assert others == ["done"]


async def test_tasks_are_told_apart() -> None:
    autocommit = AsyncAutocommit(cast("Any", Backend()))
    autocommit.open_by_worker.add(async_worker())
    calls = Calls("done")
    with pytest.raises(TransactionError):
        await autocommit.write("create", "User", calls.asynchronous)

    async def other() -> Any:
        return await autocommit.write("create", "User", calls.asynchronous)

    assert await asyncio.create_task(other()) == "done"


# -- in a transaction --------------------------------------------------------------------------------------------------


def test_a_transaction_commits_once(both: Both) -> None:
    tx, ended = both.transaction()
    assert both.call(tx, "write", Calls(1)) == 1
    assert both.call(tx, "read", Calls(2)) == 2
    assert tx.is_open
    both.run(tx.finish)
    assert ended.ended == ["commit"]
    assert not tx.is_open


def test_a_transaction_that_is_given_up_is_rolled_back(both: Both) -> None:
    tx, ended = both.transaction()
    both.run(tx.give_up)
    both.run(tx.give_up)
    assert ended.ended == ["rollback"]


DOOMING = [
    DuplicateKey("x"),
    Conflict("x"),
    OutOfRange("x"),
    InvalidInput("x"),
    ValueError("x"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", DOOMING, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", ["read", "write"])
def test_any_error_of_the_store_dooms(both: Both, kind: str, error: BaseException) -> None:
    tx, ended = both.transaction()
    with pytest.raises(type(error)):
        both.call(tx, kind, Calls(error))
    assert ended.ended == ["rollback"]
    later = Calls("done")
    steps: list[Callable[[], Any]] = [
        lambda: both.call(tx, "read", later),
        lambda: both.call(tx, "write", later),
        lambda: both.run(tx.finish),
    ]
    for step in steps:
        with pytest.raises(TransactionAborted) as caught:
            step()
        assert caught.value.__cause__ is error
        assert not caught.value.retryable
    assert later.count == 0
    both.run(tx.give_up)
    assert ended.ended == ["rollback"]


HARMLESS = [NotFound("x"), PreconditionFailed("x"), StaleVersion("x"), StoredDataInvalid("x")]


@pytest.mark.parametrize("error", HARMLESS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_answer_does_not_doom(both: Both, kind: str, error: DbkitError) -> None:
    tx, ended = both.transaction()
    with pytest.raises(type(error)):
        both.call(tx, kind, Calls(error))
    assert both.call(tx, "write", Calls("done")) == "done"
    both.run(tx.finish)
    assert ended.ended == ["commit"]


def test_too_large_dooms_when_it_wrote(both: Both) -> None:
    tx, ended = both.transaction()
    with pytest.raises(TooLarge):
        both.call(tx, "read", Calls(TooLarge("a relation of more than 1,000")))
    assert ended.ended == []
    with pytest.raises(TooLarge):
        both.call(tx, "write", Calls(TooLarge("more than 10,000 rows")))
    assert ended.ended == ["rollback"]


def test_too_large_dooms_before_it_is_sent_too(both: Both) -> None:
    """Whether the client or the server finds it is no difference that a program should see."""
    tx, ended = both.transaction()
    refused = InvalidInput("not sent")
    both.run(tx.refuse, "create", "User", refused)
    assert ended.ended == []
    assert (refused.operation, refused.entity, refused.backend) == ("create", "User", "fake")
    both.run(tx.refuse, "create_many", "User", TooLarge("10,001 rows"))
    assert ended.ended == ["rollback"]
    with pytest.raises(TransactionAborted):
        both.run(tx.finish)
    both.run(both.autocommit.refuse, "create", "User", TooLarge("x"))


def test_a_read_only_transaction_refuses_writes_unsent(both: Both) -> None:
    tx, ended = both.transaction(read_only=True)
    calls = Calls(1)
    with pytest.raises(InvalidInput, match="read_only=True"):
        both.call(tx, "write", calls)
    assert calls.count == 0
    assert both.call(tx, "read", calls) == 1
    both.run(tx.finish)
    assert ended.ended == ["commit"]


def test_after_its_end_all_is_refused(both: Both) -> None:
    tx, _ = both.transaction()
    both.run(tx.finish)
    calls = Calls(1)
    for kind in ("read", "write"):
        with pytest.raises(TransactionError, match="is over") as caught:
            both.call(tx, kind, calls)
        assert not isinstance(caught.value, TransactionAborted)
    assert calls.count == 0


def test_a_commit_that_fails_says_where_and_is_over(both: Both) -> None:
    tx, ended = both.transaction()
    ended.fails_with = Conflict("serialization failure")
    with pytest.raises(Conflict) as caught:
        both.run(tx.finish)
    assert (caught.value.operation, caught.value.backend) == ("commit", "fake")
    both.run(tx.give_up)
    assert ended.ended == ["commit"]


@pytest.mark.parametrize("step", ["read", "write", "exit"])
def test_after_thirty_seconds_the_first_call_or_exit_rolls_back(both: Both, clock: Clock, step: str) -> None:
    tx, ended = both.transaction()
    assert both.call(tx, "write", Calls(1)) == 1
    clock.now += TRANSACTION_S - 0.001
    assert both.call(tx, "write", Calls(1)) == 1
    clock.now += 0.002
    calls = Calls(1)
    with pytest.raises(DeadlineExceeded, match="30 s"):
        both.run(tx.finish) if step == "exit" else both.call(tx, step, calls)
    assert calls.count == 0
    assert ended.ended == ["rollback"]
    with pytest.raises(TransactionAborted):
        both.run(tx.finish)
    assert ended.ended == ["rollback"]


async def test_tasks_in_one_transaction_take_turns() -> None:
    tx = AsyncInTransaction(cast("Any", Backend()), cast("Any", AsyncBackendTransaction()), read_only=False)
    running = 0

    async def call() -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1

    await asyncio.gather(*(tx.write("update", "User", call) for _ in range(5)))


async def test_a_cancelled_call_dooms_and_rolls_back() -> None:
    ended = AsyncBackendTransaction()
    tx = AsyncInTransaction(cast("Any", Backend()), cast("Any", ended), read_only=False)
    task = asyncio.create_task(tx.write("update", "User", lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.ended == ["rollback"]
    with pytest.raises(TransactionAborted):
        await tx.finish()
