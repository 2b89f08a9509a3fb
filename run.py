"""Train and measure one pair of model and task, or sweep over many.

python run.py model=lstm task=imdb
python run.py -m model=rnn,lstm,gru task=imdb,shakespeare,sp500 seed=0,1,2
python run.py --help
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from benchmarks import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(composed: DictConfig) -> None:
    """Run one composed configuration."""
    cli.run_one(composed)


if __name__ == "__main__":
    sys.exit(cli.main(run, Path(__file__).resolve().parent / "conf"))
