"""CPU time of other processes."""

from __future__ import annotations

import pytest

from benchmarks.system.load import ExternalLoad


def test_own_work_is_not_that_of_others() -> None:
    load = ExternalLoad()
    own = sum(i * i for i in range(2_000_000))
    taken = load.cores() * load.seconds
    others = ExternalLoad._cpu_seconds() - load._before[0]
    assert own
    assert taken == pytest.approx(max(0.0, others), abs=0.05)
