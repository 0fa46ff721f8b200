"""Products that answers named lately, kept in memory as of one generation of the catalogue."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from index.store.products import ProductTable, StoredProduct

_MOST = 10_000  # products: tens of megabytes


class RecentProducts:
    """Reads products of one catalogue, from the database only those not read since it changed.

    Reading the two dozen products of an answer takes longer than finding them; where many searches
    are answered at once, ten times as long, as the driver waits for Python's lock after every row.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._generation = -1
        self._products: dict[int, StoredProduct] = {}

    def get(
        self, keys: Iterable[int], table: ProductTable, generation: int
    ) -> dict[int, StoredProduct]:
        """Return products by key, as ``table.get``, of which ``generation`` is the present one.

        What is returned is shared and must not be changed.
        """
        wanted = set(keys)
        with self._guard:
            if generation > self._generation:
                self._generation, self._products = generation, {}
            known = self._products if generation == self._generation else {}
            found = {key: known[key] for key in wanted if key in known}
        missing = wanted - found.keys()
        if missing:
            read = table.get(missing)
            found |= read
            with self._guard:
                if generation == self._generation:
                    while self._products and len(self._products) + len(read) > _MOST:
                        del self._products[next(iter(self._products))]  # the one read first
                    self._products |= read
        return found
