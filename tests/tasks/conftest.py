"""Tasks on their default data, loaded once for several files."""

from __future__ import annotations

import pytest

from tasks.language.task import LanguageTask
from tasks.shakespeare import ShakespeareSettings
from tasks.sp500 import Sp500Settings, Sp500Task
from tests.helpers import synthetic_closes, texts


@pytest.fixture(scope="session")
def sp500() -> Sp500Task:
    """Return the task with default settings."""
    return synthetic_closes.load(Sp500Settings())


@pytest.fixture(scope="session")
def tiny() -> LanguageTask:
    """Return tiny Shakespeare in the default split."""
    return texts.load(ShakespeareSettings())
