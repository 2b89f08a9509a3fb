"""Types and helpers for tests on runs trained for a few steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RunScript = Callable[..., tuple[int, str, str]]
Train = Callable[..., Path]

QUICK = ("--seconds", 0.001)


def row_of(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads((folder / "row.json").read_text())
    return row


def changed(folder: Path, **values: Any) -> Path:
    """Change values in the row of a run."""
    (folder / "row.json").write_text(json.dumps(row_of(folder) | values))
    return folder
