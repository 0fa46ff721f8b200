"""Streams: threads that each compute by themselves, and take what callers ask for in pieces.

Threads that share out every single operation wait for the slowest after each, some hundred times a
picture; where anything else runs on the machine, decoding for instance, that waiting takes most of
the time (docs/performance.md). Streams meet nobody.

A batch is parted evenly, always in the same way, so that the same pictures are computed to the same
bits. In a server that would have the weights read for every single photo: there, once ``share`` was
called, a stream that ends takes several at once, of whichever callers they are, and what else is
asked at the moment may show in the last bits.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vision.threads import cores

Work = Callable[[np.ndarray], np.ndarray]  # on (n, ...) arrays, row by row

_PIECE = 4  # pictures for one core: more are hardly faster, and take memory in every stream
_CARD = 64  # for a graphics card, at once


class Streams:
    """So many ``threads``, each of which takes up to ``most`` pictures at once.

    With ``shared``, callers' pictures are computed together. Nobody is waited for, so that one
    caller alone loses nothing. The error of a piece reaches all whose pictures were in it.
    """

    def __init__(self, threads: int, most: int, *, shared: bool = False) -> None:
        self._threads, self._most, self.shared = threads, most, shared
        self._pool = ThreadPoolExecutor(threads, "encode", initializer=_alone)
        self._guard = threading.Lock()
        self._waiting: deque[_Part] = deque()
        self._busy = 0

    def run(self, work: Work, batch: np.ndarray) -> np.ndarray:
        """Return ``work`` of a batch that is not empty; raises what it raises."""
        count = len(batch)
        size = 1 if self.shared else min(self._most, -(-count // self._threads))
        asked = _Asked(work, count)
        parts = [_Part(asked, at, batch[at : at + size]) for at in range(0, count, size)]
        with self._guard:
            self._waiting.extend(parts)
        for _ in parts[: self._threads]:
            self._pool.submit(self._drain)
        return asked.result()

    def _drain(self) -> None:
        """Compute what waits, piece by piece, until nothing does."""
        with self._guard:
            self._busy += 1
        while piece := self._next():
            try:
                rows = piece[0].asked.work(np.concatenate([part.batch for part in piece]))
            except BaseException as error:
                for part in piece:
                    part.asked.fail(error)
                continue
            for part in piece:
                part.asked.put(part.at, rows[: len(part.batch)])
                rows = rows[len(part.batch) :]

    def _next(self) -> list[_Part]:
        """Take a part, or an even share of those that wait for the same work; [] for the end."""
        piece: list[_Part] = []
        with self._guard:
            waiting = self._waiting
            share = -(-len(waiting) // (self._threads - self._busy + 1)) if self.shared else 1
            while waiting and len(piece) < min(share, self._most):
                if piece and waiting[0].asked.work is not piece[0].asked.work:
                    break
                piece.append(waiting.popleft())
            if not piece:
                self._busy -= 1
        return piece


@dataclass(frozen=True)
class _Part:
    """Pictures of one caller, from the ``at``-th on, that are computed together."""

    asked: _Asked
    at: int
    batch: np.ndarray


class _Asked:
    """A batch on its way, and its rows as they come from several streams."""

    def __init__(self, work: Work, count: int) -> None:
        self.work = work
        self._guard = threading.Lock()
        self._done: Future[None] = Future()
        self._found: dict[int, np.ndarray] = {}
        self._left = count

    def put(self, at: int, rows: np.ndarray) -> None:
        with self._guard:
            self._found[at] = rows
            self._left -= len(rows)
            if not self._left and not self._done.done():
                self._done.set_result(None)

    def fail(self, error: BaseException) -> None:
        with self._guard:
            if not self._done.done():
                self._done.set_exception(error)

    def result(self) -> np.ndarray:
        self._done.result()
        return np.concatenate([self._found[at] for at in sorted(self._found)])


def share() -> None:
    """Let callers share passes of this process's streams from now on."""
    _processor().shared = True


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
    return Streams(1, _CARD, shared=True)


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
