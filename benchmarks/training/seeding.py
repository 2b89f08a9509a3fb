"""Random streams of a run, and the state of torch's global generators."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.config.schema import Config


@dataclass(frozen=True)
class SeedStreams:
    """The random streams of a seed, one per purpose, each independent of the others.

    The name of a purpose decides its stream: another name would change the results of all runs.

    Attributes:
        seed: of the run.
        init_seed: of the initial weights; None for `seed`.
        order_seed: of batch order and dropout; None for `seed`.
    """

    seed: int
    init_seed: int | None = None
    order_seed: int | None = None

    @classmethod
    def of(cls, config: Config) -> SeedStreams:
        """Return the random streams of a configuration."""
        return cls(config.seed, config.train.init_seed, config.train.order_seed)

    def data_order(self, epoch: int) -> np.random.Generator:
        """Return the generator of the batch order in an epoch, counted from 0.

        The order depends on its seed and the epoch alone, so all models see the same batches.
        """
        return self._generator(self.order_seed, "data order", epoch)

    def seed_encoder(self) -> None:
        """Seed torch before the encoder is initialised."""
        self._seed_torch(self.init_seed, "encoder initialisation")

    def seed_task(self) -> None:
        """Seed torch before the task's own layers are initialised or its baseline is fitted."""
        self._seed_torch(self.init_seed, "task initialisation")

    def seed_dropout(self) -> None:
        """Seed torch before training, which draws dropout masks."""
        self._seed_torch(self.order_seed, "dropout")

    def _generator(self, own: int | None, purpose: str, *indices: int) -> np.random.Generator:
        """Return the generator of a purpose, from its own seed if there is one."""
        seed = self.seed if own is None else own
        return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *indices])

    def _seed_torch(self, own: int | None, purpose: str) -> None:
        torch.manual_seed(int(self._generator(own, purpose).integers(2**63 - 1)))


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of torch's global generators: the CPU's and the device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Set torch's global generators to what `random_states` returned."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif "mps" in states:
        torch.mps.set_rng_state(states["mps"])
