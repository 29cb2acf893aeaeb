"""A validation error as one line: the key, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def one_line(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """All problems of `error` in one line; with the `model` an unknown key is told its nearest known one."""
    return "; ".join(_problem(model, **problem) for problem in error.errors(include_url=False))


def _problem(
    model: type[BaseModel] | None,
    *,
    loc: tuple[int | str, ...],
    msg: str,
    type: str,
    input: object,
    **_: object,
) -> str:
    key = ".".join(str(part) for part in loc)
    if not key or type == "value_error":
        return msg.removeprefix("Value error, ")
    if type in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known(model, loc[:-1])
        near = get_close_matches(str(loc[-1]), known, n=1)
        choice = f"choose from {', '.join(known)}" if known else "see the README for the keys"
        way_out = f"did you mean {near[0]}?" if near else f"remove it, or {choice}"
        return f"unknown key {key}: {way_out}"
    if type == "missing":
        return f"{key} is missing"
    return f"{key} = {input!r}: {msg[0].lower()}{msg[1:]}"


def _known(model: Any, path: Iterable[int | str]) -> list[str]:
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
