"""Commands of commands: listed and reached without importing what they do not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fedmotion
from server.shell import Commands, run

GROUPS = {name: entry[1] for name, entry in fedmotion.COMMANDS.items() if len(entry) == 2}
_EMPTY: Commands = {}
_JOIN: Commands = {"request": ("client.joining", "request", "At the site."), "deep": ("D.", _EMPTY)}
TABLE: Commands = {"join": ("Join.", _JOIN)}


@pytest.mark.parametrize("arguments", [["join"], ["join", "--help"], ["keys", "--help"]])
def test_a_groups_commands_are_listed_with_what_they_do(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fedmotion.COMMANDS, arguments) == (0 if "--help" in arguments else 2)
    out = capsys.readouterr().out
    for name, entry in GROUPS[arguments[0]].items():
        assert f"\n  {name} " in out and str(entry[-1]).split(":")[0][:30] in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["simulat"], "no such command 'simulat': did you mean simulate?"),
        (["join", "acept"], "no such command 'join acept': did you mean accept?"),
        (["keys", "xyz"], "no such command 'keys xyz': choose from init, show, rotate, renew"),
        (["join", "deep", "x"], "no such command 'join deep'"),
        (["joi", "--help"], "no such command 'joi': did you mean join?"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fedmotion.COMMANDS, arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1


def test_groups_may_hold_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(TABLE, ["join", "deep", "--help"]) == 0
    assert run(TABLE, ["join", "request", "--help"]) == 0
    assert "--out" in capsys.readouterr().out


def test_every_entry_of_the_table_is_there() -> None:
    """Client and server are reached by name alone: a module or function that is renamed shows here."""
    code = """
import importlib, fedmotion
def walk(table):
    for entry in table.values():
        if len(entry) == 2:
            walk(entry[1])
        else:
            assert callable(getattr(importlib.import_module(entry[0]), entry[1])), entry
walk(fedmotion.COMMANDS)
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def test_help_imports_no_command() -> None:
    code = """
import sys, fedmotion
from server.shell import run
run(fedmotion.COMMANDS, ["join", "--help"])
print([name for name in ("torch", "flwr", "cryptography", "client") if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
