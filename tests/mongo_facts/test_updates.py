"""What updates are taken to do: arithmetic, lists, odd keys, sizes, upserts."""

from typing import Any

import pytest
from bson import DBRef, Decimal128, Int64
from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError, OperationFailure, WriteError

from .conftest import Doc

MAX = 2**63 - 1
TOO_LARGE = {10334, 17419, 17420}
ODD: Doc = {"$a": 1, "b.c": 2, "": 3, "$set": {"$e": [{"$f.g": 1}]}}


def put(db: Database[Doc], **fields: Any) -> None:
    db.a.replace_one({"_id": 1}, fields, upsert=True)


def changed(db: Database[Doc], update: Doc | list[Doc], **query: Any) -> Doc | None:
    row: Doc | None = db.a.find_one_and_update(
        {"_id": 1, **query}, update, return_document=ReturnDocument.AFTER
    )
    return row


def type_of(db: Database[Doc], field: str) -> Any:
    return next(iter(db.a.aggregate([{"$project": {"t": {"$type": f"${field}"}}}])))["t"]


@pytest.mark.parametrize("update", [{"$inc": {"n": Int64(1)}}, {"$mul": {"n": Int64(3)}}])
def test_classic_arithmetic_refuses_overflow(db: Database[Doc], update: Doc) -> None:
    """manual: reference/operator/update/inc, mul; the row is unchanged"""
    put(db, n=Int64(MAX))
    with pytest.raises(WriteError) as caught:
        db.a.update_one({"_id": 1}, update)
    assert caught.value.code == 2
    assert db.a.find_one() == {"_id": 1, "n": MAX}


