"""Peer: the bidirectional LSTM on packed sequences of PyTorch's sentiment tutorials.

    python packed_lstm.py JOB.npz      # pip install torch==2.13.0 numpy

Embeddings of 100, two layers of 256 units, dropout 0.5, the last hidden states, Adam, batch 64, the
first 256 tokens. It prints one line of JSON and must not import rnnbench.
"""

import json
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

BATCH, LENGTH = 64, 256


class Classifier(nn.Module):
    """Embedding, packed bidirectional LSTM, linear layer on the last hidden states."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 100, padding_idx=0)
        self.lstm = nn.LSTM(100, 256, num_layers=2, bidirectional=True, dropout=0.5)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(512, 1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Map tokens (time, batch) to log-odds (batch,)."""
        embedded = self.dropout(self.embedding(tokens))
        _, (hidden, _) = self.lstm(pack_padded_sequence(embedded, lengths, enforce_sorted=False))
        last = torch.cat((hidden[-2], hidden[-1]), dim=1)
        odds: Tensor = self.head(self.dropout(last)).squeeze(1)
        return odds


def main(job_file: str) -> None:
    """Train and print the scores of all epochs."""
    job = np.load(job_file)
    settings = json.loads(str(job["settings"]))
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    model = Classifier(settings["vocabulary"])
    optimizer = torch.optim.Adam(model.parameters())
    loss_function = nn.BCEWithLogitsLoss()
    data = {split: documents(job, split) for split in ("train", "validation", "test")}
    epochs, seconds = [], 0.0
    for _ in range(settings["epochs"]):
        model.train()
        started = time.perf_counter()
        order = torch.randperm(len(data["train"][0]))
        for tokens, lengths, labels in batches(*data["train"], order):
            optimizer.zero_grad()
            loss_function(model(tokens, lengths), labels).backward()
            optimizer.step()
        seconds += time.perf_counter() - started
        scores = {split: accuracy(model, *data[split]) for split in ("validation", "test")}
        versions = f"PyTorch {torch.__version__}"
        epochs.append({"versions": versions, "seconds": seconds, **scores})

    print(json.dumps(epochs), flush=True)


def documents(job: "np.lib.npyio.NpzFile", split: str) -> tuple[list[Tensor], Tensor]:
    """Return the reviews of a split and their labels."""
    tokens = torch.from_numpy(job[f"{split}_tokens"].astype("int64"))
    labels = torch.from_numpy(job[f"{split}_labels"].astype("float32"))
    reviews = torch.split(tokens, job[f"{split}_lengths"].tolist())
    return [review[:LENGTH] for review in reviews], labels


def batches(
    reviews: list[Tensor], labels: Tensor, order: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield padded tokens (time, batch), lengths and labels."""
    for chosen in torch.split(order, BATCH):
        rows = [reviews[i] for i in chosen.tolist()]
        yield pad_sequence(rows), torch.tensor([len(row) for row in rows]), labels[chosen]


@torch.no_grad()
def accuracy(model: nn.Module, reviews: list[Tensor], labels: Tensor) -> float:
    """Return the share of reviews with the right label."""
    model.eval()
    order = torch.tensor([len(review) for review in reviews]).argsort()
    right: list[int] = [
        ((model(tokens, lengths) > 0) == (label > 0)).count_nonzero().tolist()
        for tokens, lengths, label in batches(reviews, labels, order)
    ]
    return sum(right) / len(reviews)


if __name__ == "__main__":
    main(sys.argv[1])
