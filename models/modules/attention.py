"""A layer of multi-head attention with rotary positions and a ring buffer as state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.modules.encoder import Encoder, State
from models.modules.padding import last_steps, without_padding

BASE = 10_000.0  # of the wavelengths of rotary positions (Su et al. 2021)


class AttentionLayer(Encoder):
    """One layer: queries, keys and values of all heads from one product, and their attention.

    The state contains the keys and values of the last `window` - 1 steps, and for each of them a 1,
    or a 0 where the sequence has not been that long: (1, batch, window - 1, 2 · features + 1).

    Args:
        input_size: features of the inputs.
        output_size: features of all heads together.
        heads: number of heads.
        window: steps that a step attends to; None for all steps, later ones included.
        dropout: of the outputs, applied by others.
    """

    def __init__(
        self, input_size: int, output_size: int, heads: int, window: int | None, dropout: float
    ) -> None:
        super().__init__()
        self.input_size, self.output_size, self.dropout = input_size, output_size, dropout
        self.heads, self.head_size, self.window = heads, output_size // heads, window
        self.projection = nn.Linear(input_size, 3 * output_size, bias=False)
        for block in torch.split(self.projection.weight.data, output_size):
            nn.init.xavier_uniform_(block)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        batch, time, _ = inputs.shape
        size = self.output_size
        queries, own = torch.split(self.projection(inputs), [size, 2 * size], dim=-1)
        own = torch.cat([own, own.new_ones(batch, time, 1)], dim=-1)
        steps = own if state is None else torch.cat([state[0][0].to(own.dtype), own], dim=1)
        keys, values, is_step = torch.split(steps, [size, size, 1], dim=-1)
        before = steps.shape[1] - time
        places = torch.arange(-before, time, device=inputs.device)
        mask = self.mask(places, time, lengths, None if state is None else is_step.squeeze(-1) > 0)
        found = F.scaled_dot_product_attention(
            rotated(self.by_head(queries), places[before:]),
            rotated(self.by_head(keys), places),
            self.by_head(values),
            attn_mask=mask,
            is_causal=mask is None and self.window is not None,
        )
        outputs = without_padding(found.transpose(1, 2).flatten(2), lengths)
        if not need_state:
            return outputs, None
        count = 0 if self.window is None else self.window - 1
        whole = F.pad(steps, (0, 0, max(count - before, 0), 0))
        return outputs, (last_steps(whole, count, lengths).unsqueeze(0),)

    def by_head(self, features: Tensor) -> Tensor:
        """Split features (batch, time, size) into heads (batch, heads, time, head size)."""
        return features.view(*features.shape[:2], self.heads, self.head_size).transpose(1, 2)

    def mask(
        self, places: Tensor, time: int, lengths: Tensor | None, is_step: Tensor | None
    ) -> Tensor | None:
        """Return where a step attends (batch or 1, 1, time, steps); None if PyTorch's mask fits.

        Padding is later than any valid step, so only the attention to later steps sees it.
        """
        if self.window is None:
            if lengths is None:
                return None
            # A sequence without steps attends to padding: without any step, the result is NaN.
            seen = places < lengths.clamp(min=1).unsqueeze(1)
            return seen[:, None, None]
        if is_step is None and time <= self.window:
            return None
        distance = places[-time:].unsqueeze(1) - places
        seen = ((distance >= 0) & (distance < self.window))[None, None]
        return seen if is_step is None else seen & is_step[:, None, None]

    def flops_per_token(self) -> int:
        """Count two operations per weight, and four per feature of the steps of a window."""
        return 2 * self.projection.weight.numel() + 4 * self.output_size * (self.window or 0)


def rotated(heads: Tensor, places: Tensor) -> Tensor:
    """Rotate pairs of features (…, time, size) by angles proportional to their places.

    Of an odd number of features, the last one stays as it is.
    A product of a rotated query and a rotated key depends on the distance of their places alone, so
    places may be relative to any step.
    """
    half = heads.shape[-1] // 2
    dtype = torch.promote_types(heads.dtype, torch.float32)
    rates = BASE ** (-torch.arange(half, device=heads.device, dtype=dtype) / half)
    angles = places.unsqueeze(-1) * rates
    cosine, sine = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second, rest = torch.split(heads, [half, half, heads.shape[-1] - 2 * half], dim=-1)
    pairs = [first * cosine - second * sine, first * sine + second * cosine]
    return torch.cat([*pairs, rest], dim=-1)
