"""What a database is beside its rows: statements shown and plans, counts, ping, the driver's connection, flags."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from dbkit import (
    FLAGS,
    ConfigurationError,
    DuplicateKey,
    InvalidInput,
    OperationalError,
    Plan,
    Unsupported,
    aconnect,
    any_related,
    via,
)

from ..entities import FAMILY, Account, Author, Book, Job, Loose, Plain, Sale, Sheet, Zoo
from ..kit import NotApplicable, rule
from ..shapes import AuthorWithBooks, BookLine, BookWithChapters, PlainWithLoose, SalesByRegion
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import fill

SECRET = "secret-7c1f"  # a value that no statement may show


@rule("database")
async def statements_are_shown_without_values(case: AsyncCase) -> None:
    """on_statement sees each statement with its text, time and backend, and never a value."""
    async with case.database(Account, Plain) as db:
        store, plain = db.store(Account), db.store(Plain)
        watch = Watch(db)
        number = 718_281_828
        made = await store.create(
            Account(owner=SECRET, email=f"{SECRET}@x", note=SECRET, big=number, tags=[SECRET])
        )
        await fill(plain, [Plain(name=f"{SECRET}{n}", n=number) for n in range(3)])
        await store.find(
            Account.owner == SECRET,
            Account.note.contains(SECRET),
            Account.tags.has(SECRET),
            Account.big < number,
        )
        await plain.find(Plain.name.in_([SECRET, "x"]) | Plain.name.starts_with(SECRET), order_by=Plain.name)
        page = await plain.page(Plain.n == number, order_by=Plain.name, limit=1)
        await plain.page(Plain.n == number, order_by=Plain.name, limit=1, after=page.next_cursor)
        await store.get(made.id)
        await store.update(
            made.id, Account.note.set(SECRET * 2), Account.tags.append(SECRET), where=Account.big == number
        )
        if db.features.atomic_many:
            await plain.update_many(Plain.name == SECRET + "1", changes=Plain.name.set(SECRET + "9"))
            await plain.delete_many(Plain.name == SECRET + "2")
        await store.upsert(made, on=Account.owner)
        await store.delete(made.id)
        assert len(watch.statements) >= 10
        for statement in watch.statements:
            assert statement.backend == case.store.url.partition("://")[0].partition("+")[0], statement
            assert statement.text, statement
            assert statement.duration_s >= 0, statement
            assert statement.error is None, statement
            for value in (SECRET, str(number), str(made.id), made.id.hex):
                assert value not in statement.text, statement.text


@rule("database")
async def failing_statements_are_shown(case: AsyncCase) -> None:
    """A statement that fails is shown with its error's class; several hooks see the same."""
    async with case.database(Account) as db:
        first, second = Watch(db), Watch(db)
        await db.store(Account).create(Account(owner="a"))
        with raises(DuplicateKey):
            await db.store(Account).create(Account(owner="a"))
        assert first.statements == second.statements
        errors = [statement.error for statement in first.statements if statement.error]
        assert errors, "the failing statement was not shown"


@rule("database", needs=("query_plans",))
async def explain_shows_the_statement(case: AsyncCase) -> None:
    """explain() has the read verbs; each returns the statement that it becomes, without values."""
    async with case.database(Account) as db:
        made = await db.store(Account).create(Account(owner=SECRET))
        explain = db.store(Account).explain()
        where = (Account.owner == SECRET) & ~(Account.points > 718_281)
        plans = [
            await explain.find(where, order_by=Account.big.desc(), limit=5),
            await explain.find_one(where),
            await explain.page(where, order_by=Account.note),
            await explain.count(where),
            await explain.exists(where),
            await explain.get(made.id),
            await explain.require(made.id),
            await explain.get_many([made.id]),
            await explain.iterate(where, batch=5),
        ]
        for plan in plans:
            assert plan.statement
            assert SECRET not in plan.statement
            assert "718281" not in plan.statement
            assert isinstance(plan.indexes, tuple)
            assert isinstance(plan.scans, tuple)
        with raises(InvalidInput):
            await explain.find(limit=0)


@rule("database", needs=("query_plans", "views", "groups", "checked_references"))
async def explain_shows_views_and_groups(case: AsyncCase) -> None:
    """explain() takes what find and group take: views, relations, groups."""
    async with case.database(*FAMILY, Sale) as db:
        plans = [
            await db.store(Book).explain().find(via(Book.author, Author.name) == SECRET, into=BookLine),
            await db.store(Author)
            .explain()
            .find(any_related(Book.author, Book.title == SECRET), into=AuthorWithBooks),
            await db.store(Sale)
            .explain()
            .group(SalesByRegion, Sale.region == SECRET, having=SalesByRegion.rows > 1),
        ]
        for plan in plans:
            assert plan.statement
            assert SECRET not in plan.statement


