"""How many threads the arithmetic of one process uses, and who computes what."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_PIECE = 4  # pictures: more at once are hardly faster, and take memory in every stream


def one_thread_each() -> None:
    """Let every thread of this process compute by itself, for servers that have many at work.

    Libraries part each operation among as many threads as there are cores. Where several requests
    are answered at once, these only wait for each other: OpenBLAS spins while it does, which took
    more than half of the processor time of a search (docs/performance.md).
    """
    import threadpoolctl
    import torch

    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1, user_api="blas")


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_streams(work: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Part a batch among as many threads as there are cores, each of which computes by itself.

    Threads that share out every single operation wait for the slowest after each, some hundred
    times a picture; where anything else runs on the machine, decoding for instance, that waiting
    takes most of the time (docs/performance.md). Here they meet once a batch. The streams are the
    process's own: requests that come at once queue for them, instead of fighting over the cores.
    """
    size = min(_PIECE, -(-len(pixels) // cores()))
    pieces = [pixels[at : at + size] for at in range(0, len(pixels), size)]
    return np.concatenate(list(_streams().map(work, pieces)))


@functools.cache
def _streams() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="encode", initializer=_alone)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_streams.cache_clear)  # threads do not survive a fork


def _alone() -> None:
    """Make torch compute in the calling thread only; OpenMP keeps that number by thread."""
    import threadpoolctl
    import torch

    torch.get_num_threads()  # sets the thread's number when first asked, once
    threadpoolctl.threadpool_limits(1, user_api="openmp")
