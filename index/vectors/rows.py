"""The rows: the exact vectors of an index, in memory or in a file, and exact search among them."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from typing import Any

import faiss as _faiss
import numpy as np

from vision.errors import CatalogueError

faiss: Any = _faiss  # its type information leaves out what its Python wrappers add

BLOCK = 4096  # rows handled at once: they stay in the processor's cache
_HELD = 64  # blocks of the file that a pass over everything keeps mapped
_MANY = 8  # from so many queries on, decoding a block once is less work than once for each


class DamagedIndex(CatalogueError):
    """A row of the index is not as it was written; the index can be built anew."""

    def __init__(self) -> None:
        super().__init__(
            "The index is damaged: a row does not match its checksum. Run findalike rebuild."
        )


class Grown:
    """An array (n, ...) that rows are added to without copying all of it each time."""

    def __init__(self, array: np.ndarray) -> None:
        self._room = array
        self._n = len(array)

    @property
    def array(self) -> np.ndarray:
        """Return the rows, without copying them."""
        return self._room[: self._n]

    def append(self, rows: np.ndarray) -> None:
        """Add rows at the end."""
        end = self._n + len(rows)
        if end > len(self._room):
            room = np.empty((max(end, 2 * self._n), *self._room.shape[1:]), self._room.dtype)
            room[: self._n] = self.array
            self._room = room
        self._room[self._n : end] = rows
        self._n = end


class Rows:
    """Vectors (n, dim) in float32, or in float16 for half the room, numbered from 0.

    The first of them may lie in a file (``base``, mapped into memory), each with a CRC-32 in
    ``crcs`` that is compared when the row is first read: no damaged vector is ever compared with a
    query. Those added since are in memory.
    """

    def __init__(self, base: np.ndarray, crcs: np.ndarray | None = None) -> None:
        self._base = np.asarray(base)  # a memmap's own indexing is slower than an array's
        self._mapped = getattr(base, "_mmap", None)
        self._crcs = crcs
        self._unread = np.full(len(base), crcs is not None)
        self._added = Grown(np.empty((0, base.shape[1]), base.dtype))

    @classmethod
    def empty(cls, dim: int, *, half: bool = False) -> Rows:
        """Return no rows, in memory."""
        return cls(np.empty((0, dim), np.float16 if half else np.float32))

    @classmethod
    def held(cls, vectors: np.ndarray) -> Rows:
        """Return vectors (n, dim) in memory, without copying them."""
        rows = cls.empty(vectors.shape[1], half=vectors.dtype == np.float16)
        rows._added = Grown(vectors)
        return rows

    def __len__(self) -> int:
        return len(self._base) + len(self._added.array)

    @property
    def in_file(self) -> bool:
        """Tell whether some of the rows are in a file."""
        return len(self._base) > 0

    @property
    def dim(self) -> int:
        """Return the length of a vector."""
        return int(self._base.shape[1])

    @property
    def half(self) -> bool:
        """Tell whether the vectors are float16."""
        return bool(self._base.dtype == np.float16)

    @property
    def in_memory(self) -> np.ndarray:
        """Return the rows that are in memory, (m, dim), without copying them."""
        return self._added.array

    def append(self, vectors: np.ndarray) -> None:
        """Add vectors (n, dim) at the end."""
        self._added.append(vectors)

    def keep(self, which: np.ndarray) -> None:
        """Drop all rows but these, (n,) bool; for rows that are all in memory."""
        assert not len(self._base)
        self._added = Grown(self.in_memory[which])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by number, as they are stored: (m, dim). Raises DamagedIndex."""
        n = len(self._base)
        if not n:
            taken: np.ndarray = self.in_memory[rows]
            return taken
        old = rows < n
        if old.all():
            self._check(rows)
            return np.take(self._base, rows, axis=0)
        out = np.empty((len(rows), self.dim), self._base.dtype)
        self._check(rows[old])
        out[old] = self._base[rows[old]]
        out[~old] = self.in_memory[rows[~old] - n]
        return out

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by number: (m, dim) float32. Raises DamagedIndex."""
        return self._decode(self.take(rows))

    def release(self) -> None:
        """Let go of the memory that reading the file took; what is read again comes back."""
        if self._mapped is not None:
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def blocks(self, size: int = BLOCK) -> Iterator[np.ndarray]:
        """Yield all rows in order, as they are stored, in blocks (at most ``size``, dim)."""
        for place, start in enumerate(range(0, len(self), size)):
            yield self.take(np.arange(start, min(start + size, len(self))))
            if place % _HELD == _HELD - 1:
                self.release()

    def best(
        self, queries: np.ndarray, k: int, rows: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the inner products of each query's k best rows and their numbers, best first.

        ``queries`` (q, dim) float32; ``rows`` (m,) are the rows to look at, None for all. Both
        results are (q, min(k, m)). Raises DamagedIndex.
        """
        count = len(self) if rows is None else len(rows)
        k = min(k, count)
        if rows is None and not len(self._base):
            return self._compare(queries, self.in_memory, k)
        if rows is not None and len(queries) == 1 and k and not self.half:
            array = self._base if self.in_file else self.in_memory
            if rows.max() < len(array):  # none of those added to a file
                if self.in_file:
                    self._check(rows)
                return _best_among(queries, array, k, rows)
        parts = []
        for place, start in enumerate(range(0, count, BLOCK)):
            end = min(start + BLOCK, count)
            numbers = np.arange(start, end) if rows is None else rows[start:end]
            scores, at = self._compare(queries, self.take(numbers), min(k, end - start))
            parts.append((scores, numbers[at]))
            if rows is None and place % _HELD == _HELD - 1:
                self.release()  # a pass over everything must not hold everything
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        scores = np.concatenate([each for each, _ in parts], axis=1)
        places = np.concatenate([each for _, each in parts], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1)

    def _compare(
        self, queries: np.ndarray, block: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and places in the block of the k best rows of it, (q, k) each."""
        if not k:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if self.half and len(queries) < _MANY:
            # NumPy turns float16 into float32 slowly; FAISS does it within the inner product.
            half = _half(self.dim)
            half.add_sa_codes(_bytes(block))
            found: tuple[np.ndarray, np.ndarray] = half.search(queries, k)
            return found
        found = faiss.knn(queries, self._decode(block), k, metric=faiss.METRIC_INNER_PRODUCT)
        return found

    def _decode(self, block: np.ndarray) -> np.ndarray:
        if not self.half:
            return block
        decoded: np.ndarray = _half(self.dim).sa_decode(_bytes(block))
        return decoded

    def _check(self, rows: np.ndarray) -> None:
        """Compare rows of the file with their checksums, unless that was done before."""
        fresh = rows[self._unread[rows]]
        if not len(fresh):
            return
        assert self._crcs is not None
        for start in range(0, len(fresh), BLOCK):
            part = fresh[start : start + BLOCK]
            if not np.array_equal(checksums(self._base[part]), self._crcs[part]):
                raise DamagedIndex
            self._unread[part] = False


def checksums(block: np.ndarray) -> np.ndarray:
    """Return the CRC-32 of each row, (n,) uint32."""
    return np.fromiter((zlib.crc32(row) for row in _bytes(block)), np.uint32, len(block))


def _best_among(
    query: np.ndarray, array: np.ndarray, k: int, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and numbers of the k best of these rows of an array (n, dim) float32 for one
    query (1, dim), (1, k) each, without copying the rows together.
    """
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    scores, best = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
    faiss.knn_inner_products_by_idx(
        *(faiss.swig_ptr(each) for each in (query, array, rows)),
        array.shape[1], 1, len(array), len(rows), k, faiss.swig_ptr(scores), faiss.swig_ptr(best),
    )  # fmt: skip
    return scores, best


def _bytes(block: np.ndarray) -> np.ndarray:
    """Return rows as bytes, (n, bytes of a row) uint8."""
    return np.ascontiguousarray(block).view(np.uint8)


def _half(dim: int) -> Any:
    """Return an empty FAISS index of float16 vectors."""
    index = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.is_trained = True
    return index
