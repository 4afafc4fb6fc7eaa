"""Declarations: what a description says, and what is refused when the class is made."""

# Classes that are refused are never used.
# pyright: reportUnusedClass=false

from __future__ import annotations

import enum
import threading
import types
from decimal import Decimal
from typing import Any, ClassVar, Literal
from uuid import UUID

import pydantic
import pytest
from pydantic import BaseModel, Field, ValidationError

from dbkit.entity import Embedded, Entity, Record, row_of, spec_of
from dbkit.errors import ConfigurationError, InvalidInput
from dbkit.fields import FieldRef, Mapped, field, via
from dbkit.values import INT_MAX, Kind
from dbkit.views import View
from tests.unit.entities import Address, Color, Owner, Thing

# -- descriptions ------------------------------------------------------------------------------------------------------


def test_a_description_is_made_once_and_says_what_was_declared() -> None:
    spec = spec_of(Owner)
    assert spec is spec_of(Owner)
    assert (spec.name, spec.stored, spec.model) == ("Owner", "owners", Owner)
    assert [f.name for f in spec.fields] == [
        "id", "version", "created_at", "updated_at", "email", "nick", "org", "born",
    ]  # fmt: skip
    assert [f.name for f in spec.columns[len(spec.fields) :]] == ["email__casefold"]
    assert spec.versioned
    assert spec.timestamped
    assert spec.stripes == 8
    assert {key.names for key in spec.uniques} == {("email",), ("org", "nick")}
    assert [tuple(f.name for f in index.fields) for index in spec.indexes] == [("org", "born")]


def test_text_in_a_key_or_an_index_has_a_length() -> None:
    spec = spec_of(Owner)
    assert spec.by_name["nick"].type.max_length == 255
    assert spec.by_name["org"].type.max_length == 20
    shadow = spec.shadow("email")
    assert shadow is not None
    assert (shadow.stored, shadow.type.max_length, shadow.type.nullable) == ("email__casefold", 400, False)
    assert spec_of(Thing).by_name["text"].type.max_length is None
    with pytest.raises(ValidationError):
        Owner(email="a", nick="x" * 256)


def test_a_reference_is_indexed_unless_it_leads_an_index() -> None:
    assert [i.fields[0].name for i in spec_of(Thing).indexes] == ["owner_id"]

    class Led(Entity, name="led", unique=[("owner_id", "n")]):
        owner_id: Mapped[UUID] = field(references=lambda: Owner)
        n: Mapped[int]

    assert spec_of(Led).indexes == ()
    reference = spec_of(Led).by_name["owner_id"].reference
    assert reference is not None
    assert reference.target is spec_of(Owner)


def test_types() -> None:
    types = {f.name: f.type for f in spec_of(Thing).fields}
    assert types["price"].decimal_places == 2
    assert types["number"].bounds == (-5, INT_MAX)
    assert types["color"].enum is Color
    assert types["color"].choices == ("red", "blue")
    assert (types["level"].kind, types["level"].choices, types["level"].nullable) == (Kind.INT, (1, 2), True)
    assert types["size"].choices == ("s", "l")
    assert types["extra"].element is not None
    assert types["extra"].element.kind is Kind.JSON
    assert types["address"].model is not None
    assert [f.stored for f in types["address"].model.fields] == ["city", "geo"]
    assert spec_of(Thing).by_name["size"].stored == "sz"
    geo = types["address"].model.by_name["geo"].type.model
    assert geo is not None
    assert geo.by_name["note"].stored == "n"


def test_records_have_ids_of_their_own() -> None:
    class Country(Record[str], name="countries"):
        id: Mapped[str] = field(max_length=2)

    class Plain(Record[int], name="plain"):
        pass

    assert spec_of(Country).id.type.max_length == 2
    assert not spec_of(Country).timestamped
    assert spec_of(Plain).id.type.kind is Kind.INT
    assert row_of(spec_of(Plain), Plain(id=3)) == (3,)
    with pytest.raises(ValidationError):
        Country(id="xyz")
    with pytest.raises(ValidationError):
        Plain(id=True)


def test_entities_made_in_functions_find_their_names() -> None:
    class Inner(Embedded):
        n: Mapped[int]

    class Outer(Entity, name="outer"):
        inner: Mapped[Inner]
        later: Mapped[list[Later]]

    class Later(Embedded):
        m: Mapped[int]

    with pytest.raises(ConfigurationError, match="'Later'"):
        spec_of(Outer)
    assert not hasattr(Outer, "inner")
    spec = spec_of(Outer, locals())
    assert spec.by_name["later"].type.element is not None
    assert isinstance(Outer.inner, FieldRef)
    made = Outer(inner=Inner(n=1), later=[Later(m=2)])
    assert row_of(spec, made)[-1] == [Later(m=2)]


