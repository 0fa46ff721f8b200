"""How many threads the arithmetic of one process uses."""

from __future__ import annotations


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
