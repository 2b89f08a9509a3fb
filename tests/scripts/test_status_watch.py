"""Status watches a real sweep from the first checkpoint to the end."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.helpers.halting import WAIT_SECONDS, Halt, wait_until
from tests.helpers.paths import ROOT


def test_a_real_sweep_is_watched_to_its_end(tmp_path: Path, shared_cache: Path) -> None:
    """The training waits at its first checkpoint until status and watch have seen it."""
    results, halt = tmp_path / "results", Halt(tmp_path / "halt", is_thread=True)
    sweep = [sys.executable, "run.py", "-m", "model=rnn,gru", "task=sp500", "train.threads=1"]
    sweep += ["train.device=cpu", "hydra/launcher=local", "hydra.launcher.jobs=1"]
    sweep += [f"results_dir={results}", f"cache_dir={shared_cache}"]
    sweep += ["train.max_epochs=100", "train.patience=null", "train.checkpoint_seconds=0.1"]
    status = [sys.executable, "scripts/status.py", str(results)]
    environment = os.environ | halt.environment()
    with contextlib.ExitStack() as processes:
        said = processes.enter_context((tmp_path / "said").open("w"))
        running = subprocess.Popen(sweep, cwd=ROOT, stdout=said, stderr=said, env=environment)
        processes.enter_context(running)
        processes.callback(running.kill)
        halt.wait(running)

        def is_seen() -> re.Match[str] | None:
            seen = subprocess.run(status, cwd=ROOT, capture_output=True, text=True).stdout
            return re.search(r"model=\w+ .* running .* \d+/\d{4,} .* \d .* ago ", seen)

        wait_until(is_seen, "the progress of a cell")
        watch = subprocess.Popen(
            [*status, "--watch"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.enter_context(watch)
        processes.callback(watch.kill)
        assert watch.stdout is not None
        assert watch.stdout.readline().startswith("sweep ")
        assert re.search("[01]/2 done.*, 1 running", watch.stdout.readline())
        halt.release()
        watched, errors = watch.communicate(timeout=WAIT_SECONDS)
        assert running.wait(WAIT_SECONDS) == 0
    assert watch.returncode == 0, errors
    assert "no process runs" not in watched
    assert "2/2 done" in watched
    assert len(re.findall(r"model=\w+ +│ ok ", watched.rpartition("2/2 done")[2])) == 2
