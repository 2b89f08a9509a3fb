"""The task's own baselines in the place of a net, so that they share its data, metric and table."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.base import ModelSettings


@dataclass
class BaselineSettings(ModelSettings):
    """What a task compares nets with; what sizes or trains a net has no effect on it."""

    baseline: str | None = field(
        default=None,
        metadata={"help": "name of one of the task's baselines; null for all, a run for each"},
    )

    @property
    def label(self) -> str:
        """The baseline's name."""
        return self.baseline or "baseline"
