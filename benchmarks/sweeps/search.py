"""Search over settings with Optuna: one study per arm.

Only the launching process uses the studies. Trials run as ordinary cells, so skipping, resuming
and failures work as in any sweep. A trial that an ended launcher left unfinished is run again.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
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
from benchmarks.errors import UserError, one_line
from benchmarks.results.row import Status
from benchmarks.sweeps.cell import TRIAL_FAILURES, Cell, Outcome

MakeCell = Callable[[int, list[str], str, str, int], Cell]
"""Return a checked cell from number, overrides, label, study and trial."""

FINISHED = (TrialState.COMPLETE, TrialState.FAIL)


@dataclass
class Arm:
    """One model on one task with one seed, tuned by itself.

    Attributes:
        label: the overrides in which it differs from other arms.
        overrides: shared by all of its trials.
    """

    label: str
    overrides: list[str]
    study: optuna.Study


@dataclass
class Search:
    """Sample trials as cells for a scheduler and record their outcomes in the studies."""

    settings: TuneSettings
    arms: list[Arm]
    space: dict[str, BaseDistribution]
    make_cell: MakeCell
    val_score: Callable[[str], float | None]

    def __post_init__(self) -> None:
        self.total = self.settings.trials * len(self.arms)
        self._unfinished = [
            (arm, trial)
            for arm in self.arms
            for trial in arm.study.get_trials(states=(TrialState.RUNNING,))
        ]

    def finished_cells(self) -> list[Cell]:
        """Return the cells of trials that finished in earlier sweeps."""
        return [
            self._cell(arm, trial)
            for arm in self.arms
            for trial in arm.study.get_trials(states=FINISHED)
        ]

    def ask(self, count: int) -> list[Cell]:
        """Return up to `count` trials to run: unfinished ones, then new ones.

        Arms take turns, so that early results are comparable.
        """
        cells: list[Cell] = []
        while self._unfinished and len(cells) < count:
            cells.append(self._cell(*self._unfinished.pop()))
        while len(cells) < count:
            enqueued = [a for a in self.arms if a.study.get_trials(states=(TrialState.WAITING,))]
            arm = min(enqueued or self.arms, key=lambda candidate: len(candidate.study.trials))
            if not enqueued:
                if len(arm.study.trials) >= self.settings.trials:
                    break
                arm.study.enqueue_trial(self._sample(arm))
            number = arm.study.ask(self.space).number
            cells.append(self._cell(arm, arm.study.trials[number]))
        return cells

    def _sample(self, arm: Arm) -> dict[str, Any]:
        """Sample all settings of an arm's next trial in a study of its own.

        A launcher killed while sampling would otherwise leave a trial with half its settings.
        """
        finished = arm.study.get_trials(states=FINISHED)
        sampler = sampler_for(self.settings, len(arm.study.trials))
        scratch = optuna.create_study(direction=arm.study.direction, sampler=sampler)
        scratch.add_trials([self._with_all_settings(trial) for trial in finished])
        return scratch.ask(self.space).params

    def _with_all_settings(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a finished trial with its enqueued settings, which its study may not contain."""
        if trial.params.keys() >= self.space.keys():
            return trial
        return create_trial(
            state=trial.state,
            value=trial.value,
            params=self._settings_of(trial),
            distributions=self.space,
        )

    def tell(self, outcome: Outcome) -> None:
        """Record a trial's outcome; a trial that was interrupted stays open."""
        number = outcome.cell.trial
        for arm in self.arms:
            if arm.study.study_name == outcome.cell.study and number is not None:
                value = self.val_score(outcome.run_id) if outcome.status == Status.OK else None
                if value is not None and math.isfinite(value):
                    arm.study.tell(number, value, skip_if_finished=True)
                elif outcome.status in TRIAL_FAILURES:
                    arm.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def best(self) -> list[tuple[Arm, int, FrozenTrial | None]]:
        """Return each arm, its number of complete trials and the best of them."""
        counts = [len(a.study.get_trials(states=(TrialState.COMPLETE,))) for a in self.arms]
        return [
            (arm, count, arm.study.best_trial if count else None)
            for arm, count in zip(self.arms, counts, strict=True)
        ]

    def command_of(self, arm: Arm, trial: FrozenTrial) -> list[str]:
        """Return the overrides that repeat a trial's settings outside the search."""
        # The experiment's YAML sets this factor, and `experiment=` is not repeated.
        factor = self._cell(arm, trial).config.model.learning_rate_factor
        dropped = ("experiment=", "seed=", "resume=", "hydra")
        kept = [text for text in arm.overrides if not text.lstrip("+").startswith(dropped)]
        return [*kept, f"model.learning_rate_factor={factor}", *self.overrides_of(trial)]

    def overrides_of(self, trial: FrozenTrial) -> list[str]:
        """Return a trial's settings as overrides."""
        return [f"{key}={value}" for key, value in self._settings_of(trial).items()]

    def _settings_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return a trial's settings by key: those of the study and those enqueued."""
        chosen = trial.system_attrs.get("fixed_params", {}) | trial.params
        return {key: chosen[key] for key in self.space}

    def _cell(self, arm: Arm, trial: FrozenTrial) -> Cell:
        number = self.arms.index(arm) + len(self.arms) * trial.number
        overrides = [*arm.overrides, *self.overrides_of(trial)]
        label = " ".join(filter(None, [arm.label, f"trial={trial.number}"]))
        return self.make_cell(number, overrides, label, arm.study.study_name, trial.number)


def distribution_of(override: Override) -> BaseDistribution:
    """Convert an interval or choice of Hydra's grammar to an Optuna distribution."""
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
    """Return a value of Hydra's grammar as a Python value."""
    return value.text if hasattr(value, "text") else value


def open_storage(settings: TuneSettings, results: Path) -> BaseStorage:
    """Open the storage of the studies: a journal file, or any database that Optuna supports."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if settings.storage is None:
        folder = results / "studies"
        folder.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    try:
        return optuna.storages.get_storage(settings.storage)
    except Exception as error:  # each database has errors of its own
        text = one_line(error)[:200]
        raise UserError(f"hydra.sweeper.storage={settings.storage}: {text}") from error


def open_arm(
    settings: TuneSettings,
    storage: BaseStorage,
    label: str,
    overrides: list[str],
    config: Config,
    content: Any,
) -> Arm:
    """Open or create an arm's study, whose name has a hash of `content`."""
    text = json.dumps([content, settings.sampler, settings.seed], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    study = optuna.create_study(
        storage=storage,
        study_name=f"{config.task.name}-{config.model.label}-s{config.seed}-{digest}",
        direction="maximize" if config.task.metric.higher_is_better else "minimize",
        load_if_exists=True,
    )
    return Arm(label, overrides, study)


def sampler_for(settings: TuneSettings, trial: int) -> BaseSampler:
    """Return the sampler of one trial, seeded by the trial's number.

    An interrupted search thus samples the same settings, and all arms start with equal ones.
    """
    seed = zlib.crc32(f"{settings.seed} {trial}".encode())
    if settings.sampler == "random":
        return RandomSampler(seed=seed)
    startup = min(10, max(1, settings.trials // 3))
    return TPESampler(seed=seed, n_startup_trials=startup)
