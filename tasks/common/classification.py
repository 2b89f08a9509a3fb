"""Classification in two or more classes: loss, metrics and predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Batch, Metric, Split, Task, TaskSettings, setting

if TYPE_CHECKING:
    from torch import Tensor

METRICS = {
    "accuracy": Metric("accuracy", "share", True, perfect=1.0, margin="0.005"),
    "macro_f1": Metric("macro_f1", "share", True, perfect=1.0, margin="0.005"),
    "log_loss": Metric("log_loss", "nats", False, perfect=0.0, margin="1%"),
    "auroc": Metric("auroc", "share", True, perfect=1.0, margin="0.005"),
}
CALIBRATION_BINS = 15  # Guo et al. 2017


@dataclass
class ClassificationSettings(TaskSettings):
    """Settings of tasks whose metric is chosen."""

    metric: str = setting(
        "accuracy",
        "the score that selects the best epoch and is compared; auroc: of two classes",
        choices=tuple(METRICS),
    )

    @property
    # Depends on `metric`; in the base class it is a ClassVar.
    def primary_metric(self) -> Metric:  # type: ignore[override]
        """The chosen metric."""
        return METRICS[self.metric]


class ClassificationTask(Task):
    """A task with labels (items,) as targets.

    Outputs are the log-odds (items,) of the second of two classes, or logits (items, classes).
    """

    @property
    def output_size(self) -> int | None:
        """The outputs of a network: None for a single one."""
        return None if len(self.classes) == 2 else len(self.classes)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy, in nats."""
        return cross_entropy(outputs, batch.targets, "mean")

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return total nats, correct predictions and items, and of each item what metrics need."""
        right = (predicted_labels(outputs) == batch.targets).sum()
        return {
            "nats": cross_entropy(outputs, batch.targets, "sum"),
            "right": right,
            "items": right.new_tensor(len(outputs)),
            "log_probabilities": log_probabilities(outputs),
            "labels": batch.targets,
        }

    def metrics(self, sums: dict[str, Any]) -> dict[str, float]:
        """Compute accuracy, macro F1, log loss, calibration error and, of two classes, AUROC."""
        loss, labels = sums["nats"] / sums["items"], sums["labels"].long()
        probabilities = sums["log_probabilities"].double().exp()
        metrics = {
            "loss": loss,
            "accuracy": sums["right"] / sums["items"],
            "macro_f1": macro_f1(probabilities.argmax(1), labels, len(self.classes)),
            "log_loss": loss,
            "calibration_error": calibration_error(probabilities, labels),
        }
        if len(self.classes) == 2 and 0 < int(labels.sum()) < len(labels):
            log_odds = sums["log_probabilities"].diff(dim=1).squeeze(1)
            metrics["auroc"] = auroc(log_odds, labels)
        return metrics

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the log-odds and truth of two classes, or label, predicted label and nats.

        Of more than two classes, `log_probability_N` is that of class N.
        """
        if len(self.classes) == 2:
            return {"logit": outputs.float(), "positive": batch.targets > 0}
        by_class = log_probabilities(outputs).float().unbind(1)
        return {
            "label": batch.targets.int(),
            "predicted_label": predicted_labels(outputs).int(),
            "nats": cross_entropy(outputs, batch.targets, "none").float(),
            **{f"log_probability_{number}": column for number, column in enumerate(by_class)},
        }

    def outputs_of(self, split: Split, items: Tensor, predictions: dict[str, Tensor]) -> Tensor:
        """See `Task.outputs_of`."""
        import torch

        if len(self.classes) == 2:
            return predictions["logit"]
        numbers = range(len(self.classes))
        return torch.stack([predictions[f"log_probability_{n}"] for n in numbers], dim=1)

    def answers(self, outputs: Tensor, batch: Batch) -> dict[str, list[Any]]:
        """Return predicted classes and the probability of every class."""
        probabilities = log_probabilities(outputs).double().exp().cpu()
        labels = predicted_labels(outputs).tolist()
        columns = zip(self.classes, probabilities.unbind(1), strict=True)
        return {
            "label": [self.classes[label] for label in labels],
            **{f"probability of {name}": column.tolist() for name, column in columns},
        }


def cross_entropy(outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """Return the cross-entropy of log-odds (items,) or logits (items, classes), in nats."""
    from torch.nn import functional as F

    if outputs.dim() == 1:
        return F.binary_cross_entropy_with_logits(
            outputs, labels.to(outputs.dtype), reduction=reduction
        )
    return F.cross_entropy(outputs, labels.long(), reduction=reduction)


def predicted_labels(outputs: Tensor) -> Tensor:
    """Return the most probable labels (items,), the first of equally probable ones."""
    return (outputs > 0).long() if outputs.dim() == 1 else outputs.argmax(1)


def log_probabilities(outputs: Tensor) -> Tensor:
    """Return log-probabilities (items, classes)."""
    import torch
    from torch.nn import functional as F

    if outputs.dim() == 1:
        return torch.stack([F.logsigmoid(-outputs), F.logsigmoid(outputs)], dim=1)
    return F.log_softmax(outputs, dim=1)


def macro_f1(predicted: Tensor, labels: Tensor, classes: int) -> float:
    """Average the F1 scores of the classes that occur among labels or predictions."""
    import torch

    pairs = torch.bincount(labels * classes + predicted, minlength=classes**2)
    confusion = pairs.view(classes, classes).double()
    occurrences = confusion.sum(0) + confusion.sum(1)
    scores = 2 * confusion.diagonal() / occurrences
    return float(scores[occurrences > 0].mean())


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Return the mean gap between confidence and accuracy in bins of confidence (Guo 2017)."""
    import torch

    confidence, predicted = probabilities.max(1)
    gaps = (predicted == labels).double() - confidence
    bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    sums = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add_(0, bins, gaps)
    return float(sums.abs().sum() / len(labels))


def auroc(scores: Tensor, labels: Tensor) -> float:
    """Return the probability that a positive item has a higher score than a negative one."""
    import torch

    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    counts = counts.double()
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[place]  # equal scores share their mean rank
    positive = int(labels.sum())
    excess = float(ranks[labels > 0].sum()) - positive * (positive + 1) / 2
    return excess / (positive * (len(labels) - positive))
