"""The command's frame: its groups, and the one place where failures become messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import migrate
from .check import backfill, check
from .demo import demo
from .diff import diff
from .doctor import doctor
from .explain import explain
from .failures import DONE, REFUSED, USAGE, Misuse, tell
from .schema import schema
from .shell import shell

__all__ = ["app", "run"]

_HELP = """One typed persistence interface over memory, SQLite, PostgreSQL and MongoDB.

URL, entities and the folder of migrations come from options, from DBKIT_URL, or from \\[tool.dbkit] in pyproject.toml.
Exit codes: 0 done, 1 refused or failed, 2 usage, 3 dirty, 4 drift.
"""


class _Reporting(TyperGroup):
    """The outermost group: whatever goes wrong below it is told in the same way."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit by its code."""
        del standalone_mode
        given = list(sys.argv[1:] if args is None else args)
        options = {"complete_var": complete_var, "windows_expand_args": windows_expand_args, **extra}
        sys.exit(self._outcome(given, prog_name or "dbkit", {**options, "standalone_mode": False}))

    def _outcome(self, given: list[str], name: str, extra: dict[str, Any]) -> int:
        as_json, debug = "--json" in given, "--debug" in given
        try:
            result: object = super().main(args=given, prog_name=name, **extra)
        except typer.Abort:
            typer.echo("stopped", err=True)
            return REFUSED
        except typer.TyperException as error:
            # Without arguments the help was shown instead.
            if type(error).__name__ == "NoArgsIsHelpError":
                return USAGE
            context: Any = getattr(error, "ctx", None)
            hint = f"{context.command_path} --help" if context is not None else None
            return tell(Misuse(error.format_message(), hint=hint), as_json=as_json, debug=debug)
        # A raw traceback could show a password, so whatever a program's own module raises ends here.
        except Exception as error:  # noqa: BLE001
            return tell(error, as_json=as_json, debug=debug)
        return result if isinstance(result, int) else DONE


app = typer.Typer(
    name="dbkit",
    cls=_Reporting,
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"dbkit-stores {version('dbkit-stores')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version  # its callback has shown it


migrate.app.command()(diff)
app.add_typer(migrate.app, name="migrate")
for _command in (check, backfill, schema, doctor, explain, shell, demo):
    app.command()(_command)


def run() -> int:
    """Run the command that `sys.argv` asks for, and return its exit code."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE
    return DONE
