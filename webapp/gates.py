"""How many may come in: a queue of limited length, and an allowance for each client."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

R = TypeVar("R")

_WINDOW = 60.0  # seconds
_CLIENTS = 50_000  # remembered at once; the ones seen longest ago are forgotten first


class Full(Exception):
    """There is no place left; ``retry_after`` says in how many seconds to try again.

    ``limit`` tells whether it is the client who asked too much, not all of them together.
    """

    def __init__(self, retry_after: int, *, limit: bool = False) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        self.limit = limit


class Gate:
    """Lets in ``working`` + ``waiting`` at once, and has ``working`` threads to do their work.

    Threads of its own, because torch keeps tens of megabytes for every thread that ever encoded,
    and a server has many more threads than a processor has cores.
    """

    def __init__(self, working: int, waiting: int, patience: float = 5.0) -> None:
        self._threads = ThreadPoolExecutor(working, thread_name_prefix="search")
        self._places = threading.BoundedSemaphore(working + waiting)
        self._patience = patience

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place; raises Full at once where there is none, before anything costs time."""
        if not self._places.acquire(blocking=False):
            raise Full(2)
        try:
            yield
        finally:
            self._places.release()

    def run(self, work: Callable[[], R]) -> R:
        """Return what ``work`` returns; raises Full where it did not begin in ``patience`` s."""
        future = self._threads.submit(work)
        wait([future], self._patience)
        if future.cancel():  # it has not begun
            raise Full(5)
        return future.result()

    @property
    def waiting(self) -> int:
        """Return how many pieces of work wait for a thread at the moment."""
        return self._threads._work_queue.qsize()

    def close(self) -> None:
        """End the threads when they have finished."""
        self._threads.shutdown()


class Allowance:
    """So many requests a minute for each client, counted over a sliding minute.

    What was refused counts too: whoever goes on at ten times the limit gets next to nothing until
    he slows down.
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._clients: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, address: str, now: float | None = None) -> None:
        """Count one request of the client at an IP address; raises Full over the limit."""
        if self._limit <= 0:
            return
        minute, within = divmod(time.monotonic() if now is None else now, _WINDOW)
        client = _client(address)
        with self._lock:
            last, count, before = self._clients.pop(client, (int(minute), 0, 0))
            if last != minute:
                before = count if last == minute - 1 else 0
                count = 0
            count += 1
            self._clients[client] = (int(minute), count, before)
            if len(self._clients) > _CLIENTS:
                self._clients.popitem(last=False)
        if count + before * (1 - within / _WINDOW) > self._limit:
            raise Full(max(1, int(_WINDOW - within)), limit=True)


def _client(address: str) -> str:
    """Return what one client can hardly change: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
