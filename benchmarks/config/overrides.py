"""`seeds=[0,1,2]` in the place of `seed=`: what may be written, and what it stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.errors import UserError

ONE_LIST = "seeds: is one list, as in seeds=[0,1,2]"

BELOW = 2**32
"""What a seed must be less than."""


def check_seeds(seeds: Sequence[int] | None) -> None:
    """Check the value of `seeds`.

    Raises:
        UserError: there is none in it, or one twice.
    """
    if seeds is None:
        return
    written = text_of(seeds)
    if not seeds:
        raise UserError(f"{written}: is empty; give some, as in seeds=[0,1,2], or seed=0")
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise UserError(f"{written}: {seed} is there {seeds.count(seed)} times, once is enough")


def refuse_both(overrides: Iterable[str], seeds: Sequence[int] | None) -> None:
    """Refuse `seed=` beside `seeds=`: one would have no effect.

    Args:
        overrides: of the command line.
        seeds: what they come to.

    Raises:
        UserError: both are given.
    """
    given = [text for text in overrides if text.lstrip("+").startswith("seed=")]
    if seeds is not None and given:
        raise UserError(f"{given[0]} and {text_of(seeds)}: give one of them")


def text_of(seeds: Sequence[int]) -> str:
    """Write seeds as the command line does."""
    return f"seeds=[{','.join(map(str, seeds))}]"
