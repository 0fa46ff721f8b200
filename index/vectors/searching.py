"""One search: rows compared with queries, all or those that a scan proposes, for products."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from index.vectors.kinds import Measured
from index.vectors.pictures import Pictures
from index.vectors.scans import Scan

_MOST_CANDIDATES = 16_384  # beyond, an exact pass over everything is no slower


@dataclass(frozen=True)
class Neighbours:
    """The best products of each query, best first.

    ``products`` (q, k) int64 holds product keys, each at most once in a row, padded with -1;
    ``scores`` (q, k) float32 the inner products, padded with -inf; ``views`` (q, k) int64 the
    picture of the product that scored, padded with -1.
    """

    products: np.ndarray
    scores: np.ndarray
    views: np.ndarray


class Search:
    """Queries (q, dim) float32, each for k products but ``without`` (q,) int64, being answered.

    ``rows`` are the numbers of the rows that may be found, None for all. What is found stands in
    ``found``.
    """

    def __init__(
        self,
        pictures: Pictures,
        queries: np.ndarray,
        k: int,
        rows: np.ndarray | None,
        without: np.ndarray | None,
    ) -> None:
        q = len(queries)
        self._pictures, self._queries, self._k, self._rows = pictures, queries, k, rows
        self._without = np.full(q, -1, dtype=np.int64) if without is None else without
        self.found = Neighbours(
            np.full((q, k), -1, dtype=np.int64),
            np.full((q, k), -np.inf, dtype=np.float32),
            np.full((q, k), -1, dtype=np.int64),
        )

    def compare_all(self, some: np.ndarray | None = None) -> None:
        """Answer the queries, or some of them, by comparing every row that may be found."""
        if some is None:
            some = np.arange(len(self._queries))
        rows = self._rows
        if rows is None and self._pictures.gone:
            rows = self._pictures.living
        available = len(self._pictures) if rows is None else len(rows)
        fetch = min(available, self._k + int((self._without >= 0).any()))
        while len(some) and fetch:
            scores, places = self._pictures.rows.best(self._queries[some], fetch, rows)
            done = [
                self._fill(query, places[at], scores[at]) for at, query in enumerate(some.tolist())
            ]
            if fetch == available:
                break
            # Several pictures of one product stood in each other's place: look further down.
            some = some[~np.array(done)]
            fetch = min(available, fetch * 4)

    def compare_candidates(self, scan: Scan, measured: Measured) -> None:
        """Answer the queries by comparing the rows that the scan proposes.

        Where rows may not be found, so many are proposed that as many remain as there would be
        otherwise: these are the best codes of those that may, as if there were no others.
        """
        pictures = self._pictures
        wanted = math.ceil(measured.candidates * max(1.0, self._k / 10))
        wanted = min(wanted, len(pictures) if self._rows is None else len(self._rows))
        good, share = self._good()
        count, probes = math.ceil(wanted / share), math.ceil(measured.probes / share)
        some = np.arange(len(self._queries))
        while len(some) and count <= min(_MOST_CANDIDATES, len(pictures.rows)):
            proposed = scan.search(self._queries[some], count, probes)
            done = [
                self._fill_from(query, places[places >= 0], good, wanted)
                for query, places in zip(some.tolist(), proposed, strict=True)
            ]
            some = some[~np.array(done)]
            count, probes = count * 4, probes * 4
        if len(some):
            self.compare_all(some)

    def _good(self) -> tuple[np.ndarray | None, float]:
        """Return which rows may be found, (n,) bool, None for all, and their share."""
        pictures = self._pictures
        if self._rows is not None:
            good = np.zeros(len(pictures.rows), dtype=bool)
            good[self._rows] = True
            return good, len(self._rows) / len(good)
        if pictures.gone:
            return ~pictures.dead, len(pictures) / len(pictures.rows)
        return None, 1.0

    def _fill_from(
        self, query: int, places: np.ndarray, good: np.ndarray | None, wanted: int
    ) -> bool:
        """Compare proposed rows; tell whether enough of them may be found, and k products were."""
        if good is not None:
            places = places[good[places]]
        if len(places) < _ENOUGH * wanted:
            return False
        scores, order = self._pictures.rows.best(
            self._queries[query : query + 1], len(places), places
        )
        return self._fill(query, order[0], scores[0])

    def _fill(self, query: int, rows: np.ndarray, scores: np.ndarray) -> bool:
        """Write one query's products, each at its best picture; tell whether k were found."""
        first: dict[int, int] = {}  # of each product: rows come best first
        left_out = int(self._without[query])
        keys = self._pictures.products[rows]
        for at, key in enumerate(keys.tolist()):  # faster than np.unique, which sorts
            if len(first) == self._k:
                break
            if key not in first and key != left_out:
                first[key] = at
        best = list(first.values())
        n, out = len(best), self.found
        out.products[query, :n] = keys[best]
        out.scores[query, :n] = scores[best]
        out.views[query, :n] = self._pictures.views[rows[best]]
        return n == self._k


_ENOUGH = 0.9  # share of the wanted candidates below which more are asked for
