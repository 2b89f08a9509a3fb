"""Dropout between the layers of an encoder and of its outputs."""

from __future__ import annotations

from torch import Tensor, nn


class VariationalDropout(nn.Module):
    """Dropout with one mask for all steps of a sequence (Gal & Ghahramani 2016).

    The mask comes from an `nn.Dropout`, for which multi-seed training draws masks in advance.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.mask = nn.Dropout(probability)

    def forward(self, features: Tensor) -> Tensor:
        """Drop features of a batch (batch, time, features), or (batch, features)."""
        if not self.training or self.probability == 0:
            return features
        batch, *steps, size = features.shape
        mask: Tensor = self.mask(features.new_ones(batch, *(1 for _ in steps), size))
        return features * mask


def dropout_module(probability: float, is_variational: bool) -> nn.Module:
    """Return dropout with a mask per sequence, or with a mask per step."""
    return VariationalDropout(probability) if is_variational else nn.Dropout(probability)
