"""Settings of a search: `hydra.sweeper.KEY`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.base import setting


@dataclass
class TuneSettings:
    """A search with Optuna: N trials per configuration, the best chosen by validation score."""

    trials: int = setting(20, "per configuration", minimum=1)
    sampler: str = setting("tpe", "sampling algorithm", choices=("tpe", "random"))
    seed: int = setting(0, "seed of the sampler", minimum=0)
    storage: str | None = setting(
        None, "URL of a database; null for a journal in results_dir/studies"
    )
    params: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "axes listed in an experiment's YAML"}
    )
    space: dict[str, str] = field(
        default_factory=dict,
        metadata={"help": "search space: KEY: interval(a,b), tag(log,interval(a,b)), choice()"},
    )
