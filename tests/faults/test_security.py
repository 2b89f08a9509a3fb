"""What others put into a results folder or on the command line is data, never a program.

Nothing is unpickled, nothing reaches a shell, nothing is written outside. No archive is extracted
anywhere: `task.source` takes folders, whose files are only read, so there is no member whose path
could lead out of them.
"""

from __future__ import annotations

import ast
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from tests.helpers.faulty import FaultTable, checkpoints, ended, finished_rows, rows_of
from tests.helpers.paths import ROOT
from tests.helpers.warm import WarmStarts, quoted

SOURCES = [*ROOT.glob("*.py")] + [
    file
    for room in ("benchmarks", "models", "tasks", "scripts")
    for file in sorted((ROOT / room).rglob("*.py"))
]
UNPICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
SHELLS = {"system", "popen", "getoutput", "getstatusoutput"}


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.write_text, (self.marker, "unpickled"))


@pytest.fixture
def traps(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """A marker, and pickles that write it; that they do is tried here."""
    marker = tmp_path / "marker"
    plain = pickle.dumps(Trap(marker))
    pickle.loads(plain)
    assert marker.exists()
    marker.unlink()
    saved = io.BytesIO()
    torch.save(Trap(marker), saved)
    saved.seek(0)
    torch.load(saved, weights_only=False)
    assert marker.exists()
    marker.unlink()
    return marker, [plain, saved.getvalue()]


@pytest.mark.parametrize("kind", [0, 1], ids=["pickle", "torch"])
def test_pickles_in_a_results_folder_are_not_loaded(
    warm: WarmStarts,
    small: list[str],
    faults: FaultTable,
    traps: tuple[Path, list[bytes]],
    tmp_path: Path,
    kind: int,
) -> None:
    """Every file that a run or sweep leaves is replaced, then resumed, collected and shown."""
    fault, folder = faults("pickle in a results folder"), tmp_path / "results"
    (marker, pickles), sweep = traps, ["-m", *small, "seed=0,1"]
    assert warm.run(["-m", *small, "seed=0,1"], folder).code == 0
    assert warm.run([*small, "seed=2"], folder, place=80, act="SIGTERM").code == 130
    assert warm.run([*small, "seed=3"], folder, place=80, act="SIGKILL").was_killed
    assert len(checkpoints(folder)) == 2
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        file.write_bytes(pickles[kind])
        fault.injected += 1
    for extra in ("running/0.json", "runs/x/row.json", "runs/x/checkpoint.safetensors"):
        (folder / extra).parent.mkdir(exist_ok=True)
        (folder / extra).write_bytes(pickles[kind])
        fault.injected += 1
    for command in (sweep, [*small, "seed=2"], [*small, "seed=3"]):
        done = warm.run(command, folder)
        assert done.code == 0, done.output + done.errors
    for program in ("collect.py", "status.py"):
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / program), str(folder)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=300,
        )
    fault.wrong += marker.exists()
    assert not marker.exists()
    assert len(finished_rows(folder)) == len(rows_of(folder)) == 4


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_source_unpickles_or_calls_a_shell(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & UNPICKLERS
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in UNPICKLERS
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("torch", "load"), ("pandas", "read_pickle")}
            assert not (node.value.id in ("os", "subprocess") and node.attr in SHELLS)
        elif isinstance(node, ast.keyword):
            assert node.arg not in ("shell", "allow_pickle")


NAMES = (
    "with spaces and 'quotes'",
    "$(touch marker)",
    "a; touch marker; b",
    "`touch marker` && touch marker | touch marker > marker",
    '"double" #hash',
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flags", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
def test_values_with_shell_characters_only_name_files(
    warm: WarmStarts,
    small: list[str],
    faults: FaultTable,
    tmp_path: Path,
    name: str,
    flags: list[str],
) -> None:
    fault, folder = faults("shell characters in a value"), tmp_path / "inside" / name
    fault.injected += 1
    done = warm.run([*flags, *small, "train.max_steps=1"], folder)
    assert done.code == 0, done.errors
    assert len(finished_rows(folder)) == (2 if flags else 1)
    markers = [*tmp_path.rglob("marker"), *warm.place.rglob("marker")]
    fault.wrong += bool(markers)
    assert not markers
    assert [path.name for path in folder.parent.iterdir()] == [name]


def test_the_processes_of_a_sweep_take_names_for_names_and_code_from_its_own_place(
    small: list[str], faults: FaultTable, tmp_path: Path
) -> None:
    """Neither odd folders nor a package in the working folder, named like ours, are run."""
    fault, folder = faults("shell characters in a value"), tmp_path / "inside" / NAMES[1]
    trap = tmp_path / "outside" / "benchmarks" / "__init__.py"
    trap.parent.mkdir(parents=True)
    trap.write_text(f"open({str(tmp_path / 'marker')!r}, 'w').close()\n")
    command = ["-m", "hydra/launcher=local", *small, "train.max_steps=1", "seed=0,1"]
    command = [part for part in command if not part.startswith("cache_dir")]
    places = {"cache_dir": tmp_path / NAMES[2], "results_dir": folder}
    fault.injected += 1
    run = [*command, *(f"{key}={quoted(str(place))}" for key, place in places.items())]
    ended(run, tmp_path / "outside")
    assert len(finished_rows(folder)) == 2
    fault.wrong += bool(list(tmp_path.rglob("marker")))
    assert not list(tmp_path.rglob("marker"))
    assert [path.name for path in folder.parent.iterdir()] == [NAMES[1]]


def test_an_archive_is_no_source(warm: WarmStarts, faults: FaultTable, tmp_path: Path) -> None:
    """One with members that lead outside is refused like any other file, and not opened."""
    fault = faults("archive that leads outside")
    archive = tmp_path / "reviews.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for name in ("../outside.txt", f"{tmp_path}/absolute.txt"):
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"text"))
    fault.injected += 1
    done = warm.run(["task=imdb", f"task.source={archive}"], tmp_path / "results")
    assert done.code == 2
    assert f"task.source={archive}: no such folder" in done.errors
    assert not list(tmp_path.parent.rglob("outside.txt"))
    assert not list(tmp_path.rglob("absolute.txt"))
