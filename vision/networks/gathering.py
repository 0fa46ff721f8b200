"""What several callers ask for at once, computed together: for graphics cards."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

_MOST = 64  # pictures at once


class Gathered:
    """A function on batches whose callers, at the same time, share a pass.

    Nobody is waited for: whatever has come while the pass before was computed goes into the next,
    so that one caller alone loses nothing. An error is every sharer's.
    """

    def __init__(self, run: Callable[[np.ndarray], np.ndarray]) -> None:
        self._run = run
        self._waiting: queue.SimpleQueue[tuple[np.ndarray, Future[np.ndarray]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, name="gather", daemon=True).start()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the function's rows for this batch; raises what it raises."""
        future: Future[np.ndarray] = Future()
        self._waiting.put((batch, future))
        return future.result()

    def _work(self) -> None:
        while True:
            asked = [self._waiting.get()]
            while sum(len(batch) for batch, _ in asked) < _MOST and not self._waiting.empty():
                asked.append(self._waiting.get())
            try:
                rows = self._run(np.concatenate([batch for batch, _ in asked]))
            except BaseException as error:
                for _, future in asked:
                    future.set_exception(error)
                continue
            at = 0
            for batch, future in asked:
                future.set_result(rows[at : at + len(batch)])
                at += len(batch)
