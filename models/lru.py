"""Linear recurrent units: fixed diagonal dynamics between learned projections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, kernel_setting, setting

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class LruSettings(ModelSettings):
    """A linear recurrent unit (Orvieto et al. 2023) whose output passes a gated linear unit."""

    cells: ClassVar[dict[str, dict[str, Any]]] = {"lru": {}}

    sign: str = setting(
        "complex",
        "eigenvalues of the recurrence: complex, or real numbers that are positive, in (0, 1), or "
        "any, in (-1, 1)",
        choices=("complex", "positive", "any"),
    )
    min_radius: float = setting(
        0.0, "smallest absolute value of an eigenvalue at initialisation", minimum=0.0, below=1.0
    )
    max_radius: float = setting(
        0.999, "largest absolute value of an eigenvalue at initialisation", above=0.0, below=1.0
    )
    kernel: str = kernel_setting()

    @property
    def kind(self) -> str:
        """Return the model's name in one direction."""
        return "lru"

    def check(self) -> None:
        """Raise ValueError if no radius is left."""
        if self.min_radius >= self.max_radius:
            raise ValueError(
                f"model.min_radius={self.min_radius}: must be below "
                f"model.max_radius={self.max_radius}"
            )

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        from models.modules.lru import LruLayer

        return LruLayer(
            input_size,
            self.hidden_size,
            sign=self.sign,
            radii=(self.min_radius, self.max_radius),
            dropout=self.dropout,
            kernel=self.kernel,
        )
