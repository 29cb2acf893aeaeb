"""A validation error as one line: the key, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Place = tuple[int | str, ...]


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
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(str(loc[-1]), _keys(model, loc[:-1]), n=1)
        way_out = (
            f"did you mean {near[0]}?" if near else "remove it, or see docs/configuration.md for the keys"
        )
        return f"unknown key {key}: {way_out}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = message[0].lower() + message[1:]
    if key in flags:
        return f"{flag(key)} is {problem['input']}: {message}"
    return f"{key} = {problem['input']!r}: {message}"


def _keys(model: type[BaseModel] | None, loc: Place) -> list[str]:
    """The keys that `model` has at `loc`; none where that is not a table of fixed keys."""
    for part in loc:
        if model is not None and isinstance(part, str):
            model = _table(model.model_fields[part].annotation) if part in model.model_fields else None
    return [] if model is None else list(model.model_fields)


def _table(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[Table, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table(part)) is not None), None)
