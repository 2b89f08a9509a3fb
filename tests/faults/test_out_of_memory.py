"""A cell that requires more memory than available: it alone fails, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.faulty import FaultTable, ended, finished_rows, is_complete, rows_of

MORE_THAN_ANY_MACHINE_HAS = 4_000_000
MORE_THAN_IS_LEFT = 12_000
"""Units of an LSTM whose weights, gradients and moments take some 9 GiB."""


def check(folder: Path, output: str, absurd: int, fault_table: FaultTable, kind: str) -> None:
    """Check that the large cell has a row with the reason, and the two others succeed."""
    fault = fault_table(kind)
    fault.injected += 1
    rows = rows_of(folder)
    fault.lost += 3 - len(rows)
    (failed,) = (row for row in rows.values() if row["status"] != "ok")
    assert (len(rows), len(finished_rows(folder))) == (3, 2)
    assert (failed["status"], failed["hidden_size"]) == ("out_of_memory", absurd)
    assert "3 of 3 cells: 2 ok, 1 out_of_memory" in output
    assert "log: " in output
    assert is_complete(folder)


@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_a_cell_out_of_memory_leaves_the_others_untouched(
    small: list[str], faults: FaultTable, tmp_path: Path, launcher: str
) -> None:
    folder = tmp_path / "results"
    sizes = f"model.hidden_size=8,{MORE_THAN_ANY_MACHINE_HAS},9"
    command = ["-m", f"hydra/launcher={launcher}", *small, sizes, f"results_dir={folder}"]
    done = ended(command, tmp_path, code=1)
    check(folder, done.output, MORE_THAN_ANY_MACHINE_HAS, faults, "out of memory in one cell")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_a_cell_out_of_cuda_memory_leaves_the_others_untouched(
    small: list[str], faults: FaultTable, tmp_path: Path, launcher: str
) -> None:
    """This process takes what the device has but for 2 GiB."""
    folder = tmp_path / "results"
    sizes = f"model.hidden_size=8,{MORE_THAN_IS_LEFT},9"
    where = ["train.device=cuda", "train.max_steps=2", f"results_dir={folder}"]
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - 2 * 2**30, dtype=torch.uint8, device="cuda")
    try:
        command = ["-m", f"hydra/launcher={launcher}", *small, sizes, *where]
        done = ended(command, tmp_path, code=1)
    finally:
        del taken
        torch.cuda.empty_cache()
    check(folder, done.output, MORE_THAN_IS_LEFT, faults, "out of CUDA memory in one cell")
