"""Fixtures and hooks of all tests."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.system.terminal import print_log_messages
from tests.helpers.calling import warm_starts

# Before torch is imported: its profiler's library must not log into what tests read.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache directory for prepared data of the test session, of all its processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    cache = folder / "shared-cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(scope="session", autouse=True)
def _warm_starts_end() -> Iterator[None]:
    """End the server of warm starts, if a test has started it."""
    yield
    if warm_starts.cache_info().currsize:
        warm_starts().stop()


HANDLED = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


@pytest.fixture(scope="session", autouse=True)
def _signals_are_handled() -> Iterator[None]:
    """Handle signals that a background shell or nohup ignores; runs keep ignored signals."""
    ignored = [number for number in HANDLED if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        is_interrupt = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session", autouse=True)
def _log_messages_are_printed() -> None:
    """Print notes and warnings, as the entry points do."""
    print_log_messages()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Set one thread before every test, because runs in this process set others."""
    import torch

    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slowest tests, the fault tests on SLURM first."""
    items.sort(key=lambda item: ("slurm" not in item.path.stem, "faults" not in item.path.parts))


def pytest_collection_finish() -> None:
    """Keep imported modules out of the search for garbage: a quarter of a composition's time."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: Any) -> None:
    """Create the list of fault counts: kind, injected, lost, wrong."""
    config.faults = []


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the counts of a parallel test process."""
    node.config.faults += getattr(node, "workeroutput", {}).get("faults", [])


def pytest_sessionfinish(session: Any) -> None:
    """Send the counts of this process to the main process."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = session.config.faults


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: Any) -> None:
    """Print the fault counts."""
    if config.faults:
        terminalreporter.section("faults")
        width = max(len(kind) for kind, *_ in config.faults)
        terminalreporter.write_line(f"{'fault':{width}}  injected  lost  wrong")
        for kind, injected, lost, wrong in config.faults:
            terminalreporter.write_line(f"{kind:{width}}  {injected:8}  {lost:4}  {wrong:5}")
