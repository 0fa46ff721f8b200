"""How much may come in: a queue of limited length, room for bytes, an allowance per client."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

R = TypeVar("R")

_WINDOWS = (60.0, 10.0)  # seconds
_BURST = 20  # requests that anybody may make in the shorter one, if in the longer
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
    """Lets in ``working`` + ``waiting`` at once, and has ``working`` turns and threads for them.

    Few, because Python computes one thing at a time: the more threads want to, the longer each
    waits for its lock after every step that lets go of it (docs/performance.md). Threads of its
    own, because libraries keep memory for every thread that ever computed, and a server has many.
    """

    def __init__(self, working: int, waiting: int, patience: float = 5.0) -> None:
        self._threads = ThreadPoolExecutor(working, thread_name_prefix="search")
        self._turns = threading.BoundedSemaphore(working)
        self._guard = threading.Lock()
        self._queued = 0
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

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold one of a few turns to compute; raises Full where none came in ``patience`` s.

        What is computed beside the search counts too, but not what waits for the encoder or for a
        picture to be decoded.
        """
        with self._guard:
            self._queued += 1
        came = self._turns.acquire(timeout=self._patience)
        with self._guard:
            self._queued -= 1
        if not came:
            raise Full(5)
        try:
            yield
        finally:
            self._turns.release()

    def run(self, work: Callable[[], R]) -> R:
        """Return what ``work`` returns; raises Full where it did not begin in ``patience`` s."""
        future = self._threads.submit(work)
        wait([future], self._patience)
        if future.cancel():  # it has not begun
            raise Full(5)
        return future.result()

    def warm(self, work: Callable[[], object]) -> None:
        """Do a piece of work once in every thread, so that each has what it will keep."""
        together = threading.Barrier(self._threads._max_workers)

        def each() -> None:
            together.wait()
            work()

        for future in [self._threads.submit(each) for _ in range(together.parties)]:
            future.result()

    @property
    def waiting(self) -> int:
        """Return how many wait for their turn, or pieces of work for a thread, at the moment."""
        return self._queued + self._threads._work_queue.qsize()

    def close(self) -> None:
        """End the threads when they have finished."""
        self._threads.shutdown()


class Room:
    """Holds the bodies of requests, ``most`` bytes together at any time.

    The server keeps bodies on the disk until somebody reads them; what reads them holds all of a
    photo in memory, some of it twice. So many large ones at once would take gigabytes.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._guard = threading.Lock()

    def take(self, size: int) -> None:
        """Take room for ``size`` bytes; raises Full where there is none at the moment."""
        with self._guard:
            if size > self._free:
                raise Full(2)
            self._free -= size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        with self._guard:
            self._free += size


class Allowance:
    """So many requests a minute for each client, of which a third may come within ten seconds.

    Both are counted over sliding windows. What was refused counts too: whoever goes on at ten
    times the limit gets next to nothing until he slows down.
    """

    def __init__(self, per_minute: int) -> None:
        self._limits = (per_minute, max(_BURST, per_minute // 3))
        self._clients: OrderedDict[str, tuple[_Count, ...]] = OrderedDict()
        self._guard = threading.Lock()

    def spend(self, address: str, now: float | None = None) -> None:
        """Count a request of the client at an address; raises Full where it had too many."""
        if self._limits[0] <= 0:
            return
        now = time.monotonic() if now is None else now
        client = _client(address)
        with self._guard:
            known = self._clients.pop(client, (_Count(), _Count()))
            counts = tuple(
                each.one_more(int(now // seconds))
                for each, seconds in zip(known, _WINDOWS, strict=True)
            )
            self._clients[client] = counts
            if len(self._clients) > _CLIENTS:
                self._clients.popitem(last=False)
        for each, seconds, most in zip(counts, _WINDOWS, self._limits, strict=True):
            left = 1 - now % seconds / seconds  # of the window that has begun
            if each.now + each.before * left > most:
                raise Full(max(1, int(left * seconds)), limit=True)


@dataclass(frozen=True)
class _Count:
    """Requests in one window of time, the ``number``-th, and in the one before."""

    number: int = -1
    now: int = 0
    before: int = 0

    def one_more(self, number: int) -> _Count:
        if number == self.number:
            return _Count(number, self.now + 1, self.before)
        return _Count(number, 1, self.now if number == self.number + 1 else 0)


def _client(address: str) -> str:
    """Return what one client can hardly change: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
