"""Levels of language modelling: the units that are predicted."""

from __future__ import annotations

from typing import Literal

LevelName = Literal["char", "word", "bpe"]
UNITS: dict[LevelName, tuple[str, str]] = {
    "char": ("character", "characters"),
    "word": ("word", "words"),
    "bpe": ("token", "tokens"),
}
"""One and several tokens of a level."""