@rule("database", needs=("query_plans", "views", "groups", "checked_references"))
async def explain_shows_what_is_sent(case: AsyncCase) -> None:
    """explain() of each read verb, children and totals too, is just what on_statement hears when the verb runs."""
    async with case.database(*FAMILY, Sale) as db:
        authors, books, sales = db.store(Author), db.store(Book), db.store(Sale)
        people = [Author(name=f"a{n}", age=n) for n in range(5)]
        await fill(authors, people)
        made = [Book(author=people[n % 3].id, title=f"b{n}", price=Decimal(n)) for n in range(9)]
        await fill(books, made)
        page = await books.page(order_by=Book.price.desc(), limit=2)
        more = {"order_by": Book.price.desc(), "limit": 2, "after": page.next_cursor}
        ids = [author.id for author in people]
        old = (Author.age > 0) & ~any_related(Book.author, Book.sold > 7)
        explained: dict[str, Plan] = {}
        watch = Watch(db)
        sent: dict[str, list[str]] = {}
        for what, store, verb, given, options in (
            ("get", books, "get", (made[0].id,), {}),
            ("get, nothing there", books, "get", (UUID(int=0),), {}),
            ("get, a view", books, "get", (made[0].id,), {"into": BookLine}),
            ("get, with children", authors, "get", (ids[0],), {"into": AuthorWithBooks}),
            ("require", authors, "require", (ids[1],), {}),
            ("get_many", authors, "get_many", (ids,), {}),
            ("get_many, with children", authors, "get_many", (ids,), {"into": AuthorWithBooks}),
            ("find_one", authors, "find_one", (Author.name == "a1",), {}),
            ("find", authors, "find", (old,), {"order_by": Author.age, "offset": 1, "limit": 2}),
            ("find, all", books, "find", (), {}),
            (
                "find, a parent's field",
                books,
                "find",
                (via(Book.author, Author.age) > 1,),
                {"into": BookLine},
            ),
            ("find, with children", authors, "find", (old,), {"into": AuthorWithBooks, "limit": 2}),
            ("find, parents and children", books, "find", (), {"into": BookWithChapters}),
            ("page", books, "page", (Book.sold == 0,), {"limit": 2}),
            ("page, the next", books, "page", (), more),
            ("page, total", books, "page", (Book.sold == 0,), {"limit": 2, "total": True}),
            ("page, all", authors, "page", (old,), {"limit": 2, "total": True, "into": AuthorWithBooks}),
            ("count", authors, "count", (old,), {}),
            ("exists", authors, "exists", (Author.name == "a1",), {}),
            ("group", sales, "group", (SalesByRegion, Sale.units > 1), {"limit": 3}),
        ):
            explained[what] = await getattr(store.explain(), verb)(*given, **options)
            watch.clear()
            await getattr(store, verb)(*given, **options)
            sent[what] = watch.texts
        explained["iterate"] = await books.explain().iterate(Book.sold == 0, order_by=Book.title, batch=100)
        watch.clear()
        assert (
            len([book async for book in books.iterate(Book.sold == 0, order_by=Book.title, batch=100)]) == 9
        )
        sent["iterate"] = watch.texts
        for what, plan in explained.items():
            assert [part.statement for part in plan.parts] == sent[what], what


@rule("database", needs=("query_plans",), real_mongod=True)
async def indexes_serve_what_they_are_declared_for(case: AsyncCase) -> None:
    """By id, by unique keys, by indexed fields with null, in_ and starts_with, and in their order: an index, no scan, no sort."""
    if case.store.name.startswith("memory"):
        raise NotApplicable("its indexes are for uniqueness only")
    async with case.database(Account, Sheet, Job) as db:
        await fill(db.store(Account), [Account(owner=f"{n:05}", email=f"{n}@x") for n in range(3_000)])
        await fill(
            db.store(Sheet),
            [
                Sheet(site=n % 50 if n % 7 else None, slug=str(n), rank=n if n % 5 else None)
                for n in range(3_000)
            ],
        )
        await fill(
            db.store(Job), [Job(rank=n, state="waiting" if n % 100 == 0 else "done") for n in range(3_000)]
        )
        await _analyze(case, db)
        account, sheet, job = (db.store(e).explain() for e in (Account, Sheet, Job))
        some_id = (await db.store(Account).find(limit=1))[0].id
        plans: dict[str, Any] = {
            "get": await account.get(some_id),
            "unique": await account.find(Account.owner == "00007"),
            "casefold": await account.find(Account.email.equals_casefold("7@X")),
            "in_": await account.find(Account.owner.in_(["00001", "00002"])),
            "starts_with": await account.find(Account.owner.starts_with("0001"), limit=10),
            "compound unique": await sheet.find(Sheet.site == 3, Sheet.slug == "3"),
            "range": await sheet.find(Sheet.rank.between(10, 20)),
            "null": await sheet.find(Sheet.rank.is_null(), Sheet.site == 3, limit=10),
            "order": await job.page(Job.state == "waiting", order_by=Job.rank, limit=5),
            "order by id": await account.page(limit=5),
            "order, descending": await sheet.page(order_by=Sheet.rank.desc(), limit=5),
            "order, nulls first": await sheet.page(order_by=Sheet.rank, limit=5),
        }
        for what, plan in plans.items():
            assert plan.indexes, f"{what}: no index: {plan.statement} {plan.raw}"
            assert not plan.scans, f"{what}: {plan.scans} read whole: {plan.statement}"
            if what.startswith("order") and plan.sorted_in_memory is not None:
                assert not plan.sorted_in_memory, f"{what}: sorted in memory: {plan.statement} {plan.raw}"


