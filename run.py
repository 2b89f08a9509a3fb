"""Train and measure one model on one task, or run a sweep.

python run.py model=lstm task=imdb
python run.py -m model=rnn,lstm,gru task=imdb,shakespeare,sp500 seed=0,1,2
python run.py --help
"""

from benchmarks.system.program import run_script


def main() -> int:
    """Run the command line and return its exit code."""
    import hydra
    from omegaconf import DictConfig

    from benchmarks import cli

    @hydra.main(version_base="1.3", config_path="conf", config_name="config")
    def show(composed: DictConfig) -> None:
        """Print --cfg, --info, --hydra-help or a completion; `benchmarks.cli` does the rest."""

    return cli.main(show)


if __name__ == "__main__":
    run_script(main, output_is_result=False)
