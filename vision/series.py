"""Folds for cross-validation that keep series together: photos of a thing, variants of a product.

A head is asked about things that it has not seen. Where the examples come in series, a random fold
would ask it about the next photo of a thing that it has seen, and the answers would look surer than
they are. So examples of one class that are nearer to each other than most strangers ever are stay
in one fold.
"""

from __future__ import annotations

import numpy as np

from vision.targets import Labels

FOLDS = 5
_STRANGERS = 0.75  # of the examples have their nearest stranger farther than a series reaches
_SAMPLE = 2000  # examples that strangers are looked for among
_BLOCK = 1000  # examples of one class that are compared with each other


def make_folds(rows: np.ndarray, labels: Labels, most: int, seed: int = 0) -> np.ndarray:
    """Return the fold in which each example is held out, (n,) int64; -1: never.

    ``rows`` (n, D) are unit. With more than ``most`` examples, a single fold of them is held out;
    otherwise there are five, or fewer where most classes have fewer examples. A class's only
    example is never held out.
    """
    n = len(rows)
    rng = np.random.default_rng(seed)
    sizes = np.bincount(labels.codes)
    parts = int(np.clip(np.median(sizes[sizes > 0]), 2, FOLDS))
    if n > most:
        parts = max(FOLDS, -(-n // most))
    reach = _reach(rows, labels, rng)
    folds = np.full(n, -1, dtype=np.int64)
    for code in np.flatnonzero(sizes > 1).tolist():
        members = rng.permutation(np.flatnonzero(labels.codes == code))
        biggest = -(-len(members) // parts)
        load = np.zeros(parts) + rng.random(parts) / 2  # ties fall by chance
        for group in _groups(rows[members], reach, biggest):
            fold = int(load.argmin())
            folds[members[group]] = fold
            load[fold] += len(group)
    return np.where(folds == 0, 0, -1) if n > most else folds


def _reach(rows: np.ndarray, labels: Labels, rng: np.random.Generator) -> float:
    """Return the cosine above which two examples of a class are taken to be of one series."""
    some = rng.permutation(len(rows))[:_SAMPLE]
    near = rows[some] @ rows[some].T
    allowed = labels.allows[labels.codes[some]].astype(np.float32)
    near[(allowed @ allowed.T) > 0] = -1.0
    nearest = near.max(axis=1)
    return float(np.quantile(nearest, _STRANGERS)) if (nearest > -1.0).any() else 1.0


def _groups(rows: np.ndarray, reach: float, biggest: int) -> list[np.ndarray]:
    """Return the series among examples of one class as indices, largest first.

    Average linkage; a series of more than ``biggest`` is cut, or its class could not be tested.
    """
    from sklearn.cluster import AgglomerativeClustering

    found: list[np.ndarray] = []
    # Near ones lie near each other along the axis of most variance.
    centred = rows - rows.mean(axis=0)
    along = centred @ centred[int(np.square(centred).sum(axis=1).argmax())]
    order = np.argsort(along, kind="stable")
    for block in np.array_split(order, -(-len(order) // _BLOCK)):
        if len(block) < 2:
            found.append(block)
            continue
        linked = AgglomerativeClustering(
            n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1.0 - reach
        ).fit_predict(np.maximum(1.0 - rows[block] @ rows[block].T, 0.0))
        for group in range(int(linked.max()) + 1):
            members = block[linked == group]
            found += np.array_split(members, -(-len(members) // biggest))
    return sorted(found, key=len, reverse=True)
