"""The pictures of an index: rows of vectors, with the view and the product that each belongs to."""

from __future__ import annotations

import numpy as np

from index.vectors.rows import Grown, Rows

_FEW = 4096  # rows since the last sorting that are looked through one after the other
_SPARSE = 256  # a key for so many rows: looking for each in sorted rows is faster than one pass


class Pictures:
    """Vectors with view ids (n,) int64 and product keys (n,) int64.

    Rows in memory close up where some are taken out. Of rows that a file or a scan has numbered,
    those that are gone stay behind as ``dead`` (n,) bool.
    """

    def __init__(
        self, rows: Rows, views: np.ndarray, products: np.ndarray, dead: np.ndarray
    ) -> None:
        self.rows = rows
        self._views, self._products, self._dead = Grown(views), Grown(products), Grown(dead)
        self.gone = int(dead.sum())  # how many are dead
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def none(cls, rows: Rows) -> Pictures:
        """Return no pictures yet, to be put into these empty rows."""
        empty = np.empty(0, dtype=np.int64)
        return cls(rows, empty, empty, np.empty(0, dtype=bool))

    def __len__(self) -> int:
        return len(self.rows) - self.gone

    @property
    def views(self) -> np.ndarray:
        """Return the view id of each row, dead ones included: (n,) int64."""
        return self._views.array

    @property
    def products(self) -> np.ndarray:
        """Return the product key of each row, dead ones included: (n,) int64."""
        return self._products.array

    @property
    def dead(self) -> np.ndarray:
        """Return which rows are gone: (n,) bool."""
        return self._dead.array

    @property
    def living(self) -> np.ndarray:
        """Return the numbers of the rows that are not gone, ascending: (m,) int64."""
        return np.flatnonzero(~self.dead) if self.gone else np.arange(len(self.rows))

    def put(self, views: np.ndarray, products: np.ndarray, vectors: np.ndarray) -> None:
        """Add rows at the end."""
        self.rows.append(vectors)
        self._views.append(views)
        self._products.append(products)
        self._dead.append(np.zeros(len(views), dtype=bool))

    def drop(self, views: np.ndarray, *, numbered: bool) -> int:
        """Take rows out by view id and return how many were there.

        ``numbered`` says that the others must keep their numbers.
        """
        # New pictures have ids above all others, which saves looking for them.
        if not len(views) or not len(self) or views.min() > self.views.max():
            return 0
        which = np.isin(self.views, views) & ~self.dead
        count = int(which.sum())
        if numbered or self.rows.in_file:
            self.dead[which] = True
            self.gone += count
        elif count:
            self.rows.keep(~which)
            self._views, self._products = Grown(self.views[~which]), Grown(self.products[~which])
            self._dead = Grown(np.zeros(len(self.views), dtype=bool))
            self._sorted = None
        return count

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Return the numbers of the rows that belong to one of the products, ascending."""
        products = self.products
        if not len(products) or not len(keys):
            return np.empty(0, dtype=np.int64)
        if len(keys) * _SPARSE > len(products):
            chosen = np.zeros(int(products.max()) + 1, dtype=bool)
            chosen[keys[keys < len(chosen)]] = True
            rows = np.flatnonzero(chosen[products])
        else:
            rows = self._look_up(keys)
        return rows[~self.dead[rows]] if self.gone else rows

    def _look_up(self, keys: np.ndarray) -> np.ndarray:
        """Return the rows of a few products among many rows, dead ones included."""
        if self._sorted is None or len(self.products) - len(self._sorted[0]) > _FEW:
            order = np.argsort(self.products, kind="stable")
            self._sorted = order, self.products[order]
        order, ranked = self._sorted
        low, high = (np.searchsorted(ranked, keys, side) for side in ("left", "right"))
        counts = high - low
        ends = counts.cumsum()
        places = np.repeat(low - ends + counts, counts) + np.arange(ends[-1])
        late = np.flatnonzero(np.isin(self.products[len(order) :], keys)) + len(order)
        return np.unique(np.concatenate([order[places], late]))
