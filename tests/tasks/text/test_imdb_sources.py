"""IMDB reviews from folders of two formats give the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base import DataDescription
from tasks.text import imdb_sources
from tests.helpers.paths import ROOT
from tests.helpers.review_folders import load, reviews, same_content, write_parquet, write_tree


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


def test_the_cache_key_depends_on_the_content_not_on_the_path(tmp_path: Path) -> None:
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
