"""What pipelines are taken to give."""

import datetime as dt
from typing import Any

import pytest
from bson import Decimal128, Int64
from pymongo.database import Database

from .conftest import Doc

UTC = dt.UTC
COUNT: Doc = {"$group": {"_id": None, "n": {"$sum": 1}}}
JOIN: Doc = {"from": "users", "localField": "user_id", "foreignField": "_id", "as": "user"}


@pytest.fixture
def blog(db: Database[Doc]) -> Database[Doc]:
    db.users.insert_many([{"_id": i, "name": f"u{i}"} for i in range(3)])
    rows: list[Doc] = [{"_id": i, "user_id": i % 2, "t": Int64(i)} for i in range(6)]
    db.posts.insert_many(
        [*rows, {"_id": 6, "user_id": None, "t": None}, {"_id": 7, "user_id": 99, "t": Int64(7)}]
    )
    return db


def test_a_relation_with_order_and_limit_is_one_lookup(blog: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/lookup (localField, foreignField and pipeline: 5.0)"""
    newest: list[Doc] = [{"$sort": {"t": -1, "_id": -1}}, {"$limit": 2}, {"$project": {"t": 1}}]
    join = {
        "from": "posts",
        "localField": "_id",
        "foreignField": "user_id",
        "pipeline": newest,
        "as": "posts",
    }
    rows = list(blog.users.aggregate([{"$sort": {"_id": 1}}, {"$lookup": join}]))
    assert [[p["_id"] for p in row["posts"]] for row in rows] == [[4, 2], [5, 3], []]


def test_a_missing_parent_reads_as_null_after_unwind(blog: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/unwind (preserveNullAndEmptyArrays); matching the array itself is not tried"""
    unwind = {"path": "$user", "preserveNullAndEmptyArrays": True}
    joined: list[Doc] = [{"$lookup": JOIN}, {"$unwind": unwind}, {"$sort": {"_id": 1}}]
    assert [d["_id"] for d in blog.posts.aggregate([*joined, {"$match": {"user.name": None}}])] == [6, 7]
    assert [d["_id"] for d in blog.posts.aggregate([*joined, {"$match": {"user.name": "u1"}}])] == [1, 3, 5]


def test_the_first_of_a_lookup_is_taken_in_two_steps(blog: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/first-array-element. The surrogate reads `{$first: "$user.name"}` as null."""
    first: list[Doc] = [{"$lookup": JOIN}, {"$set": {"user": {"$ifNull": [{"$first": "$user"}, None]}}}]
    [row] = blog.posts.aggregate([{"$match": {"_id": 3}}, *first, {"$set": {"name": "$user.name"}}])
    assert row["name"] == "u1"
    [row] = blog.posts.aggregate(
        [{"$match": {"_id": 7}}, *first, {"$set": {"name": {"$ifNull": ["$user.name", None]}}}]
    )
    assert (row["user"], row["name"]) == (None, None)


def test_any_related_is_a_lookup_limited_to_one(blog: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/lookup"""
    some: list[Doc] = [{"$match": {"t": {"$gt": 4}}}, {"$limit": 1}, {"$project": {"_id": 1}}]
    join = {"from": "posts", "localField": "_id", "foreignField": "user_id", "pipeline": some, "as": "some"}
    assert [
        d["_id"] for d in blog.users.aggregate([{"$lookup": join}, {"$match": {"some": {"$ne": []}}}])
    ] == [1]


def test_grouping_nothing_gives_no_row(blog: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/group: "exactly one row" is the client's work"""
    assert list(blog.posts.aggregate([{"$match": {"_id": -1}}, COUNT])) == []


@pytest.mark.real_mongod
def test_counting_nothing_gives_no_row(blog: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/count. The surrogate gives 0, so $group is used instead."""
    assert list(blog.posts.aggregate([{"$match": {"_id": -1}}, {"$count": "n"}])) == []


def test_counts_of_several_collections_are_one_round_trip(blog: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/unionWith. Outside transactions; $group, as the surrogate has no inner $count."""
    pipeline: list[Doc] = [COUNT, {"$set": {"_id": "users"}}]
    pipeline += [
        {"$unionWith": {"coll": name, "pipeline": [COUNT, {"$set": {"_id": name}}]}}
        for name in ("posts", "absent")
    ]
    assert {d["_id"]: d["n"] for d in blog.users.aggregate(pipeline)} == {"users": 3, "posts": 8}


def test_sums_of_long_and_decimal_are_exact(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/sum, reference/operator/aggregation/toDecimal; Decimal128 has 34 digits"""
    big = 999_999_999_999_999_999
    db.a.insert_many([{"n": Int64(big), "d": Decimal128("9999999999999999.99")} for _ in range(30)])
    total = {"_id": None, "n": {"$sum": {"$toDecimal": "$n"}}, "d": {"$sum": "$d"}}
    [row] = db.a.aggregate([{"$group": total}])
    assert int(row["n"].to_decimal()) == 30 * big
    assert str(row["d"]) == "299999999999999999.70"


@pytest.mark.real_mongod
def test_a_sum_of_longs_overflows_into_a_double(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/sum (result data type). Why sums go through $toDecimal."""
    db.a.insert_many([{"n": Int64(2**62)} for _ in range(4)])
    [row] = db.a.aggregate([{"$group": {"_id": None, "n": {"$sum": "$n"}}}])
    assert isinstance(row["n"], float)


def test_aggregates_ignore_null(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/min, max, avg, sum"""
    db.a.insert_many([{"k": 1, "v": None}, {"k": 2, "v": None}, {"k": 2, "v": Decimal128("1.5")}, {"k": 2}])
    accumulators: Doc = {name: {f"${name}": "$v"} for name in ("sum", "avg", "min", "max")}
    accumulators["distinct"] = {"$addToSet": {"$ifNull": ["$v", "$$REMOVE"]}}
    group: list[Doc] = [
        {"$group": {"_id": "$k", **accumulators}},
        {"$set": {"distinct": {"$size": "$distinct"}}},
    ]
    one, two = db.a.aggregate([*group, {"$sort": {"_id": 1}}])
    assert one == {"_id": 1, "sum": 0, "avg": None, "min": None, "max": None, "distinct": 0}
    value = Decimal128("1.5")
    assert two == {"_id": 2, "sum": value, "avg": value, "min": value, "max": value, "distinct": 1}


def test_null_and_missing_keys_are_one_group_by_if_null(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/group, ifNull"""
    db.a.insert_many([{"k": None}, {}, {"k": Int64(1)}])
    pipeline: list[Doc] = [
        {"$group": {"_id": {"k": {"$ifNull": ["$k", None]}}, "n": {"$sum": 1}}},
        {"$match": {"n": {"$gt": 0}}},
        {"$sort": {"n": -1, "_id.k": 1}},
        {"$project": {"_id": 0, "k": "$_id.k", "n": 1}},
    ]
    assert list(db.a.aggregate(pipeline)) == [{"k": None, "n": 2}, {"k": 1, "n": 1}]


@pytest.mark.parametrize("year", [1, 1582, 1900, 1969, 1970, 2024, 9999])
def test_periods_start_in_utc_in_every_year(db: Database[Doc], year: int) -> None:
    """manual: reference/operator/aggregation/dateTrunc (UTC unless told)"""
    db.a.insert_one({"_id": 1, "d": dt.datetime(year, 7, 15, 12, 30, 1, 999000, tzinfo=UTC)})
    parts: Doc = {unit: {"$dateTrunc": {"date": "$d", "unit": unit}} for unit in ("year", "month", "day")}
    [row] = db.a.aggregate([{"$project": parts}])
    assert row["year"] == dt.datetime(year, 1, 1, tzinfo=UTC)
    assert row["month"] == dt.datetime(year, 7, 1, tzinfo=UTC)
    assert row["day"] == dt.datetime(year, 7, 15, tzinfo=UTC)


def test_truncating_null_is_null(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/dateTrunc"""
    db.a.insert_one({"_id": 1, "d": None})
    assert list(db.a.aggregate([{"$project": {"m": {"$dateTrunc": {"date": "$d", "unit": "month"}}}}])) == [
        {"_id": 1, "m": None}
    ]


def test_a_literal_is_never_a_path_or_an_expression(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/literal"""
    db.a.insert_one({"_id": 1, "name": "ada"})
    values: list[Any] = ["$name", "$$ROOT", {"$add": [1, 2]}]
    for value in values:
        [row] = db.a.aggregate([{"$project": {"v": {"$literal": value}}}])
        assert row["v"] == value
