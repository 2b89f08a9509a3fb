"""Checkpoint files: safetensors for tensors, JSON for everything else, one checksum over both.

Reading never unpickles. A damaged file is refused.
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
Metadata = dict[str, Any]


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message gives the reason."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], metadata: Metadata) -> None:
    """Write a checkpoint atomically: tensors on any device, and JSON-serialisable metadata.

    Floats are restored exactly. If the disk is full, an earlier checkpoint remains.
    """
    on_cpu: Tensors = {}
    addresses: set[int] = set()
    for name, tensor in tensors.items():
        contiguous = tensor.detach().cpu().contiguous()
        # safetensors refuses shared memory, which tied weights have.
        is_shared = contiguous.data_ptr() in addresses
        on_cpu[name] = contiguous.clone() if is_shared else contiguous
        addresses.add(contiguous.data_ptr())
    text = json.dumps({"format": FORMAT} | metadata)
    write_atomically(path, save(on_cpu, {"facts": text, "sha256": digest(text, on_cpu)}))


def read_checkpoint(path: Path) -> tuple[Tensors, Metadata]:
    """Read a checkpoint; raise CheckpointError if it is damaged or of another format."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = header["facts"]
        metadata: Any = json.loads(text)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"it is damaged ({error!r})") from error
    if header.get("sha256") != digest(text, tensors):
        raise CheckpointError("it is damaged (its checksum is wrong)")
    if not isinstance(metadata, dict) or metadata.pop("format", None) != FORMAT:
        raise CheckpointError("another version of rnnbench wrote it")
    return tensors, metadata


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Hash the whole content of a checkpoint."""
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        # As bytes, since numpy has no bfloat16.
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return sha.hexdigest()
