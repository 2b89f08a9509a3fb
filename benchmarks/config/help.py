"""The text of `python run.py --help`: what can be chosen, read from the configuration folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks import PROJECT_ROOT

CONF = PROJECT_ROOT / "conf"

GROUPS = {
    "model": "the encoder",
    "task": "data and question, with a training recipe",
    "match": "what all models are given alike: hidden size as set, or a budget",
    "experiment": "a named sweep, for -m",
    "debug": "smoke: does it run at all? Rows are marked",
}

USAGE = """\
rnnbench: RNN, LSTM or GRU for my sequence task, at what cost, and how sure are we?

usage: python run.py [-m] [GROUP=OPTION ...] [KEY=VALUE ...]

Groups and what can be chosen"""

EXAMPLES = """\
Examples
  python run.py model=lstm task=imdb                              one pair
  python run.py model=bigru task=imdb task.source=FOLDER          on your own copy of the data
  python run.py model=gru task=shakespeare model.num_layers=2 train.max_seconds=60
  python run.py model=lstm task=sp500 seed=1 results_dir=out      the row goes to out/results.csv
  python run.py -m model=rnn,lstm,gru task=sp500 seed=0,1,2       a sweep, one after the other;
                                                    the same command again continues it
  python run.py model=lstm task=sp500 seeds=[0,1,2,3]             seeds, together where faster
  python run.py -m model=rnn,lstm,gru task=shakespeare match=parameters match.budget=250000
                                                    encoders of one size, within 1 %
  python run.py -m experiment=headline hydra/launcher=local       a named sweep, several at once
  python run.py -m experiment=tune model=rnn,lstm task=sp500      a search, alike for both
  python run.py model=rnn task=shakespeare debug=smoke            seconds, on any pair

Every key, its default and its meaning: docs/settings.md; with the values of a pair:
  python run.py model=lstm task=imdb --cfg job
"""


def options(group: str, conf: Path = CONF) -> list[str]:
    """List what can be chosen in a group."""
    return sorted(file.stem for file in (conf / group).glob("*.yaml"))


def help_text(conf: Path) -> str:
    """List the groups of a configuration folder and their options, and examples to paste."""
    listed: Any = OmegaConf.to_container(OmegaConf.load(conf / "config.yaml"))
    defaults = {
        k: v for entry in listed["defaults"] if not isinstance(entry, str) for k, v in entry.items()
    }
    lines = [USAGE]
    for group, meaning in GROUPS.items():
        found = options(group, conf)
        if found:
            lines.append(f"  {group + '=':<12}{' | '.join(found)}")
            default = defaults.get(group)
            lines.append(f"  {'':<12}{meaning}" + (f"; default {default}" if default else ""))
    return "\n".join([*lines, "", EXAMPLES])
