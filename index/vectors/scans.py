"""The scans: what proposes candidate rows by short codes of the vectors, kept by FAISS."""

from __future__ import annotations

import math
from typing import Any

import faiss as _faiss
import numpy as np

from index.vectors.kinds import LISTS

faiss: Any = _faiss  # its type information leaves out what its Python wrappers add

TRAINING = 65_536  # vectors that codes and lists are learnt from
PARTS = (64, 128)  # that a vector is cut into, at most; each becomes 4 bits of its code
_CODES = 16  # that a part can have; no fewer vectors teach them
_MOST_LISTS = 2048  # finding a vector's list takes longer the more there are
_ROUNDS = 5  # of k-means: more make no better lists (docs/index.md)


class Scan:
    """Codes of rows in the order in which they were added; made by ``Scan.train``.

    Rows are numbered from 0 and never taken out: the caller passes over those that are gone.
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def train(cls, kind: str, sample: np.ndarray, count: int, parts: int) -> Scan:
        """Learn codes of vectors cut into at most so many parts, and lists for "lists", from a
        sample (n, dim) float32 of ``count`` rows.
        """
        dim = sample.shape[1]
        width = -(-dim // parts)  # of a part
        parts = -(-dim // width)
        padded = parts * width
        if kind == LISTS:
            lists = max(1, min(_MOST_LISTS, 2 ** round(math.log2(math.sqrt(count))), len(sample)))
            coarse = faiss.IndexFlatIP(padded)
            index = faiss.IndexIVFPQFastScan(
                coarse, padded, lists, parts, 4, faiss.METRIC_INNER_PRODUCT
            )
            index.by_residual = False  # tables of distances are then made once for all lists
            index.own_fields = True
            coarse.this.disown()
            index.cp.niter = _ROUNDS
            _quiet(index.cp)
        else:
            index = faiss.IndexPQFastScan(padded, parts, 4, faiss.METRIC_INNER_PRODUCT)
        _quiet(index.pq.cp)
        scan = cls(index)
        if len(sample) < _CODES:
            sample = np.resize(sample, (_CODES, dim))  # the same ones over and over
        index.train(scan._padded(sample))
        return scan

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def lists(self) -> int:
        """Return how many lists there are, 0 for a scan of everything."""
        return int(getattr(self._index, "nlist", 0))

    @property
    def code_bytes(self) -> int:
        """Return the bytes of one code; in lists, with the number of the row beside it."""
        return int(self._index.code_size) + (8 if self.lists else 0)

    def add(self, vectors: np.ndarray) -> None:
        """Add the codes of vectors (n, dim) float32."""
        self._index.add(self._padded(vectors))

    def search(self, queries: np.ndarray, count: int, probes: int) -> np.ndarray:
        """Return the rows with the ``count`` best codes, (q, count) int64, padded with -1.

        ``probes`` is how many lists are looked into, where there are lists.
        """
        parameters = None
        if self.lists:
            parameters = faiss.IVFSearchParameters(nprobe=min(probes, self.lists))
        count = min(count, len(self))
        _, rows = self._index.search(self._padded(queries), count, params=parameters)
        found: np.ndarray = rows
        return found

    def to_bytes(self) -> np.ndarray:
        """Return the codes and what was learnt, (n,) uint8."""
        content: np.ndarray = faiss.serialize_index(self._index)
        return content

    @classmethod
    def from_bytes(cls, content: np.ndarray) -> Scan:
        """Read what ``to_bytes`` wrote, which the caller has found undamaged."""
        return cls(faiss.deserialize_index(content))

    def _padded(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors with zeros behind, which change no inner product."""
        missing = int(self._index.d) - vectors.shape[1]
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        return np.pad(vectors, ((0, 0), (0, missing))) if missing else vectors


def _quiet(parameters: Any) -> None:
    """Learn from as few vectors as there are, without a warning on the terminal."""
    parameters.min_points_per_centroid = 1
