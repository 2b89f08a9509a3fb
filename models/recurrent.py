"""Vanilla RNN, LSTM, GRU and region encoders, uni- or bidirectional, of any depth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, setting

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class RecurrentSettings(ModelSettings):
    """A recurrent encoder; `cell` selects one of PyTorch's cells, or the region cell."""

    has_own_directions: ClassVar[bool] = True
    cells: ClassVar[dict[str, dict[str, Any]]] = {
        **{name: {"cell": name} for name in ("rnn", "lstm", "gru")},
        "region": {"cell": "region", "initialisation": "small"},
    }

    cell: str = setting(
        "lstm",
        "the recurrent cell; region is an LSTM without input and output gates",
        choices=("rnn", "lstm", "gru", "region"),
    )
    table: bool = setting(
        False,
        "the task's embedding contains what each token adds to the gates of the first layer, which "
        "then has no input weights; requires a task on tokens",
        identity="unless default",
    )
    nonlinearity: str = setting("tanh", "of the rnn cell", choices=("tanh", "relu"))
    initialisation: str = setting(
        "orthogonal",
        "of the recurrent weights, per gate block; pytorch = uniform(±1/sqrt(hidden)), "
        "small = uniform(±0.01)",
        choices=("orthogonal", "identity", "pytorch", "small"),
    )
    forget_bias: float | None = setting(
        1.0,
        "forget-gate bias of lstm and region, the sum of PyTorch's two bias vectors; "
        "null keeps the value of the initialisation",
    )
    variational_dropout: bool = setting(
        False,
        "one dropout mask for all steps of a sequence instead of one per step, between layers and "
        "at an output of every step",
        identity="unless default",
    )
    output_dropout: float | None = setting(
        None,
        "probability of dropping a unit at the output; null for model.dropout",
        minimum=0.0,
        below=1.0,
        identity="unless default",
    )
    weight_dropout: float = setting(
        0.0,
        "probability of dropping a recurrent weight, drawn once per forward pass of a training",
        minimum=0.0,
        below=1.0,
        identity="unless default",
    )
    residual: bool = setting(
        False,
        "add the input of every layer after the first to its output; requires two layers or more",
        identity="unless default",
    )
    kernel: str = setting(
        "auto",
        "implementation of the cells: PyTorch's, or a fused loop over all steps for "
        "CPUs, compiled at first use; auto uses fused where it is available and faster",
        choices=("auto", "torch", "fused"),
    )

    @property
    def kind(self) -> str:
        """Return the name of the cell."""
        return self.cell

    @property
    def needs_tokens(self) -> bool:
        """Return True if the first layer has a table."""
        return self.table

    def check(self) -> None:
        """Raise ValueError for a setting that the chosen cell or number of layers excludes."""
        for name in ("residual", "table"):
            if getattr(self, name) and self.block == "residual":
                raise ValueError(f"model.{name}=true: requires model.block=bare")
        if self.residual and self.num_layers == 1:
            raise ValueError("model.residual=true: requires model.num_layers of 2 or more, not 1")
        for name, default, cells in (
            ("forget_bias", 1.0, ("lstm", "region")),
            ("nonlinearity", "tanh", ("rnn",)),
        ):
            value = getattr(self, name)
            if value != default and self.cell not in cells:
                raise ValueError(
                    f"model.{name}={value} applies to the {' or '.join(cells)} cell only, "
                    f"not to {self.cell}"
                )

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        return dataclasses.replace(self, num_layers=1, block="bare").build(input_size)

    def build(self, input_size: int) -> Encoder:
        """Return a new encoder; bare layers are one module."""
        if self.block == "residual":
            return super().build(input_size)
        from models.modules.recurrent import RecurrentEncoder

        options = vars(self) | {"input_size": input_size}
        for name in ("learning_rate_factor", "block", "feedforward", "frozen"):
            del options[name]
        return RecurrentEncoder(**options).requires_grad_(not self.frozen)
