"""The plan of the house: which way imports run, what loads early, how small things stay."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import checked_config
from benchmarks.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
ROOMS = ("benchmarks", "models", "tasks")
SOURCES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
OPTIONS = sorted([*CONF.glob("model/*.yaml"), *CONF.glob("task/*.yaml")])
MODELS = sorted(file.stem for file in CONF.glob("model/*.yaml"))
TASKS = sorted(file.stem for file in CONF.glob("task/*.yaml"))
LONGEST_SOURCE = 400
LONGEST_OPTION = 8

ALLOWED_ROOMS = {
    "models": {"models"},
    "tasks": {"tasks"},
    "benchmarks": {"benchmarks", "models", "tasks"},
}


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imported_rooms(file: Path) -> set[str]:
    """The packages of this project that a file imports anywhere, in functions too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which way they run"
            names.append(node.module or "")
    return {name.partition(".")[0] for name in names} & {*ROOMS, "run", "scripts", "tests"}


@pytest.mark.parametrize("file", SOURCES, ids=place)
def test_imports_run_one_way(file: Path) -> None:
    assert imported_rooms(file) <= ALLOWED_ROOMS[file.relative_to(ROOT).parts[0]]


def test_the_rooms_were_found() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in SOURCES} == set(ROOMS)
    schema = ROOT / "benchmarks" / "config" / "schema.py"
    assert imported_rooms(schema) == {"models", "tasks"}


def test_definitions_and_schema_import_no_heavy_library() -> None:
    """Else a typing error on the command line would be answered after seconds."""
    early = [
        f"{room}.{file.stem}"
        for room in ("models", "tasks")
        for file in sorted((ROOT / room).glob("*.py"))
        if file.stem != "__init__"
    ]
    early += ["benchmarks.cli", "benchmarks.config.schema", "benchmarks.config.help"]
    early += ["benchmarks.results.store"]
    program = (
        "import importlib, sys\n"
        "heavy = {'torch', 'pandas', 'datasets', 'tokenizers', 'pyarrow', 'scipy'}\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert not heavy & set(sys.modules), (name, heavy & set(sys.modules))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *early], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("file", OPTIONS, ids=place)
def test_an_option_is_a_few_lines(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_OPTION


def test_no_source_grows_out_of_sight() -> None:
    files = [*SOURCES, *(ROOT / "scripts").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    lines = {place(file): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert {name: count for name, count in lines.items() if count > LONGEST_SOURCE} == {}


@pytest.mark.parametrize("extra", [[], ["debug=smoke"]], ids=["", "smoke"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_every_pair_composes_or_is_refused_with_its_reason(
    model: str, task: str, extra: list[str]
) -> None:
    register_schemas(CONF)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=[f"model={model}", f"task={task}", *extra])
    if task == "shakespeare" and model.startswith("bi"):
        with pytest.raises(UserError, match=f"model={model} .* task={task}.* see the answer"):
            checked_config(composed)
        return
    config = checked_config(composed)
    assert isinstance(config, Config)
    assert (config.model.label, config.task.name) == (model, task)
    assert config.smoke == bool(extra)
