"""The peak of matrix products: measured once, kept as a maximum, whatever happens to its file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.system import peak_flops as peak
from benchmarks.system.load import is_busy
from benchmarks.system.peak_flops import (
    Conditions,
    conditions,
    measure,
    peak_gflops,
    record,
    recorded,
)
from tests.helpers.processes import at_once

CPU = torch.device("cpu")
HERE = Conditions("cpu", "a processor", "float32", "highest", 1, "2.9", 4)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "load_average", lambda: 0.1)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[torch.dtype]]:
    """Let measurements come to what is planted; what was measured is written down."""

    def plant(*rates: float | None) -> list[torch.dtype]:
        left: Iterator[float | None] = iter(rates)
        dtypes: list[torch.dtype] = []

        def planted(device: torch.device, dtype: torch.dtype) -> float | None:
            dtypes.append(dtype)
            return next(left)

        monkeypatch.setattr(peak, "measure", planted)
        return dtypes

    return plant


def the_file(directory: Path) -> Path:
    (file,) = (directory / "peaks").iterdir()
    return file


def make_old(file: Path, by: float = 2 * peak.REMEASURE_SECONDS) -> None:
    moment = file.stat().st_mtime - by
    os.utime(file, (moment, moment))


def test_it_is_measured_once(tmp_path: Path, answers: Callable[..., list[torch.dtype]]) -> None:
    dtypes = answers(97.5)
    assert [peak_gflops(tmp_path, CPU, HERE) for _ in range(3)] == [97.5] * 3
    assert len(dtypes) == 1


@pytest.mark.parametrize(("later", "then"), [(120.0, 120.0), (60.0, 97.5)], ids=["higher", "lower"])
def test_a_later_measurement_can_only_raise_it(
    later: float, then: float, tmp_path: Path, answers: Callable[..., list[torch.dtype]]
) -> None:
    dtypes = answers(97.5, later)
    peak_gflops(tmp_path, CPU, HERE)
    make_old(the_file(tmp_path))
    assert [peak_gflops(tmp_path, CPU, HERE) for _ in range(3)] == [then] * 3
    assert len(dtypes) == 2  # and not a third time, whichever it was


def test_a_clock_that_was_set_back_delays_nothing(
    tmp_path: Path, answers: Callable[..., list[torch.dtype]]
) -> None:
    dtypes = answers(97.5, 120.0)
    peak_gflops(tmp_path, CPU, HERE)
    make_old(the_file(tmp_path), by=-1e6)
    assert peak_gflops(tmp_path, CPU, HERE) == 120.0
    assert len(dtypes) == 2


OTHERS = [
    {"device": "cuda"},
    {"device_name": "another"},
    {"dtype": "float64"},
    {"precision": "bfloat16"},
    {"threads": 2},
    {"torch_version": "2.10"},
    {"cores": 2},
]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_each_combination_of_conditions_has_its_own_record(
    other: dict[str, Any], tmp_path: Path, answers: Callable[..., list[torch.dtype]]
) -> None:
    answers(97.5, 300.0)
    assert peak_gflops(tmp_path, CPU, HERE) == 97.5
    assert peak_gflops(tmp_path, CPU, dataclasses.replace(HERE, **other)) == 300.0
    assert peak_gflops(tmp_path, CPU, HERE) == 97.5


def test_nothing_it_depends_on_is_left_out_above() -> None:
    assert {name for other in OTHERS for name in other} == set(dataclasses.asdict(HERE))


def test_the_conditions_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5})
        assert conditions(CPU, "a processor", "float64", "highest").cores == 3
    found = conditions(CPU, "a processor", "float64", "highest")
    assert (found.threads, found.torch_version) == (2, torch.__version__)
    assert (found.device, found.device_name, found.dtype) == ("cpu", "a processor", "float64")


@pytest.mark.parametrize(
    ("dtype", "precision", "multiplied"),
    [
        ("float32", "highest", torch.float32),
        ("float64", "highest", torch.float64),
        ("float32", "tf32", torch.float32),
        ("float32", "bfloat16", torch.bfloat16),
    ],
)
def test_products_are_of_what_the_net_multiplies(
    dtype: str,
    precision: str,
    multiplied: torch.dtype,
    tmp_path: Path,
    answers: Callable[..., list[torch.dtype]],
) -> None:
    dtypes = answers(1.0)
    peak_gflops(tmp_path, CPU, dataclasses.replace(HERE, dtype=dtype, precision=precision))
    assert dtypes == [multiplied]


def test_what_is_measured_on_a_busy_machine_is_not_kept(
    tmp_path: Path,
    answers: Callable[..., list[torch.dtype]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(40.0, 97.5)
    monkeypatch.setattr(peak, "load_average", lambda: 2.0)
    assert peak_gflops(tmp_path, CPU, HERE) == 40.0
    assert not (tmp_path / "peaks").exists()
    monkeypatch.setattr(peak, "load_average", lambda: 0.9)
    assert peak_gflops(tmp_path, CPU, HERE) == 97.5
    make_old(the_file(tmp_path))
    monkeypatch.setattr(peak, "load_average", lambda: 2.0)
    assert peak_gflops(tmp_path, CPU, HERE) == 97.5  # what is known needs no third measurement


@pytest.mark.parametrize(
    ("load", "threads", "device", "busy"),
    [
        *((2.4, 2, "cpu", False), (2.5, 2, "cpu", False), (2.6, 2, "cpu", True)),
        *((None, 2, "cpu", False), (9.0, None, "cpu", False)),
        *((9.0, 2, None, True), (9.0, 2, "", True), (9.0, 2, "cuda:0", False)),
    ],
)
def test_busy_is_a_load_above_the_threads_of_a_cpu_run(
    load: float | None, threads: int | None, device: str | None, busy: bool
) -> None:
    assert is_busy(load, threads, device) == busy


DAMAGE = {
    "cut short": b'{"gflops": 97',
    "binary": bytes(range(256)),
    "no number": b'{"gflops": "fast"}\n{"gflops": NaN}\n{"gflops": -1}\n{"gflops": Infinity}',
    "other JSON": b'[97.5]\n97.5\n{"rate": 97.5}\nnull',
    "empty": b"",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_as_none_and_goes_on_being_used(
    kind: str, tmp_path: Path, answers: Callable[..., list[torch.dtype]]
) -> None:
    dtypes = answers(50.0, 97.5)
    peak_gflops(tmp_path, CPU, HERE)
    the_file(tmp_path).write_bytes(DAMAGE[kind])
    assert recorded(the_file(tmp_path)) is None
    assert [peak_gflops(tmp_path, CPU, HERE) for _ in range(2)] == [97.5, 97.5]
    assert len(dtypes) == 2
    assert recorded(the_file(tmp_path)) == 97.5


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_spares_the_other_records(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "records"
    for rate in (30.0, 60.0):
        record(file, rate, HERE, is_higher=True)
    with file.open("ab") as opened:
        opened.write(DAMAGE[kind])
    assert recorded(file) == 60.0
    record(file, 90.0, HERE, is_higher=True)
    assert recorded(file) == 90.0


@pytest.mark.parametrize("place", ["peaks", "."])
def test_a_folder_that_cannot_be_written_costs_only_time(
    place: str,
    tmp_path: Path,
    answers: Callable[..., list[torch.dtype]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = tmp_path / "cache"
    in_the_way = (directory / place).resolve()
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("a file where a folder should be")
    dtypes = answers(97.5, 98.5)
    assert [peak_gflops(directory, CPU, HERE) for _ in range(2)] == [97.5, 98.5]
    assert len(dtypes) == 2
    assert capsys.readouterr().out.count("note: cannot record the peak") == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_measure_at_once_lose_no_record(tmp_path: Path) -> None:
    file = tmp_path / "peaks" / "records"

    def work(number: int) -> bool:
        for turn in range(20):
            record(file, 1.0 + number + turn / 100, HERE, is_higher=True)
        return recorded(file) is not None

    assert all(at_once(16, work))
    assert recorded(file) == 16.19
    assert sum(b"gflops" in line for line in file.read_bytes().splitlines()) == 16 * 20


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_this_processor_has_a_peak(dtype: torch.dtype) -> None:
    state = torch.get_rng_state()
    found = measure(CPU, dtype)
    assert found is not None
    assert 0.001 < found < 1e6
    assert torch.equal(torch.get_rng_state(), state)


def test_the_fastest_size_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for fastest in peak.CPU_SIZES:
        monkeypatch.setattr(peak, "rate_of", lambda size, *_, f=fastest: 90.0 + (size == f))
        assert measure(CPU, torch.float32) == 91.0


def test_slow_products_are_not_made_large(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def slow(size: int, device: torch.device, dtype: torch.dtype) -> float:
        sizes.append(size)
        return 1.0

    monkeypatch.setattr(peak, "rate_of", slow)
    assert measure(CPU, torch.bfloat16) == 1.0
    assert sizes == [256]


def test_a_device_without_the_product_gives_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> float:
        raise RuntimeError("not implemented for this type")

    monkeypatch.setattr(peak, "rate_of", refuse)
    assert measure(CPU, torch.float32) is None
    assert peak_gflops(tmp_path, CPU, HERE) is None
    assert not (tmp_path / "peaks").exists()
