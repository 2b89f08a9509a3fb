"""Character tasks of synthetic texts, and networks without training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.system.disk_cache import DiskCache
from models.recurrent import RecurrentSettings
from tasks.base import Split
from tasks.language.task import LanguageTask
from tasks.shakespeare import ShakespeareSettings
from tests.helpers.paths import ROOT

SPLIT_NAMES: tuple[Split, ...] = ("train", "validation", "test")
TEXT = "Wer reitet so spät durch Nacht und Wind?\nEs ist der Vater mit seinem Kind;\n" * 3


def load(settings: ShakespeareSettings) -> LanguageTask:
    task = settings.load(DiskCache(ROOT / "unused"))
    assert isinstance(task, LanguageTask)
    return task


def counting_task(characters: int, chunk_length: int = 16) -> LanguageTask:
    """Return a task with different characters, so that an id is a position."""
    text = "".join(chr(0x4E00 + i) for i in range(characters))
    return LanguageTask(ShakespeareSettings(chunk_length=chunk_length), text, "counting")


def whole(task: LanguageTask) -> str:
    """Decode the parts of the text in order."""
    parts = [task.splits["train"], task.splits["validation"]]
    if task.settings.split != "nanogpt":
        parts.append(task.splits["test"])
    return "".join(task.characters[i] for i in torch.cat(parts).tolist())


class FixedPrediction(nn.Module):
    """Map each character to a row of a table of logits."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, inputs: Tensor, lengths: None, state: None) -> tuple[Tensor, None]:
        return self.table[inputs], None


def network_for(task: LanguageTask, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    encoder = RecurrentSettings(cell="lstm", hidden_size=12).build(task.input_size)
    network = task.network(encoder).to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)  # away from the near-uniform predictions of a fresh network
    return network
