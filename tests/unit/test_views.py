"""Views and groups: what they read, and what they refuse."""

# What is refused is made inside a lambda, untyped on purpose.
# ruff: noqa: PLW0108
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import enum
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from dbkit import query
from dbkit.entity import Embedded, Entity, Record, row_of, spec_of
from dbkit.errors import ConfigurationError, InvalidInput
from dbkit.fields import FieldRef, Mapped, field, via
from dbkit.sources import avg, count, count_distinct, day, key, max_, min_, month, related, sum_, year
from dbkit.values import Kind
from dbkit.views import Group, View, group_of, read_of


class Color(enum.StrEnum):
    RED = "red"


class Address(Embedded):
    city: Mapped[str]


class Org(Record[str], name="view_orgs"):
    id: Mapped[str]
    title: Mapped[str]


class User(Entity, name="view_users"):
    name: Mapped[str] = field(unique=True)
    note: Mapped[str | None] = field(default=None)
    address: Mapped[Address | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    org_id: Mapped[str | None] = field(default=None, references=lambda: Org, on_delete="set_null")
    color: Mapped[Color] = field(default=Color.RED)
    size: Mapped[Literal["s", "l"]] = field(default="s")


class Post(Entity, name="view_posts"):
    user_id: Mapped[UUID] = field(references=lambda: User)
    loose_id: Mapped[UUID] = field(references=lambda: User, check=False)
    title: Mapped[str]
    score: Mapped[int] = field(default=0)
    price: Mapped[Decimal] = field(default=Decimal(0), max_digits=9, decimal_places=2)
    ratio: Mapped[float | None] = field(default=None)
    at: Mapped[datetime | None] = field(default=None)
    tags: Mapped[list[str]] = field(default_factory=list)


class UserWithPosts(User, View[User]):
    posts: Mapped[list[Post]] = related(
        Post, Post.user_id, Post.title != "", order_by=Post.created_at.desc(), limit=3
    )


class PostLine(View[Post]):
    title: Mapped[str] = via(Post.title)
    author: Mapped[str] = via(Post.user_id, User.name)
    org: Mapped[str | None] = via(Post.user_id, via(User.org_id, Org.title))
    maybe: Mapped[str | None] = via(Post.title)
    source: Mapped[Any] = via(Post.user_id, User.extra["source"])
    word: Mapped[str] = via(Post.user_id, User.size)
    shade: Mapped[str] = via(Post.user_id, User.color)


class PostWithUser(Post, View[Post]):
    user: Mapped[User] = via(Post.user_id, User)
    loose: Mapped[User | None] = via(Post.loose_id, User)


class PostWithOrg(View[Post]):
    org: Mapped[Org | None] = via(Post.user_id, via(User.org_id, Org))


class Stats(Group[Post]):
    author: Mapped[str] = key(via(Post.user_id, User.name))
    org: Mapped[str | None] = key(via(Post.user_id, User.org_id))
    posted: Mapped[date] = key(day(Post.created_at))
    at: Mapped[date | None] = key(month(Post.at))
    posts: Mapped[int] = count()
    tags: Mapped[int] = count_distinct(Post.title)
    score: Mapped[int] = sum_(Post.score)
    price: Mapped[Decimal] = sum_(Post.price)
    ratio: Mapped[float] = sum_(Post.ratio)
    mean: Mapped[Decimal | None] = avg(Post.score)
    mean_price: Mapped[Decimal | None] = avg(Post.price)
    mean_ratio: Mapped[float | None] = avg(Post.ratio)
    first: Mapped[datetime | None] = min_(Post.created_at)
    last: Mapped[str | None] = max_(Post.title)


def cases(*given: tuple[Callable[[], object], str]) -> list[Any]:
    """Return the cases with names that are the same in every process."""
    return [pytest.param(*case, id=f"{n}-{case[1]}") for n, case in enumerate(given)]


# -- views -------------------------------------------------------------------------------------------------------------


def test_a_view_of_an_entity_has_its_fields_and_relations() -> None:
    read = read_of(UserWithPosts)
    assert read is read_of(UserWithPosts)
    assert not read.is_entity
    assert read.entity is spec_of(User)
    assert [o.name for o in read.outputs] == [
        "id", "created_at", "updated_at", "name", "note", "address", "extra", "org_id", "color", "size",
    ]  # fmt: skip
    (relation,) = read.relations
    assert relation.read is spec_of(Post).read
    assert relation.reference is spec_of(Post).by_name["user_id"]
    assert relation.limit == 3
    assert isinstance(relation.where, query.Compare)
    assert [(o.path.field.name, o.descending) for o in relation.order] == [("created_at", True), ("id", True)]


def test_a_view_has_what_it_names() -> None:
    read = read_of(PostLine)
    assert [(o.name, str(o.path), o.is_nullable) for o in read.outputs] == [
        ("title", "Post.title", False),
        ("author", "Post.user_id.name", False),
        ("org", "Post.user_id.org_id.title", True),
        ("maybe", "Post.title", False),
        ("source", "Post.user_id.extra.source", True),
        ("word", "Post.user_id.size", False),
        ("shade", "Post.user_id.color", False),
    ]


def test_a_whole_parent() -> None:
    read = read_of(PostWithUser)
    by_name = {o.name: o for o in read.outputs}
    assert by_name["user"].parent is spec_of(User).read
    assert by_name["user"].path.field is spec_of(Post).by_name["user_id"]
    assert not by_name["user"].is_nullable
    assert by_name["loose"].is_nullable
    (org,) = read_of(PostWithOrg).outputs
    assert [f.name for f in org.path.references] == ["user_id"]
    assert org.path.field.name == "org_id"
    assert org.is_nullable


def test_an_entity_reads_as_itself() -> None:
    assert read_of(User) is spec_of(User).read
    assert read_of(User).is_entity
    with pytest.raises(InvalidInput, match="a group, not an entity"):
        read_of(Stats)
    with pytest.raises(InvalidInput, match="int is no entity"):
        read_of(int)


def test_a_views_field_is_its_source() -> None:
    assert isinstance(PostLine.author, FieldRef)
    assert PostLine.author.path.shape == via(Post.user_id, User.name).path.shape
    assert UserWithPosts.name.path.shape == User.name.path.shape
    assert (UserWithPosts.name == "x").root is spec_of(User)
    assert PostLine.author.desc().path.root is spec_of(Post)
    for view, name in ((UserWithPosts, "posts"), (PostWithUser, "user")):
        with pytest.raises(AttributeError, match="more than one value"):
            getattr(view, name)


def test_views_behave_as_values() -> None:
    made = User(name="ada")
    post = Post(user_id=made.id, loose_id=made.id, title="t")
    validator = read_of(UserWithPosts).validator({})
    (view,) = validator.validate_python([made.__dict__ | {"posts": [post.__dict__]}])
    assert type(view) is UserWithPosts
    assert isinstance(view, User)
    assert view.posts == [post]
    assert view.name == "ada"
    assert pickle.loads(pickle.dumps(view)) == view
    assert hash(view) == hash(pickle.loads(pickle.dumps(view)))
    assert view.evolve(name="bob").name == "bob"
    assert view.model_dump()["posts"][0]["title"] == "t"
    assert view != made
    with pytest.raises(ValidationError, match="frozen"):
        view.name = "x"  # type: ignore[arg-type]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InvalidInput, match="is a view"):
        row_of(spec_of(User), view)


def test_a_view_is_built_from_a_parents_row_too() -> None:
    user = User(name="ada")
    post = Post(user_id=user.id, loose_id=user.id, title="t")
    (view,) = (
        read_of(PostWithUser)
        .validator({})
        .validate_python([post.__dict__ | {"user": user.__dict__, "loose": None}])
    )
    assert view.user == user
    assert view.loose is None


def test_views_of_views() -> None:
    class Base(View[Post]):
        title: Mapped[str] = via(Post.title)

    class More(Base, View[Post]):
        score: Mapped[int] = via(Post.score)

    class Related(User, View[User]):
        lines: Mapped[list[More]] = related(More, Post.user_id)

    assert [o.name for o in read_of(More).outputs] == ["title", "score"]
    (relation,) = read_of(Related).relations
    assert relation.read is read_of(More)
    assert relation.limit is None
    assert [o.path.field.name for o in relation.order] == ["id"]


ANY_USER: Any = User
ANY_POST: Any = Post


def _view(annotation: Any, value: Any, *bases: Any) -> Any:
    return _made(bases or (View[Post],), annotation, value)


def _group(annotation: Any, value: Any) -> Any:
    return _made((Group[Post],), annotation, value)


def _made(bases: tuple[Any, ...], annotation: Any, value: Any) -> Any:
    import types

    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {"a": annotation}
        namespace["__module__"] = __name__
        if value is not None:
            namespace["a"] = value

    return types.new_class("X", bases, {}, body)


@pytest.mark.parametrize(
    ("make", "problem"),
    cases(
        (lambda: _view(int, via(Post.title)), "declared int, but its source is text"),
        (lambda: _view(str, via(ANY_POST.ratio)), "declared text, but its source is float | None"),
        (lambda: _view(float, via(ANY_POST.ratio)), r"declared float, but its source is float \| None"),
        (lambda: _view(Color, via(Post.title)), "declared Color"),
        (lambda: _view(Literal["s"], via(Post.user_id, User.size)), "declared text"),
        (lambda: _view(list[int], via(Post.tags)), "declared list"),
        (lambda: _view(str, via(Post.user_id, User.extra["a"])), "no declared type"),
        (lambda: _view(str, via(User.name)), "is a field of User, not of Post"),
        (lambda: _view(str, None), "the field has no source"),
        (lambda: _view(int, count()), "keys and figures stand in groups"),
        (lambda: _view(Org, via(Post.user_id, User)), r"Mapped\[User\]"),
        (lambda: _view(User, via(Post.loose_id, User)), r"Mapped\[User \| None\]"),
        (lambda: _view(list[Post], related(Post, Post.user_id)), "refers to User, not to Post"),
        (lambda: _view(list[Post], related(Post, Post.title), User, View[User]), "no reference of Post"),
        (lambda: _view(list[User], related(Post, Post.user_id), User, View[User]), r"Mapped\[list\[Post\]\]"),
        (lambda: _view(Post, related(Post, Post.user_id), User, View[User]), r"Mapped\[list\[Post\]\]"),
        (
            lambda: _view(list[Post], related(Post, Post.user_id, User.name == "x"), User, View[User]),
            "filters on Post, not on User",
        ),
        (
            lambda: _view(list[Post], related(Post, Post.user_id, order_by=User.name), User, View[User]),
            "not about Post",
        ),
        (lambda: _view(list[Post], related(Post, Post.user_id, limit=0), User, View[User]), "limit= is 1"),
        (
            lambda: _view(list[PostWithUser], related(PostWithUser, Post.user_id), User, View[User]),
            "one level",
        ),
        (lambda: _view(UserWithPosts, via(Post.user_id, UserWithPosts)), "one level"),
        (lambda: _view(str, via(Post.title), Post, View[User]), "derived from Post, but a view of User"),
        (lambda: _view(str, via(Post.title), View), "says of what"),
        (lambda: _view(str, via(Post.title), View[int]), "int is no entity"),
        (lambda: _view(str, via(Post.title), View[PostLine]), "is a view, not an entity"),
        (lambda: _made((User, View[User]), str, None), "no source"),
    ),
)
def test_views_that_do_not_fit_are_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        make()
    assert str(caught.value).startswith("X")


def test_a_view_keeps_its_entitys_fields() -> None:
    import types

    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {"name": str}
        namespace["name"] = via(User.name)

    with pytest.raises(ConfigurationError, match="keeps its entity's fields"):
        types.new_class("X", (User, View[User]), {}, body)
    with pytest.raises(ConfigurationError, match="a view, which has no table"):
        types.new_class("X", (View[User],), {"name": "x"})


def test_sources_start_from_classes() -> None:
    user = User(name="x")
    for make in (lambda: key(ANY_USER.name.path), lambda: related(Post, ANY_POST.title.path)):
        with pytest.raises(InvalidInput, match="a field of a class"):
            make()
    wrong: Any = user.name
    with pytest.raises(InvalidInput, match="a field of a class"):
        sum_(wrong)


# -- groups ------------------------------------------------------------------------------------------------------------


def test_a_group_has_keys_and_figures() -> None:
    group = group_of(Stats)
    assert group is group_of(Stats)
    assert group.entity is spec_of(Post)
    assert [(k.field.name, str(k.path), k.period) for k in group.keys] == [
        ("author", "Post.user_id.name", None),
        ("org", "Post.user_id.org_id", None),
        ("posted", "Post.created_at", "day"),
        ("at", "Post.at", "month"),
    ]
    assert [(a.field.name, a.function, a.is_comparable) for a in group.aggregates] == [
        ("posts", "count", True),
        ("tags", "count_distinct", True),
        ("score", "sum", True),
        ("price", "sum", True),
        ("ratio", "sum", False),
        ("mean", "avg", False),
        ("mean_price", "avg", False),
        ("mean_ratio", "avg", False),
        ("first", "min", True),
        ("last", "max", True),
    ]
    types = {f.name: f.type for f in group.by_name.values()}
    assert {name: (t.kind, t.nullable, t.decimal_places) for name, t in types.items()} == {
        "author": (Kind.TEXT, False, 0),
        "org": (Kind.TEXT, True, 0),
        "posted": (Kind.DATE, False, 0),
        "at": (Kind.DATE, True, 0),
        "posts": (Kind.INT, False, 0),
        "tags": (Kind.INT, False, 0),
        "score": (Kind.INT, False, 0),
        "price": (Kind.DECIMAL, False, 2),
        "ratio": (Kind.FLOAT, False, 0),
        "mean": (Kind.DECIMAL, True, 6),
        "mean_price": (Kind.DECIMAL, True, 8),
        "mean_ratio": (Kind.FLOAT, True, 0),
        "first": (Kind.DATETIME, True, 0),
        "last": (Kind.TEXT, True, 0),
    }


def test_a_groups_fields_are_its_own() -> None:
    made = Stats.posts > 3
    assert isinstance(made, query.Compare)
    assert made.root is group_of(Stats)
    assert Stats.posts.desc().path.field is group_of(Stats).by_name["posts"]
    assert (Stats.org == None).root is group_of(Stats)  # noqa: E711
    huge = Stats.score > 10**30
    assert isinstance(huge, query.Compare)
    assert huge.value == 10**30
    exact = Stats.price >= 3
    assert isinstance(exact, query.Compare)
    assert str(exact.value) == "3.00"
    big = Stats.price.in_([Decimal(10) ** 30])
    assert isinstance(big, query.In)
    assert big.values == (Decimal(10) ** 30,)
    zero = Stats.price == Decimal("-0")
    assert isinstance(zero, query.Compare)
    assert str(zero.value) == "0.00"


ANY_STATS: Any = Stats


@pytest.mark.parametrize(
    ("make", "problem"),
    cases(
        (lambda: ANY_STATS.mean > 3, "average"),
        (lambda: ANY_STATS.mean == 3, "average"),
        (lambda: ANY_STATS.mean.is_null(), "average"),
        (lambda: ANY_STATS.mean.in_([3]), "average"),
        (lambda: ANY_STATS.mean.desc(), "average"),
        (lambda: ANY_STATS.mean_ratio.asc(), "average"),
        (lambda: ANY_STATS.ratio > 3, "floats"),
        (lambda: ANY_STATS.ratio.asc(), "floats"),
        (lambda: ANY_STATS.posts > "3", "must be an int"),
        (lambda: ANY_STATS.posts == True, "must be an int"),  # noqa: E712
        (lambda: ANY_STATS.score > True, "must be an int"),
        (lambda: ANY_STATS.score > Decimal(3), "must be an int"),
        (lambda: ANY_STATS.score > 10**38, "38 digits"),
        (lambda: ANY_STATS.price > 10**36, "38 digits"),
        (lambda: ANY_STATS.price > Decimal("0.001"), "2 decimal places"),
        (lambda: ANY_STATS.price > Decimal("NaN"), "finite"),
        (lambda: ANY_STATS.price > 1.5, "must be an int or a Decimal"),
        (lambda: ANY_STATS.posts.set(3), "a whole field of the entity itself"),
        (lambda: ANY_STATS.posts + 3, "the row's own fields"),
    ),
)
def test_figures_are_compared_only_where_all_stores_agree(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        make()


@pytest.mark.parametrize(
    ("make", "problem"),
    cases(
        (lambda: _group(int, key(ANY_POST.title)), "declared int"),
        (lambda: _group(str, key(ANY_POST.at)), "declared text"),
        (lambda: _group(datetime, key(ANY_POST.at)), "declared datetime"),
        (lambda: _group(datetime, key(day(Post.created_at))), "declared datetime, but its source is date"),
        (lambda: _group(date, key(day(Post.at))), r"date \| None"),
        (lambda: _group(date, key(year(Post.at))), r"date \| None"),
        (lambda: _group(int, avg(Post.score)), "declared int"),
        (lambda: _group(datetime, max_(Post.created_at)), r"datetime \| None"),
        (lambda: _group(str, via(Post.title)), "a key or a figure"),
        (lambda: _group(str, None), "a key or a figure"),
        (lambda: _group(str, key(User.name)), "is a field of User, not of Post"),
    ),
)
def test_groups_that_do_not_fit_are_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make()


@pytest.mark.parametrize(
    ("make", "problem"),
    cases(
        (lambda: sum_(ANY_POST.title), "decimal, float, int"),
        (lambda: avg(ANY_POST.at), "decimal, float, int"),
        (lambda: min_(ANY_POST.tags), "not for a field of type list"),
        (lambda: max_(ANY_POST.user_id), "not for a field of type uuid"),
        (lambda: key(ANY_POST.tags), "single values"),
        (lambda: key(ANY_USER.extra["a"]), "single values"),
        (lambda: count_distinct(ANY_POST.tags), "single values"),
        (lambda: day(ANY_POST.title), "for datetimes"),
    ),
)
def test_figures_of_what_has_none_are_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        make()


def test_results_are_values() -> None:
    row = {
        "author": "ada",
        "org": None,
        "posted": date(2024, 1, 1),
        "at": None,
        "posts": 3,
        "tags": 2,
        "score": 10**30,
        "price": Decimal("1.50"),
        "ratio": 0.5,
        "mean": Decimal("1.000000"),
        "mean_price": None,
        "mean_ratio": None,
        "first": datetime(2024, 1, 1, tzinfo=UTC),
        "last": None,
    }
    (made,) = group_of(Stats).validator.validate_python([row])
    assert made.score == 10**30
    assert made.model_dump() == row
    assert pickle.loads(pickle.dumps(made)) == made
    assert made == Stats.model_validate(row)
    with pytest.raises(ValidationError, match="frozen"):
        made.posts = 4
    with pytest.raises(InvalidInput, match="int is no group"):
        group_of(int)
    with pytest.raises(InvalidInput, match="PostLine is no group"):
        group_of(PostLine)


def test_groups_without_keys() -> None:
    class Total(Group[Post]):
        posts: Mapped[int] = count()

    assert group_of(Total).keys == ()
    with pytest.raises(ConfigurationError, match="at least one"):

        class Empty(Group[Post]):  # pyright: ignore[reportUnusedClass]
            pass


def test_ids_of_views_hash_by_value() -> None:
    made = User(id=uuid4(), name="x")
    assert len({made, made.evolve(note="y")}) == 2
    assert hash(made) == hash(made.evolve(note="y"))
