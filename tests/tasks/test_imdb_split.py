"""IMDB's parts: the bundled subset, and a validation split that shares nothing with training."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.system.disk_cache import DiskCache
from tasks import imdb
from tasks.base import DataError
from tasks.text import preparation as imdb_preparation
from tasks.text.imdb_sources import BUNDLED
from tests.helpers.paths import ROOT
from tests.helpers.synthetic_reviews import SPLITS, Frames, batches, repeat_texts, reviews


@pytest.fixture(scope="module")
def bundled_frames() -> Frames:
    return {split: pd.read_parquet(BUNDLED / f"{split}.parquet") for split in ("train", "test")}


@pytest.fixture(scope="module")
def bundled(shared_cache: Path) -> imdb.ImdbTask:
    task = imdb.ImdbSettings(source="bundled").load(DiskCache(shared_cache))
    assert isinstance(task, imdb.ImdbTask)
    return task


@pytest.fixture(scope="module")
def full_data() -> Path:
    folder = ROOT.parent / "shared" / "data" / "imdb"
    if not folder.is_dir():
        pytest.skip("the full IMDB is not in ../shared/data/imdb")
    return folder


# --- the bundled subset


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_subset_is_balanced_and_has_official_ids(bundled_frames: Frames, split: str) -> None:
    frame = bundled_frames[split]
    assert frame["label"].value_counts().to_dict() == {0: 2500, 1: 2500}
    assert frame["id"].is_unique
    parts = frame["id"].str.extract(rf"^{split}/(neg|pos)/(\d+)_(\d+)$")
    assert parts.notna().all(axis=None)
    assert ((parts[0] == "pos") == (frame["label"] == 1)).all()
    rating = parts[2].astype(int)
    assert rating.between(1, 10).all()
    # The official set has no reviews of 5 or 6 stars.
    assert ((rating >= 7) == (frame["label"] == 1)).all()
    assert ((rating <= 4) == (frame["label"] == 0)).all()
    assert frame["movie"].str.fullmatch(r"tt\d+").all()


def test_no_text_occurs_twice_in_the_subset(bundled_frames: Frames) -> None:
    assert pd.concat(bundled_frames.values())["text"].is_unique


def test_the_subset_takes_at_most_5_mb() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) <= 5e6


@pytest.mark.parametrize("split", ["train", "test"])
def test_bundled_texts_are_the_full_data_s_under_their_id(
    bundled_frames: Frames, full_data: Path, split: str
) -> None:
    subset = bundled_frames[split].set_index("id")
    full = pd.read_parquet(full_data / f"{split}.parquet").set_index("id").loc[subset.index]
    pd.testing.assert_frame_equal(subset[["text", "label"]], full[["text", "label"]])


def test_the_script_draws_the_same_subset_again(
    bundled_frames: Frames, full_data: Path, tmp_path: Path
) -> None:
    runpy.run_path(str(ROOT / "scripts/data/draw_imdb_subset.py"))["draw"](full_data, tmp_path)
    for split, frame in bundled_frames.items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{split}.parquet"), frame)


def test_a_run_on_the_subset_has_a_notice(bundled: imdb.ImdbTask) -> None:
    data = bundled.data
    assert (data.train_size, data.validation_size, data.test_size) == (4500, 500, 5000)
    assert "subset" in data.name
    assert "SUBSET" in data.notices[0]


@pytest.mark.parametrize("batch_size", [32, 64])
def test_training_batches_have_little_padding(bundled: imdb.ImdbTask, batch_size: int) -> None:
    epoch = batches(bundled, "train", batch_size, seed=0)
    places = sum(batch.inputs.numel() for batch in epoch)
    assert sum(batch.tokens for batch in epoch) > 0.97 * places


# --- validation


def test_validation_is_a_stratified_tenth(bundled: imdb.ImdbTask) -> None:
    counts = {split: bundled.documents[split].labels.bincount().tolist() for split in SPLITS}
    assert counts == {"train": [2250, 2250], "validation": [250, 250], "test": [2500, 2500]}


def test_validation_shares_no_film_and_no_text_with_training(bundled_frames: Frames) -> None:
    train = imdb_preparation.in_canonical_order(bundled_frames["train"])
    held_out = imdb.choose_validation(train)
    assert held_out.sum() == 500
    for column in ("movie", "text"):
        assert not set(train[held_out][column]) & set(train[~held_out][column])


def test_a_split_seed_chooses_other_reviews_by_the_same_rules(bundled_frames: Frames) -> None:
    train = imdb_preparation.in_canonical_order(bundled_frames["train"])
    default, *others = (
        imdb.choose_validation(train, seed) for seed in (imdb.VALIDATION_SEED, 0, 1)
    )
    assert (default == imdb.choose_validation(train)).all()
    assert not (others[0] == others[1]).all()
    for held_out in others:
        assert held_out.sum() == 500
        assert (held_out & default).sum() < 100  # a tenth of them by chance
        assert not set(train[held_out]["movie"]) & set(train[~held_out]["movie"])


def test_the_order_of_rows_does_not_change_validation(bundled_frames: Frames) -> None:
    def chosen(frame: pd.DataFrame) -> set[str]:
        ordered = imdb_preparation.in_canonical_order(frame)
        return set(ordered[imdb.choose_validation(ordered)]["id"])

    train = bundled_frames["train"]
    first = chosen(train)
    assert chosen(train) == first
    assert chosen(train.sample(frac=1, random_state=5, ignore_index=True)) == first


@pytest.mark.parametrize("films_known", [True, False])
def test_repeated_texts_stay_on_one_side(films_known: bool) -> None:
    frame = repeat_texts(reviews(400, 1), 2)
    frame = imdb_preparation.in_canonical_order(frame if films_known else frame.assign(movie=None))
    held_out = imdb.choose_validation(frame)
    assert frame["text"].duplicated().any()
    assert not set(frame[held_out]["text"]) & set(frame[~held_out]["text"])
    np.testing.assert_allclose(frame[held_out]["label"].value_counts(), 20, atol=1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda frame: frame.assign(movie="the only film"), id="one film"),
        pytest.param(lambda frame: frame.assign(text="the only text"), id="one text"),
        pytest.param(
            lambda frame: frame.assign(movie=None, label=[1] + [0] * (len(frame) - 1)),
            id="one positive review",
        ),
    ],
)
def test_reviews_that_cannot_be_split_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    train = change(reviews(60, 1))
    with pytest.raises(DataError, match=r"60 training reviews .* cannot be split"):
        imdb.tokenise({"train": train, "test": reviews(20, 2)}, 100, 1)
