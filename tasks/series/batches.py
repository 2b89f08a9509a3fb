"""Prepared series as one flat tensor, padded into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Batch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    Numbers = np.ndarray[Any, Any]


@dataclass
class SeriesTensors:
    """The series of a split.

    Attributes:
        steps: inputs (all steps, channels) of all series, one after the other.
        offsets: (series + 1,) of the first step of each series.
        labels: (series,) class of each series.
        lengths: (series,) on the CPU, so that shapes are available without synchronisation.
    """

    steps: Tensor
    offsets: Tensor
    labels: Tensor
    lengths: Numbers

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device, dtype: torch.dtype) -> SeriesTensors:
        """Return the series on a device, with inputs of a dtype."""
        return SeriesTensors(
            self.steps.to(device, dtype),
            self.offsets.to(device),
            self.labels.to(device),
            self.lengths,
        )

    def batch(self, members: Numbers) -> Batch:
        """Pad the series with the given indices to the longest of them, with zeros."""
        import torch

        lengths = self.lengths[members]
        items = torch.from_numpy(members).to(self.steps.device)
        valid = torch.from_numpy(lengths).to(self.steps.device)
        steps = torch.arange(int(lengths.max()), device=self.steps.device)
        beyond = steps >= valid.unsqueeze(1)
        places = (self.offsets[items].unsqueeze(1) + steps).clamp_(max=len(self.steps) - 1)
        is_full = int(lengths.min()) == int(lengths.max())
        inputs = self.steps[places]
        return Batch(
            inputs if is_full else inputs.masked_fill_(beyond.unsqueeze(-1), 0.0),
            self.labels[items],
            tokens=int(lengths.sum()),
            items=items,
            lengths=valid,
        )


def tensors_of(series: Sequence[Numbers], labels: Numbers) -> SeriesTensors:
    """Return series (steps, channels) and labels (series,) as tensors on the CPU."""
    import numpy as np
    import torch

    lengths = np.array([len(each) for each in series], dtype=np.int64)
    return SeriesTensors(
        torch.from_numpy(np.concatenate(series)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
        torch.from_numpy(labels),
        lengths,
    )
