"""Random programs, as source text: what is run is what is shown, so a failure can be pasted as it is.

A program is a list of statements. Each is an expression over `db` (or, inside a transaction, `tx`); the runner evaluates
them one after the other on every store and compares what they return or raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hypothesis import strategies as st

from dbkit import ObjectId

__all__ = ["Block", "Program", "programs"]


@dataclass(frozen=True)
class Block:
    """Statements inside one transaction; with *fails* the block ends in an exception of the program's own."""

    statements: tuple[str, ...]
    fails: bool
    read_only: bool = False


Program = tuple["str | Block", ...]


def show(program: Program) -> str:
    """Return the program as text to paste."""
    lines: list[str] = []
    for step in program:
        if isinstance(step, str):
            lines.append(step)
            continue
        lines.append(f"with db.transaction({'read_only=True' if step.read_only else ''}) as tx:")
        lines += [f"    {s}" for s in step.statements]
        if step.fails:
            lines.append("    raise Stop")
    return "\n".join(lines)


# -- values as source --------------------------------------------------------------------------------------------------

# Few values, so that programs meet themselves again; among them those that stores are known to treat differently.
_TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "b",
    "é",
    "e\u0301",
    "ß",
    "SS",
    "Ω",
    "ω",
    "\U0001f600",
    "\uffee",
    "a%",
    "a_",
    "a.b",
    "$a",
    "\\",
    "'",
    "\n",
    "İ",
    "ı",
]
_INTS = [0, 1, -1, 2, 3, 7, 10, -5, 2**31, -(2**31), 2**53 + 1, 2**62, -(2**62), 2**63 - 1, -(2**63)]
_FLOATS = [0.0, -0.0, 1.0, -1.5, 0.1, 1e300, -1e300, 5e-324, 2.0**53, 1 / 3]
_MONEY = ["0", "-0.00", "0.01", "1", "1.00", "-1.50", "2.5", "999999.99", "-999999.99", "123.45"]
_BIG = [
    "0",
    "0.001",
    "-0.001",
    "999999999999999.999",
    "-999999999999999.999",
    "1.5",
    "2",
    "333333333333333.333",
]
_DATETIMES = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, 123_456, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, 123_999, tzinfo=UTC),
    datetime(2024, 12, 31, 23, 30, tzinfo=UTC),
    datetime(1901, 5, 5, 5, 5, 5, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
]
_DATES = [date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31)]
_TIMES = [time(0), time(12, 30), time(23, 59, 59, 999_999), time(0, 0, 0, 1)]
_SPANS = [
    timedelta(0),
    timedelta(microseconds=1),
    timedelta(days=-1, microseconds=5),
    timedelta(days=100_000),
]
_BYTES = [b"", b"\0", b"a", b"ab", b"\xff"]
_OBJECT_IDS = [ObjectId(digits * 12) for digits in ("00", "7f", "80", "ff")]
_JSON: list[Any] = [None, True, False, 0, 1, 1.0, 1.5, "1", "a", "", [1], {"k": 1}]


def source(value: Any) -> str:
    """Return the text that evaluates to *value*."""
    if isinstance(value, datetime):
        inner = [
            value.year,
            value.month,
            value.day,
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
        ]
        return f"datetime({', '.join(map(str, inner))}, tzinfo=UTC)"
    if isinstance(value, date | time | timedelta):
        return repr(value).removeprefix("datetime.")
    return repr(value)


def _of(values: list[Any]) -> st.SearchStrategy[str]:
    return st.sampled_from([source(v) for v in values])


