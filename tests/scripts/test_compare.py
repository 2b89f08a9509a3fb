"""The output, formats and exit codes of scripts/compare.py."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

import pytest

from benchmarks.analysis.formatting import (
    decimals_of,
    p_text,
    rounded,
    short_count,
    significant,
)
from scripts.compare import main
from tests.helpers.paths import ROOT
from tests.helpers.result_tables import Row, arm, fixed, write

LSTM = [0.81, 0.84, 0.83, 0.86, 0.82]
RNN = [0.70, 0.72, 0.69, 0.74, 0.71]


def rows() -> list[Row]:
    return [
        *arm("lstm", LSTM, parameters=2_692_353, train_seconds=49.8, concurrent_runs=2),
        *arm("rnn", RNN, parameters=1185, train_seconds=28.4),
        *fixed("majority", 0.5, parameters=1),
        *arm("gru", [0.9], smoke="true"),
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "results.csv", rows())


def test_the_table_pairs_and_notes(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table)]) == 0
    out = capsys.readouterr().out
    assert "toy: accuracy (share, higher is better)" in out
    lines = out.splitlines()
    places = [next(n for n, line in enumerate(lines) if re.match(f"\\*? +{name} |\\* {name}", line))
              for name in ("lstm", "rnn", "majority")]  # fmt: skip
    assert places == sorted(places)
    assert re.match(
        r"\*  lstm +better +5 +0\.832 +0\.024 +0\.664 +2\.692M +49\.8\?", lines[places[0]]
    )
    assert "lstm better than rnn by 0.120 [0.104, 0.136], p < 0.001 (Holm; paired t" in out
    assert "beats its best baseline, majority: lstm, rnn" in out
    assert "unreliable times (?) of lstm: up to 2 concurrent runs on the machine" in out
    assert "1 smoke test (" in out
    assert max(map(len, lines)) <= 110


def test_a_folder_means_its_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table.parent)]) == 0
    assert "lstm" in capsys.readouterr().out


def test_two_tables_and_the_exit_code(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = write(tmp_path / "b.csv", [*arm("lstm", RNN), *arm("rnn", RNN)])
    both = [str(table), str(worse)]
    assert main(both) == 0
    assert main([*both, "--fail-on-worse"]) == 1
    out = capsys.readouterr().out
    assert "3 arms: 1 worse, 1 same, 1 only in A" in out
    assert re.search(r"worse +lstm +5 +0\.832 +0\.712 +-0\.120 +0\.015 +p < 0\.001", out)
    assert main([*both, "--only-changed"]) == 0
    assert not re.search(r"^same", capsys.readouterr().out, re.MULTILINE)
    assert main([*reversed(both), "--fail-on-worse"]) == 0


def test_tables_can_be_one_comparison(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / "b.csv", arm("gru", LSTM))
    third = write(tmp_path / "c.csv", arm("tcn", LSTM))
    assert main([str(table), str(other), "--merge", "--format", "json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert {each["label"] for each in group["arms"]} == {"lstm", "rnn", "majority", "gru"}
    assert main([str(table), str(other), str(third), "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["groups"][0]["arms"]) == 5


def test_against_one_arm(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table), "--baseline", "lstm", "--fail-on-worse"]) == 1
    out = capsys.readouterr().out
    assert "rnn worse than lstm by 0.120" in out
    assert "rnn better than majority" not in out
    assert main([str(table), "--baseline", "majority", "--fail-on-worse"]) == 0


def test_by_a_column(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table), "--by", "metric", "--format", "csv"]) == 0
    (first, *_) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (first["label"], first["n"]) == ("metric=accuracy", "5")
    assert main([str(table), "--by", "model", "--metric", "parameters"]) == 0
    assert (
        "rnn better than lstm by 2,691,168 (exact, independent of the seed)"
        in capsys.readouterr().out
    )


def test_csv_and_json_have_full_precision(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table), "--format", "csv"]) == 0
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert main([str(table), "--format", "json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    best = group["arms"][0]
    assert float(lines["lstm"]["mean"]) == best["score"]["mean"] == sum(LSTM) / 5
    assert (best["seeds"], best["scores"]) == ([0, 1, 2, 3, 4], LSTM)
    assert (lines["rnn"]["against"], lines["rnn"]["verdict"]) == ("lstm", "worse")
    pair = next(p for p in group["pairs"] if {p["a"], p["b"]} == {"lstm", "rnn"})
    assert float(lines["rnn"]["difference"]) == -pair["seeds"]["difference"]
    assert float(lines["rnn"]["difference_low"]) == -pair["seeds"]["high"]
    assert float(lines["rnn"]["p_adjusted"]) == pair["p_adjusted"]
    assert lines["lstm"]["is_among_best"] == "true"


def test_only_changed_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    close = [score + (-1) ** n / 100 for n, score in enumerate(LSTM)]
    table = write(tmp_path / "t.csv", [*arm("lstm", LSTM), *arm("gru", close), *arm("rnn", RNN)])
    for form in ("table", "markdown", "latex"):
        assert main([str(table), "--only-changed", "--format", form]) == 0
        out = capsys.readouterr().out
        assert "better than rnn" in out
        assert "no difference" not in out
    assert main([str(table), "--only-changed", "--format", "json"]) == 0
    pairs = json.loads(capsys.readouterr().out)["groups"][0]["pairs"]
    assert {pair["verdict"] for pair in pairs} == {"better"}
    assert main([str(table), "--only-changed", "--format", "csv"]) == 0
    out = capsys.readouterr().out
    assert [line["label"] for line in csv.DictReader(io.StringIO(out))] == ["rnn"]


NASTY = r"a_b&c%d$e#f{g}h~i^j\k<script>|[bold]x[/bold]*y*"


def test_text_from_runs_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "t.csv", [*arm(NASTY, LSTM), *arm("rnn\x1b[31m\nx", RNN)])
    for form in ("table", "markdown", "latex", "csv", "json"):
        assert main([str(table), "--format", form]) == 0
        out = capsys.readouterr().out
        if form == "table":
            assert "\x1b" not in out
            assert f"{NASTY} better than rnn [31m x by" in " ".join(out.split())
        if form == "markdown":
            assert r"&lt;script>\|\[bold\]" in out
            rule = next(line for line in out.splitlines() if line.startswith("| ---"))
            (row,) = [line for line in out.splitlines() if line.startswith(r"| \* | a_b&amp;c")]
            assert len(re.findall(r"(?<!\\)\|", row)) == rule.count("|")
        if form == "json":
            assert json.loads(out)["groups"][0]["arms"][0]["label"] == NASTY


def test_latex_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "t.csv", [*arm(NASTY, LSTM), *arm("rnn", RNN)])
    assert main([str(table), "--format", "latex"]) == 0
    out = capsys.readouterr().out
    assert (
        r"\textbf{a\_b\&c\%d\$e\#f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k"
        r"\textless{}script\textgreater{}\textbar{}[bold]x[/bold]*y*}"
    ) in out
    body = out[out.index(r"\midrule") : out.index(r"\bottomrule")].splitlines()[1:]
    columns = len(out[out.index(r"\begin{tabular}{") :].split("{")[2].split("}")[0])
    assert all(len(re.findall(r"(?<!\\)&", line)) == columns - 1 for line in body)
    outside = [line for line in out.splitlines() if line and not line.startswith("%")]
    assert outside[0].startswith(r"\begin{tabular}")
    assert outside[-1] == r"\end{tabular}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "t.csv", [*arm(NASTY, LSTM), *arm("rnn", RNN), *fixed("m", 0.5)])
    assert main([str(table), "--format", "latex"]) == 0
    body = capsys.readouterr().out
    page = (
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    )
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.csv"], "error: gone.csv: there is no such file"),
        (["{t}", "--task", "imbd"], "error: --task imbd: no rows for this task; there are toy"),
        (["{t}", "--metric", "epochs"], "error: --metric epochs: is not a column with a direction"),
        (["{t}", "--baseline", "rn"], "error: --baseline rn: there is no such arm; did you mean"),
        (["{t}", "--by", "mdoel"], "has no column mdoel; the nearest it has is model"),
        (["{t}", "--fail-on-worse"], "error: --fail-on-worse: give two tables, or --baseline ARM"),
        (["{t}", "{t}"], "duplicate table"),
        (["{t}", "{u}", "--baseline", "lstm"], "--baseline lstm: two tables are compared"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_code_2(
    table: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = write(tmp_path / "u.csv", rows())
    given = [each.format(t=table, u=other) for each in arguments]
    assert main(given) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_a_table_without_rows_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "t.csv", arm("lstm", LSTM, smoke="true"))
    assert main([str(table)]) == 0
    out = capsys.readouterr().out
    assert "nothing to compare: all rows are excluded" in out
    assert "5 smoke tests" in out


def test_help_is_quick_and_a_reader_may_stop_early(table: Path) -> None:
    script = str(ROOT / "scripts" / "compare.py")
    program = (
        "import sys; sys.argv = ['compare.py', '--help']\n"
        "from scripts.compare import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'pandas', 'scipy', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
    command = f"{sys.executable} {script} {table} --format json | head -n 1"
    ended = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("{\n", "")


PUBLISHED = sorted((ROOT / "results/published").glob("*.csv"))


@pytest.mark.parametrize("table", PUBLISHED, ids=attrgetter("stem"))
def test_the_published_tables_compare(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    untested = table.stem.startswith(("tune-", "ablation-"))  # trained with train.test=false
    assert main([str(table), *["--metric", "val_score"] * untested]) == 0
    assert "better)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("half", "value", "text"),
    [
        (0.0124, 0.12, "0.120"),
        (12.4, 1234.5, "1,234"),
        (None, 0.123456, "0.1235"),
        (2e-5, -1e-9, "0.000000"),
    ],
)
def test_numbers_are_rounded_by_their_interval(half: float | None, value: float, text: str) -> None:
    assert rounded(value, decimals_of(half)) == text


def test_numbers_as_text() -> None:
    assert [short_count(n) for n in (0, 99_999, 350_593, 2_692_353)] == [
        "0",
        "99,999",
        "350.6k",
        "2.692M",
    ]
    assert [p_text(p) for p in (0.00001, 0.0456, 0.4)] == ["p < 0.001", "p = 0.0456", "p = 0.40"]
    assert [significant(v) for v in (1234.5, 0.00123, 0.0, None)] == ["1,234", "0.00123", "0", ""]


def test_an_arm_that_failed_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.csv", [*arm("lstm", LSTM), *arm("rnn", RNN)])
    b = write(tmp_path / "b.csv", [*arm("lstm", [0.1], status="failed"), *arm("rnn", RNN)])
    assert main([str(a), str(b), "--fail-on-worse", "--only-changed"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"failed in B +lstm", out)
    assert not re.search(r"^same", out, re.MULTILINE)


def test_why_nothing_could_be_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.csv", [*arm("lstm", [0.9]), *arm("rnn", [0.8]), *arm("gru", LSTM)])
    b = write(tmp_path / "b.csv", [*arm("lstm", [0.1]), *arm("rnn", [0.7])])
    message = "nothing could be tested: 2 arms (n = 1: one seed allows no test), 1 arm"
    assert main([str(a), str(b), "--fail-on-worse"]) == 0
    captured = capsys.readouterr()
    assert message in captured.out
    assert message in captured.err
    assert main([str(a), str(b)]) == 0
    assert capsys.readouterr().err == ""
    tested = write(tmp_path / "c.csv", arm("gru", RNN))
    assert main([str(a), str(tested), "--fail-on-worse"]) == 1
    assert "nothing could be tested" not in "".join(capsys.readouterr())


def test_the_number_of_pairs_that_p_is_corrected_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [*arm("lstm", LSTM), *arm("rnn", RNN), *fixed("majority", 0.5)]
    assert main([str(write(tmp_path / "t.csv", arms))]) == 0
    out = capsys.readouterr().out
    assert "pairs, A against B (Holm over these 3 pairs)" in out
    assert "± is an individual 95 % interval; p and [ ] are corrected for all pairs" in out
    scores = [[s - n / 9 + i * n / 9999 for i, s in enumerate(LSTM)] for n in range(8)]
    many = [row for n in range(8) for row in arm("gru", scores[n], hidden_size=n)]
    assert main([str(write(tmp_path / "u.csv", [*arms, *many]))]) == 0
    assert "(Holm over all 55 pairs); 36 more in JSON" in capsys.readouterr().out
    scores = [[s + n / 120 + i * n / 9999 for i, s in enumerate(RNN)] for n in range(31)]
    more = [row for n in range(31) for row in arm("tcn", scores[n], hidden_size=n)]
    assert main([str(write(tmp_path / "v.csv", more))]) == 0
    assert "(p corrected for all 465 pairs)" in capsys.readouterr().out


def test_a_cost_has_no_baseline_to_beat(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timed = [row | {"train_seconds": 1.5 + n / 9} for n, row in enumerate(rows())]
    write(table, timed)
    assert main([str(table), "--metric", "train_seconds"]) == 0
    out = capsys.readouterr().out
    assert "baseline, majority" not in out
    assert "skill" not in out
    assert "median" in out
    assert main([str(table), "--metric", "val_score"]) == 2
    assert main([str(table)]) == 0
    assert "median" not in capsys.readouterr().out


def test_no_two_empty_lines(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(table.parent / "o.csv", arm("lstm", RNN))
    for arguments in ([str(table)], [str(table), str(other)], [str(table), "--baseline", "rnn"]):
        assert main(arguments) == 0
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        assert ("", "") not in pairwise(lines)
        assert lines.count("notes") <= 1


def test_the_best_baseline_needs_no_name(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table), "--baseline", "baseline", "--fail-on-worse"]) == 0
    assert "pairs with majority" in capsys.readouterr().out
