"""Search over settings with Optuna, used directly: one study for each arm, asked trial by trial.

The launching process alone asks and tells; the trials are cells like any others, so what a sweep
knows of skipping, continuing and dying holds for them too. A study lives in a journal file, or in
any database that Optuna takes, and a trial that a dead launcher left unfinished is run again.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.types import ChoiceSweep, Override
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.config.schema import Config
from benchmarks.config.search import TuneSettings
from benchmarks.errors import UserError
from benchmarks.results.row import Status
from benchmarks.sweeps.cell import LOST, Cell, Outcome

MakeCell = Callable[[int, list[str], str, str, int], Cell]
"""From number, overrides, label, study and trial to a checked cell."""


@dataclass
class Arm:
    """One model on one task with one seed, tuned by itself.

    Attributes:
        label: what tells it from the others.
        overrides: that all of its trials share.
        study: Optuna's.
        open: trials that are being run, by number.
    """

    label: str
    overrides: list[str]
    study: optuna.Study
    open: dict[int, FrozenTrial] = field(default_factory=dict)


class Search:
    """Gives a driver its cells, and learns from their outcomes.

    Args:
        settings: how many trials, by which sampler, kept where.
        arms: what is tuned.
        space: what is chosen from, by key.
        make_cell: composes and checks a trial.
        val_score: reads a run's validation score.
    """

    def __init__(
        self,
        settings: TuneSettings,
        arms: list[Arm],
        space: dict[str, BaseDistribution],
        make_cell: MakeCell,
        val_score: Callable[[str], float | None],
    ) -> None:
        self.settings = settings
        self.arms = arms
        self.space = space
        self.make_cell = make_cell
        self.val_score = val_score
        self.total = settings.trials * len(arms)
        self._again = [
            (arm, trial)
            for arm in arms
            for trial in arm.study.get_trials(states=(TrialState.RUNNING,))
        ]

    def known_cells(self) -> list[Cell]:
        """The cells of trials that were finished before."""
        done = (TrialState.COMPLETE, TrialState.FAIL)
        return [
            self._cell(arm, trial)
            for arm in self.arms
            for trial in arm.study.get_trials(states=done)
        ]

    def ask(self, room: int) -> list[Cell]:
        """Return up to so many trials to run: those left unfinished, then new ones.

        Arms take turns, so that what is finished early is comparable.
        """
        cells: list[Cell] = []
        while self._again and len(cells) < room:
            arm, trial = self._again.pop()
            arm.open[trial.number] = trial
            cells.append(self._cell(arm, trial))
        while len(cells) < room:
            chosen = [a for a in self.arms if a.study.get_trials(states=(TrialState.WAITING,))]
            arm = min(chosen or self.arms, key=lambda candidate: len(candidate.study.trials))
            if not chosen and len(arm.study.trials) >= self.settings.trials:
                break
            if not chosen:
                arm.study.enqueue_trial(self._choose(arm))
            number = arm.study.ask(self.space).number
            trial = arm.study.trials[number]
            arm.open[number] = trial
            cells.append(self._cell(arm, trial))
        return cells

    def _choose(self, arm: Arm) -> dict[str, Any]:
        """Choose the settings of an arm's next trial, all of them before the study hears of any.

        A launcher killed in the midst of choosing would else leave a trial with half its settings.
        """
        done = arm.study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))
        sampler = sampler_for(self.settings, len(arm.study.trials))
        scratch = optuna.create_study(direction=arm.study.direction, sampler=sampler)
        scratch.add_trials([self._whole(trial) for trial in done])
        return scratch.ask(self.space).params

    def _whole(self, trial: FrozenTrial) -> FrozenTrial:
        """A finished trial with all of its settings, some of which its study may not have heard."""
        if trial.params.keys() >= self.space.keys():
            return trial
        return create_trial(
            state=trial.state,
            value=trial.value,
            params=self._settings_of(trial),
            distributions=self.space,
        )

    def tell(self, outcome: Outcome) -> None:
        """Tell the study how a trial went; one that something outside ended stays open."""
        for arm in self.arms:
            if arm.study.study_name == outcome.cell.study and outcome.cell.trial in arm.open:
                value = self.val_score(outcome.run_id) if outcome.status == Status.OK else None
                if value is not None and math.isfinite(value):
                    arm.study.tell(outcome.cell.trial, value, skip_if_finished=True)
                elif outcome.status in LOST:
                    arm.study.tell(outcome.cell.trial, state=TrialState.FAIL, skip_if_finished=True)
                del arm.open[outcome.cell.trial]

    def best(self) -> list[tuple[Arm, int, FrozenTrial | None]]:
        """Each arm, its finished trials, and the best of them."""
        found = []
        for arm in self.arms:
            complete = arm.study.get_trials(states=(TrialState.COMPLETE,))
            found.append((arm, len(complete), arm.study.best_trial if complete else None))
        return found

    def settings_of(self, arm: Arm, trial: FrozenTrial) -> list[str]:
        """Return a command line that runs a trial's settings outside of the search."""
        # What the search itself sets, like this, is in its YAML and would be lost with it.
        factor = self._cell(arm, trial).config.model.learning_rate_factor
        told = ("experiment=", "seed=", "resume=", "hydra")
        kept = [text for text in arm.overrides if not text.lstrip("+").startswith(told)]
        return [*kept, f"model.learning_rate_factor={factor}", *self.overrides_of(trial)]

    def overrides_of(self, trial: FrozenTrial) -> list[str]:
        """A trial's settings as a command line gives them."""
        return [f"{key}={value}" for key, value in self._settings_of(trial).items()]

    def _settings_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """A trial's settings by key: what the study heard of them, and what it was to hear."""
        chosen = trial.system_attrs.get("fixed_params", {}) | trial.params
        return {key: chosen[key] for key in self.space}

    def _cell(self, arm: Arm, trial: FrozenTrial) -> Cell:
        chosen = self.overrides_of(trial)
        number = self.arms.index(arm) + len(self.arms) * trial.number
        label = " ".join(filter(None, [arm.label, f"trial={trial.number}"]))
        name = arm.study.study_name
        return self.make_cell(number, [*arm.overrides, *chosen], label, name, trial.number)


