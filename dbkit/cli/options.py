"""The options that commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Debug", "Entities", "Folder", "Json", "Url", "Yes"]

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="DBKIT_URL",
        metavar="URL",
        help="The database: sqlite:///app.db, postgresql://…, mongodb://…",
        show_default=False,
    ),
]
Entities = Annotated[
    str | None,
    typer.Option(
        "--entities",
        metavar="MODULE:NAME",
        help="A list of entity classes, such as app.models:ENTITIES.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--path",
        metavar="FOLDER",
        help="The folder of the migrations; migrations unless given.",
        show_default=False,
    ),
]
# What fails is reported by the outermost group, which looks for these two in the arguments: a mistake in the arguments
# themselves is reported in the same way.
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.", show_default=False)]
Debug = Annotated[bool, typer.Option("--debug", help="Show an error's traceback.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)]
