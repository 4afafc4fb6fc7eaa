"""The questions: each is put to every store, and the answers are compared with each other and with plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from dbkit import Database, DuplicateKey, connect
from dbkit.blog import Blog, Post, User
from dbkit.testing.differential import run_programs, world
from examples import git_history, job_queue, transfer_money

from .answers import Answer, failed, fingerprint, of, of_rows
from .data import SEED, Repository, Sale, Sizes, Turnover
from .stores import Column

__all__ = ["PROGRAMS_WEIGHT", "Progress", "Question", "fill", "questions"]

PAGE = 50
_NULL = datetime.min.replace(tzinfo=UTC)
_ORDER = (Sale.rating, Sale.shipped.desc())


class Progress(Protocol):
    """What is shown while a person waits."""

    def __call__(self, now: str, done: float = 0, /) -> None:
        """Say what is done now, and that *done* seconds' worth of work is behind."""
        ...


Ask = Callable[[Sequence[Column], Progress], dict[str, Answer]]


@dataclass(frozen=True)
class Question:
    """A line of the table."""

    title: str
    remark: str
    ask: Ask
    """Put to all stores at once; the answers by their labels."""
    expected: Answer | None = None
    """What plain Python gives, where it can."""
    is_readable: bool = False
    """Whether it only reads the seeded sales, and so can be put to a store with a broken rule."""


def _each(ask: Callable[[Column], Answer]) -> Ask:
    """Put a question to one store after the other; whatever goes wrong on one is that one's answer."""

    def all_of(columns: Sequence[Column], progress: Progress) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        for column in columns:
            progress(column.name)
            answers[column.label] = _guarded(ask, column)
            progress(column.name, 1)
        return answers

    return all_of


def _guarded(ask: Callable[[Column], Answer], column: Column) -> Answer:
    try:
        return ask(column)
    except Exception as error:  # noqa: BLE001  # a store's failure is its answer, and the others go on
        return failed(error)


def fill(db: Database, sales: Sequence[Sale], users: Sequence[User], posts: Sequence[Post]) -> None:
    """Write the seeded rows, 10,000 at once."""
    db.create_schema()
    db.store(Sale).create_many(sales, batched=True)
    db.store(User).create_many(users)
    db.store(Post).create_many(posts, batched=True)


def questions(
    sizes: Sizes, sales: Sequence[Sale], users: Sequence[User], posts: Sequence[Post], found: Repository
) -> list[Question]:
    """Return all questions, in the table's order."""
    return [
        *_of_sales(sales),
        _duplicate(),
        _transfer(sizes),
        _cursor(sales),
        _claims(sizes),
        _programs(sizes),
        _posts_per_user(users, posts),
        _who_wrote_what(found),
    ]


# -- reads of the seeded sales -----------------------------------------------------------------------------------------


def _of_sales(sales: Sequence[Sale]) -> list[Question]:
    def unequal(column: Column) -> Answer:
        return of(f"{column.db.store(Sale).count(Sale.rating != 3):,}")

    def first(column: Column) -> Answer:
        return _rows(column.db.store(Sale).find(order_by=_ORDER, limit=PAGE))

    def turnover(column: Column) -> Answer:
        return _money(column.db.store(Sale).group(Turnover)[0].amount)

    unrated = sum(sale.rating is None for sale in sales)
    return [
        Question(
            "rating != 3",
            f"with {unrated:,} nulls, as null is not 3",
            _each(unequal),
            of(f"{sum(sale.rating != 3 for sale in sales):,}"),
            is_readable=True,
        ),
        Question(
            "the first 50 by rating, then latest",
            "unrated first, unshipped last",
            _each(first),
            _rows(_sorted(sales)[:PAGE]),
            is_readable=True,
        ),
        Question(
            f"the sum of {len(sales):,} Decimals",
            "to the cent",
            _each(turnover),
            _money(sum((sale.amount for sale in sales), Decimal(0))),
            is_readable=True,
        ),
    ]


def _sorted(sales: Sequence[Sale]) -> list[Sale]:
    """Sort as `_ORDER` does: null first where it ascends, last where it descends; ties by id, as the last key goes."""
    by_id = sorted(sales, key=lambda sale: sale.id, reverse=True)
    by_date = sorted(by_id, key=lambda sale: _NULL if sale.shipped is None else sale.shipped, reverse=True)
    return sorted(by_date, key=lambda sale: 0 if sale.rating is None else sale.rating)


def _rows(sales: Sequence[Sale]) -> Answer:
    return of_rows(f"first: {sales[0].id:,}" if sales else "no rows", sales)


def _money(amount: Decimal) -> Answer:
    return of(f"{amount:,}", amount)


def _cursor(sales: Sequence[Sale]) -> Question:
    def ask(columns: Sequence[Column], progress: Progress) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        # The last store's cursor is for the first.
        for maker, reader in zip([columns[-1], *columns], columns, strict=False):
            progress(reader.name)

            def follow(column: Column, maker: Column = maker) -> Answer:
                cursor = maker.db.store(Sale).page(order_by=_ORDER, limit=PAGE).next_cursor
                page = column.db.store(Sale).page(order_by=_ORDER, limit=PAGE, after=cursor)
                return _rows(page.items)

            answers[reader.label] = _guarded(follow, reader)
            progress(reader.name, 1)
        return answers

    return Question(
        "the next 50, after another's cursor",
        "made on the store to its left",
        ask,
        _rows(_sorted(sales)[PAGE : 2 * PAGE]),
        is_readable=True,
    )