# Half of them from a handful that differ in case only, so that they meet.
_texts = st.one_of(_of(["a", "A", "b", ""]), _of(_TEXTS))
_decimals = st.sampled_from([f"Decimal({v!r})" for v in _MONEY])
_big_decimals = st.sampled_from([f"Decimal({v!r})" for v in _BIG])
_places = st.builds(
    "Place(city={}, floor={}, rent={})".format,
    st.one_of(st.just("None"), _of(_TEXTS[:6])),
    _of([0, 1, -1]),
    st.one_of(st.just("None"), _decimals),
)
_owners = st.sampled_from([f"ID[{n}]" for n in range(4)])
_lists = st.lists(_of(_TEXTS[:7]), max_size=3).map(lambda items: f"[{', '.join(items)}]")
_int_lists = st.lists(_of([0, 1, 2, 2**53 + 1]), max_size=3).map(lambda items: f"[{', '.join(items)}]")
_dicts = st.dictionaries(st.sampled_from(["a", "b", "x y", "$set", "d.e", ""]), _of(_JSON), max_size=3).map(
    lambda d: "{" + ", ".join(f"{k!r}: {v}" for k, v in d.items()) + "}"
)

# name, values, nullable
_FIELDS: dict[str, tuple[st.SearchStrategy[str], bool]] = {
    "n": (_of(_INTS), False),
    "m": (_of(_INTS[:13]), True),
    "f": (_of(_FLOATS), True),
    "d": (_decimals, False),
    "e": (_big_decimals, True),
    "s": (_texts, False),
    "t": (_texts, True),
    "b": (_of([True, False]), True),
    "w": (_of(_DATETIMES), True),
    "on": (_of(_DATES), True),
    "at": (_of(_TIMES), True),
    "span": (_of(_SPANS), True),
    "raw": (_of(_BYTES), True),
    "old": (_of(_OBJECT_IDS), True),
    "colour": (st.sampled_from(["Colour.RED", "Colour.GREEN", "Colour.BLUE"]), True),
    "size": (_of([1, 2, 3]), False),
    "tags": (_lists, False),
    "nums": (_int_lists, True),
    "extra": (_dicts, False),
    "place": (_places, True),
    "owner_id": (_owners, True),
}
_ORDERED = ["id", "n", "m", "f", "d", "e", "s", "t", "w", "on", "at", "span", "old", "size"]
_EQUAL_ONLY = ["b", "raw", "colour", "owner_id"]
_ids = st.sampled_from([str(n) for n in range(6)])


@st.composite
def _value(draw: st.DrawFn, name: str, *, null: bool = True) -> str:
    if name == "id":
        return draw(_ids)
    values, nullable = _FIELDS[name]
    if nullable and null and draw(st.integers(0, 3)) == 0:
        return "None"
    return draw(values)


@st.composite
def _thing(draw: st.DrawFn, id: str | None = None, owners: int = 4) -> str:
    names = draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=9, unique=True))
    given = {"id": id or draw(_ids), "n": draw(_value("n"))} | {n: draw(_value(n)) for n in names}
    if "owner_id" in given:
        given["owner_id"] = f"ID[{draw(st.integers(0, owners - 1))}]" if owners else "None"
    return f"Thing({', '.join(f'{k}={v}' for k, v in given.items())})"


@st.composite
def _owner(draw: st.DrawFn) -> str:
    name = draw(_of(["ann", "bob", "Bob", "cy"]))
    code = draw(st.one_of(st.just("None"), _of(["x", "X", "ß", "SS", "ss"])))
    score = draw(st.one_of(st.just("None"), _of([0, 5, -3])))
    at = "datetime(2024, 1, 1, tzinfo=UTC)"
    return f"Owner(id={draw(_owners)}, name={name}, code={code}, score={score}, created_at={at}, updated_at={at})"


@st.composite
def _note(draw: st.DrawFn) -> str:
    return f"Note(id={draw(_ids)}, thing_id={draw(_ids)}, text={draw(_of(_TEXTS[:6]))})"


@st.composite
def _seal(draw: st.DrawFn) -> str:
    return f"Seal(id={draw(_ids)}, note_id={draw(st.one_of(st.just('None'), _ids))})"


_ENTITIES = {"Thing": _thing(), "Owner": _owner(), "Note": _note(), "Seal": _seal()}


