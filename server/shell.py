"""The command line's frame: lazy commands, one-line errors, documented exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version

import click
import typer

from common.errors import FedmotionError

INTERRUPTED = 130
INTERNAL = 1
USAGE = 2

Commands = Mapping[str, tuple[str, str]]


class _Lazy(typer.core.TyperGroup):
    """A group that imports a command's module when that command is asked for."""

    table: Commands = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, function = self.table[cmd_name]
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cmd_name)(getattr(import_module(module), function))
        return typer.main.get_command(app)


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
    except (KeyboardInterrupt, click.Abort) as interrupt:
        return _fail(f"interrupted; {interrupt}" if str(interrupt) else "interrupted", INTERRUPTED)
    except BrokenPipeError:
        return INTERNAL
    except Exception as error:
        if os.environ.get("FEDMOTION_DEBUG"):
            raise
        name = type(error).__name__
        return _fail(f"internal error: {name}: {error}; FEDMOTION_DEBUG=1 shows where", INTERNAL)


def _group(table: Commands) -> _Lazy:
    group = _Lazy(
        name="fedmotion",
        help="Shared generators of human motion, trained over sites with differential privacy for every person.",
        no_args_is_help=True,
        params=[
            click.Option(
                ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print it."
            )
        ],
    )
    group.table = table
    return group


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        print(f"fedmotion {version('fedmotion')}")
        ctx.exit()


def _fail(message: str, code: int) -> int:
    print(f"fedmotion: {' '.join(message.split())}", file=sys.stderr)
    return code
