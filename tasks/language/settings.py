"""Settings that all tasks of language modelling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tasks.base import Baseline, TaskSettings, setting
from tasks.language.levels import LevelName

BOUNDARIES = {"90/5/5": (0.90, 0.95), "nanogpt": (0.90, 0.90)}  # train's end, test's start


@dataclass
class LanguageSettings(TaskSettings):
    """Prediction of the next token of one long text; each data set derives its own class."""

    has_tokens: ClassVar[bool] = True
    causal: ClassVar[bool] = True

    split: str = setting(
        "90/5/5",
        "in order; nanogpt is the usual 90/10 split, in which validation = test",
        choices=tuple(BOUNDARIES),
    )
    chunk_length: int = setting(128, "steps of truncated backpropagation through time", minimum=1)
    embedding_size: int = setting(64, "per token of the level", minimum=1)
    embedding_dropout: float = setting(
        0.0,
        "probability of dropping an embedding dimension for all steps of a sequence",
        minimum=0.0,
        below=1.0,
        identity="unless default",
    )
    tied: bool = setting(
        False,
        "the weights of the head are those of the embedding; requires model.hidden_size equal to "
        "task.embedding_size",
        identity="unless default",
    )
    chunk_jitter: float = setting(
        0.0,
        "random deviation of the length of each training chunk, uniform up to this share of "
        "task.chunk_length; the number of chunks stays",
        minimum=0.0,
        below=1.0,
        identity="unless default",
    )
    temperature: float = setting(0.8, "of the sample", above=0.0, identity=False)

    @property
    def level_name(self) -> LevelName:
        """The unit that is predicted."""
        return "char"

    @property
    def sample_length(self) -> int:
        """Tokens to generate after training."""
        return 0

    def check_encoder(self, output_size: int | None) -> None:
        """Check that the head of an encoder can share the weights of the embedding."""
        if not self.tied or output_size == self.embedding_size:
            return
        size = f"task.embedding_size={self.embedding_size}"
        if output_size is None:
            raise ValueError(
                f"task.tied=true: requires model.hidden_size equal to {size}, but the match "
                f"solves model.hidden_size for its budget"
            )
        raise ValueError(
            f"task.tied=true: requires model.hidden_size equal to {size}, not {output_size}"
        )

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        from tasks.language import kneser_ney

        return kneser_ney.baselines(self.level_name)
