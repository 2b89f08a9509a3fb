"""Precision of matrix products: that of the dtype, TensorFloat-32 or bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.errors import UserError


def use_precision(precision: str, device: torch.device) -> None:
    """Apply `train.precision` to this process, or raise UserError if the device cannot."""
    setting, problem, allowed = f"train.precision={precision}", None, "highest, bfloat16"
    if precision == "tf32" and device.type != "cuda":
        problem = f"requires a CUDA device, not {device}"
        allowed = "highest" if device.type == "mps" else allowed
    elif precision == "tf32" and torch.cuda.get_device_capability(device) < (8, 0):
        problem = f"{torch.cuda.get_device_name(device)} has no TensorFloat-32"
    elif precision == "bfloat16" and device.type not in ("cpu", "cuda"):
        problem, allowed = f"requires cpu or cuda, not {device}", "highest"
    if problem is not None:
        raise UserError(f"{setting}: {problem} (allowed there: {allowed})")
    # PyTorch's defaults would use TensorFloat-32 for the products of some cells only.
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def in_precision(network: nn.Module, precision: str, device: torch.device) -> nn.Module:
    """Wrap a network's forward pass in bfloat16 autocast if the precision requires it.

    Parameters, gradients, optimiser state and outputs, from which losses and metrics are computed,
    stay float32. The recurrent state has the dtype that the cells give it.
    """
    if precision != "bfloat16":
        return network
    forward = network.forward

    def lowered(*arguments: Any, **options: Any) -> tuple[Tensor, Any]:
        with torch.autocast(device.type, torch.bfloat16):
            outputs, state = forward(*arguments, **options)
        return outputs.float(), state

    # Not a wrapping module, which would rename every weight.
    network.forward = lowered
    return network
