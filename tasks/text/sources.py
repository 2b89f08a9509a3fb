"""Where IMDB reviews come from: the bundled subset, a folder, or the Hugging Face hub."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = Path(__file__).parents[1] / "data" / "imdb"
HUB_NAME = "stanfordnlp/imdb"
PROBE_SECONDS = 4.0
"""How long to wait for the hub's first answer before calling it unreachable."""

LABELS = {"neg": 0, "pos": 1}


@dataclass(frozen=True)
class Source:
    """Reviews that can be read, known by a hash of their bytes before they are.

    Attributes:
        name: what to call the data in tables.
        content_key: hash of what `read` will read.
        read: gives {"train": frame, "test": frame} with the columns text, label and movie; movie is
            missing where the source does not know the film.
        notice: a line the user must see; may be empty.
    """

    name: str
    content_key: str
    read: Callable[[], dict[str, pd.DataFrame]]
    notice: str = ""


def find_source(wanted: str) -> Source:
    """Choose a source by the value of `task.source`.

    Raises:
        DataError: a folder without usable files, or a hub that cannot be reached.
    """
    if wanted == "bundled":
        return bundled()
    if wanted == "hub":
        if not hub_is_cached() and not hub_is_reachable():
            raise DataError(
                f"task.source=hub: {hub_address()} cannot be reached and {HUB_NAME} is not in "
                f"the local cache; use task.source=bundled or task.source=FOLDER"
            )
        return hub()
    if wanted == "auto":
        if hub_is_cached() or hub_is_reachable():
            try:
                return hub()
            except DataError as error:
                return bundled(f"{error}; ")
        return bundled("the Hugging Face hub cannot be reached; ")
    return folder(Path(wanted))


def bundled(reason: str = "") -> Source:
    """The 5,000 + 5,000 reviews that come with rnnbench."""
    return Source(
        "IMDB subset 5k+5k (bundled)",
        hash_files([BUNDLED / "train.parquet", BUNDLED / "test.parquet"]),
        lambda: read_parquet(BUNDLED),
        notice=f"{reason}this run uses the bundled SUBSET of IMDB, 5,000 + 5,000 of its 25,000 + "
        "25,000 reviews; its accuracy is not that of the full data set",
    )


def folder(path: Path) -> Source:
    """A folder with train.parquet and test.parquet, or the official aclImdb tree."""
    if not path.is_dir():
        raise DataError(
            f"task.source={path}: there is no such folder (allowed: auto, hub, bundled or a folder)"
        )
    parquet = [path / "train.parquet", path / "test.parquet"]
    if all(file.is_file() for file in parquet):
        movies = path / "movies.parquet"
        files = [*parquet, movies] if movies.is_file() else parquet
        return Source(f"IMDB (folder {path.name})", hash_files(files), lambda: read_parquet(path))
    tree = [path / split / label for split in ("train", "test") for label in LABELS]
    if all(part.is_dir() for part in tree):
        files = sorted(file for part in tree for file in part.glob("*.txt"))
        files += sorted(path.glob("train/urls_*.txt"))
        return Source(f"IMDB (folder {path.name})", hash_files(files), lambda: read_tree(path))
    raise DataError(
        f"task.source={path}: neither train.parquet and test.parquet nor the aclImdb folders "
        f"train/pos, train/neg, test/pos and test/neg are in it"
    )


def hash_files(files: list[Path]) -> str:
    """Hash names and bytes of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read_parquet(path: Path) -> dict[str, pd.DataFrame]:
    """Read a folder's parquet files; the film comes from a column or from movies.parquet by id."""

    frames = {}
    for split in ("train", "test"):
        file = path / f"{split}.parquet"
        frame = load_parquet(file)
        for column in ("text", "label"):
            if column not in frame:
                found = ", ".join(map(str, frame.columns))
                raise DataError(f"{file}: no column '{column}'; the columns are: {found}")
        frames[split] = frame
    if (path / "movies.parquet").is_file():
        movies = load_parquet(path / "movies.parquet")
        if not {"id", "movie"} <= set(movies):
            raise DataError(f"{path / 'movies.parquet'}: the columns id and movie are needed")
        if movies["id"].duplicated().any():
            twice = movies["id"][movies["id"].duplicated()].iloc[0]
            raise DataError(f"{path / 'movies.parquet'}: the id {twice} occurs twice")
        known = movies.set_index("id")["movie"]
        for frame in frames.values():
            if "id" in frame and "movie" not in frame:
                frame["movie"] = frame["id"].map(known)
    return {split: checked(frame, path / f"{split}.parquet") for split, frame in frames.items()}


