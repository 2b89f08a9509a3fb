"""Where IMDB reviews come from: folders of two formats, the hub, and what may be wrong there."""

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

import pandas as pd
import pytest
from places import ROOT

from benchmarks.cache import DiskCache
from tasks import imdb_sources
from tasks.base import DataDescription, DataError
from tasks.imdb import ImdbSettings, ImdbTask
from tasks.imdb_preparation import tokenise

WORDS = ("dull", "grand")  # what the made-up reviews of label 0 and 1 say
LABEL_NAMES = ("neg", "pos")


def reviews(split: str, count: int = 60) -> pd.DataFrame:
    """Make up reviews; the three of a film have consecutive numbers."""
    rows = [
        {
            "id": f"{split}/{LABEL_NAMES[label]}/{n}_{1 + 8 * label}",
            "text": f"{WORDS[label]} film {n} of {split}, naïve<br />",
            "label": label,
            "movie": f"tt{n // 3}",
        }
        for label in (0, 1)
        for n in range(count // 2)
    ]
    return pd.DataFrame(rows)


def write_parquet(folder: Path, *, movie: str = "column") -> Path:
    """Write the parquet form; the film is in a `column`, in a `table` of its own, or `nowhere`."""
    frames = {split: reviews(split) for split in ("train", "test")}
    folder.mkdir(parents=True)
    for split, frame in frames.items():
        kept = frame if movie == "column" else frame.drop(columns="movie")
        kept.to_parquet(folder / f"{split}.parquet")
    if movie == "table":
        pd.concat(frames.values())[["id", "movie"]].to_parquet(folder / "movies.parquet")
    return folder


def write_tree(folder: Path, *, urls: bool = True) -> Path:
    """Write the official form: SPLIT/LABEL/ID_RATING.txt, a film's URL in line ID of urls_LABEL."""
    for split in ("train", "test"):
        for label, rows in reviews(split).groupby("label"):
            name = LABEL_NAMES[int(str(label))]
            part = folder / split / name
            part.mkdir(parents=True)
            for row in rows.itertuples():
                (folder / f"{row.id}.txt").write_text(str(row.text), encoding="utf-8")
            if urls:
                lines = [f"http://www.imdb.com/title/{movie}/usercomments" for movie in rows.movie]
                (folder / split / f"urls_{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def load(folder: Path, cache: Path) -> ImdbTask:
    task = ImdbSettings(source=str(folder), minimum_count=1).load(DiskCache(cache))
    assert isinstance(task, ImdbTask)
    return task


def refusal(wanted: Path | str) -> str:
    """Return the one line in which a source is refused."""
    with pytest.raises(DataError) as caught:
        tokenise(imdb_sources.find_source(str(wanted)).read(), 100, 1)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# --- folders


@pytest.mark.parametrize("movie", ["column", "table", "nowhere"])
def test_parquet_is_read_as_it_was_written(tmp_path: Path, movie: str) -> None:
    found = imdb_sources.find_source(str(write_parquet(tmp_path / "mine", movie=movie)))
    assert (found.name, found.notice) == ("IMDB (folder mine)", "")
    for split, frame in found.read().items():
        written = reviews(split)
        assert frame["text"].tolist() == written["text"].tolist()
        assert frame["label"].tolist() == written["label"].tolist()
        if movie == "nowhere":
            assert frame["movie"].isna().all()
        else:
            assert frame["movie"].tolist() == written["movie"].tolist()


@pytest.mark.parametrize("urls", [True, False])
def test_the_tree_is_read_as_it_was_written(tmp_path: Path, urls: bool) -> None:
    frames = imdb_sources.find_source(str(write_tree(tmp_path / "aclImdb", urls=urls))).read()
    assert set(frames) == {"train", "test"}
    for split, frame in frames.items():
        written = reviews(split).set_index("text")
        assert sorted(frame["text"]) == sorted(written.index)
        assert frame["label"].tolist() == written.loc[frame["text"], "label"].tolist()
        films = written.loc[frame["text"], "movie"]
        if urls:
            assert frame["movie"].str.split("/").str[-2].tolist() == films.tolist()
        else:
            assert frame["movie"].isna().all()


def same_content(task: ImdbTask) -> tuple[object, ...]:
    """Return what must not depend on the container: provenance but the name, and the reviews."""
    data = task.data
    return (
        data.sha256,
        data.split,
        *(
            (reviews.tokens.tolist(), reviews.offsets.tolist(), reviews.labels.tolist())
            for reviews in task.reviews.values()
        ),
    )


def test_the_same_reviews_are_the_same_data_in_every_format(tmp_path: Path) -> None:
    folders = [
        write_parquet(tmp_path / "column", movie="column"),
        write_parquet(tmp_path / "table", movie="table"),
        write_tree(tmp_path / "tree"),
    ]
    first, *others = (same_content(load(folder, tmp_path / "cache")) for folder in folders)
    assert all(other == first for other in others)


def test_films_unknown_changes_the_split_and_the_description_not_the_hash(tmp_path: Path) -> None:
    def described(folder: Path) -> DataDescription:
        return load(folder, tmp_path / "cache").data

    known = described(write_parquet(tmp_path / "known"))
    unknown = [
        described(write_parquet(tmp_path / "parquet", movie="nowhere")),
        described(write_tree(tmp_path / "tree", urls=False)),
    ]
    for data in unknown:
        assert data.sha256 == known.sha256
        assert "no film or text" in known.split
        assert "films unknown" in data.split


def test_content_decides_about_the_cache_not_the_place(tmp_path: Path) -> None:
    def key(folder: Path) -> str:
        return imdb_sources.find_source(str(folder)).content_key

    first, moved = (write_parquet(tmp_path / place / "data") for place in ("here", "there"))
    assert key(moved) == key(first)
    reviews("train", 30).to_parquet(moved / "train.parquet")
    assert key(moved) != key(first)
    films = write_parquet(tmp_path / "films", movie="table")
    before = key(films)
    reviews("train")[["id", "movie"]].to_parquet(films / "movies.parquet")
    assert key(films) != before
    tree = write_tree(tmp_path / "tree")
    before = key(tree)
    (tree / "train/pos/0_9.txt").write_text("changed")
    assert key(tree) != before


def test_the_full_data_is_read_with_its_films() -> None:
    folder = ROOT.parent / "shared" / "data" / "imdb"
    if not folder.is_dir():
        pytest.skip("the full IMDB is not in ../shared/data/imdb")
    frames = imdb_sources.find_source(str(folder)).read()
    # Sizes and numbers of films as in the data's own README.
    films = {split: frame["movie"].nunique() for split, frame in frames.items()}
    assert films == {"train": 3456, "test": 3581}
    for frame in frames.values():
        assert frame["label"].value_counts().to_dict() == {0: 12_500, 1: 12_500}
        assert frame["movie"].notna().all()


# --- folders that cannot be used


TRAIN, TEST, MOVIES = "train.parquet", "test.parquet", "movies.parquet"
BreakFolder = Callable[[Path], None]
Fault = tuple[BreakFolder, str, list[str]]
"""How to break a folder, the file to blame, and what to say of it."""


def rewrite(change: Callable[[pd.DataFrame], pd.DataFrame], name: str = TRAIN) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        change(pd.read_parquet(folder / name)).to_parquet(folder / name)

    return break_folder


def set_value(column: str, value: object) -> BreakFolder:
    """Set row 5 of a column of train.parquet."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[column].tolist()
        values[5] = value
        return frame.assign(**{column: values})

    return rewrite(change)


def truncate(name: str, keep: float) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])

    return break_folder


PARQUET_FAULTS: dict[str, Fault] = {
    "no text": (rewrite(lambda f: f.drop(columns="text")), TRAIN, ["no column 'text'"]),
    "no label": (rewrite(lambda f: f.drop(columns="label")), TRAIN, ["no column 'label'"]),
    "label 2": (set_value("label", 2), TRAIN, ["row 5", "not 2"]),
    "label -1": (set_value("label", -1), TRAIN, ["row 5", "not -1"]),
    "label missing": (set_value("label", None), TRAIN, ["row 5", "label"]),
    "label a word": (rewrite(lambda f: f.assign(label="good")), TRAIN, ["row 0", "not good"]),
    "text empty": (set_value("text", ""), TRAIN, ["row 5", "text is empty"]),
    "text blank": (set_value("text", " \n"), TRAIN, ["row 5", "text is empty"]),
    "text missing": (set_value("text", None), TRAIN, ["row 5", "text"]),
    "one label": (rewrite(lambda f: f.assign(label=1)), TRAIN, ["both labels"]),
    "one label in test": (rewrite(lambda f: f.assign(label=0), TEST), TEST, ["both labels"]),
    "no rows": (rewrite(lambda f: f.head(0)), TRAIN, ["both labels"]),
    "train cut short": (truncate(TRAIN, 0.5), TRAIN, ["cannot be read as parquet"]),
    "test cut short": (truncate(TEST, 0.9), TEST, ["cannot be read as parquet"]),
    "no bytes": (truncate(TRAIN, 0), TRAIN, ["cannot be read as parquet"]),
    "films cut short": (truncate(MOVIES, 0.5), MOVIES, ["cannot be read as parquet"]),
    "films without id": (rewrite(lambda f: f.drop(columns="id"), MOVIES), MOVIES, ["id"]),
    "an id of two films": (
        rewrite(lambda f: pd.concat([f, f.head(1).assign(movie="other")]), MOVIES),
        MOVIES,
        ["train/neg/0_1"],
    ),
}


@pytest.mark.parametrize("fault", PARQUET_FAULTS)
def test_faults_in_parquet_are_named_in_one_line(tmp_path: Path, fault: str) -> None:
    break_folder, file, expected = PARQUET_FAULTS[fault]
    folder = write_parquet(tmp_path / "data", movie="table")
    break_folder(folder)
    text = refusal(folder)
    for part in (str(folder / file), *expected):
        assert part in text


def replace(name: str, content: bytes) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return break_folder


def empty(*parts: str) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        for part in parts:
            for file in (folder / part).glob("*.txt"):
                file.unlink()

    return break_folder


TREE_FAULTS: dict[str, Fault] = {
    "review not UTF-8": (replace("train/pos/7_9.txt", b"\xe9"), "train/pos/7_9.txt", ["UTF-8"]),
    "films not UTF-8": (replace("train/urls_pos.txt", b"\xe9"), "train/urls_pos.txt", ["UTF-8"]),
    "review empty": (replace("test/neg/3_1.txt", b""), "test/neg/3_1.txt", ["empty"]),
    "no reviews": (empty("test/neg", "test/pos"), "test", ["no .txt files"]),
    "one label": (empty("train/neg"), "train", ["both labels"]),
}


@pytest.mark.parametrize("fault", TREE_FAULTS)
def test_faults_in_the_tree_are_named_in_one_line(tmp_path: Path, fault: str) -> None:
    break_folder, file, expected = TREE_FAULTS[fault]
    folder = write_tree(tmp_path / "data")
    break_folder(folder)
    text = refusal(folder)
    for part in (str(folder / file), *expected):
        assert part in text


def test_a_missing_folder_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(DataError) as caught:
        ImdbSettings(source=str(missing)).check()
    for text in (str(caught.value), refusal(missing)):
        assert f"task.source={missing}: there is no such folder" in text
        assert "allowed: auto, hub, bundled or a folder" in text


@pytest.mark.parametrize("source", ["auto", "hub", "bundled", str(ROOT)])
def test_words_and_folders_pass_the_check(source: str) -> None:
    ImdbSettings(source=source).check()


@pytest.mark.parametrize("files", [[], ["train.parquet"], ["train/pos", "train/neg", "test/pos"]])
def test_a_folder_without_all_parts_says_what_belongs_there(
    tmp_path: Path, files: list[str]
) -> None:
    for name in files:
        if name.endswith(".parquet"):
            reviews("train").to_parquet(tmp_path / name)
        else:
            (tmp_path / name).mkdir(parents=True)
    text = refusal(tmp_path)
    assert f"task.source={tmp_path}" in text
    assert "train.parquet and test.parquet" in text
    assert "test/pos and test/neg" in text


# --- the hub


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine without proxies, without a copy of the data, whose hub refuses connections."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME"):
        # Set first, so that what the code under test leaves there is undone as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return monkeypatch


Answer = Callable[[socket.socket], None]


@pytest.fixture
def serve(no_hub: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[bytes]]]:
    """Make the hub a local server; the list it gives holds what was asked."""
    servers: list[socket.socket] = []
    connections: list[socket.socket] = []

    def start(answer: Answer) -> list[bytes]:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        no_hub.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        asked: list[bytes] = []

        def attend(connection: socket.socket) -> None:
            # The other side hangs up, and the test's end closes all.
            with contextlib.suppress(OSError):
                asked.append(connection.recv(4096))
                answer(connection)

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append(connection)
                    threading.Thread(target=attend, args=[connection], daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        return asked

    yield start
    for each in (*servers, *connections):
        each.close()


def say(content: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(content)
        connection.close()

    return answer


def stay_silent(connection: socket.socket) -> None:
    """Answer nothing and keep the connection open."""


def answer_forever(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"y")
        time.sleep(0.05)


class StubHub(types.ModuleType):
    """The part of `datasets` that is used, with made-up reviews instead of a download."""

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


def test_the_wait_for_the_hub_leaves_auto_its_five_seconds() -> None:
    assert imdb_sources.PROBE_SECONDS < 5


@pytest.mark.parametrize("answer", [stay_silent, answer_forever])
def test_a_hub_that_hangs_is_given_up(
    serve: Callable[[Answer], list[bytes]], no_hub: pytest.MonkeyPatch, answer: Answer
) -> None:
    no_hub.setattr(imdb_sources, "PROBE_SECONDS", 0.6)
    asked = serve(answer)
    for wanted, expected in (("hub", "cannot be reached"), ("auto", "SUBSET")):
        started = time.monotonic()
        text = refusal("hub") if wanted == "hub" else imdb_sources.find_source(wanted).notice
        assert expected in text
        assert 0.5 < time.monotonic() - started < 0.6 + 2
    assert len(asked) == 2


def test_the_hub_is_asked_for_the_data_set(serve: Callable[[Answer], list[bytes]]) -> None:
    asked = serve(say(b"HTTP/1.1 200 OK\r\n\r\n"))
    assert imdb_sources.hub_is_reachable()
    assert asked[0].startswith(b"HEAD /api/datasets/stanfordnlp/imdb ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"hello\n",
    ],
)
def test_a_hub_that_answers_wrongly_counts_as_unreachable(
    serve: Callable[[Answer], list[bytes]], content: bytes
) -> None:
    serve(say(content))
    assert not imdb_sources.hub_is_reachable()


@pytest.mark.parametrize("address", ["not-an-address", "http://with space"])
def test_a_hub_address_that_is_none_counts_as_unreachable(
    no_hub: pytest.MonkeyPatch, address: str
) -> None:
    no_hub.setenv("HF_ENDPOINT", address)
    assert not imdb_sources.hub_is_reachable()


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_offline_mode_asks_nobody(
    serve: Callable[[Answer], list[bytes]], no_hub: pytest.MonkeyPatch, name: str
) -> None:
    asked = serve(say(b"HTTP/1.1 200 OK\r\n\r\n"))
    no_hub.setenv(name, "1")
    assert not imdb_sources.hub_is_reachable()
    assert not asked


@pytest.mark.parametrize("wanted", ["hub", "auto"])
def test_a_reachable_hub_gives_the_full_data(
    serve: Callable[[Answer], list[bytes]],
    no_hub: pytest.MonkeyPatch,
    tmp_path: Path,
    wanted: str,
) -> None:
    serve(say(b"HTTP/1.1 200 OK\r\n\r\n"))
    stub = StubHub()
    no_hub.setitem(sys.modules, "datasets", stub)
    task = load(Path(wanted), tmp_path / "cache")
    assert stub.requested == ["stanfordnlp/imdb"]
    assert (task.data.name, task.data.notice) == ("IMDB (stanfordnlp/imdb)", "")
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
def test_a_copy_of_the_hub_s_data_is_used_without_asking(
    no_hub: pytest.MonkeyPatch, tmp_path: Path, variable: str, place: str
) -> None:
    no_hub.delenv("HF_HOME")
    no_hub.setenv(variable, str(tmp_path))
    copy = tmp_path / place / "stanfordnlp___imdb/plain_text/0.0.0/e6281661"
    copy.mkdir(parents=True)
    (copy / "imdb-train.arrow").write_bytes(b"")
    no_hub.setitem(sys.modules, "datasets", StubHub())
    assert imdb_sources.find_source("hub").name == "IMDB (stanfordnlp/imdb)"
    # Or datasets would ask the hub for news first.
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"


@pytest.mark.parametrize("failure", [ConnectionError("the line broke\nmore"), ValueError()])
def test_a_failed_download_is_one_line(
    serve: Callable[[Answer], list[bytes]], no_hub: pytest.MonkeyPatch, failure: Exception
) -> None:
    serve(say(b"HTTP/1.1 200 OK\r\n\r\n"))
    no_hub.setitem(sys.modules, "datasets", StubHub(failure))
    reason = "the line broke" if str(failure) else "ValueError"
    assert f"stanfordnlp/imdb could not be loaded from the hub ({reason})" in refusal("hub")
    notice = imdb_sources.find_source("auto").notice
    assert reason in notice
    assert "SUBSET" in notice
    assert len(notice.splitlines()) == 1
