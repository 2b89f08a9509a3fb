"""Splits that depend on the content of items alone, not on their order in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Integers = np.ndarray[Any, np.dtype[np.int64]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]


def content_hash(content: str | bytes) -> str:
    """Return the SHA-256 of an item's content, as hexadecimal digits."""
    encoded = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(encoded).hexdigest()


def groups_of(*keys: Sequence[Any] | pd.Series[Any]) -> Integers:
    """Return the group (items,) of each item; items that share any key are in one group.

    Args:
        keys: sequences of one key per item; None, or a missing value, is shared with no other item.
    """
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(keys[0])
    nodes, links = count, []
    for each in keys:
        codes = pd.factorize(pd.Series(list(each), dtype=object))[0].astype(np.int64)
        known = np.flatnonzero(codes >= 0)
        links.append(np.stack([known, nodes + codes[known]]))
        nodes += int(codes.max(initial=-1)) + 1
    rows, columns = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][:count]
    groups: Integers = np.unique(component, return_inverse=True)[1].astype(np.int64)
    return groups


def by_content(groups: Integers, hashes: Sequence[str]) -> Integers:
    """Return all groups in the order of the smallest content hash of their items."""
    import numpy as np

    order = np.argsort(np.asarray(hashes), kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    return np.argsort(first)


def held_out(groups: Integers, labels: Integers, share: float, order: Iterable[int]) -> Mask | None:
    """Select (items,) a share of every label, in whole groups.

    Groups are taken in the given order while they fit the quota of all labels.

    Returns:
        The selection; None if a label would be missing on either side.
    """
    import numpy as np

    sizes = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(sizes, (groups, labels), 1)
    total = sizes.sum(0)
    quota = np.where(total > 0, np.maximum(1, np.round(share * total)), 0)
    taken = np.zeros(len(total))
    chosen = np.zeros(len(sizes), dtype=bool)
    for candidate in order:
        if (taken + sizes[candidate] <= quota).all():
            chosen[candidate] = True
            taken += sizes[candidate]
    present = total > 0
    if not taken[present].all() or (taken == total)[present].any():
        return None
    selection: Mask = chosen[groups]
    return selection


def count_shared(hashes: Iterable[str], others: Iterable[str]) -> int:
    """Count the items whose content is among others."""
    known = set(others)
    return sum(each in known for each in hashes)
