"""Pictures of strangers, decoded where it can be stopped: in child processes with limits.

What `vision.pictures.headers` knows is refused before a decoder starts, but nobody knows every file
that keeps a decoder busy or makes it crash. A child may use so much processor time and memory; one
that goes over is killed and replaced, and the picture is refused. The children load Pillow but
neither torch nor a catalogue, open no files, and end with the process that started them.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from vision.errors import FindalikeError, UnreadableImage
from vision.images import Image, Limits, Region, read_image
from vision.pictures.colour import COLOUR_DIM
from vision.pictures.looks import Looks, look_at

TOO_MUCH = "The picture takes too much time or memory to read; save it again as a plain JPEG."
BUSY = "Too many pictures are being read at the moment; try again in a few seconds."

# Pixels of the short side, see read_image: parts may be cut from it. More than that would have
# photos of 12 megapixels decoded at half instead of quarter scale, for three times the time.
SHORT_SIDE = 460
LONG_SIDE = 1600  # pixels at most
_MB = 2**20
_SMALL = 48 * _MB  # enough for every JPEG and for 6 million pixels of any other format
_PATIENCE = 3.0  # seconds that a picture waits for a child, and a child for a processor


class SandboxBusy(FindalikeError):
    """No child became free in time."""


class Sandbox:
    """Reads pictures in up to ``workers`` children; safe to use from many threads.

    ``seconds`` is the processor time of one picture; it may take 3 seconds longer where
    processors are busy. Most pictures get 48 MB; one at a time may get ``memory`` bytes,
    so that the children together never need much more than that.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        seconds: float = 1.5,
        memory: int = 240 * _MB,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits(max_bytes=20 * _MB)
        self._seconds = seconds
        self._memory = memory
        self._large = threading.Lock()
        self._children: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(workers):
            self._children.put(None)  # started at first use
        self._workers = workers

    def read(self, data: bytes) -> Image:
        """Return a picture, upright, its long side at most LONG_SIDE pixels, as ``read_image``.

        Raises UnreadableImage for what is no picture or goes over a limit, SandboxBusy where no
        child became free.
        """
        with self._child() as child:
            answer = child.ask(data, min(_SMALL, self._memory), self._seconds, self.limits)
        if isinstance(answer, _Refused) and answer.left > 0:  # perhaps for want of memory
            if not self._large.acquire(timeout=_PATIENCE):
                raise SandboxBusy(BUSY)
            try:
                with self._child() as child:
                    answer = child.ask(data, self._memory, answer.left, self.limits)
            finally:
                self._large.release()
        if isinstance(answer, _Refused):
            raise UnreadableImage(answer.reason)
        return answer

    def warm(self) -> None:
        """Start all children now instead of at first use."""
        for child in [self._children.get() for _ in range(self._workers)]:
            self._children.put(child or _Child())

    def pids(self) -> list[int]:
        """Return the process ids of the children that are idle now."""
        return [child.process.pid for child in list(self._children.queue) if child is not None]

    def close(self) -> None:
        """End the children; waits for those at work."""
        for child in [self._children.get() for _ in range(self._workers)]:
            if child is not None:
                child.stop()
            self._children.put(None)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _child(self) -> Iterator[_Child]:
        """Lend a child; what comes back dead is replaced."""
        try:
            child = self._children.get(timeout=_PATIENCE)
        except queue.Empty:
            raise SandboxBusy(BUSY) from None
        try:
            if child is None or child.process.poll() is not None:
                child = None  # should the next line fail
                child = _Child()
            yield child
        finally:
            self._children.put(child)


@dataclass(frozen=True)
class _Refused:
    """Why a picture was not read, and the processor seconds left to try with more memory."""

    reason: str
    left: float