def test_references_may_be_declared_later() -> None:
    class Child(Entity, name="children"):
        parent_id: Mapped[UUID] = field(references=lambda: Parent)

    class Parent(Entity, name="parents"):
        pass

    reference = spec_of(Child).by_name["parent_id"].reference
    assert reference is not None
    assert reference.target is spec_of(Parent)


def test_a_reference_has_the_type_of_its_parents_id() -> None:
    class Child(Entity, name="wrong_children"):
        owner_id: Mapped[int] = field(references=lambda: Owner)
        view_id: Mapped[UUID] = field(references=lambda: OwnerView)

    class OwnerView(Owner, View[Owner]):
        pass

    for name, problem in (("owner_id", "is int, but Owner.id is uuid"), ("view_id", "is a view")):
        reference = spec_of(Child).by_name[name].reference
        assert reference is not None
        with pytest.raises(ConfigurationError, match=problem):
            _ = reference.target


def test_a_description_is_one_for_all_threads() -> None:
    class Busy(Entity, name="busy"):
        later: Mapped[Later2]

    class Later2(Embedded):
        m: Mapped[int]

    names = locals()
    barrier = threading.Barrier(8)
    found: list[Any] = []

    def ask() -> None:
        barrier.wait()
        found.append(spec_of(Busy, names))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_what_is_no_entity_says_so() -> None:
    class Base(Entity):
        pass

    class OwnerView(Owner, View[Owner]):
        pass

    for wrong, problem in (
        (Base, "an abstract class"),
        (OwnerView, "a view"),
        (Address, "a nested model"),
        (int, "int is no entity"),
        (Owner(email="x"), "an instance of Owner is no entity"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            spec_of(wrong)


# -- declarations that are wrong ---------------------------------------------------------------------------------------


def _make(annotation: Any, *, base: Any = Entity, value: Any = None, **keywords: Any) -> Any:
    body: dict[str, Any] = {"__annotations__": {"a": annotation}, "__module__": __name__}
    namespace = type(base).__prepare__("X", (base,))
    for name, item in body.items():
        namespace[name] = item
    if value is not None:
        namespace["a"] = value
    return type(base)("X", (base,), namespace, **({"name": "xs"} | keywords))


class Mixed(enum.Enum):
    A = "a"
    B = 1


class Bits(enum.Flag):
    A = 1


class Plain(BaseModel):
    x: int


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (Decimal, "max_digits and decimal_places"),
        (list[Decimal], "Annotated"),
        (Mixed, "all str or all int"),
        (Literal["a", 1], "all str or all int"),
        (Literal[True], "must be all"),
        (Bits, "Flag"),
        (Plain, "not an Embedded model"),
        (set[int], "set cannot be stored"),
        (tuple[int, ...], "tuple cannot be stored"),
        (int | str, "a union"),
        (list[list[int]], "list of lists"),
        (dict[int, str], "keys must be str"),
        (Any, "cannot be stored"),
        (object, "cannot be stored"),
        (pydantic.SecretStr, "cannot be stored"),
    ],
)
def test_types_that_no_store_keeps_are_refused(annotation: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        _make(annotation)
    assert str(caught.value).startswith("X.a")


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (int, field(default="3"), "the default: must be an int"),
        (int, field(ge=5, le=3), "no value lies within"),
        (list[int], field(unique=True), "cannot be unique"),
        (int, field(unique="casefold"), "is for text"),
        (UUID, field(references=lambda: Owner, on_delete="set_null"), "can be None"),
        (float, field(references=lambda: Owner), "a reference holds an id"),
        (int, field(stored_as="a-b"), "a stored name is"),
        (int, field(stored_as="ctid"), "keeps for itself"),
        (int, field(stored_as="_id"), "keeps for itself"),
        (int, field(stored_as="CREATED_AT"), "would both be stored"),
        (str, field(unique="casefold", stored_as="a" * 55), "a stored name is"),
        (Decimal, field(max_digits=19, decimal_places=2), "max_digits is 1 to 18"),
        (int, Field(alias="b"), "alias"),
        (str, via(Owner.email), "stand in views and groups"),
    ],
)
def test_fields_that_cannot_be_are_refused(annotation: Any, value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        _make(annotation, value=value)


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"unique": [("a", "zz")]}, "'zz', which is no field"),
        ({"unique": ["a"]}, "a list of tuples"),
        ({"unique": [("a", "a")]}, "twice"),
        ({"unique": [("a",), ("a",)]}, "unique twice"),
        ({"indexes": [("aa",)]}, "did you mean 'a'"),
        ({"name": "a b"}, "a stored name is"),
        ({"name": "sqlite_x"}, "belong to"),
        ({"name": "_dbkit_x"}, "belong to"),
        ({"name": None, "unique": [("a",)]}, "has no name="),
        ({"hot": 0}, "hot="),
    ],
)
def test_class_lines_that_cannot_be_are_refused(keywords: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        _make(int, **keywords)


@pytest.mark.parametrize("keyword", ["alias", "validation_alias", "serialization_alias"])
def test_aliases_are_refused(keyword: str) -> None:
    keywords: Any = {keyword: "b"}
    with pytest.raises(ConfigurationError, match="stored_as"):
        field(**keywords)


def test_field_refuses_what_contradicts_itself() -> None:
    wrong: Any = Owner
    with pytest.raises(ConfigurationError, match="takes a function"):
        field(references=wrong)
    with pytest.raises(ConfigurationError, match="about references"):
        field(on_delete="cascade")
    with pytest.raises(ConfigurationError, match="about references"):
        field(check=False)
    bad: Any = "nocase"
    with pytest.raises(ConfigurationError, match="casefold"):
        field(unique=bad)
    with pytest.raises(ConfigurationError, match="on_delete"):
        field(references=lambda: Owner, on_delete=bad)


def test_names_that_pydantic_has_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="copy_ with stored_as='copy'"):

        class Bad(Entity, name="bad"):
            copy: Mapped[int]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    with pytest.raises(ConfigurationError, match="evolve"):

        class Bad2(Entity, name="bad"):
            evolve: Mapped[int]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    with pytest.raises(ConfigurationError, match="private"):

        class Bad3(Entity, name="bad"):
            _x: int = 3

    with pytest.raises(ConfigurationError, match="annotation"):

        class Bad4(Entity, name="bad"):
            a = field(default=1)  # pyright: ignore[reportGeneralTypeIssues]


