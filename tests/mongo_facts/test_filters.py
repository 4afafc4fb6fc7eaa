"""What filters and orders are taken to match and give."""

import datetime as dt
import re
import uuid
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64
from pymongo.database import Database
from pymongo.errors import OperationFailure

from .conftest import Doc

UTC = dt.UTC
NULLS: list[Doc] = [
    {"_id": 1, "f": None},
    {"_id": 2},
    {"_id": 3, "f": 5},
    {"_id": 4, "f": 6},
    {"_id": 5, "f": "s"},
]


def ids(db: Database[Doc], query: Doc) -> list[Any]:
    return [d["_id"] for d in db.a.find(query).sort("_id", 1)]


NULL_SEMANTICS: list[tuple[Doc, list[int]]] = [
    ({"f": None}, [1, 2]),
    ({"f": {"$ne": None}}, [3, 4, 5]),
    ({"f": {"$in": [None, 5]}}, [1, 2, 3]),
    ({"f": {"$nin": [5]}}, [1, 2, 4, 5]),
    ({"f": {"$gt": 5}}, [4]),
    ({"$nor": [{"f": {"$gt": 5}}]}, [1, 2, 3, 5]),
    ({"$nor": [{"f": None}]}, [3, 4, 5]),
    ({"$nor": [{"$and": [{"f": {"$gt": 4}}, {"_id": {"$lt": 4}}]}]}, [1, 2, 4, 5]),
    ({"f": {"$lt": "t"}}, [5]),
    ({"_id": {"$in": []}}, []),
    ({"$nor": [{"_id": {"$in": []}}]}, [1, 2, 3, 4, 5]),
]


@pytest.mark.parametrize(("query", "found"), NULL_SEMANTICS)
def test_null_is_missing_and_nor_is_the_complement(db: Database[Doc], query: Doc, found: list[int]) -> None:
    """manual: tutorial/query-for-null-fields, reference/operator/query/nor, reference/bson-type-comparison-order"""
    db.a.insert_many(NULLS)
    assert ids(db, query) == found


@pytest.mark.parametrize("operator", ["$or", "$and", "$nor"])
def test_empty_boolean_lists_are_refused(db: Database[Doc], operator: str) -> None:
    """manual: reference/operator/query/or"""
    with pytest.raises(OperationFailure) as caught:
        ids(db, {operator: []})
    assert caught.value.code == 2


def test_a_nested_path_reads_a_null_or_missing_parent_as_null(db: Database[Doc]) -> None:
    """manual: tutorial/query-embedded-documents, tutorial/query-for-null-fields"""
    db.a.insert_many(
        [{"_id": 1, "a": {"c": "x"}}, {"_id": 2, "a": {"c": None}}, {"_id": 3, "a": None}, {"_id": 4}]
    )
    assert ids(db, {"a.c": "x"}) == [1]
    assert ids(db, {"a.c": None}) == [2, 3, 4]


def test_has_compares_scalar_elements_by_type(db: Database[Doc]) -> None:
    """manual: reference/operator/query/elemMatch, reference/bson-type-comparison-order"""
    values: list[Any] = [["a"], [True], [Int64(1)], [1.0], [[1]], [None], [], None, "a"]
    db.a.insert_many([{"_id": i, "l": v} for i, v in enumerate(values)])
    found = {
        "a": [0],
        True: [1],
        None: [5],
    }
    for value, expected in found.items():
        assert ids(db, {"l": {"$elemMatch": {"$eq": value}}}) == expected
    assert ids(db, {"l": {"$elemMatch": {"$eq": Int64(1)}}}) == [2, 3]
    assert ids(db, {"l": {"$elemMatch": {"$eq": Int64(1), "$type": "long"}}}) == [2]
    assert ids(db, {"$nor": [{"l": {"$elemMatch": {"$eq": "a"}}}]}) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_dicts_path_reaches_into_arrays(db: Database[Doc]) -> None:
    """manual: tutorial/query-arrays: so a typed path also says that the value is no array, nor in one"""
    values: list[Any] = [{"k": 1}, {"k": 1.0}, {"k": True}, {"k": [1]}, [{"k": 1}], {"k": "1"}]
    db.a.insert_many([{"_id": i, "x": v} for i, v in enumerate(values)])
    assert ids(db, {"x.k": 1}) == [0, 1, 3, 4]
    assert ids(db, {"x.k": True}) == [2]
    guard = {"$nor": [{"x": {"$type": "array"}}, {"x.k": {"$type": "array"}}]}
    assert ids(db, {"x.k": 1, **guard}) == [0, 1]


