"""Shared parts of the performance programs: turns, ratios, load, output file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from benchmarks.system.load import ExternalLoad
from scripts.perf import measuring
from scripts.perf.measuring import (
    Report,
    interleaved,
    parser_of,
    run_benchmark,
    speed,
    spread,
)
from tests.helpers.paths import ROOT
from tests.helpers.ratios import read_ratios


class QuietLoad(ExternalLoad):
    """A machine on which other processes use some cores."""

    others = 0.0

    def cores(self) -> float:
        return self.others


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ExternalLoad", QuietLoad)
    monkeypatch.setattr(measuring, "SAME_MEASUREMENT_SECONDS", -1.0)


def test_arms_alternate_after_an_uncounted_call() -> None:
    order: list[str] = []
    arms = {name: lambda name=name: order.append(name) for name in "abc"}
    times = interleaved(arms, repeats=3)
    assert "".join(order) == "abc" + "cba" + "abc" + "cba"
    assert {name: len(seconds) for name, seconds in times.items()} == dict.fromkeys("abc", 3)


def test_an_arm_may_time_itself() -> None:
    times = interleaved({"slow": lambda: 3.0, "fast": lambda: 1.5}, repeats=2)
    assert times == {"slow": [3.0, 3.0], "fast": [1.5, 1.5]}
    assert speed(times, "fast", over="slow") == 2.0


def test_the_ratio_is_of_the_shortest_times_and_the_spread_of_the_turns() -> None:
    times = {"bare": [1.0, 2.0, 4.0], "ours": [2.0, 1.0, 2.0]}
    assert speed(times, "ours", over="bare") == 1.0
    assert spread(times, "ours", over="bare") == "2.000 [0.500, 2.000]"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("value", "bound", "is_met"),
    [
        (0.98, {"at_least": 0.98}, True),
        (0.97, {"at_least": 0.98}, False),
        (15.0, {"at_most": 15.0}, True),
        (15.1, {"at_most": 15.0}, False),
        (0.0, {"at_most": 0.05}, True),
    ],
)
def test_ratio_lines_can_be_read(
    value: float, bound: dict[str, float], is_met: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Report().ratio("ours / theirs = all, gru on sp500", value, **bound)
    (read,) = read_ratios(capsys.readouterr().out)
    assert (read.name, read.value) == ("ours / theirs = all, gru on sp500", value)
    assert [read.target] == list(bound.values())
    assert (read.is_met, read.was_busy) == (is_met, False)


@pytest.mark.usefixtures("quiet")
def test_a_busy_machine_is_marked_in_every_ratio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(QuietLoad, "others", 0.5)
    report = Report()
    report.ratio("a", 1.0, at_least=1.0)
    monkeypatch.setattr(QuietLoad, "others", 0.1)
    report.ratio("b", 1.0, at_least=1.0)
    output = capsys.readouterr().out
    assert [ratio.was_busy for ratio in read_ratios(output)] == [True, False]
    assert "other processes used 0.50 of 2 cores" in output


def options() -> argparse.ArgumentParser:
    parser = parser_of("A benchmark.")
    parser.add_argument("--source")
    return parser


def write_hello(chosen: argparse.Namespace, report: Report) -> None:
    report.write(f"hello  \n{chosen.threads} thread")
    report.table(["", "a"], [["b", "1"]])


def test_the_output_is_written_with_its_command_and_without_paths(tmp_path: Path) -> None:
    file = tmp_path / "some.md"
    given = ["--source", "/some/where/imdb", "--write", str(file), "--threads", "1"]
    assert run_benchmark("some", options(), given, write_hello) == 0
    command, conditions, *lines = file.read_text().removeprefix("```\n$ ").splitlines()
    assert command == "python -m scripts.perf.some --source imdb --threads 1"
    assert ", 1 threads; Python " in conditions
    assert lines == ["hello", "1 thread", "```", "", "|  | a |", "| --- | ---: |", "| b | 1 |"]


def test_a_mistake_prints_one_line_and_writes_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.md"
    for given, message in (
        (["--threads", "0", "--write", str(file)], "--threads 0: must be at least 1"),
        (["--write", str(tmp_path / "none" / "some.md")], ": no folder "),
    ):
        assert run_benchmark("some", options(), given, write_hello) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert not file.exists()


def test_the_output_of_every_program_is_published() -> None:
    sources = (ROOT / "scripts" / "perf").glob("*.py")
    found = [re.findall(r'run_benchmark\("(\w+)"', file.read_text()) for file in sources]
    names = {name for names in found for name in names} - {"NAME"}
    assert {"loop", "profile_run"} <= names
    assert names == {file.stem for file in (ROOT / "results" / "published" / "perf").glob("*.md")}
