"""How many threads the arithmetic of one process uses."""

from __future__ import annotations

import os
import sys

# Seconds after which a thread that computes in Python gives way to one that wants to. With Python's
# own 5 ms, threads that call a library and come back wait that long after every such call.
_SWITCH = 0.0005


def one_thread_each() -> None:
    """Let every thread of this process compute by itself, for servers that have many at work.

    Libraries part each operation among as many threads as there are cores. Where several requests
    are answered at once, these only wait for each other: OpenBLAS spins while it does, which took
    more than half of the processor time of a search (docs/performance.md).
    """
    import threadpoolctl
    import torch

    sys.setswitchinterval(_SWITCH)
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1, user_api="blas")


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
