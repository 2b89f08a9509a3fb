"""Text of any encoding and with control characters on the terminal and in a report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reporting.html.figure import printable
from benchmarks.system.terminal import protect_output, visible
from scripts import report
from tests.helpers.calling import ENVIRONMENT, MACHINE, RUN_PY, rows
from tests.helpers.faked_sweeps import Sweep, writes_row
from tests.helpers.paths import ROOT
from tests.helpers.result_tables import GRU, LSTM, arm, write

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CORPUS = "Жил-был naïve 例 \x1b[31mred\x1b[0m \x07\x9b\n" * 200
POOR = [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}]
# Without coercion to UTF-8, as in a container without a locale.
POOR.append({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})


def call(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    found = {k: v for k, v in ENVIRONMENT.items() if k not in ("PYTHONIOENCODING", "LANG")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=found | environment,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\x00\x7f\x9b\r", r"\x00\x7f\x9b\r"),
        ("\u202eabc", r"\u202eabc"),
        ("caf\udce9", r"caf\udce9"),
        ("line\n\ttab ü 例", "line\n\ttab ü 例"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("environment", [POOR[0], POOR[2]], ids=["cp1252", "C"])
def test_a_sample_that_the_terminal_cannot_show_does_not_fail_the_run(
    environment: dict[str, str], tmp_path: Path, shared_cache: Path
) -> None:
    corpus, results = tmp_path / "corpus.txt", tmp_path / "results"
    corpus.write_text(CORPUS, encoding="utf-8")
    places = [f"task.corpus={corpus}", f"results_dir={results}", f"cache_dir={shared_cache}"]
    command = [RUN_PY, "model=rnn", "task=shakespeare", "debug=smoke", *MACHINE, *places]
    ended = call(command, environment)
    assert ended.returncode == 0, ended.stderr
    assert [row["status"] for row in rows(results)] == ["ok"]
    encoding = environment.get("PYTHONIOENCODING", "ascii")
    shown = ended.stdout.decode(encoding)
    assert not CONTROL.search(shown.replace(os.linesep, "\n"))
    (sample,) = results.glob("runs/*/sample.txt")
    first = visible(sample.read_text(encoding="utf-8").partition("\n")[0])
    assert first.encode(encoding, "backslashreplace").decode(encoding) in shown


@pytest.mark.parametrize("script", ["compare", "report", "collect", "export"])
def test_scripts_show_names_that_the_terminal_cannot(script: str, tmp_path: Path) -> None:
    folder = tmp_path / "Ж例"
    folder.mkdir()
    found = [*arm("lstm-Ж", LSTM), *arm("gru", GRU)]
    numbered = [row | {"run_id": f"run-{number}"} for number, row in enumerate(found)]
    write(folder / "results.csv", numbered)
    out = {"report": ["-o", f"{folder}/r.html"], "export": ["-o", f"{folder}/r.json"]}
    ended = call([f"scripts/{script}.py", str(folder), *out.get(script, [])], POOR[1])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_a_results_folder_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    write(folder / "results.csv", arm("gru", GRU))
    ended = call(["scripts/compare.py", str(folder)], {})
    assert ended.returncode == 2
    assert b"results.csv: its path is not UTF-8; rename the folder" in ended.stderr
    assert ended.stderr.count(b"\n") == 1


def test_status_shows_text_that_the_terminal_cannot(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "Ж例")
    sweep.run(2, cell_1=writes_row("failed", error="naïve 例 \x1b[2J"))
    ended = call(["scripts/status.py", str(sweep.store.directory)], POOR[1])
    assert ended.returncode == 1, ended.stderr
    assert b"failed: seed=1: na" in ended.stdout
    assert rb"\x1b[2J" in ended.stdout


def test_control_characters_reach_no_report(tmp_path: Path) -> None:
    nasty = "rnn\x1b[31m\x9b\x00"
    table = write(tmp_path / "results.csv", [*arm(nasty, LSTM, run_id="r"), *arm("gru", GRU)])
    rows = table.read_text(encoding="utf-8").splitlines()
    numbered = [f"{line}-{n}" if n and line.endswith("r") else line for n, line in enumerate(rows)]
    table.write_text("\n".join(numbered) + "\n", encoding="utf-8")
    for number in range(1, 6):
        folder = tmp_path / "runs" / f"r-{number}"
        folder.mkdir(parents=True)
        (folder / "sample.txt").write_text("text \x1b]0;title\x07 end", encoding="utf-8")
    page = tmp_path / "r.html"
    assert report.main([str(tmp_path), "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    without_scripts = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not CONTROL.search(without_scripts)
    assert r"text \x1b]0;title\x07 end" in text
    assert r"rnn\x1b[31m\x9b" in text


def test_a_closed_stream_discards_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    protect_output()
    print("naïve", flush=True)
    assert not sys.stdout.isatty()
    sys.stdout.close()


def test_texts_of_a_figure_are_escaped() -> None:
    data = {"values": [{"arm": "a\x9bb", "x": 1.5, "y": None}]}
    assert printable(data) == {"values": [{"arm": r"a\x9bb", "x": 1.5, "y": None}]}
