"""Tables of the report: the arms of a group with their verdicts, and its pairs."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import (
    BETTER,
    FAILS_LESS,
    FAILS_MORE,
    WORSE,
    Arm,
    FailedArm,
    Group,
    Pair,
)
from benchmarks.analysis.formatting import rounded
from benchmarks.analysis.statistics.common import Paired
from benchmarks.reporting.html.formatting import (
    NONE,
    among_nets,
    count,
    number,
    p_value,
    score_texts,
    seconds,
    with_minus,
)
from benchmarks.reporting.sentences import (
    completion_text,
    count_text,
    effect_text,
    failures_text,
    open_text,
    seeds_text,
    undertrained_text,
)

MOST_ARMS = 200
MOST_PAIRS = 300

TONES = {BETTER: "good", WORSE: "bad", FAILS_MORE: "bad", FAILS_LESS: "good"}  # others are open


@dataclass(frozen=True)
class Cell:
    """One cell of a table, with secondary text."""

    text: str
    value: float | None = None  # sort key; the text where it is None
    more: str = ""
    tone: str = ""  # CSS class: good, bad, open, among-best or empty


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row."""

    header: list[str]
    units: list[str]  # second line of the header
    rows: list[list[Cell]]
    left: int  # number of omitted rows


ARM_HEADER = [
    ("arm", ""),
    ("test score", "mean, 95 % interval"),
    ("seeds", ""),
    ("among the networks", "verdict"),
    ("against best baseline", "verdict"),
    ("skill", "0 naive, 1 perfect"),
    ("parameters", ""),
    ("training", "per run"),
    ("latency", "ms"),
    ("memory", "MiB"),
]


def arm_table(group: Group) -> Table:
    """Return the arms of a group, best first."""
    return Table(
        [name for name, _ in ARM_HEADER],
        [unit for _, unit in ARM_HEADER],
        [
            *(_arm(group, arm) for arm in group.arms[:MOST_ARMS]),
            *(_failed_arm(arm) for arm in group.failed_arms[:MOST_ARMS]),
        ],
        max(0, len(group.arms) - MOST_ARMS) + max(0, len(group.failed_arms) - MOST_ARMS),
    )


def _failed_arm(arm: FailedArm) -> list[Cell]:
    kind = f"{arm.baseline} baseline" if arm.baseline else ""
    seeds = Cell(count_text(arm), 0, failures_text(arm), "bad")
    return [Cell(arm.label, more=kind), Cell(NONE), seeds, *[Cell(NONE)] * (len(ARM_HEADER) - 3)]


def _arm(group: Group, arm: Arm) -> list[Cell]:
    verdict = among_nets(group, arm)
    tone = "bad" if verdict.startswith("worse") else "open"
    tone = "good" if verdict.startswith("best network") else tone
    against = "the best baseline" if arm is group.best_baseline else arm.against_baselines or NONE
    beaten = {True: "good", False: "open", None: ""}[arm.beats_baselines]
    kind = {"naive": "naive reference"}.get(arm.baseline, f"{arm.baseline} baseline")
    about = [kind] if arm.baseline else []
    if arm.match not in ("", "hidden") and arm.match_budget is not None:
        about.append(budget_name(arm.match, arm.match_budget))
    score, spread = score_texts(arm.score)
    doubt = " ?" if arm.doubtful_times else ""
    peak = ""
    if arm.utilisation is not None:
        kernel = f", {arm.kernel}" if arm.kernel else ""
        peak = f"{number(100 * arm.utilisation, 2)} % of peak{kernel}"
    return [
        Cell(arm.label, more=", ".join(about)),
        Cell(
            score,
            arm.score.mean,
            "" if arm.is_deterministic else spread,
            tone="among-best" if arm.is_among_best else "",
        ),
        Cell(count_text(arm) or NONE, arm.score.n, failures_text(arm)),
        Cell(verdict, tone=tone),
        Cell(
            against,
            more="" if arm.beats_baselines is None else arm.undertrained_text,
            tone="bad" if against.startswith("worse") else beaten,
        ),
        Cell(
            NONE if arm.skill is None else with_minus(rounded(arm.skill, 3)),
            arm.skill,
            "" if arm.seasonal_skill is None else f"{number(arm.seasonal_skill, 3)} seasonal",
        ),
        Cell(count(arm.parameters), arm.parameters),
        Cell(seconds(arm.train_seconds) + doubt, arm.train_seconds, peak),
        Cell(number(arm.latency_ms, 2) + doubt, arm.latency_ms),
        Cell(number(arm.memory_mib, 3), arm.memory_mib),
    ]


