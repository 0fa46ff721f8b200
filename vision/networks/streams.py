"""Streams: threads that each compute by themselves, and take what callers ask for in pieces.

Threads that share out every single operation wait for the slowest after each, some hundred times a
picture; where anything else runs on the machine, decoding for instance, that waiting takes most of
the time (docs/performance.md). Streams meet nobody. While there are idle ones a batch is parted
evenly among them; where all are busy, whichever ends next takes several pictures at once, of
whichever callers they are, for weights that are read once for all of them.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from vision.threads import cores

Work = Callable[[np.ndarray], np.ndarray]  # on (n, ...) arrays, row by row

_PIECE = 4  # pictures for one core: more are hardly faster, and take memory in every stream
_CARD = 64  # for a graphics card, at once


class Streams:
    """So many ``threads``, each of which takes up to ``most`` pictures at once.

    Nobody is waited for, so that one caller alone loses nothing. The error of a piece reaches all
    whose pictures were in it.
    """

    def __init__(self, threads: int, most: int) -> None:
        self._threads, self._most = threads, most
        self._pool = ThreadPoolExecutor(threads, "encode", initializer=_alone)
        self._guard = threading.Lock()
        self._waiting: deque[tuple[_Asked, int]] = deque()
        self._busy = 0

    def run(self, work: Work, batch: np.ndarray) -> np.ndarray:
        """Return ``work`` of a batch that is not empty; raises what it raises."""
        asked = _Asked(work, batch)
        with self._guard:
            self._waiting.extend((asked, at) for at in range(len(batch)))
        for _ in range(min(len(batch), self._threads)):
            self._pool.submit(self._drain)
        return np.stack(asked.rows.result())

    def _drain(self) -> None:
        """Compute what waits, piece by piece, until nothing does."""
        with self._guard:
            self._busy += 1
        while piece := self._next():
            try:
                rows = piece[0][0].work(np.stack([asked.batch[at] for asked, at in piece]))
            except BaseException as error:
                for asked, _ in piece:
                    asked.fail(error)
                continue
            for (asked, at), row in zip(piece, rows, strict=True):
                asked.put(at, row)

    def _next(self) -> list[tuple[_Asked, int]]:
        """Take a piece: an even share of what waits, all of it the same work; [] for the end."""
        piece: list[tuple[_Asked, int]] = []
        with self._guard:
            waiting = self._waiting
            share = -(-len(waiting) // (self._threads - self._busy + 1))
            while waiting and len(piece) < min(share, self._most):
                if piece and waiting[0][0].work is not piece[0][0].work:
                    break
                piece.append(waiting.popleft())
            if not piece:
                self._busy -= 1
        return piece


class _Asked:
    """A batch on its way, and its rows as they come from several streams."""

    def __init__(self, work: Work, batch: np.ndarray) -> None:
        self.work, self.batch = work, batch
        self.rows: Future[list[np.ndarray]] = Future()
        self._guard = threading.Lock()
        self._found: list[np.ndarray] = [batch] * len(batch)
        self._left = len(batch)

    def put(self, at: int, row: np.ndarray) -> None:
        with self._guard:
            self._found[at] = row
            self._left -= 1
            if not self._left and not self.rows.done():
                self.rows.set_result(self._found)

    def fail(self, error: BaseException) -> None:
        with self._guard:
            if not self.rows.done():
                self.rows.set_exception(error)


def in_streams(work: Work, batch: np.ndarray) -> np.ndarray:
    """Compute a batch on the processor, in the process's streams, one for each core."""
    return _processor().run(work, batch)


def on_card(work: Work, batch: np.ndarray) -> np.ndarray:
    """Compute a batch on the graphics card together with what others ask for at the same time."""
    return _card().run(work, batch)


@functools.cache
def _processor() -> Streams:
    return Streams(cores(), _PIECE)


@functools.cache
def _card() -> Streams:
    return Streams(1, _CARD)


def _forget() -> None:
    _processor.cache_clear()
    _card.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # threads do not survive a fork


def _alone() -> None:
    """Make torch compute in the calling thread only; OpenMP keeps that number by thread."""
    import threadpoolctl
    import torch

    torch.get_num_threads()  # sets the thread's number when first asked, once
    threadpoolctl.threadpool_limits(1, user_api="openmp")
