"""One report that all tests of the page look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.report import main
from tests.helpers import planted


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `results`, and of them `page.html` under a hostile title."""
    folder = tmp_path_factory.mktemp("made")
    results = planted.full(folder / "results")
    title = f"On {planted.HOSTILE}"
    assert main([str(results), "-o", str(folder / "page.html"), "--title", title]) == 0
    return folder
