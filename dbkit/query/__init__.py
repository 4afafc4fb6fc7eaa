"""Query values: what a verb asks of a store, apart from how any store answers.

Every node computes two things when it is made:

* `shape`: nested tuples of ints and strings, equal for queries that compile to the same text;
* `binds`: the values, in the order in which the nodes stand.

A backend keeps compiled plans by shape. On a miss it compiles `query.slotted()`, the same query with every value
replaced by a `Slot` (its position in `binds`): a plan cannot depend on a value, and a compiler may repeat or reorder
nodes as it likes. On a hit it fills the slots and runs.

Nodes are made here and by `dbkit.fields`, checked and canonical; treat them as immutable.
"""

from .changes import Append, Arithmetic, Assign, Change, Constant, Expression, FieldValue, Remove
from .filters import (
    MAX_CONDITIONS,
    MAX_IN_VALUES,
    And,
    AnyRelated,
    Compare,
    Contains,
    Everything,
    Filter,
    Has,
    In,
    IsNull,
    Not,
    Nothing,
    Or,
    StartsWith,
    all_of,
    any_of,
    everything,
    json_class,
    prefix_successor,
    reaching,
)
from .orders import Order, is_row_comparable, seek
from .paths import Path, Shape, Slot, Take, size_class
from .verbs import (
    Claim,
    Count,
    DeleteMany,
    DeleteOne,
    Exists,
    Find,
    Get,
    GroupBy,
    Insert,
    Query,
    Reading,
    UpdateMany,
    UpdateOne,
    Upsert,
)

__all__ = [
    "MAX_CONDITIONS",
    "MAX_IN_VALUES",
    "And",
    "AnyRelated",
    "Append",
    "Arithmetic",
    "Assign",
    "Change",
    "Claim",
    "Compare",
    "Constant",
    "Contains",
    "Count",
    "DeleteMany",
    "DeleteOne",
    "Everything",
    "Exists",
    "Expression",
    "FieldValue",
    "Filter",
    "Find",
    "Get",
    "GroupBy",
    "Has",
    "In",
    "Insert",
    "IsNull",
    "Not",
    "Nothing",
    "Or",
    "Order",
    "Path",
    "Query",
    "Reading",
    "Remove",
    "Shape",
    "Slot",
    "StartsWith",
    "Take",
    "UpdateMany",
    "UpdateOne",
    "Upsert",
    "all_of",
    "any_of",
    "everything",
    "is_row_comparable",
    "json_class",
    "prefix_successor",
    "reaching",
    "seek",
    "size_class",
]
