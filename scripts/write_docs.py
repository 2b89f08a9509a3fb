"""Write the parts of the documentation that the code or a measured table determines.

    python scripts/write_docs.py           writes them
    python scripts/write_docs.py --check   exits with 1 if one is out of date

docs/results.md and docs/settings.md come from dataclasses. Other pages are filled between
`<!-- table: FILE -->`, `<!-- headline: FILE -->`, `<!-- compare: FILE -->`,
`<!-- printed: FILE TASK -->`, `<!-- choice: FILE KEY -->`, `<!-- ablation: FILE KEY -->`,
`<!-- ratios: FOLDER -->` or `<!-- recipes: FOLDER -->` and `<!-- end -->`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import statistics
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import models
import tasks
from benchmarks import PROJECT_ROOT
from benchmarks.analysis.choice import Candidate, Choice, choices
from benchmarks.analysis.compare import compare
from benchmarks.analysis.formatting import LARGEST, mean_text, short_count, significant
from benchmarks.analysis.selection import Options
from benchmarks.analysis.statistics.common import Interval
from benchmarks.analysis.statistics.seeds import interval
from benchmarks.config.compose import compose_run, hydra_at, recipe_value
from benchmarks.config.help import CONF, options
from benchmarks.config.launchers import LAUNCHERS
from benchmarks.config.registry import definitions, register_schemas
from benchmarks.config.schema import Config, LogSettings, MatchSettings, TrainSettings
from benchmarks.config.search import TuneSettings
from benchmarks.config.validation import ImpossiblePairError, allowed_text
from benchmarks.reporting import tables as grids
from benchmarks.reporting.answer import answer
from benchmarks.reporting.renderers import as_markdown, in_markdown, markdown_table, show
from benchmarks.reporting.sentences import count_text
from benchmarks.results.row import FACTS, KINDS
from benchmarks.system.program import ScriptParser, run_script
from models.base import ModelSettings
from tasks.base import TaskSettings

SEEDS = 5  # of experiment=headline, fixed beforehand
LARGEST_LOSS = {"accuracy": (0.001, "accuracy"), "perplexity": (0.003, "nats")}
"""Largest loss in the interval of an accepted ingredient, and its unit (docs/recipes.md)."""
FILLED = (
    *("README.md", "docs/published.md", "docs/example.md", "docs/performance.md"),
    *("docs/recipes.md", "docs/compare.md"),
)
GENERATED = "<!-- Written by scripts/write_docs.py from {source}; do not edit by hand. -->\n"

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


def type_text(annotation: Any) -> str:
    """Name a field's type as a reader would."""
    if isinstance(annotation, types.UnionType):
        return " or ".join(type_text(part) for part in typing.get_args(annotation))
    if typing.get_origin(annotation) is list:
        return f"list of {type_text(typing.get_args(annotation)[0])}"
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table whose columns are all left-aligned."""
    return markdown_table(header, rows, range(len(header))) + "\n"


def results_page() -> str:
    """docs/results.md: every column of the results table."""
    rows = [[f"`{n}`", KINDS[n].__name__, facts.unit, facts.help] for n, facts in FACTS.items()]
    return (
        GENERATED.format(source="benchmarks/results/row.py")
        + "# The results table\n\n"
        + "One row per run. `runs/<run_id>/row.json` is authoritative; `results.csv` is a view of\n"
        + "these rows. A cell that does not apply is empty, never 0. Booleans are `true` and\n"
        + "`false`; times are in seconds unless the unit differs. Text that a spreadsheet would\n"
        + "execute, such as `=1+1`, has an apostrophe in front.\n\n"
        + text_table(["column", "type", "unit", "meaning"], rows)
    )


def settings_table(settings: type, prefix: str) -> str:
    """List a settings dataclass's keys."""
    hints = typing.get_type_hints(settings)
    rows = []
    for entry in dataclasses.fields(settings):
        if entry.name in ("task", "model", "train", "match", "log"):
            continue
        default = "null" if entry.default is None else str(entry.default)
        if entry.default is dataclasses.MISSING:
            default = "empty"
        limits = entry.metadata
        is_limited = limits.keys() & {"choices", "minimum", "above", "below"}
        allowed = allowed_text(limits) if is_limited else ""
        kind = type_text(hints[entry.name])
        rows.append([f"`{prefix}{entry.name}`", kind, default.lower(), allowed, limits["help"]])
    return text_table(["key", "type", "default", "allowed", "meaning"], rows)


