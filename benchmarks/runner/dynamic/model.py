"""A language model whose weights are updated by the text that it has already predicted.

Krause et al. 2018, Dynamic Evaluation of Neural Sequence Models (https://arxiv.org/abs/1709.07432).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.training.evaluation import evaluate, metrics_of
from benchmarks.training.predictions import Predictions
from tasks.base import Batch, Split
from tasks.language.task import LanguageTask

STREAMS = 100  # parallel streams of the training split, over which gradients are averaged
EPSILON = 0.1  # added to the RMS of a gradient, in units of the mean RMS of all weights


class DynamicModel:
    """A trained network and the RMS of its gradients on the training split.

    Args:
        network: in eval mode; it is changed by evaluations, which start from its present weights.
        task: on the device of the network.
        chunk: tokens per update.
    """

    def __init__(self, network: nn.Module, task: LanguageTask, chunk: int) -> None:
        self.network, self.task, self.chunk = network, task, chunk
        self.weights = [*network.parameters()]
        self.trained = [weight.detach().clone() for weight in self.weights]
        self.rms = gradient_rms(network, task, chunk)
        total = sum(float(rms.sum(dtype=torch.float64)) for rms in self.rms)
        self.mean_rms = total / sum(rms.numel() for rms in self.rms)

    def evaluate(
        self, split: Split, rate: float, decay: float, predictions: Predictions | None = None
    ) -> dict[str, float]:
        """Compute the metrics of a split from the trained weights on; rate 0 is static.

        Raises:
            NotFiniteError: the loss is NaN or infinite.
        """
        with torch.no_grad():
            for weight, trained in zip(self.weights, self.trained, strict=True):
                weight.copy_(trained)
        if rate == 0:
            return evaluate(self.network, self.task, split, 1, None, predictions)
        return metrics_of(self.predicted_chunks(split, rate, decay), self.task, split, predictions)

    def predicted_chunks(
        self, split: Split, rate: float, decay: float
    ) -> Iterator[tuple[Tensor, Batch]]:
        """Yield the outputs for each chunk, then update the weights by its loss."""
        scales = [rate / (rms + EPSILON * self.mean_rms) for rms in self.rms]
        decays = [(decay * rms / self.mean_rms).clamp(max=1) for rms in self.rms]
        state = None
        for batch in self.task.chunks(split, self.chunk):
            outputs, state = self.network(batch.inputs, None, state)
            yield outputs.detach(), batch
            state = tuple(part.detach() for part in state)
            gradients = torch.autograd.grad(self.task.loss(outputs, batch), self.weights)
            with torch.no_grad():
                for weight, *rule in zip(
                    self.weights, self.trained, decays, gradients, scales, strict=True
                ):
                    trained, share, gradient, scale = rule
                    weight.lerp_(trained, share).addcmul_(gradient, scale, value=-1)


def gradient_rms(network: nn.Module, task: LanguageTask, chunk: int) -> list[Tensor]:
    """Return the root mean square of each weight's gradient over the chunks of training.

    A gradient is that of the mean loss of `STREAMS` parallel chunks, or of fewer for a short text.
    """
    weights = [*network.parameters()]
    sums = [torch.zeros_like(weight) for weight in weights]
    streams = max(1, min(STREAMS, (len(task.splits["train"]) - 1) // chunk))
    count, state = 0, None
    for batch in task.chunks("train", chunk, streams):
        count += 1
        outputs, state = network(batch.inputs, None, state)
        state = tuple(part.detach() for part in state)
        gradients = torch.autograd.grad(task.loss(outputs, batch), weights)
        for total, gradient in zip(sums, gradients, strict=True):
            total.addcmul_(gradient, gradient)
    return [(total / count).sqrt() for total in sums]
