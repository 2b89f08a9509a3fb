"""The full IMDB from the hub: reachability, cached copy, invalid responses."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.text import hub, imdb_sources
from tests.helpers.halting import WAIT_SECONDS, wait_until
from tests.helpers.review_folders import load, refusal, reviews, same_content, write_parquet


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Provide an environment without proxies and cached data, whose hub refuses connections."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME"):
        # Set first, so that changes by the code under test are undone as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return monkeypatch


Answer = Callable[[socket.socket], None]


@pytest.fixture
def serve(no_hub: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[bytes]]]:
    """Start a local server as the hub; the returned list contains its requests."""
    servers: list[socket.socket] = []
    connections: list[socket.socket] = []

    def start(answer: Answer) -> list[bytes]:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        no_hub.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        # On a busy machine an answer may be late.
        no_hub.setattr(hub, "PROBE_SECONDS", WAIT_SECONDS)
        requests: list[bytes] = []

        def attend(connection: socket.socket) -> None:
            # The other side hangs up, and the test's end closes all.
            with contextlib.suppress(OSError):
                requests.append(connection.recv(4096))
                answer(connection)

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append(connection)
                    threading.Thread(target=attend, args=[connection], daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        return requests

    yield start
    for each in (*servers, *connections):
        each.close()


def respond(content: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(content)
        connection.close()

    return answer


def stay_silent(connection: socket.socket) -> None:
    """Send no response and keep the connection open."""


def answer_forever(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"y")
        time.sleep(0.05)


class StubHub(types.ModuleType):
    """The used part of `datasets`, with synthetic reviews instead of a download."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__("datasets")
        self.failure = failure
        self.requested: list[str] = []

    def disable_progress_bars(self) -> None:
        """Nothing is shown anyway."""

    def load_dataset(self, name: str) -> dict[str, types.SimpleNamespace]:
        self.requested.append(name)
        if self.failure:
            raise self.failure
        return {
            split: types.SimpleNamespace(
                to_pandas=lambda split=split: reviews(split)[["text", "label"]],
                _fingerprint=f"fingerprint of {split}",
            )
            for split in ("train", "test", "unsupervised")
        }


def test_an_unreachable_hub_is_one_clear_error(no_hub: pytest.MonkeyPatch) -> None:
    text = refusal("hub")
    for part in ("task.source=hub", "http://127.0.0.1:9", "cannot be reached", "stanfordnlp/imdb"):
        assert part in text
    assert "task.source=bundled" in text


def test_auto_without_a_hub_is_the_bundled_subset(no_hub: pytest.MonkeyPatch) -> None:
    found = imdb_sources.find_source("auto")
    assert found.content_key == imdb_sources.find_source("bundled").content_key
    assert "subset" in found.name
    assert "cannot be reached" in found.notice
    assert "SUBSET" in found.notice


def test_the_time_limit_of_the_hub_is_below_five_seconds() -> None:
    assert hub.PROBE_SECONDS < 5


@pytest.mark.parametrize("answer", [stay_silent, answer_forever])
def test_a_hub_that_hangs_is_given_up(
    serve: Callable[[Answer], list[bytes]], no_hub: pytest.MonkeyPatch, answer: Answer
) -> None:
    waits: list[float | None] = []

    class Recorded(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            waits.append(timeout)
            super().join(timeout)

    requests = serve(answer)
    no_hub.setattr(hub, "PROBE_SECONDS", 0.6)
    no_hub.setattr(hub.threading, "Thread", Recorded)
    for wanted, expected in (("hub", "cannot be reached"), ("auto", "SUBSET")):
        started = time.monotonic()
        text = refusal("hub") if wanted == "hub" else imdb_sources.find_source(wanted).notice
        assert expected in text
        assert time.monotonic() - started > 0.5
    assert waits == [0.6, 0.6]
    wait_until(lambda: len(requests) == 2, "both requests")


def test_the_request_names_the_data_set(serve: Callable[[Answer], list[bytes]]) -> None:
    requests = serve(respond(b"HTTP/1.1 200 OK\r\n\r\n"))
    assert hub.is_reachable(imdb_sources.HUB_NAME)
    assert requests[0].startswith(b"HEAD /api/datasets/stanfordnlp/imdb ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"hello\n",
    ],
)
def test_a_hub_with_invalid_responses_counts_as_unreachable(
    serve: Callable[[Answer], list[bytes]], content: bytes
) -> None:
    serve(respond(content))
    assert not hub.is_reachable(imdb_sources.HUB_NAME)


