"""scripts/check_data.py: the kind of data, its summary, and the command to run."""

from __future__ import annotations

import gzip
import shlex
from pathlib import Path

import pytest

from benchmarks.config.data_kinds import data_kinds, kind_of
from scripts.check_data import main
from tests.helpers.definitions import EXAMPLES


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([*map(str, words)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_every_kind_with_own_data_has_an_example() -> None:
    assert set(data_kinds()) == set(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_recognised_as_its_kind_alone(kind: str) -> None:
    found, reason = kind_of(EXAMPLES[kind])
    assert (found, bool(reason)) == (kind, True)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_summary_ends_with_the_command(
    kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = EXAMPLES[kind]
    code, out, _ = answer(capsys, file, f"cache_dir={tmp_path}")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("task")
    assert kind in lines[0]
    assert any("train" in line and "validation" in line for line in lines)
    words = shlex.split(lines[-1])
    assert words[:5] == ["python", "run.py", "model=lstm", f"task={kind}", f"task.data={file}"]


def test_the_choices_and_gaps_of_a_series_are_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    months = [f"{1949 + month // 12}-{month % 12 + 1:02d}" for month in range(48)]
    rows = [f"{month},{n + 5 * (n % 12)}" for n, month in enumerate(months) if n != 20]
    (tmp_path / "sales.csv").write_text("\n".join(["month,sales", *rows]))
    code, out, _ = answer(capsys, tmp_path / "sales.csv", "task.season=12")
    assert code == 0
    assert "note: months without a row: 1 of 48 from 1949-01 to 1952-12" in out
    assert "note: task.target=" in out
    assert "note: task.window=" in out


@pytest.mark.parametrize("kind", ["text", "forecast", "lm"])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_an_upper_case_or_gzip_ending_changes_nothing(
    kind: str, is_compressed: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    example = EXAMPLES[kind]
    content = example.read_bytes()
    suffix = f"{example.suffix}.gz" if is_compressed else example.suffix.upper()
    file = tmp_path / f"{example.stem}{suffix}"
    file.write_bytes(gzip.compress(content) if is_compressed else content)
    code, out, err = answer(capsys, file)
    expected = answer(capsys, example)[1].replace(str(example), "PATH")
    assert (code, err) == (0, "")
    assert out.replace(str(file), "PATH").replace(file.name, example.name) == expected


def test_a_cut_gzip_file_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"text,label\n" + bytes(4000))[:-12])
    code, _, err = answer(capsys, tmp_path / "a.csv.gz", "--task", "text")
    assert code == 2
    assert err.count("\n") == 1
    assert "cannot be read (Compressed file ended before" in err


def test_a_file_with_quotes_and_spaces_in_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    example = EXAMPLES["series"]
    file = tmp_path / "it's a, file=1.ts"
    file.write_bytes(example.read_bytes())
    code, out, err = answer(capsys, file)
    assert (code, err) == (0, "")
    assert f"task.data={file}" in shlex.split(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere.csv"], "nowhere.csv: no such file or folder"),
        (["{example}", "--task", "sereis"], "--task sereis: allowed: "),
        (["{example}", "--task", "imdb"], "--task imdb: allowed: "),
        (["{example}", "task.poling=last"], "task.poling"),
        (["{unknown}"], "not recognised; choose with --task (allowed: "),
    ],
)
def test_mistakes_get_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    unknown = tmp_path / "picture.png"
    unknown.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    given = [word.format(example=EXAMPLES["series"], unknown=unknown) for word in words]
    code, out, err = answer(capsys, *given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