# -- filters, orders, changes ------------------------------------------------------------------------------------------


@st.composite
def _leaf(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 12))
    if kind <= 3:
        name = draw(st.sampled_from(_ORDERED))
        op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
        return f"(Thing.{name} {op} {draw(_value(name, null=op in {'==', '!='}))})"
    if kind == 4:
        name = draw(st.sampled_from(_EQUAL_ONLY))
        return f"(Thing.{name} {draw(st.sampled_from(['==', '!=']))} {draw(_value(name))})"
    if kind == 5:
        name = draw(st.sampled_from(_ORDERED + _EQUAL_ONLY))
        values = draw(st.lists(_value(name), max_size=3))
        return f"Thing.{name}.{draw(st.sampled_from(['in_', 'not_in']))}([{', '.join(values)}])"
    if kind == 6:
        name = draw(st.sampled_from(["s", "t"]))
        method = draw(st.sampled_from(["contains", "starts_with"]))
        return f"Thing.{name}.{method}({draw(_texts)})"
    if kind == 7:
        if draw(st.booleans()):
            return f"Thing.tags.has({draw(_of(_TEXTS[:7]))})"
        return f"Thing.nums.has({draw(_of([0, 1, 2, 2**53 + 1]))})"
    if kind == 8:
        name = draw(st.sampled_from(["a", "b"]))
        op = draw(st.sampled_from(["==", "!=", "<", ">="]))
        value = draw(
            _of([True, False, 0, 1, 1.0, 1.5, "1", "a", ""] + ([None] if op in {"==", "!="} else []))
        )
        return f"(Thing.extra[{name!r}] {op} {value})"
    if kind == 9:
        name, values = draw(
            st.sampled_from(
                [("city", ["None", "'a'", "''"]), ("floor", ["0", "1"]), ("rent", ["None", "Decimal('1')"])]
            )
        )
        op = draw(st.sampled_from(["==", "!="]))
        if name == "floor":
            op = draw(st.sampled_from(["==", "!=", "<", ">="]))
        return f"(via(Thing.place, Place.{name}) {op} {draw(st.sampled_from(values))})"
    if kind == 10:
        if draw(st.booleans()):
            return f"(Thing.place {draw(st.sampled_from(['==', '!=']))} {draw(st.one_of(st.just('None'), _places))})"
        name = draw(st.sampled_from(sorted(set(_FIELDS) - {"tags", "extra"})))
        return f"Thing.{name}.is_null()"
    if kind == 11:
        op = draw(st.sampled_from(["==", "!=", "<", ">="]))
        if draw(st.booleans()):
            return f"(via(Thing.owner_id, Owner.score) {op} {draw(_of([0, 5, -3]))})"
        return f"(via(Thing.owner_id, Owner.name) {op} {draw(_of(['ann', 'Bob', 'cy']))})"
    inner = draw(st.one_of(st.just(""), _of(_TEXTS[:6]).map(lambda v: f", Note.text != {v}")))
    return f"any_related(Note.thing_id{inner})"


_filters: st.SearchStrategy[str] = st.recursive(
    _leaf(),
    lambda inner: st.one_of(
        st.builds("~{}".format, inner.map(lambda f: f"({f})")),
        st.builds("({} & {})".format, inner, inner),
        st.builds("({} | {})".format, inner, inner),
    ),
    max_leaves=4,
)


