"""Measuring an index on vectors of its own, and choosing the settings that reach a recall."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from index.vectors.kinds import Measured
from index.vectors.rows import Rows
from index.vectors.scans import Scan

K = 10
QUERIES = 256
_MOST = 3200  # candidates, at most, that are thought of
_CANDIDATES = (20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, _MOST)

_ALL = 0.9999

# What looking at a code in a list and comparing a candidate cost, in microseconds (measured at 640
# dimensions): only their ratio matters, to choose between more lists and more candidates.
_CODE_COST = 0.002
_CANDIDATE_COST = 0.25


@dataclass(frozen=True)
class Sample:
    """Rows that are asked for as queries, (q, dim) float32, and the true nearest others (q, 10).

    Each is left out of its own answer. ``places`` (q,) are their numbers.
    """

    places: np.ndarray
    queries: np.ndarray
    nearest: np.ndarray

    @classmethod
    def of(cls, rows: Rows, count: int = QUERIES) -> Sample:
        """Draw a sample, always the same for the same rows, and search for it exactly."""
        places = np.random.default_rng(0).choice(len(rows), min(count, len(rows)), replace=False)
        queries = rows.read(places)
        _, found = rows.best(queries, K + 1)
        rows.release()
        return cls(places, queries, _without(found, places)[:, :K])

    def recalls(self, proposed: np.ndarray) -> np.ndarray:
        """Return recall@10 where the first n of the proposed rows (q, m) are compared, n = 1 to m:
        (m,).
        """
        m = proposed.shape[1]
        others = _without(proposed, self.places)
        hits = np.zeros(m)
        for found, true in zip(others, self.nearest, strict=True):
            _, at, _ = np.intersect1d(found, true, return_indices=True)
            np.add.at(hits, np.minimum(at + 1, m - 1), 1)  # one more, since it finds itself
        recalls: np.ndarray = hits.cumsum() / max(1, self.nearest.size)
        return recalls


def _without(found: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Take each row's own number out of what it found, (q, m), or else the last: (q, m - 1)."""
    other = found != places[:, None]
    other[other.all(axis=1), -1] = False
    rows: np.ndarray = found[other].reshape(len(found), -1)
    return rows


def trade(scan: Scan, sample: Sample) -> Iterator[Measured]:
    """Yield what recall each number of candidates and lists reaches."""
    probes = 1
    while True:
        recalls = sample.recalls(scan.search(sample.queries, _MOST, probes))
        for candidates in _CANDIDATES:
            if candidates <= len(recalls):
                reached = float(recalls[candidates - 1])
                yield Measured("", candidates, probes if scan.lists else 0, reached)
        if probes >= scan.lists or recalls[-1] >= _ALL:  # more lists would find no more
            return
        probes = -(-probes * 7 // 5)


def cheapest(settings: Iterable[Measured], scan: Scan, recall: float) -> Measured | None:
    """Return the settings that reach a recall with the least work; None if none do."""

    def cost(each: Measured) -> float:
        share = each.probes / scan.lists if scan.lists else 1.0
        return len(scan) * share * _CODE_COST + each.candidates * _CANDIDATE_COST

    return min((each for each in settings if each.recall >= recall), key=cost, default=None)


def choose(scan: Scan, sample: Sample, recall: float) -> Measured | None:
    """Return the cheapest settings that reach a recall, with half of what is left as a margin.

    None where there are none. The margin is for the sample, which is small, and for what comes.
    """
    return cheapest(trade(scan, sample), scan, 1 - (1 - recall) / 2)
