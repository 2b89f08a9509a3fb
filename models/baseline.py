"""The pseudo-model that runs a task's baselines instead of a network."""

from __future__ import annotations

from dataclasses import dataclass

from models.base import ModelSettings, setting


@dataclass
class BaselineSettings(ModelSettings):
    """A baseline of the task; settings for the size or training of a network have no effect."""

    baseline: str | None = setting(
        None, "name of one of the task's baselines; null for one run of each"
    )

    @property
    def label(self) -> str:
        """Return the baseline's name."""
        return self.baseline or "baseline"
