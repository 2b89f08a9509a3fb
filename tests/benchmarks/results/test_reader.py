"""Any table with the documented columns is read; an error is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.analysis.compare import compare
from benchmarks.analysis.metrics import HIGHER, LOWER, TIMES
from benchmarks.analysis.row_filter import GROUP, SETTINGS
from benchmarks.analysis.selection import Options
from benchmarks.errors import UserError
from benchmarks.results.reader import NEEDED, NOTED, folder_of, read_tables
from benchmarks.results.row import COLUMNS
from tests.helpers.result_tables import arm, compared, fixed, grouped, write

LEAST = "task,model,seed,metric,higher_is_better,test_score"


@pytest.mark.parametrize("names", [HIGHER, LOWER, TIMES, GROUP, SETTINGS, NEEDED, NOTED])
def test_required_columns_exist(names: tuple[str, ...]) -> None:
    assert set(names) <= set(COLUMNS)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (LEAST.encode(), "has a header and no rows"),
        (LEAST.replace("test", "tset").encode(), "test_score; the nearest it has is tset_score"),
        (b"model,seed\nlstm,0\n", "has no column task nor metric, higher_is_better, test_score"),
        (LEAST.replace(",", ";").encode() + b"\n", "separated by semicolons; commas are expected"),
        (LEAST.encode() + b",seed\nt,m,0,a,true,1,0\n", "duplicate column seed"),
        (LEAST.encode() + b"\nt,m,0,a,true,high\n", "column test_score: 'high' is not a number"),
        (LEAST.encode() + b"\nt,m,0.5,a,true,1\n", "column seed: '0.5' is not a whole number"),
        (LEAST.encode() + b"\nt,m,0,a,maybe,1\n", "_better: 'maybe' is not true or false"),
        (LEAST.encode() + b"\nt,m,0,a,,1\n", "row 1 has a score and no higher_is_better"),
        (LEAST.encode() + b"\nt,m,0,a,true,1\nt,n,0,a,false,1\n", "both true and false for a of t"),
        (LEAST.encode() + b"\nt,m,0,a,true,1,2,3,4\n", "line 2 has 9 cells, the header 6"),
        (b"PAR1\x80\xff\x00\x00", "Parquet; convert it with scripts/export.py RESULTS -o FILE"),
        (b"\x80\xff\x00\x00", "is not a CSV table"),
    ],
)  # fmt: skip
def test_an_invalid_table_is_refused_in_one_line(
    tmp_path: Path, content: bytes, wanted: str
) -> None:
    table = tmp_path / "bad.csv"
    table.write_bytes(content)
    with pytest.raises(UserError) as error:
        compare([table])
    assert wanted in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.csv: there is no such file"):
        compare([tmp_path / "gone.csv"])
    with pytest.raises(UserError, match=r"is a folder without a results\.csv"):
        compare([tmp_path])
    table = write(tmp_path / "results.csv", arm("lstm", [0.5]))
    with pytest.raises(UserError, match="a table is given twice"):
        compare([table, tmp_path])
    assert compare([tmp_path]).sources == [str(table)]


def test_the_least_table_is_enough_and_unknown_columns_are_ignored(tmp_path: Path) -> None:
    table = tmp_path / "theirs.csv"
    lines = [f"{LEAST},mood", "t,lstm,0,a,True,0.5,good", "t,lstm,1,a,TRUE,0.7,bad"]
    table.write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    comparison = compare([table])
    (only,) = comparison.groups[0].arms
    assert (only.label, only.score.n, only.score.mean) == ("lstm", 2, pytest.approx(0.6))
    assert "has no column status, schema_version" in comparison.notes[0]
    assert "mood" not in comparison.notes[0]


def test_a_misspelt_optional_column_is_noted(tmp_path: Path) -> None:
    (note,) = compared(tmp_path, arm("lstm", [0.5, 0.6], datset_sha256="x")).notes
    assert "dataset_sha256 (is datset_sha256 meant for it?)" in note


def test_text_stays_text(tmp_path: Path) -> None:
    group = grouped(
        tmp_path, arm("NA", [0.5, 0.6], split="null"), arm("1", [0.4, 0.5], split="null")
    )
    assert [each.label for each in group.arms] == ["NA", "1"]
    assert group.split == "null"


def test_two_tables_with_different_columns_go_together(tmp_path: Path) -> None:
    rows = arm("lstm", [0.5, 0.6], hidden_size=8, split="s")
    ours = write(tmp_path / "a.csv", [row | {"arm": "hash"} for row in rows])
    theirs = write(tmp_path / "b.csv", arm("lstm", [0.7], seeds=[2], hidden_size=8))
    comparison = compare([ours, theirs])
    assert [each.score.n for each in comparison.groups[0].arms] == [3]


def test_rows_in_both_tables_count_once_and_must_be_equal(tmp_path: Path) -> None:
    rows = arm("lstm", [0.5], run_id="r0") + arm("rnn", [0.4], run_id="r1")
    a, b = write(tmp_path / "a.csv", rows), write(tmp_path / "b.csv", rows[:1])
    (left,) = compare([a, b]).left_out
    assert (left.reason, left.count, left.examples) == ("duplicate rows of a run", 1, ["r0"])
    write(b, arm("lstm", [0.6], run_id="r0"))
    with pytest.raises(
        UserError, match=r"a\.csv and .*b\.csv: the run id r0 .* different test_score"
    ):
        compare([a, b])


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"task": "tou"}, "--task tou: no rows for this task; did you mean toy?; there are toy"),
        ({"metric": "acuracy"}, "--metric acuracy: .*; did you mean accuracy?; allowed: accuracy"),
        ({"metric": "epochs"}, "--metric epochs: is not a column with a direction"),
        ({"metric": "rmse"}, "--metric rmse: no row of .*.csv has a value in this column"),
        ({"metric": "rmse", "task": "toy"}, "--metric rmse: no row of task toy in .* has a value"),
        ({"baseline": "rn"}, "--baseline rn: there is no such arm; did you mean rnn?"),
        ({"by": ("modle",)}, "has no column modle; the nearest it has is model"),
    ],
)  # fmt: skip
def test_an_option_without_a_match_is_refused(
    tmp_path: Path, options: dict[str, object], wanted: str
) -> None:
    with pytest.raises(UserError) as error:
        compared(tmp_path, arm("lstm", [0.5, 0.6]), arm("rnn", [0.4, 0.3]), **options)
    parts = wanted.split(".*")
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_a_model_with_several_arms_is_refused_as_baseline(tmp_path: Path) -> None:
    small, large = (arm("lstm", [0.5, 0.6], hidden_size=size) for size in (8, 16))
    with pytest.raises(UserError, match="choose one of 'lstm hidden_size=8', 'lstm hid"):
        compared(tmp_path, small, large, baseline="lstm")


@pytest.mark.parametrize("run_id", ["", "../elsewhere", "/etc", "a/b", ".."])
def test_a_run_id_leads_only_to_its_folder(tmp_path: Path, run_id: str) -> None:
    (tmp_path / "runs" / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    assert folder_of(str(tmp_path / "results.csv"), run_id) is None
    folder = folder_of(str(tmp_path / "results.csv"), "a")
    assert folder is not None
    assert folder.path == tmp_path / "runs" / "a"


def test_a_large_table_is_read_without_a_loop_over_rows(tmp_path: Path) -> None:
    """Time is not asserted; a Python loop over 60,000 rows would be noticed."""
    scores = [0.5 + (seed * 7919 % 1000) / 1e5 for seed in range(30_000)]
    frame = read_tables([write(tmp_path / "t.csv", arm("lstm", scores) + arm("rnn", scores))]).frame
    assert len(frame) == 60_000
    (pair,) = grouped(tmp_path, arm("lstm", scores), arm("rnn", scores[::-1])).pairs
    assert pair.seeds is not None
    assert pair.seeds.n == 30_000


def test_baselines_need_no_options(tmp_path: Path) -> None:
    assert compare([write(tmp_path / "t.csv", fixed("majority", 0.5))], Options()).groups


def test_escaped_text_is_read_as_it_was(tmp_path: Path) -> None:
    columns = {"dataset": "'=cmd()", "split": "'quoted'", "overrides": "''-x", "'=own": "'@x"}
    table = write(tmp_path / "t.csv", arm("'+m", [-0.5], seeds=[0], **columns))
    (row,) = read_tables([table], extra=["=own"]).frame.to_dict("records")
    assert {n: row[n] for n in ("dataset", "split", "overrides", "=own", "model")} == {
        "dataset": "=cmd()",
        "split": "'quoted'",
        "overrides": "'-x",
        "=own": "@x",
        "model": "+m",
    }
    assert row["test_score"] == -0.5
