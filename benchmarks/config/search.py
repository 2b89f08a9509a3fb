"""The settings of a search: `experiment=tune hydra.sweeper.KEY=VALUE`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TuneSettings:
    """A search with Optuna: the same number of trials for every arm, chosen on validation."""

    trials: int = field(default=20, metadata={"minimum": 1, "help": "of each arm"})
    sampler: str = field(
        default="tpe", metadata={"choices": ("tpe", "random"), "help": "who chooses the trials"}
    )
    seed: int = field(default=0, metadata={"minimum": 0, "help": "of the sampler"})
    storage: str | None = field(
        default=None,
        metadata={"help": "URL of a database; null for a journal in results_dir/studies"},
    )
    params: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "arms that an experiment's YAML lists"}
    )
    space: dict[str, str] = field(
        default_factory=dict,
        metadata={"help": "what is searched: KEY: interval(a,b), tag(log,interval(a,b)), choice()"},
    )
