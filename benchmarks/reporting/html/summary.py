"""A comparison in a few sentences, from its verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.analysis.comparison import (
    BETTER,
    EQUIVALENT,
    FAILS_LESS,
    FAILS_MORE,
    NOT_COMPARABLE,
    NOT_SHOWN,
    WORSE,
    Arm,
    Group,
)
from benchmarks.analysis.ranking import failing_more
from benchmarks.reporting.answer import MANY, answer, budgets, names_of, nets, pair_of, time_ratio
from benchmarks.reporting.html.formatting import (
    metric_and_direction,
    number,
    p_value,
    plural,
    score_texts,
    seconds,
)
from benchmarks.reporting.sentences import count_text, open_text

# The best network is known and beats the baselines; something is not shown; a baseline is better.
SHOWN, OPEN, BEATEN = "shown", "open", "beaten"


@dataclass(frozen=True)
class Summary:
    """The result of a group in one headline and the numbers behind it."""

    tone: str  # SHOWN, OPEN or BEATEN
    headline: str
    text: str


def summarise(group: Group) -> Summary:
    """Summarise the best network, its lead, the baseline and the cost."""
    contenders = nets(group)
    if not contenders:
        best = group.arms[0]
        metric = metric_and_direction(group, with_unit=False)
        text = f"Of the baselines, {best.label} is best: {_score(best)} ({metric})."
        return Summary(OPEN, "Baselines only", text)
    by_budget = budgets(group)
    rankings = [_ranking(group, contenders)]
    if len(by_budget) > 1:
        rankings = ["Budgets differ; verdicts hold within a budget."]
        for name, arms in by_budget.items():
            text = _ranking(group, arms) or f"{arms[0].label} only."
            rankings.append(f"{name[0].upper()}{name[1:]}: {text}")
    texts = [_scores(group, contenders), _failures(group), *rankings, _cost(contenders)]
    text = " ".join(text for text in texts if text)
    return Summary(_tone(group, contenders), answer(group), text)


def _is_settled(group: Group, contenders: list[Arm]) -> bool:
    """Check that the best network is shown to be better than every other."""
    found = [pair_of(group, contenders[0], other) for other in contenders[1:]]
    return all(each is not None and each[1] == BETTER for each in found)


def _tone(group: Group, contenders: list[Arm]) -> str:
    """Return the tone of the networks against the best baseline and each other."""
    best, baseline = contenders[0], group.best_baseline
    is_settled = _is_settled(group, contenders)
    if baseline is None:
        return SHOWN if is_settled and len(contenders) > 1 else OPEN
    if any(arm.beats_baselines for arm in contenders):
        return SHOWN if best.beats_baselines and is_settled else OPEN
    found = [pair_of(group, arm, baseline) for arm in contenders]
    return BEATEN if all(each is not None and each[1] == WORSE for each in found) else OPEN


def _scores(group: Group, contenders: list[Arm]) -> str:
    named = [f"{arm.label} {_score(arm)}" for arm in contenders[:MANY]]
    if len(contenders) > MANY:
        named[-1] = f"… {contenders[-1].label} {_score(contenders[-1])}"
    baseline = group.best_baseline
    against = f" against {_score(baseline)}" if baseline is not None else ""
    metric = metric_and_direction(group, with_unit=False)
    return f"{', '.join(named)}{against} ({metric})."


def _failures(group: Group) -> str:
    """Return the completed runs of arms with failed ones, and which fail more often."""
    arms = [arm for arm in group.all_arms if arm.failures]
    if not arms:
        return ""
    counts = ", ".join(f"{arm.label} {count_text(arm)}" for arm in arms[:MANY])
    more = f" and {len(arms) - MANY} more arms" * (len(arms) > MANY)
    shown = sorted({label for pair in group.pairs if (label := failing_more(pair)) is not None})
    verdict = ""
    if shown:
        verdict = f"; {names_of(shown)} {'fails' if len(shown) == 1 else 'fail'} more often"
    return f"Completed runs: {counts}{more}{verdict}."


def _ranking(group: Group, contenders: list[Arm]) -> str:
    """Return the lead of the best network over the next, and its verdict."""
    if len(contenders) == 1:
        return ""
    best, second = contenders[:2]
    lead = number(abs(best.score.mean - second.score.mean), 2)
    lead_text = f"{best.label} leads {second.label} by {lead}"
    if best.score.mean == second.score.mean:
        lead_text = f"{best.label} and {second.label} have the same mean"
    found = pair_of(group, best, second)
    pair, verdict = found if found is not None else (None, "")
    if pair is not None and verdict == NOT_COMPARABLE:
        return f"{lead_text}, but the two are not comparable ({pair.reason})."
    if max(best.score.n, second.score.n) == 1:
        return f"{lead_text}; one seed per arm cannot rank architectures."
    if verdict == FAILS_MORE:
        return f"{lead_text} in completed runs, but {best.label} fails more often."
    if verdict == FAILS_LESS:
        return f"{lead_text}; {best.label} fails less often."
    if pair is not None and pair.withheld:
        return f"{lead_text} in completed runs; the verdict is open, {open_text(pair)}."
    if verdict == EQUIVALENT:
        return f"{lead_text}; the two are equivalent."
    if verdict == BETTER and pair is not None:
        n = pair.seeds.n if pair.seeds is not None else best.score.n
        p = f" ({p_value(pair.p_adjusted)})" if pair.p_adjusted is not None else ""
        settled = _is_settled(group, contenders)
        more = "" if settled else ", but not every other network is shown to be worse"
        return f"{lead_text}, which {plural(n, 'seed')} {'shows' if n == 1 else 'show'}{p}{more}."
    if pair is not None and pair.detectable is not None:
        return f"{lead_text}; {verdict}, detectable difference {number(pair.detectable, 2)}."
    return f"{lead_text}; {verdict or NOT_SHOWN}."


def _cost(contenders: list[Arm]) -> str:
    best = contenders[0]
    if best.train_seconds is None:
        return ""
    text = f"{best.label} trains {seconds(best.train_seconds)} a run"
    if best.doubtful_times:
        return f"{text}, a time in doubt."
    found = time_ratio(best, contenders[1:])
    if found is None:
        return f"{text}."
    ratio, fastest = found
    if ratio >= 1.1:
        return f"{text}, {number(ratio, 2)} times as long as {fastest.label}."
    return f"{text}, less than every other network." if ratio <= 1 / 1.1 else f"{text}."


def _score(arm: Arm) -> str:
    return score_texts(arm.score)[0]