def settings_part(title: str, settings: type, prefix: str) -> str:
    """Return the description of a settings class and its keys."""
    return f"{title}\n\n{settings.__doc__}\n\n{settings_table(settings, prefix)}"


def settings_page() -> str:
    """docs/settings.md: every key of the configuration."""
    parts = [
        GENERATED.format(source="the settings dataclasses"),
        "# Settings\n",
        "Every key can be given on the command line as `KEY=VALUE`. A task's YAML in `conf/task/`\n"
        "overrides some of these defaults with its training recipe; `python run.py model=M task=T\n"
        "--cfg job` prints the resolved settings of a pair.\n",
        "## Run\n\n" + settings_table(Config, ""),
        "## train\n\n" + settings_table(TrainSettings, "train."),
        settings_part("## match", MatchSettings, "match."),
        settings_part("## log", LogSettings, "log."),
    ]
    for kind, package, base in (("model", models, ModelSettings), ("task", tasks, TaskSettings)):
        for name, settings in definitions(package, base).items():
            parts.append(settings_part(f"## {kind}: {name}", settings, f"{kind}."))
    parts.append(
        "## Launchers of a sweep\n\n"
        "`python run.py -m hydra/launcher=NAME hydra.launcher.KEY=VALUE`; "
        "the default, `basic`, runs one cell after the other in one process and has no keys.\n"
    )
    for name, settings in LAUNCHERS.items():
        parts.append(settings_part(f"### hydra/launcher={name}", settings, "hydra.launcher."))
    parts.append(settings_part("## Search: experiment=tune", TuneSettings, "hydra.sweeper."))
    return "\n".join(parts)


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


def choices_of(table: Path, key: str) -> list[Choice]:
    """Return the choices of a setting's value in a table of validation scores."""
    register_schemas()
    with hydra_at(CONF):
        return choices([table], key, None, recipe_value)


def choice_table(table: Path, key: str) -> str:
    """Return the validation scores of a search by model and value, and the reason of the choice."""
    found = choices_of(table, key)
    values = list(dict.fromkeys(each.value for choice in found for each in choice.candidates))
    rows = []
    for choice in found:
        cells = dict.fromkeys(values, "")
        for each in choice.candidates:
            text = "" if each.score is None else with_interval(mean_text(each.score), each.score)
            cells[each.value] = f"**{text}**" if each.value == choice.chosen else text
        model = choice.settings.split()[0]
        rows.append([choice.task, choice.metric, model, *cells.values(), choice.reason])
    return text_table(["task", "metric", "model", *values, f"`{key}`"], rows)


def ablation_table(table: Path, key: str) -> str:
    """Return the paired gain of each value of a setting over the recipe's, and the decision."""
    rows = []
    for choice in choices_of(table, key):
        own = next(each for each in choice.candidates if each.is_of_recipe)
        for each in choice.candidates:
            if each is own:
                continue
            gain = gain_over(own, each, choice)
            worst, unit = LARGEST_LOSS[choice.metric]
            assert gain.low is not None
            accepted = "accepted" if gain.mean > 0 and gain.low > -worst else "rejected"
            text = with_interval(f"{'+' * (gain.mean > 0)}{mean_text(gain)}", gain)
            seeds = str(gain.n)
            rows.append(
                [choice.task, choice.settings, each.value, f"{text} {unit}", seeds, accepted]
            )
    return text_table(["task", "settings", f"`{key}`", "gain on validation", "seeds", "rule"], rows)


def gain_over(own: Candidate, other: Candidate, choice: Choice) -> Interval:
    """Return the interval of the paired gains of a value, in nats for a perplexity."""
    _, own_places, places = np.intersect1d(own.seeds, other.seeds, return_indices=True)
    a, b = own.scores[own_places], other.scores[places]
    if choice.metric == "perplexity":
        a, b = np.log(a), np.log(b)
    return interval(b - a if choice.higher_is_better else a - b)


RATIO = re.compile(
    r"^ratio: ([^=]+?)(?:, [^=]*)? = (\S+) \(target (\S+) (\S+)\): (met|not met)", re.MULTILINE
)


