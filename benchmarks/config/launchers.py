"""The settings of the launchers: `hydra/launcher=NAME hydra.launcher.KEY=VALUE`.

Nothing here imports what a launcher needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class LocalSettings:
    """Several runs at once on this machine, each in a process of its own."""

    jobs: int | None = field(
        default=None,
        metadata={
            "minimum": 1,
            "help": "runs at once; null for jobs_per_gpu on every GPU, or one per core without any",
        },
    )
    jobs_per_gpu: int = field(
        default=1, metadata={"minimum": 1, "help": "runs that share a GPU; each sees only that one"}
    )


@dataclass
class SlurmSettings:
    """A job per run on a SLURM cluster, in arrays, through submitit."""

    partition: str | None = field(default=None, metadata={"help": "null for the cluster's own"})
    account: str | None = field(default=None, metadata={"help": "whom to charge"})
    qos: str | None = field(default=None, metadata={"help": "quality of service"})
    gpus: int = field(default=0, metadata={"minimum": 0, "help": "per job"})
    cpus: int = field(
        default=1, metadata={"minimum": 1, "help": "per job; the run uses as many threads"}
    )
    memory_gib: float | None = field(
        default=None, metadata={"above": 0.0, "help": "per job; null for the cluster's own"}
    )
    minutes: int = field(
        default=60, metadata={"minimum": 1, "help": "time limit of one start; a run may need many"}
    )
    starts: int = field(
        default=10, metadata={"minimum": 1, "help": "starts a run may take before it is given up"}
    )
    jobs: int = field(
        default=500, metadata={"minimum": 1, "help": "jobs in the queue or running at once"}
    )
    grace_seconds: int = field(
        default=60, metadata={"minimum": 1, "help": "warning before the time limit ends a start"}
    )
    parameters: dict[str, str] = field(
        default_factory=dict, metadata={"help": "further options of sbatch, by their long names"}
    )


@dataclass
class RaySettings:
    """A task per run on a Ray cluster, or on this machine."""

    address: str | None = field(
        default=None, metadata={"help": "of the cluster, or auto; null to start one here"}
    )
    cpus: int = field(default=1, metadata={"minimum": 1, "help": "per run, and its threads"})
    gpus: float = field(default=0.0, metadata={"minimum": 0.0, "help": "per run; may be a part"})
    retries: int = field(
        default=2, metadata={"minimum": 0, "help": "new starts of a run whose process died"}
    )


LAUNCHERS: dict[str, type] = {"local": LocalSettings, "slurm": SlurmSettings, "ray": RaySettings}