TEXTS = [
    "a",
    "A",
    "é",
    "e\u0301",
    "\uffff",
    "\U0001f600",
    "\ue000",
    "",
    "a.b",
    "a*b",
    "aXb",
    "line\nbreak",
    "ß",
    "ss",
    "Z",
    "ab",
]


def test_text_is_ordered_by_code_point(db: Database[Doc]) -> None:
    """manual: reference/bson-type-comparison-order (strings: binary comparison)"""
    db.a.insert_many([{"_id": i, "s": s} for i, s in enumerate(TEXTS)])
    assert [d["s"] for d in db.a.find().sort("s", 1)] == sorted(TEXTS)
    assert [d["s"] for d in db.a.find({"s": {"$gt": "\uffff"}})] == ["\U0001f600"]
    db.a.create_index("s")
    assert [d["s"] for d in db.a.find({"s": {"$gte": ""}}).sort("s", 1)] == sorted(TEXTS)
    assert sorted(d["s"] for d in db.a.find({"s": {"$gte": "a", "$lt": "b"}})) == [
        "a",
        "a*b",
        "a.b",
        "aXb",
        "ab",
    ]


ESCAPED = re.compile(r"[\\^$.|?*+()\[\]{}]")


def escape(needle: str) -> str:
    return ESCAPED.sub(lambda found: "\\" + found[0], needle)


@pytest.mark.parametrize(
    "needle", ["a.b", "a*b", "\n", "\nbreak", "é", "\u0301", "\U0001f600", "\uffff", "", "ß", "A"]
)
def test_an_escaped_regex_contains_by_code_point(db: Database[Doc], needle: str) -> None:
    """manual: reference/operator/query/regex"""
    db.a.insert_many([{"_id": i, "s": s} for i, s in enumerate(TEXTS)] + [{"_id": 99, "s": None}])
    found = sorted(d["s"] for d in db.a.find({"s": {"$regex": escape(needle)}}))
    assert found == sorted(s for s in TEXTS if needle in s)


def test_every_ascii_character_is_found_by_its_escape(db: Database[Doc]) -> None:
    """manual: reference/operator/query/regex (PCRE2: a backslash before a non-alphanumeric is literal)"""
    every = "".join(map(chr, range(1, 128)))
    db.a.insert_many([{"_id": 1, "s": every}, {"_id": 2, "s": "é"}])
    assert ids(db, {"$and": [{"s": {"$regex": escape(c)}} for c in every]}) == [1]
    assert ids(db, {"$or": [{"s": {"$regex": escape(c)}} for c in every]}) == [1]


