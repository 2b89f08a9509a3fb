"""What an experiment's YAML lists for a key, as the command line writes it."""

from __future__ import annotations

from omegaconf import ListConfig


def as_axis(value: object) -> str:
    """Write a value, or a list of them, in Hydra's grammar."""
    values = value if isinstance(value, ListConfig) else [value]
    return ",".join(as_word(each) for each in values)


def as_word(value: object) -> str:
    """Write one value."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
