"""scripts/check_data.py: the kind of data, its summary, and the command to run."""

from __future__ import annotations

import gzip
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import PROJECT_ROOT
from benchmarks.config import validation
from benchmarks.config.compose import hydra_at, sweep_axes
from benchmarks.config.data_kinds import data_kinds, kind_of
from benchmarks.config.help import CONF
from benchmarks.errors import UserError
from scripts.check_data import main
from tests.helpers.definitions import EXAMPLES, composed
from tests.helpers.trained_runs import refusal_of


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
    assert (code, out) == answer(capsys, f"cache_dir={tmp_path}", file)[:2] == (0, out)
    lines = out.splitlines()
    assert lines[0].startswith("task")
    assert kind in lines[0]
    assert any("train" in line and "validation" in line for line in lines)
    one, sweep, comparison = map(shlex.split, lines[-3:])
    data = [f"task={kind}", f"task.data={file}", f"cache_dir={tmp_path}"]
    assert one == ["python", "run.py", "model=lstm", *data]
    models = "model=baseline,rnn,lstm,gru"
    assert sweep == ["python", "run.py", "-m", models, *data, "seed=0,1,2,3,4"]
    assert comparison == ["python", "scripts/compare.py", "results", "--planned", "5"]


def test_the_choices_and_gaps_of_a_series_are_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    months = [f"{1949 + month // 12}-{month % 12 + 1:02d}" for month in range(48)]
    rows = [f"{month},{n + 5 * (n % 12)}" for n, month in enumerate(months) if n != 20]
    (tmp_path / "sales.csv").write_text("\n".join(["month,sales", *rows]))
    code, out, _ = answer(capsys, tmp_path / "sales.csv", "task.season=12")
    assert code == 0
    assert "note: months without a value: 1 of 48 from 1949-01 to 1952-12" in out
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
    (word,) = (w for w in shlex.split(out.splitlines()[-2]) if w.startswith("task.data="))
    assert vars(composed("lstm", "series", word).task)["data"] == str(file)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere.csv"], "nowhere.csv: no such file or folder"),
        (["{example}", "--task", "sereis"], "--task sereis: allowed: "),
        (["{example}", "--task", "imdb"], "--task imdb: allowed: "),
        (["{example}", "task.poling=last"], "task.poling"),
        (["{unknown}"], "picture.png: the file is an image"),
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


PARCELS = """\
Beschreibung,"Paket (Team)",Größe
der Drucker druckt nicht,Drucker,1
die Maus klickt nicht,Maus,2
"""


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    return refusal_of(main, capsys, *words).removeprefix("error: ").rstrip("\n")


def test_an_unknown_table_gets_its_columns_and_what_each_kind_needs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(PARCELS)
    assert refusal(capsys, file) == (
        f"{file}: not recognised (columns: Beschreibung, Paket (Team), Größe); a series to "
        f"forecast needs a column of times (task.time=NAME) and numbers; a language model needs a "
        f".txt file that is not a table; labelled series need task.id=NAME task.label=NAME, or a "
        f".ts or .npz file; documents with labels need task.text=NAME task.label=NAME"
    )
    text = refusal(capsys, file, "task.label=Drucker")  # of two kinds
    assert "forecast" not in text
    assert "documents with labels need" in text


