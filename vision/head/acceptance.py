"""Which predictions may stand: how deep into the tree a probability reaches the asked precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vision.arrays import dot
from vision.categories import SEPARATOR
from vision.head.targets import Labels

_RUN = 4096  # rows that are compared at once

NEVER = 2.0  # a threshold that no probability reaches

# Thresholds that are tried, closer to each other towards one. What is accepted is in any case
# likelier than all else together.
_GRID = 1.0 / (1.0 + np.exp(-np.linspace(0.01, 12.0, 480)))


@dataclass(frozen=True)
class Tree:
    """The nodes above some classes, and the classes; without a tree, the classes alone.

    A node's probability is the sum of its classes', so that parents and children agree.
    """

    classes: tuple[str, ...]
    flat: bool

    @cached_property
    def levels(self) -> tuple[tuple[tuple[str, ...], np.ndarray, np.ndarray], ...]:
        """Per level from the top: the nodes, the place of each one's parent in the level above,
        and for each class the place of its node or -1, (classes,)."""
        paths = [(each,) if self.flat else tuple(each.split(SEPARATOR)) for each in self.classes]
        levels = []
        above: dict[tuple[str, ...], int] = {(): 0}
        for depth in range(1, max(map(len, paths), default=0) + 1):
            heads = [path[:depth] if len(path) >= depth else None for path in paths]
            here = {head: at for at, head in enumerate(dict.fromkeys(filter(None, heads)))}
            parents = np.array([above[head[:-1]] for head in here], dtype=np.int64)
            member = np.array([-1 if head is None else here[head] for head in heads])
            levels.append((tuple(map(SEPARATOR.join, here)), parents, member))
            above = here
        return tuple(levels)

    def chain(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follow the likeliest child from the top down, for probabilities (n, classes).

        Returns the places of the nodes within their levels (n, levels) int64, -1 below the end,
        and their probabilities (n, levels) float32, -1 below the end.
        """
        n = len(probabilities)
        at = np.full((n, len(self.levels)), -1, dtype=np.int64)
        sure = np.full((n, len(self.levels)), -1.0, dtype=np.float32)
        current = np.zeros(n, dtype=np.int64)
        for depth, (nodes, parents, member) in enumerate(self.levels):
            sums = np.zeros((len(nodes), n), dtype=np.float64)
            inside = member >= 0
            np.add.at(sums, member[inside], probabilities.T[inside])
            open_ones = np.where(parents[:, None] == current[None], sums, -1.0)
            best = open_ones.argmax(axis=0)
            value = open_ones[best, np.arange(n)]
            there = value >= 0.0
            at[there, depth], sure[there, depth] = best[there], value[there]
            current = np.where(there, best, -1)
        return at, np.minimum(sure, 1.0)

    def right(self, at: np.ndarray, labels: Labels) -> np.ndarray:
        """Tell which nodes of chains are right, (n, levels) bool.

        A node is right where all that the label allows lies within it.
        """
        found = np.zeros(at.shape, dtype=bool)
        for depth, (nodes, _, member) in enumerate(self.levels):
            inside = member[None] == np.arange(len(nodes))[:, None]  # (nodes, classes)
            holds = ~(labels.allows[None] & ~inside[:, None]).any(axis=2)  # (nodes, labels)
            there = at[:, depth] >= 0
            found[there, depth] = holds[at[there, depth], labels.codes[there]]
        return found

    def names(self, at: np.ndarray, depth: np.ndarray) -> list[str]:
        """Return the paths of nodes, by their places in chains and depths (n,); "" for -1."""
        return [
            self.levels[level][0][row[level]] if level >= 0 else ""
            for row, level in zip(at.tolist(), depth.tolist(), strict=True)
        ]


def deepest(sure: np.ndarray, threshold: float) -> np.ndarray:
    """Return the deepest level that reaches a threshold, (n,) int64, -1 where none does."""
    reached = sure >= max(threshold, 0.0)
    last = sure.shape[1] - 1 - reached[:, ::-1].argmax(axis=1)
    return np.where(reached.any(axis=1), last, -1)


