"""The typed schema of a run's configuration.

A field with `identity=False` does not enter the fingerprint: it cannot change a score. One with
`identity="unless default"` was added later: its default keeps the fingerprints of earlier runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.base import ModelSettings, setting
from tasks.base import TaskSettings

SEED_LIMIT = 2**32


@dataclass
class TrainSettings:
    """Optimisation, stopping and arithmetic of a run."""

    optimizer: str = setting(
        "adam",
        "adamw: decoupled weight decay; sgd: with train.momentum",
        choices=("adam", "adamw", "sgd"),
    )
    learning_rate: float = setting(1e-3, "peak learning rate", above=0.0)
    weight_decay: float = setting(0.0, "weight decay of all parameters", minimum=0.0)
    beta1: float = setting(
        0.9,
        "decay rate of Adam's first moment",
        minimum=0.0,
        below=1.0,
        identity="unless default",
    )
    beta2: float = setting(0.999, "decay rate of Adam's second moment", minimum=0.0, below=1.0)
    momentum: float = setting(0.9, "of sgd", minimum=0.0, below=1.0, identity="unless default")
    schedule: str = setting(
        "cosine",
        "learning rate after warm-up; step is constant, and the final rate after 80 % of the steps",
        choices=("constant", "cosine", "step"),
    )
    warmup_steps: int = setting(0, "steps of linear learning rate warm-up", minimum=0)
    final_learning_rate_factor: float = setting(
        0.01, "end of cosine and step, as a fraction of the peak", minimum=0.0
    )
    clip_norm: float | None = setting(
        1.0, "maximum gradient norm; null disables clipping", above=0.0
    )
    batch_size: int = setting(64, "sequences per step", minimum=1)
    evaluation_batch_size: int = setting(
        256, "sequences per evaluation batch; no effect on scores", minimum=1, identity=False
    )
    max_epochs: int = setting(10, "passes over the training data", minimum=1)
    max_seconds: float | None = setting(
        None, "limit on the training time; null for none", above=0.0
    )
    max_steps: int | None = setting(None, "limit on the optimiser steps; null for none", minimum=1)
    max_evaluation_batches: int | None = setting(
        None, "per evaluation, for smoke tests; null for the whole split", minimum=1
    )
    test: bool = setting(
        True,
        "evaluate a trained network on the test split; false for runs that choose settings, which "
        "comparisons show with --metric val_score only",
        identity="unless default",
    )
    patience: int | None = setting(
        None, "stop after N epochs without a better validation score; null for none", minimum=1
    )
    pretrain: str | None = setting(
        None,
        "self: before the training, embedding and encoder are trained as a language model of the "
        "training documents, without labels; its time counts as training time; null for none",
        choices=("self",),
        identity="unless default",
    )
    pretrain_epochs: int = setting(
        5, "passes of train.pretrain", minimum=1, identity="unless default"
    )
    checkpoint_seconds: float | None = setting(
        60.0,
        "between checkpoints during training; null for one at its end only",
        minimum=0.0,
        identity=False,
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    dtype: str = setting("float32", "data type of the computation", choices=("float32", "float64"))
    precision: str = setting(
        "highest",
        "of matrix products. highest: the dtype's own; tf32: TensorFloat-32, on CUDA; "
        "bfloat16: autocast of the network on CPU and CUDA, in training, evaluation and latency. "
        "Weights, optimiser, losses and metrics stay float32. The fused kernel on a CPU computes "
        "in float32; model.kernel=torch runs the cells in bfloat16 too",
        choices=("highest", "tf32", "bfloat16"),
        known_as={"float32": "highest", "float64": "highest", "fp32": "highest"},
    )
    threads: int | None = setting(
        None, "CPU threads; null for all cores", minimum=1, identity=False
    )
    init_seed: int | None = setting(
        None,
        "seed of the initial weights; null for seed",
        minimum=0,
        below=SEED_LIMIT,
        identity="unless default",
    )
    order_seed: int | None = setting(
        None,
        "seed of the batch order and of dropout; null for seed",
        minimum=0,
        below=SEED_LIMIT,
        identity="unless default",
    )
    ema: float | None = setting(
        None,
        "decay of a moving average of the weights over the optimiser steps, as in 0.999; null for "
        "none. Validation, test and the stored weights use the average",
        above=0.0,
        below=1.0,
        identity="unless default",
    )
    deterministic: bool = setting(True, "equal seeds give bitwise equal results; slower on CUDA")


@dataclass
class MatchSettings:
    """The budget that all models share; baselines ignore it."""

    kind: str = setting(
        "hidden",
        "written match=KIND. hidden: model.hidden_size as it is set; parameters, flops: "
        "model.hidden_size is solved for match.budget; time: training lasts match.budget_seconds",
        choices=("hidden", "parameters", "flops", "time"),
    )
    budget: int | None = setting(
        None,
        "encoder parameters for match=parameters, forward FLOPs per token of the encoder for "
        "match=flops; met within 1 % or refused",
        minimum=1,
        below=10**15,
    )
    budget_seconds: float | None = setting(
        None,
        "training time for match=time. train.max_epochs and train.patience have no effect, and "
        "the cosine runs over this time. The number of steps in it, and so the score, differs "
        "from run to run even with train.deterministic",
        above=0.0,
    )

    max_factor: float = setting(
        8.0,
        "largest hidden size that a budget may give, relative to model.hidden_size; beyond it the "
        "run is refused",
        minimum=1.0,
        identity=False,
    )

    @property
    def amount(self) -> float | None:
        """The budget in the unit of its kind, if it has one."""
        given = self.budget if self.budget is not None else self.budget_seconds
        return None if given is None else float(given)


@dataclass
class LogSettings:
    """Optional records of the training, in addition to `history.csv`."""

    tensorboard: bool = setting(
        False,
        "event files in runs/<run_id>/tensorboard/; needs the extra tensorboard",
        identity=False,
    )


@dataclass
class MeasureSettings:
    """Optional measurements after the training."""

    streaming: bool = setting(
        False,
        "time per step and size of the state after 100, 1,000 and 10,000 steps, of encoders in one "
        "direction",
        identity=False,
    )


@dataclass
class Config:
    """Configuration of a run."""

    task: TaskSettings
    model: ModelSettings
    train: TrainSettings = field(default_factory=TrainSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    log: LogSettings = field(default_factory=LogSettings, metadata={"identity": False})
    measure: MeasureSettings = field(default_factory=MeasureSettings, metadata={"identity": False})
    seed: int = setting(
        0,
        "seed of all random streams, except those with a train.init_seed or train.order_seed",
        minimum=0,
        below=SEED_LIMIT,
    )
    seeds: list[int] | None = field(
        default=None,
        metadata={
            "help": "a list, as in [0,1,2], instead of seed: one run per seed in one process, "
            "trained as a multi-seed group where that is faster",
            "minimum": 0,
            "below": SEED_LIMIT,
            "identity": False,
        },
    )
    recipe: str | None = setting(
        "default",
        "default: the values in conf/task/, conf/model/ and conf/recipe/default/, minutes per run; "
        "strong: those in conf/recipe/strong/, up to two hours per run. The values it sets are "
        "part of the fingerprint, its name is not",
        identity=False,
    )
    smoke: bool = setting(False, "marks a smoke test, which comparisons leave out; see debug=smoke")
    resume: str = setting(
        "continue",
        "continue: skip finished cells of a sweep and resume interrupted runs; skip_failed: skip "
        "failed cells too; never: run everything again",
        choices=("continue", "skip_failed", "never"),
        identity=False,
    )
    results_dir: str = setting(
        "results", "directory of tables and runs", identity=False, is_path=True
    )
    cache_dir: str | None = setting(
        None,
        "directory of prepared data; null for the user's cache directory",
        identity=False,
        is_path=True,
    )
