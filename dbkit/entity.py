"""Entities: frozen pydantic models whose classes give the fields that queries name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema
from typing_extensions import dataclass_transform

from .classes import check_body, check_fields, declare, refuse_unknown
from .compat import uuid7
from .declare import Namespace, field
from .describe import attribute, check_inputs, field_types, refs_of, row_of, spec_of
from .errors import InvalidInput
from .fields import Mapped, suggestion, via
from .objectid import ObjectId
from .sources import avg, count, count_distinct, key, max_, min_, related, sum_
from .values import utc_now

__all__ = ["Embedded", "Entity", "Record", "Versioned", "row_of", "spec_of"]

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

K = TypeVar("K", bound=UUID | str | int | ObjectId)


def _created_at(data: dict[str, Any]) -> datetime:
    """Return the `created_at` given or made just before: a new entity's two times are equal."""
    created: datetime | None = data.get("created_at")
    return utc_now() if created is None else created


_TRUSTED = frozenset({uuid7, utc_now, _created_at})


@dataclass_transform(
    kw_only_default=True,
    # Else pyright takes every entity for unhashable: a dataclass that makes an __eq__ drops its base's __hash__.
    eq_default=False,
    field_specifiers=(field, via, related, key, count, count_distinct, sum_, avg, min_, max_, Field),
)
class EntityMeta(ModelMetaclass):
    """Gives `FieldRef`s on the class, where pydantic has nothing."""

    if not TYPE_CHECKING:

        @classmethod
        def __prepare__(cls, *args: Any, **kwargs: Any) -> dict[str, object]:
            return Namespace()

        def __getattr__(cls, name: str) -> Any:  # noqa: N805
            try:
                return cls.__dict__["__dbkit_refs__"][name]
            except KeyError:
                return super().__getattr__(name) if name.startswith("_") else attribute(cls, name)


class Model(BaseModel, metaclass=EntityMeta):
    """What entities, nested models, views and groups have in common: frozen values."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    __dbkit_role__: ClassVar[str] = "abstract"
    __dbkit_family__: ClassVar[str] = "base"

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        unique: Iterable[Iterable[str]] = (),
        indexes: Iterable[Iterable[str]] = (),
        hot: int = 1,
        managed: bool = True,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(cls, kwargs)
        super().__init_subclass__(**kwargs)
        check_body(cls)
        declare(cls, name, unique, indexes, hot, managed)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        check_fields(cls)
        role = cls.__dict__["__dbkit_role__"]
        if cls.__pydantic_complete__ and role != "abstract":
            refs_of(cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        types = field_types(cls)
        schema = handler(source)
        if types:
            check_inputs(cls, schema, types, _TRUSTED)
        return schema

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, value)
            except ValidationError as error:
                # Pydantic shows the value that was refused, whatever hide_input_in_errors says.
                lines = [{"type": e["type"], "loc": e["loc"], "input": None} for e in error.errors()]
                raise ValidationError.from_exception_data(
                    type(self).__name__, lines, hide_input=True
                ) from None

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated as the constructor does.

        Raises:
            ValidationError: a value does not fit.
            InvalidInput: there is no such field.
        """
        fields = type(self).__pydantic_fields__
        for name in changes:
            if name not in fields:
                raise InvalidInput(
                    f"{type(self).__name__} has no field {name!r}",
                    entity=type(self).__name__,
                    field=name,
                    hint=suggestion(name, fields),
                )
        made = type(self).__pydantic_validator__.validate_python({**self.__dict__, **changes})
        # A user's validators need not be idempotent (one may hash a password): what was not named stays as it is.
        made.__dict__.update((name, value) for name, value in self.__dict__.items() if name not in changes)
        made.__pydantic_fields_set__.clear()
        made.__pydantic_fields_set__.update(self.__pydantic_fields_set__, changes)
        return cast("Self", made)


class Embedded(Model):
    """A nested model that filters reach into by `via(User.address, Address.city)`."""

    __dbkit_family__: ClassVar[str] = "embedded"


class Record(Model, Generic[K]):
    """An entity with an `id` of the program's own choosing, and nothing else; for natural keys and existing data.

    A subclass with `name=` is stored; one without is an abstract base:

        class Country(Record[str], name="countries"):
            id: Mapped[str] = field(max_length=2)

    Class keywords: `name=` (the table or collection; `"app.users"` with its schema), `unique=[("org_id", "slug")]`,
    `indexes=[("a", "b")]`, `hot=8` for a parent whose children are inserted by many writers at once (guard documents on
    MongoDB), and `managed=False` for what somebody else makes and changes: dbkit reads and writes its rows only.
    """

    __dbkit_family__: ClassVar[str] = "record"

    id: Mapped[K]

    def __hash__(self) -> int:
        return hash((type(self), self.id))


class Entity(Record[UUID]):
    """An entity with a UUIDv7 made by the client, and the times of its creation and last change, kept by dbkit."""

    __dbkit_timestamped__: ClassVar[bool] = True

    id: Mapped[UUID] = field(default_factory=uuid7)
    created_at: Mapped[datetime] = field(default_factory=utc_now)
    updated_at: Mapped[datetime] = field(default_factory=_created_at)


class Versioned(Model):
    """A mixin: `version` is raised by every update, and `replace` raises `StaleVersion` when it is not the stored one."""

    __dbkit_versioned__: ClassVar[bool] = True

    version: Mapped[int] = field(default=1)
