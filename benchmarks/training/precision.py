"""What digits a run's matrix products have: those of its dtype, TensorFloat-32 or bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.errors import UserError


def use_precision(precision: str, device: torch.device) -> None:
    """Let this process multiply as `train.precision` has it.

    Raises:
        UserError: the device cannot.
    """
    if precision == "tf32" and device.type != "cuda":
        raise UserError(
            f"train.precision=tf32: is of CUDA devices, not of {device} "
            f"(allowed there: {'highest' if device.type == 'mps' else 'highest, bfloat16'})"
        )
    if precision == "tf32" and torch.cuda.get_device_capability(device) < (8, 0):
        raise UserError(
            f"train.precision=tf32: {torch.cuda.get_device_name(device)} has no TensorFloat-32 "
            f"(allowed there: highest, bfloat16)"
        )
    if precision == "bfloat16" and device.type not in ("cpu", "cuda"):
        raise UserError(
            f"train.precision=bfloat16: runs on cpu and cuda, not on {device} "
            f"(allowed there: highest)"
        )
    # By PyTorch's defaults it would give some cells' products fewer digits than others'.
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def in_precision(network: nn.Module, precision: str, device: torch.device) -> nn.Module:
    """Let a network compute in bfloat16 what bears it, wherever it is called from.

    Its parameters, their gradients and the optimiser stay float32, and so do its outputs, of which
    losses and metrics are made. The state it carries has the dtype that the cells give it.

    Args:
        network: called as `network(inputs, lengths, state) -> (outputs, state)`.
        precision: of `train.precision`; all but bfloat16 leave the network as it is.
        device: where it is.
    """
    if precision != "bfloat16":
        return network
    forward = network.forward

    def lowered(*arguments: Any, **options: Any) -> tuple[Tensor, Any]:
        with torch.autocast(device.type, torch.bfloat16):
            outputs, state = forward(*arguments, **options)
        return outputs.float(), state

    # Around the network and not in a module of its own, which would rename every weight.
    network.forward = lowered
    return network
