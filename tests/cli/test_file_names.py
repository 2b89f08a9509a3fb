"""Data in files whose names are not UTF-8."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from scripts import compare
from tests.helpers.calling import MACHINE, rows, start_py

SHOWN = r"text caf\udce9.txt"


def test_a_file_name_that_is_not_utf_8_is_stored_and_repeats_the_run(
    tmp_path: Path, shared_cache: Path
) -> None:
    corpus = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    corpus.write_text("to be or not to be, that is the question\n" * 300)
    results = tmp_path / "results"
    places = [f"task.corpus='{corpus}'", f"results_dir={results}", f"cache_dir={shared_cache}"]
    command = ["model=rnn", "task=shakespeare", "train.max_steps=4", "train.max_epochs=2"]
    command += ["model.hidden_size=8", *MACHINE, *places]
    swept = start_py("-m", *command, "seed=0,1")
    assert swept.returncode == 0, swept.stderr
    assert f"data: {SHOWN}" in swept.stdout + "".join(
        p.read_text() for p in results.glob("sweeps/*/logs/*")
    )
    assert [row["dataset"] for row in rows(results)] == [SHOWN] * 2
    (first, *_) = sorted(results.glob("runs/*/command.txt"))
    line = os.fsdecode(first.read_bytes())
    again = start_py(*shlex.split(line)[2:])
    assert again.returncode == 0, again.stderr
    found = rows(results)
    assert [row["dataset"] for row in found] == [SHOWN] * 3
    assert found[2]["fingerprint"] == found[0]["fingerprint"]
    assert found[2]["test_score"] == found[0]["test_score"]
    assert compare.main([str(results)]) == 0