# -- writes ------------------------------------------------------------------------------------------------------------


def _duplicate() -> Question:
    def ask(column: Column) -> Answer:
        users = column.db.store(User)
        first = users.create(User(username="first", email="Ann@Straße.example"))
        try:
            second = users.create(User(username="second", email="ANN@STRASSE.example"))
        except DuplicateKey as error:
            return of("DuplicateKey", type(error).__name__, error.entity, error.field, error.operation)
        else:
            users.delete(second.id)
            return of("NOT refused")
        finally:
            users.delete(first.id)

    expected = of("DuplicateKey", "DuplicateKey", "User", "email", "create")
    return Question("an e-mail twice, in another case", "Ann@Straße and ANN@STRASSE", _each(ask), expected)


def _transfer(sizes: Sizes) -> Question:
    def shown(before: Decimal, after: Decimal, finished: int, killed: int, failed: int) -> Answer:
        text = f"{after:,}" if before == after and not failed else f"NOT KEPT: {after:,}"
        return of(text, before, after, finished, killed, failed)

    def ask(column: Column) -> Answer:
        outcome = transfer_money.run(column.url, workers=4, transfers=sizes.transfers)
        return shown(outcome.before, outcome.after, outcome.finished, outcome.killed, outcome.failed)

    total = transfer_money.START * transfer_money.ACCOUNTS
    return Question(
        "a transfer killed in the middle",
        "2 of 4 die, the total is kept",
        _each(ask),
        shown(total, total, 2, 2, 0),
    )


def _claims(sizes: Sizes) -> Question:
    def shown(done: int, twice: int) -> Answer:
        lost = sizes.jobs - done
        return of(
            f"{done:,} once" if not twice and not lost else f"{twice:,} twice, {lost:,} lost", done, twice
        )

    def ask(column: Column) -> Answer:
        outcome = job_queue.run(column.url, workers=sizes.workers, jobs=sizes.jobs)
        return shown(outcome.done, outcome.twice)

    return Question(
        f"{sizes.jobs:,} jobs, claimed by {sizes.workers} workers",
        "none twice, none lost",
        _each(ask),
        shown(sizes.jobs, 0),
    )


def _programs(sizes: Sizes) -> Question:
    def ask(columns: Sequence[Column], progress: Progress) -> dict[str, Answer]:
        with ExitStack() as stack:
            databases: dict[str, Database] = {}
            for column in columns:
                db = stack.enter_context(connect(column.url, entities=world.ENTITIES))
                databases[column.label] = db
                stack.callback(db.drop_schema)
            report = run_programs(
                databases,
                sizes.programs,
                SEED,
                max_size=PROGRAM_SIZE,
                step=lambda: progress("all at once", PROGRAMS_WEIGHT * len(columns) / sizes.programs),
            )
        if report.difference is None:
            return {column.label: of(f"{report.statements:,} results") for column in columns}
        results = report.difference.results
        details = str(report.difference)
        return {label: Answer("not alike", repr(r), fingerprint(r), details) for label, r in results.items()}

    return Question(f"{sizes.programs:,} random programs", "each result and error compared", _alone(ask))


PROGRAM_SIZE = 6
"""The most steps of a program, which may be transactions of several statements."""
PROGRAMS_WEIGHT = 10
"""How much longer than another question this one takes."""


def _alone(ask: Ask) -> Ask:
    """Guard a question that is put to all stores at once: its failure is everybody's."""

    def guarded(columns: Sequence[Column], progress: Progress) -> dict[str, Answer]:
        try:
            return ask(columns, progress)
        except Exception as error:  # noqa: BLE001  # as in _guarded
            return {column.label: failed(error) for column in columns}

    return guarded


# -- figures -----------------------------------------------------------------------------------------------------------


def _posts_per_user(users: Sequence[User], posts: Sequence[Post]) -> Question:
    def shown(rows: list[tuple[str, int]]) -> Answer:
        return of_rows(f"most: {rows[0][1]}", rows)

    def ask(column: Column) -> Answer:
        return shown(
            [(user.username, user.post_count) for user in Blog(column.db).stats.posts_per_user(limit=10)]
        )

    written = Counter(post.user_id for post in posts)
    ranked = sorted(users, key=lambda user: (-written[user.id], user.id))
    return Question(
        "posts per user",
        f"the ten with most, of {len(users)} and {len(posts):,}",
        _each(ask),
        shown([(user.username, written[user.id]) for user in ranked[:10]]),
    )


def _who_wrote_what(found: Repository) -> Question:
    def ask(column: Column) -> Answer:
        column.history.create_schema()
        git_history.store(column.history, found.users, found.posts)
        answers = git_history.answers(column.history)
        return of_rows(f"{answers.commits:,} commits", answers)

    def nothing(columns: Sequence[Column], progress: Progress) -> dict[str, Answer]:
        progress("", len(columns))
        return {}

    remark = f"{found.name}/, by author and month"
    if found.reason:
        return Question("who wrote what in the repository", f"not run: {found.reason}", nothing)
    return Question("who wrote what in the repository", remark, _each(ask))
