"""The commands of the guides, by the names that their fenced blocks carry."""

from __future__ import annotations

import re
from pathlib import Path

OPERATIONS = Path(__file__).resolve().parents[1] / "docs" / "operations"


def blocks(guide: str, language: str = "bash") -> dict[str, str]:
    """Name -> text of every fenced block of that language: ```bash NAME."""
    text = (OPERATIONS / guide).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language} ([\w-]+)\n(.*?)^```$", text, re.M | re.S)
    assert len(dict(found)) == len(found), "two blocks of one name"
    assert text.count("\n```") == 2 * len(re.findall(r"^```\w+ [\w-]+$", text, re.M)), (
        "a block without a name"
    )
    return dict(found)