def ratios_table(folder: Path) -> str:
    """Return one row per kind of ratio in the output of the performance programs."""
    rows = []
    for file in sorted(folder.glob("*.md")):
        kinds: dict[tuple[str, str], list[tuple[float, bool]]] = {}
        for name, value, sign, bound, verdict in RATIO.findall(file.read_text(encoding="utf-8")):
            target = f"{'≥' if sign == '>=' else '≤'} {bound}"
            kinds.setdefault((name, target), []).append((float(value), verdict == "met"))
        for (name, target), found in kinds.items():
            values = [value for value, _ in found]
            met = f"{sum(is_met for _, is_met in found)} of {len(found)}"
            numbers = [f"{of(values):.3g}" for of in (min, statistics.median, max)]
            rows.append([f"`{file.stem}`", name, *numbers, target, met])
    return text_table(["program", "ratio", "lowest", "median", "highest", "target", "met"], rows)


def recipe_tables(folder: Path) -> str:
    """Return a table per task of the keys in which a recipe differs from the default one."""
    register_schemas()
    tables = []
    with hydra_at(CONF):
        for task in options(folder.name, folder.parent):
            models = [name for name in options("model") if name != "baseline"]
            models.sort(key=lambda name: (name.startswith("bi"), name))
            pairs = {model: recipe_values(model, task, folder.name) for model in models}
            found = {model: pair for model, pair in pairs.items() if pair is not None}
            known = dict.fromkeys(key for default, _ in found.values() for key in default)
            keys = [key for key in known if differs(key, found)]
            rows = []
            for key in keys:
                values = [[str(of.get(key, "")) for of in pair] for pair in found.values()]
                defaults = dict.fromkeys(default for default, _ in values if default)
                rows.append([f"`{key}`", ", ".join(defaults), *(chosen for _, chosen in values)])
            tables.append(f"**{task}**\n\n" + text_table(["key", "default", *found], rows))
    return "\n" + "\n".join(tables) + "\n"


def recipe_values(model: str, task: str, recipe: str) -> tuple[dict[str, Any], ...] | None:
    """Return the settings of a pair by key, by default and with a recipe; None if impossible."""
    groups = [f"model={model}", f"task={task}"]
    try:
        configs = [compose_run([*groups, f"recipe={name}"]) for name in ("default", recipe)]
    except ImpossiblePairError:
        return None
    return tuple(
        {
            f"{part}.{key}": value
            for part in ("model", "train", "task")
            for key, value in dataclasses.asdict(getattr(config, part)).items()
        }
        for config in configs
    )


def differs(key: str, pairs: dict[str, tuple[dict[str, Any], ...]]) -> bool:
    """Return True if a model has another value of a key with the recipe."""
    return any(default.get(key) != other.get(key) for default, other in pairs.values())


def filled_page(page: Path) -> str:
    """Fill measured tables and their comparisons into a page's text."""
    kinds: dict[str, Callable[..., str]] = {
        "table": measured_table,
        "compare": comparison_text,
        "headline": headline_table,
        "printed": printed_comparison,
        "choice": choice_table,
        "ablation": ablation_table,
        "ratios": ratios_table,
        "recipes": recipe_tables,
    }

    def fill(match: re.Match[str]) -> str:
        source, *options = match[3].split()
        with contextlib.chdir(PROJECT_ROOT):  # notes contain the path of the table
            block = kinds[match[2]](Path(source), *options)
        return f"{match[1]}\n{block}{match[4]}"

    pattern = rf"(<!-- ({'|'.join(kinds)}): (\S+(?: \S+)?) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, fill, page.read_text(encoding="utf-8"), flags=re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    pages = {
        PROJECT_ROOT / "docs" / "results.md": results_page(),
        PROJECT_ROOT / "docs" / "settings.md": settings_page(),
        **{PROJECT_ROOT / name: filled_page(PROJECT_ROOT / name) for name in FILLED},
    }
    stale = [p for p, text in pages.items() if not p.exists() or p.read_text("utf-8") != text]
    for page in stale:
        print(f"{'out of date' if check else 'written'}: {page.relative_to(PROJECT_ROOT)}")
        if not check:
            page.write_text(pages[page], encoding="utf-8")
    return 1 if stale and check else 0


if __name__ == "__main__":
    run_script(main)
