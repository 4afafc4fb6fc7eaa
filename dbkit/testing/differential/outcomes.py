"""What a statement returned or raised, as text that is equal exactly when the outcomes are the same.

With types: Python has `True == 1 == 1.0`, so values are compared by how they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from pydantic import BaseModel

from dbkit.errors import DbkitError, DuplicateKey, OutOfRange, ReferenceViolation

__all__ = ["of_error", "of_value"]

_MANY = ("create_many", "update_many", "delete_many")


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _is_dict(value: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def of_value(value: Any) -> str:
    """Return *value* as text."""
    if isinstance(value, BaseModel):
        fields = ", ".join(f"{name}={of_value(v)}" for name, v in value.__dict__.items())
        return f"{type(value).__name__}({fields})"
    if _is_sequence(value):
        return f"[{', '.join(of_value(v) for v in value)}]"
    if _is_dict(value):
        if value and not all(isinstance(key, str) for key in value):
            return "{" + ", ".join(f"{key!r}: {of_value(v)}" for key, v in value.items()) + "}"
        return _json(value)
    return repr(value)


def _json(value: Any) -> str:
    """SEMANTICS §1, dict: neither the order of keys nor int or float inside a dict is promised."""
    if _is_dict(value):
        return "{" + ", ".join(f"{key!r}: {_json(value[key])}" for key in sorted(value)) + "}"
    if _is_sequence(value):
        return f"[{', '.join(_json(v) for v in value)}]"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def of_error(error: Exception, statement: str) -> str:
    """Return the error as text: its class, and the entity that it is about."""
    if not isinstance(error, DbkitError):
        return f"raised {type(error).__name__}"
    kind = type(error).__name__
    # SEMANTICS §4: of several errors across rows either may be reported.
    if isinstance(error, DuplicateKey | ReferenceViolation | OutOfRange) and any(
        m in statement for m in _MANY
    ):
        kind = "one of DuplicateKey, ReferenceViolation, OutOfRange"
    return f"raised {kind} ({error.operation} {error.entity})"
