"""A validation error as one line: the key, the value and what is allowed."""

from __future__ import annotations

from pydantic import ValidationError


def one_line(error: ValidationError) -> str:
    """All problems of `error` in one line."""
    return "; ".join(_problem(**problem) for problem in error.errors(include_url=False))


def _problem(*, loc: tuple[int | str, ...], msg: str, type: str, input: object, **_: object) -> str:
    key = ".".join(str(part) for part in loc)
    if not key or type == "value_error":
        return msg.removeprefix("Value error, ")
    if type == "extra_forbidden":
        return f"unknown key {key}: remove it or see the README for the keys"
    if type == "missing":
        return f"{key} is missing"
    return f"{key} = {input!r}: {msg[0].lower()}{msg[1:]}"
