"""What there is to learn an axis from, and its experts learning from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vision.head.experts import (
    Expert,
    Features,
    Linear,
    Names,
    fit_discriminant,
    fit_frequency,
    fit_neighbours,
    fit_prototypes,
)
from vision.head.inputs import Space
from vision.head.logistic import fit_logistic
from vision.head.targets import Labels, make_labels

MOST_HELD_OUT = 10_000  # examples that are held out to weigh experts and set thresholds
REMEMBERED = 5_000  # examples that are kept as neighbours
_CELLS = 20_000_000  # probabilities that are held at once


@dataclass(frozen=True)
class Settings:
    """The few numbers of an axis that cross-validation chooses.

    ``colour_weight`` is the share of the colours in the features, ``inverse_penalty`` that of the
    logistic regression, ``sharpness`` how fast a neighbour's vote falls with its distance.
    """

    colour_weight: float = 0.2
    inverse_penalty: float = 10.0
    sharpness: float = 20.0


@dataclass(frozen=True)
class Task:
    """What there is to learn an axis from.

    ``parts`` (n, r + s) are the examples in the shared ``space``, ``vectors`` (n, d) their
    embeddings, ``values`` their labels (n,), none empty; ``classes`` are the
    leaves or values to tell apart, ``names`` what these are called, where the encoder knows words;
    ``series`` (n,) tell which of them belong together. ``asked`` (m, r + s) are what predictions
    will be asked of, None where that is no other than the examples.
    """

    axis: str
    tree: bool
    space: Space
    parts: np.ndarray
    vectors: np.ndarray
    values: tuple[str, ...]
    classes: tuple[str, ...]
    names: Names | None
    series: np.ndarray
    seed: int
    asked: np.ndarray | None = None

    @cached_property
    def labels(self) -> Labels:
        """The values as labels."""
        return make_labels(self.values, self.classes, self.tree)

    def features(self, colour_weight: float) -> Features:
        """Return what experts look at."""
        return Features(self.space.weighed(self.parts, colour_weight), self.vectors)

    def part(self, rows: np.ndarray, classes: Sequence[str] = ()) -> Task:
        """Return the task with some of the examples, and maybe only some of the classes."""
        chosen = tuple(classes) or self.classes
        names = self.names
        if names is not None:
            names = names.take([self.classes.index(each) for each in chosen])
        return replace(
            self,
            parts=self.parts[rows],
            vectors=self.vectors[rows],
            series=self.series[rows],
            values=tuple(self.values[row] for row in rows.tolist()),
            classes=chosen,
            names=names,
        )


def fit_experts(
    features: Features,
    labels: Labels,
    settings: Settings,
    names: Names | None,
    wanted: Collection[str],
    kept: np.ndarray,
    start: Expert | None = None,
) -> dict[str, Expert]:
    """Fit those experts that are wanted, and in any case the two that tell strangers.

    ``kept`` says which examples the neighbours are; ``start`` may be a linear expert to begin with.
    """
    found: dict[str, Expert] = {
        "prototypes": fit_prototypes(features.rows, labels),
        "neighbours": fit_neighbours(features.rows[kept], labels.take(kept), settings.sharpness),
    }
    if "linear" in wanted:
        begin = (start.weight, start.bias) if isinstance(start, Linear) else None
        fitted = fit_logistic(features.rows, labels, settings.inverse_penalty, begin)
        found["linear"] = Linear(*fitted)
    if "discriminant" in wanted:
        found["discriminant"] = fit_discriminant(features.rows, labels)
    if "frequency" in wanted:
        found["frequency"] = fit_frequency(labels)
    if names is not None and "names" in wanted:
        found["names"] = names
    return found


def remembered(labels: Labels, seed: int) -> np.ndarray:
    """Return which examples are kept as neighbours: all, or a sample with all rare classes."""
    n = len(labels)
    if n <= REMEMBERED:
        return np.arange(n)
    order = np.random.default_rng(seed).permutation(n)
    # Each example's rank within its class decides, so that every class gives its first ones.
    by_code = order[np.argsort(labels.codes[order], kind="stable")]
    sizes = np.bincount(labels.codes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = np.empty(n, dtype=np.int64)
    rank[by_code] = np.arange(n) - starts
    return np.sort(np.argsort(rank, kind="stable")[:REMEMBERED])


def most_held_out(task: Task) -> int:
    """Return how many examples are held out at most, so that memory stays bounded."""
    return max(1, min(MOST_HELD_OUT, _CELLS // len(task.classes)))
