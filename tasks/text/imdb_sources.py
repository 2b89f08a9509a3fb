"""Sources of IMDB reviews: the bundled subset, a folder, or the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.text import hub

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = Path(__file__).parents[1] / "data" / "imdb"
HUB_NAME = "stanfordnlp/imdb"
LABELS = {"neg": 0, "pos": 1}


@dataclass(frozen=True)
class Source:
    """Reviews: `read` returns a frame of text, label and movie for train and test."""

    name: str
    content_key: str  # hash of the files, available before they are read
    read: Callable[[], dict[str, pd.DataFrame]]
    notice: str = ""


def check_source(name: str) -> None:
    """Raise DataError unless a value of `task.source` is a name or an existing folder."""
    if name not in ("auto", "hub", "bundled") and not Path(name).is_dir():
        raise DataError(
            f"task.source={name}: no such folder (allowed: auto, hub, bundled or a folder)"
        )


def find_source(name: str) -> Source:
    """Return the source for a value of `task.source`."""
    if name == "bundled":
        return bundled()
    if name not in ("hub", "auto"):
        return folder(Path(name))
    is_available = hub.is_cached(HUB_NAME) or hub.is_reachable(HUB_NAME)
    try:
        if is_available:
            return from_hub()
    except DataError as error:
        if name == "hub":
            raise
        return bundled(f"{error}; ")
    if name == "auto":
        return bundled("the Hugging Face hub cannot be reached; ")
    raise DataError(
        f"task.source=hub: {hub.address()} cannot be reached and {HUB_NAME} is not in the local "
        f"cache; use task.source=bundled or task.source=FOLDER"
    )


def bundled(reason: str = "") -> Source:
    """Return the 5,000 + 5,000 reviews of the repository."""
    return Source(
        "IMDB subset 5k+5k (bundled)",
        hash_files([BUNDLED / "train.parquet", BUNDLED / "test.parquet"]),
        lambda: read_parquet(BUNDLED),
        notice=f"{reason}this run uses the bundled SUBSET of IMDB, 5,000 + 5,000 of its 25,000 + "
        "25,000 reviews; its accuracy is not that of the full data set",
    )


def folder(path: Path) -> Source:
    """Return a folder with train.parquet and test.parquet, or the official aclImdb tree."""
    check_source(str(path))
    name = f"IMDB (folder {path.name})"
    files = [path / "train.parquet", path / "test.parquet"]
    if all(file.is_file() for file in files):
        files += [file for file in [path / "movies.parquet"] if file.is_file()]
        return Source(name, hash_files(files), lambda: read_parquet(path))
    tree = [path / split / label for split in ("train", "test") for label in LABELS]
    if all(part.is_dir() for part in tree):
        files = sorted(file for part in tree for file in part.glob("*.txt"))
        files += sorted(path.glob("train/urls_*.txt"))
        return Source(name, hash_files(files), lambda: read_tree(path))
    raise DataError(
        f"task.source={path}: the folder contains neither train.parquet and test.parquet nor the "
        f"aclImdb folders train/pos, train/neg, test/pos and test/neg"
    )


def hash_files(files: list[Path]) -> str:
    """Hash names and contents of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read_parquet(path: Path) -> dict[str, pd.DataFrame]:
    """Read a folder's parquet files; the film is a column, or in movies.parquet by id."""
    frames = {split: load_parquet(path / f"{split}.parquet") for split in ("train", "test")}
    for split, frame in frames.items():
        for column in ("text", "label"):
            if column not in frame:
                found = ", ".join(map(str, frame.columns))
                raise DataError(
                    f"{path / split}.parquet: no column '{column}'; the columns are: {found}"
                )
    file = path / "movies.parquet"
    if file.is_file():
        movies = load_parquet(file)
        if not {"id", "movie"} <= set(movies):
            raise DataError(f"{file}: the columns id and movie are needed")
        repeated = movies["id"][movies["id"].duplicated()]
        if len(repeated):
            raise DataError(f"{file}: duplicate id {repeated.iloc[0]}")
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
    """Return the columns text, label and movie after checking their values."""
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
    """Read SPLIT/LABEL/ID_RATING.txt of the official tree; the film is line ID of urls_LABEL."""
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


def from_hub() -> Source:
    """Return the full data set from the hub, or from the local cache of an earlier download."""
    loaded = hub.load(HUB_NAME)

    def read() -> dict[str, pd.DataFrame]:
        return {s: checked(loaded[s].to_pandas(), f"{HUB_NAME} {s}") for s in ("train", "test")}

    key = "-".join(str(loaded[split]._fingerprint) for split in ("train", "test"))
    return Source(f"IMDB ({HUB_NAME})", key, read)