def test_a_long_needle_is_found_without_a_regex(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/indexOfBytes. Escaping doubles a needle, and patterns have a limit."""
    needle = "." * 1000
    db.a.insert_many(
        [{"_id": 1, "s": f"a{needle}"}, {"_id": 2, "s": "a" * 1001}, {"_id": 3, "s": None}, {"_id": 4}]
    )
    contains = {"$expr": {"$gte": [{"$indexOfBytes": ["$s", {"$literal": needle}]}, 0]}}
    assert ids(db, contains) == [1]
    assert ids(db, {"$nor": [contains]}) == [2, 3, 4]


@pytest.mark.real_mongod
def test_a_regex_takes_two_thousand_characters(db: Database[Doc]) -> None:
    """manual: reference/operator/query/regex (pattern length). The surrogate stops at 1,000."""
    db.a.insert_one({"_id": 1, "s": "." * 1000})
    assert ids(db, {"s": {"$regex": escape("." * 1000)}}) == [1]


def test_decimals_are_compared_by_value(db: Database[Doc]) -> None:
    """manual: reference/bson-type-comparison-order (numeric types)"""
    texts = ["-1E+3", "-5", "0", "1E-6", "0.10", "9.99", "10", "1E+17", "999999999999999999"]
    db.a.insert_many([{"_id": i, "d": Decimal128(t)} for i, t in enumerate(texts)])
    assert [d["_id"] for d in db.a.find().sort("d", 1)] == list(range(len(texts)))
    assert ids(db, {"d": Decimal128("0.100")}) == [4]
    assert ids(db, {"d": {"$gte": Int64(10)}}) == [6, 7, 8]
    assert ids(db, {"d": {"$in": [Decimal128("10.00"), Decimal128("-5.0")]}}) == [1, 6]


def test_large_ints_are_not_compared_as_doubles(db: Database[Doc]) -> None:
    """manual: reference/bson-type-comparison-order (numeric types)"""
    values = [Int64(-(2**63)), Int64(2**53), Int64(2**53 + 1), Int64(2**63 - 1), float(2**63)]
    db.a.insert_many([{"_id": i, "n": v} for i, v in enumerate(values)])
    assert ids(db, {"n": Int64(2**53 + 1)}) == [2]
    assert ids(db, {"n": {"$gt": float(2**53)}}) == [2, 3, 4]
    assert ids(db, {"n": {"$lt": float(2**63)}}) == [0, 1, 2, 3]
    assert [d["_id"] for d in db.a.find().sort("n", -1)] == [4, 3, 2, 1, 0]


def test_uuids_are_ordered_as_unsigned_bytes(db: Database[Doc]) -> None:
    """manual: reference/bson-type-comparison-order (BinData: length, subtype, bytes)"""
    values = [uuid.UUID(int=i) for i in (0, 1, 2**64, 0x7F << 120, 0x80 << 120, 2**128 - 1)]
    db.a.insert_many([{"_id": Binary.from_uuid(u)} for u in reversed(values)])
    assert [d["_id"].as_uuid() for d in db.a.find().sort("_id", 1)] == values
    assert ids(db, {"_id": {"$gt": Binary.from_uuid(values[3])}}) == [Binary.from_uuid(u) for u in values[4:]]


def test_dates_before_1970_are_ordered(db: Database[Doc]) -> None:
    """manual: reference/bson-type-comparison-order (dates: signed)"""
    years = [1, 1500, 1969, 1970, 2020, 9999]
    db.a.insert_many([{"_id": y, "d": dt.datetime(y, 1, 1, tzinfo=UTC)} for y in years])
    assert ids(db, {"d": {"$lt": dt.datetime(1970, 1, 1, tzinfo=UTC)}}) == [1, 1500, 1969]


@pytest.mark.parametrize("indexed", [False, True])
def test_null_sorts_first_like_missing(db: Database[Doc], indexed: bool) -> None:
    """manual: reference/bson-type-comparison-order (null before numbers), reference/method/cursor.sort (missing)"""
    db.a.insert_many(NULLS[:4])
    if indexed:
        db.a.create_index([("f", 1), ("_id", 1)])
    assert [d["_id"] for d in db.a.find().sort([("f", 1), ("_id", 1)])] == [1, 2, 3, 4]
    assert [d["_id"] for d in db.a.find().sort([("f", -1), ("_id", -1)])] == [4, 3, 2, 1]
    assert [d["_id"] for d in db.a.aggregate([{"$sort": {"f": 1, "_id": 1}}])] == [1, 2, 3, 4]


def test_a_page_after_a_cursor_is_a_top_level_or(db: Database[Doc]) -> None:
    """manual: reference/operator/query/or ($or and sort)"""
    db.a.insert_many([{"_id": i, "x": i // 3} for i in range(10)])
    after = {"$or": [{"x": {"$gt": 1}, "_id": {"$ne": 8}}, {"x": 1, "_id": {"$gt": 4, "$ne": 8}}]}
    page = db.a.find(after).sort([("x", 1), ("_id", 1)]).limit(3)
    assert [d["_id"] for d in page] == [5, 6, 7]
