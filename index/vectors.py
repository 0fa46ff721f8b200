"""The vector store: nearest products by inner product, and the only user of FAISS."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from index.store.files import replace_durably
from vision.errors import CatalogueError

faiss: Any = _faiss  # its type information leaves out what its Python wrappers add


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


class VectorStore:
    """Ranking vectors of pictures, searched exactly.

    Rows are pictures (views); answers are products, so that a product with many pictures takes one
    place. The store is derived from the catalogue and can always be built again from it.
    """

    def __init__(self, dim: int) -> None:
        self._lock = threading.RLock()  # FAISS must not be written while it is searched
        self._index = faiss.IndexFlatIP(dim)
        self._views = np.empty(0, dtype=np.int64)
        self._products = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def dim(self) -> int:
        """Return the length of a vector."""
        return int(self._index.d)

    @property
    def views(self) -> np.ndarray:
        """Return the ids of the rows, (n,) int64."""
        return self._views

    @property
    def products(self) -> np.ndarray:
        """Return the product key of each row, (n,) int64."""
        return self._products

    def vectors(self) -> np.ndarray:
        """Return the stored vectors, (n, dim) float32, without copying them.

        They must not be used once another thread may have changed the store.
        """
        flat = faiss.rev_swig_ptr(self._index.get_xb(), len(self) * self.dim)
        rows: np.ndarray = flat.reshape(len(self), self.dim)
        return rows

    def vectors_of(self, product: int) -> np.ndarray:
        """Return a product's vectors, (n, dim) float32."""
        with self._lock:
            rows: np.ndarray = self.vectors()[self._products == product]  # a copy
            return rows

    def update(
        self,
        views: np.ndarray,
        products: np.ndarray,
        vectors: np.ndarray,
        removed: np.ndarray | None = None,
    ) -> None:
        """Put rows in, view ids (n,), product keys (n,), vectors (n, dim) float32, and others out.

        A view that was there before is replaced, a removed one that is not there is passed over;
        searches see all of the change or nothing of it.
        """
        with self._lock:
            out = views if removed is None else np.concatenate([views, removed])
            # New pictures have ids above all others, which saves looking for them.
            if len(out) and len(self) and out.min() <= self._views.max():
                gone = np.isin(self._views, out)
                self._index.remove_ids(np.flatnonzero(gone).astype(np.int64))  # keeps the order
                self._views = self._views[~gone]
                self._products = self._products[~gone]
            self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))
            self._views = np.concatenate([self._views, views])
            self._products = np.concatenate([self._products, products])

    def remove(self, views: np.ndarray) -> None:
        """Remove rows by view id; ids that are not there are passed over."""
        none = np.empty(0, dtype=np.int64)
        self.update(none, none, np.empty((0, self.dim), dtype=np.float32), removed=views)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        allowed: np.ndarray | None = None,
        without: np.ndarray | None = None,
    ) -> Neighbours:
        """Return the k best products for each query vector, (q, dim) float32.

        ``allowed`` (m,) int64 holds the keys of the products that may be found (None: all);
        ``without`` (q,) int64 is a product to leave out of that query's answer (-1: none). k
        products come back whenever k exist.
        """
        with self._lock:
            rows = None if allowed is None else _rows_of(allowed, self._products)
            return self._search(np.ascontiguousarray(queries, dtype=np.float32), k, rows, without)

    def _search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None, without: np.ndarray | None
    ) -> Neighbours:
        q = len(queries)
        out = Neighbours(
            np.full((q, k), -1, dtype=np.int64),
            np.full((q, k), -np.inf, dtype=np.float32),
            np.full((q, k), -1, dtype=np.int64),
        )
        available = len(self) if allowed is None else int(allowed.sum())
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        parameters = faiss.SearchParameters(sel=selector) if selector is not None else None
        open_rows = np.arange(q)
        fetch = min(available, k + (without is not None))
        while len(open_rows) and fetch:
            scores, rows = self._index.search(queries[open_rows], fetch, params=parameters)
            short = []
            for at, query in enumerate(open_rows.tolist()):
                leave_out = -1 if without is None else int(without[query])
                if not self._fill(out, query, rows[at], scores[at], leave_out):
                    short.append(query)
            if fetch == available:
                break
            # Several pictures of one product stood in each other's place: look further down.
            open_rows = np.array(short, dtype=np.int64)
            fetch = min(available, fetch * 4)
        return out

    def _fill(
        self, out: Neighbours, query: int, rows: np.ndarray, scores: np.ndarray, leave_out: int
    ) -> bool:
        """Write one query's products, each at its best picture; tell whether k were found."""
        rows = rows[rows >= 0]
        keys = self._products[rows]
        _, first = np.unique(keys, return_index=True)
        first.sort()  # rows come best first, so the first of a product is its best picture
        first = first[keys[first] != leave_out][: out.products.shape[1]]
        n = len(first)
        out.products[query, :n] = keys[first]
        out.scores[query, :n] = scores[first]
        out.views[query, :n] = self._views[rows[first]]
        return bool(n == out.products.shape[1])

    # --- the snapshot --------------------------------------------------------------------------

    def save(self, path: Path, *, generation: int, space: str) -> None:
        """Write a snapshot that a later process can start from.

        It is written beside, flushed to the disk and renamed, and carries the generation of the
        catalogue, the id of the ranking space and a SHA-256 of its contents. Raises CatalogueError
        when the disk is full.
        """
        with self._lock:
            tensors: dict[str, np.ndarray] = {
                "faiss": faiss.serialize_index(self._index),
                "views": self._views,
                "products": self._products,
            }
        stamp = {"generation": str(generation), "space": space}
        stamp["sha256"] = _digest(tensors, stamp)
        temporary = path.with_suffix(".tmp")
        try:
            save_file(tensors, temporary, metadata=stamp)
            replace_durably(temporary, path)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise CatalogueError(
                f"The index could not be written ({error}). The products are safe in the "
                f"catalogue, and searches go on, only slower to start. Make room on the disk and "
                f"run findalike rebuild."
            ) from error

    @classmethod
    def load(cls, path: Path, *, dim: int, space: str) -> tuple[VectorStore, int] | None:
        """Return the store in a snapshot and the generation it stands at.

        None where there is no snapshot, where it belongs to another space, or where a single byte
        of it is not as it was written: the caller then builds the store anew.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                stamp = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            written = stamp.pop("sha256", "")
            if _digest(tensors, stamp) != written or stamp["space"] != space:
                return None
            store = cls(dim)
            store._index = faiss.deserialize_index(tensors["faiss"])
            store._views, store._products = tensors["views"], tensors["products"]
            generation = int(stamp["generation"])
        except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError):
            return None
        if not len(store) == store._index.ntotal == len(store._products) or store.dim != dim:
            return None
        return store, generation


def _rows_of(keys: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Return which rows belong to one of the products: (n,) bool."""
    if not len(products):
        return np.zeros(0, dtype=bool)
    chosen = np.zeros(int(products.max()) + 1, dtype=bool)
    chosen[keys[keys < len(chosen)]] = True
    rows: np.ndarray = chosen[products]
    return rows


def _digest(tensors: dict[str, np.ndarray], stamp: dict[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(stamp.items())).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()
