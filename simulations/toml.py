"""Settings as TOML: read in one way, and written, which the standard library does not do."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

from common.errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """What `path` says; InputError where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None


def to_toml(values: dict[str, Any], prefix: str = "") -> str:
    """`values` as TOML: scalars and lists first, then tables."""
    lines = [f"{key} = {_scalar(value)}" for key, value in values.items() if not isinstance(value, dict)]
    tables = [
        f"\n[{prefix}{key}]\n{to_toml(value, f'{prefix}{key}.')}"
        for key, value in values.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*lines, *tables]) + "\n"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_scalar(item)}' for key, item in value.items())} }}"
    if isinstance(value, int | float):
        return repr(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '\\"' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'
