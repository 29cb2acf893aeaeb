"""The presets that come with the program: settings by name."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "presets"


def presets() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def preset(name: str) -> str:
    """The text of a preset; KeyError where there is none of that name."""
    if name not in presets():
        raise KeyError(name)
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
