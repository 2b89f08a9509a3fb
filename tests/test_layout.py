"""Layout of the source: direction of imports, early imports, and sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest
from hydra import compose, initialize_config_dir

from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import checked_config
from benchmarks.errors import UserError
from tests.helpers.definitions import EXAMPLES

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
ROOTS = ("benchmarks", "models", "tasks", "scripts")
SOURCES = [file for root in ROOTS for file in sorted((ROOT / root).rglob("*.py"))]
OPTIONS = sorted([*CONF.glob("model/*.yaml"), *CONF.glob("task/*.yaml")])
MODELS = sorted(file.stem for file in CONF.glob("model/*.yaml"))
TASKS = sorted(file.stem for file in CONF.glob("task/*.yaml"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_MEDIAN_FUNCTION_LINES = 10
MAX_SOURCE_LINES = 46_600
MAX_OPTION_LINES = 8

CONFIG = {"errors", "system"}
TRAINING = RESULTS = {*CONFIG, "config"}
RUNNER = {*TRAINING, "training", "results"}
SWEEPS = {*RUNNER, "runner"}
ANALYSIS = {*RESULTS, "results"}
REPORTING = {*ANALYSIS, "analysis"}
ALLOWED_PACKAGES = {
    "errors": set[str](),
    "system": {"errors"},
    "config": CONFIG,
    "training": TRAINING,
    "results": RESULTS,
    "runner": RUNNER,
    "sweeps": SWEEPS,
    "cli": {*SWEEPS, "sweeps"},
    "analysis": ANALYSIS,
    "reporting": REPORTING,
    "export": {*REPORTING, "reporting", "training", "runner"},
}
"""By package of benchmarks/: the other packages it may import."""

ALLOWED_ROOTS = {
    "models": {"models"},
    "tasks": {"tasks"},
    "benchmarks": {"benchmarks", "models", "tasks"},
    "scripts": {"benchmarks", "models", "tasks", "scripts"},
}


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in SOURCES}


@cache
def imports(file: Path) -> frozenset[str]:
    """Return the project's modules that a file imports at any level, also for types only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide their direction"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in MODULES else node.module)
    return frozenset(n for n in names if n.partition(".")[0] in (*ROOTS, "run", "tests"))


def package(module: str) -> str:
    """Return the part of a module's name after `benchmarks`; empty for `benchmarks` itself."""
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("file", SOURCES, ids=place)
def test_imports_follow_the_order_of_packages(file: Path) -> None:
    root = file.relative_to(ROOT).parts[0]
    roots = {name.partition(".")[0] for name in imports(file)}
    assert roots <= ALLOWED_ROOTS[root]
    own = package(module_name(file))
    if root == "benchmarks" and own:
        used = {package(name) for name in imports(file) if name.startswith("benchmarks")}
        assert used - {"", own} <= ALLOWED_PACKAGES[own]


def test_no_module_imports_itself_through_others() -> None:
    reachable = {name: set(imports(file)) for name, file in MODULES.items()}
    grown = True
    while grown:
        grown = False
        for found in reachable.values():
            more = set().union(*(reachable.get(name, set()) for name in found)) - found
            found |= more
            grown = grown or bool(more)
    assert [name for name, found in reachable.items() if name in found] == []


def test_the_modules_were_found() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in SOURCES} == set(ROOTS)
    schema = imports(ROOT / "benchmarks" / "config" / "schema.py")
    assert schema == {"models.base", "tasks.base"}
    assert "benchmarks.cli" in imports(ROOT / "scripts" / "perf" / "sweep_cost.py")  # in a function


def test_benchmarks_has_three_files_and_nine_packages() -> None:
    entries = [e for e in (ROOT / "benchmarks").iterdir() if e.name != "__pycache__"]
    assert {e.name for e in entries if e.is_file()} == {"__init__.py", "cli.py", "errors.py"}
    packages = set(ALLOWED_PACKAGES) - {"cli", "errors"}
    assert {e.name for e in entries if e.is_dir()} == packages
    assert len(packages) == 9


def test_definitions_and_schema_import_no_heavy_library() -> None:
    """Otherwise a mistake on the command line would be answered only after seconds."""
    definitions = [name for name in MODULES if name.startswith(("models.", "tasks."))]
    early = [n for n in definitions if n.count(".") == 1 and MODULES[n].stem != "__init__"]
    early += [n for n in definitions if n.endswith(".task")]
    assert {"models.recurrent", "tasks.base", "tasks.text.task"} <= set(early)
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
    assert line_count(file) <= MAX_OPTION_LINES


def line_count(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the functions and methods of a file with their numbers of lines."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{place(file)}:{node.name}", node.end_lineno - node.lineno + 1


def test_files_are_short() -> None:
    lines = {place(file): line_count(file) for file in [*SOURCES, *(ROOT / "tests").rglob("*.py")]}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    lines = [found for file in [ROOT / "run.py", *SOURCES] for found in functions(file)]
    assert [each for each in lines if each[1] > MAX_FUNCTION_LINES] == []
    assert median(count for _, count in lines) <= MAX_MEDIAN_FUNCTION_LINES


def test_the_source_stays_small() -> None:
    others = [f for root in ROOTS for end in ("cpp", "h") for f in (ROOT / root).rglob(f"*.{end}")]
    assert sum(map(line_count, [ROOT / "run.py", *SOURCES, *others])) < MAX_SOURCE_LINES


@pytest.mark.parametrize("extra", [[], ["debug=smoke"]], ids=["", "smoke"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_every_pair_composes_or_is_refused_with_its_reason(
    model: str, task: str, extra: list[str]
) -> None:
    register_schemas()
    data = [f"task.data='{EXAMPLES[task]}'"] if task in EXAMPLES else []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=[f"model={model}", f"task={task}", *data, *extra])
    if task in ("lm", "shakespeare") and model.startswith("bi"):
        with pytest.raises(
            UserError, match=f"model={model}: .* would see the steps that task={task} "
        ):
            checked_config(composed)
        return
    config = checked_config(composed)
    assert isinstance(config, Config)
    assert (config.model.label, config.task.name) == (model, task)
    assert config.smoke == bool(extra)
