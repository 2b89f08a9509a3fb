"""Cells that share a process do not influence each other's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.config.compose import CellComposer, hydra_at
from benchmarks.config.fingerprint import fingerprint
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.results.row import COLUMNS
from benchmarks.results.store import Store
from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.directory import SweepDirectory
from benchmarks.sweeps.launchers.base import SweepContext, WorkItem
from benchmarks.sweeps.launchers.sequential import SequentialLauncher
from benchmarks.sweeps.plan import DataDescriptions
from benchmarks.system.signals import Interruption
from tasks.sp500 import Sp500Task
from tests.helpers.paths import ROOT

MEASURED = {"run_id", "started_at", "load_average", "tokens_per_second", "peak_rss_mib"}
MEASURED |= {"peak_gflops", "model_flops_utilisation"}
MEASURED |= {"concurrent_runs", *(n for n in COLUMNS if "seconds" in n or "latency" in n)}

# Each changes other state of the process: RNG, precision, algorithms, a failure, memory.
CELLS = [
    ["task=sp500", "model=lstm", "model.dropout=0.3", "model.num_layers=2"],
    ["task=sp500", "model=rnn", "train.dtype=float64", "train.deterministic=false"],
    ["task=sp500", "model=gru", "train.learning_rate=1e30", "train.clip_norm=null"],
    ["task=sp500", "model=bigru", "model.dropout=0.3", "seed=1", "model.hidden_size=64"],
    ["task=shakespeare", "model=gru", "model.dropout=0.3", "task.sample_chars=20"],
]


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    deterministic, random_state = torch.get_deterministic_debug_mode(), torch.get_rng_state()
    yield
    torch.set_deterministic_debug_mode(deterministic)
    torch.set_rng_state(random_state)


@pytest.fixture(scope="module")
def cells(shared_cache: Path) -> list[Cell]:
    register_schemas()
    machine = ["train.device=cpu", "train.threads=1", f"cache_dir='{shared_cache}'"]
    describe = DataDescriptions()

    def cell(number: int, config: Config) -> Cell:
        prints = [fingerprint(config, describe(config), "cpu")]
        return Cell(number, [], f"cell-{number}", config, prints)

    with hydra_at(ROOT / "conf"):
        composer = CellComposer(["debug=smoke", *machine])
        return [cell(number, composer.compose(chosen)) for number, chosen in enumerate(CELLS)]


def launcher_in(results: Path) -> SequentialLauncher:
    store, folder = Store(results), SweepDirectory(results / "sweeps" / "s")
    folder.write([], [], "basic", 0)
    context = SweepContext(store, store.index(), folder, ROOT / "conf")
    return SequentialLauncher(context, Interruption())


def run_all(results: Path, cells: list[Cell]) -> dict[int, dict[str, Any]]:
    """Run cells one after the other and return their results without times, by number."""
    launcher, found = launcher_in(results), {}
    for cell in cells:
        assert launcher.free_slots() == 1
        launcher.submit([WorkItem(cell, None)])
        (ended,) = launcher.poll()
        assert ended.run_id is not None
        row = launcher.context.store.row(ended.run_id)
        assert row is not None
        weights = launcher.context.store.runs / ended.run_id / "weights.safetensors"
        found[cell.number] = {name: row[name] for name in COLUMNS if name not in MEASURED}
        if row["status"] == "ok":
            tensors = load_file(weights)
            found[cell.number] |= {name: t.numpy().tobytes() for name, t in tensors.items()}
    return found


def test_the_order_of_cells_changes_no_number(cells: list[Cell], tmp_path: Path) -> None:
    forwards = run_all(tmp_path / "forwards", cells)
    backwards = run_all(tmp_path / "backwards", cells[::-1])
    alone = run_all(tmp_path / "alone", cells[3:4])
    assert [forwards[n]["status"] for n in range(5)] == ["ok", "ok", "diverged", "ok", "ok"]
    assert forwards == backwards
    assert alone[3] == forwards[3]


def test_an_exception_ends_its_cell_but_not_the_sweep(
    cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(self: Sp500Task, *arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    launcher = launcher_in(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Sp500Task, "loss", loss)
        launcher.submit([WorkItem(cells[0], None)])
    (ended,) = launcher.poll()
    assert ended.run_id is not None
    row = launcher.context.store.row(ended.run_id)
    assert row is not None
    assert (row["status"], row["error"]) == ("failed", "ZeroDivisionError: a bug")
    log = launcher.context.directory.log(cells[0]).read_text(encoding="utf-8")
    assert "Traceback" in log
    assert "in loss" in log
    assert launcher.context.store.leases.read(cells[0].fingerprints[0]) is None
    assert launcher.poll() == []


def test_a_cell_leased_by_another_process_is_not_run(cells: list[Cell], tmp_path: Path) -> None:
    launcher = launcher_in(tmp_path)
    leases = launcher.context.store.leases
    launcher.context.store.check_writable()
    # A lease that cannot be read is being written by another process.
    leases.path(cells[0].fingerprints[0]).touch()
    launcher.submit([WorkItem(cells[0], None)])
    assert launcher.poll() == [Completion(cells[0], held_elsewhere=True)]
    assert [*launcher.context.store.runs.iterdir()] == []


def test_a_signal_writes_a_row_and_then_ends_the_sweep(
    cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = launcher_in(tmp_path)
    loss = Sp500Task.loss

    def signal_comes(self: Sp500Task, *arguments: Any) -> torch.Tensor:
        if launcher.interruption.requested is None:
            launcher.interruption.handle(15, None)
        return loss(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Sp500Task, "loss", signal_comes)
        with launcher.interruption.deferred():
            launcher.submit([WorkItem(cells[0], None)])
    (ended,) = launcher.poll()
    assert ended.run_id is not None
    row = launcher.context.store.row(ended.run_id)
    assert row is not None
    assert (row["status"], row["error"]) == ("interrupted", "KeyboardInterrupt: SIGTERM")
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        launcher.interruption.check()