@rule("database", needs=("query_plans",), real_mongod=True)
async def explain_says_what_is_read_whole(case: AsyncCase) -> None:
    """A filter that no index serves is named by explain as a scan of its table, an order that none has as a sort."""
    async with case.database(Account) as db:
        await fill(db.store(Account), [Account(owner=str(n), note=str(n)) for n in range(200)])
        await _analyze(case, db)
        plan = await db.store(Account).explain().find(Account.note == "7", order_by=Account.big, limit=5)
        assert plan.scans == ("kit_accounts",), plan
        assert plan.indexes == ()
        assert plan.sorted_in_memory in {True, None}


async def _analyze(case: AsyncCase, db: Any) -> None:
    """Let the planner know the rows; without it a plan is a guess on an empty table."""
    if case.store.name.startswith(("sqlite", "postgresql")):
        async with db.native() as connection:
            await connection.execute("ANALYZE")


@rule("database", needs=("query_plans", "views"), real_mongod=True)
async def relations_are_read_by_an_index(case: AsyncCase) -> None:
    """Children of a few rows, and rows by their parent, are found by an index on the reference."""
    async with case.database(Plain, Loose) as db:
        parents = [Plain(n=n) for n in range(500)]
        await fill(db.store(Plain), parents)
        await fill(db.store(Loose), [Loose(parent=parent.id, n=n) for parent in parents for n in range(6)])
        await _analyze(case, db)
        plans = [
            await db.store(Loose).explain().find(Loose.parent == parents[3].id),
            await db.store(Plain).explain().get(parents[3].id, into=PlainWithLoose),
        ]
        for plan in plans:
            assert plan.indexes, f"no index: {plan.statement}"
            for part in plan.parts:
                assert "kit_loose" not in part.scans, f"scanned: {part.statement} {part.raw}"


@rule("database", needs=("snapshot_reads",))
async def counts_take_one_round_trip(case: AsyncCase) -> None:
    """counts() gives the number of rows of each entity, in the order asked, in one statement; of none it sends none."""
    async with case.database(Plain, Loose, Sheet) as db:
        await fill(db.store(Plain), [Plain() for _ in range(3)])
        await db.store(Loose).create(Loose())
        watch = Watch(db)
        assert await db.counts(Loose, Plain, Sheet, Plain) == [1, 3, 0, 3]
        assert len(watch.texts) == 1
        assert await db.counts(Sheet) == [0]
        watch.clear()
        assert await db.counts() == []
        assert watch.statements == []
        with raises(ConfigurationError):
            await db.counts(Account)


@rule("database")
async def ping_answers(case: AsyncCase) -> None:
    """ping() makes a round trip; a database that is closed says so by an OperationalError."""
    async with case.database(Plain) as db:
        await db.ping()
        assert db.server.name
        assert db.server.version
        assert str(db.server) == str(case.store.server)
    with raises(OperationalError):
        await db.ping()
    with raises(OperationalError):
        db.store(Plain)
    await db.close()
    with raises(OperationalError):
        await db.open()


@rule("database")
async def a_store_outlives_no_close(case: AsyncCase) -> None:
    """A store that was kept from a database, or a transaction not yet entered, refuses after its close in one wording."""
    async with case.database(Plain) as db:
        plain = db.store(Plain)
        kept = await plain.create(Plain(n=1))
        waiting = db.transaction() if db.features.transactions else None
    for use in (
        lambda: plain.get(kept.id),
        lambda: plain.find(Plain.n == 1),
        lambda: plain.page(order_by=Plain.n),
        plain.count,
        lambda: plain.create(Plain(n=2)),
        lambda: plain.create_many([Plain(n=3)]),
        lambda: plain.update(kept.id, Plain.n.set(5)),
        lambda: plain.delete(kept.id),
    ):
        with raises(OperationalError) as refused:
            await use()
        assert str(refused.error) == "the database is closed (connect again)"
        assert not refused.error.retryable
    if waiting is not None:
        with raises(OperationalError) as refused:
            async with waiting:
                pass
        assert str(refused.error) == "the database is closed (connect again)"


