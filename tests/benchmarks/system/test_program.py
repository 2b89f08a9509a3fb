"""Programs answer mistakes in one line, and Ctrl-C and a closed pipe without a traceback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from benchmarks.system.program import ScriptParser
from tests.helpers.calling import ENVIRONMENT, QUICK, RUN_PY
from tests.helpers.paths import ROOT
from tests.helpers.results_folder import Results

needs_dev_full = pytest.mark.skipif(
    not Path("/dev/full").is_char_device(), reason="requires the device /dev/full (Linux)"
)

IMPORTED_LATE = {
    "run.py": ("hydra", "task=sp500"),
    "scripts/check_statistics.py": ("scripts.simulations",),
    "scripts/collect.py": ("benchmarks.results.collect", "results"),
    "scripts/compare.py": ("benchmarks.analysis.compare", "results"),
    "scripts/export.py": ("benchmarks.reporting.export_tables", "results", "-o", "t.csv"),
    "scripts/export_model.py": ("onnx", "latest"),
    "scripts/report.py": ("benchmarks.reporting.html.report", "results"),
    "scripts/status.py": ("benchmarks.sweeps.status",),
    "scripts/variance.py": ("benchmarks.analysis.variance", "results"),
    "scripts/write_docs.py": ("models.recurrent", "--check"),
}
"""By program: a module that it imports in its main function, and arguments."""

CTRL_C_AT_AN_IMPORT = """
import os, runpy, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == late:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
late, *sys.argv = sys.argv[1:]
sys.meta_path.insert(0, Finder)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("program", IMPORTED_LATE)
def test_ctrl_c_while_a_program_imports_is_one_line(program: str) -> None:
    late, *arguments = IMPORTED_LATE[program]
    answer = subprocess.run(
        [sys.executable, "-c", CTRL_C_AT_AN_IMPORT, late, str(ROOT / program), *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("program", IMPORTED_LATE)
def test_a_reader_may_close_the_pipe(program: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        answer = subprocess.run(
            [sys.executable, str(ROOT / program), "--help"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "results --tsk imdb --margn=2",
            "unrecognized arguments: --tsk (did you mean --task?) imdb --margn=2 (did you mean "
            "--margin?)",
        ),
        ("results --xyz", "unrecognized arguments: --xyz"),
        ("", "the following arguments are required: TABLE"),
        ("results --planned two", "argument --planned: invalid int value: 'two'"),
    ],
)
def test_a_mistake_is_one_line(words: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert mistake(words, capsys) == f"error: {line}; see --help\n"


def test_a_wrong_choice_has_the_allowed_and_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = mistake("results -f markdwon", capsys)
    assert error.startswith("error: argument -f/--format: invalid choice: 'markdwon' (choose from ")
    assert error.endswith("; did you mean markdown?; see --help\n")
    assert error.count("\n") == 1


def test_settings_stand_in_any_place_and_are_not_required(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = ScriptParser("A program.")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("moved", nargs="*", metavar="task.KEY=PATH")
    found = parser.parse_with_settings(["task.data=a", "1", "task.test=b"])
    assert (found.run, found.moved) == ("1", ["task.data=a", "task.test=b"])
    with pytest.raises(SystemExit):
        parser.parse_with_settings([])
    assert capsys.readouterr().err == (
        "error: the following arguments are required: RUN; see --help\n"
    )


def test_paths_are_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "there")
    parser = ScriptParser("A program.")
    parser.add_argument("--out", type=Path)
    assert parser.parse_args(["--out=~/$PLACE/a"]).out == tmp_path / "there" / "a"


def mistake(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is printed for a command line that the parser refuses."""
    parser = ScriptParser("A program.")
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("--task")
    parser.add_argument("--margin")
    parser.add_argument("--planned", type=int)
    parser.add_argument("-f", "--format", choices=("table", "markdown"))
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words.split())
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@contextlib.contextmanager
def lost_output(kind: str) -> Iterator[TextIO]:
    """Open a stream whose reader has stopped, or whose disk is full."""
    if kind == "full":
        with Path("/dev/full").open("w") as full:
            yield full
        return
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        yield closed


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("streams", ["stdout", "both"])
@pytest.mark.parametrize("kind", ["closed", pytest.param("full", marks=needs_dev_full)])
def test_a_run_whose_output_is_lost_goes_on(
    kind: str, streams: str, unbuffered: str, tmp_path: Path
) -> None:
    with lost_output(kind) as lost:
        answer = subprocess.run(
            [sys.executable, RUN_PY, *QUICK, f"results_dir={tmp_path}"],
            cwd=ROOT,
            env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered},
            stdout=lost,
            stderr=subprocess.PIPE if streams == "stdout" else lost,
            text=True,
        )
    assert answer.returncode == 0, answer.stderr
    (row,) = Results(tmp_path).rows
    assert (row["status"], row["error"]) == ("ok", "")
    assert row["test_score"]
    if streams == "stdout":
        note = "note: the output cannot be written (No space left on device); the run goes on\n"
        assert answer.stderr.count(note) == (kind == "full")
        assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("arguments", [["results/published/headline-small.csv"], ["--help"]])
@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        ("closed", 0, ""),
        pytest.param(
            "full",
            2,
            "error: the output cannot be written (No space left on device)\n",
            marks=needs_dev_full,
        ),
    ],
)
def test_a_script_whose_output_is_lost_is_one_line(
    kind: str, code: int, error: str, arguments: list[str]
) -> None:
    with lost_output(kind) as lost:
        answer = subprocess.run(
            [sys.executable, "scripts/compare.py", *arguments],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=lost,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (answer.returncode, answer.stderr) == (code, error)


def test_a_script_whose_output_is_closed_is_one_line() -> None:
    script = [sys.executable, "scripts/compare.py", "results/published/headline-small.csv"]
    answer = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *script],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2
    assert answer.stderr == "error: the output cannot be written (it is closed)\n"