class _Child:
    """One process that decodes pictures, one after the other."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
        env = {name: os.environ[name] for name in kept if name in os.environ}
        here = str(Path(__file__).parents[2])
        env["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [env.get("PYTHONPATH")])])
        # One arena and one thread: memory that is reserved for more would count.
        env |= {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            handle = theirs.fileno()
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    f"import vision.pictures.sandbox as s; s.serve({handle})",
                ],
                pass_fds=[handle],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libtiff writes there whatever it does not like
                env=env,
            )
        self._ready = False

    def ask(self, data: bytes, memory: int, seconds: float, limits: Limits) -> Image | _Refused:
        """Return the picture, or why there is none."""
        task = {"memory": memory, "seconds": seconds, "limits": vars(limits)}
        try:
            if not self._ready:
                self._await(20.0)  # it is importing
                self._pipe.recv_bytes()
                self._ready = True
            self._pipe.send_bytes(json.dumps(task).encode())
            self._pipe.send_bytes(data)
            self._await(seconds + _PATIENCE)
            answer: dict[str, Any] = json.loads(self._pipe.recv_bytes(_MB))
            if "reason" in answer:
                return _Refused(**answer)
            width, height = answer.pop("size")
            colour = np.frombuffer(self._pipe.recv_bytes(2 * COLOUR_DIM), np.float16)
            regions = tuple(Region(*each) for each in answer.pop("regions"))
            looks = Looks(colour, regions, tuple(answer.pop("faults")))
            raw = self._pipe.recv_bytes(3 * LONG_SIDE**2)
            return Image(PIL.Image.frombytes("RGB", (width, height), raw), **answer, looks=looks)
        except (EOFError, OSError):  # it was killed, or crashed
            self.stop()
            return _Refused(TOO_MUCH, 0)
        except BaseException:
            self.stop()  # the next picture must not get this one's answer
            raise

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        self._pipe.close()

    def _await(self, seconds: float) -> None:
        if not self._pipe.poll(seconds):
            raise EOFError


# --- in the child ------------------------------------------------------------------------------


def serve(handle: int) -> None:
    """Decode pictures that come over a pipe until it is closed: the whole life of a child."""
    import resource
    import signal

    import pi_heif  # noqa: F401  # loaded before files are out of reach

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    PIL.Image.init()
    # What the libraries keep for themselves at their first use is no picture's memory.
    look_at(Image(PIL.Image.new("RGB", (64, 64)), "", 64, 64, "PNG"))
    for what in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(what, (0, 0))
    pipe = Connection(handle)
    pipe.send_bytes(b"ready")
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task = json.loads(pipe.recv_bytes())
            data = pipe.recv_bytes()
            if sys.platform == "linux":  # others do not count the memory that decoders take
                _, hard = resource.getrlimit(resource.RLIMIT_DATA)
                resource.setrlimit(resource.RLIMIT_DATA, (_in_use() + task["memory"], hard))
            # Nobody catches SIGPROF: it ends the process.
            signal.setitimer(signal.ITIMER_PROF, max(0.05, task["seconds"]))
            answer, parts = _read(data, Limits(**task["limits"]))
            signal.setitimer(signal.ITIMER_PROF, 0)
            del data
            for each in (json.dumps(answer).encode(), *parts):
                pipe.send_bytes(each)
            del parts, each


def _read(data: bytes, limits: Limits) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """Return what to answer, and for a picture its colours and its pixels, (h, w, 3) uint8."""
    import signal

    try:
        image = read_image(data, at_least=SHORT_SIDE, limits=limits)
        pixels = image.pixels
        if max(pixels.size) > LONG_SIDE:
            pixels.thumbnail((LONG_SIDE, LONG_SIDE), PIL.Image.Resampling.BICUBIC)
        looks = look_at(image)
        facts = {"sha256": image.sha256, "width": image.width, "height": image.height}
        facts |= {"format": image.format, "size": pixels.size, "faults": looks.faults}
        facts |= {"regions": [astuple(each) for each in looks.regions]}
        return facts, (looks.colour.tobytes(), pixels.tobytes())
    except MemoryError:
        refused = _Refused(TOO_MUCH, 1)
    except UnreadableImage as error:
        reason = TOO_MUCH if isinstance(error.__cause__, MemoryError) else str(error)
        refused = _Refused(reason, 0 if error.__cause__ is None else 1)
    # Where a decoder gave up, it may be for want of memory: few of them say so.
    left = signal.getitimer(signal.ITIMER_PROF)[0] if refused.left else 0
    return {"reason": refused.reason, "left": left}, ()


def _in_use() -> int:
    """Return the bytes of private memory that the process has now."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