@dataclass(frozen=True)
class Curve:
    """What each threshold would have accepted of the held-out examples.

    ``thresholds`` (t,) float32 rise, ``errors`` (t,) float32 counts wrong ones among the accepted,
    ``accepted`` (t, classes) float32 counts the accepted by their true class, and ``asked``
    (classes,) float32 all of them; each example counts as much as it stands for.
    """

    thresholds: np.ndarray
    errors: np.ndarray
    accepted: np.ndarray
    asked: np.ndarray

    def threshold(self, precision: float) -> float:
        """Return the lowest threshold at which accepted predictions are right as often as asked.

        One more error than was seen is reckoned with, so that few examples prove nothing:
        (errors + 1) / (accepted + 1) <= 1 - precision, as in conformal risk control
        (Angelopoulos et al., ICLR 2024). NEVER where there is none.
        """
        total = self.accepted.sum(axis=1)
        good = np.flatnonzero(self.errors + 1 <= (1.0 - precision) * (total + 1) + 1e-9)
        return float(self.thresholds[good[0]]) if len(good) else NEVER

    def coverage(self, threshold: float) -> np.ndarray:
        """Return the share of each class that is accepted, (classes,), nan without examples."""
        at = int(np.searchsorted(self.thresholds, np.float32(threshold)))
        counts = self.accepted[at] if at < len(self.thresholds) else np.zeros(len(self.asked))
        with np.errstate(invalid="ignore"):
            shares: np.ndarray = counts / self.asked
        return shares

    def measured(self, precision: float) -> dict[str, float | None]:
        """Return the threshold for a precision, and what it meant for the held-out examples."""
        threshold = self.threshold(precision)
        if threshold == NEVER:
            return {"threshold": None, "coverage": 0.0, "precision": None}
        at = int(np.searchsorted(self.thresholds, np.float32(threshold)))
        accepted = float(self.accepted[at].sum())
        return {
            "threshold": threshold,
            "coverage": accepted / max(1.0, float(self.asked.sum())),
            "precision": 1.0 - float(self.errors[at]) / accepted,
        }


def stand_for(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return how much of what is asked, unit rows (m, d), each example, (n, d), stands for: (n,).

    People label what is unclear first, so that labelled examples are harder than the rest. An
    example counts once for itself and once for every asked row that it is the nearest to (the
    nearest-neighbour density ratio; Loog, "Nearest neighbor-based importance weighting", MLSP
    2012). The sum is the number of equal examples that would tell as much (Kish, 1965).
    """
    votes = np.ones(len(rows))
    for at in range(0, len(asked), _RUN):
        nearest = dot(asked[at : at + _RUN], rows.T).argmax(axis=1)
        votes += np.bincount(nearest, minlength=len(rows))
    shares: np.ndarray = votes * (votes.sum() / (votes**2).sum())
    return shares


def make_curve(
    tree: Tree,
    probabilities: np.ndarray,
    labels: Labels,
    admitted: np.ndarray,
    shares: np.ndarray,
) -> Curve:
    """Count over held-out predictions (n, classes); only ``admitted`` ones (n,) can be accepted.

    ``shares`` (n,) is how much each example counts (see ``stand_for``).
    Only examples whose label names a class can tell, since others may be right unseen.
    """
    exact = labels.exact
    at, sure = tree.chain(probabilities[exact])
    known = labels.take(np.flatnonzero(exact))
    right = tree.right(at, known)
    sure[~admitted[exact]] = -1.0
    classes, share = len(tree.classes), shares[exact]
    errors = np.zeros(len(_GRID), dtype=np.float32)
    accepted = np.zeros((len(_GRID), classes), dtype=np.float32)
    for place, threshold in enumerate(_GRID.tolist()):
        depth = deepest(sure, threshold)
        rows = np.flatnonzero(depth >= 0)
        errors[place] = share[rows][~right[rows, depth[rows]]].sum()
        accepted[place] = np.bincount(known.codes[rows], share[rows], minlength=classes)
    asked = np.bincount(known.codes, share, minlength=classes).astype(np.float32)
    return Curve(_GRID.astype(np.float32), errors, accepted, asked)


def calibration_error(sure: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error of confidences (n,), right or not (n,) bool.

    |confidence - accuracy| averaged over equal-width bins by their share (Guo et al., ICML 2017).
    """
    cell = np.minimum((sure * bins).astype(int), bins - 1)
    gap = np.bincount(cell, weights=sure - right, minlength=bins)
    return float(np.abs(gap).sum() / max(1, len(sure)))


def hit_share(probabilities: np.ndarray, labels: Sequence[int] | np.ndarray, k: int = 1) -> float:
    """Return how often the true class is among the k likeliest."""
    if k >= probabilities.shape[1]:
        return 1.0
    best = np.argpartition(-probabilities, k - 1, axis=1)[:, :k]
    return float((best == np.asarray(labels)[:, None]).any(axis=1).mean())
