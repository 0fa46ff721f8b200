"""Cross-validation: who is held out when, and what a head says of products it has not seen."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from index.progress import Progress, silent
from vision.errors import HeadError
from vision.head import Examples, Prediction

_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # examples of each class


class Predictor(Protocol):
    """What a fitted head can do."""

    def predict(self, vectors: np.ndarray, colours: np.ndarray) -> Mapping[str, Prediction]:
        """Return one prediction for each axis."""


Fit = Callable[[Examples], Predictor]


@dataclass(frozen=True)
class Learnt:
    """One point of a learning curve: predictions for the same held-out products by a head that saw
    ``examples`` products, at most ``each`` of a class (0: all there are)."""

    examples: int
    each: int
    predictions: dict[str, Prediction]


def stratified_folds(labels: Sequence[str], hashes: Sequence[str], folds: int) -> np.ndarray:
    """Deal n items out to folds: (n,) int64, 0 to ``folds`` - 1.

    Each class is spread evenly (stratified; Kohavi, IJCAI 1995), in an order given by the hashes,
    so that the folds do not depend on the order of the items. Items of the same hash, products
    with the same picture, go to the same fold, or the head would have seen what it is asked.
    """
    order = sorted(range(len(labels)), key=lambda item: (labels[item], hashes[item]))
    fold: dict[str, int] = {}
    for item in order:  # the next class goes on where this one ends: folds of equal size
        fold.setdefault(hashes[item], len(fold) % folds)
    return np.array([fold[each] for each in hashes], dtype=np.int64)


def ranks(labels: Sequence[str], hashes: Sequence[str], among: np.ndarray) -> np.ndarray:
    """Return the place of each item within its class, by its hash, from 0: (n,) int64.

    Only items of ``among`` (n,) bool have a place; the others get -1.
    """
    found = np.full(len(labels), -1, dtype=np.int64)
    seen: Counter[str] = Counter()
    for item in sorted(np.flatnonzero(among).tolist(), key=lambda item: (hashes[item], item)):
        found[item] = seen[labels[item]]
        seen[labels[item]] += 1
    return found


def out_of_fold(
    examples: Examples, fold: np.ndarray, fit: Fit, progress: Progress = silent
) -> dict[str, Prediction]:
    """Return what is said of every example by a head that was fitted without its fold."""
    folds = int(fold.max()) + 1
    parts: dict[str, list[tuple[np.ndarray, Prediction]]] = defaultdict(list)
    progress("cross-validate", 0, folds)
    for each in range(folds):
        held_out = np.flatnonzero(fold == each)
        if len(held_out):
            head = fit(subset(examples, np.flatnonzero(fold != each)))
            said = head.predict(examples.vectors[held_out], examples.colours[held_out])
            for axis, prediction in said.items():
                parts[axis].append((held_out, prediction))
        progress("cross-validate", each + 1, folds)
    return {axis: joined(said, len(fold)) for axis, said in parts.items()}


def learning_curve(
    examples: Examples,
    held_out: np.ndarray,
    rank: np.ndarray,
    fit: Fit,
    progress: Progress = silent,
) -> list[Learnt]:
    """Return what heads say that saw 1, 2, 5, 10... examples of each class, and then all.

    ``held_out`` (n,) bool are never seen; of the others those with the lowest ``rank`` (n,) int
    are seen first. Where there are too few to fit a head, the point is left out.
    """
    most = int(rank[~held_out].max(initial=0)) + 1
    steps = [each for each in _STEPS if each < most] + [most]
    points = []
    progress("learning curve", 0, len(steps))
    for done, step in enumerate(steps, 1):
        rows = np.flatnonzero(~held_out & (rank < step))
        with contextlib.suppress(HeadError):
            head = fit(subset(examples, rows))
            said = head.predict(examples.vectors[held_out], examples.colours[held_out])
            points.append(Learnt(len(rows), 0 if step == most else step, dict(said)))
        progress("learning curve", done, len(steps))
    return points


def subset(examples: Examples, rows: np.ndarray) -> Examples:
    """Return the examples at these places."""
    labels = {
        axis: tuple(values[row] for row in rows.tolist())
        for axis, values in examples.labels.items()
    }
    return Examples(examples.vectors[rows], examples.colours[rows], labels)


def joined(parts: Iterable[tuple[np.ndarray, Prediction]], size: int) -> Prediction:
    """Put predictions of disjoint places together as one of ``size`` items.

    Heads that were fitted on other examples may know other classes: one that a head does not know
    has probability 0 there.
    """
    parts = list(parts)
    values = tuple(dict.fromkeys(value for _, part in parts for value in part.values))
    column = {value: at for at, value in enumerate(values)}
    probabilities = np.zeros((size, len(values)), dtype=np.float32)
    outside = np.zeros(size, dtype=np.float32)
    confidence = np.zeros(size, dtype=np.float32)
    accepted = [""] * size
    for rows, part in parts:
        columns = np.array([column[value] for value in part.values], dtype=np.int64)
        probabilities[np.ix_(rows, columns)] = part.probabilities
        outside[rows], confidence[rows] = part.outside, part.confidence
        for row, value in zip(rows.tolist(), part.accepted, strict=True):
            accepted[row] = value
    return Prediction(values, probabilities, outside, tuple(accepted), confidence)
