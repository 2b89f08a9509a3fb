"""Jobs on a real SLURM: cancelled, requeued, preempted, timed out, on failing nodes."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.faulty import (
    ALWAYS,
    Command,
    FaultTable,
    ended,
    finished_rows,
    rows_of,
    started,
    wrong_results,
)
from tests.helpers.halting import wait_until
from tests.helpers.slurm_bed import (
    EPOCHS,
    LONG,
    SECONDS,
    SLURM,
    Bed,
    find_bed,
    running,
    tidy,
    training,
)

THREE = [*LONG, f"train.max_epochs={EPOCHS}", "seed=0,1,2"]
TWO = [*THREE[:-1], "seed=0,1"]


@pytest.fixture
def bed() -> Iterator[Bed]:
    with tidy(find_bed()) as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results folder of the three runs without a fault."""
    find_bed()
    place = tmp_path_factory.mktemp("undisturbed")
    local = ["-m", "hydra/launcher=local", "hydra.launcher.jobs=2"]
    ended([*local, *THREE, f"results_dir={place / 'results'}"], place)
    return place / "results"


def only(folder: Path, right: Path) -> list[str]:
    """Like `wrong_results`, only for configurations that were run."""
    return [line for line in wrong_results(folder, right) if "no answer" not in line]


def both_train(folder: Path) -> list[str] | None:
    jobs = training(folder)
    return jobs if len(jobs) == 2 else None


def starts_of(folder: Path) -> list[int]:
    return sorted(row["starts"] for row in finished_rows(folder).values())


def test_cancelled_jobs_are_reported_and_finished_later(
    bed: Bed, undisturbed: Path, tmp_path: Path, faults: FaultTable
) -> None:
    fault = faults("SLURM: scancel, running and pending")
    folder = tmp_path / "results"
    overrides = [*SLURM, *THREE, f"results_dir={folder}"]
    with started(overrides, tmp_path) as command:
        at_work = wait_until(lambda: training(folder), "a run trains", SECONDS)[0]
        waiting = bed.jobs("--states=PENDING")[-1]
        bed.ask("scancel", at_work, waiting)
        fault.injected += 2
        assert command.end() == 1, command.errors
    cells = [line for line in command.output.splitlines() if line.startswith("interrupted: ")]
    assert len(cells) == 2, command.output
    for job in (at_work, waiting):
        assert f"SLURM: job {job} ended as CANCELLED" in command.output
    before = finished_rows(folder)
    assert len(before) == 1
    ended(overrides, tmp_path)
    fault.nothing_lost(before, folder)
    fault.nothing_wrong(wrong_results(folder, undisturbed))
    assert starts_of(folder) == [1, 2, 2]
    assert not list(folder.glob("running/*"))


def test_requeued_and_preempted_jobs_are_resumed(
    bed: Bed, undisturbed: Path, tmp_path: Path, faults: FaultTable
) -> None:
    folder = tmp_path / "results"
    with started([*SLURM, *TWO, f"results_dir={folder}"], tmp_path) as command:
        requeued, preempted = wait_until(lambda: both_train(folder), "both train", SECONDS)
        node = bed.node_of(preempted)
        bed.ask("scontrol", "requeue", requeued)
        bed.ask(
            "sbatch", "--partition=high", f"--nodelist={node}", "--output=/dev/null", "--wrap=:"
        )
        faults("SLURM: requeue").injected += 1
        faults("SLURM: preemption").injected += 1
        assert command.end() == 0, command.output + command.errors
    faults("SLURM: requeue").nothing_wrong(only(folder, undisturbed))
    assert starts_of(folder) == [2, 2]
    assert len(rows_of(folder)) == 2


def test_a_job_preempted_with_a_grace_time_is_resumed(
    bed: Bed, undisturbed: Path, tmp_path: Path, faults: FaultTable
) -> None:
    """With a GraceTime the job gets a signal, ends by itself and must be requeued too."""
    folder = tmp_path / "results"
    bed.ask("scontrol", "update", "partitionname=main", "gracetime=60")
    try:
        with started([*SLURM, *TWO, f"results_dir={folder}"], tmp_path) as command:
            preempted = wait_until(lambda: both_train(folder), "both train", SECONDS)[0]
            node = bed.node_of(preempted)
            bed.ask(
                "sbatch", "--partition=high", f"--nodelist={node}", "--output=/dev/null", "--wrap=:"
            )
            faults("SLURM: preemption with a grace time").injected += 1
            assert command.end() == 0, command.output + command.errors
    finally:
        bed.ask("scontrol", "update", "partitionname=main", "gracetime=0")
    faults("SLURM: preemption with a grace time").nothing_wrong(only(folder, undisturbed))
    assert starts_of(folder) == [1, 2]
    assert len(rows_of(folder)) == 2


