"""Results tables, and comparisons of their arms."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pandas as pd

from benchmarks.analysis.compare import compare
from benchmarks.analysis.formatting import LARGEST, short_count, significant
from benchmarks.analysis.selection import Options
from benchmarks.analysis.statistics.common import Interval
from benchmarks.reporting import tables as grids
from benchmarks.reporting.answer import answer
from benchmarks.reporting.renderers import as_markdown, in_markdown, show
from benchmarks.reporting.sentences import count_text
from scripts.documentation.markdown import text_table

SEEDS = 5  # of experiment=headline, fixed beforehand

TABLE_COLUMNS = {
    "model": "model",
    "task": "task",
    "metric": "metric",
    "test_score": "test score",
    "rmse_over_naive": "RMSE / random walk",
    "bits_per_character": "bits/char",
    "encoder_parameters": "encoder parameters",
    "epochs": "epochs",
    "train_seconds": "training s",
    "tokens_per_second": "tokens/s",
    "latency_ms_p50": "latency ms",
    "peak_memory_mib": "memory MiB",
}


def measured_table(file: Path) -> str:
    """Turn a results table into Markdown; columns empty in all rows are left out."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)[list(TABLE_COLUMNS)]
    filled = table.loc[:, (table != "").any()].map(shortened).rename(columns=TABLE_COLUMNS)
    return text_table([*filled], filled.to_numpy().tolist())


def shortened(cell: str) -> str:
    """Format a number with four significant digits, and text as Markdown."""
    try:
        value = float(cell)
    except ValueError:
        return in_markdown(cell)
    return f"{value:,.0f}" if value.is_integer() and abs(value) < LARGEST else significant(value, 4)


def comparison_text(table: Path) -> str:
    """Return the comparison of a headline table in Markdown."""
    sections = grids.sections_of(compare([table], Options(planned=SEEDS)), only_changed=False)
    return re.sub(r"^## ", "### ", as_markdown(sections), flags=re.MULTILINE)


def with_interval(text: str, score: Interval) -> str:
    """Append half of the interval of a score, if it has one."""
    half = grids.half_text(score)
    return f"{text} ± {half}" if half else text


def headline_table(table: Path) -> str:
    """Return the networks and the best baseline of each task, and the answers of a comparison."""
    rows, answers = [], []
    for group in compare([table], Options(planned=SEEDS)).groups:
        best_baseline = next((arm for arm in group.arms if arm.baseline), None)
        for arm in group.arms:
            if arm.baseline and arm is not best_baseline:
                continue
            score = with_interval(grids.score_cell(group, arm), arm.score)
            costs = [grids.time_cell(arm, each) for each in (arm.train_seconds, arm.latency_ms)]
            verdict = grids.baseline_cell(arm) if not arm.baseline else "best baseline"
            sizes = [count_text(arm), short_count(arm.parameters)]
            found = [group.title, arm.label, score, verdict, *sizes, *costs]
            rows.append([in_markdown(cell) for cell in found])
        answers.append(f"- {group.title}, {group.metric}: {in_markdown(answer(group))}\n")
    header = ["task", "arm", "test score", "against best baseline", "n", "parameters", "training s"]
    return text_table([*header, "latency ms"], rows) + "\n" + "".join(answers)


def printed_comparison(table: Path, task: str) -> str:
    """Return the output of scripts/compare.py for a task of a headline table."""
    found = compare([table], Options(task=task, planned=SEEDS))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        show(grids.sections_of(found, only_changed=False))
    return f"```\n{printed.getvalue()}```\n"
