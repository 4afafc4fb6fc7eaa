"""SEMANTICS, "Writes", changes: what a literal may be, what the store computes, exactly and within bounds."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from dbkit import Change, Entity, Mapped, everything, field
from dbkit._async.store import AsyncStore
from dbkit.errors import InvalidInput, NotFound, OutOfRange, PreconditionFailed
from dbkit.values import INT_MAX, INT_MIN

from ..entities import Account, Plain, Zoo
from ..kit import rule
from ..watch import Watch, raises
from .case import AsyncCase


class Basket(Entity, name="kit_baskets"):
    """A list with a declared length, and numbers with exclusive bounds."""

    items: Mapped[list[str]] = field(default_factory=list, max_length=3)
    items_n: Mapped[list[int] | None] = field(default=None)
    weight: Mapped[float] = field(default=1.0, gt=0, lt=10)
    count: Mapped[int] = field(default=1, gt=0, lt=10)
    price: Mapped[Decimal] = field(default=Decimal(1), max_digits=6, decimal_places=2, gt=0, lt=10)
    limit_n: Mapped[int | None] = field(default=None, ge=0)


MOST = Decimal("999999999999.99")
"""The greatest balance of an account: 14 digits, 2 of them decimal places."""


async def _out_of_range(store: AsyncStore[Any], row: Any, *changes: Change) -> None:
    """Assert that `update` and `update_many` refuse the changes, and leave the row as it was."""
    with raises(OutOfRange) as raised:
        await store.update(row.id, *changes)
    error = raised.error
    assert (error.entity, error.operation, error.retryable) == (type(row).__name__, "update", False)
    assert await store.get(row.id) == row
    with raises(OutOfRange) as raised:
        await store.update_many(everything(), changes=changes)
    assert raised.error.operation == "update_many"
    assert await store.get(row.id) == row


@rule("writes")
async def literals_pass_the_fields_own_validation(case: AsyncCase) -> None:
    """A literal in a change is checked as on create: bounds, length, places, choices, null; nothing is sent."""
    async with case.database(Account, Zoo) as db:
        made = await db.store(Account).create(Account(owner="a"))
        watch = Watch(db)
        wrong: list[tuple[Any, Any]] = [
            (Account.balance, Decimal("-0.01")), (Account.balance, Decimal("0.001")), (Account.balance, MOST + 1),
            (Account.balance, Decimal("NaN")), (Account.balance, 1.5), (Account.balance, None), (Account.balance, "1"),
            (Account.points, 1001), (Account.points, -1001), (Account.points, True), (Account.points, 1.0),
            (Account.big, INT_MAX + 1), (Account.big, INT_MIN - 1), (Account.owner, "x" * 101), (Account.owner, None),
            (Account.owner, "a\0b"), (Account.rate, math.nan), (Account.rate, math.inf), (Account.tags, None),
            (Account.tags, ["a", 1]), (Account.tags, "ab"), (Account.note, 5), (Account.note, {"$set": 1}),
            (Zoo.colour, "red"), (Zoo.word, "maybe"), (Zoo.level, 10), (Zoo.flag, 1),
        ]  # fmt: skip
        for ref, value in wrong:
            with raises(InvalidInput) as raised:
                ref.set(value)
            assert raised.error.field == str(ref).partition(".")[2], str(ref)
            assert "NaN" not in str(raised.error) or "finite" in str(raised.error)
        assert watch.texts == []
        changed = await db.store(Account).update(
            made.id,
            Account.balance.set(7),
            Account.rate.set(-0.0),
            Account.points.set(-1000),
            Account.big.set(INT_MIN),
        )
        assert (str(changed.balance), changed.points, changed.big) == ("7.00", -1000, INT_MIN)
        assert math.copysign(1, changed.rate) == 1


@rule("writes")
async def a_field_is_changed_once(case: AsyncCase) -> None:
    """Two changes of one field, no change, or a change of `id`, `created_at`, `updated_at`, `version`: InvalidInput."""
    async with case.database(Account, Plain) as db:
        store = db.store(Account)
        made = await store.create(Account(owner="a"))
        watch = Watch(db)
        with raises(InvalidInput) as raised:
            await store.update(made.id, Account.points.set(1), Account.points.set(Account.points + 1))
        assert raised.error.field == "points"
        with raises(InvalidInput):
            await store.update(made.id)
        with raises(InvalidInput):
            await store.update_many(everything(), changes=[])
        with raises(InvalidInput):
            await store.update(made.id, Plain.n.set(1))
        for name in ("id", "created_at", "updated_at", "version"):
            with raises(InvalidInput) as raised:
                getattr(Account, name).set(getattr(made, name))
            assert raised.error.field == name
        assert watch.texts == []


@rule("writes", needs=("computed_changes", "atomic_many"))
async def ints_are_computed_within_bounds(case: AsyncCase) -> None:
    """A computed int outside the declared bounds, or outside 64 bits on the way, is OutOfRange; the row is unchanged."""
    async with case.database(Account) as db:
        store = db.store(Account)
        row = await store.create(Account(owner="a", points=999, big=INT_MAX - 1))
        for change in (
            Account.points.set(Account.points + 2),
            Account.points.set(Account.points - 2000),
            Account.points.set(Account.points * -2),
            Account.big.set(Account.big + 2),
            Account.big.set(Account.big * 2),
            Account.big.set(0 - Account.big - 3),
            # Not the result alone: every step must fit into 64 bits.
            Account.big.set(Account.big * 2 - Account.big),
            Account.big.set(Account.big + Account.big - Account.big),
            Account.points.set(Account.points + Account.big * 2 - Account.big * 2),
        ):
            await _out_of_range(store, row, change)
        # One that fits beside one that does not: neither.
        await _out_of_range(
            store, row, Account.points.set(Account.points + 1), Account.big.set(Account.big * 3)
        )
        edge = await store.update(
            row.id, Account.points.set(Account.points + 1), Account.big.set(Account.big + 1)
        )
        assert (edge.points, edge.big) == (1000, INT_MAX)
        # On the way the declared bounds do not matter.
        same = await store.update(row.id, Account.points.set(Account.points * 500 - Account.points * 499))
        assert same.points == 1000
        least = await store.update(row.id, Account.big.set(0 - Account.big - 1))
        assert least.big == INT_MIN
        await _out_of_range(store, least, Account.big.set(0 - Account.big))
        await _out_of_range(store, least, Account.big.set(Account.big * -1))


@rule("writes", needs=("computed_changes", "atomic_many"))
async def decimals_are_computed_exactly(case: AsyncCase) -> None:
    """Decimals of one scale are added and subtracted, and multiplied by ints, exactly, within digits and bounds."""
    async with case.database(Account) as db:
        store = db.store(Account)
        row = await store.create(Account(owner="a", balance=Decimal("0.10")))
        for change, expected in (
            (Account.balance.set(Account.balance + Decimal("0.20")), "0.30"),
            (Account.balance.set(Account.balance * 3), "0.90"),
            (Account.balance.set(100 - Account.balance), "99.10"),
            (Account.balance.set(2 * Account.balance - Account.balance), "99.10"),
            (Account.balance.set(Account.balance - Decimal("99.10")), "0.00"),
            (Account.balance.set(Account.balance + MOST), "999999999999.99"),
            (Account.balance.set(Account.balance * 1000 - Account.balance * 999), "999999999999.99"),
            (Account.balance.set(Account.balance * 0), "0.00"),
        ):
            changed = await store.update(row.id, change)
            assert str(changed.balance) == expected
            assert str((await store.require(row.id)).balance) == expected
        row = await store.update(row.id, Account.balance.set(MOST))
        for change in (
            Account.balance.set(Account.balance + Decimal("0.01")),
            Account.balance.set(Account.balance * 2),
            Account.balance.set(Account.balance - MOST - Decimal("0.01")),
            Account.balance.set(Account.balance * -1),
            # 10^19 hundredths on the way: more than 64 bits hold.
            Account.balance.set(Account.balance * 100_000 - Account.balance * 99_999),
        ):
            await _out_of_range(store, row, change)
        low = await store.update(row.id, Account.balance.set(Decimal("0.05")))
        await _out_of_range(store, low, Account.balance.set(Account.balance - Decimal("0.06")))


@rule("writes")
async def decimals_of_another_scale_do_not_mix(case: AsyncCase) -> None:
    """A Decimal with more places than the field, a float, or a field of another scale in an expression is InvalidInput."""
    account: Any = Account
    zoo: Any = Zoo
    plain: Any = Plain
    async with case.database(Zoo):
        wrong: list[Any] = [
            lambda: account.balance + Decimal("0.001"),
            lambda: account.balance + 0.5,
            lambda: account.balance * Decimal("1.5"),
            lambda: account.balance * account.balance,
            lambda: zoo.money + zoo.money_n,
            lambda: account.points.set(account.balance),
            lambda: account.balance.set(account.points + 1),
            lambda: account.points + "1",
            lambda: account.owner + "x",
            lambda: account.points.set(account.points + plain.n),
            lambda: account.points + (INT_MAX + 1),
            lambda: account.points + True,
        ]
        for number, make in enumerate(wrong):
            try:
                with raises(InvalidInput):
                    make()
            except AssertionError as error:
                raise AssertionError(f"expression {number}: {error}") from error


@rule("writes", needs=("computed_changes", "atomic_many"))
async def floats_are_computed_as_doubles(case: AsyncCase) -> None:
    """Float expressions are IEEE doubles; infinity and what is outside the bounds is OutOfRange; −0.0 becomes 0.0."""
    async with case.database(Account, Basket) as db:
        store, baskets = db.store(Account), db.store(Basket)
        row = await store.create(Account(owner="a", rate=0.1))
        for change, expected in (
            (Account.rate.set(Account.rate + 0.2), 0.1 + 0.2),
            (Account.rate.set(Account.rate * 3), (0.1 + 0.2) * 3),
            (Account.rate.set(Account.rate - 1e300), (0.1 + 0.2) * 3 - 1e300),
            (Account.rate.set(0.0), 0.0),
            (Account.rate.set(Account.rate * -1.0), 0.0),
        ):
            changed = await store.update(row.id, change)
            assert changed.rate == expected
            assert math.copysign(1, changed.rate) == math.copysign(1, expected)
        row = await store.update(row.id, Account.rate.set(1e308))
        await _out_of_range(store, row, Account.rate.set(Account.rate * 10))
        await _out_of_range(store, row, Account.rate.set(Account.rate * -10))
        await _out_of_range(store, row, Account.rate.set(Account.rate * 10 - Account.rate * 10))
        basket = await baskets.create(Basket())
        await _out_of_range(baskets, basket, Basket.weight.set(Basket.weight * 10))
        await _out_of_range(baskets, basket, Basket.weight.set(Basket.weight - 1))
        edge = await baskets.update(basket.id, Basket.weight.set(Basket.weight * math.nextafter(10, 0)))
        assert edge.weight == math.nextafter(10, 0)


@rule("writes", needs=("computed_changes", "atomic_many"))
async def exclusive_bounds_hold(case: AsyncCase) -> None:
    """`gt` and `lt` hold for computed values too, at the last step an int or Decimal has."""
    async with case.database(Basket) as db:
        store = db.store(Basket)
        row = await store.create(Basket())
        for change in (
            Basket.count.set(Basket.count - 1),
            Basket.count.set(Basket.count + 9),
            Basket.price.set(Basket.price - 1),
            Basket.price.set(Basket.price + 9),
        ):
            await _out_of_range(store, row, change)
        row = await store.update(
            row.id, Basket.count.set(Basket.count + 8), Basket.price.set(Basket.price + Decimal("8.99"))
        )
        assert (row.count, str(row.price)) == (9, "9.99")


@rule("writes", needs=("computed_changes", "atomic_many"))
async def null_in_an_expression_gives_null(case: AsyncCase) -> None:
    """An expression with a null operand is null; it cannot be set where the field is never null."""
    async with case.database(Plain, Zoo, Basket) as db:
        store, zoo = db.store(Plain), db.store(Zoo)
        one, none = Plain(n=1), Plain()
        await store.create_many([one, none])
        assert await store.update_many(everything(), changes=Plain.n.set(Plain.n * 2 + 5)) == 2
        assert (await store.require(one.id)).n == 7
        assert (await store.require(none.id)).n is None
        made = await zoo.create(Zoo(integer=5, money_n=None))
        changed = await zoo.update(
            made.id,
            Zoo.integer_n.set(Zoo.integer - Zoo.integer_n),
            Zoo.money_n.set(Zoo.money_n + 1),
            Zoo.real_n.set(Zoo.real * Zoo.real_n),
        )
        assert (changed.integer_n, changed.money_n, changed.real_n) == (None, None, None)
        # Null is within any bounds.
        basket = await db.store(Basket).create(Basket())
        assert (
            await db.store(Basket).update(basket.id, Basket.limit_n.set(Basket.limit_n - 1))
        ).limit_n is None
        untyped: Any = Zoo
        with raises(InvalidInput) as raised:
            untyped.integer.set(Zoo.integer_n + 1)
        assert raised.error.field == "integer"


@rule("writes", needs=("computed_changes", "atomic_many"))
async def expressions_see_the_row_as_it_was(case: AsyncCase) -> None:
    """All changes of one verb are computed from the row before it: two fields can be swapped."""
    async with case.database(Account, Zoo) as db:
        store, zoo = db.store(Account), db.store(Zoo)
        row = await store.create(Account(owner="a", points=3, big=40))
        swapped = await store.update(row.id, Account.points.set(Account.big), Account.big.set(Account.points))
        assert (swapped.points, swapped.big) == (40, 3)
        await store.update_many(
            everything(), changes=[Account.big.set(Account.points + 1), Account.points.set(Account.big * 2)]
        )
        found = await store.require(row.id)
        assert (found.points, found.big) == (6, 41)
        made = await zoo.create(Zoo(integer=5))
        changed = await zoo.update(made.id, Zoo.integer_n.set(Zoo.integer), Zoo.integer.set(0))
        assert (changed.integer, changed.integer_n) == (0, 5)


@rule("writes", needs=("computed_changes", "atomic_many"))
async def a_filter_of_a_write_sees_the_row_as_it_was(case: AsyncCase) -> None:
    """`where` is about the row before the change, also when it names the changed field."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        row = await store.create(Plain(n=5))
        assert (await store.update(row.id, Plain.n.set(Plain.n - 5), where=Plain.n >= 5)).n == 0
        assert await store.update_many(Plain.n == 0, changes=Plain.n.set(1)) == 1


