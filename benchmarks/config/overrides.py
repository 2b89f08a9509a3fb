"""The text of overrides, and the setting `seeds`."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence

from omegaconf import ListConfig

from benchmarks.errors import UserError

PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+ -]*[A-Za-z0-9_./:@%+-]")
SEEDS_IS_ONE_LIST = "must be one list, as in seeds=[0,1,2]"


def format_axis(value: object) -> str:
    """Write a value of an experiment's YAML, or a list of them, in Hydra's override grammar."""
    values = value if isinstance(value, ListConfig) else [value]
    return ",".join(
        json.dumps(each) if each is None or isinstance(each, bool) else str(each) for each in values
    )


def quoted_value(text: str) -> str:
    """Write a text as a value in Hydra's override grammar, in single quotes if it needs them."""
    if PLAIN_VALUE.fullmatch(text):
        return text
    # A backslash escapes a quote or, before a quote, another backslash.
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def quoted_override(text: str) -> str:
    """Return an override with its value in quotes if Hydra's grammar needs them, as for `~/a.csv`.

    Values with brackets, commas or quotes are left as they are: they may be meant as that.
    """
    key, has_value, value = text.partition("=")
    if not has_value or PLAIN_VALUE.fullmatch(value) or re.search(r"[\[\](){},$'\"]", value):
        return text
    return f"{key}={quoted_value(value)}" if value.strip() else text


def shell_word(word: str) -> str:
    """Write a word for a POSIX shell, in double quotes if they suffice."""
    if shlex.quote(word) == word or re.search(r'["$`\\!]', word):
        return shlex.quote(word)
    return f'"{word}"'


def format_seeds(seeds: Sequence[int]) -> str:
    """Write seeds as on the command line."""
    return f"seeds=[{','.join(map(str, seeds))}]"


def check_seeds(seeds: Sequence[int] | None) -> None:
    """Raise UserError if `seeds` is an empty list or contains a seed twice."""
    if seeds is None:
        return
    if not seeds:
        raise UserError(
            f"{format_seeds(seeds)}: is empty; give seeds, as in seeds=[0,1,2], or seed=0"
        )
    repeated = [seed for seed in seeds if seeds.count(seed) > 1]
    if repeated:
        raise UserError(f"{format_seeds(seeds)}: duplicate seed {repeated[0]}")


def refuse_both(overrides: Iterable[str], seeds: Sequence[int] | None) -> None:
    """Raise UserError if `seed=` is given together with `seeds=`; it would have no effect."""
    given = [text for text in overrides if text.lstrip("+").startswith("seed=")]
    if seeds is not None and given:
        raise UserError(f"{given[0]} and {format_seeds(seeds)}: set only one of them")