@st.composite
def _order(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        return ""
    places = [f"Thing.{n}" for n in [*_ORDERED, "b"]]
    places += [
        "via(Thing.place, Place.city)",
        "via(Thing.place, Place.rent)",
        "via(Thing.owner_id, Owner.score)",
    ]
    chosen = draw(st.lists(st.sampled_from(places), min_size=1, max_size=3, unique=True))
    keys = [f"{c}.{draw(st.sampled_from(['asc', 'desc']))}()" for c in chosen]
    return f"order_by=[{', '.join(keys)}]"


@st.composite
def _change(draw: st.DrawFn, name: str) -> str:
    kind = draw(st.integers(0, 2))
    if name in {"n", "m"} and kind == 0:
        op = draw(st.sampled_from(["+", "-", "*"]))
        return f"Thing.{name}.set(Thing.{name} {op} {draw(_of([1, 2, -1, 2**62]))})"
    if name == "n" and kind == 1:
        return "Thing.n.set(Thing.n + Thing.n)"
    if name == "d" and kind == 0:
        return f"Thing.d.set(Thing.d {draw(st.sampled_from(['+', '-']))} {draw(_decimals)})"
    if name == "d" and kind == 1:
        return f"Thing.d.set(Thing.d * {draw(_of([2, -1, 1000]))})"
    if name == "f" and kind == 0:
        return f"Thing.f.set(Thing.f * {draw(_of([2.0, 1e300]))})"
    if name == "tags" and kind:
        return f"Thing.tags.{draw(st.sampled_from(['append', 'remove']))}({draw(_of(_TEXTS[:7]))})"
    if name == "nums" and kind:
        return f"Thing.nums.{draw(st.sampled_from(['append', 'remove']))}({draw(_of([0, 1, 2]))})"
    return f"Thing.{name}.set({draw(_value(name))})"


@st.composite
def _changes(draw: st.DrawFn, *, many: bool = False) -> str:
    # In bulk no unique key may change.
    names = sorted(set(_FIELDS) - ({"s", "m"} if many else set()))
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    return ", ".join(draw(_change(name)) for name in chosen)


# -- statements --------------------------------------------------------------------------------------------------------


def _arguments(*parts: str) -> str:
    return ", ".join(p for p in parts if p)


@st.composite
def _read(draw: st.DrawFn, root: str) -> str:
    things = f"{root}.store(Thing)"
    where = draw(st.one_of(st.just(""), _filters))
    order = draw(_order())
    into = draw(st.sampled_from(["", "", "into=ThingWithNotes", "into=ThingLine"]))
    kind = draw(st.integers(0, 10))
    if kind == 0:
        return f"{things}.get({_arguments(draw(_ids), into)})"
    if kind == 1:
        return f"{things}.find_one({_arguments(where, order, into)})"
    if kind <= 3:
        limit = draw(st.sampled_from(["", "limit=2", "limit=0", "limit=3, offset=1"]))
        return f"{things}.find({_arguments(where, order, limit, into)})"
    if kind <= 5:
        total = draw(st.sampled_from(["", "total=True"]))
        size = draw(st.sampled_from([1, 2]))
        return f"walk({things}, {_arguments(where, order, f'limit={size}', total, into)})"
    if kind == 6:
        return f"list({things}.iterate({_arguments(where, order, 'batch=2', into)}))"
    if kind == 7:
        return f"{things}.{draw(st.sampled_from(['count', 'exists']))}({where})"
    if kind == 8:
        group, having = draw(
            st.sampled_from(
                [
                    ("ByText", "having=(ByText.rows > 1) | (ByText.total < 0), order_by=ByText.total.desc()"),
                    ("ByText", "order_by=[ByText.least.desc(), ByText.colours.asc()]"),
                    ("ByText", ""),
                    ("ByOwner", "having=ByOwner.owner != 'ann'"),
                    ("ByDay", ""),
                    ("All", ""),
                    ("All", "having=All.money > Decimal('1.5')"),
                ]
            )
        )
        return f"{things}.group({_arguments(group, where, having)})"
    if kind == 9:
        return f"{root}.store(Note).find(order_by=[via(Note.thing_id, Thing.t).desc(), Note.text.asc()], into=NoteLine)"
    ids = draw(st.lists(_ids, max_size=3))
    return f"{things}.get_many([{', '.join(ids)}])"


@st.composite
def _write(draw: st.DrawFn, root: str) -> str:
    things = f"{root}.store(Thing)"
    kind = draw(st.integers(0, 13))
    if kind <= 3:
        name = draw(st.sampled_from(["Thing", "Thing", "Owner", "Note", "Seal"]))
        return f"{root}.store({name}).create({draw(_ENTITIES[name])})"
    if kind == 4:
        rows = draw(st.lists(_ENTITIES["Thing"], max_size=4))
        return f"{things}.create_many([{', '.join(rows)}])"
    if kind <= 6:
        where = draw(st.one_of(st.just(""), _filters.map(lambda f: f"where={f}")))
        return f"{things}.update({_arguments(draw(_ids), draw(_changes()), where)})"
    if kind == 7:
        return f"{things}.update_many({draw(_filters)}, changes=[{draw(_changes(many=True))}])"
    if kind == 8:
        name = draw(st.sampled_from(["Thing", "Owner"]))
        return f"{root}.store({name}).replace({draw(_ENTITIES[name])})"
    if kind == 9:
        on, name = draw(
            st.sampled_from(
                [
                    ("(Thing.s, Thing.m)", "Thing"),
                    ("Owner.name", "Owner"),
                    ("Owner.code", "Owner"),
                    ("Thing.id", "Thing"),
                ]
            )
        )
        return f"{root}.store({name}).upsert({draw(_ENTITIES[name])}, on={on})"
    if kind <= 11:
        name = draw(st.sampled_from(["Thing", "Note", "Seal", "Owner"]))
        id = draw(_owners if name == "Owner" else _ids)
        return f"{root}.store({name}).delete({id})"
    if kind == 12:
        return f"{things}.delete_many({draw(_filters)})"
    if root == "tx":
        return f"{root}.store(Owner).update({draw(_owners)}, Owner.score.set(Owner.score + 1))"
    changes = draw(_change("colour"))
    return f"{things}.claim({draw(_own_filters())}, changes=[{changes}], order_by=Thing.n.desc(), limit=2)"


@st.composite
def _own_filters(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["n", "t", "colour", "w"]))
    return f"(Thing.{name} {draw(st.sampled_from(['==', '!=']))} {draw(_value(name))})"


