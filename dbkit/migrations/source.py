"""Python text of declarations: the classes that a drafted migration holds. Pure.

A migration's classes are frozen: they spell types out (a `Literal` in the place of an Enum, a nested model's own copy), so
that what the program's classes become later changes no history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel

from ..objectid import ObjectId
from ..spec import ModelSpec
from ..values import DEFAULT_TEXT_LENGTH, Kind, ValueType

__all__ = ["ClassText", "SourceFile", "is_declarable", "own_value", "zero"]

_NAMES: dict[Kind, tuple[str, str | None]] = {
    Kind.UUID: ("UUID", "uuid"),
    Kind.OBJECT_ID: ("ObjectId", "dbkit"),
    Kind.TEXT: ("str", None),
    Kind.INT: ("int", None),
    Kind.FLOAT: ("float", None),
    Kind.DECIMAL: ("Decimal", "decimal"),
    Kind.BOOL: ("bool", None),
    Kind.DATETIME: ("datetime", "datetime"),
    Kind.DATE: ("date", "datetime"),
    Kind.TIME: ("time", "datetime"),
    Kind.TIMEDELTA: ("timedelta", "datetime"),
    Kind.BYTES: ("bytes", None),
    Kind.JSON: ("Any", "typing"),
}


_IMPORTED = {
    *(name for name, _ in _NAMES.values()),
    *(
        "Annotated",
        "Embedded",
        "Entity",
        "Field",
        "Literal",
        "Mapped",
        "Migration",
        "Record",
        "Versioned",
        "field",
    ),
}
"""What a drafted class may not be called."""


def is_declarable(type: ValueType | None) -> bool:
    """Return whether a field can be declared with this type (a bare JSON value cannot)."""
    return type is not None and type.kind is not Kind.JSON


def zero(type: ValueType) -> Any:
    """Return a value that the type allows, for rows that have none: the emptiest one."""
    if type.nullable:
        return None
    if type.choices is not None:
        return type.choices[0]
    if type.kind.is_number:
        low, high = type.bounds
        nothing: Any = Decimal(0) if type.kind is Kind.DECIMAL else 0.0 if type.kind is Kind.FLOAT else 0
        return min(max(nothing, low), high)
    if type.kind is Kind.MODEL:
        assert type.model is not None
        return {f.name: zero(f.type) for f in type.model.fields}
    return _ZEROS[type.kind]()


def own_value(type: ValueType, id: ValueType, *, folds: bool = False) -> str | None:
    """Return the source of a function that makes a value of its own of each row, out of its id; None: none is known.

    *folds*: the values are unique without case.
    """
    if type.choices is not None:
        return None
    if type.kind is Kind.TEXT:
        longest = _LONGEST.get(id.kind)
        if id.kind is Kind.TEXT and not folds:
            longest = id.max_length or DEFAULT_TEXT_LENGTH
        if longest is None or (type.max_length is not None and type.max_length < longest):
            return None
        return "lambda row: row.id" if id.kind is Kind.TEXT else "lambda row: str(row.id)"
    if type.kind is not id.kind:
        return None
    if type.kind is Kind.INT:
        (low, high), (least, most) = type.bounds, id.bounds
        if least < low or high < most:
            return None
    return "lambda row: row.id"


_LONGEST = {Kind.UUID: 36, Kind.OBJECT_ID: 24, Kind.INT: 20}
"""How long the text of an id is at most."""
_ZEROS: dict[Kind, Callable[[], Any]] = {
    Kind.UUID: lambda: UUID(int=0),
    Kind.OBJECT_ID: lambda: ObjectId(bytes(12)),
    Kind.TEXT: str,
    Kind.BOOL: bool,
    Kind.DATETIME: lambda: datetime.fromisoformat("1970-01-01T00:00:00+00:00"),
    Kind.DATE: lambda: date(1970, 1, 1),
    Kind.TIME: time,
    Kind.TIMEDELTA: timedelta,
    Kind.BYTES: bytes,
    Kind.LIST: list,
    Kind.DICT: dict,
}


@dataclass
class ClassText:
    """A class to be written."""

    name: str
    bases: str
    keywords: list[str] = field(default_factory=list)
    """As they stand in the class line: `name="users"`."""
    fields: dict[str, str] = field(default_factory=dict)
    """By name: the annotation, and what is assigned."""
    comment: str | None = None

    def render(self) -> str:
        """Return its source."""
        line = f"class {self.name}({', '.join([self.bases, *self.keywords])}):"
        lines = [f"    {name}: {rest}" for name, rest in self.fields.items()]
        head = [f"# {self.comment}"] if self.comment else []
        return "\n".join([*head, line, *(lines or ["    pass"])])


class SourceFile:
    """A module that is being written: its imports, and its classes by name."""

    def __init__(self) -> None:
        self._imports: dict[str, set[str]] = {}
        self.classes: dict[str, ClassText] = {}
        self._models: dict[int, str] = {}
        self._taken = set(_IMPORTED)

    def need(self, module: str, *names: str) -> None:
        """Import *names*."""
        self._imports.setdefault(module, set()).update(names)

    def imports(self) -> str:
        """Return the import statements: the standard library's first."""
        groups: list[list[str]] = [[], [], []]
        for module in sorted(self._imports):
            where = 2 if module.startswith("dbkit") else 1 if module == "pydantic" else 0
            names = ", ".join(sorted(self._imports[module], key=lambda n: (not n[0].isupper(), n)))
            groups[where].append(f"from {module} import {names}")
        return "\n\n".join("\n".join(lines) for lines in groups if lines)

    def new_class(self, wanted: str) -> str:
        """Return a class name that is free yet, near to *wanted*."""
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}{number}", number + 1
        self._taken.add(name)
        return name

    # -- types ---------------------------------------------------------------------------------------------------------

    def declaration(self, type: ValueType, options: Iterable[str] = ()) -> str:
        """Return what stands behind a field's name: `Mapped[str] = field(max_length=9)`."""
        self.need("dbkit", "Mapped")
        said = [*options, *self._limits(type)]
        annotation = f"Mapped[{self.bare(type)}{' | None' * type.nullable}]"
        if not said:
            return annotation
        self.need("dbkit", "field")
        return f"{annotation} = field({', '.join(said)})"

    def bare(self, type: ValueType) -> str:
        """Return the annotation of a value that is not None, without its limits."""
        if type.choices is not None:
            self.need("typing", "Literal")
            return f"Literal[{', '.join(map(self.literal, type.choices))}]"
        if type.kind is Kind.LIST:
            assert type.element is not None
            return f"list[{self._inner(type.element)}]"
        if type.kind is Kind.DICT:
            assert type.element is not None
            return f"dict[str, {self._inner(type.element)}]"
        if type.kind is Kind.MODEL:
            assert type.model is not None
            return self.model(type.model)
        name, module = _NAMES[type.kind]
        if module is not None:
            self.need(module, name)
        return name

    def _inner(self, type: ValueType) -> str:
        if type.kind is Kind.JSON:
            self.need("typing", "Any")
            return "Any"
        bare, limits = self.bare(type), self._limits(type)
        if limits:
            self.need("typing", "Annotated")
            self.need("pydantic", "Field")
            bare = f"Annotated[{bare}, Field({', '.join(limits)})]"
        return f"{bare} | None" if type.nullable else bare

    def _limits(self, type: ValueType) -> list[str]:
        if type.choices is not None:
            return []
        said: list[str] = []
        if type.max_length is not None:
            said.append(f"max_length={type.max_length}")
        if type.kind is Kind.DECIMAL:
            said += [f"max_digits={type.max_digits}", f"decimal_places={type.decimal_places}"]
        for name in ("ge", "gt", "le", "lt"):
            bound = getattr(type, name)
            if bound is not None:
                said.append(f"{name}={self.literal(bound)}")
        return said

    def model(self, model: ModelSpec) -> str:
        """Return the name of the nested model's class, which is added where it is not there yet."""
        if model.token not in self._models:
            self.need("dbkit", "Embedded")
            name = self._models[model.token] = self.new_class(model.model.__name__)
            text = ClassText(name, "Embedded")
            for f in model.fields:
                stored = [] if f.stored == f.name else [f'stored_as="{f.stored}"']
                text.fields[f.name] = self.declaration(f.type, stored)
            # Inner models were added meanwhile, so that each stands before the class that names it.
            self.classes[name] = text
        return self._models[model.token]

    # -- values --------------------------------------------------------------------------------------------------------

    def value(self, value: Any, type: ValueType) -> str:
        """Return the expression that makes a value of this type."""
        if value is None:
            return "None"
        if type.kind is Kind.MODEL:
            assert type.model is not None
            given: Mapping[str, Any] = vars(value) if isinstance(value, BaseModel) else value
            inside = ", ".join(f"{f.name}={self.value(given[f.name], f.type)}" for f in type.model.fields)
            return f"{self.model(type.model)}({inside})"
        if type.element is not None and type.element.kind is not Kind.JSON:
            if isinstance(value, dict):
                pairs = cast("Mapping[str, Any]", value).items()
                inside = ", ".join(f"{key!r}: {self.value(v, type.element)}" for key, v in pairs)
                return f"{{{inside}}}"
            return f"[{', '.join(self.value(v, type.element) for v in value)}]"
        return self.literal(value)

    def literal(self, value: Any) -> str:
        """Return the expression that makes *value*."""
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, UUID | Decimal | ObjectId):
            name = type(value).__name__
            self.need("dbkit" if name == "ObjectId" else name.lower(), name)
            return f"{name}({_quoted(str(value))})"
        if isinstance(value, datetime | date | time):
            name = type(value).__name__
            self.need("datetime", name)
            return f"{name}.fromisoformat({_quoted(value.isoformat())})"
        if isinstance(value, timedelta):
            self.need("datetime", "timedelta")
            return f"timedelta(microseconds={value // timedelta(microseconds=1)})"
        # A StrEnum's member is a str, but is not written as one.
        plain = str.__str__(value) if isinstance(value, str) else value
        return _quoted(plain) if isinstance(plain, str) else repr(plain)


def _quoted(text: str) -> str:
    shown = repr(text)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown
