"""Series in NumPy archives (`.npz`): arrays X and y, or X_train, y_train, X_test and y_test."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.common.tables import cell_text
from tasks.series.collection import Collection

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def has_test_arrays(path: Path) -> bool:
    """Return True if an archive contains the array X_test."""
    return "x_test" in array_names(path)


def array_names(path: Path) -> set[str]:
    """Return the names of the arrays of an archive in lower case; none if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy").lower() for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def read_npz(
    path: Path, where: str, part: str, group: str | None = None, is_labelled: bool = True
) -> Collection:
    """Read the arrays X and y of an archive, with the suffix of a part or without.

    Steps that are NaN in all channels at the end of a series are padding, unless there is an array
    `lengths`.

    Args:
        path: of the archive.
        where: beginning of error messages.
        part: `train` or `test`.
        group: name of the array of groups.
        is_labelled: series without labels are refused.

    Raises:
        DataError: an array is missing, or has another shape or type.
    """
    arrays = Archive(path, where, part)
    x = arrays.required("x")
    if x.ndim not in (2, 3) or x.dtype.kind not in "biuf" or 0 in x.shape:
        raise DataError(
            f"{where}: X is {x.dtype} of shape {x.shape}; it must contain numbers of shape "
            f"(items, time) or (items, time, channels)"
        )
    x = x.reshape(*x.shape[:2], -1).astype("float64")
    labels = arrays.texts("y", len(x)) if is_labelled else None
    lengths, notices = lengths_of(x, arrays)
    items, steps, channels = x.shape
    shape = f"X is read as {items:,} items, {steps} steps, {channels} channels"
    if channels > steps:
        shape += "; if its axes are items, channels, time, save X.transpose(0, 2, 1)"
    collection = Collection(
        [series[:length] for series, length in zip(x, lengths, strict=True)],
        labels,
        [str(i + 1) for i in range(items)],
        [f"channel {i + 1}" for i in range(channels)],
        None if group is None else arrays.texts(group.lower(), items),
        (shape, *notices),
    )
    check_finite(collection, where)
    return collection


class Archive:
    """The arrays of a file by lower-case name; those of a part come before those without."""

    def __init__(self, path: Path, where: str, part: str) -> None:
        import numpy as np

        self.where, self.part = where, part
        try:
            with path.open("rb") as file, np.load(file) as stored:
                self.names = stored.files
                self.arrays = {name.lower(): stored[name] for name in self.names}
        except ValueError as error:
            reason = str(error).splitlines()[0]
            if "allow_pickle" in reason:
                reason = (
                    "it contains Python objects; save series of unequal length as one array that "
                    "is padded with NaN"
                )
            raise DataError(f"{where}: cannot be read ({reason})") from error
        except (OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise DataError(f"{where}: not a NumPy archive (.npz)") from error

    def get(self, name: str) -> Array | None:
        """Return `name_PART`, else `name`; None if there is neither."""
        found = self.arrays.get(f"{name}_{self.part}")
        return self.arrays.get(name) if found is None else found

    def required(self, name: str) -> Array:
        """Return an array or raise DataError."""
        found = self.get(name)
        if found is None:
            title = name.upper() if name == "x" else name
            raise DataError(
                f"{self.where}: there is no array {title} or {title}_{self.part} (the arrays are: "
                f"{', '.join(self.names) or 'none'})"
            )
        return found

    def texts(self, name: str, items: int) -> list[str]:
        """Return an array (items,) as text, or raise DataError."""
        array = self.required(name)
        if array.shape == (items, 1):
            array = array[:, 0]
        if array.shape != (items,):
            raise DataError(
                f"{self.where}: {name} has the shape {array.shape}; X requires ({items},)"
            )
        texts = [(cell_text(value) or "").strip() for value in array.tolist()]
        if "" in texts:
            raise DataError(f"{self.where}: {name} is missing for item {texts.index('') + 1}")
        return texts


def lengths_of(x: Array, arrays: Archive) -> tuple[list[int], tuple[str, ...]]:
    """Return the number of steps of each series, given or without padding, and a notice."""
    import numpy as np

    items, steps, _ = x.shape
    given = arrays.get("lengths")
    if given is not None:
        is_valid = given.shape == (items,) and given.dtype.kind in "iu"
        if not is_valid or given.min() < 1 or given.max() > steps:
            raise DataError(
                f"{arrays.where}: lengths must be {items} whole numbers from 1 to {steps}"
            )
        return given.tolist(), ()
    has_value = np.any(~np.isnan(x), axis=2)
    lengths = np.where(has_value.any(1), steps - has_value[:, ::-1].argmax(1), 1)
    padded = int((lengths < steps).sum())
    notice = f"{padded:,} series end before step {steps}: trailing NaN is padding"
    return lengths.tolist(), (notice,) if padded else ()


def check_finite(collection: Collection, where: str) -> None:
    """Raise DataError for an infinite value."""
    import numpy as np

    for name, values in zip(collection.names, collection.values, strict=True):
        if np.isinf(values).any():
            step, channel = np.argwhere(np.isinf(values))[0] + 1
            raise DataError(
                f"{where}: X is infinite in item {name}, step {step}, channel {channel}"
            )
