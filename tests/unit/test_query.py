"""Shapes, slots and cursors' branches of query values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from operator import itemgetter
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbkit.entity import Embedded, Entity, Versioned, spec_of
from dbkit.fields import Mapped, any_related, field, total_order, via
from dbkit.query import (
    MAX_CONDITIONS,
    And,
    Change,
    Claim,
    Compare,
    Count,
    DeleteMany,
    DeleteOne,
    Exists,
    Filter,
    Find,
    GroupBy,
    In,
    Insert,
    IsNull,
    Not,
    Or,
    Order,
    Path,
    Query,
    Slot,
    StartsWith,
    UpdateMany,
    UpdateOne,
    Upsert,
    all_of,
    any_of,
    is_row_comparable,
    prefix_successor,
    seek,
    size_class,
)
from dbkit.sources import count, key, sum_
from dbkit.views import Group, group_of


class Place(Embedded):
    city: Mapped[str]
    height: Mapped[int | None] = field(default=None)


class Author(Entity, name="query_authors"):
    name: Mapped[str] = field(unique=True)
    place: Mapped[Place | None] = field(default=None)


class Book(Entity, Versioned, name="query_books"):
    author_id: Mapped[UUID] = field(references=lambda: Author)
    title: Mapped[str] = field(unique="casefold")
    note: Mapped[str | None] = field(default=None)
    pages: Mapped[int] = field(default=0)
    stock: Mapped[int | None] = field(default=None)
    price: Mapped[Decimal] = field(default=Decimal(0), max_digits=9, decimal_places=2)
    ratio: Mapped[float] = field(default=0.0)
    tags: Mapped[list[str]] = field(default_factory=list)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)


class ByNote(Group[Book]):
    note: Mapped[str | None] = key(Book.note)
    books: Mapped[int] = count()
    total: Mapped[Decimal] = sum_(Book.price)


BOOK, AUTHOR = spec_of(Book), spec_of(Author)
ID = UUID("0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee")

# -- building the same query twice, of other values --------------------------------------------------------------------

Values = Iterator[int]
"""Different numbers; a filter makes its values of them."""
MakeFilter = Callable[[Values], Filter]
LEAVES: dict[str, MakeFilter] = {
    "eq": lambda v: Book.pages == next(v),
    "ne": lambda v: Book.title != f"t{next(v)}",
    "null": lambda _: Book.note.is_null(),
    "lt": lambda v: Book.price < next(v),
    "between": lambda v: Book.pages.between(next(v), next(v)),
    "in": lambda v: Book.pages.in_([next(v), next(v), next(v)]),
    "in_null": lambda v: Book.note.in_([f"n{next(v)}", None]),
    "not_in": lambda v: Book.title.not_in([f"n{next(v)}"]),
    "in_nothing": lambda _: Book.pages.in_([]),
    "contains": lambda v: Book.title.contains(f"c{next(v)}"),
    "starts_with": lambda v: Book.title.starts_with(f"s{next(v)}"),
    "starts_with_any": lambda _: Book.title.starts_with(""),
    "casefold": lambda v: Book.title.equals_casefold(f"T{next(v)}"),
    "has": lambda v: Book.tags.has(f"h{next(v)}"),
    "json_number": lambda v: Book.extra["a"] == next(v),
    "json_text": lambda v: Book.extra["a"] > f"j{next(v)}",
    "json_in": lambda v: Book.extra["a"].in_([next(v), f"j{next(v)}", True, None]),
    "via": lambda v: via(Book.author_id, Author.name) == f"v{next(v)}",
    "via_model": lambda v: via(Book.author_id, via(Author.place, Place.city)) == f"v{next(v)}",
    "model": lambda v: Book.author_id.in_([UUID(int=next(v))]),
    "any": lambda v: via(Book.author_id, Author.name).contains(f"v{next(v)}"),
}

leaf = st.sampled_from(sorted(LEAVES)).map(LEAVES.__getitem__)


def _joined(children: st.SearchStrategy[MakeFilter]) -> st.SearchStrategy[MakeFilter]:
    several = st.lists(children, min_size=1, max_size=3)

    def joined(join: Callable[..., Filter]) -> Callable[[list[MakeFilter]], MakeFilter]:
        return lambda makes: lambda values: join(*[make(values) for make in makes])

    def negated(make: MakeFilter) -> MakeFilter:
        return lambda values: ~make(values)

    return st.one_of(several.map(joined(all_of)), several.map(joined(any_of)), children.map(negated))


filters = st.recursive(leaf, _joined, max_leaves=8)
CHANGES: dict[str, Callable[[Values], Change]] = {
    "literal": lambda v: Book.title.set(f"t{next(v)}"),
    "null": lambda _: Book.note.set(None),
    "int": lambda v: Book.pages.set(Book.pages * next(v) + next(v)),
    "reflected": lambda v: Book.stock.set(next(v) - Book.stock),
    "decimal": lambda v: Book.price.set(Book.price - next(v)),
    "float": lambda v: Book.ratio.set(Book.ratio * next(v)),
    "append": lambda v: Book.tags.append(f"a{next(v)}"),
    "remove": lambda v: Book.tags.remove(f"a{next(v)}"),
}
changes = st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4, unique=True)
ORDERS: list[tuple[Any, ...]] = [
    (),
    (Book.pages,),
    (Book.note.desc(),),
    (Book.note, Book.pages.desc()),
    (via(Book.author_id, Author.name).desc(),),
]
orders = st.sampled_from(ORDERS).map(lambda keys: total_order(BOOK, keys))

MakeQuery = Callable[[Values], Query]


@st.composite
def queries(draw: st.DrawFn) -> MakeQuery:
    make = draw(st.none() | filters)
    order = draw(orders)
    made_changes = tuple(CHANGES[name] for name in draw(changes))
    has_limit, has_offset, is_page = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    nulls = draw(st.none() | st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    having = draw(st.booleans())
    kind = draw(st.sampled_from(["find", "count", "exists", "delete_many", "delete", "group", "insert"]))
    kind = draw(st.sampled_from([kind, "update", "update_many", "upsert", "claim"]))

    def build(v: Values) -> Query:
        where = None if make is None else make(v)
        limit = next(v) if has_limit else None
        match kind:
            case "find":
                after = None if nulls is None else tuple(None if n else next(v) for n in nulls)
                return Find(
                    BOOK.read, where, order, limit, next(v) if has_offset else None, after, page=is_page
                )
            case "count":
                return Count(BOOK, where)
            case "exists":
                return Exists(BOOK, where)
            case "delete_many":
                return DeleteMany(BOOK, where)
            case "delete":
                return DeleteOne(BOOK, UUID(int=next(v)), where)
            case "group":
                kept = (ByNote.books > next(v)) & (ByNote.total >= next(v)) if having else None
                return GroupBy(group_of(ByNote), where, kept, (Order(ByNote.note.path),), limit)
            case "insert":
                return Insert(BOOK, tuple(next(v) for _ in BOOK.columns))
            case "update":
                return UpdateOne(BOOK, UUID(int=next(v)), where, tuple(c(v) for c in made_changes))
            case "update_many":
                return UpdateMany(BOOK, where, tuple(c(v) for c in made_changes))
            case "upsert":
                on = BOOK.unique_key(("title",))
                assert on is not None
                return Upsert(BOOK, tuple(next(v) for _ in BOOK.columns), on)
            case _:
                return Claim(BOOK, where, tuple(c(v) for c in made_changes), order, next(v))

    return build


def attributes(node: object) -> dict[str, Any]:
    names = itertools.chain.from_iterable(getattr(c, "__slots__", ()) for c in type(node).__mro__)
    return {name: getattr(node, name) for name in names if name not in {"shape", "binds", "conditions"}}


def check_slots(node: Any, slotted: Any, binds: tuple[Any, ...], seen: list[int]) -> None:
    """Walk a query and its slotted copy; each slot stands where its bind stood."""
    if isinstance(slotted, Slot):
        seen.append(slotted.index)
        assert binds[slotted.index] == node
        assert type(binds[slotted.index]) is type(node)
        assert slotted.size == (size_class(len(node)) if node.__class__ is tuple else 1)
    elif isinstance(node, StartsWith):
        needle, successor = slotted.value
        seen += [needle.index, successor.index]
        assert binds[needle.index] == node.value
        assert binds[successor.index] == (prefix_successor(node.value) or node.value)
        assert slotted.is_open == node.is_open
    elif isinstance(node, tuple | list):
        pairs: Iterator[tuple[Any, Any]] = zip(cast("Any", node), slotted, strict=True)
        for a, b in pairs:
            check_slots(a, b, binds, seen)
    elif type(node).__module__.startswith("dbkit.query") and not isinstance(node, Path | Order):
        assert type(slotted) is type(node)
        if not isinstance(node, In):
            assert slotted.binds == ()
        assert slotted.shape == node.shape
        for name, value in attributes(node).items():
            check_slots(value, attributes(slotted)[name], binds, seen)
    else:
        assert slotted is node or slotted == node


def flat(shape: Any) -> Iterator[Any]:
    if shape.__class__ is tuple:
        for item in shape:
            yield from flat(item)
    else:
        yield shape


@given(queries())
def test_slots_stand_for_the_binds_in_their_order(make: MakeQuery) -> None:
    query = make(itertools.count(1))
    slotted = query.slotted()
    assert slotted.shape == query.shape
    assert slotted.binds == ()
    seen: list[int] = []
    check_slots(query, slotted, query.binds, seen)
    assert sorted(seen) == list(range(len(query.binds)))


@given(queries())
def test_queries_that_differ_in_values_only_have_one_shape(make: MakeQuery) -> None:
    one, other = make(itertools.count(1)), make(itertools.count(10_001, 7))
    assert one.shape == other.shape
    assert hash(one.shape) == hash(other.shape)
    assert len(one.binds) == len(other.binds)
    assert all(type(item) in {int, str, bool} for item in flat(one.shape))


@given(filters, filters)
def test_filters_that_differ_in_more_than_values_have_other_shapes(
    one: MakeFilter, other: MakeFilter
) -> None:
    a, b = one(itertools.count(1)), other(itertools.count(1))
    if repr_of(a) != repr_of(b):
        assert a.shape != b.shape


def repr_of(made: Filter) -> str:
    """Return what a filter says, apart from its values, in another way than its shape."""
    if isinstance(made, And | Or):
        return f"{type(made).__name__}({', '.join(map(repr_of, made.parts))})"
    if isinstance(made, Not):
        return f"Not({repr_of(made.part)})"
    path = getattr(made, "path", "")
    detail = [getattr(made, name, "") for name in ("op", "json_class", "is_open")]
    size = size_class(len(made.values)) if isinstance(made, In) else ""
    return f"{type(made).__name__}({path}, {detail}, {size})"


def test_the_null_bits_of_a_cursor_are_part_of_the_shape() -> None:
    order = total_order(BOOK, Book.note)
    with_null = Find(BOOK.read, None, order, 10, after=(None, ID))
    without = Find(BOOK.read, None, order, 10, after=("x", ID))
    assert with_null.shape != without.shape
    assert with_null.binds == (ID, 10)
    assert without.binds == ("x", ID, 10)


def test_size_classes() -> None:
    assert [size_class(n) for n in (0, 1, 2, 3, 4, 5, 8, 9, 1_000)] == [1, 1, 2, 4, 4, 8, 8, 16, 1_024]
    assert Book.pages.in_([1, 2, 3]).shape == Book.pages.in_([7, 8, 9, 10]).shape
    assert Book.pages.in_([1, 2]).shape != Book.pages.in_([1, 2, 3]).shape


def test_relations_are_part_of_a_filters_conditions() -> None:
    made = any_related(Book.author_id, *[Book.pages > n for n in range(5)])
    assert made.conditions == 6
    assert made.slotted(lambda _: Slot(0)).shape == made.shape
    assert MAX_CONDITIONS == 200


# -- prefixes ----------------------------------------------------------------------------------------------------------

# Few characters, those beside the gap of the surrogates and the last one among them.
edges = st.sampled_from(["a", "b", "\ud7ff", "\ue000", "\U0010ffff", "\U0010fffe"])
words = st.text(edges, max_size=4) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(words, words)
def test_a_prefix_is_a_range(prefix: str, text: str) -> None:
    successor = prefix_successor(prefix)
    for candidate in (text, prefix + text):
        inside = prefix <= candidate and (successor is None or candidate < successor)
        assert inside == candidate.startswith(prefix)


@given(words)
def test_a_successor_is_the_least(prefix: str) -> None:
    successor = prefix_successor(prefix)
    if successor is None:
        assert not prefix.strip("\U0010ffff")
    else:
        successor.encode()
        assert successor > prefix
        assert not successor.startswith(prefix)


# -- cursors -----------------------------------------------------------------------------------------------------------

KEYS = [Path.of(BOOK, BOOK.by_name[name]) for name in ("note", "pages", "stock")]
ID_PATH = Path.of(BOOK, BOOK.id)
Row = dict[str, Any]

rows = st.lists(
    st.fixed_dictionaries(
        {
            "note": st.none() | st.sampled_from(["a", "b"]),
            "pages": st.integers(0, 2),
            "stock": st.none() | st.integers(0, 1),
        }
    ),
    max_size=12,
)


def holds(made: Filter, row: Row) -> bool:
    if isinstance(made, Not):
        return not holds(made.part, row)
    if isinstance(made, IsNull):
        return row[made.path.field.name] is None
    assert isinstance(made, Compare)
    value = row[made.path.field.name]
    if value is None:
        return made.op == "ne"
    match made.op:
        case "eq":
            return bool(value == made.value)
        case "lt":
            return bool(value < made.value)
        case "gt":
            return bool(value > made.value)
        case _:
            raise AssertionError(made.op)


def in_order(found: list[Row], order: list[Order]) -> list[Row]:
    for sort_key in reversed(order):
        name = sort_key.path.field.name
        nulls = [r for r in found if r[name] is None]
        others = sorted(
            (r for r in found if r[name] is not None), key=itemgetter(name), reverse=sort_key.descending
        )
        found = [*others, *nulls] if sort_key.descending else [*nulls, *others]
    return found


@given(
    rows,
    st.lists(st.sampled_from(KEYS), max_size=3, unique=True),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_the_branches_after_a_row_are_disjoint_complete_and_in_order(
    found: list[Row], keys: list[Path], directions: list[bool]
) -> None:
    order = [Order(path, down) for path, down in zip([*keys, ID_PATH], directions, strict=False)]
    table = in_order([row | {"id": n} for n, row in enumerate(found)], order)
    for position, row in enumerate(table):
        branches = seek(order, [row[o.path.field.name] for o in order])
        reached = [[r for r in table if all(holds(f, r) for f in branch)] for branch in branches]
        # In order, one after another, nothing twice, nothing missing.
        assert list(itertools.chain.from_iterable(reached)) == table[position + 1 :]


def described(made: Filter) -> str:
    assert isinstance(made, Compare | IsNull)
    return f"{made.path.field.name} {made.op if isinstance(made, Compare) else 'null'}"


def test_each_branch_is_one_range_of_an_index() -> None:
    order = [Order(KEYS[0], True), Order(KEYS[1]), Order(ID_PATH, True)]
    shown = [[described(f) for f in branch] for branch in seek(order, ["x", 1, 2])]
    assert shown == [
        ["note eq", "pages eq", "id lt"],
        ["note eq", "pages gt"],
        ["note lt"],
        ["note null"],
    ]
    assert seek([Order(KEYS[0], True), Order(ID_PATH, True)], [None, 1])[1:] == []


@pytest.mark.parametrize(
    ("order", "comparable"),
    [
        ([Order(KEYS[1]), Order(ID_PATH)], True),
        ([Order(KEYS[1], True), Order(ID_PATH, True)], True),
        ([Order(KEYS[1]), Order(ID_PATH, True)], False),
        ([Order(KEYS[0]), Order(ID_PATH)], False),
    ],
    ids=["ascending", "descending", "mixed", "nullable"],
)
def test_when_one_row_value_comparison_is_enough(order: list[Order], comparable: bool) -> None:
    assert is_row_comparable(order) is comparable


# -- paths -------------------------------------------------------------------------------------------------------------


def test_paths() -> None:
    path = via(Book.author_id, via(Author.place, Place.height)).path
    assert str(path) == "Book.author_id.place.height"
    assert repr(path) == "<Path Book.author_id.place.height>"
    assert path.type.nullable
    assert path.entity is AUTHOR
    assert not path.is_own_field
    assert Book.pages.path.is_own_field
    assert Book.pages.path.entity is BOOK
    assert Author.name.path.behind(BOOK, BOOK.by_name["author_id"]).shape == (
        BOOK.token,
        BOOK.by_name["author_id"].token,
        AUTHOR.by_name["name"].token,
    )
