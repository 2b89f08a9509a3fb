"""The networks of a group, and which of them is the best: one sentence from its verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import (
    BETTER,
    EQUIVALENT,
    FAILS_LESS,
    FAILS_MORE,
    FLIPPED,
    OPEN,
    SHOWN,
    WORSE,
    Arm,
    Group,
    Pair,
)
from benchmarks.analysis.formatting import significant
from benchmarks.analysis.metrics import COSTS

LEADS = {BETTER: "better than", FAILS_LESS: "fails less often than"}
ON_LEADER = LEADS | {EQUIVALENT: "equivalent to"}
MANY = 4  # up to this number, arms are listed by name; more are counted


def nets(group: Group) -> list[Arm]:
    """Return the networks of a group, best first."""
    return [arm for arm in group.arms if not arm.baseline]


def budgets(group: Group) -> dict[str, list[Arm]]:
    """Return the networks by budget, best first; verdicts hold within a budget."""
    found: dict[str, list[Arm]] = {}
    for arm in nets(group):
        found.setdefault(budget_name(arm.match, arm.match_budget), []).append(arm)
    return found


def pair_of(group: Group, a: Arm, b: Arm) -> tuple[Pair, str] | None:
    """Return the pair of two arms and its verdict on A against B."""
    for pair in group.pairs:
        if (pair.a, pair.b) == (a.label, b.label):
            return pair, pair.verdict
        if (pair.a, pair.b) == (b.label, a.label):
            return pair, FLIPPED.get(pair.verdict, pair.verdict)
    return None


def names_of(labels: Sequence[str], kind: str = "networks") -> str:
    """Return the names of arms, or their number if there are many."""
    if len(labels) > MANY:
        return f"{len(labels)} {kind}"
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


def answer(group: Group) -> str:
    """Return which network is the best and what leaves it in doubt; empty without networks.

    It follows from the verdicts of the pairs. Requested pairs do not contain them all.
    """
    found = budgets(group)
    if not found or group.asked is not None:
        return ""
    texts = [ranking_text(group, arms) for arms in found.values()]
    if len(found) > 1:
        texts = [f"{name}: {text}" for name, text in zip(found, texts, strict=True)]
    return "; ".join(filter(None, [*texts, baseline_text(group), *doubts(group)]))


def ranking_text(group: Group, arms: Sequence[Arm]) -> str:
    """Return which networks of a budget are ahead, and of which that is shown."""
    if len(arms) == 1:
        return f"{arms[0].label} is the only network"
    found = [pair for pair in group.pairs if {pair.a, pair.b} <= {arm.label for arm in arms}]
    is_tested = [pair.p_adjusted is not None or pair.verdict in SHOWN for pair in found]
    tested = {label for pair in compress(found, is_tested) for label in (pair.a, pair.b)}
    if not tested:
        return "no network is shown to be best: their pairs are not tested"
    found = [pair for pair in found if {pair.a, pair.b} <= tested]
    untested = [arm.label for arm in arms if arm.label not in tested]
    text = tested_text(group, [arm for arm in arms if arm.label in tested], found)
    verb = "is" if len(untested) == 1 else "are"
    return f"{text}; {names_of(untested)} {verb} not tested" if untested else text


def tested_text(group: Group, arms: Sequence[Arm], found: Sequence[Pair]) -> str:
    """Return which networks with tested pairs are ahead, and of which that is shown."""
    lost = {
        (pair.a if pair.verdict in (WORSE, FAILS_MORE) else pair.b): None
        for pair in shown_of(found)
    }
    left = [arm for arm in arms if arm.label not in lost]
    if not lost or not left:
        return level_text(found)
    best = left[0]
    name = best.label if len(left) == 1 else f"{best.label} ahead"
    text = f"{name}, {lead_text(group, best, arms)}"
    verdicts = {arm.label: pair_of(group, best, arm) for arm in arms}
    others = [name for name in lost if (pair := verdicts[name]) is None or pair[1] not in LEADS]
    verb = "is" if len(others) == 1 else "are"
    return f"{text}; {names_of(others)} {verb} worse than another network" if others else text


def level_text(pairs: Sequence[Pair]) -> str:
    """Return the sentence on networks of which none is ahead, with the equivalent ones."""
    equal = [pair for pair in pairs if pair.verdict == EQUIVALENT]
    if len(equal) == len(pairs) > 1:
        return "all networks are equivalent"
    names = [f"{pair.a} and {pair.b}" for pair in equal]
    if len(equal) == len(pairs):
        return f"{names[0]} are equivalent"
    text = "no network is shown to be better than another"
    if len(names) > MANY:
        return f"{text}; {len(names)} of {len(pairs)} pairs are equivalent"
    return f"{text}; {', '.join(names)} are equivalent" if names else text


def shown_of(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs whose arms are shown to differ."""
    return [pair for pair in pairs if pair.verdict in SHOWN]