@rule("writes", needs=("computed_changes", "atomic_many"))
async def an_answer_comes_before_a_bound(case: AsyncCase) -> None:
    """A row that is not there is NotFound, one that `where` excludes PreconditionFailed, also were the value out of range."""
    async with case.database(Account) as db:
        store = db.store(Account)
        row = await store.create(Account(owner="a", points=1000))
        with raises(NotFound):
            await store.update(Account(owner="b").id, Account.points.set(Account.points + 1))
        with raises(PreconditionFailed):
            await store.update(row.id, Account.points.set(Account.points + 1), where=Account.points < 1000)
        assert (
            await store.update_many(Account.points < 0, changes=Account.points.set(Account.points + 1)) == 0
        )


@rule("writes", needs=("computed_changes", "atomic_many"))
async def append_adds_at_the_end(case: AsyncCase) -> None:
    """`append` adds one element at a list's end; a null list becomes a list of it; beyond `max_length` is OutOfRange."""
    async with case.database(Zoo, Basket) as db:
        zoo, baskets = db.store(Zoo), db.store(Basket)
        row = await zoo.create(Zoo(tags=["a"], numbers=[1]))
        changed = await zoo.update(
            row.id,
            Zoo.tags.append("a"),
            Zoo.tags_n.append("$x"),
            Zoo.numbers.append(INT_MAX),
            Zoo.things.append({"a": [1, None]}),
        )
        assert changed.tags == ["a", "a"]
        assert changed.tags_n == ["$x"]
        assert changed.numbers == [1, INT_MAX]
        assert changed.things == [{"a": [1, None]}]
        changed = await zoo.update(row.id, Zoo.tags_n.append("b"), Zoo.things.append(None))
        assert (changed.tags_n, changed.things) == (["$x", "b"], [{"a": [1, None]}, None])
        await zoo.update_many(everything(), changes=Zoo.tags.append("z"))
        assert (await zoo.require(row.id)).tags == ["a", "a", "z"]
        basket = await baskets.create(Basket(items=["1", "2"]))
        full = await baskets.update(basket.id, Basket.items.append("3"))
        assert full.items == ["1", "2", "3"]
        await _out_of_range(baskets, full, Basket.items.append("4"))
        wrong: list[Any] = [1, None, "a\0", {"$each": ["a"]}]
        for value in wrong:
            with raises(InvalidInput):
                Zoo.tags.append(value)


