"""Settings of a search: `experiment=tune hydra.sweeper.KEY=VALUE`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TuneSettings:
    """A search with Optuna: N trials per arm, the best chosen by validation score."""

    trials: int = field(default=20, metadata={"minimum": 1, "help": "per arm"})
    sampler: str = field(
        default="tpe", metadata={"choices": ("tpe", "random"), "help": "sampling algorithm"}
    )
    seed: int = field(default=0, metadata={"minimum": 0, "help": "seed of the sampler"})
    storage: str | None = field(
        default=None,
        metadata={"help": "URL of a database; null for a journal in results_dir/studies"},
    )
    params: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "arms listed in an experiment's YAML"}
    )
    space: dict[str, str] = field(
        default_factory=dict,
        metadata={"help": "search space: KEY: interval(a,b), tag(log,interval(a,b)), choice()"},
    )
