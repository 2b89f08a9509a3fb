"""minGRU and minLSTM encoders, uni- or bidirectional, of any depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, kernel_setting, setting

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class MinimalSettings(ModelSettings):
    """A minimal recurrent encoder (Feng et al. 2024), whose gates depend on the inputs alone."""

    cells: ClassVar[dict[str, dict[str, Any]]] = {
        name: {"cell": name} for name in ("mingru", "minlstm")
    }

    cell: str = setting("mingru", "the cell", choices=("mingru", "minlstm"))
    candidate: str = setting(
        "positive",
        "of the state: positive = v + 0.5 from v = 0 on and sigmoid(v) below, as in the published "
        "experiments; linear = v",
        choices=("positive", "linear"),
    )
    chrono: float | None = setting(
        32.0,
        "largest time constant, in steps, from which the biases of the gates are initialised; "
        "null for biases of 0",
        above=1.0,
    )
    kernel: str = kernel_setting()

    @property
    def kind(self) -> str:
        """Return the name of the cell."""
        return self.cell

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        from models.modules.minimal import MinimalLayer

        return MinimalLayer(
            input_size,
            self.hidden_size,
            cell=self.cell,
            candidate=self.candidate,
            dropout=self.dropout,
            chrono=self.chrono,
            kernel=self.kernel,
        )
