"""A guide's table of keys against the settings that it explains."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from client.datasets import DataOptions


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, object]:
    """Every key of a table and of the tables in it, with its default."""
    found: dict[str, object] = {}
    for name, item in model.model_fields.items():
        kind = item.annotation
        if len(tables := [part for part in get_args(kind) if part is not type(None)]) == 1:
            kind = tables[0] if item.default is None else kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= keys(kind, f"{prefix}{name}.")
        elif kind is DataOptions:
            found |= {f"{prefix}{name}.{option.name}": option.default for option in fields(DataOptions)}
        else:
            found[prefix + name] = ... if item.is_required() else item.default
    return found


def documented(guide: Path) -> dict[str, str]:
    """Key to default, as the table of `guide` has them."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", guide.read_text(), re.MULTILINE)
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def check_defaults(guide: Path, model: type[BaseModel]) -> None:
    """Every key of `model` stands in `guide` with the default that it has."""
    told = documented(guide)
    for key, default in keys(model).items():
        said = told[key].strip("`")
        if default is ...:
            assert said == "required", key
        elif isinstance(default, bool | str):
            assert said == str(default).lower(), key
        elif isinstance(default, int | float):
            assert float(said) == default, key
