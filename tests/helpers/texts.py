"""Character tasks of synthetic texts, and networks without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.system.disk_cache import Build, DiskCache
from models.recurrent import RecurrentSettings
from tasks.base import Arrays, Split
from tasks.language.settings import LanguageSettings
from tasks.language.sources import Corpus
from tasks.language.task import LanguageTask, LmSettings
from tasks.language.vocabulary import tokenise
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
    return task_of(text, ShakespeareSettings(chunk_length=chunk_length))


def task_of(text: str, settings: LanguageSettings) -> LanguageTask:
    """Return a task of characters of a text."""
    corpus = Corpus(text, "test text", "task.corpus=None")
    return LanguageTask(settings, corpus, tokenise(corpus, settings.split, no_cache))


def no_cache(key: str, build: Build) -> tuple[Arrays, dict[str, Any]]:
    """Build the data of a key again."""
    return build()


def lm(file: Path, level: str = "char", **settings: Any) -> LanguageTask:
    """Return the task lm of a file, loaded without a cache."""
    task = LmSettings(data=str(file), level=level, **settings)
    task.check()
    loaded = task.load(no_cache)
    assert isinstance(loaded, LanguageTask)
    return loaded


def whole(task: LanguageTask) -> str:
    """Decode the parts of the text in order."""
    parts = [task.splits["train"], task.splits["validation"]]
    if task.settings.split != "nanogpt":
        parts.append(task.splits["test"])
    return task.vocabulary.decode(torch.cat(parts).tolist())


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
