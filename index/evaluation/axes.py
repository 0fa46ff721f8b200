"""How well one axis is predicted: labels and predictions in, every measure of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from index.evaluation import labelmeasures as measures
from index.evaluation.labelmeasures import CoverageCurve, Hierarchical, Reliability
from index.evaluation.measures import expected_calibration_error
from index.labels.standing import within
from vision.categories import names
from vision.head import Prediction

_WORST = 12  # mistakes shown
_POINTS = 200  # of the coverage curve kept


@dataclass(frozen=True)
class Item:
    """What was asked: ``name`` is a product's id or a photo's path, ``sha256`` its picture's."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Case:
    """An item whose label is not what was predicted, with the prediction's confidence."""

    item: Item
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class ValueScores:
    """One value of the axis: how many items are truly of it (``support``), its precision, recall
    and F1, and the share of its items for which something was accepted (``coverage``)."""

    value: str
    support: int
    precision: float
    recall: float
    f1: float
    coverage: float


@dataclass(frozen=True)
class Accepted:
    """What was accepted: ``coverage`` is the share of the items, ``precision`` the share of these
    that is right (None if nothing was accepted), ``to_the_leaf`` the share of all items accepted
    down to a leaf of the tree; ``hierarchical`` counts an abstention as an empty path."""

    coverage: float
    precision: float | None
    to_the_leaf: float
    hierarchical: Hierarchical


@dataclass(frozen=True)
class LearningPoint:
    """What a head is worth that learnt from ``examples`` products, at most ``each`` of a category
    (0: all): accuracy, and the share accepted."""

    examples: int
    each: int
    accuracy: float
    coverage: float


