"""Sweeps on SLURM with a killed launcher, an absent controller or rejected jobs."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.faulty import (
    ROUNDS,
    FaultTable,
    ended,
    finished_rows,
    is_complete,
    rows_of,
    started,
    wrong_results,
)
from tests.helpers.halting import wait_until
from tests.helpers.slurm_bed import LONG, SECONDS, SLURM, Bed, find_bed, submissions, tidy, training

MODELS, SEEDS = ("rnn,lstm,gru", 12) if ROUNDS else ("rnn,lstm", 2)
CELLS = 36 if ROUNDS else 4
SWEEP = [*LONG[1:], f"model={MODELS}", f"seed=range(0,{SEEDS})", "train.max_epochs=60"]


@pytest.fixture
def bed() -> Iterator[Bed]:
    with tidy(find_bed()) as found:
        yield found


def leased(folder: Path) -> int:
    return len(list(folder.glob("running/*.json")))


@pytest.mark.timeout(3600)
def test_a_sweep_killed_three_times_gives_the_same_table(
    bed: Bed, tmp_path: Path, faults: FaultTable
) -> None:
    """Once, all its jobs are killed too. Queued jobs are not submitted again."""
    fault = faults(f"SLURM: {CELLS}-cell sweep killed")
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    folder, cache = tmp_path / "results", tmp_path / "cache"
    place = {"XDG_CACHE_HOME": str(cache)}
    overrides = [*SLURM, *SWEEP, f"results_dir={folder}"]
    local = ["-m", "hydra/launcher=local", "hydra.launcher.jobs=2"]
    ended([*local, *SWEEP, f"results_dir={tmp_path / 'right'}"], tmp_path)

    def finished() -> int:
        return len(finished_rows(folder))

    with contextlib.ExitStack() as jobs:
        for third in range(3):
            command = jobs.enter_context(started(overrides, tmp_path, environment=place))
            if third == 0:
                wait_until(lambda: leased(folder) >= CELLS, "all jobs are entered", SECONDS)
            moment = rng.randint(third * CELLS // 3, (third + 1) * CELLS // 3 - 1)
            wait_until(lambda moment=moment: finished() >= moment, f"{moment} cells", 5 * SECONDS)
            time.sleep(rng.uniform(0, 3))
            if third == 1:
                assert submissions(cache) == arrays(bed), "jobs in the queue were submitted again"
                bed.ask("scancel", "--me", "--full", "--signal=KILL")
            command.process.kill()
            command.process.wait()
            fault.injected += 1
            before = finished_rows(folder)
        ended(overrides, tmp_path, environment=place)
    fault.nothing_lost(before, folder)
    fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))
    assert len(rows_of(folder)) == CELLS
    assert is_complete(folder)
    assert leased(folder) == 0


def arrays(bed: Bed) -> int:
    """Return the number of arrays that the sweep needs."""
    largest = int(bed.knobs()["MAX_ARRAY"])
    return -(-CELLS // largest)


@pytest.mark.skipif(not ROUNDS, reason="a long form: set RNNBENCH_FAULTS")
def test_a_sweep_survives_a_hanging_or_absent_controller(
    bed: Bed, tmp_path: Path, faults: FaultTable
) -> None:
    """Two cells, one in the queue at a time."""
    folder, cache = tmp_path / "results", tmp_path / "cache"
    run = [*LONG, "seed=0,1", "train.max_epochs=60"]
    overrides = [*SLURM, "hydra.launcher.jobs=1", *run, f"results_dir={folder}"]
    place = {"XDG_CACHE_HOME": str(cache)}
    with started(overrides, tmp_path, environment=place) as command:
        wait_until(lambda: training(folder), "a run trains", SECONDS)
        assert len(bed.jobs()) == 1
        bed.signal("slurmctld", signal.SIGSTOP)
        faults("SLURM: controller hangs").injected += 1
        time.sleep(3)
        bed.signal("slurmctld", signal.SIGCONT)
        bed.signal("slurmctld", signal.SIGTERM)
        faults("SLURM: controller away").injected += 1
        refusal = "SLURM rejected the jobs ("
        wait_until(lambda: refusal in command.output, "the next job is refused", SECONDS)
        bed.start("--no-wait")
        assert command.end() == 0, command.output + command.errors
    assert len(finished_rows(folder)) == len(rows_of(folder)) == 2
    assert [row["starts"] for row in rows_of(folder).values()] == [1, 1]
    assert submissions(cache) == 2


def test_slurms_refusal_is_reported(bed: Bed, tmp_path: Path) -> None:
    wrong = ["hydra.launcher.partition=nowhere", f"results_dir={tmp_path / 'results'}"]
    command = ended([*SLURM, *LONG, *wrong], tmp_path, code=2)
    assert "error: SLURM rejected the jobs: " in command.errors
    assert "invalid partition specified: nowhere" in command.errors
    assert not rows_of(tmp_path / "results")


def test_an_unreachable_cluster_is_reported_before_anything_runs(bed: Bed, tmp_path: Path) -> None:
    conf = tmp_path / "slurm.conf"
    text = (bed.root / "etc" / "slurm.conf").read_text()
    conf.write_text(text.replace(f"SlurmctldPort={bed.knobs()['PORT']}", "SlurmctldPort=1"))
    for name in ("gres.conf", "cgroup.conf"):
        (tmp_path / name).write_bytes((bed.root / "etc" / name).read_bytes())
    command = ended(
        [*SLURM, *LONG, f"results_dir={tmp_path / 'results'}"],
        tmp_path,
        code=2,
        environment={"SLURM_CONF": str(conf)},
    )
    assert "hydra/launcher=slurm: SLURM is not available (" in command.errors
