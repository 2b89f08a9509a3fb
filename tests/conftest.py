"""What all tests share: where things are, and a cache and results of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.system.terminal import print_log_messages

# Before torch is imported: its profiler's library must not log into what tests read.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for prepared data that lives as long as the test session."""
    return tmp_path_factory.mktemp("cache")


HEARD = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """A shell starts its background deaf to Ctrl-C and nohup to SIGHUP, and a run keeps to that."""
    ignored = [number for number in HEARD if signal.getsignal(number) == signal.SIG_IGN]
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
    """Threads that wait for one another are slow beside any other busy process.

    Before every test, as runs within this process set as many as they are told to.
    """
    import torch

    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, the fault tests, and among them those on SLURM."""
    items.sort(key=lambda item: ("slurm" not in item.path.stem, "faults" not in item.path.parts))


def pytest_configure(config: Any) -> None:
    """Make room for what the fault tests count: kind, injected, lost, wrong."""
    config.faults = []


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process of parallel testing has counted."""
    node.config.faults += getattr(node, "workeroutput", {}).get("faults", [])


def pytest_sessionfinish(session: Any) -> None:
    """Give what this process has counted to the one that shows it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = session.config.faults


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: Any) -> None:
    """Show what was injected, lost and wrong."""
    if config.faults:
        terminalreporter.section("faults")
        width = max(len(kind) for kind, *_ in config.faults)
        terminalreporter.write_line(f"{'fault':{width}}  injected  lost  wrong")
        for kind, injected, lost, wrong in config.faults:
            terminalreporter.write_line(f"{kind:{width}}  {injected:8}  {lost:4}  {wrong:5}")
