"""New texts for a trained language model: one item per line of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base import Batch, DataError
from tasks.common.tables import read_text
from tasks.language.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass
class LineBatch(Batch):
    """Tokens of consecutive whole lines, (1, time); items are the numbers of their lines, from 0.

    `characters` (1, time) counts the characters of each target.
    """

    characters: Tensor | None = None


def line_batches(
    file: str, vocabulary: Vocabulary, limit: int, device: torch.device
) -> Iterator[LineBatch]:
    """Yield the lines of a file, as many at once as have `limit` tokens; a line is not cut.

    The text is read as if a line end stood before it, so that its first token is predicted too.

    Raises:
        DataError: the file cannot be read, or contains a character that the model does not know.
    """
    import torch

    text = read_text(Path(file), file)
    try:
        ids, ends = vocabulary.encode(text)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    lines = np.flatnonzero(codes == ord("\n")).searchsorted(ends - 1)
    sizes = np.diff(ends, prepend=0)
    if vocabulary.line_end is not None:
        ids = np.concatenate([[vocabulary.line_end], ids])
    else:
        lines, sizes = lines[1:], sizes[1:]
    if not len(lines):
        raise DataError(f"{file}: the text is empty")
    starts = np.flatnonzero(np.diff(lines, prepend=-1))
    stops = [*starts[1:], len(lines)]
    begin = 0
    for stop, next_stop in zip(stops, [*stops[1:], math.inf], strict=True):
        if next_stop - begin <= limit:
            continue

        def part(values: Any, first: int = begin, last: int = int(stop)) -> Tensor:
            return torch.from_numpy(values[first:last].copy()).unsqueeze(0).to(device)

        yield LineBatch(
            inputs=part(ids),
            targets=part(ids[1:]),
            tokens=int(stop) - begin,
            items=part(lines),
            continues=begin > 0,
            characters=part(sizes),
        )
        begin = int(stop)


def line_answers(nats: Tensor, batch: LineBatch, unknown: int | None) -> dict[str, list[Any]]:
    """Return columns with one entry per line of a batch.

    Args:
        nats: of each target (time,).
        batch: whole lines.
        unknown: id of unknown tokens, which are counted if it is given.
    """
    import torch

    assert batch.characters is not None
    lines, place = torch.unique_consecutive(batch.items.flatten(), return_inverse=True)

    def total(values: Tensor) -> list[float]:
        zeros = nats.new_zeros(len(lines))
        added: list[float] = zeros.index_add(0, place, values.flatten().to(nats.dtype)).tolist()
        return added

    tokens, sums = total(torch.ones_like(batch.targets)), total(nats)
    characters = total(batch.characters)
    columns: dict[str, list[Any]] = {
        "line": [line + 1 for line in lines.tolist()],
        "tokens": [int(count) for count in tokens],
    }
    if unknown is not None:
        columns["unknown_tokens"] = [int(count) for count in total(batch.targets == unknown)]
    pairs = list(zip(sums, tokens, strict=True))
    return columns | {
        "nats": sums,
        "perplexity": [math.exp(min(each / count, 700.0)) for each, count in pairs],
        "bits_per_character": [
            each / count / math.log(2) if count else math.nan
            for each, count in zip(sums, characters, strict=True)
        ],
    }
