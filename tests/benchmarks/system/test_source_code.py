"""The hash of source code covers what a run imports, and ignores comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.runner.row_columns import source_of
from benchmarks.system import source_code
from benchmarks.system.source_code import source_hash
from tests.helpers.composing import composed

FILES = {
    "nets/__init__.py": '"""Nets."""\n',
    "nets/lstm.py": '"""An LSTM."""\nfrom nets.kernels import layer\n\nSIZE = 1  # units\n',
    "nets/kernels/__init__.py": "",
    "nets/kernels/layer.py": "def f(x):\n    '''Return x.'''\n    import nets.init\n    return x\n",
    "nets/kernels/cells.cpp": "int f() { return 1; } // one\n",
    "nets/init.py": "SCALE = 0.1\n",
    "nets/other.py": "import nets.init\n",
    "harness/loop.py": "import nets.other\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(source_code, "PROJECT_ROOT", tmp_path)
    return tmp_path


def hash_now(*modules: str) -> str:
    return source_hash.__wrapped__(modules or ("nets.lstm",), ("nets",))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nets/lstm.py", "from nets.kernels import layer\n\nSIZE = 2\n"),
        ("nets/init.py", "SCALE = 0.2\n"),  # imported by a function of an imported module
        ("nets/kernels/cells.cpp", "int f() { return 2; }\n"),
        ("nets/kernels/layer.py", "import nets.init\ndef f(x):\n    return -x\n"),
    ],
)
def test_a_change_of_code_changes_the_hash(name: str, text: str, root: Path) -> None:
    before = hash_now()
    (root / name).write_text(text, encoding="utf-8")
    assert hash_now() != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nets/lstm.py", '"""New."""\nfrom nets.kernels import layer\nSIZE = (1)  # of a cell\n'),
        (
            "nets/kernels/layer.py",
            "def f(x):\n    '''X.'''\n    import nets.init\n\n    return x\n",
        ),
        ("nets/kernels/cells.cpp", "/* f */\nint f() {\n  return 1; }\n"),
        ("nets/other.py", "ANOTHER_MODEL = 1\n"),
        ("nets/new.py", "ANOTHER_MODEL = 1\n"),
        ("harness/loop.py", "SHOWN = 1\n"),
    ],
)
def test_comments_formats_and_other_modules_do_not(name: str, text: str, root: Path) -> None:
    before = hash_now()
    (root / name).write_text(text, encoding="utf-8")
    assert hash_now() == before


def test_a_package_is_hashed_as_a_whole(root: Path) -> None:
    before = hash_now("nets")
    (root / "nets" / "new.py").write_text("X = 1\n", encoding="utf-8")
    assert hash_now("nets") != before


def test_models_of_one_task_share_its_part_and_tasks_of_one_model_its_own() -> None:
    parts = {}
    for model, task in (("rnn", "sp500"), ("baseline", "sp500"), ("rnn", "shakespeare")):
        parts[model, task] = source_of(composed(f"model={model}", f"task={task}")).split("-")
    assert parts["rnn", "sp500"][1] == parts["baseline", "sp500"][1]
    assert parts["rnn", "sp500"][0] == parts["rnn", "shakespeare"][0]
    assert parts["rnn", "sp500"][0] != parts["baseline", "sp500"][0]
    assert parts["rnn", "sp500"][1] != parts["rnn", "shakespeare"][1]
