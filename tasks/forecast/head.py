"""The network of a forecast: encoder, and a linear head on its last output."""

from __future__ import annotations

from torch import Tensor, nn

from tasks.base import SequenceEncoder


class Forecaster(nn.Module):
    """Predict one scaled value from a window (batch, time, features)."""

    def __init__(self, encoder: SequenceEncoder) -> None:
        super().__init__()
        self.encoder: SequenceEncoder = encoder
        self.output_dropout = nn.Dropout(encoder.dropout)
        self.head = nn.Linear(encoder.output_size, 1)

    def forward(
        self, inputs: Tensor, lengths: None = None, state: None = None
    ) -> tuple[Tensor, None]:
        """Return predictions (batch,); windows are independent, so no state is carried over."""
        outputs, final = self.encoder(inputs)
        last = self.encoder.last_outputs(outputs, None, final)
        return self.head(self.output_dropout(last)).squeeze(-1), None
