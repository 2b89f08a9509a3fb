"""Settings of the launchers: `hydra.launcher.KEY`."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.base import setting


@dataclass
class LocalSettings:
    """Concurrent runs on this machine, one process each."""

    jobs: int | None = setting(
        None,
        "concurrent runs; null for jobs_per_gpu per GPU, or one per core without a GPU",
        minimum=1,
    )
    jobs_per_gpu: int = setting(1, "concurrent runs per GPU; each run sees one GPU", minimum=1)


@dataclass
class SlurmSettings:
    """One job per run on a SLURM cluster, in job arrays, submitted with submitit."""

    partition: str | None = setting(None, "null for the cluster's default")
    account: str | None = setting(None, "account to charge")
    qos: str | None = setting(None, "quality of service")
    gpus: int = setting(0, "per job", minimum=0)
    cpus: int = setting(1, "CPUs per job, and threads of the run", minimum=1)
    memory_gib: float | None = setting(None, "per job; null for the cluster's default", above=0.0)
    minutes: int = setting(60, "time limit of one start; a longer run is requeued", minimum=1)
    starts: int = setting(10, "maximum starts of a run", minimum=1)
    jobs: int = setting(500, "maximum jobs that are queued or running", minimum=1)
    grace_seconds: int = setting(60, "time between the warning and the time limit", minimum=1)
    parameters: dict[str, str] = field(
        default_factory=dict, metadata={"help": "further options of sbatch, by long name"}
    )


@dataclass
class RaySettings:
    """One task per run on a Ray cluster, or on this machine."""

    address: str | None = setting(
        None, "address of the cluster, or auto; null starts Ray on this machine"
    )
    cpus: int = setting(1, "CPUs per run, and threads of the run", minimum=1)
    gpus: float = setting(0.0, "GPUs per run; may be a fraction", minimum=0.0)
    retries: int = setting(2, "restarts of a run whose process terminated", minimum=0)


LAUNCHERS: dict[str, type] = {"local": LocalSettings, "slurm": SlurmSettings, "ray": RaySettings}
