"""Tasks on their default data that several files look at, loaded once."""

from __future__ import annotations

import made_closes
import pytest
import texts

from tasks.shakespeare import ShakespeareSettings, ShakespeareTask
from tasks.sp500 import Sp500Settings, Sp500Task


@pytest.fixture(scope="session")
def sp500() -> Sp500Task:
    """The default days of the default target."""
    return made_closes.load(Sp500Settings())


@pytest.fixture(scope="session")
def tiny() -> ShakespeareTask:
    """Tiny Shakespeare, in the default split."""
    return texts.load(ShakespeareSettings())
