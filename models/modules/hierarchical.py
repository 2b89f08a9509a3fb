"""A layer of two levels: steps in chunks, and chunks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.modules.encoder import Encoder, State
from models.modules.padding import beyond, without_padding


class HierarchicalLayer(Encoder):
    """Outputs of `lower` at each step, and of `upper` after the last whole chunk before it.

    `lower` reads each chunk from a zero state. `upper` reads mean and maximum of its outputs over a
    chunk.

    The state contains the inputs since the last whole chunk, zero after them, their number, the
    output of `upper` after that chunk, and its state. Inputs of an unfinished chunk are read again.

    Args:
        lower: a layer in one direction.
        upper: the same, for inputs of twice the size of the outputs of `lower`.
        chunk: steps of a chunk.
        dropout: of the outputs, applied by others.
    """

    def __init__(self, lower: Encoder, upper: Encoder, chunk: int, dropout: float) -> None:
        super().__init__()
        self.input_size, self.dropout = lower.input_size, dropout
        self.output_size = lower.output_size + upper.output_size
        self.lower, self.upper, self.chunk = lower, upper, chunk
        self.requested_kernel = lower.requested_kernel

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        batch, time, _ = inputs.shape
        size = self.chunk
        if lengths is None:
            lengths = torch.full((batch,), time, device=inputs.device)
        lengths = lengths.long()
        if state is None:
            before, before_upper, start = torch.zeros_like(lengths), None, None
        else:
            earlier, count, output, *rest = state
            before, before_upper, start = count.view(batch).long(), output.squeeze(0), tuple(rest)
            inputs = after_each(earlier.squeeze(0), before, inputs)
        ends = before + lengths
        chunks = (inputs.shape[1] + size - 1) // size
        if torch.compiler.is_compiling():  # a symbol, which must not be 1 for some inputs
            # PyTorch's function has no annotations.
            chunks = torch.sym_max(chunks, 2)  # type: ignore[no-untyped-call]
        inputs = F.pad(inputs, (0, 0, 0, chunks * size - inputs.shape[1]))
        low = self.lower_outputs(inputs, ends, chunks)
        high, final = self.upper_outputs(low, ends, before_upper, start, need_state)
        places = before.unsqueeze(1) + torch.arange(time, device=inputs.device)
        outputs = torch.cat(
            [selected(low.flatten(1, 2), places), selected(high, places // size)], -1
        )
        outputs = without_padding(outputs, lengths)
        if not need_state:
            return outputs, None
        assert final is not None
        done = ends // size
        # A next chunk begins after the last whole one.
        places = done.unsqueeze(1) * size + torch.arange(size - 1, device=inputs.device)
        left = selected(F.pad(inputs, (0, 0, 0, size)), places)
        left = without_padding(left, ends - done * size)
        last = selected(high, done.unsqueeze(1)).transpose(0, 1)
        count = (ends - done * size).float().view(1, batch, 1)
        return outputs, (left.unsqueeze(0), count, last, *final)

    def lower_outputs(self, inputs: Tensor, ends: Tensor, chunks: int) -> Tensor:
        """Return outputs (batch, chunks, chunk, size), zero beyond the ends (batch,)."""
        rows = inputs.reshape(-1, self.chunk, inputs.shape[-1])
        starts = torch.arange(0, chunks * self.chunk, self.chunk, device=inputs.device)
        in_chunk = (ends.unsqueeze(1) - starts).clamp(min=0, max=self.chunk).flatten()
        outputs: Tensor = self.lower(rows, in_chunk, need_state=False)[0]
        self.kernel = self.lower.kernel
        return outputs.view(inputs.shape[0], chunks, self.chunk, -1)

    def upper_outputs(
        self,
        low: Tensor,
        ends: Tensor,
        before: Tensor | None,
        start: State | None,
        need_state: bool,
    ) -> tuple[Tensor, State | None]:
        """Return outputs (batch, 1 + chunks, size) before each chunk, and the state.

        Args:
            low: outputs (batch, chunks, chunk, size) of the lower level.
            ends: (batch,) steps since the first chunk began; unfinished chunks are not read.
            before: the output (batch, size) before the first chunk; None for zeros.
            start: the state before the first chunk.
            need_state: return the state after the last whole chunk.
        """
        summary = torch.cat([low.mean(2), low.amax(2)], -1)
        whole = ends // self.chunk
        summary = without_padding(summary, whole)
        # A row without a whole chunk keeps its state, which encoders do not for a length of 0.
        outputs, final = self.upper(summary, whole.clamp(min=1), start, need_state)
        outputs = outputs.masked_fill(beyond(whole, outputs.shape[1]), 0.0)
        if before is None:
            before = outputs.new_zeros(outputs.shape[0], outputs.shape[-1])
        outputs = torch.cat([before.unsqueeze(1).to(outputs.dtype), outputs], 1)
        if final is None:
            return outputs, None
        kept = start if start is not None else [torch.zeros_like(part) for part in final]
        is_new = whole > 0
        final = tuple(
            torch.where(is_new.view(1, -1, *[1] * (new.dim() - 2)), new, old)
            for new, old in zip(final, kept, strict=True)
        )
        return outputs, final

    def flops_per_token(self) -> int:
        """Count the operations of the lower level, and of the upper one per chunk."""
        return self.lower.flops_per_token() + self.upper.flops_per_token() // self.chunk


def selected(steps: Tensor, places: Tensor) -> Tensor:
    """Select the places (batch, count) of steps (batch, time, features)."""
    return steps.gather(1, places.unsqueeze(-1).expand(-1, -1, steps.shape[-1]))


def after_each(earlier: Tensor, counts: Tensor, inputs: Tensor) -> Tensor:
    """Append inputs (batch, time, size) to the first `counts` steps (batch,) of earlier ones."""
    batch, time, _ = inputs.shape
    width = earlier.shape[1]
    steps = torch.cat([earlier.to(inputs.dtype), inputs], 1)
    places = torch.arange(width + time, device=inputs.device).expand(batch, -1)
    column = counts.unsqueeze(1)
    moved = places + (width - column)
    places = torch.where(places < column, places, moved.clamp(max=width + time - 1))
    return selected(steps, places).masked_fill(
        (torch.arange(width + time, device=inputs.device) >= column + time).unsqueeze(-1), 0.0
    )
