"""Series, photos of a thing or variants of a product, and folds that keep each of them together.

A head is asked about things that it has not seen. Where the examples come in series, a random fold
would ask it about the next photo of a thing that it has seen, and the answers would look surer than
they are. So examples of one kind stay in one fold that are nearer to each other than most strangers
ever are, and than what is usual within the kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.arrays import dot
from vision.head.targets import Labels

FOLDS = 5
_STRANGERS = 0.75  # of the examples have their nearest stranger farther than a series reaches
_USUAL = 0.5  # of the pairs within a kind are farther apart than those of a series
_SAMPLE = 2000  # examples that strangers are looked for among
_BLOCK = 1000  # examples of one kind that are compared with each other


def find_series(rows: np.ndarray, kinds: Sequence[str], seed: int = 0) -> np.ndarray:
    """Return the number of the series that each example belongs to, (n,) int64.

    ``rows`` (n, D) are unit; ``kinds`` are the categories, "" where not known: a series lies within
    one, and has at most a fifth of it, or too little would be left to learn from without it.
    """
    names, codes = np.unique(np.array(kinds), return_inverse=True)
    known = codes if names[0] else codes - 1
    reach = _reach(rows, known, seed)
    series = np.empty(len(rows), dtype=np.int64)
    total = 0
    for code in range(len(names)):
        members = np.flatnonzero(codes == code)
        for group in _linked(rows[members], reach, -(-len(members) // FOLDS)):
            series[members[group]] = total
            total += 1
    return series


def make_folds(series: np.ndarray, labels: Labels, most: int, seed: int = 0) -> np.ndarray:
    """Return the fold in which each example is held out, (n,) int64; -1: never.

    With more than ``most`` examples, a single fold of them is held out; otherwise there are five,
    or fewer where most classes have fewer examples. A class's only example is never held out.
    """
    n = len(series)
    rng = np.random.default_rng(seed)
    sizes = np.bincount(labels.codes)
    parts = int(np.clip(np.median(sizes[sizes > 0]), 2, FOLDS))
    if n > most:
        parts = max(FOLDS, -(-n // most))
    folds = np.full(n, -1, dtype=np.int64)
    for code in np.flatnonzero(sizes > 1).tolist():
        members = np.flatnonzero(labels.codes == code)
        _, which, counts = np.unique(series[members], return_inverse=True, return_counts=True)
        load = rng.random(parts) / 2  # ties fall by chance
        place = np.empty(len(counts), dtype=np.int64)
        shuffled = rng.permutation(len(counts))
        for one in shuffled[np.argsort(-counts[shuffled], kind="stable")].tolist():
            place[one] = load.argmin()
            load[place[one]] += counts[one]
        folds[members] = place[which] if len(counts) > 1 else np.arange(len(members)) % parts
    return np.where(folds == 0, 0, -1) if n > most else folds


def _reach(rows: np.ndarray, kinds: np.ndarray, seed: int) -> float:
    """Return the cosine above which two examples of a kind (n,) are taken to be of one series."""
    some = np.random.default_rng(seed).permutation(np.flatnonzero(kinds >= 0))[:_SAMPLE]
    near = dot(rows[some], rows[some].T)
    near[kinds[some, None] == kinds[some]] = -1.0
    nearest = near.max(axis=1, initial=-1.0)
    return float(np.quantile(nearest, _STRANGERS)) if (nearest > -1.0).any() else 1.0


def _linked(rows: np.ndarray, reach: float, biggest: int) -> list[list[int]]:
    """Return the series among examples of one kind, as places (average linkage)."""
    from sklearn.cluster import AgglomerativeClustering

    if biggest < 2:
        return [[at] for at in range(len(rows))]
    # Near ones lie near each other in the direction of the example that stands out most.
    centred = rows - rows.mean(axis=0)
    along = centred @ centred[int(np.square(centred).sum(axis=1).argmax())]
    found: list[list[int]] = []
    for block in np.array_split(np.argsort(along, kind="stable"), -(-len(rows) // _BLOCK)):
        near = dot(rows[block], rows[block].T)
        usual = float(np.quantile(near[np.triu_indices(len(near), 1)], _USUAL))
        tree = AgglomerativeClustering(
            n_clusters=1, metric="precomputed", linkage="average", compute_distances=True
        ).fit(np.maximum(1.0 - near, 0.0))
        open_ones: dict[int, list[int]] = {at: [each] for at, each in enumerate(block.tolist())}
        for at, (left, right) in enumerate(tree.children_.tolist(), len(block)):
            both = [open_ones.pop(each) for each in (left, right) if each in open_ones]
            joined = [each for part in both for each in part]
            is_near = tree.distances_[at - len(block)] <= 1.0 - max(reach, usual)
            if len(both) == 2 and is_near and len(joined) <= biggest:
                open_ones[at] = joined
            else:
                found += both
        found += open_ones.values()
    return found
