"""The documentation is up to date, complete and in plain English."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("benchmarks", "models", "scripts", "tasks")
CODE_BLOCK = re.compile(
    r"^`([\w/]+\.(?:py|yaml))`(?:(?!```).)*```(?:python|yaml)\n(.*?)```", re.DOTALL | re.MULTILINE
)


def test_generated_pages_and_measured_tables_are_up_to_date() -> None:
    answer = subprocess.run(
        [sys.executable, "scripts/write_docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_published_table_stands_on_a_page_with_its_command() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    tables = sorted((ROOT / "results" / "published").glob("*.csv"))
    assert tables
    for table in tables:
        name = re.escape(f"results/published/{table.name}")
        before = re.split(
            f"<!-- (?:table|headline|compare|choice|ablation): {name}(?: \\S+)? -->", text
        )[0]
        assert before != text, table.name
        block = before.rpartition("```")[0].rpartition("```")[2]
        assert "python run.py" in block, f"no command before {table.name}"


def test_commands_of_the_readme_name_the_packages_they_need() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    (export,) = [line for line in lines if line.startswith("python scripts/export_model.py")]
    assert "pip install -e '.[export]'" in export
    assert len(lines) <= 130


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


AVOIDED = (
    *("alike", "anew", "by heart", "claim", "company", "let go", "mend", "neighbour", "nobody"),
    *("of late", "so many", "spoil", "told", "whoever", "without a word", "worth telling"),
)
"""Words that a standard term replaces; docs/architecture.md defines the terms."""


def words_of(file: Path) -> str:
    """Return the text of a page, or the docstrings and messages of a Python file."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return text
    nodes = ast.walk(ast.parse(text))
    return "\n".join(
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_docs_and_messages_use_standard_terms() -> None:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("conf/**/*.yaml")]
    files += [file for room in PACKAGES for file in (ROOT / room).rglob("*.py")]
    avoided = re.compile(rf"\b({'|'.join(AVOIDED)})(s|ed|s')?\b", re.IGNORECASE)
    found = {
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in files
        for match in avoided.finditer(words_of(file))
    }
    assert found == set()


@pytest.fixture(scope="module")
def extended_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to which CONTRIBUTING's model and task were added, and nothing else."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("benchmarks", "models", "tasks", "conf", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", copy / "docs")
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    shutil.copytree(ROOT / "results" / "published", copy / "results" / "published")
    for name in ("pyproject.toml", "run.py", "README.md"):
        shutil.copy(ROOT / name, copy)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = dict(pair for part in text.split("## Add a task") for pair in CODE_BLOCK.findall(part))
    assert set(blocks) == {
        *("models/average.py", "conf/model/average.yaml"),
        *("tasks/majority.py", "conf/task/majority.yaml"),
    }
    for path, block in blocks.items():
        (copy / path).write_text(block)
        assert len(block.splitlines()) <= 8 or path.endswith(".py")
    task = blocks["tasks/majority.py"].splitlines()
    assert len([line for line in task if line.strip()]) <= 40
    return copy


def test_a_new_model_and_task_are_two_files_and_keep_the_contract(
    extended_copy: Path,
) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/contract", "-q", "-k", "average or majority"],
        cwd=extended_copy,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout
    assert int(re.findall(r"(\d+) passed", answer.stdout)[0]) >= 60


def test_a_new_model_and_task_run_by_name(extended_copy: Path) -> None:
    answer = subprocess.run(
        [
            sys.executable,
            "run.py",
            "model=average",
            "task=majority",
            "debug=smoke",
            "train.threads=1",
        ],
        cwd=extended_copy,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert "average on majority: ok" in answer.stdout


def test_the_pages_of_an_extended_project_are_written(extended_copy: Path) -> None:
    """The new model has a setting that the others do not have."""
    written = subprocess.run(
        [sys.executable, "scripts/write_docs.py"],
        cwd=extended_copy,
        env=os.environ | {"PYTHONPATH": str(extended_copy)},
        capture_output=True,
        text=True,
    )
    assert written.returncode == 0, written.stderr
    assert "model.decay" in (extended_copy / "docs" / "settings.md").read_text(encoding="utf-8")
