"""From the leases of several seeds to their rows: each ends in its own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

import benchmarks.runner.multiseed.runner
from benchmarks.config.registry import register_schemas
from benchmarks.config.validation import checked_config
from benchmarks.results.leases import Lease, new_lease
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.multiseed.runner import Result, run_seeds
from benchmarks.runner.run import AlreadyRunningError, RunOptions
from benchmarks.runner.stages import RunContext, measure
from benchmarks.system.processes import ProcessIdentity
from benchmarks.system.signals import Interruption
from benchmarks.training.trainer import Trainer
from models.kernels.compiler import unavailable_reason
from tasks.sp500 import Sp500Settings
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))

CELL = RunOptions(is_cell=True)
Run = Callable[..., dict[int, Result]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "r")


@pytest.fixture
def run(store: Store, shared_cache: Path) -> Run:
    register_schemas()
    machine = ["train.device=cpu", "train.threads=1", f"cache_dir='{shared_cache}'"]
    fixed = ["model=rnn", "task=sp500", "debug=smoke", *machine]

    def with_overrides(
        *overrides: str, options: RunOptions = CELL, interruption: Interruption | None = None
    ) -> dict[int, Result]:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            configs = [
                checked_config(compose("config", overrides=[*fixed, *overrides, f"seed={seed}"]))
                for seed in range(3)
            ]
        results: dict[int, Result] = {}

        def on_end(index: int, result: Result) -> None:
            results[index] = result
            leases = [store.leases.read(path.stem) for path in store.leases.directory.iterdir()]
            held = {lease.run_id for lease in leases if lease is not None}
            assert not (isinstance(result, Row) and result.run_id in held), "nobody needs it now"

        run_seeds(configs, store, interruption or Interruption(), [options] * 3, on_end)
        return results

    return with_overrides


def statuses(results: dict[int, Result]) -> list[str]:
    assert sorted(results) == [0, 1, 2]
    return [
        r.status if isinstance(r, Row) else type(r).__name__ for _, r in sorted(results.items())
    ]


@pytest.mark.parametrize("kernel", ["auto", "torch"])
def test_the_data_is_prepared_once(kernel: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = Sp500Settings.load

    def counted(self: Sp500Settings, cache: Any) -> Any:
        loads.append(self)
        return load(self, cache)

    monkeypatch.setattr(Sp500Settings, "load", counted)
    results = run(f"model.kernel={kernel}")
    assert statuses(results) == ["ok"] * 3
    assert len(loads) == 1
    rows = [row for row in results.values() if isinstance(row, Row)]
    assert {row.trained_together for row in rows} == ({3} if kernel == "auto" else {None})
    assert len({row.run_id for row in rows}) == len({row.fingerprint for row in rows}) == 3
    assert [row.run_id for row in rows] == sorted(row.run_id for row in rows)


@pytest.mark.parametrize("fixed", ["init_seed", "order_seed"])
def test_seeds_with_a_fixed_stream_train_as_alone(fixed: str, run: Run) -> None:
    scores = []
    for kernel in ("auto", "torch"):
        rows = [*run(f"train.{fixed}=7", f"model.kernel={kernel}").values()]
        assert all(isinstance(row, Row) and getattr(row, fixed) == 7 for row in rows)
        scores.append([row.test_score for row in rows if isinstance(row, Row)])
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert len({*scores[0]}) == 3


@pytest.mark.parametrize("kernel", ["auto", "torch"])
def test_a_seed_that_another_process_runs_is_skipped(kernel: str, run: Run, store: Store) -> None:
    first = run(f"model.kernel={kernel}")[1]
    assert isinstance(first, Row)
    assert first.fingerprint is not None
    lease: Lease = new_lease(first.fingerprint, "another", {})
    lease.process = ProcessIdentity(host="elsewhere", boot="b", pid=1, born="1")
    assert store.leases.acquire(lease)
    results = run(f"model.kernel={kernel}")
    assert statuses(results) == ["ok", "AlreadyRunningError", "ok"]
    assert isinstance(results[1], AlreadyRunningError)
    assert [path.stem for path in store.leases.directory.iterdir()] == [first.fingerprint]


def test_all_seeds_are_skipped_if_other_processes_run_them(run: Run, store: Store) -> None:
    for row in run().values():
        assert isinstance(row, Row)
        assert row.fingerprint is not None
        lease = new_lease(row.fingerprint, "another", {})
        lease.process = ProcessIdentity(host="elsewhere", boot="b", pid=1, born="1")
        assert store.leases.acquire(lease)
    assert statuses(run()) == ["AlreadyRunningError"] * 3


def test_a_bug_in_one_seed_does_not_affect_the_others(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: RunContext, trainer: Trainer) -> None:
        if context.config.seed == 1:
            raise ZeroDivisionError("a bug")
        measure(context, trainer)

    monkeypatch.setattr(benchmarks.runner.multiseed.runner, "measure", broken)
    results = run()
    assert statuses(results) == ["ok", "ZeroDivisionError", "ok"]
    kept = {row.seed: row for row in results.values() if isinstance(row, Row)}
    assert sorted(kept) == [0, 2]
    rows = [store.row(path.name) for path in store.runs.iterdir()]
    told = {row["seed"]: (row["status"], row["error"]) for row in rows if row is not None}
    assert told == {
        0: ("ok", None),
        1: ("failed", "ZeroDivisionError: a bug"),
        2: ("ok", None),
    }
    assert not list(store.leases.directory.iterdir())


@pytest.mark.parametrize("kernel", ["auto", "torch"])
def test_single_runs_resume_after_an_interruption(
    kernel: str, run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupt the first test: the training of the others is in their checkpoints."""
    whole = run(f"model.kernel={kernel}")
    interruption = Interruption()

    def interrupted(context: RunContext, *trained: Any) -> None:
        interruption.requested = "SIGTERM"
        interruption.check()

    with monkeypatch.context() as patch:
        for module in ("benchmarks.runner.multiseed.runner", "benchmarks.runner.stages"):
            patch.setattr(f"{module}.measure", interrupted)
        first = run(f"model.kernel={kernel}", interruption=interruption)
    begun = 3 if kernel == "auto" else 1
    assert statuses(first) == ["interrupted"] * begun + ["KeyboardInterrupt"] * (3 - begun)
    again = run(f"model.kernel={kernel}", options=RunOptions())
    assert statuses(again) == ["ok"] * 3
    for index, row in again.items():
        earlier, right = first[index], whole[index]
        assert isinstance(row, Row)
        assert isinstance(right, Row)
        assert row.test_score == right.test_score
        if isinstance(earlier, Row):
            assert (row.run_id, row.starts) == (earlier.run_id, 2)
    assert not list(store.runs.glob("*/checkpoint.safetensors"))