def lead_text(group: Group, best: Arm, arms: Sequence[Arm]) -> str:
    """Return the verdicts on the network that is ahead, and its time."""
    others = [arm for arm in arms if arm is not best]
    parts: dict[str, list[str]] = {}
    for other in others:
        found = pair_of(group, best, other)
        verdict = ON_LEADER.get(found[1] if found else "", "not shown better than")
        parts.setdefault(verdict, []).append(other.label)
    texts = [f"{text} {names_of(labels)}" for text, labels in parts.items()]
    timed = time_ratio(best, others)
    if timed is not None and group.metric not in COSTS:
        ratio, fastest = timed
        texts.append(f"at {significant(ratio, 2)} times the training time of {fastest.label}")
    return ", ".join(texts)


def time_ratio(best: Arm, others: Iterable[Arm]) -> tuple[float, Arm] | None:
    """Return a training time relative to the fastest other network; None if it is in doubt."""
    timed = [arm for arm in others if arm.train_seconds and not arm.doubtful_times]
    if not timed or not best.train_seconds or best.doubtful_times:
        return None
    fastest = min(timed, key=lambda arm: arm.train_seconds or 0.0)
    return best.train_seconds / (fastest.train_seconds or 1.0), fastest


def baseline_text(group: Group) -> str:
    """Return the verdicts of networks against the best baseline."""
    contenders, baseline = nets(group), group.best_baseline
    if baseline is None:
        return ""
    is_best = next(arm for arm in group.arms if arm.baseline) is baseline
    name = f"{baseline.label}, the best baseline{'' if is_best else ' that can be tested'}"
    phrases: dict[str, list[str]] = {}
    for arm in contenders:
        if arm.beats_baselines is not None:
            phrases.setdefault(arm.against_baselines.partition(" its best")[0], []).append(
                arm.label
            )
    texts: list[str] = []
    for phrase, labels in phrases.items():
        is_all, many = len(labels) == len(contenders) > 1, len(labels) > 1
        who = "every network" if is_all else names_of(labels)
        verb = f"{'are' if many and not is_all else 'is'} {phrase}"
        if phrase == "beats":
            verb = "beat" if many and not is_all else "beats"
        elif is_all and phrase.startswith("not "):
            who, verb = "no network", f"is {phrase.removeprefix('not ')}"
        texts.append(f"{who} {verb} {'it' if texts else name}")
    return "; ".join(texts)


def doubts(group: Group) -> list[str]:
    """Return what limits the answer: other items, settings, training, failed runs, seeds."""
    contenders = nets(group)
    names = {arm.label for arm in (*contenders, group.best_baseline) if arm is not None}
    tested = [p for p in group.pairs if {p.a, p.b} <= names and p.population_p is not None]
    beyond = [
        p
        for p in tested
        if p.population_verdict in (BETTER, WORSE)
        and p.population_verdict != p.verdict
        and p.verdict not in (FAILS_MORE, FAILS_LESS)
    ]
    here = [p for p in tested if p.verdict in SHOWN and p.population_verdict in OPEN]
    texts = [f"{p.a} {p.population_verdict} than {p.b}" for p in beyond]
    texts += [f"no difference of {p.a} and {p.b} shown" for p in here]
    found = [f"beyond these test items {', '.join(texts[:MANY])}"] if texts else []
    other = names_of(group.differing, "settings") if group.differing else ""
    found += [f"arms also differ in {other}"] if other else []
    early = sum(arm.undertrained > 0 for arm in contenders)
    if early and group.metric not in COSTS:
        found.append(f"{early} of {len(contenders)} networks undertrained")
    failed = [arm.label for arm in group.all_arms if arm.failures]
    found += [f"runs of {names_of(failed)} failed"] if failed else []
    is_seeded = any(p.seeds is not None and p.seeds.freedom is not None for p in group.pairs)
    return found + ["the number of seeds was not planned"] * (is_seeded and group.planned is None)