@st.composite
def _block(draw: st.DrawFn) -> Block:
    read_only = draw(st.integers(0, 7)) == 0
    steps = st.one_of(_read("tx"), _write("tx"), _write("tx"))
    return Block(tuple(draw(st.lists(steps, min_size=1, max_size=4))), draw(st.booleans()), read_only)


@st.composite
def _start(draw: st.DrawFn) -> tuple[str, ...]:
    """Rows to begin with, few of which clash: an empty store has little to say."""
    at = "datetime(2024, 1, 1, tzinfo=UTC)"
    owners = [
        f"Owner(id=ID[{n}], name={name!r}, score={draw(_of([None, 0, 5]))}, created_at={at}, updated_at={at})"
        for n, name in enumerate(["ann", "bob", "Bob"][: draw(st.integers(0, 3))])
    ]
    things = [draw(_thing(str(n), len(owners))) for n in range(draw(st.integers(0, 5)))]
    parents = st.sampled_from(range(len(things) or 1))
    notes = [
        f"Note(id={n}, thing_id={draw(parents)}, text={draw(_of(_TEXTS[:6]))})"
        for n in range(draw(st.integers(0, 3)))
    ]
    made = [("Owner", owners), ("Thing", things), ("Note", notes)]
    return tuple(f"db.store({name}).create_many([{', '.join(rows)}])" for name, rows in made if rows)


def programs(max_size: int = 8) -> st.SearchStrategy[Program]:
    """Return the strategy of programs: rows to begin with, then reads, writes and transactions."""
    step = st.one_of(_read("db"), _read("db"), _write("db"), _block())
    return st.builds(_joined, _start(), st.lists(step, min_size=1, max_size=max_size))


def _joined(start: tuple[str, ...], then: list[str | Block]) -> Program:
    return (*start, *then)
