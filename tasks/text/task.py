"""Classification of own documents in two or more classes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    SPLITS,
    Arrays,
    Baseline,
    Cache,
    DataDescription,
    DataError,
    Split,
    Task,
    setting,
)
from tasks.common.classification import METRICS, ClassificationSettings
from tasks.text.baselines import BASELINES
from tasks.text.documents import DocumentTask
from tasks.text.paths import check_path, is_hub_name
from tasks.text.preparation import (
    FORM,
    digest_of,
    encoded,
    in_canonical_order,
    notices_of,
    tokenization_of,
)
from tasks.text.reading import Columns, joined, likely_columns
from tasks.text.settings import DocumentSettings
from tasks.text.sources import Source, hub_source, recognised, source_of
from tasks.text.splitting import split_documents

if TYPE_CHECKING:
    import pandas as pd

SMALL_TEST = 100  # documents; below it, a notice says what one of them is worth


@dataclass
class TextSettings(DocumentSettings, ClassificationSettings):
    """Classification of own documents, such as reviews or messages."""

    name: ClassVar[str] = "text"
    data_needs: ClassVar[str] = "documents with labels need task.text=NAME task.label=NAME"

    data: str | None = setting(
        None,
        "required: a CSV, TSV, JSONL or Parquet file, a folder of .txt files per class, a folder "
        "with train and test of these, a folder of `save_to_disk`, a clone of a hub repository, "
        "or OWNER/NAME of the Hugging Face hub",
        identity=False,  # the fingerprint contains a hash of the documents
        is_path=True,
    )
    test: str | None = setting(
        None,
        "the test split, in the same forms; null to use or draw one from data",
        identity=False,
        is_path=True,
    )
    text: str | None = setting(
        None, "column of the text; null for the usual names, such as text or review", identity=False
    )
    label: str | None = setting(
        None, "column of the class; null for the usual names, such as label", identity=False
    )
    group: str | None = setting(
        None,
        "column, such as the author: documents of one group are on one side of the drawn splits",
        identity=False,
    )
    tokenizer: str = setting(
        "auto",
        "auto: words, or, if words do not repeat, as in languages without spaces, characters or "
        "byte pairs",
        choices=("auto", "word", "bpe", "char"),
    )

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        return BASELINES

    @staticmethod
    def recognises(path: Path) -> str:
        """See `TaskSettings.recognises`."""
        return recognised(path)

    @staticmethod
    def guess(path: Path) -> dict[str, str]:
        """See `TaskSettings.guess`."""
        return likely_columns(path)

    def check(self) -> None:
        """See `TaskSettings.check`."""
        super().check()
        if self.data is None:
            raise ValueError(
                "task.data: is required; give a table with a column of texts and one of labels, "
                "such as task.data=reviews.csv"
            )
        check_path(self.data, "task.data")
        if self.test is not None:
            check_path(self.test, "task.test")

    def load(self, cache: Cache) -> Task:
        """Read the documents, or their token ids from the cache."""
        import tokenizers

        self.check()
        assert self.data is not None
        source, test = self.sources()
        content = (
            f"{source.content} {test and test.content} {self.text} {self.label} {self.group} "
            f"{self.tokenizer} {self.vocabulary_size} {self.minimum_count} {self.split_seed} "
            f"v{self.version} form {FORM} tokenizers {tokenizers.__version__}"
        )
        key = f"text-{hashlib.sha256(content.encode()).hexdigest()[:32]}"
        arrays, metadata = cache(key, lambda: self.prepared(source, test))
        return TextTask(self, arrays, metadata)

    def sources(self) -> tuple[Source, Source | None]:
        """Return the sources of `data` and `test`."""
        assert self.data is not None
        source = hub_source(self.data) if is_hub_name(self.data) else source_of("data", self.data)
        return source, None if self.test is None else source_of("test", self.test)

    def prepared(self, source: Source, test: Source | None) -> tuple[Arrays, dict[str, Any]]:
        """Read, split and encode documents."""
        columns = Columns(self.text, self.label, self.group)
        frames = source.read(columns)
        if test is not None:
            frames = joined(frames, test.read(columns))
        classes, splits = with_numbers(frames.splits, f"task.data={self.data}")
        ordered = {split: in_canonical_order(frame) for split, frame in splits.items()}
        parts = split_documents(ordered, classes, self.group, self.split_seed)
        arrays, metadata = encoded(
            parts.frames,
            self.vocabulary_size,
            self.minimum_count,
            self.tokenizer,  # type: ignore[arg-type]  # one of its choices
        )
        return arrays, metadata | {
            "sha256": digest_of(ordered, classes),
            "split": parts.description,
            "classes": classes,
            "columns": frames.columns,
            "notices": [*frames.notices, *notices_of_classes(parts.frames, classes)],
        }


class TextTask(DocumentTask):
    """Own documents in two or more classes."""

    def __init__(self, settings: TextSettings, arrays: Arrays, metadata: dict[str, Any]) -> None:
        super().__init__(settings, metadata["classes"], arrays, metadata)
        if settings.metric == "auroc" and len(self.classes) > 2:
            raise DataError(
                f"task.metric=auroc: requires two classes, and the data has {len(self.classes)} "
                f"(allowed: {', '.join(each for each in METRICS if each != 'auroc')})"
            )
        self.columns: str = metadata["columns"]
        train, validation, test = (len(documents) for documents in self.documents.values())
        sizes = {"train": train, "validation": validation, "test": test}
        remedy = "; task.tokenizer=bpe splits rare words into known parts"
        notices = [*metadata["notices"], *notices_of(metadata, sizes, "documents", remedy)]
        if metadata["tokenizer_reason"]:
            notices.append(
                f"task.tokenizer={metadata['tokenizer']} is used, because "
                f"{metadata['tokenizer_reason']}; task.tokenizer=word overrides it"
            )
        if test < SMALL_TEST:
            notices.append(
                f"the test split has {test} documents: one of them is {100 / test:.1f} points of "
                f"accuracy"
            )
        self.data = DataDescription(
            name=name_of(settings),
            sha256=metadata["sha256"],
            split=metadata["split"],
            train_size=train,
            validation_size=validation,
            test_size=test,
            unit="documents",
            notices=tuple(notices),
            split_seed=settings.split_seed,
            tokenization=tokenization_of(metadata),
            test_in_train=metadata["test_in_train"],
        )

    def summary(self) -> dict[str, str]:
        """See `Task.summary`."""
        return {"columns": self.columns, **super().summary()}


def name_of(settings: TextSettings) -> str:
    """Return the name of the data in tables, without folders."""
    data = str(settings.data)
    name = data if is_hub_name(data) else Path(data).resolve().name
    return name if settings.test is None else f"{name}, {Path(settings.test).resolve().name}"


def with_numbers(
    splits: Mapping[Split, pd.DataFrame], where: str
) -> tuple[list[str], dict[Split, pd.DataFrame]]:
    """Return the names of the classes in natural order, and frames with numbers as labels.

    Raises:
        DataError: there is one class, or the labels are as many as the documents.
    """
    names = {name for frame in splits.values() for name in frame["label"]}
    total = sum(len(frame) for frame in splits.values())
    if len(names) == 1:
        raise DataError(f"{where}: only one class, {names.pop()}; at least two are needed")
    if len(names) > max(2, total / 2):
        raise DataError(
            f"{where}: {len(names):,} different labels in {total:,} documents, such as "
            f"{', '.join(sorted(names)[:3])}; choose the column of the classes with task.label=NAME"
        )
    classes = sorted(names, key=natural)
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, {
        split: splits[split].assign(label=splits[split]["label"].map(numbers))
        for split in SPLITS
        if split in splits
    }


def natural(name: str) -> tuple[tuple[bool, float, str], ...]:
    """Return a key that sorts numbers in names by their value, and letters without case."""
    signed = re.fullmatch(r"-?\d+(\.\d+)?", name)
    if signed:
        return ((False, float(name), ""),)
    pieces = re.split(r"(\d+)", name.lower())
    return tuple(
        (not p.isdecimal(), float(p) if p.isdecimal() else 0.0, p) for p in (*pieces, name)
    )


def notices_of_classes(parts: Mapping[Split, pd.DataFrame], classes: Sequence[str]) -> list[str]:
    """Return notices on classes that a split does not have, and on names that differ in case."""
    notices = []
    for split in SPLITS[1:]:
        absent = set(range(len(classes))) - set(parts[split]["label"])
        if absent:
            names = ", ".join(classes[label] for label in sorted(absent)[:5])
            notices.append(f"the {split} split has no documents of class {names}")
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.lower(), name)
        if other != name:
            notices.append(f"classes {other} and {name} differ only in case")
    return notices
