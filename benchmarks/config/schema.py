"""The typed schema of a run's configuration.

Settings of tasks and models are dataclasses beside their definitions. Field metadata holds the
allowed range: `minimum`, `above`, `below`, `choices` (`known_as`: synonyms of choices). A field
with `"identity": False` does not enter the fingerprint, because it cannot change a score.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.base import ModelSettings
from tasks.base import TaskSettings

SEED_LIMIT = 2**32


@dataclass
class TrainSettings:
    """Optimisation, stopping and arithmetic of a run."""

    optimizer: str = field(
        default="adam",
        metadata={"choices": ("adam", "adamw"), "help": "adamw: decoupled weight decay"},
    )
    learning_rate: float = field(
        default=1e-3, metadata={"above": 0.0, "help": "peak learning rate"}
    )
    weight_decay: float = field(
        default=0.0, metadata={"minimum": 0.0, "help": "weight decay of all parameters"}
    )
    beta2: float = field(
        default=0.999,
        metadata={"minimum": 0.0, "below": 1.0, "help": "decay rate of Adam's second moment"},
    )
    schedule: str = field(
        default="cosine",
        metadata={"choices": ("constant", "cosine"), "help": "learning rate after warm-up"},
    )
    warmup_steps: int = field(
        default=0, metadata={"minimum": 0, "help": "steps of linear learning rate warm-up"}
    )
    final_learning_rate_factor: float = field(
        default=0.01,
        metadata={"minimum": 0.0, "help": "end of the cosine, as a fraction of the peak"},
    )
    clip_norm: float | None = field(
        default=1.0,
        metadata={"above": 0.0, "help": "maximum gradient norm; null disables clipping"},
    )
    batch_size: int = field(default=64, metadata={"minimum": 1, "help": "sequences per step"})
    evaluation_batch_size: int = field(
        default=256,
        metadata={
            "minimum": 1,
            "identity": False,
            "help": "sequences per evaluation batch; no effect on scores",
        },
    )
    max_epochs: int = field(
        default=10, metadata={"minimum": 1, "help": "passes over the training data"}
    )
    max_seconds: float | None = field(
        default=None, metadata={"above": 0.0, "help": "limit on the training time; null for none"}
    )
    max_steps: int | None = field(
        default=None, metadata={"minimum": 1, "help": "limit on the optimiser steps; null for none"}
    )
    max_evaluation_batches: int | None = field(
        default=None,
        metadata={
            "minimum": 1,
            "help": "per evaluation, for smoke tests; null for the whole split",
        },
    )
    patience: int | None = field(
        default=None,
        metadata={
            "minimum": 1,
            "help": "stop after N epochs without a better validation score; null for none",
        },
    )
    checkpoint_seconds: float | None = field(
        default=60.0,
        metadata={
            "minimum": 0.0,
            "identity": False,
            "help": "between checkpoints during training; null for one at its end only",
        },
    )
    device: str = field(
        default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps", "identity": False}
    )
    dtype: str = field(
        default="float32",
        metadata={"choices": ("float32", "float64"), "help": "data type of the computation"},
    )
    precision: str = field(
        default="highest",
        metadata={
            "choices": ("highest", "tf32", "bfloat16"),
            "known_as": {"float32": "highest", "float64": "highest", "fp32": "highest"},
            "help": "of matrix products. highest: the dtype's own; tf32: TensorFloat-32, on CUDA; "
            "bfloat16: autocast of the network on CPU and CUDA, in training, evaluation and "
            "latency. Weights, optimiser, losses and metrics stay float32. The fused kernel on a "
            "CPU computes in float32; model.kernel=torch runs the cells in bfloat16 too",
        },
    )
    threads: int | None = field(
        default=None,
        metadata={"minimum": 1, "identity": False, "help": "CPU threads; null for all cores"},
    )
    deterministic: bool = field(
        default=True, metadata={"help": "equal seeds give bitwise equal results; slower on CUDA"}
    )


@dataclass
class MatchSettings:
    """The budget that all models share; baselines ignore it."""

    kind: str = field(
        default="hidden",
        metadata={
            "choices": ("hidden", "parameters", "flops", "time"),
            "help": "written match=KIND. hidden: model.hidden_size as it is set; "
            "parameters, flops: model.hidden_size is solved for match.budget; "
            "time: training lasts match.budget_seconds",
        },
    )
    budget: int | None = field(
        default=None,
        metadata={
            "minimum": 1,
            "below": 10**15,
            "help": "encoder parameters for match=parameters, forward FLOPs per token of the "
            "encoder for match=flops; met within 1 % or refused",
        },
    )
    budget_seconds: float | None = field(
        default=None,
        metadata={
            "above": 0.0,
            "help": "training time for match=time. train.max_epochs and train.patience have no "
            "effect, and the cosine runs over this time. The number of steps in it, and so the "
            "score, differs from run to run even with train.deterministic",
        },
    )

    @property
    def amount(self) -> float | None:
        """The budget in the unit of its kind, if it has one."""
        given = self.budget if self.budget is not None else self.budget_seconds
        return None if given is None else float(given)


@dataclass
class LogSettings:
    """Optional records of the training, beside `history.csv`."""

    tensorboard: bool = field(
        default=False,
        metadata={
            "identity": False,
            "help": "event files in runs/<run_id>/tensorboard/; needs the extra tensorboard",
        },
    )


@dataclass
class Config:
    """Configuration of a run."""

    task: TaskSettings
    model: ModelSettings
    train: TrainSettings = field(default_factory=TrainSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    log: LogSettings = field(default_factory=LogSettings, metadata={"identity": False})
    seed: int = field(
        default=0,
        metadata={"minimum": 0, "below": SEED_LIMIT, "help": "seed of all random streams"},
    )
    seeds: list[int] | None = field(
        default=None,
        metadata={
            "minimum": 0,
            "below": SEED_LIMIT,
            "identity": False,
            "help": "a list, as in [0,1,2], instead of seed: one run per seed in one process, "
            "trained as a multi-seed group where that is faster",
        },
    )
    smoke: bool = field(
        default=False,
        metadata={"help": "marks a smoke test, which comparisons leave out; see debug=smoke"},
    )
    resume: str = field(
        default="continue",
        metadata={
            "choices": ("continue", "skip_failed", "never"),
            "identity": False,
            "help": "continue: skip finished cells of a sweep and resume interrupted runs; "
            "skip_failed: skip failed cells too; never: run everything again",
        },
    )
    results_dir: str = field(
        default="results", metadata={"identity": False, "help": "directory of tables and runs"}
    )
    cache_dir: str | None = field(
        default=None,
        metadata={
            "identity": False,
            "help": "directory of prepared data; null for the user's cache directory",
        },
    )