def load_parquet(file: Path) -> pd.DataFrame:
    """Read one parquet file."""
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{file}: cannot be read as parquet ({reason})") from error


def checked(frame: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """Return text, label and movie, once they are what they should be."""
    import pandas as pd

    labels = pd.to_numeric(frame["label"], errors="coerce")
    bad = ~labels.isin([0, 1])
    if bad.any():
        row = int(bad.to_numpy().argmax())
        value = frame["label"].iloc[row]
        raise DataError(f"{where}: row {row}: label must be 0 or 1, not {value}")
    empty = ~frame["text"].map(lambda text: isinstance(text, str) and bool(text.strip()))
    if empty.any():
        raise DataError(f"{where}: row {int(empty.to_numpy().argmax())}: the text is empty")
    if labels.nunique() < 2:
        raise DataError(f"{where}: both labels, 0 and 1, must occur")
    movie = frame["movie"] if "movie" in frame else pd.Series(None, frame.index, dtype="object")
    return pd.DataFrame(
        {"text": frame["text"].astype("object"), "label": labels.astype("int8"), "movie": movie}
    ).reset_index(drop=True)


def read_tree(path: Path) -> dict[str, pd.DataFrame]:
    """Read the official tree: SPLIT/LABEL/ID_RATING.txt, ID being the film's line in urls_LABEL."""
    import pandas as pd

    frames = {}
    for split in ("train", "test"):
        rows: list[dict[str, Any]] = []
        for name, label in LABELS.items():
            urls = path / split / f"urls_{name}.txt"
            films = read_text(urls).split() if urls.is_file() else []
            for file in sorted((path / split / name).glob("*.txt")):
                number = file.stem.split("_")[0]
                known = number.isdigit() and int(number) < len(films)
                text = read_text(file)
                if not text.strip():
                    raise DataError(f"{file}: the text is empty")
                movie = films[int(number)] if known else None
                rows.append({"text": text, "label": label, "movie": movie})
        if not rows:
            raise DataError(f"{path / split}: no .txt files in pos and neg")
        frames[split] = checked(pd.DataFrame(rows), path / split)
    return frames


def read_text(file: Path) -> str:
    """Read one file of the tree."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text") from error


def hub() -> Source:
    """The full data set from the hub, or from the local cache of an earlier download.

    Raises:
        DataError: the download failed.
    """
    if hub_is_cached():
        # Without this, datasets asks the hub first and waits long where there is no answer.
        os.environ["HF_DATASETS_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
    # Imported here: it takes most of a second that the other sources need not pay.
    import datasets

    try:
        loaded = datasets.load_dataset(HUB_NAME)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{HUB_NAME} could not be loaded from the hub ({reason})") from error

    def read() -> dict[str, pd.DataFrame]:
        return {s: checked(loaded[s].to_pandas(), f"{HUB_NAME} {s}") for s in ("train", "test")}

    key = "-".join(str(loaded[split]._fingerprint) for split in ("train", "test"))
    return Source(f"IMDB ({HUB_NAME})", key, read)


def hub_is_cached() -> bool:
    """Whether the hub's data set was downloaded before; looked up without importing datasets."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    home = os.environ.get("HF_HOME") or Path(caches) / "huggingface"
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(home) / "datasets")
    return any(cache.glob(HUB_NAME.replace("/", "___") + "/*/*/*/*.arrow"))


def hub_address() -> str:
    """The hub's address, which HF_ENDPOINT changes for mirrors."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_is_reachable() -> bool:
    """Whether the hub answers in `PROBE_SECONDS`.

    Asked in a thread of its own, since a look-up of the host's name cannot be given a time limit.
    """
    offline = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    if any(value.upper() in ("1", "TRUE", "YES", "ON") for value in offline):
        return False
    answers: list[bool] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(
                f"{hub_address()}/api/datasets/{HUB_NAME}", method="HEAD"
            )
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                answers.append(True)
        except (OSError, ValueError, http.client.HTTPException):
            answers.append(False)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    return answers == [True]
