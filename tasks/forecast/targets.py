"""Targets of a forecast: how values become inputs and targets, and outputs become values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]

FORMULAS = {
    "level": ("v", "{}"),
    "difference": ("v", "v of the last step + {}"),
    "log_return": ("ln(v)", "v of the last step * exp({})"),
}
"""By target: the transformed value w, and the forecast from unscaled outputs."""


@dataclass(frozen=True)
class ForecastTarget:
    """The quantity to forecast, with scales fitted to the training part.

    A transformed value is the logarithm for log returns, else the value itself. A target is the
    transformed value, for differences and log returns minus that of the origin, standardised for
    each step ahead.

    Attributes:
        name: level, difference or log_return.
        means: of the targets, by step ahead.
        deviations: likewise.
        center: of the first input.
        scale: of the first input: of the transformed values, or of their changes.
        distance: scale of the second input, the distance to the origin.
    """

    name: str
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    center: float
    scale: float
    distance: float

    @classmethod
    def fit(
        cls, name: str, values: Floats, origins: Integers, window: int, horizon: int
    ) -> ForecastTarget:
        """Fit the scales to the values of training (steps,) and its forecast origins."""
        import numpy as np

        transformed = np.log(values) if name == "log_return" else values
        base = 0.0 if name == "level" else transformed[origins]
        ahead = [transformed[origins + step] - base for step in range(1, horizon + 1)]
        known = transformed if name == "level" else np.diff(transformed)
        far = [transformed[lag:] - transformed[:-lag] for lag in range(1, window)]
        return cls(
            name,
            means=tuple(float(each.mean()) for each in ahead),
            deviations=tuple(float(each.std()) or 1.0 for each in ahead),
            center=float(known.mean()) if name == "level" else 0.0,
            scale=float(known.std()) or 1.0,
            distance=float(np.sqrt(np.mean([(each**2).mean() for each in far] or [0.0]))) or 1.0,
        )

    @property
    def is_relative(self) -> bool:
        """True if targets are relative to the value at the origin."""
        return self.name != "level"

    def transformed(self, values: Tensor) -> Tensor:
        """Return transformed values."""
        return values.log() if self.name == "log_return" else values

    def inputs(self, transformed: Tensor) -> Tensor:
        """Return the first input of each step (steps, 1): the change into it, or the value."""
        known = transformed
        if self.is_relative:
            known = transformed.diff(prepend=transformed[:1])
        return ((known - self.center) / self.scale).unsqueeze(1)

    def scales(self) -> Tensor:
        """Return means and deviations of the targets (2, horizon)."""
        import torch

        return torch.tensor((self.means, self.deviations), dtype=torch.float64)

    def scaled(self, transformed: Tensor, last: Tensor, scales: Tensor) -> Tensor:
        """Return the outputs (batch, horizon) that forecast transformed values.

        Args:
            transformed: (batch, horizon).
            last: the transformed value at the origin (batch, 1).
            scales: of `scales`, on the device of the values.
        """
        means, deviations = scales
        base = last if self.is_relative else 0.0
        outputs: Tensor = (transformed - base - means) / deviations
        return outputs

    def predicted(self, outputs: Tensor, last: Tensor, scales: Tensor) -> Tensor:
        """Return forecasts (batch, horizon) in the unit of the values; see `scaled`."""
        means, deviations = scales
        found: Tensor = outputs.to(last.dtype) * deviations + means
        if self.is_relative:
            found = found + last
        return found.exp() if self.name == "log_return" else found

    def description(self, window: int, features: Sequence[str]) -> dict[str, Any]:
        """Return how inputs are computed from values v, and forecasts from outputs."""
        transformed, forecast = FORMULAS[self.name]
        inputs = ["(w - center) / scale"]
        if self.is_relative:
            inputs = ["(w - w of the step before) / scale"]
        inputs += [f"({name} - mean) / deviation, see features" for name in features]
        if self.is_relative:
            inputs.append("(w - w of the last step) / distance")
        return {
            "inputs": f"of each of the last {window} steps, with w = {transformed}: "
            + "; ".join(inputs),
            "outputs": "of each step ahead: " + forecast.format("outputs * deviations + means"),
            "values": window + self.is_relative,
            "center": self.center,
            "scale": self.scale,
            "distance": self.distance,
            "means": list(self.means),
            "deviations": list(self.deviations),
        }
