"""Settings of the launchers: `hydra/launcher=NAME hydra.launcher.KEY=VALUE`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class LocalSettings:
    """Concurrent runs on this machine, one process each."""

    jobs: int | None = field(
        default=None,
        metadata={
            "minimum": 1,
            "help": "concurrent runs; null for jobs_per_gpu per GPU, or one per core without a GPU",
        },
    )
    jobs_per_gpu: int = field(
        default=1, metadata={"minimum": 1, "help": "concurrent runs per GPU; each run sees one GPU"}
    )


@dataclass
class SlurmSettings:
    """One job per run on a SLURM cluster, in job arrays, submitted with submitit."""

    partition: str | None = field(default=None, metadata={"help": "null for the cluster's default"})
    account: str | None = field(default=None, metadata={"help": "account to charge"})
    qos: str | None = field(default=None, metadata={"help": "quality of service"})
    gpus: int = field(default=0, metadata={"minimum": 0, "help": "per job"})
    cpus: int = field(
        default=1, metadata={"minimum": 1, "help": "CPUs per job, and threads of the run"}
    )
    memory_gib: float | None = field(
        default=None, metadata={"above": 0.0, "help": "per job; null for the cluster's default"}
    )
    minutes: int = field(
        default=60,
        metadata={"minimum": 1, "help": "time limit of one start; a longer run is requeued"},
    )
    starts: int = field(default=10, metadata={"minimum": 1, "help": "maximum starts of a run"})
    jobs: int = field(
        default=500, metadata={"minimum": 1, "help": "maximum jobs that are queued or running"}
    )
    grace_seconds: int = field(
        default=60, metadata={"minimum": 1, "help": "time between the warning and the time limit"}
    )
    parameters: dict[str, str] = field(
        default_factory=dict, metadata={"help": "further options of sbatch, by long name"}
    )


@dataclass
class RaySettings:
    """One task per run on a Ray cluster, or on this machine."""

    address: str | None = field(
        default=None,
        metadata={"help": "address of the cluster, or auto; null starts Ray on this machine"},
    )
    cpus: int = field(
        default=1, metadata={"minimum": 1, "help": "CPUs per run, and threads of the run"}
    )
    gpus: float = field(
        default=0.0, metadata={"minimum": 0.0, "help": "GPUs per run; may be a fraction"}
    )
    retries: int = field(
        default=2, metadata={"minimum": 0, "help": "restarts of a run whose process terminated"}
    )


LAUNCHERS: dict[str, type] = {"local": LocalSettings, "slurm": SlurmSettings, "ray": RaySettings}
