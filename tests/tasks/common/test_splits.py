"""Splits by content: stable under order, whole groups, all labels on both sides."""

from __future__ import annotations

import numpy as np

from tasks.common.splits import by_content, content_hash, count_shared, groups_of, held_out

RNG = np.random.default_rng(3)


def test_groups_are_joined_by_any_shared_key() -> None:
    first = ["a", "a", "b", "c", "d"]
    second = [1, 2, 2, None, None]
    groups = groups_of(first, second)
    assert groups[0] == groups[1] == groups[2]
    assert len({groups[0], groups[3], groups[4]}) == 3


def test_the_selection_depends_on_content_not_on_order() -> None:
    texts = [f"text {n}" for n in range(400)]
    labels = np.arange(400) % 3

    def selected(order: np.ndarray) -> set[str]:
        hashes = [content_hash(texts[n]) for n in order]
        groups = groups_of(hashes)
        mask = held_out(groups, labels[order], 0.15, by_content(groups, hashes))
        assert mask is not None
        return {texts[n] for n in order[mask]}

    first = selected(np.arange(400))
    assert first == selected(RNG.permutation(400))
    assert len(first) == 60


def test_every_label_keeps_its_share_and_groups_stay_whole() -> None:
    labels = RNG.choice(4, 600, p=[0.6, 0.3, 0.06, 0.04])
    members = RNG.integers(0, 150, 600)
    hashes = [content_hash(f"{n}") for n in range(600)]
    groups = groups_of(members, hashes)
    mask = held_out(groups, labels, 0.2, by_content(groups, hashes))
    assert mask is not None
    assert not set(members[mask]) & set(members[~mask])
    for label in range(4):
        share = mask[labels == label].mean()
        assert 0.1 < share <= 0.2 + 1 / (labels == label).sum()


def test_a_split_without_a_label_on_one_side_is_refused() -> None:
    groups, labels = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert held_out(groups, labels, 0.3, [0, 1]) is None
    assert held_out(np.array([0, 1, 2]), np.array([0, 0, 1]), 0.3, [0, 1, 2]) is None


def test_surrogates_have_a_hash_and_shared_content_is_counted() -> None:
    assert len(content_hash("\udcff")) == 64
    assert count_shared(["a", "b", "b"], ["b", "c"]) == 2