def distribution_of(override: Override) -> BaseDistribution:
    """Translate what Hydra can write of a space into Optuna's terms.

    Raises:
        UserError: it is neither an interval nor a choice.
    """
    value: Any = override.value()
    is_log = "log" in getattr(value, "tags", ())
    try:
        if isinstance(value, ChoiceSweep):
            return CategoricalDistribution([plain(each) for each in value.list])
        if isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=is_log)
        return FloatDistribution(float(value.start or 0), float(value.end or 0), log=is_log)
    except ValueError as error:
        raise UserError(f"{override.input_line}: {error}") from error


def plain(value: Any) -> Any:
    """A value of Hydra's grammar as Python's."""
    return value.text if hasattr(value, "text") else value


def open_storage(settings: TuneSettings, results: Path) -> BaseStorage:
    """Open where the studies live.

    Raises:
        UserError: the database cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if settings.storage is None:
        folder = results / "studies"
        folder.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    try:
        return optuna.storages.get_storage(settings.storage)
    except Exception as error:  # each database has errors of its own
        text = " ".join(str(error).split())[:200]
        raise UserError(f"hydra.sweeper.storage={settings.storage}: {text}") from error


def open_arm(
    settings: TuneSettings,
    storage: BaseStorage,
    label: str,
    overrides: list[str],
    config: Config,
    question: Any,
    higher_is_better: bool,
) -> Arm:
    """Open an arm's study, created if it is not there; its name says what it asks."""
    text = json.dumps([question, settings.sampler, settings.seed], sort_keys=True, default=str)
    name = (
        f"{config.task.name}-{config.model.label}-s{config.seed}-"
        + (hashlib.sha256(text.encode()).hexdigest()[:8])
    )
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if higher_is_better else "minimize",
        load_if_exists=True,
    )
    return Arm(label, overrides, study)


def sampler_for(settings: TuneSettings, trial: int) -> BaseSampler:
    """Who chooses one trial, from a seed of that trial's own.

    So a search that was interrupted chooses as it would have, and every arm begins alike.
    """
    seed = zlib.crc32(f"{settings.seed} {trial}".encode())
    if settings.sampler == "random":
        return RandomSampler(seed=seed)
    startup = min(10, max(1, settings.trials // 3))
    return TPESampler(seed=seed, n_startup_trials=startup)