@dataclass(frozen=True)
class AxisEvaluation:
    """The measures of one axis over ``items`` labelled items; shares are from 0 to 1.

    ``values`` are the classes that are true or predicted of some item, and ``confusion`` (v, v)
    int64 counts items by true (rows) and predicted value. ``partial`` counts items labelled with
    an inner node of the tree, which nothing is measured on, since their leaf is not known.
    ``by_value`` goes by ``values``; ``worst`` are the surest mistakes, ``suspects`` the labels
    most likely to be wrong themselves.
    """

    axis: str
    items: int
    partial: int
    values: tuple[str, ...]
    accuracy: float
    top_3: float
    macro_f1: float
    weighted_f1: float
    hierarchical: Hierarchical
    ece: float
    accepted: Accepted
    coverage_at_precision: float
    reliability: Reliability
    curve: CoverageCurve
    confusion: np.ndarray
    by_value: tuple[ValueScores, ...]
    worst: tuple[Case, ...]
    suspects: tuple[Case, ...] = ()
    learning: tuple[LearningPoint, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as documented in docs/categorisation-evaluation.md."""
        rows, columns = np.nonzero(self.confusion)
        found = asdict(replace(self, confusion=[]))  # type: ignore[arg-type]
        for name, fields in (("reliability", self.reliability), ("curve", self.curve)):
            found[name] = {key: value.tolist() for key, value in vars(fields).items()}
        return found | {
            "confusion": [
                {"label": self.values[row], "predicted": self.values[column], "count": count}
                for row, column, count in zip(
                    rows.tolist(), columns.tolist(), self.confusion[rows, columns].tolist(),
                    strict=True,
                )
            ],
            "worst": [case_as_dict(case) for case in self.worst],
            "suspects": [case_as_dict(case) for case in self.suspects],
        }  # fmt: skip


def case_as_dict(case: Case) -> dict[str, Any]:
    """Return a case as one flat JSON object."""
    return asdict(case.item) | {name: value for name, value in vars(case).items() if name != "item"}


def measure_axis(
    axis: str,
    prediction: Prediction,
    labels: Sequence[str],
    items: Sequence[Item],
    *,
    leaves: Sequence[str],
    precision: float,
) -> AxisEvaluation | None:
    """Measure the predictions of one axis for items of which the label is known.

    ``labels`` has "" where it is not known; ``leaves`` are the values that are not partial
    (attributes: all). ``precision`` is what ``coverage_at_precision`` asks for. Returns None where
    no item has a leaf for a label.
    """
    whole = set(leaves)
    rows = np.array([at for at, label in enumerate(labels) if label in whole], dtype=np.int64)
    if not len(rows):
        return None
    truth = [labels[row] for row in rows.tolist()]
    probabilities = prediction.probabilities[rows]
    best = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(rows)), best].astype(np.float64)
    said = [prediction.values[column] for column in best.tolist()]
    values = _seen([*leaves, *prediction.values], {*truth, *said})
    number = {value: at for at, value in enumerate(values)}
    true = np.array([number[value] for value in truth])
    predicted = np.array([number[value] for value in said])
    right = true == predicted
    column = {value: at for at, value in enumerate(prediction.values)}
    curve = measures.coverage_curve(confidence, right)
    accepted = [prediction.accepted[row] for row in rows.tolist()]
    wrong = np.flatnonzero(~right)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:_WORST].tolist()
    return AxisEvaluation(
        axis=axis,
        items=len(rows),
        partial=sum(bool(label) and label not in whole for label in labels),
        values=tuple(values),
        accuracy=measures.accuracy(true, predicted),
        top_3=measures.top_k_accuracy(
            np.array([column.get(value, -1) for value in truth]), probabilities, 3
        ),
        macro_f1=measures.macro_f1(true, predicted),
        weighted_f1=measures.weighted_f1(true, predicted),
        hierarchical=measures.hierarchical(_levels(truth), _levels(said)),
        ece=expected_calibration_error(confidence, right),
        accepted=_accepted(truth, accepted, whole),
        coverage_at_precision=measures.coverage_at(curve, precision),
        reliability=measures.reliability(confidence, right),
        curve=_thinned(curve),
        confusion=measures.confusion(true, predicted, len(values)),
        by_value=_by_value(values, true, predicted, np.array([bool(each) for each in accepted])),
        worst=tuple(
            Case(items[rows[at]], truth[at], said[at], float(confidence[at])) for at in surest
        ),
    )


def _seen(order: Sequence[str], seen: set[str]) -> list[str]:
    """Return the values that were seen, in the order of the taxonomy."""
    return [value for value in dict.fromkeys(order) if value in seen]


def _levels(paths: Sequence[str]) -> list[tuple[str, ...]]:
    return [names(path) if path else () for path in paths]


def _accepted(truth: Sequence[str], accepted: Sequence[str], leaves: set[str]) -> Accepted:
    """Judge what was accepted: an inner node is right if the label lies below it."""
    given = [(label, value) for label, value in zip(truth, accepted, strict=True) if value]
    right = sum(within(label, value) for label, value in given)
    return Accepted(
        coverage=len(given) / len(truth),
        precision=right / len(given) if given else None,
        to_the_leaf=sum(value in leaves for _, value in given) / len(truth),
        hierarchical=measures.hierarchical(_levels(truth), _levels(accepted)),
    )


def _by_value(
    values: Sequence[str], true: np.ndarray, predicted: np.ndarray, accepted: np.ndarray
) -> tuple[ValueScores, ...]:
    scores = measures.class_scores(true, predicted, len(values))
    covered = np.bincount(true, weights=accepted, minlength=len(values))
    coverage = covered / np.maximum(scores.support, 1)
    columns = (scores.support, scores.precision, scores.recall, scores.f1, coverage)
    rows = zip(values, *(each.tolist() for each in columns), strict=True)
    return tuple(ValueScores(*row) for row in rows)


def _thinned(curve: CoverageCurve) -> CoverageCurve:
    """Keep few enough points to draw, spread evenly, with the first and the last."""
    count = len(curve.threshold)
    kept = np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int))
    return CoverageCurve(curve.threshold[kept], curve.coverage[kept], curve.precision[kept])
