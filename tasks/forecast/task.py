"""Forecasts of a user's series some steps ahead, from a window of past steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    SPLITS,
    Baseline,
    Batch,
    Cache,
    DataDescription,
    DataError,
    FittedBaseline,
    Metric,
    Split,
    Task,
    TaskSettings,
    setting,
)
from tasks.forecast.plan import Plan, planned
from tasks.forecast.series import Series, amount, chosen_column, series_of, times_as_text
from tasks.forecast.windows import WindowBaseline, WindowTask, origins_of, repeated, split_bounds

if TYPE_CHECKING:
    import torch
    from torch import Tensor

METRICS = {"rmse": "", "mae": "", "mase": "MAE of training's seasonal naive", "smape": "percent"}
"""By metric: its unit, empty for that of the series."""


@dataclass
class ForecastSettings(TaskSettings):
    """Forecast of a column of numbers, one or more steps ahead."""

    name: ClassVar[str] = "forecast"
    data_needs: ClassVar[str] = (
        "a series to forecast needs a column of times (task.time=NAME) and numbers"
    )

    data: str | None = setting(
        None,
        "path of a table (CSV, TSV, JSONL, Parquet) with a time column and one or more columns of "
        "numbers; required",
        identity=False,
        is_path=True,
    )
    column: str | None = setting(
        None, "column to forecast; null for the only column of numbers besides the time"
    )
    features: list[str] | None = field(
        default=None,
        metadata={
            "help": "columns of further inputs, known up to the last observed step: [NAME,NAME]"
        },
    )
    time: str | None = setting(None, "column of times; null for one with a usual name")
    dates: str | None = setting(
        None,
        "order of dates such as 01/02/2015; null if the dates show it",
        choices=("day_first", "month_first"),
    )
    horizon: int = setting(1, "steps to forecast, all at once", minimum=1)
    window: int | None = setting(
        None,
        "past steps in an input; null for two seasons (30 steps without a season), at least the "
        "horizon and at most a quarter of training",
        minimum=1,
    )
    season: int | None = setting(
        None,
        "steps of a season, 1 for none; null for that of the frequency (12 for months), if "
        "training shows it",
        minimum=1,
    )
    target: str = setting(
        "auto",
        "what the network predicts; forecasts are converted to the unit of the series. level: the "
        "value; difference: its change since the last observed step; log_return: the change of its "
        "logarithm; auto: chosen on training",
        choices=("auto", "level", "difference", "log_return"),
    )
    metric: str = setting("rmse", "score of a run", choices=tuple(METRICS))

    @property
    # Depends on the settings; in the base class it is a ClassVar.
    def primary_metric(self) -> Metric:  # type: ignore[override]
        """Return the metric of `task.metric`."""
        unit = METRICS[self.metric] or self.column or "unit of the series"
        return Metric(self.metric, unit, False, perfect=0.0, margin="1%")

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        from tasks.forecast.baselines import METHODS, RIDGE

        return {name: method.baseline for name, method in METHODS.items()} | {"ridge": RIDGE}

    @staticmethod
    def recognises(path: Path) -> str:
        """See `TaskSettings.recognises`."""
        from tasks.forecast.recognition import reason

        return reason(path)

    def check(self) -> None:
        """Check that there is a file, and the columns."""
        if self.data is None:
            raise ValueError(
                "task.data: is required; give a table with a time column and numbers, as in "
                "task.data=sales.csv"
            )
        path = Path(self.data)
        if not path.is_file():
            problem = "is a folder (allowed: a table)" if path.is_dir() else "no such file"
            raise DataError(f"task.data={self.data}: {problem}")
        features = self.features or []
        for name in features:
            if name == self.column or features.count(name) > 1:
                raise ValueError(f"task.features: {name} is given twice; name each column once")

    def load(self, cache: Cache) -> Task:
        """Read the series; it is too small to need the cache."""
        assert self.data is not None
        series, notices = self.read(self.data, f"task.data={self.data}", self.column)
        plan, chosen = planned(self, series)
        return ForecastTask(self, series, plan, (*notices, *chosen))

    def read(self, file: str, where: str, column: str | None) -> tuple[Series, list[str]]:
        """Read a file with the columns of these settings; `where` begins error messages."""
        from tasks.forecast.readers import read_series

        features = self.features or []
        columns = [] if column is None else [column, *features]
        table = read_series(Path(file), where, columns, self.time, self.dates)
        found = chosen_column(column, features, table)
        series, notices = series_of(table, found, where)
        return series, [*table.notices, *notices]


@dataclass
class NewBatch(Batch):
    """A batch of new data, with the times of its forecasts."""

    times: tuple[str, ...] = ()


class ForecastTask(WindowTask):
    """Windows over a series of a user, with targets (batch, kind, horizon).

    The kinds of targets are scaled values, values, the last observed value, and that of the last
    season.
    """

    def __init__(
        self, settings: ForecastSettings, series: Series, plan: Plan, notices: tuple[str, ...] = ()
    ) -> None:
        import torch

        self.settings, self.series, self.plan = settings, series, plan
        bounds = split_bounds(len(series.values))
        self.train_end = bounds["train"][1]
        origins = {
            split: origins_of(bounds[split], plan.window, plan.horizon, series.is_known)
            for split in SPLITS
        }
        self.target = plan.fit_target(series.values[: self.train_end], origins["train"])
        self.feature_scales = plan.fit_scales(series.features[: self.train_end])
        self.mase_scale = plan.mase_scale(
            series.values[: self.train_end], series.is_known[: self.train_end]
        )
        self.values = torch.from_numpy(series.values.copy())
        self.transformed = self.target.transformed(self.values)
        self.target_scales = self.target.scales()
        super().__init__(self.features_of(series), plan.window, plan.horizon, origins)
        self.input_size += self.target.is_relative
        self.distances = self.transformed / self.target.distance
        self.ahead = torch.arange(1, plan.horizon + 1)
        self.times = times_as_text(series.times)
        self.data = self._description(notices)

    def _description(self, notices: tuple[str, ...]) -> DataDescription:
        series, horizon = self.series, self.horizon
        train, validation, test = (len(self.origins[split]) for split in SPLITS)
        unit = series.unit if horizon == 1 else f"forecasts of {horizon} {series.unit}"
        shared = repeated(series.values, self.origins, self.plan.window, horizon)
        if shared:
            notices += (f"{shared:,} of {test:,} test {unit} are in training or validation too",)
        return DataDescription(
            name=f"{series.title}, column {series.column}",
            sha256=series.sha256(),
            split="70/15/15 in order of time",
            train_size=train,
            validation_size=validation,
            test_size=test,
            unit=unit,
            notices=notices,
            test_in_train=shared,
            metric_unit=METRICS[self.settings.metric] or series.column,
        )

    def features_of(self, series: Series) -> Tensor:
        """Return the inputs of each step (steps, features) that do not depend on the origin."""
        import torch

        transformed = self.target.transformed(torch.from_numpy(series.values.copy()))
        means, deviations = self.feature_scales
        further = torch.from_numpy((series.features - means) / deviations)
        return torch.cat([self.target.inputs(transformed), further], dim=1)

    def targets_to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `WindowTask.targets_to`."""
        self.values = self.values.to(device, dtype)
        self.transformed = self.transformed.to(device, dtype)
        self.target_scales = self.target_scales.to(device, dtype)
        self.distances = self.distances.to(self.features)
        self.ahead = self.ahead.to(device)

    def inputs_of(self, origins: Tensor) -> Tensor:
        """See `WindowTask.inputs_of`; relative targets add the distances to the origin."""
        import torch

        inputs = super().inputs_of(origins)
        if not self.target.is_relative:
            return inputs
        distances = self.distances[origins.unsqueeze(1) + self.lags]
        return torch.cat([inputs, (distances - distances[:, -1:]).unsqueeze(2)], dim=2)

    def targets_of(self, origins: Tensor) -> Tensor:
        """Return the targets (batch, 4, horizon) of forecast origins (batch,)."""
        import torch

        first = origins.unsqueeze(1)
        steps = first + self.ahead
        season = self.plan.season
        # Steps before the first are needed for training items only, whose scores are not used.
        before = (steps - (self.ahead + season - 1) // season * season).clamp(min=0)
        actual, last = self.values[steps], self.values[first]
        scaled = self.target.scaled(
            self.transformed[steps], self.transformed[first], self.target_scales
        )
        return torch.stack([scaled, actual, last.expand_as(actual), self.values[before]], dim=1)

    def predicted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return forecasts (batch, horizon) in the unit of the series."""
        last = self.target.transformed(targets[:, 2])
        return self.target.predicted(outputs.reshape(last.shape), last, self.target_scales.to(last))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error of the scaled targets."""
        from torch.nn import functional as F

        scaled = batch.targets[:, 0]
        return F.mse_loss(outputs.reshape(scaled.shape), scaled.to(outputs.dtype))

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return scaled errors, forecasts and targets of each item."""
        targets = batch.targets
        errors = outputs.reshape(targets[:, 0].shape).to(targets.dtype) - targets[:, 0]
        return {"errors": errors, "predicted": self.predicted(outputs, targets), "targets": targets}

    def metrics(self, sums: dict[str, Any]) -> dict[str, float]:
        """Compute RMSE, MAE, MASE, sMAPE and skill, several steps ahead also of each step."""
        from tasks.forecast.scores import forecast_scores

        errors, predicted, targets = (
            sums[name].double() for name in ("errors", "predicted", "targets")
        )
        _, actual, last, before = targets.unbind(1)
        seasonal = before if self.plan.season > 1 else None
        scores = forecast_scores(actual, predicted, last, seasonal, self.mase_scale)
        return {"loss": float(errors.square().mean()), **scores}

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the last observed, the actual and the predicted value of each item."""
        _, actual, last, _ = batch.targets.unbind(1)
        columns = {
            "last": last,
            "actual": actual,
            "predicted": self.predicted(outputs, batch.targets),
        }
        if self.horizon > 1:
            columns = {"step": self.ahead.to(last.device).expand_as(last).int(), **columns}
        return {name: values.flatten() for name, values in columns.items()}

    def outputs_of(self, split: Split, items: Tensor, predictions: dict[str, Tensor]) -> Tensor:
        """See `Task.outputs_of`."""
        origins = self.origins[split][items.reshape(-1, self.horizon)[:, 0] // self.horizon]
        forecasts = predictions["predicted"].to(self.values).view(-1, self.horizon)
        last = self.transformed[origins].unsqueeze(1)
        return self.target.scaled(self.target.transformed(forecasts), last, self.target_scales)

    def items(self, split: Split) -> dict[str, list[str]]:
        """Return the time of each item; several steps ahead also that of its origin."""
        origins = self.origins[split].tolist()
        steps = range(1, self.horizon + 1)
        days = {"day": [self.times[origin + step] for origin in origins for step in steps]}
        if self.horizon == 1:
            return days
        return days | {"origin": [self.times[origin] for origin in origins for _ in steps]}

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`."""
        names, (means, deviations) = self.plan.features, self.feature_scales
        record = self.target.description(self.plan.window, names)
        scales = zip(names, means.tolist(), deviations.tolist(), strict=True)
        record["features"] = {name: {"mean": m, "deviation": d} for name, m, d in scales}
        return record | {"column": self.series.column, "horizon": self.horizon}, {}

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`."""
        import torch

        from tasks.forecast.baselines import METHODS, History

        if name == "ridge":
            return self._fit_ridge()
        history = History(
            self.transformed.double().cpu().numpy(),
            self.train_end,
            self.plan.season,
            self.horizon,
            self.target.is_relative,
        )
        forecasts, parameters = METHODS[name].fit(history)
        expected = torch.from_numpy(forecasts).to(self.values)
        outputs = {
            split: self.target.scaled(
                expected[origins], self.transformed[origins].unsqueeze(1), self.target_scales
            )
            for split, origins in self.origins.items()
        }
        return WindowBaseline(outputs, parameters)

    def _fit_ridge(self) -> FittedBaseline:
        import torch

        from tasks.forecast.baselines import ridge

        origins = torch.cat([self.origins[split] for split in SPLITS])
        counts = [len(self.origins[split]) for split in SPLITS]
        inputs = self.inputs_of(origins).double().cpu().numpy()
        scaled = self.targets_of(self.origins["train"])[:, 0].double().cpu().numpy()
        found, parameters = ridge(inputs[: counts[0]], scaled, inputs)
        outputs = torch.split(torch.from_numpy(found).to(self.values), counts)
        return WindowBaseline(dict(zip(SPLITS, outputs, strict=True)), parameters)

    def summary(self) -> dict[str, str]:
        """See `Task.summary`."""
        series, plan = self.series, self.plan
        missing = int((~series.is_known).sum())
        season = amount(plan.season, series.unit) if plan.season > 1 else "none"
        return super().summary() | {
            "column": series.column,
            "features": ", ".join(plan.features) or "none",
            "series": f"{amount(len(series.values), series.unit)}, {' to '.join(series.ends())}",
            "missing": f"{missing} values",
            "horizon": amount(plan.horizon, series.unit),
            "window": amount(plan.window, series.unit),
            "season": season,
            "target": self.target.name,
        }

    def new_batches(self, file: str, batch_size: int) -> Iterator[Batch]:
        """Yield one sequence: the end of a file with the same columns."""
        import torch

        series, _ = self.settings.read(file, file, self.series.column)
        window, values = self.plan.window, series.values
        if len(values) < window + 1:
            raise DataError(
                f"{file}: {amount(len(values), series.unit)}, but a forecast needs {window + 1}"
            )
        if self.target.name == "log_return" and values[-window - 1 :].min() <= 0:
            raise DataError(f"{file}: {series.column} has values of 0 or less, without logarithm")
        inputs = self.features_of(series)[-window:]
        transformed = self.target.transformed(torch.from_numpy(values.copy()))[-window:]
        if self.target.is_relative:
            distances = (transformed - transformed[-1]) / self.target.distance
            inputs = torch.cat([inputs, distances.unsqueeze(1)], dim=1)
        targets = torch.full((1, 4, self.horizon), float(values[-1]), dtype=torch.float64)
        yield NewBatch(
            inputs.unsqueeze(0).to(self.features),
            targets.to(self.values),
            tokens=window,
            items=torch.arange(self.horizon).unsqueeze(0),
            times=tuple(series.following(self.horizon)),
        )

    def answers(self, outputs: Tensor, batch: Batch) -> dict[str, list[Any]]:
        """Return time, step and forecast of each step ahead."""
        assert isinstance(batch, NewBatch)
        return {
            "time": list(batch.times),
            "step": [*range(1, self.horizon + 1)],
            self.series.column: self.predicted(outputs, batch.targets).flatten().tolist(),
        }
