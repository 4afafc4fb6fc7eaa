"""`dbkit check` and `dbkit backfill`: whether a database fits the entities, also one that dbkit did not make."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic_core import PydanticUndefined

from .failures import DRIFT, Misuse, Stop
from .options import Debug, Entities, Json, Url
from .output import bad, emit
from .settings import Settings

__all__ = ["backfill", "check"]


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="ENTITY…", help="Which ones; all unless named.", show_default=False),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            metavar="N",
            min=1,
            help="MongoDB: look at N documents of each collection instead of all.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    entities: Entities = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say whether the database fits the entities; exit by 4 where it does not. Nothing is written.

    SQL: types, null, keys that are enforced, indexes, references, collations. MongoDB: what is in the documents.
    """
    del debug
    from ..connect import connect
    from .progress import counting
    from .reaching import must_exist
    from .terms import entity_named

    settings = Settings(url, entities)
    chosen = [entity_named(name, settings.entities) for name in names or ()]
    must_exist(settings.parsed_url)
    with connect(settings.url, entities=settings.entities) as db, counting(as_json) as show:
        if show is not None:
            show("looking", 0)
        report = db.check(*chosen, sample=sample)
    lines = (bad("!") + line[1:] if line.startswith("!") else line for line in report.text().splitlines())
    emit(as_json, report.as_dict(), lines)
    if not report.ok:
        Stop(DRIFT)


def backfill(
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="Its class, or its table or collection.")],
    field: Annotated[str, typer.Argument(metavar="FIELD", help="The field that documents lack.")],
    value: Annotated[
        str | None,
        typer.Option("--value", help="What they get; else the field's declared default.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="How many at a time.")] = 1_000,
    url: Url = None,
    entities: Entities = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a new field's value into the documents that lack it, in batches; a SQL row lacks none."""
    del debug
    from ..connect import connect
    from ..entity import spec_of
    from .progress import bar
    from .reaching import must_exist
    from .terms import entity_named, field_named, typed

    settings = Settings(url, entities)
    chosen = entity_named(entity, settings.entities)
    target = field_named(spec_of(chosen), field)
    given = _default(chosen, field) if value is None else typed(target.path, value)
    must_exist(settings.parsed_url)
    with connect(settings.url, entities=settings.entities) as db, bar(as_json, f"{entity}.{field}") as show:
        count = db.backfill(
            chosen, target, given, batch=batch, **({} if show is None else {"progress": show})
        )
    emit(as_json, {"entity": chosen.__name__, "field": field, "filled": count}, [f"filled {count:,}"])


def _default(entity: Any, name: str) -> Any:
    """Return the default that the class declares."""
    info = entity.__pydantic_fields__[name]
    default: Any = info.get_default(call_default_factory=not info.default_factory_takes_validated_data)
    if default is PydanticUndefined:
        raise Misuse(f"{entity.__name__}.{name} declares no default", hint="say --value")
    return default
