"""Reaching beyond the row's own fields: into nested models, to parents, to children."""

from __future__ import annotations

from typing import Any, TypeVar, cast, overload

from . import query
from .declare import Declared
from .errors import InvalidInput
from .mapped import Mapped, Source, T
from .query import Filter, Path
from .refs import FieldRef, is_key
from .spec import EntitySpec, FieldSpec, GroupSpec, ModelSpec, ReadSpec
from .values import Kind, ValueType

__all__ = ["InnerRef", "ParentRef", "any_related", "via"]

V = TypeVar("V")


class InnerRef(FieldRef[Any]):
    """A field of an `Embedded` model: it has no place of its own until `via` gives it one."""

    __slots__ = ("model", "name", "steps")

    def __init__(self, model: ModelSpec, steps: tuple[FieldSpec | str, ...]) -> None:
        self.model, self.steps = model, steps
        self.name = ".".join([model.model.__name__, *(s if isinstance(s, str) else s.name for s in steps)])

    @property
    def leaf(self) -> ValueType | None:
        """The type of what the last step reaches; None behind a dict's key."""
        last = self.steps[-1]
        return None if isinstance(last, str) else last.type

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InvalidInput(
            f"{self.name} is a field of a nested model and has no place of its own",
            hint=f"reach it from its entity: via(Entity.field, {self.name})",
        )

    def __getitem__(self, key: str) -> InnerRef:
        leaf = self.leaf
        if leaf is None or leaf.kind is not Kind.DICT or not is_key(key):
            raise InvalidInput(
                f"{self.name}: only a dict has keys, and only those like identifiers can be filtered by"
            )
        return InnerRef(self.model, (*self.steps, key))

    def __repr__(self) -> str:
        return self.name


class ParentRef(Mapped[T], Declared):
    """A whole parent: `via(Post.user_id, User)`, for a view's field."""

    __slots__ = ("path", "read")

    def __init__(self, path: Path, read: ReadSpec) -> None:
        self.path, self.read = path, read


def _field(path: Path) -> FieldRef[Any]:
    return FieldRef(path)


def _parent(path: Path, read: ReadSpec) -> ParentRef[Any]:
    return ParentRef(path, read)


@overload
def via(source: Source[T], /) -> FieldRef[T]: ...
@overload
def via(source: FieldRef[V | None], target: type[T], /) -> ParentRef[T | None]: ...
@overload
def via(source: FieldRef[Any], target: type[T], /) -> ParentRef[T]: ...
@overload
def via(source: FieldRef[V | None], target: ParentRef[T], /) -> ParentRef[T | None]: ...
@overload
def via(source: FieldRef[Any], target: ParentRef[T], /) -> ParentRef[T]: ...
@overload
def via(source: FieldRef[V | None], target: Source[T], /) -> FieldRef[T | None]: ...
@overload
def via(source: FieldRef[Any], target: Source[T], /) -> FieldRef[T]: ...
def via(source: Any, target: Any = None, /) -> Any:
    """Return a field as seen from the entity that *source* is a field of.

    * `via(Post.user_id, User.username)`: a field of the parent; it nests: `via(Post.user_id, via(User.org_id, Org.name))`.
      A parent that is missing reads as None.
    * `via(User.address, Address.city)`: a field of a nested model.
    * `via(Post.user_id, User)`: the whole parent, for a view's field; the target may be a view of it.
    * `via(Post.title)`: the field itself, for a view's field.
    """
    if not isinstance(source, FieldRef):
        raise InvalidInput(
            f"via starts from a field of a class, not a {type(source).__name__}",
            hint="via(Post.user_id, User.username): the class's field, not an instance's value",
        )
    if target is None:
        return cast("Any", source)
    if isinstance(source, InnerRef):
        if not isinstance(target, InnerRef):
            raise InvalidInput(
                f"via({source!r}, …): a nested model's field leads only to a field of its own nested model"
            )
        _check_model(source.name, source.leaf, target)
        return InnerRef(source.model, (*source.steps, *target.steps))
    path: Path = source.path
    if isinstance(target, InnerRef):
        _check_model(path, path.type, target)
        return _field(
            Path(path.root, path.field, references=path.references, inside=(*path.inside, *target.steps))
        )
    if isinstance(target, ParentRef):
        behind = target.path
        _check_reference(path, behind.root)
        return _parent(
            Path(path.root, behind.field, references=(*path.references, path.field, *behind.references)),
            target.read,
        )
    if isinstance(target, FieldRef):
        behind = target.path
        _check_reference(path, behind.root)
        joined = Path(
            path.root,
            behind.field,
            references=(*path.references, path.field, *behind.references),
            inside=behind.inside,
        )
        return _field(joined)
    if isinstance(target, type):
        from .views import read_of

        read = read_of(target)
        _check_reference(path, read.entity)
        return _parent(path, read)
    raise InvalidInput(
        f"via({source!r}, …) leads to a field or a class, not to a {type(target).__name__}",
        hint="via(Post.user_id, User.username), or via(Post.user_id, User) for the whole parent",
    )


def any_related(reference: FieldRef[Any], *filters: Filter) -> Filter:
    """Return the filter that takes entities which have at least one child that meets all *filters*.

    *reference* is the child's field: `any_related(Post.user_id, Post.status == "published")` is about users.
    """
    path: Path | None = getattr(reference, "path", None)
    if path is None or not isinstance(cast("Any", reference), FieldRef):
        raise InvalidInput("any_related starts from the child's reference, e.g. any_related(Post.user_id, …)")
    if not path.is_own_field or path.field.reference is None or not isinstance(path.root, EntitySpec):
        raise InvalidInput(
            f"any_related({path}): the field is no reference of the child's own",
            entity=path.root.name,
            field=path.field.name,
            hint="field(references=lambda: Parent)",
        )
    where = query.all_of(*filters) if filters else None
    if isinstance(where, query.Everything):
        where = None
    if where is not None and where.root is not None and where.root is not path.root:
        raise InvalidInput(
            f"any_related({path}, …) takes filters on {path.root.name}, not on {where.root.name}",
            entity=path.root.name,
        )
    return query.AnyRelated(path.root, path.field, where)


def _check_reference(path: Path, parent: EntitySpec | GroupSpec) -> None:
    reference = path.field.reference
    if path.inside or reference is None:
        raise InvalidInput(
            f"via({path}, …): the field is no reference",
            entity=path.root.name,
            field=path.field.name,
            hint="field(references=lambda: Parent)",
        )
    target = reference.target
    if target is not parent:
        raise InvalidInput(
            f"via({path}, …): the field refers to {target.name}, not to {parent.name}",
            entity=path.root.name,
            field=path.field.name,
        )


def _check_model(source: object, type: ValueType | None, target: InnerRef) -> None:
    if type is None or type.kind is not Kind.MODEL or type.model is not target.model:
        name = target.model.model.__name__
        raise InvalidInput(f"via({source}, {target!r}): the first is no field of type {name}")
