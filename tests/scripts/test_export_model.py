"""Export of a run: files, scores, times and what is printed."""

from __future__ import annotations

import csv
from pathlib import Path

import onnx
import pytest
import torch

from benchmarks.export import benchmark, command, verification
from benchmarks.export.timing import Speed
from benchmarks.runner.load_run import load_run
from tests.helpers.trained_runs import QUICK, RunScript, Train, changed, row_of

COMMAND = "python run.py model=gru task=sp500 train.learning_rate=0.002"


def test_every_form_is_scored_and_timed(
    run_script: RunScript, forecaster: Path, tmp_path: Path
) -> None:
    table = tmp_path / "t.csv"
    code, output, _ = run_script(forecaster, *QUICK, "--csv", table)
    assert code == 0
    with table.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    row = row_of(forecaster)
    names = ["PyTorch", "torch.export", "ONNX Runtime", "ONNX Runtime, int8 weights"]
    found = {line["form"]: line for line in lines}
    assert {*found} - {"PyTorch, fused"} == {*names}
    assert [line["batch_size"] for line in lines] == ["1", "8", "64", "512"] * len(found)
    for line in lines:
        assert (line["run_id"], line["threads"]) == (row["run_id"], "1")
        assert 0 < float(line["latency_ms_p50"]) <= float(line["latency_ms_p95"])
        assert float(line["tokens_per_second"]) == pytest.approx(
            30 * float(line["sequences_per_second"])
        )
    # The scores are those of training's evaluation: on validation, with its bounds.
    for name in names[:3]:
        assert float(found[name]["val_score"]) == pytest.approx(row["val_score"], rel=1e-6)
    assert 0 < float(found["ONNX Runtime"]["largest_difference"]) < 1e-5
    assert found["PyTorch"]["largest_difference"] == ""
    whole, small = (float(found[name]["file_mib"]) for name in names[2:])
    size = (forecaster / "export" / "model.onnx").stat().st_size
    assert whole == size / 2**20
    text = " ".join(output.split())
    assert f"int8: {small / whole:.2f} of the file" in text
    assert "its arithmetic is float32" in text
    assert "one sequence: " in text
    assert "512 sequences at once: " in text