def test_class_variables_and_methods_are_the_programs_own() -> None:
    class Fine(Entity, name="fine"):
        limit: ClassVar[int] = 3
        _hidden: ClassVar[str] = "x"
        n: Mapped[int] = field(default=2)

        @property
        def double(self) -> int:
            return self.n * 2

    assert Fine.limit == 3
    assert Fine().double == 4
    assert isinstance(Fine.n, FieldRef)


def test_a_subclass_of_an_entity_is_a_view_and_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"View\[Owner\]"):

        class Sub(Owner):
            pass

    with pytest.raises(ConfigurationError, match=r"View\[Owner\]"):

        class Sub2(Owner, name="subs"):
            pass


def test_abstract_bases_hand_down_their_fields() -> None:
    class Named(Entity):
        label: Mapped[str] = field(unique=True, max_length=9)

    class A(Named, name="as"):
        pass

    class B(Named, name="bs"):
        label: Mapped[str] = field(default="b")

    assert [k.names for k in spec_of(A).uniques] == [("label",)]
    assert spec_of(A).by_name["label"].type.max_length == 9
    assert spec_of(B).uniques == ()
    assert B().label == "b"


def test_a_nested_model_cannot_hold_itself() -> None:
    with pytest.raises(ConfigurationError, match="cannot hold itself"):

        class Node(Embedded):
            child: Mapped[Node | None] = field(default=None)


def test_nested_models_have_no_keys() -> None:
    with pytest.raises(ConfigurationError, match="own fields"):

        class Inner(Embedded):
            n: Mapped[int] = field(unique=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"name": "odd", "uniqe": [("n",)]}, r"Odd: uniqe= means nothing .* \(did you mean 'unique'\?"),
        ({"nmae": "odd"}, "did you mean 'name'"),
    ],
)
def test_a_misspelt_word_in_the_class_line_is_told(line: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        types.new_class("Odd", (Entity,), line)


def test_a_mixin_may_take_words_of_its_own() -> None:
    class Mixin:
        def __init_subclass__(cls, *, label: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)

    made = types.new_class("Labelled", (Entity, Mixin), {"name": "labelled", "label": "x"})
    assert issubclass(made, Entity)


def test_a_misspelt_option_is_no_option() -> None:
    with pytest.raises(
        ConfigurationError, match=r"field\(uniqe=…\) means nothing \(did you mean unique=\?\)"
    ):
        field(uniqe=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportUnknownMemberType]
    with pytest.raises(ConfigurationError, match="did you mean references"):
        field(refrences=lambda: Owner)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    pydantics_own: Any = {"coerce_numbers_to_str": True}
    assert field(**pydantics_own) is not None