@rule("writes", needs=("computed_changes",))
async def remove_takes_every_equal_element(case: AsyncCase) -> None:
    """`remove` takes out every element that equals the value, of its own type; a null list stays null."""
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        row = await store.create(
            Zoo(
                tags=["a", "b", "a", "A", ""],
                numbers=[3, 1, 3],
                things=[1, True, "1", None, [1], {"a": 1}, 2, False, 0],
            )
        )
        changed = await store.update(
            row.id, Zoo.tags.remove("a"), Zoo.numbers.remove(3), Zoo.things.remove(1), Zoo.tags_n.remove("x")
        )
        assert (changed.tags, changed.numbers, changed.tags_n) == (["b", "A", ""], [1], None)
        assert [repr(x) for x in changed.things] == [
            "True",
            "'1'",
            "None",
            "[1]",
            "{'a': 1}",
            "2",
            "False",
            "0",
        ]
        changed = await store.update(
            row.id, Zoo.things.remove(False), Zoo.tags.remove("zz"), Zoo.numbers.remove(1)
        )
        assert [repr(x) for x in changed.things] == ["True", "'1'", "None", "[1]", "{'a': 1}", "2", "0"]
        assert (changed.tags, changed.numbers) == (["b", "A", ""], [])
        changed = await store.update(row.id, Zoo.things.remove("1"), Zoo.tags.remove(""))
        assert [repr(x) for x in changed.things] == ["True", "None", "[1]", "{'a': 1}", "2", "0"]
        assert changed.tags == ["b", "A"]