PAIR_HEADER = [
    ("A", ""),
    ("B", ""),
    ("A against B", "verdict"),
    ("A − B", "mean, corrected interval"),  # noqa: RUF001  a minus sign
    ("p", "Holm, all pairs"),
    ("p below margin", "Holm, all pairs"),
    ("A better", "share of seeds"),
    ("detectable", "80 % power"),
    ("seeds needed", "for the margin"),
    ("A beyond these items", "seeds x items, Holm"),
    ("test items", "A − B, predictions"),  # noqa: RUF001  a minus sign
]


def pair_table(group: Group) -> Table:
    """Return the pairs of a group, or those with the best arm and the best baseline."""
    pairs = group.pairs_to_show
    return Table(
        [name for name, _ in PAIR_HEADER],
        [unit for _, unit in PAIR_HEADER],
        [_pair(pair, group) for pair in pairs[:MOST_PAIRS]],
        len(group.pairs) - min(len(pairs), MOST_PAIRS),
    )


def _pair(pair: Pair, group: Group) -> list[Cell]:
    seeds = pair.seeds
    needed = pair.seeds_for_margin
    failures = completion_text(pair.completion, pair.a, pair.b)
    about = (
        open_text(pair),
        f"{pair.reason}{failures}",
        pair.differ,
        undertrained_text(pair, group),
    )
    return [
        Cell(pair.a),
        Cell(pair.b),
        Cell(
            pair.verdict,
            more="; ".join(text for text in about if text),
            tone=TONES.get(pair.verdict, "open"),
        ),
        _difference(seeds, effect_text(pair, group.margin)),
        _p(pair.p_adjusted),
        _p(pair.p_equivalence),
        _share(seeds, group.higher_is_better),
        Cell(number(pair.detectable, 2), pair.detectable),
        Cell(NONE if needed is None else seeds_text(needed), needed and needed[0]),
        _population(pair),
        _items(pair, group),
    ]


def _p(p: float | None) -> Cell:
    return Cell(p_value(p).removeprefix("p = ").removeprefix("p "), p)


def _difference(found: Paired | None, effect: str) -> Cell:
    if found is None:
        return Cell(NONE)
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f"{number(found.low, 3)} to {number(found.high, 3)}"
    return Cell(number(found.difference, 3), found.difference, f"{interval}{effect}")


def _share(found: Paired | None, higher_is_better: bool) -> Cell:
    if found is None or found.probability is None:
        return Cell(NONE)
    share = found.probability if higher_is_better else 1 - found.probability
    return Cell(f"{share:.0%}", share)


def _population(pair: Pair) -> Cell:
    found, p = pair.population, pair.population_p
    if found is None or p is None:
        return Cell(NONE)
    verdict = pair.population_verdict
    return Cell(f"{verdict}, {p_value(p)}", p, found.warning, TONES.get(verdict, ""))


def _items(pair: Pair, group: Group) -> Cell:
    found = pair.items
    if found is None:
        return Cell(NONE)
    more = f"{found.method}, {found.n:,} items, {pair.items_of}".removesuffix(", ")
    more += f"; {found.warning}" if found.warning else ""
    # Each kind of predictions has its own test, with its own unit.
    if found.method.startswith("McNemar"):
        unit = "share right"
    elif found.method.startswith("Diebold"):
        unit = f"squared {group.unit or 'error'}"
    else:
        unit = "nats"
    return Cell(f"{number(found.difference, 2)} {unit}, {p_value(found.p)}", found.p, more)
