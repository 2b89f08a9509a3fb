"""Checks of the SLURM launcher that need no SLURM."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.config.launchers import SlurmSettings
from benchmarks.errors import UserError
from benchmarks.sweeps.launchers.slurm import parameters_of
from benchmarks.sweeps.launchers.slurm_job import has_ended
from tests.helpers.halting import wait_until


@pytest.mark.parametrize(
    "settings",
    [
        SlurmSettings(partition="gpu\ntouch /tmp/owned"),
        SlurmSettings(account="a\rb"),
        SlurmSettings(qos="a\x00b"),
        SlurmSettings(parameters={"comment": "a\nb"}),
        SlurmSettings(parameters={"comment\nrm": "b"}),
    ],
)
def test_settings_cannot_add_lines_to_the_script(settings: SlurmSettings) -> None:
    with pytest.raises(UserError, match="must be one line"):
        parameters_of(settings)


def test_settings_stay_one_argument_in_the_script() -> None:
    slurm = pytest.importorskip("submitit.slurm.slurm", reason="submitit is not installed")
    settings = SlurmSettings(partition="a b; $(touch x)", parameters={"comment": "`x` 'y'"})
    script = slurm._make_sbatch_string("true", "/folder", **parameters_of(settings))
    lines = [line for line in script.splitlines() if "touch" in line or "`x`" in line]
    assert lines == [
        """#SBATCH --comment='`x` '"'"'y'"'"''""",
        "#SBATCH --partition='a b; $(touch x)'",
    ]


def test_a_warning_before_the_run_starts_is_refused() -> None:
    with pytest.raises(UserError, match=r"grace_seconds=60: must be at most 15 with .*minutes=1"):
        parameters_of(SlurmSettings(minutes=1))
    assert parameters_of(SlurmSettings(minutes=2))["signal_delay_s"] == 60


def test_has_ended_does_not_reap_the_child() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not has_ended(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    wait_until(lambda: has_ended(child.pid), "the end of the child")
    assert child.wait() == 1
    assert has_ended(child.pid)