@rule("database")
async def the_drivers_connection_is_lent(case: AsyncCase) -> None:
    """native() lends the driver's own connection, which sees dbkit's rows, and takes it back."""
    async with case.database(Plain) as db:
        await fill(db.store(Plain), [Plain(n=n) for n in range(3)])
        for _ in range(20):  # more often than the pool has connections
            if case.store.name.startswith("mongo"):
                async with db.native() as (database, _session):
                    assert await database["kit_plain"].count_documents({}) == 3
            elif case.store.name.startswith(("sqlite", "postgresql")):
                async with db.native() as connection:
                    cursor = await connection.execute("SELECT count(*) FROM kit_plain")
                    assert tuple(await cursor.fetchone()) == (3,)
                    await cursor.close()
            else:
                raise NotApplicable("it has no driver")
        assert await db.store(Plain).count() == 3


@rule("database")
async def native_gives_back_after_an_error(case: AsyncCase) -> None:
    """An error in the native() block is raised as it is, and the connection is usable or replaced after it."""
    async with case.database(Plain, pool_size=1) as db:
        for _ in range(3):
            with raises(ZeroDivisionError):
                async with db.native():
                    raise ZeroDivisionError
        await db.store(Plain).create(Plain(n=1))
        assert await db.store(Plain).count() == 1


@rule("database")
async def every_flag_is_answered(case: AsyncCase) -> None:
    """Each flag has an answer and the evidence for it; what is not there says how to get it."""
    async with case.database(Plain) as db:
        answers = {flag.name: answer for flag, answer in db.features}
        assert answers.keys() == FLAGS.keys()
        for name, answer in answers.items():
            assert answer.why, name
            assert answer.yes or answer.hint, name
        if db.server.is_surrogate:
            assert not answers["real_server"]


@rule("database")
async def what_is_missing_is_refused_before_sending(case: AsyncCase) -> None:
    """A verb whose flag the store answers no to raises Unsupported, naming flag and hint, and sends nothing."""
    async with case.database(Plain, Loose, Sale, Job) as db:
        watch = Watch(db)

        async def transaction() -> None:
            async with db.transaction():
                pass

        verbs: dict[str, list[Any]] = {
            "transactions": [transaction],
            "groups": [lambda: db.store(Sale).group(SalesByRegion)],
            "views": [
                lambda: db.store(Plain).find(into=PlainWithLoose),
                lambda: db.store(Loose).find(via(Loose.parent, Plain.n) == 1),
                lambda: db.store(Plain).count(any_related(Loose.parent)),
            ],
            "atomic_many": [
                lambda: db.store(Plain).create_many([Plain(), Plain()]),
                lambda: db.store(Plain).update_many(Plain.n == 1, changes=Plain.n.set(2)),
                lambda: db.store(Plain).delete_many(Plain.n == 1),
            ],
            "claim": [lambda: db.store(Job).claim(Job.state == "waiting", changes=Job.state.set("taken"))],
        }
        missing = [flag for flag in verbs if not getattr(db.features, flag)]
        if not missing:
            raise NotApplicable("it has all that verbs need")
        for flag in missing:
            for verb in verbs[flag]:
                with raises(Unsupported) as raised:
                    await verb()
                assert flag in str(raised.error), f"{flag} is not named: {raised.error}"
                assert raised.error.hint, flag
        assert watch.statements == []


@rule("database", needs=("persistent",))
async def what_was_stored_is_there_later(case: AsyncCase) -> None:
    """What one database object stored, another one reads, after the first was closed too."""
    async with case.database(Account) as db:
        made = await db.store(Account).create(Account(owner="a", balance=Decimal("1.5")))
        async with case.connect(Account) as second:
            assert await second.store(Account).get(made.id) == made
            other = await second.store(Account).create(Account(owner="b"))
        assert await db.store(Account).get(other.id) == other
    async with case.connect(Account) as third:
        await third.create_schema()
        assert await third.store(Account).count() == 0  # case.database dropped its schema
        await third.drop_schema()


@rule("database")
async def databases_know_their_entities(case: AsyncCase) -> None:
    """A store of an entity that connect was not given is a ConfigurationError that names it."""
    async with case.database(Plain) as db:
        with raises(ConfigurationError) as raised:
            db.store(Zoo)
        assert "Zoo" in str(raised.error)
    with raises(ConfigurationError):
        aconnect(case.store.url, entities=[])