def test_jobs_are_resumed_after_their_nodes_fail(
    bed: Bed, undisturbed: Path, tmp_path: Path, faults: FaultTable
) -> None:
    """An administrator takes one node down, the other loses its power."""
    folder = tmp_path / "results"
    with started([*SLURM, *TWO, f"results_dir={folder}"], tmp_path) as command:
        jobs = wait_until(lambda: both_train(folder), "both train", SECONDS)
        down, dead = map(bed.node_of, jobs)
        bed.signal(dead, signal.SIGKILL)
        bed.ask("scontrol", "update", f"nodename={down}", "state=down", "reason=test")
        faults("SLURM: node down").injected += 1
        faults("SLURM: node killed").injected += 1
        wait_until(lambda: jobs[0] not in running(folder), "the job has left its node", SECONDS)
        end = time.monotonic() + SECONDS
        while command.process.poll() is None:  # a node that is busy may fail again
            bed.resume(dead)
            time.sleep(1)
            assert time.monotonic() < end, bed.ask("scontrol", "show", "job")
        assert command.end() == 0, command.output + command.errors
    faults("SLURM: node killed").nothing_wrong(only(folder, undisturbed))
    assert starts_of(folder) == [2, 2]
    assert len(rows_of(folder)) == 2


def test_a_run_longer_than_the_time_limit_takes_several_starts(
    bed: Bed, tmp_path: Path, faults: FaultTable
) -> None:
    """A run that may start only once ends as a timeout, and a later sweep resumes it.

    The limit is set when a job trains: a start of a fixed time may end before it on a slow machine.
    """
    fault = faults("SLURM: time limit")
    # On any machine, the first start of a job lasts longer than its limit.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "replace = os.replace\n"
        "def replace_slowly(source, target, **more):\n"
        "    replace(source, target, **more)\n"
        "    if os.path.basename(target) == 'checkpoint.safetensors':\n"
        "        time.sleep(0.35)\n"
        "if 'SLURM_JOB_ID' in os.environ and 'SLURM_RESTART_COUNT' not in os.environ:\n"
        "    os.replace = replace_slowly\n"
    )
    run = [*LONG, "train.max_steps=400", ALWAYS]
    limit = "hydra.launcher.grace_seconds=15"
    many, once, right = (tmp_path / name for name in ("many", "once", "right"))

    def command(folder: Path, *more: str, environment: dict[str, str] | None = None) -> Command:
        overrides = [*SLURM, *run, f"results_dir={folder / 'results'}", *more]
        return Command(overrides, folder, environment)

    slowly = {"PYTHONPATH": str(tmp_path)}
    with_limit = [
        command(many, limit, environment=slowly),
        command(once, limit, "hydra.launcher.starts=1", environment=slowly),
    ]
    without = Command([*run, f"results_dir={right / 'results'}"], right)
    try:
        for folder in (many, once):
            (job,) = wait_until(partial(training, folder / "results"), "a job trains", SECONDS)
            bed.end_soon(job)
        assert with_limit[1].end() == 1, with_limit[1].errors
        assert "timeout: " in with_limit[1].output
        assert "not finished after 1 starts of 10 minutes" in with_limit[1].output
        (row,) = rows_of(once / "results").values()
        assert row["status"] == "timeout"
        assert row["steps"] > 0
        again = command(once)
        with_limit.append(again)
        assert again.end() == 0, again.output + again.errors
        assert with_limit[0].end() == 0, with_limit[0].output + with_limit[0].errors
        assert without.end() == 0, without.errors
    finally:
        for each in [*with_limit, without]:
            each.kill_everything()
    for folder in (many, once):
        (row,) = rows_of(folder / "results").values()
        assert row["starts"] >= 2
        fault.injected += row["starts"] - 1
        fault.nothing_wrong(wrong_results(folder / "results", right / "results"))
