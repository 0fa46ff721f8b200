"""The store: pictures and what finds them quickly, asked for the nearest distinct products."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from index.vectors.kinds import EXACT, HALF_FROM, RECALL, Measured
from index.vectors.measuring import Sample, cheapest, choose, trade
from index.vectors.pictures import Pictures
from index.vectors.rows import BLOCK, DamagedIndex, Rows, checksums
from index.vectors.scans import PARTS, TRAINING, Scan
from index.vectors.searching import Neighbours, Search
from index.vectors.snapshot import Snapshot, read_snapshot, spool_rows, write_snapshot

_NARROW = 0.125  # share of the rows up to which a filter is answered by an exact pass over them


class VectorStore:
    """Ranking vectors of pictures: an empty one is exact; ``build`` and ``load`` give any kind.

    Rows are pictures (views); answers are products, so that a product with many pictures takes one
    place. The store is derived from the catalogue and can always be built again from it.
    """

    def __init__(self, dim: int) -> None:
        self._lock = threading.RLock()  # it must not be written while it is searched
        self._pictures = Pictures.none(Rows.empty(dim))
        self._scan: Scan | None = None
        self.unsaved = 0  # rows that came or went since the snapshot
        self.measured = Measured(EXACT)

    @classmethod
    def build(
        cls,
        parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
        dim: int,
        *,
        kind: str = EXACT,
        count: int = 0,
        recall: float = RECALL,
        folder: Path | None = None,
    ) -> VectorStore:
        """Return a store of this kind with rows that come in parts, each as ``update`` takes them,
        about ``count`` in all.

        The vectors of kinds other than "exact" go to a file without a name in ``folder``, so that
        memory does not grow with them. A kind that cannot reach ``recall`` with these vectors
        becomes exact. Raises CatalogueError when the disk is full.
        """
        started = time.perf_counter()
        store = cls(dim)
        if kind == EXACT:
            for views, products, vectors in parts:
                store.update(views, products, vectors)
        else:
            base, views, products = spool_rows(parts, dim, folder, half=count >= HALF_FROM)
            store._pictures = Pictures(
                Rows(base), views, products, np.zeros(len(views), dtype=bool)
            )
            if len(views):
                store._learn(kind, recall)
        store._measure(time.perf_counter() - started)
        return store

    def _learn(self, kind: str, recall: float) -> None:
        """Make the scan, and choose its settings by vectors of the store's own.

        Where no settings reach the recall with the shortest codes, longer ones are tried.
        """
        rows = self._pictures.rows
        sample = Sample.of(rows)
        rng = np.random.default_rng(0)
        some = np.sort(rng.choice(len(rows), min(TRAINING, len(rows)), replace=False))
        training = np.empty((len(some), self.dim), dtype=np.float32)
        for start in range(0, len(some), BLOCK):  # all at once would have the whole file mapped
            training[start : start + BLOCK] = rows.read(some[start : start + BLOCK])
            rows.release()
        for parts in PARTS:
            scan = Scan.train(kind, training, len(rows), parts)
            for start in range(0, len(rows), TRAINING):
                scan.add(rows.read(np.arange(start, min(start + TRAINING, len(rows)))))
                rows.release()
            chosen = choose(scan, sample, recall)
            if chosen is not None:
                self._scan, self.measured = scan, replace(chosen, kind=kind)
                return

    def _measure(self, seconds: float) -> None:
        """Note how long single searches take, and what else there is to know."""
        p50, p99 = self.times()
        rows = self._pictures.rows
        memory = self._scan.code_bytes if self._scan else 0 if rows.in_file else self.dim * 4
        self.measured = replace(
            self.measured, p50=p50, p99=p99, seconds=seconds, memory=memory + _BESIDE,
            rows=len(rows), time=time.time(),
        )  # fmt: skip
        self.unsaved = len(rows)

    def times(self, count: int = 200) -> tuple[float, float]:
        """Return the median and the 99th percentile of single searches, in milliseconds."""
        if not len(self):
            return 0.0, 0.0
        rows = self._pictures.rows
        queries = rows.read(np.random.default_rng(1).integers(0, len(rows), count))
        taken = []
        for at in range(-5, count):  # the first few warm up
            query = queries[max(0, at)][None]
            started = time.perf_counter()
            self.search(query, 10)
            taken.append(1000 * (time.perf_counter() - started))
        p50, p99 = np.percentile(taken[5:], [50, 99]).tolist()
        return p50, p99

    def tradeoffs(self, recalls: Sequence[float]) -> list[Measured]:
        """Return what the cheapest settings that reach each of these recalls measure.

        Recalls that no settings reach are left out; an exact store has one answer.
        """
        if self._scan is None:
            return [self.measured]
        own, found = self.measured, []
        settings = list(trade(self._scan, Sample.of(self._pictures.rows)))
        for recall in recalls:
            chosen = cheapest(settings, self._scan, recall)
            if chosen is not None:
                self.measured = replace(
                    own, recall=chosen.recall, candidates=chosen.candidates, probes=chosen.probes
                )
                p50, p99 = self.times()
                found.append(replace(self.measured, p50=p50, p99=p99))
        self.measured = own
        return found

    # --- what is in it -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def dim(self) -> int:
        """Return the length of a vector."""
        return self._pictures.rows.dim

    @property
    def in_file(self) -> bool:
        """Tell whether the vectors lie in a file, not in memory."""
        return self._pictures.rows.in_file

    @property
    def worn(self) -> float:
        """Return what share of the rows came after the scan was learnt, or is gone from it."""
        if self._scan is None:
            return 0.0
        pictures, learnt = self._pictures, self.measured.rows
        return (len(pictures.rows) - learnt + pictures.gone) / max(1, learnt)

    @property
    def views(self) -> np.ndarray:
        """Return the ids of the rows, (n,) int64."""
        pictures = self._pictures
        return pictures.views[pictures.living] if pictures.gone else pictures.views

    @property
    def products(self) -> np.ndarray:
        """Return the product key of each row, (n,) int64."""
        pictures = self._pictures
        return pictures.products[pictures.living] if pictures.gone else pictures.products

    @property
    def tolerance(self) -> float:
        """Return how far a number of a stored vector may be from what was put in."""
        return 1e-3 if self._pictures.rows.half else 1e-5

    def vectors(self) -> np.ndarray:
        """Return the stored vectors, (n, dim) float32: of an exact store without copying them.

        They must not be used once another thread may have changed the store.
        """
        if self._scan is None and not self.in_file:
            return self._pictures.rows.in_memory
        return self.vectors_at(np.arange(len(self)))

    def vectors_at(self, places: np.ndarray) -> np.ndarray:
        """Return some of ``vectors``, (m, dim) float32, by their places in ``views``."""
        with self._lock:
            pictures = self._pictures
            return pictures.rows.read(pictures.living[places] if pictures.gone else places)

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the rows in parts, each as ``update`` takes them."""
        for start in range(0, len(self), BLOCK):
            places = np.arange(start, min(start + BLOCK, len(self)))
            yield self.views[places], self.products[places], self.vectors_at(places)

    def vectors_of(self, product: int) -> np.ndarray:
        """Return a product's vectors, (n, dim) float32."""
        with self._lock:
            pictures = self._pictures
            return pictures.rows.read(pictures.rows_of(np.array([product], dtype=np.int64)))

    # --- changing it ---------------------------------------------------------------------------

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
            gone = self._pictures.drop(out, numbered=self._scan is not None)
            self._pictures.put(views, products, vectors)
            if self._scan is not None and len(views):
                self._scan.add(vectors)
            self.unsaved += gone + len(views)

    def remove(self, views: np.ndarray) -> None:
        """Remove rows by view id; ids that are not there are passed over."""
        none = np.empty(0, dtype=np.int64)
        self.update(none, none, np.empty((0, self.dim), dtype=np.float32), removed=views)

    # --- searching -----------------------------------------------------------------------------

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
        products come back whenever k exist. Raises DamagedIndex.
        """
        with self._lock:
            rows = None if allowed is None else self._pictures.rows_of(allowed)
            queries = np.ascontiguousarray(queries, dtype=np.float32)
            search = Search(self._pictures, queries, k, rows, without)
            if self._scan is None or (rows is not None and len(rows) <= _NARROW * len(self)):
                search.compare_all()
            else:
                search.compare_candidates(self._scan, self.measured)
            return search.found

    # --- the snapshot --------------------------------------------------------------------------

    def save(self, path: Path, *, generation: int, space: str) -> None:
        """Write a snapshot that a later process can start from.

        It is written beside, flushed to the disk and renamed, and carries the generation of the
        catalogue, the id of the ranking space and checksums of all its contents. Raises
        CatalogueError when the disk is full.
        """
        with self._lock:
            pictures = self._pictures
            arrays = {
                "views": pictures.views,
                "products": pictures.products,
                "dead": pictures.dead.view(np.uint8),
            }
            if self._scan is not None:
                arrays["scan"] = self._scan.to_bytes()
            notes = {"generation": str(generation), "space": space}
            notes["measured"] = self.measured.to_json()
            write_snapshot(path, notes, arrays, pictures.rows)
            self.unsaved = 0

    @classmethod
    def load(cls, path: Path, *, dim: int, space: str) -> tuple[VectorStore, int] | None:
        """Return the store in a snapshot and the generation it stands at.

        None where there is no snapshot, where it belongs to another space, or where it is not as it
        was written: the caller then builds the store anew. Of kinds other than "exact", the vectors
        stay in the file and are checked when they are read.
        """
        found = read_snapshot(path)
        if found is None or found.notes.get("space") != space or found.rows.shape[1] != dim:
            return None
        try:
            return cls._from(found), int(found.notes["generation"])
        except (LookupError, TypeError, ValueError, RuntimeError, DamagedIndex):
            return None

    @classmethod
    def _from(cls, found: Snapshot) -> VectorStore:
        arrays = found.arrays
        store = cls(found.rows.shape[1])
        store.measured = Measured.from_json(found.notes["measured"])
        if "scan" in arrays or found.rows.dtype == np.float16:
            rows = Rows(found.rows, found.crcs)
        elif np.array_equal(checksums(found.rows), found.crcs):
            rows = Rows.held(np.array(found.rows))
        else:
            raise DamagedIndex
        store._scan = Scan.from_bytes(arrays["scan"]) if "scan" in arrays else None
        dead = arrays["dead"].view(bool)
        if not len(rows) == len(arrays["views"]) == len(arrays["products"]) == len(dead):
            raise DamagedIndex
        store._pictures = Pictures(rows, arrays["views"], arrays["products"], dead)
        return store


_BESIDE = 22  # bytes of a row beside its code: ids, checksum, whether it was read and is there
