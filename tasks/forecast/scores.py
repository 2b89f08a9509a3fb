"""Scores of forecasts, over all steps ahead and for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STEP_DIGITS = 5  # significant digits of scores by step, which share one cell of a table


def forecast_scores(
    actual: Tensor, predicted: Tensor, naive: Tensor, seasonal: Tensor | None, scale: float
) -> dict[str, float]:
    """Return scores of forecasts (items, horizon).

    Several steps ahead also those of each step, such as `rmse_step_1`.

    Args:
        actual: true values.
        predicted: forecasts.
        naive: the last observed values.
        seasonal: the values one season before; None without a season.
        scale: mean absolute error of the seasonal naive forecast in training; 0 if unknown.
    """
    scores = scores_of(actual, predicted, naive, seasonal, scale)
    horizon = actual.shape[1]
    for step in range(horizon if horizon > 1 else 0):
        before = None if seasonal is None else seasonal[:, step]
        found = scores_of(actual[:, step], predicted[:, step], naive[:, step], before, scale)
        for name, value in found.items():
            scores[f"{name}_step_{step + 1}"] = float(f"{value:.{STEP_DIGITS}g}")
    return scores


def scores_of(
    actual: Tensor, predicted: Tensor, naive: Tensor, seasonal: Tensor | None, scale: float
) -> dict[str, float]:
    """Return the scores of forecasts of any shape; ratios with a divisor of 0 are left out."""
    errors = predicted - actual
    rmse, mae = rms(errors), float(errors.abs().mean())
    rmse_naive = rms(naive - actual)
    scores = {"rmse": rmse, "rmse_naive": rmse_naive, "mae": mae, "smape": smape(actual, predicted)}
    if rmse_naive > 0:
        scores["rmse_over_naive"] = rmse / rmse_naive
    if seasonal is not None and (rmse_seasonal := rms(seasonal - actual)) > 0:
        scores["rmse_over_seasonal_naive"] = rmse / rmse_seasonal
    if scale > 0:
        scores["mase"] = mae / scale
    return scores


def rms(errors: Tensor) -> float:
    """Return the root mean square."""
    return float(errors.square().mean().sqrt())


def smape(actual: Tensor, predicted: Tensor) -> float:
    """Return the symmetric mean absolute percentage error, from 0 to 200 (Makridakis 1993).

    A forecast of 0 for 0 has no error.
    """
    sizes = actual.abs() + predicted.abs()
    errors = 200 * (predicted - actual).abs() / sizes.where(sizes > 0, 1.0)
    return float(errors.mean())
