"""The command line's frame: lazy commands, one-line errors, documented exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click
import typer

from common.errors import FedmotionError, way_out

INTERRUPTED = 130
INTERNAL = 1
USAGE = 2

Commands = Mapping[str, "tuple[str, str, str] | tuple[str, Commands]"]
"""Command -> (module, function, help), or (help, its own commands): they may lie in any package."""


class InterruptionError(FedmotionError):
    """Stopped by the user (exit code 130); the message says how to go on."""

    exit_code = INTERRUPTED


class _Lazy(click.Group):
    """A group that lists its commands from a table and imports one when it is called."""

    def __init__(self, table: Commands, **settings: Any) -> None:
        super().__init__(**settings)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's entry in the list; `resolve_command` brings the command itself."""
        entry = self._table.get(cmd_name)
        if entry is None:
            return None
        if len(entry) == 2:
            return _Lazy(entry[1], name=cmd_name, help=entry[0], no_args_is_help=True)
        return click.Command(cmd_name, help=entry[2])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        entry = self._table.get(name)
        if entry is None:
            path = ctx.command_path.partition(" ")[2]
            raise click.UsageError(
                f"no such command {f'{path} {name}'.strip()!r}: {way_out(name, self._table)}"
            )
        if len(entry) == 2:
            return name, self.get_command(ctx, name), args[1:]
        module, function, _ = entry
        app = found = getattr(import_module(module), function)
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode="rich")
            app.command(name)(found)
        return name, typer.main.get_command(app), args[1:]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click itself would put an empty line before the one that reports Ctrl-C."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, EOFError):
            raise InterruptionError("interrupted") from None


def run(table: Commands, arguments: Sequence[str]) -> int:
    """Run one command; whatever goes wrong is one line on stderr and the exit code."""
    try:
        result = _group(table).main(list(arguments), prog_name="fedmotion", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return USAGE
    except click.ClickException as error:
        return _fail(error.format_message(), USAGE)
    except FedmotionError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return INTERNAL
    except Exception as error:
        if os.environ.get("FEDMOTION_DEBUG"):
            raise
        name = type(error).__name__
        return _fail(f"internal error: {name}: {error}; FEDMOTION_DEBUG=1 shows where", INTERNAL)


def _group(table: Commands) -> _Lazy:
    return _Lazy(
        table,
        name="fedmotion",
        help="Shared generators of human motion, trained over sites with differential privacy.",
        no_args_is_help=True,
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Show the version and exit.",
            )
        ],
    )


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        print(f"fedmotion {version('fedmotion')}")
        ctx.exit()


def _fail(message: str, code: int) -> int:
    print(f"fedmotion: {' '.join(message.split())}", file=sys.stderr)
    return code
