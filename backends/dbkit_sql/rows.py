"""From the driver's tuples to instances: one function per view, made from source once, then pydantic.

A row becomes a dict by a literal display, which is the fastest way there is, and the whole list is validated at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from dbkit.errors import StoredDataInvalid
from dbkit.query import Path
from dbkit.spec import EntitySpec, FieldSpec, ReadSpec, Relation
from dbkit.values import Kind, ValueType, explain_validation

from . import codecs
from .codecs import Codec
from .dialects import Dialect

__all__ = ["RowReader", "container_of"]

Row = tuple[Any, ...]
Children = Mapping[Any, list[dict[str, Any]]]
Build = Callable[..., list[dict[str, Any]]]

# Written out in each row's display: a call costs as much as what it does.
_INLINE: dict[Any, str] = {codecs.from_milliseconds: "epoch + {} * millisecond"}


def container_of(path: Path) -> ValueType:
    """Return the type of what holds the path's last step: for a dict's key, the dict's."""
    steps = [path.field, *(s for s in path.inside if isinstance(s, FieldSpec))]
    return steps[-1].type


class RowReader:
    """Makes instances of one view of the rows of one dialect.

    Attributes:
        paths: what to select, in this order; what a query selects beside it stands behind.
        relations: each with the position of the id by which its children are found.
    """

    def __init__(self, dialect: Dialect, read: ReadSpec) -> None:
        self.read = read
        self.paths: list[Path] = []
        self.relations: list[tuple[Relation, int]] = []
        self._dialect = dialect
        self._decoders: list[Codec] = []
        self._globals: dict[str, Any] = {"epoch": codecs.EPOCH, "millisecond": codecs.MILLISECOND}
        self._positions: dict[Any, int] = {}
        self._source = self._display(read, read.entity, ())
        self._builds: dict[int, Build] = {}
        self._validate = read.validator({}).validate_python

    # -- making the function -------------------------------------------------------------------------------------------

    def _display(self, read: ReadSpec, root: EntitySpec, prefix: tuple[FieldSpec, ...]) -> str:
        items: list[str] = []
        for output in read.outputs:
            path = output.path
            if output.parent is None:
                whole = Path(root, path.field, references=(*prefix, *path.references), inside=path.inside)
                items.append(f"{output.name!r}: {self._value(whole)}")
                continue
            references = (*prefix, *path.references, path.field)
            id = self._position(Path(root, output.parent.entity.id, references=references))
            inner = self._display(output.parent, root, references)
            items.append(f"{output.name!r}: (None if a{id} is None else {inner})")
        for relation in read.relations:
            id = self._position(Path(root, read.entity.id, references=prefix))
            items.append(f"{relation.name!r}: r{len(self.relations)}.get(a{id}) or []")
            self.relations.append((relation, id))
        return "{" + ", ".join(items) + "}"

    def _value(self, path: Path) -> str:
        position = self._position(path)
        decode = self._decoders[position]
        if decode is None:
            return f"a{position}"
        if decode in _INLINE:
            made = _INLINE[decode].format(f"a{position}")
        else:
            self._globals[f"d{position}"] = decode
            made = f"d{position}(a{position})"
        return f"(None if a{position} is None else {made})" if path.type.nullable else made

    def _position(self, path: Path) -> int:
        position = self._positions.get(path.shape)
        if position is None:
            position = self._positions[path.shape] = len(self.paths)
            self.paths.append(path)
            self._decoders.append(decoder_of(self._dialect, path))
        return position

    def position_of(self, path: Path) -> int | None:
        """Return where the path's value stands in a row, or None where it is not selected."""
        return self._positions.get(path.shape)

    def _build(self, width: int) -> Build:
        names = [f"a{n}" for n in range(len(self.paths))]
        names += ["_"] * (width - len(names))
        relations = "".join(f", r{n}" for n in range(len(self.relations)))
        source = f"lambda rows{relations}: [{self._source} for ({', '.join(names)},) in rows]"
        build: Build = eval(source, self._globals)  # noqa: S307  # declared names only
        self._builds[width] = build
        return build

    # -- reading -------------------------------------------------------------------------------------------------------

    def displays(self, rows: Sequence[Row], children: Sequence[Children] = ()) -> list[dict[str, Any]]:
        """Return the rows as dicts that the view's validator takes; *children* by id, for each relation."""
        if not rows:
            return []
        width = len(rows[0])
        build = self._builds.get(width) or self._build(width)
        try:
            return build(rows, *children)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise self._undecodable(rows) from error

    def instances(self, rows: Sequence[Row], children: Sequence[Children] = ()) -> list[Any]:
        """Return the rows as instances."""
        try:
            found: list[Any] = self._validate(self.displays(rows, children))
        except ValidationError as error:
            raise self._invalid(error) from error
        return found

    def _undecodable(self, rows: Sequence[Row]) -> StoredDataInvalid:
        for row in rows:
            for position, decode in enumerate(self._decoders):
                if decode is None:
                    continue
                path = self.paths[position]
                value = row[position]
                if value is None and path.type.nullable:
                    continue
                try:
                    decode(value)
                except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
                    return _stored(self.read, str(path).partition(".")[2], "cannot be decoded")
        return _stored(self.read, None, "cannot be decoded")

    def _invalid(self, error: ValidationError) -> StoredDataInvalid:
        where, message = explain_validation(error)
        path = ".".join(str(part) for part in where[1:])
        return _stored(self.read, path or None, message)


def _stored(read: ReadSpec, field: str | None, problem: str) -> StoredDataInvalid:
    name = read.entity.name
    return StoredDataInvalid(
        f"a stored row does not fit {name}{'.' + field if field else ''}: {problem}",
        entity=name,
        field=field.partition(".")[0] if field else None,
        hint="something other than this program wrote it; mend the row, or the entity",
    )


def decoder_of(dialect: Dialect, path: Path) -> Codec:
    """Return what makes the selected value of a path (never None) one that the read schema takes."""
    if not path.inside:
        return dialect.decoder(path.type)
    if path.type.kind is Kind.JSON:
        element = container_of(path).element
        decode = None if element is None else codecs.leaf_value(element)
        return codecs.chain(dialect.json_output_decoder(path.type), codecs.optional(decode))
    if path.type.kind.is_scalar:
        return codecs.json_decoder(path.type)
    return dialect.json_output_decoder(path.type)


def canonical_of(dialect: Dialect, type: ValueType, *, is_leaf: bool) -> Codec:
    """Return what makes a selected scalar (never None) the canonical value itself."""
    return codecs.leaf_value(type) if is_leaf else dialect.canonical(type)
