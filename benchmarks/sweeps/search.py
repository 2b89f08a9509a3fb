"""Search over settings with Optuna: one study per configuration.

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

WAITING, COMPLETE = (TrialState.WAITING,), (TrialState.COMPLETE,)
FINISHED = (TrialState.COMPLETE, TrialState.FAIL)


@dataclass
class Study:
    """The search over one configuration: one model on one task with one seed.

    Attributes:
        label: the overrides in which it differs from other configurations.
        overrides: shared by all of its trials.
        backend: its study in Optuna.
    """

    label: str
    overrides: list[str]
    backend: optuna.Study


@dataclass
class Search:
    """Sample trials as cells for a scheduler and record their outcomes in the studies."""

    settings: TuneSettings
    studies: list[Study]
    space: dict[str, BaseDistribution]
    make_cell: MakeCell
    val_score: Callable[[str], float | None]

    def __post_init__(self) -> None:
        self.total = self.settings.trials * len(self.studies)
        self._unfinished = [
            (study, trial)
            for study in self.studies
            for trial in study.backend.get_trials(states=(TrialState.RUNNING,))
        ]

    def finished_cells(self) -> list[Cell]:
        """Return the cells of trials that finished in earlier sweeps."""
        return [
            self._cell(study, trial)
            for study in self.studies
            for trial in study.backend.get_trials(states=FINISHED)
        ]

    def ask(self, count: int) -> list[Cell]:
        """Return up to `count` trials to run: unfinished ones, then new ones.

        Studies take turns, so that early results are comparable.
        """
        cells: list[Cell] = []
        while self._unfinished and len(cells) < count:
            cells.append(self._cell(*self._unfinished.pop()))
        while len(cells) < count:
            enqueued = [s for s in self.studies if s.backend.get_trials(states=WAITING)]
            study = min(enqueued or self.studies, key=lambda s: len(s.backend.trials))
            if not enqueued:
                if len(study.backend.trials) >= self.settings.trials:
                    break
                study.backend.enqueue_trial(self._sample(study))
            number = study.backend.ask(self.space).number
            cells.append(self._cell(study, study.backend.trials[number]))
        return cells

    def _sample(self, study: Study) -> dict[str, Any]:
        """Sample all settings of a study's next trial in a separate study.

        A launcher killed while sampling would otherwise leave a trial with half its settings.
        """
        finished = study.backend.get_trials(states=FINISHED)
        sampler = sampler_for(self.settings, len(study.backend.trials))
        scratch = optuna.create_study(direction=study.backend.direction, sampler=sampler)
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
        for study in self.studies:
            if study.backend.study_name == outcome.cell.study and number is not None:
                value = self.val_score(outcome.run_id) if outcome.status == Status.OK else None
                if value is not None and math.isfinite(value):
                    study.backend.tell(number, value, skip_if_finished=True)
                elif outcome.status in TRIAL_FAILURES:
                    study.backend.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def best(self) -> list[tuple[Study, int, FrozenTrial | None]]:
        """Return each study, its number of complete trials and the best of them."""
        counts = [len(s.backend.get_trials(states=COMPLETE)) for s in self.studies]
        return [
            (study, count, study.backend.best_trial if count else None)
            for study, count in zip(self.studies, counts, strict=True)
        ]

    def command_of(self, study: Study, trial: FrozenTrial) -> list[str]:
        """Return the overrides that repeat a trial's settings outside the search."""
        # The experiment's YAML sets this factor, and `experiment=` is not repeated.
        factor = self._cell(study, trial).config.model.learning_rate_factor
        dropped = ("experiment=", "seed=", "resume=", "hydra")
        kept = [text for text in study.overrides if not text.lstrip("+").startswith(dropped)]
        return [*kept, f"model.learning_rate_factor={factor}", *self.overrides_of(trial)]

    def overrides_of(self, trial: FrozenTrial) -> list[str]:
        """Return a trial's settings as overrides."""
        return [f"{key}={value}" for key, value in self._settings_of(trial).items()]

    def _settings_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return a trial's settings by key: those of the study and those enqueued."""
        chosen = trial.system_attrs.get("fixed_params", {}) | trial.params
        return {key: chosen[key] for key in self.space}

    def _cell(self, study: Study, trial: FrozenTrial) -> Cell:
        number = self.studies.index(study) + len(self.studies) * trial.number
        overrides = [*study.overrides, *self.overrides_of(trial)]
        label = " ".join(filter(None, [study.label, f"trial={trial.number}"]))
        return self.make_cell(number, overrides, label, study.backend.study_name, trial.number)


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


def open_study(
    settings: TuneSettings,
    storage: BaseStorage,
    label: str,
    overrides: list[str],
    config: Config,
    content: Any,
) -> Study:
    """Open or create the study of a configuration; its name has a hash of `content`."""
    text = json.dumps([content, settings.sampler, settings.seed], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    backend = optuna.create_study(
        storage=storage,
        study_name=f"{config.task.name}-{config.model.label}-s{config.seed}-{digest}",
        direction="maximize" if config.task.primary_metric.higher_is_better else "minimize",
        load_if_exists=True,
    )
    return Study(label, overrides, backend)


def sampler_for(settings: TuneSettings, trial: int) -> BaseSampler:
    """Return the sampler of one trial, seeded by the trial's number.

    An interrupted search thus samples the same settings, and all studies start with equal ones.
    """
    seed = zlib.crc32(f"{settings.seed} {trial}".encode())
    if settings.sampler == "random":
        return RandomSampler(seed=seed)
    startup = min(10, max(1, settings.trials // 3))
    return TPESampler(seed=seed, n_startup_trials=startup)
