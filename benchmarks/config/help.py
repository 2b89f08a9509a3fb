"""The text of `python run.py --help`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks import PROJECT_ROOT

CONF = PROJECT_ROOT / "conf"

GROUPS = {
    "model": "the encoder",
    "task": "data and objective, with a training recipe",
    "match": "budget of all models: hidden size as set, or one to meet",
    "recipe": "settings of task and model: minutes or hours per run",
    "experiment": "a named sweep, for -m",
    "debug": "smoke: a few steps; rows are marked as smoke tests",
}

USAGE = """\
rnnbench: RNN, LSTM or GRU for my sequence task, at what cost, and how sure are we?

usage: python run.py [-m] [GROUP=OPTION ...] [KEY=VALUE ...]

Groups and their options"""

EXAMPLES = """\
Examples
  python run.py model=lstm task=imdb                              one run
  python run.py model=gru task=text task.data=reviews.csv         your own data; other kinds:
                                                    series, forecast, lm (docs/own-data.md)
  python run.py model=gru task=shakespeare model.num_layers=2 train.max_seconds=60
  python run.py model=lstm task=sp500 seed=1 results_dir=out      the row goes to out/results.csv
  python run.py -m model=rnn,lstm,gru task=sp500 seed=0,1,2,3,4   a sweep; re-running the same
                                                    command resumes it
  python run.py model=lstm task=sp500 seeds=[0,1,2,3]             one process, multi-seed groups
  python run.py -m model=rnn,lstm,gru task=shakespeare match=parameters match.budget=250000
                                                    equal encoder sizes, within 1 %
  python run.py -m experiment=headline hydra/launcher=local       a named sweep, concurrent runs
  python run.py -m experiment=tune model=rnn,lstm task=sp500      a search with N trials per arm
  python run.py model=rnn task=shakespeare debug=smoke            a smoke test of a few seconds

Every key, its default and its meaning: docs/settings.md; with the values of a pair:
  python run.py model=lstm task=imdb --cfg job
"""


def options(group: str, conf: Path = CONF) -> list[str]:
    """Return the options of a group."""
    return sorted(file.stem for file in (conf / group).glob("*.yaml"))


def recipes(conf: Path = CONF) -> dict[str, list[str]]:
    """Return the recipes other than default, with their tasks."""
    names = [name for name in options("recipe", conf) if name != "default"]
    tasks = {name: options(f"recipe/{name}", conf) for name in names}
    return {name: found for name, found in tasks.items() if found}


def help_text(conf: Path) -> str:
    """Return the help: groups with their options, and examples."""
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
