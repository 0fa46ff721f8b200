"""Measures of categorisation: arrays in, numbers out.

``true`` and ``predicted`` are (n,) int: the class of each item. ``confidence`` is (n,) float in
[0, 1] and ``right`` (n,) bool: how sure a prediction was, and whether it is right. The expected
calibration error is in `index.evaluation.measures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall, F1 (float64) and support (int64) of each class, all (classes,)."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


@dataclass(frozen=True)
class Hierarchical:
    """Hierarchical precision, recall and F, from 0 to 1."""

    precision: float
    recall: float
    f: float


@dataclass(frozen=True)
class Reliability:
    """The bins of a reliability diagram, all (bins,): mean confidence and share of right ones
    (float64, 0 in an empty bin), and how many predictions there are (int64)."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class CoverageCurve:
    """What accepting from a threshold on gives, all (m,) float64, from the surest on.

    ``precision`` is the share of right ones among those accepted at ``threshold`` or above,
    ``coverage`` the share accepted of all.
    """

    threshold: np.ndarray
    coverage: np.ndarray
    precision: np.ndarray


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of predictions that are right; 0 of none."""
    return float((true == predicted).mean()) if len(true) else 0.0


def macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean of the F1 of the classes that are either true or predicted, each counting
    the same (Sokolova and Lapalme, Information Processing and Management 45(4), 2009)."""
    return float(f1_score(true, predicted, average="macro", zero_division=0)) if len(true) else 0.0


def weighted_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean of the classes' F1, each counting by how many items are truly of it."""
    if not len(true):
        return 0.0
    return float(f1_score(true, predicted, average="weighted", zero_division=0))


def class_scores(true: np.ndarray, predicted: np.ndarray, classes: int) -> ClassScores:
    """Return the measures of each of the classes 0 to ``classes`` - 1; 0 where undefined."""
    if not len(true):
        nothing = np.zeros(classes)
        return ClassScores(nothing, nothing, nothing, np.zeros(classes, dtype=np.int64))
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=np.arange(classes), zero_division=0
    )
    return ClassScores(precision, recall, f1, support.astype(np.int64))


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix: (classes, classes) int64, rows the truth, columns what was
    predicted."""
    counts = np.bincount(true * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def most_confused(matrix: np.ndarray, most: int) -> np.ndarray:
    """Return the classes, at most ``most``, that errors lead from or to most often, ascending.

    The pairs of classes are gone through by how often they are taken for each other, so that both
    sides of a confusion are shown; what is left over goes to the largest classes.
    """
    pairs = matrix + matrix.T
    upper = np.triu(pairs, 1)
    order = np.argsort(-upper, axis=None, kind="stable")[: int((upper > 0).sum())]
    chosen: dict[int, None] = {}
    for pair in np.column_stack(np.unravel_index(order, matrix.shape)).tolist():
        missing = [each for each in pair if each not in chosen]
        if len(chosen) + len(missing) <= most:
            chosen.update(dict.fromkeys(missing))
    for each in np.argsort(-matrix.sum(axis=1), kind="stable").tolist():
        if len(chosen) >= most:
            break
        chosen[each] = None
    return np.array(sorted(chosen), dtype=np.int64)


def top_k_accuracy(true: np.ndarray, probabilities: np.ndarray, k: int) -> float:
    """Return the share of items whose class is among the ``k`` most probable.

    ``probabilities`` is (n, classes); a class outside its columns is never found. Equal ones count
    in the order of the classes, as ``argmax`` has it (Russakovsky et al., IJCV 115(3), 2015).
    """
    if not len(true):
        return 0.0
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((best == true[:, None]).any(axis=1).mean())


def hierarchical(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Hierarchical:
    """Return hierarchical precision, recall and F over sets of ancestors, the root left out.

    Each item is a path as its levels from the top; a prediction may stop early, and an empty one
    abstains. The ancestors of a node, with itself, are the beginnings of its path, so that two
    nodes share as many as their paths have levels in common: hP = sum |P & T| / sum |P|,
    hR = sum |P & T| / sum |T| (Kiritchenko et al., "Functional annotation of genes using
    hierarchical text categorization", BioLINK 2005). Without any prediction, precision is 0.
    """
    shared = sum(_common(*pair) for pair in zip(true, predicted, strict=True))
    precision = shared / max(1, sum(map(len, predicted)))
    recall = shared / max(1, sum(map(len, true)))
    both = precision + recall
    return Hierarchical(precision, recall, 2 * precision * recall / both if both else 0.0)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many levels two paths have in common from the top."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> Reliability:
    """Return a reliability diagram over bins of equal width, the same that the expected
    calibration error is made of (Niculescu-Mizil and Caruana, ICML 2005)."""
    cell = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(cell, minlength=bins)
    some = np.maximum(count, 1)
    return Reliability(
        np.bincount(cell, weights=confidence, minlength=bins) / some,
        np.bincount(cell, weights=right, minlength=bins) / some,
        count.astype(np.int64),
    )


def coverage_curve(confidence: np.ndarray, right: np.ndarray) -> CoverageCurve:
    """Return precision against coverage at every threshold that tells items apart.

    One minus the risk-coverage curve of selective classification (El-Yaniv and Wiener, JMLR 11,
    2010). Items of equal confidence are accepted together or not at all.
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    last = np.append(sure[1:] != sure[:-1], True)[: len(sure)]  # of those that are equally sure
    accepted = np.arange(1, len(sure) + 1)
    precision = np.cumsum(right[order]) / accepted
    return CoverageCurve(
        sure[last].astype(np.float64), accepted[last] / max(1, len(sure)), precision[last]
    )


def coverage_at(curve: CoverageCurve, precision: float) -> float:
    """Return the largest coverage whose precision is at least the asked one; 0 if none is.

    Chosen with hindsight on the very items it is measured on: what is possible, not a promise.
    """
    reached = curve.precision >= precision
    return float(curve.coverage[reached].max()) if reached.any() else 0.0