def test_each_speed_is_the_ratio_of_the_numbers_in_its_row(
    run_script: RunScript, forecaster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_speeds(networks: dict[str, object], task: object, size: int, *_: object) -> object:
        return {
            name: Speed(9, 1.0 * place, 8.0, 100.0 * place**2 + size, 7.0)
            for place, name in enumerate(networks, 1)
        }

    monkeypatch.setattr(benchmark, "speeds", fake_speeds)
    code, output, _ = run_script(forecaster, *QUICK)
    assert code == 0
    cells = [
        line.rsplit(maxsplit=6)
        for line in output.splitlines()
        if line.startswith(" ") and line.endswith("x")
    ]
    assert len(cells) in (16, 20)
    forms = len(cells) // 4
    for place, (_, p50, _, by_p50, rate, _, by_rate) in enumerate(cells):
        _, p50_of_first, _, _, rate_of_first, *_ = cells[place - place % forms]
        assert by_p50 == f"{float(p50_of_first) / float(p50):.2f}x"
        assert by_rate == f"{number(rate) / number(rate_of_first):.2f}x"


def number(text: str) -> float:
    """Read a number with commas."""
    return float(text.replace(",", ""))


@pytest.mark.parametrize("is_busy", [True, False])
def test_times_of_a_busy_machine_are_marked_everywhere(
    is_busy: bool,
    run_script: RunScript,
    forecaster: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(benchmark.ExternalLoad, "cores", lambda load: 1.25)
    monkeypatch.setattr(benchmark.ExternalLoad, "is_busy", lambda load: is_busy)
    table = tmp_path / "t.csv"
    code, output, _ = run_script(forecaster, *QUICK, "--csv", table)
    assert code == 0
    text = " ".join(output.split())
    assert "load: other processes used 1.25 of" in text
    assert ("cores: these times are not reliable" in text) == is_busy
    one, many = (text.index(words) for words in ("one sequence: ", "512 sequences at once: "))
    int8 = text.index("int8: ", many)
    for sentence in (text[one:many], text[many:int8], text[int8:]):
        assert sentence.count("(busy machine)") == is_busy
    with table.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {(line["others_cores"], line["busy_machine"]) for line in lines} == {
        ("1.25", str(is_busy).lower())
    }


@pytest.mark.parametrize(
    ("trained_with", "cores", "expected"),
    [
        (1, 4, "1 thread as in training,"),
        (3, 4, "3 threads as in training,"),
        (8, 4, "4 threads (8 in training),"),
        (None, 4, "4 threads,"),
    ],
)
def test_times_use_the_threads_of_the_training(
    trained_with: int | None,
    cores: int,
    expected: str,
    forecaster: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "available_cores", lambda: cores)
    run = load_run(changed(forecaster, threads=trained_with))
    threads = command.default_threads(run)
    assert f" cores, {expected} torch" in command.conditions(run, torch.device("cpu"), threads)


def test_threads_can_be_chosen(
    run_script: RunScript, forecaster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    code, output, _ = run_script(forecaster, *QUICK, "--threads", 2)
    assert (code, chosen) == (0, [2])
    assert "2 threads (1 in training)" in " ".join(output.split())


def test_printed_tables_are_written_to_a_page(
    run_script: RunScript, forecaster: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    code, _, output = run_script(forecaster, "--write", page)
    wanted = f"error: {page}: no line <!-- export: gru on sp500 --> to write after\n"
    assert (code, output) == (2, wanted)
    assert not (forecaster / "export").exists()
    page.write_text("# A page\n<!-- export: gru on sp500 -->\nold\n<!-- end -->\nits end\n")
    (forecaster / "command.txt").write_text(f"{COMMAND}\n")
    code, shown, _ = run_script(forecaster, "--write", page, *QUICK)
    assert code == 0
    begin, first, *lines, fence, end, last = page.read_text().splitlines()[1:]
    assert (begin, first) == ("<!-- export: gru on sp500 -->", "```")
    options = "--device cpu --threads 1 --seconds 0.001"
    assert lines.pop(0) == f"$ {COMMAND}"
    assert lines.pop(0) == f"$ python scripts/export_model.py latest {options}"
    assert (fence, end, last) == ("```", "<!-- end -->", "its end")
    printed = [line.rstrip() for line in shown.splitlines() if not line.startswith("written: ")]
    assert lines == printed


def test_a_page_shows_no_training_command_if_none_was_recorded(
    run_script: RunScript, forecaster: Path, tmp_path: Path
) -> None:
    """Folders of older versions have no command.txt."""
    page = tmp_path / "page.md"
    page.write_text("<!-- export: gru on sp500 -->\n<!-- end -->\n")
    (forecaster / "command.txt").unlink(missing_ok=True)
    assert run_script(forecaster, "--write", page, *QUICK)[0] == 0
    commands = [line for line in page.read_text().splitlines() if line.startswith("$ ")]
    assert len(commands) == 1
    assert commands[0].startswith("$ python scripts/export_model.py latest ")


def test_unequal_exports_are_not_kept(
    run_script: RunScript, forecaster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "TOLERANCE", 1e-12)
    code, _, output = run_script(forecaster, "--no-times")
    assert code == 1
    assert output.count("\n") == 1
    assert output.startswith(f"error: nothing was written to {forecaster / 'export'}: model.onnx, ")
    assert list((forecaster / "export").iterdir()) == []


@pytest.mark.parametrize("arithmetic", ["train.dtype=float64", "train.precision=bfloat16"])
def test_runs_in_other_precisions_are_exported_as_float32(
    arithmetic: str, run_script: RunScript, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=gru", "task=sp500", arithmetic)
    assert run_script(folder, *QUICK, "--out", tmp_path)[0] == 0
    assert {tensor.dtype for tensor in load_run(folder).weights.values()} == {torch.float32}
    graph = onnx.load(tmp_path / "model.onnx").graph
    kinds = {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer}
    assert kinds == {"FLOAT", "INT64"}


def test_runs_of_older_versions_are_exported(run_script: RunScript, forecaster: Path) -> None:
    settings = (forecaster / "config.yaml").read_text()
    assert "  kernel: torch\n" in settings
    (forecaster / "config.yaml").write_text(settings.replace("  kernel: torch\n", ""))
    assert run_script(forecaster, "--no-times")[0] == 0
