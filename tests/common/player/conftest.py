"""One browser for all pages of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import Browser, started


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("browser")) as browser:
        yield browser
