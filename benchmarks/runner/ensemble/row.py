"""The row of an ensemble, from those of its members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from benchmarks.results.row import Row
from benchmarks.runner.derived_row import derived_row

MODEL = "ensemble"


def new_row(members: Sequence[dict[str, Any]], weighting: str, now: datetime) -> Row:
    """Return the row of an ensemble without its scores.

    Settings are those that all networks share; a baseline has none.
    """
    networks = [row for row in members if not row.get("baseline")] or members
    names = sorted(Counter(str(row["model"]) for row in members).items())
    models = "+".join(f"{count}*{name}" if count > 1 else name for name, count in names)
    row = derived_row(members, networks, MODEL, [weighting], now)
    row.model = MODEL
    row.overrides = " ".join((*common_words(networks), f"members={models} weights={weighting}"))
    return row


def common_words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the overrides that all rows have, in the order of the first."""
    first, *others = (str(row.get("overrides") or "").split() for row in rows)
    return [word for word in first if all(word in other for other in others)]
