"""One output of the head: what it says of an axis, the category or an attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vision.categories import translate
from vision.head.acceptance import NEVER, Curve, Tree, deepest
from vision.head.corrections import Corrected, Similarity, correct, surprise_at
from vision.head.experts import Expert, Features, Neighbours, Prototypes
from vision.head.mixture import combine
from vision.head.outside import Outside, facts_of


@dataclass(frozen=True)
class Prediction:
    """What is said of n products on one axis.

    ``values`` are the classes: paths of categories, or values of an attribute. ``probabilities``
    (n, values) float32 have rows that sum to one. ``outside`` (n,) float32 is the probability that
    none of the values fits. ``accepted`` has for each product the value that is right as often as
    was asked (for categories the deepest such path) or "", and ``confidence`` (n,) float32 its
    probability, or the best value's where nothing is accepted.
    """

    values: tuple[str, ...]
    probabilities: np.ndarray
    outside: np.ndarray
    accepted: tuple[str, ...]
    confidence: np.ndarray

    def best(self, k: int) -> list[list[tuple[str, float]]]:
        """Return for each product its k likeliest values with their probabilities, best first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        sure = np.take_along_axis(self.probabilities, order, axis=1)
        return [
            [(self.values[at], p) for at, p in zip(*row, strict=True)]
            for row in zip(order.tolist(), sure.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class AxisHead:
    """What was learnt of one axis.

    ``classes`` are in the order of the experts' scores; after categories were merged, some occur
    twice. ``kept`` (m,) says which of the head's remembered examples the neighbours are.
    ``outside`` and ``curve`` are None where too little was labelled to hold anything out: nothing
    is accepted then. ``figures`` are what was measured, as JSON values.
    """

    axis: str
    classes: tuple[str, ...]
    tree: bool
    colour_weight: float
    experts: Mapping[str, Expert]
    weights: Mapping[str, float]
    kept: np.ndarray
    outside: Outside | None
    curve: Curve | None
    similarity: Similarity
    figures: Mapping[str, Any]

    def log_probabilities(self, features: Features) -> tuple[np.ndarray, np.ndarray | None]:
        """Return log-probabilities (n, classes), and facts (n, facts) about being outside."""
        neighbours, prototypes = self.experts.get("neighbours"), self.experts.get("prototypes")
        scores: dict[str, np.ndarray] = {}
        cosines = None
        if isinstance(neighbours, Neighbours):
            scores["neighbours"], cosines = neighbours.look(features)
        for name in self.weights:
            if name not in scores:
                scores[name] = self.experts[name].scores(features)
        log_p = combine(scores, self.weights)
        if cosines is None or not isinstance(prototypes, Prototypes):
            return log_p, None
        return log_p, facts_of(features, cosines, prototypes, log_p)

    def predict(
        self, features: Features, precision: float, corrected: Corrected | None = None
    ) -> Prediction:
        """Return what is said of products, with accepted values for the asked precision."""
        log_p, facts = self.log_probabilities(features)
        values, p = merged(self.classes, np.exp(log_p))
        outside = np.zeros(len(features), dtype=np.float32)
        if self.outside is not None and facts is not None:
            outside = self.outside.probability(facts)
        if corrected is not None:
            values, p, loudest = correct(self.similarity, features.rows, values, p, corrected)
            outside = outside / (outside + (1.0 - outside) * np.exp(loudest))
        accepted, confidence = self._accept(values, p, outside, precision)
        return Prediction(values, p, outside, accepted, confidence)

    def corrected(self, features: Features, labels: tuple[str, ...]) -> Corrected:
        """Return what new labels of products mean for others."""
        log_p, _ = self.log_probabilities(features)
        values, p = merged(self.classes, np.exp(log_p))
        return Corrected(features.rows, labels, surprise_at(labels, values, p))

    def _accept(
        self, values: tuple[str, ...], p: np.ndarray, outside: np.ndarray, precision: float
    ) -> tuple[tuple[str, ...], np.ndarray]:
        best = p.max(axis=1)
        threshold = self.curve.threshold(precision) if self.curve is not None else NEVER
        if threshold == NEVER:
            return ("",) * len(p), best
        limit = self.outside.limit if self.outside is not None else 1.0
        tree = Tree(values, flat=not self.tree)
        at, sure = tree.chain(p)
        depth = np.where(outside <= limit, deepest(sure, threshold), -1)
        reached = sure[np.arange(len(p)), depth]
        return tuple(tree.names(at, depth)), np.where(depth >= 0, reached, best)

    def report(self, precision: float) -> dict[str, Any]:
        """Return what was measured on held-out examples, for an asked precision, as JSON values.

        "weights" tells which experts are listened to, "coverage" the share that is accepted, and
        "coverage_by_class" that of each class with examples that were held out.
        """
        found: dict[str, Any] = {**self.figures, "weights": dict(self.weights)}
        if self.outside is not None:
            found["strangers"] = {"told": self.outside.told, "caught": self.outside.caught}
        if self.curve is not None:
            found |= self.curve.measured(precision)
            shares = self.curve.coverage(self.curve.threshold(precision)).tolist()
            asked = self.curve.asked.tolist()
            found["coverage_by_class"] = {
                name: share
                for name, share, count in zip(self.classes, shares, asked, strict=True)
                if count
            }
        return found

    def renamed(self, moves: Mapping[str, str]) -> AxisHead:
        """Return the same with its categories' new paths."""
        return replace(self, classes=tuple(translate(each, moves) for each in self.classes))


def merged(classes: Sequence[str], probabilities: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Add up the probabilities of classes that have the same name."""
    values = tuple(dict.fromkeys(classes))
    if len(values) == len(classes):
        return values, probabilities
    places = {value: at for at, value in enumerate(values)}
    summed = np.zeros((len(values), len(probabilities)), dtype=np.float32)
    np.add.at(summed, [places[each] for each in classes], probabilities.T)
    return values, np.ascontiguousarray(summed.T)