def test_columns_that_look_like_text_and_label_are_proposed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [f"der Drucker {n} druckt nicht,{n % 3} Paket,{n}" for n in range(30)]
    file = tmp_path / "a.csv"
    file.write_text("\n".join(["Beschreibung,Paket (Team),Größe", *rows]))
    proposed = "task.text=Beschreibung \"task.label='Paket (Team)'\""
    assert refusal(capsys, file) == (
        f"{file}: not recognised (columns: Beschreibung, Paket (Team), Größe); documents with "
        f"labels need task.text=NAME task.label=NAME, probably {proposed}"
    )
    assert kind_of(file, [word.strip('"') for word in shlex.split(proposed)])[0] == "text"
    file.write_text("\n".join(["Titel,Beschreibung,Paket", *("a b c,d e f,x" for _ in rows)]))
    assert "probably" not in refusal(capsys, file)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["task.text=Beschreibung", "\"task.label='Paket (Team)'\""], "text"),
        (["task.column=Größe"], "forecast"),
        (["task.id=Größe", "task.missing=mask"], "series"),
        (["task.level=word"], "lm"),
        (["task.label=x"], ""),
        (["cache_dir=x"], ""),
        (["task.txet=x"], ""),
    ],
)
def test_settings_of_one_kind_select_it(keys: list[str], kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(PARCELS)
    if not kind:
        with pytest.raises(UserError, match="not recognised"):
            kind_of(file, keys)
        return
    names = " and ".join(key.partition("=")[0].strip('"') for key in keys)
    assert kind_of(file, [key.strip('"') for key in keys]) == (kind, f"has the setting {names}")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.txt", b" \n", "the file is empty"),
        ("a.csv", b"text,label\n", "the train split has no rows"),
        ("a.csv", b"x,y\n", "there are no rows below the names of the columns"),
        ("a.csv", b"Gr\xf6\xdfe,Art\n1,2\n", "not UTF-8 text (byte 2 cannot be decoded)"),
        ("a.csv", b"text,label\ngr\xfcn,a\n", "not UTF-8 text (byte 13 cannot be decoded)"),
        ("a.csv", b"PK\x03\x04 xl/workbook", "the file is an Excel workbook; save it as CSV"),
        ("a.xlsx", b"PK\x03\x04 xl/workbook", "the file is an Excel workbook; save it as CSV"),
        ("a.csv", gzip.compress(b"text,label\n", mtime=0), "compressed with gzip"),
        ("a.npz", b"PK\x03\x04", "task.data={path}: not a NumPy archive (.npz)"),
        ("a.ts", b"1,2,3:a\n", "task.data={path}: line 1: '1,2,3:a' stands before @data"),
        ("a.md", b"", "task.data={path}: the text is empty"),
        ("a.csv", b"1990-01,2.5\n1990-02,3\n", "the first line contains values, not names"),
        ("a.csv", b"0,a text of some words\n1,more of them\n", "add a line with names above it"),
        ("a.csv", b"date,ticker,close\n2020-01-01,A,1\n2020-01-01,B,2\n", "duplicate date"),
        ("a.csv", b"day,y\n" + b"2020-01-01,1\n" * 2, "duplicate date 2020-01-01"),
        ("a.dat", b"text,label\n", "its name ends in '.dat' (allowed: .csv, "),
    ],
)
def test_an_unusable_file_gets_the_line_of_its_fault(
    name: str, content: bytes, expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert expected.format(path=tmp_path / name) in refusal(capsys, tmp_path / name)


def test_tables_in_utf_16_are_recognised(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for kind in ("text", "forecast"):
        path = tmp_path / f"{kind}.csv"
        path.write_text(EXAMPLES[kind].read_text(encoding="utf-8"), encoding="utf-16")
        assert main([str(path)]) == 0
        assert capsys.readouterr().out.split()[1] == kind


def test_a_file_of_the_ucr_archive_needs_no_names_of_columns(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for part in ("TRAIN", "TEST"):
        rows = [[n % 2, *(0.1 * n + step for step in range(6))] for n in range(20)]
        lines = ["\t".join(map(str, row)) for row in rows]
        (tmp_path / f"Toy_{part}.tsv").write_text("\n".join(lines) + "\n")
    assert main([str(tmp_path / "Toy_TRAIN.tsv")]) == 0
    assert capsys.readouterr().out.split()[1] == "series"


def test_a_clone_without_its_data_names_git_lfs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "plain_text").mkdir()
    for part in ("train", "test"):
        pointer = tmp_path / "plain_text" / f"{part}-00000-of-00001.parquet"
        pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")
    assert "a pointer of Git LFS, not the data; run: git lfs pull" in refusal(capsys, tmp_path)


def test_the_home_folder_may_be_written_as_a_tilde(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert refusal(capsys, "~/none.csv").startswith(f"{tmp_path}/none.csv: no such file")


def test_a_folder_without_data_says_what_it_contains(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert refusal(capsys, tmp_path) == f"{tmp_path}: the folder is empty"
    (tmp_path / "photo.png").write_bytes(b"x")
    assert "not recognised (contains: photo.png); " in refusal(capsys, tmp_path)


def test_the_printed_command_runs_in_a_shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "my (new) data"
    folder.mkdir()
    rows = [f"Wort{n % 7} Satz{n % 5} {n},{'ab'[n % 2]}" for n in range(60)]
    (folder / "größe.csv").write_text("\n".join(["Inhalt,Paket (Team)", *rows]))
    words = ["task.text=Inhalt", "task.label='Paket (Team)'", f"cache_dir={tmp_path}"]
    code, out, err = answer(capsys, folder / "größe.csv", *words)
    assert (code, err) == (0, "")
    one, sweep, _ = out.splitlines()[-3:]
    assert f"\"task.data='{folder}/größe.csv'\" task.text=Inhalt" in one
    assert "\"task.label='Paket (Team)'\"" in one
    line = one.replace("python run.py", f"{shlex.quote(sys.executable)} run.py --cfg job", 1)
    asked = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=PROJECT_ROOT)
    assert asked.returncode == 0, asked.stderr
    assert "label: Paket (Team)" in asked.stdout
    # YAML breaks long lines at spaces.
    assert f"data: {folder}/größe.csv" in " ".join(asked.stdout.split())
    words = shlex.split(sweep)
    with hydra_at(CONF):
        axes = sweep_axes([word for word in words if "=" in word])
    assert [len(values) for values in axes.values] == [4, 5]


def test_baselines_that_are_not_installed_are_named_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = validation.find_spec
    monkeypatch.setattr(
        validation, "find_spec", lambda name: None if name == "aeon" else found(name)
    )
    _, out, _ = answer(capsys, EXAMPLES["series"])
    expected = (
        "note: left out: model.baseline=dtw_1nn,minirocket_ridge: requires aeon: "
        "pip install -e '.[series]'"
    )
    assert [line for line in out.splitlines() if "aeon" in line] == [expected]
