"""What is wrong with a file of settings, in one line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Place = tuple[int | str, ...]
GUIDE = "docs/configuration.md"
_LISTED = 12
"""The most keys that are named in a line."""


def one_line(
    error: ValidationError, model: type[BaseModel] | None = None, flags: Collection[str] = ()
) -> str:
    """All problems of `error` in one line.

    For an unknown key the nearest of `model`'s is suggested; keys among `flags` were given on the
    command line, and are named as they were typed there.
    """
    problems = error.errors(include_url=False)
    return "; ".join(_problem(problem["loc"], problem, model, flags) for problem in problems)


def flag(key: str) -> str:
    """The command line's name of a key."""
    return f"--{key.replace('_', '-')}"


def _problem(loc: Place, problem: Any, model: type[BaseModel] | None, flags: Collection[str]) -> str:
    key = ".".join(str(part) for part in loc)
    message = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "it must")
    if not loc:
        subject, _, rest = message.partition(" ")
        return f"{flag(subject)} {rest}" if subject in flags else message
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {key}: {_way_out(str(loc[-1]), _known(model, loc[:-1]))}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = message[0].lower() + message[1:]
    if isinstance(problem["input"], dict):
        return message if message.startswith(f"{key}.") else f"{key}: {message}"
    if key in flags:
        return f"{flag(key)} is {problem['input']}: {message}"
    return f"{key} = {problem['input']!r}: {message}"


def _way_out(key: str, known: list[str]) -> str:
    if near := get_close_matches(key, known, n=1):
        return f"did you mean {near[0]}?"
    listed = 0 < len(known) <= _LISTED
    return (
        f"remove it, or {'choose from ' + ', '.join(known) if listed else 'see ' + GUIDE + ' for the keys'}"
    )


def _known(model: Any, path: Place) -> list[str]:
    """The keys of the table at `path` of `model`; none where it is no table."""
    for part in path:
        if isinstance(part, str):
            model = _tables(model).get(part)
    return list(_tables(model))


def _tables(model: Any) -> dict[str, Any]:
    """The keys of a model or a dataclass with the type of each, looked for inside unions and tuples too."""
    for kind in (model, *get_args(model)):
        if is_dataclass(kind):
            return {item.name: item.type for item in fields(kind)}
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return {name: item.annotation for name, item in kind.model_fields.items()}
    return {}