def test_pipeline_arithmetic_overflows_into_a_double(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/add. Why the range stands in the filter."""
    put(db, n=Int64(MAX))
    changed(db, [{"$set": {"n": {"$add": ["$n", Int64(1)]}}}])
    assert type_of(db, "n") == "double"


@pytest.mark.parametrize(("start", "matches"), [(MAX, False), (MAX - 1, True), (-5, True)])
def test_a_range_in_the_filter_is_exact_by_decimal(db: Database[Doc], start: int, matches: bool) -> None:
    """manual: reference/operator/query/expr, reference/operator/aggregation/let, toDecimal"""
    put(db, n=Int64(start))
    value = {"$add": [{"$toDecimal": "$n"}, Decimal128("1")]}
    within = {"$and": [{"$gte": ["$$v", Int64(-(2**63))]}, {"$lte": ["$$v", Int64(MAX)]}]}
    row = changed(
        db,
        [{"$set": {"n": {"$add": ["$n", Int64(1)]}}}],
        **{"$expr": {"$let": {"vars": {"v": value}, "in": within}}},
    )
    assert row == ({"_id": 1, "n": start + 1} if matches else None)
    assert type_of(db, "n") == "long"


def test_all_expressions_of_a_pipeline_read_the_old_row(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/set (one stage: all of it from its input)"""
    put(db, n=Int64(3), m=Int64(10))
    assert changed(db, [{"$set": {"n": {"$subtract": ["$m", "$n"]}, "m": "$n"}}]) == {
        "_id": 1,
        "n": 7,
        "m": 3,
    }


def test_decimals_keep_their_places(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/add, multiply; core/shell-types (Decimal128)"""
    put(db, d=Decimal128("1.15"))
    row = changed(db, [{"$set": {"d": {"$multiply": [{"$add": ["$d", Decimal128("0.10")]}, Int64(2)]}}}])
    assert row is not None
    assert str(row["d"]) == "2.50"


def test_a_decimal_zero_can_come_back_negative(db: Database[Doc]) -> None:
    """IEEE 754-2008: 0.00 × −1 is −0.00, so reading normalizes zero"""
    put(db, d=Decimal128("0.00"))
    row = changed(db, [{"$set": {"d": {"$multiply": ["$d", Int64(-1)]}}}])
    assert row is not None
    assert row["d"].to_decimal() == 0
    assert row["d"].to_decimal().is_signed()


def test_arithmetic_with_null_is_null(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/add; $inc of a null is an error (14)"""
    put(db, n=None)
    assert changed(db, [{"$set": {"n": {"$add": ["$n", Int64(1)]}}}]) == {"_id": 1, "n": None}
    with pytest.raises(OperationFailure) as caught:
        changed(db, {"$inc": {"n": 1}})
    assert caught.value.code == 14


def test_append_and_remove(db: Database[Doc]) -> None:
    """manual: reference/operator/update/push, pull; reference/operator/aggregation/concatArrays, filter"""
    put(db, tags=["a", "b", "a"])
    assert changed(db, {"$push": {"tags": {"$each": ["$x"]}}}) == {"_id": 1, "tags": ["a", "b", "a", "$x"]}
    assert changed(db, {"$pull": {"tags": "a"}}) == {"_id": 1, "tags": ["b", "$x"]}
    assert changed(db, [{"$set": {"tags": {"$concatArrays": ["$tags", {"$literal": ["$y"]}]}}}]) == {
        "_id": 1,
        "tags": ["b", "$x", "$y"],
    }
    keep = {"$filter": {"input": "$tags", "cond": {"$ne": ["$$this", {"$literal": "$x"}]}}}
    assert changed(db, [{"$set": {"tags": keep}}]) == {"_id": 1, "tags": ["b", "$y"]}


def test_appending_to_null_is_an_error(db: Database[Doc]) -> None:
    """manual: reference/operator/update/push; in a pipeline, $concatArrays with null is null"""
    put(db, tags=None)
    with pytest.raises(WriteError) as caught:
        db.a.update_one({}, {"$push": {"tags": "a"}})
    assert caught.value.code == 2


def test_a_nested_set_under_a_null_parent_is_an_error(db: Database[Doc]) -> None:
    """manual: reference/operator/update/set (28 PathNotViable)"""
    put(db, address={"zip": 1, "city": "a"})
    assert changed(db, {"$set": {"address.city": "b"}}) == {"_id": 1, "address": {"zip": 1, "city": "b"}}
    put(db, address=None)
    with pytest.raises(OperationFailure) as caught:
        changed(db, {"$set": {"address.city": "b"}})
    assert caught.value.code == 28


@pytest.mark.parametrize(
    "way", ["insert", "set", "replace", "literal", "replace_with", "find_one_and_replace"]
)
def test_odd_keys_are_stored_literally(db: Database[Doc], way: str) -> None:
    """manual: core/dot-dollar-considerations/dollar-prefix, core/dot-dollar-considerations/periods (nested: 5.0)"""
    row: Doc = {"_id": 1, "extra": ODD}
    if way != "insert":
        put(db, extra={"old": 1})
    if way == "insert":
        db.a.insert_one(row)
    elif way == "set":
        db.a.update_one({"_id": 1}, {"$set": {"extra": ODD}})
    elif way == "replace":
        db.a.replace_one({"_id": 1}, {"extra": ODD})
    elif way == "literal":
        db.a.update_one({"_id": 1}, [{"$set": {"extra": {"$literal": ODD}}}])
    elif way == "replace_with":
        db.a.update_one(
            {"_id": 1}, [{"$replaceWith": {"$mergeObjects": [{"$literal": row}, {"old": "$old"}]}}]
        )
    else:
        db.a.find_one_and_replace({"_id": 1}, {"extra": ODD})
    assert db.a.find_one() == row


@pytest.mark.real_mongod
def test_a_bare_object_in_a_pipeline_merges(db: Database[Doc]) -> None:
    """manual: reference/operator/aggregation/addFields (embedded fields): why values go in as $literal"""
    put(db, extra={"old": 1})
    assert changed(db, [{"$set": {"extra": {"new": 2}}}]) == {"_id": 1, "extra": {"old": 1, "new": 2}}


def test_the_driver_reads_ref_and_id_as_a_dbref(db: Database[Doc]) -> None:
    """manual: reference/database-references; bson.dbref: a dict field's reader turns it back"""
    put(db, extra={"$ref": "a", "$id": 1, "z": 2})
    row = db.a.find_one()
    assert row is not None
    assert isinstance(row["extra"], DBRef)
    assert dict(row["extra"].as_doc()) == {"$ref": "a", "$id": 1, "z": 2}


def test_matched_is_counted_apart_from_modified(db: Database[Doc]) -> None:
    """manual: reference/command/update (n, nModified)"""
    put(db, n=1)
    result = db.a.update_many({}, {"$set": {"n": 1}})
    assert (result.matched_count, result.modified_count) == (1, 0)


def test_one_path_twice_is_refused(db: Database[Doc]) -> None:
    """manual: reference/operator/update (40 ConflictingUpdateOperators)"""
    put(db, n=1)
    with pytest.raises(WriteError) as caught:
        db.a.update_one({}, {"$set": {"n": 1}, "$inc": {"n": 1}})
    assert caught.value.code == 40


def test_upsert_keeps_what_set_on_insert_made(db: Database[Doc]) -> None:
    """manual: reference/operator/update/setOnInsert, reference/method/db.collection.findOneAndUpdate"""
    db.a.create_index("k", unique=True)

    def upsert(row_id: int, name: str) -> Doc:
        row = db.a.find_one_and_update(
            {"k": "x"},
            {
                "$set": {"name": name},
                "$inc": {"version": Int64(1)},
                "$setOnInsert": {"_id": row_id, "made": row_id},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert row is not None
        return row

    assert upsert(1, "a") == {"_id": 1, "k": "x", "name": "a", "made": 1, "version": 1}
    assert upsert(2, "b") == {"_id": 1, "k": "x", "name": "b", "made": 1, "version": 2}
    db.a.create_index("name", unique=True)
    db.a.insert_one({"_id": 3, "k": "y", "name": "c"})
    with pytest.raises(DuplicateKeyError) as caught:
        upsert(4, "c")
    assert caught.value.details is not None
    assert caught.value.details["keyPattern"] == {"name": 1}


@pytest.mark.real_mongod
def test_expr_is_refused_in_an_upserts_filter(db: Database[Doc]) -> None:
    """manual: reference/operator/query/expr (behavior). The surrogate lets it pass."""
    with pytest.raises(OperationFailure):
        db.a.update_one({"_id": 1, "$expr": {"$gt": [1, 0]}}, {"$set": {"n": 1}}, upsert=True)


def test_the_id_is_immutable(db: Database[Doc]) -> None:
    """manual: core/document (66 ImmutableField)"""
    put(db)
    with pytest.raises(WriteError) as caught:
        db.a.update_one({}, {"$set": {"_id": 2}})
    assert caught.value.code == 66


def test_an_ordered_insert_stops_at_its_error(db: Database[Doc]) -> None:
    """manual: reference/method/db.collection.insertMany: outside a transaction what came before stays"""
    with pytest.raises(BulkWriteError) as caught:
        db.a.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}])
    assert caught.value.details["nInserted"] == 1
    assert [d["_id"] for d in db.a.find()] == [1]


def test_fifteen_mebibytes_are_stored_and_sixteen_refused(db: Database[Doc]) -> None:
    """manual: reference/limits (BSON document size). Insert: 2 with this text, or 10334; growth: 17419 or 10334."""
    db.a.insert_one({"_id": 1, "s": "x" * ((15 << 20) - 100)})
    with pytest.raises(WriteError) as inserted:
        db.a.insert_one({"_id": 2, "s": "x" * (16 << 20)})
    assert inserted.value.code in TOO_LARGE or "too large" in str(inserted.value)
    with pytest.raises(WriteError) as grown:
        db.a.update_one({"_id": 1}, {"$set": {"t": "y" * (2 << 20)}})
    assert grown.value.code in TOO_LARGE
    with pytest.raises(DocumentTooLarge):
        db.a.insert_one({"_id": 3, "s": "x" * (17 << 20)})
    assert db.a.find_one({}, {"_id": 1, "t": 1}) == {"_id": 1}


@pytest.mark.real_mongod
def test_growth_by_find_and_modify_has_a_code(db: Database[Doc]) -> None:
    """manual: reference/limits. The surrogate answers 1 InternalError."""
    db.a.insert_one({"_id": 1, "s": "x" * (15 << 20)})
    with pytest.raises(OperationFailure) as caught:
        changed(db, {"$set": {"t": "y" * (2 << 20)}})
    assert caught.value.code in TOO_LARGE


def test_sixty_four_levels_are_stored(db: Database[Doc]) -> None:
    """manual: reference/limits (nested depth: 100)"""
    value: Any = 1
    for _ in range(64):
        value = {"a": value}
    put(db, extra=value)
    assert db.a.find_one() == {"_id": 1, "extra": value}
