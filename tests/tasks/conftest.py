"""Tasks on their default data that several files look at, loaded once."""

from __future__ import annotations

import pytest

from tasks.forecast.task import Sp500Settings, Sp500Task
from tasks.language.task import ShakespeareSettings, ShakespeareTask
from tests.helpers import synthetic_closes, texts


@pytest.fixture(scope="session")
def sp500() -> Sp500Task:
    """The default days of the default target."""
    return synthetic_closes.load(Sp500Settings())


@pytest.fixture(scope="session")
def tiny() -> ShakespeareTask:
    """Tiny Shakespeare, in the default split."""
    return texts.load(ShakespeareSettings())
