"""A training that stopped, as a file: safetensors for the tensors, JSON for the rest, one checksum.

Nothing is ever unpickled. A file of another run, of other code or with a wrong byte is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from benchmarks.system.atomic_files import write_atomically

FORMAT = 1

Tensors = dict[str, Tensor]
Facts = dict[str, Any]


class CheckpointError(Exception):
    """A checkpoint cannot be used; the text says why."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Facts) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        tensors: on any device.
        facts: what JSON can hold; floats come back exactly.

    Raises:
        OSError: the disk is full or not writable; an earlier checkpoint is still there.
    """
    on_cpu: Tensors = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().contiguous()
        # safetensors takes no memory twice, as that of tied weights would be.
        on_cpu[name] = whole.clone() if whole.data_ptr() in places else whole
        places.add(whole.data_ptr())
    text = json.dumps({"format": FORMAT} | facts)
    metadata = {"facts": text, "sha256": digest(text, on_cpu)}
    write_atomically(path, save(on_cpu, metadata))


def read_checkpoint(path: Path) -> tuple[Tensors, Facts]:
    """Read a checkpoint back.

    Raises:
        CheckpointError: it is damaged or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = metadata["facts"]
        facts: Any = json.loads(text)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"it is damaged ({error!r})") from error
    if metadata.get("sha256") != digest(text, tensors):
        raise CheckpointError("it is damaged (its checksum is wrong)")
    if not isinstance(facts, dict) or facts.pop("format", None) != FORMAT:
        raise CheckpointError("another version of rnnbench wrote it")
    return tensors, facts


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Hash a checkpoint's whole content."""
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        # As bytes, since numpy has no bfloat16.
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return sha.hexdigest()
