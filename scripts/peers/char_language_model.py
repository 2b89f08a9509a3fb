"""Peer: an LSTM as in PyTorch's word language model example, on characters.

    python char_language_model.py JOB.npz      # pip install torch==2.13.0 numpy

Embeddings and two layers of 200 units, dropout 0.2, plain gradient descent from rate 20, divided by
4 after an epoch without a better validation score, clipping at 0.25, batch 20, 35 steps. It prints
one line of JSON and must not import rnnbench.
"""

import json
import math
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH, STEPS = 20, 35
State = tuple[Tensor, ...]


class LanguageModel(nn.Module):
    """Embedding, LSTM of two layers, linear layer."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 200)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.lstm = nn.LSTM(200, 200, num_layers=2, dropout=0.2)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(200, vocabulary)
        nn.init.uniform_(self.head.weight, -0.1, 0.1)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Map tokens (time, batch) and a state to logits and the next state."""
        outputs, state = self.lstm(self.dropout(self.embedding(tokens)), state)
        return self.head(self.dropout(outputs)), state


def main(job_file: str) -> None:
    """Train and print the perplexities of all epochs."""
    job = np.load(job_file)
    settings = json.loads(str(job["settings"]))
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    model = LanguageModel(settings["vocabulary"])
    data = {s: torch.from_numpy(job[s].astype("int64")) for s in ("train", "validation", "test")}
    columns = data["train"][: len(data["train"]) // BATCH * BATCH].view(BATCH, -1).t()
    epochs, rate, best, seconds = [], 20.0, math.inf, 0.0
    for _ in range(settings["epochs"]):
        started = time.perf_counter()
        train_epoch(model, columns, rate)
        seconds += time.perf_counter() - started
        scores = {split: perplexity(model, data[split]) for split in ("validation", "test")}
        versions = f"PyTorch {torch.__version__}"
        epochs.append({"versions": versions, "seconds": seconds, **scores})
        if scores["validation"] < best:
            best = scores["validation"]
        else:
            rate /= 4
    print(json.dumps(epochs), flush=True)


def train_epoch(model: nn.Module, columns: Tensor, rate: float) -> None:
    """Train on columns (time, batch) with truncated backpropagation through time."""
    model.train()
    state: State | None = None
    for start in range(0, len(columns) - 1, STEPS):
        inputs = columns[start : start + STEPS][: len(columns) - 1 - start]
        targets = columns[start + 1 : start + 1 + STEPS]
        state = None if state is None else tuple(part.detach() for part in state)
        model.zero_grad()
        logits, state = model(inputs, state)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(rate * parameter.grad)


@torch.no_grad()
def perplexity(model: nn.Module, tokens: Tensor) -> float:
    """Return the perplexity of one stream of tokens (count,)."""
    model.eval()
    state, nats = None, 0.0
    for inputs, targets in zip(
        torch.split(tokens[:-1], 4096), torch.split(tokens[1:], 4096), strict=True
    ):
        logits, state = model(inputs.unsqueeze(1), state)
        nats += F.cross_entropy(logits.squeeze(1), targets, reduction="sum").item()
    return math.exp(nats / (len(tokens) - 1))


if __name__ == "__main__":
    main(sys.argv[1])