@pytest.mark.parametrize("address", ["not-an-address", "http://with space"])
def test_an_invalid_hub_address_counts_as_unreachable(
    no_hub: pytest.MonkeyPatch, address: str
) -> None:
    no_hub.setenv("HF_ENDPOINT", address)
    assert not hub.is_reachable(imdb_sources.HUB_NAME)


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_offline_mode_sends_no_request(
    serve: Callable[[Answer], list[bytes]], no_hub: pytest.MonkeyPatch, name: str
) -> None:
    requests = serve(respond(b"HTTP/1.1 200 OK\r\n\r\n"))
    no_hub.setenv(name, "1")
    assert not hub.is_reachable(imdb_sources.HUB_NAME)
    assert not requests


@pytest.mark.parametrize("wanted", ["hub", "auto"])
def test_a_reachable_hub_gives_the_full_data(
    serve: Callable[[Answer], list[bytes]],
    no_hub: pytest.MonkeyPatch,
    tmp_path: Path,
    wanted: str,
) -> None:
    serve(respond(b"HTTP/1.1 200 OK\r\n\r\n"))
    stub = StubHub()
    no_hub.setitem(sys.modules, "datasets", stub)
    task = load(Path(wanted), tmp_path / "cache")
    assert stub.requested == ["stanfordnlp/imdb"]
    assert (task.data.name, task.data.notices) == ("IMDB (stanfordnlp/imdb)", ())
    same = load(write_parquet(tmp_path / "data", movie="nowhere"), tmp_path / "cache")
    assert same_content(task) == same_content(same)
    assert "HF_HUB_OFFLINE" not in os.environ


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("HF_HOME", "datasets"),
        ("HF_DATASETS_CACHE", "."),
        ("XDG_CACHE_HOME", "huggingface/datasets"),
    ],
)
def test_cached_data_is_used_without_a_request(
    no_hub: pytest.MonkeyPatch, tmp_path: Path, variable: str, place: str
) -> None:
    no_hub.delenv("HF_HOME")
    no_hub.setenv(variable, str(tmp_path))
    copy = tmp_path / place / "stanfordnlp___imdb/plain_text/0.0.0/e6281661"
    copy.mkdir(parents=True)
    (copy / "imdb-train.arrow").write_bytes(b"")
    no_hub.setitem(sys.modules, "datasets", StubHub())
    assert imdb_sources.find_source("hub").name == "IMDB (stanfordnlp/imdb)"
    # Otherwise datasets queries the hub first.
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"


@pytest.mark.parametrize("failure", [ConnectionError("the line broke\nmore"), ValueError()])
def test_a_failed_download_is_one_line(
    serve: Callable[[Answer], list[bytes]], no_hub: pytest.MonkeyPatch, failure: Exception
) -> None:
    serve(respond(b"HTTP/1.1 200 OK\r\n\r\n"))
    no_hub.setitem(sys.modules, "datasets", StubHub(failure))
    reason = "the line broke" if str(failure) else "ValueError"
    assert f"stanfordnlp/imdb could not be loaded from the hub ({reason})" in refusal("hub")
    notice = imdb_sources.find_source("auto").notice
    assert reason in notice
    assert "SUBSET" in notice
    assert len(notice.splitlines()) == 1
