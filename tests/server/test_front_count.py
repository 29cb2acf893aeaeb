"""What the front answered, in a file: counts by status and nothing about who asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.storage import read_json
from server import front_count
from server.front_count import COUNTS, FrontCount


def test_answers_are_counted_by_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_count, "_SECONDS", 0.0)
    count = FrontCount(tmp_path / COUNTS)
    for status in (200, 404, 200, 502):
        count.add(status)
    assert read_json(tmp_path / COUNTS) == {"200": 2, "404": 1, "502": 1}


def test_a_flood_of_requests_is_no_flood_of_writes(tmp_path: Path) -> None:
    """The first answer is written at once; those within the next seconds wait for the next one after."""
    count = FrontCount(tmp_path / COUNTS)
    count.add(200)
    written = (tmp_path / COUNTS).stat().st_ino
    for _ in range(1000):
        count.add(404)
    assert (tmp_path / COUNTS).stat().st_ino == written
    assert read_json(tmp_path / COUNTS) == {"200": 1}
