"""What there is to learn an axis from, and its experts learning from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vision.experts import (
    Expert,
    Features,
    Linear,
    Names,
    fit_discriminant,
    fit_frequency,
    fit_neighbours,
    fit_prototypes,
)
from vision.logistic import fit_logistic
from vision.targets import Labels, make_labels

MOST_HELD_OUT = 10_000  # examples that are held out to weigh experts and set thresholds
REMEMBERED = 10_000  # examples that are kept as neighbours
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
    """What is there to learn an axis from.

    ``features`` gives the features of all examples at a colour weight; ``values`` are their labels
    (n,), none empty; ``classes`` the leaves or values to tell apart.
    """

    axis: str
    tree: bool
    features: Callable[[float], Features]
    values: tuple[str, ...]
    classes: tuple[str, ...]
    names: Names | None
    seed: int

    @property
    def labels(self) -> Labels:
        """Return the values as labels."""
        return make_labels(self.values, self.classes, self.tree)

    def part(self, rows: np.ndarray, classes: Sequence[str] | None = None) -> Task:
        """Return the task with some of the examples, and maybe only some of the classes."""
        chosen = tuple(classes or self.classes)
        names = self.names
        if names is not None:
            names = Names(names.vectors[[self.classes.index(each) for each in chosen]])
        return replace(
            self,
            features=lambda weight: self.features(weight).take(rows),
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
) -> dict[str, Expert]:
    """Fit those experts that are wanted, and in any case the two that tell strangers."""
    found: dict[str, Expert] = {
        "prototypes": fit_prototypes(features.rows, labels),
        "neighbours": fit_neighbours(features.rows[kept], labels.take(kept), settings.sharpness),
    }
    if "linear" in wanted:
        found["linear"] = Linear(*fit_logistic(features.rows, labels, settings.inverse_penalty))
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
