"""Writes docs/reference/cli.md from the command's own description: python docs/tools/commands.py [--check]."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from dbkit.cli.app import app

PAGE = Path(__file__).resolve().parent.parent / "reference" / "cli.md"

_INTRODUCTION = """\
# The dbkit command

<!-- Written by docs/tools/commands.py from the command's own description; do not edit. -->

`pip install 'dbkit-stores[cli]'` brings it. [From an empty folder to a deployed change](../howto/migrate.md) shows it at work.

The database, the entities and the folder of migrations are taken from the first of these that says them:

| | option | environment | `[tool.dbkit]` in the nearest pyproject.toml |
|---|---|---|---|
| the database | `--url` | `DBKIT_URL` | `url`, which may hold no password: the file is shared; a SQLite file is seen from the pyproject.toml |
| the entities, a list or tuple of classes | `--entities` | | `entities = "app.models:ENTITIES"` |
| the folder of migrations, else `migrations` | `--path` | | `path`, seen from the file |

The current folder can be imported from, and that of the pyproject.toml that names the entities.

| exit code | |
|---|---|
| 0 | done |
| 1 | refused, or failed |
| 2 | the command or its options are wrong |
| 3 | the database is dirty: see [Recover from dirty](../howto/dirty.md) |
| 4 | drift: the database is not as the entities declare it |

An error is one or two lines on the standard error, the second with the way out; `--debug` shows its traceback. With
`--json` the answer, an error too, is one document on the standard output, whose keys stay as they are. Passwords are shown
by neither.
"""


def page() -> str:
    """Return the whole page."""
    lines = [_INTRODUCTION]
    for name, command in _commands("dbkit", get_command(app)):
        lines += [f"## {name}", "", *_described(command), "", f"`{_usage(name, command)}`", ""]
        rows = [row for parameter in command.params if (row := _row(parameter)) is not None]
        if rows:
            lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        yield name, command
    for child, below in children.items():
        yield from _commands(f"{name} {child}", below)


def _described(command: Any) -> list[str]:
    return inspect.cleandoc(command.help or "").splitlines()


def _usage(name: str, command: Any) -> str:
    arguments = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
    needed = [
        word if p.required else f"[{word}]"
        for word, p in zip(
            arguments, (p for p in command.params if p.param_type_name == "argument"), strict=True
        )
    ]
    return " ".join([name, *needed, "[OPTIONS]"])


def _row(parameter: Any) -> str | None:
    if parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper()
    else:
        shown = ", ".join(parameter.opts)
        if not parameter.is_flag:
            shown += f" {_value(parameter)}"
    said = parameter.help or ""
    default: object = parameter.default
    if default not in (None, False) and parameter.show_default:
        said += f" Otherwise {getattr(default, 'value', default)}."
    return f"| `{shown}` | {said.replace('|', chr(92) + '|').strip()} |"


def _value(parameter: Any) -> str:
    choices = parameter.type_descriptor.choices
    if choices is not None:
        return "/".join(str(getattr(choice, "value", choice)) for choice in choices)
    return str(parameter.metavar or parameter.name.upper())


def main() -> int:
    """Write the page, or with --check only say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is stale")
    text = page()
    if parser.parse_args().check:
        is_current = PAGE.read_text(encoding="utf-8") == text
        if not is_current:
            print("docs/reference/cli.md is stale: run python docs/tools/commands.py", file=sys.stderr)
        return not is_current
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
