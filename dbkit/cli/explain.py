"""`dbkit explain`: what a read would send, and what the server's planner makes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Debug, Entities, Json, Url
from .output import columns, emit
from .settings import Settings

if TYPE_CHECKING:
    from ..statement import Plan

__all__ = ["explain"]


class Verb(StrEnum):
    """The reads that take conditions."""

    FIND = "find"
    FIND_ONE = "find_one"
    PAGE = "page"
    ITERATE = "iterate"
    COUNT = "count"
    EXISTS = "exists"


def explain(
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="Its class, or its table or collection.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="username=ada, age>=18, title^=Intro (starts with), title*=news (contains), "
            "email~=ADA@example.org (without case), 'bio is null'; several must all hold.",
            show_default=False,
        ),
    ] = None,
    order_by: Annotated[
        str | None,
        typer.Option(
            "--order-by", metavar="FIELDS", help="-created_at,title: - is descending.", show_default=False
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, show_default=False)] = None,
    verb: Annotated[Verb, typer.Option("--verb", help="How it is read.")] = Verb.FIND,
    into: Annotated[
        str | None,
        typer.Option(
            "--into",
            metavar="MODULE:VIEW",
            help="A view that it is read into: app.views:UserWithPosts. Its children may take statements of their own.",
            show_default=False,
        ),
    ] = None,
    total: Annotated[
        bool,
        typer.Option("--total", help="Count all rows, too (with --verb page).", show_default=False),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Show the server's own plan, too: it may hold values.", show_default=False
        ),
    ] = False,
    url: Url = None,
    entities: Entities = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the statements of a read and the server's plan for each.

    A name reaches on by dots: user_id.username is the field of a parent, address.city of a nested model.
    """
    del debug
    from ..entity import spec_of
    from .failures import Misuse
    from .reaching import must_exist, opened
    from .terms import entity_named, filter_from, order_from

    settings = Settings(url, entities)
    chosen = entity_named(entity, settings.entities)
    spec = spec_of(chosen)
    filters = [filter_from(spec, text) for text in where or ()]
    options: dict[str, Any] = {}
    if order_by is not None:
        options["order_by"] = order_from(spec, order_by)
    if limit is not None:
        options["batch" if verb is Verb.ITERATE else "limit"] = limit
    if into is not None:
        options["into"] = settings.view(into)
    if verb in {Verb.COUNT, Verb.EXISTS} and options:
        raise Misuse(f"{verb} has no order, no limit and no view")
    if verb is Verb.FIND_ONE and limit is not None:
        raise Misuse("find_one has no limit: it reads one")
    if total:
        if verb is not Verb.PAGE:
            raise Misuse(f"{verb} gives no total", hint="--verb page does; --verb count does nothing else")
        options["total"] = True
    must_exist(settings.parsed_url)
    with opened(settings) as db:
        plan = getattr(db.store(chosen).explain(), verb)(*filters, **options)
        server = str(db.server)
    answer: dict[str, Any] = {
        "entity": spec.name,
        "verb": str(verb),
        "server": server,
        **_told(plan, raw=raw),
        "further": [_told(part, raw=raw) for part in plan.further],
    }
    emit(as_json, answer, _lines(answer))


def _told(plan: Plan, *, raw: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "statement": plan.statement,
        "indexes": list(plan.indexes),
        "scans": list(plan.scans),
        "sorted_in_memory": plan.sorted_in_memory,
        "examined": plan.examined,
    }
    return {**told, "raw": plan.raw} if raw else told


def _lines(answer: dict[str, Any]) -> list[str]:
    in_memory = {True: "yes: no index has this order", False: "no", None: "not told"}
    lines: list[str] = []
    for part in (answer, *answer["further"]):
        facts = [("server", part["server"])] if part is answer else []
        facts += [
            ("indexes", ", ".join(part["indexes"]) or "none"),
            ("read whole", ", ".join(part["scans"]) or "nothing"),
            ("sorted in memory", in_memory[part["sorted_in_memory"]]),
            ("examined", "not told" if part["examined"] is None else f"{part['examined']:,}"),
        ]
        lines += [""] if lines else []
        lines += [line.strip() for line in part["statement"].splitlines()]
        lines += ["", *columns(facts)]
        lines += ["", str(part["raw"])] if "raw" in part else []
    return lines
