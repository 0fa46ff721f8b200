"""What tests stand on: an encoder without weights, drawn product pictures, the command in a child.

Nothing here needs torch to compute, a network, or a file outside the test's own folder.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw

import index.catalogue  # loaded once, before the children are forked
import index.search.calibration
import webapp.cli
import webapp.terminal.show
from vision.encoder import Encoder
from vision.networks.preprocess import Preprocess

DIM = 16
SIDE = 8
CATEGORIES = ("Kitchen > Mugs", "Kitchen > Bowls", "Garden > Pots")
COLOURS = ("red", "green", "blue", "orange", "purple", "teal", "brown", "black")

FEW_PHOTOS = 40  # simulated to calibrate in a child: enough to see that it is done

# What a child is told: where to note each embedding, how long one takes, another model's number.
LOG, DELAY, SEED = "TINY_LOG", "TINY_DELAY", "TINY_SEED"


class TinyEncoder:
    """Stands in for ``vision.encoder.Encoder``: a fixed random projection of 8 x 8 pixels.

    The words it knows are the names of colours; each lies near plain pictures of that colour.
    With TINY_LOG set, each call adds a line "pictures N" to that file ("queries N" when mirrored).
    """

    dim = DIM
    batch = 32
    knows_words = True
    sees_through_scenes = False
    mirrors = True

    def __init__(self, spec: str = "builtin", **_options: object) -> None:
        seed = os.environ.get(SEED, "0")
        self.spec = spec
        self.preprocess = Preprocess("squash", SIDE, SIDE, (0.0,) * 3, (1.0,) * 3, "bilinear")
        self.fingerprint = hashlib.sha256(f"tiny {seed}".encode()).hexdigest()
        size = (3 * SIDE * SIDE, DIM)
        self._projection = np.random.default_rng(int(seed)).normal(size=size)

    def serve(self) -> None:
        pass

    def prepare(self, image: Any) -> np.ndarray:
        return self.preprocess(image.pixels)

    def encode_images(self, images: Sequence[Any], *, mirror: bool = False) -> np.ndarray:
        if not images:
            return np.empty((0, DIM), dtype=np.float32)
        return self.encode_pixels(np.stack([self.prepare(each) for each in images]), mirror=mirror)

    def encode_pixels(self, pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
        if log := os.environ.get(LOG):
            with Path(log).open("a") as file:  # one short write each: nothing is lost by kill -9
                file.write(f"{'queries' if mirror else 'pictures'} {len(pixels)}\n")
        time.sleep(float(os.environ.get(DELAY, "0")))
        return _unit(self._project(pixels) + (self._project(pixels[..., ::-1]) if mirror else 0))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        plain = [Image.new("RGB", (SIDE, SIDE), _colour_of(text)) for text in texts]
        pixels = np.stack([np.asarray(each).transpose(2, 0, 1) for each in plain])
        return _unit(self._project(pixels))

    def _project(self, pixels: np.ndarray) -> np.ndarray:
        flat = pixels.reshape(len(pixels), -1) / 255.0 - 0.5
        rows: np.ndarray = flat @ self._projection + 1e-6
        return rows


def _unit(rows: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled.astype(np.float32)


def _colour_of(text: str) -> tuple[int, ...]:
    for word in text.lower().split():
        with contextlib.suppress(ValueError):
            return ImageColor.getrgb(word)[:3]
    return tuple(hashlib.sha256(text.encode()).digest()[:3])


def tiny_encoders() -> contextlib.AbstractContextManager[None]:
    """Make ``Encoder.load`` give tiny encoders."""
    return _loading(staticmethod(TinyEncoder))


def real_encoders() -> contextlib.AbstractContextManager[None]:
    """Make ``Encoder.load`` load what it is asked for, within ``tiny_encoders``."""
    return _loading(_REAL)


_REAL = Encoder.__dict__["load"]


@contextlib.contextmanager
def _loading(load: Any) -> Iterator[None]:
    before = Encoder.__dict__["load"]
    Encoder.load = load
    try:
        yield
    finally:
        Encoder.load = before


def embedded(log: Path) -> int:
    """Return how many pictures were embedded for a catalogue, by a TINY_LOG."""
    if not log.exists():
        return 0
    lines = log.read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("pictures "))


def draw(number: int, colour: str | None = None, view: int = 0, side: int = 72) -> Image.Image:
    """Draw a product: a shape of its own on a plain ground; another number, another product.

    ``view`` tells apart pictures of the same product.
    """
    rng = np.random.default_rng(number)
    ground = tuple(int(value) for value in rng.integers(190, 256, 3))
    shade = ImageColor.getrgb(colour) if colour else tuple(int(v) for v in rng.integers(0, 200, 3))
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    x, y = (int(value) for value in rng.integers(4, side // 3, 2))
    right, low = (int(value) for value in rng.integers(side // 2, side - 4, 2))
    shape = (pen.ellipse, pen.rectangle, pen.chord)[number % 3]
    angles = (20, 320) if number % 3 == 2 else ()
    shape((x, y, right, low), *angles, fill=shade, outline="black")
    mark = tuple(int(value) for value in rng.integers(0, 256, 3))
    at = int(rng.integers(side // 4, side // 2))
    pen.rectangle((at, at, at + side // 6, at + side // 5), fill=mark)
    return picture.rotate(12 * view, fillcolor=ground) if view else picture


def write_photos(
    folder: Path, count: int, start: int = 0, colour: str | None = None, view: int = 0
) -> list[Path]:
    """Draw ``count`` distinct pictures, numbered from ``start``; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(start, start + count):
        path = folder / f"{number:05d}{f'-{view}' if view else ''}.png"
        draw(number, colour, view).save(path, compress_level=1)
        paths.append(path)
    return paths


def write_feed(path: Path, count: int, start: int = 0, views: int = 1, **changed: str) -> Path:
    """Write a CSV feed of ``count`` products with ``views`` pictures each, drawn beside it.

    Product ``p7`` costs 7.99 and shows pictures/00007.png, then 00007-1.png and so on. ``changed``
    gives columns another value in every row.
    """
    folder = path.parent / "pictures"
    shown = [write_photos(folder, count, start, view=view) for view in range(views)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["product_id", "image_path", *(product_row(0) | changed)])
        for number, pictures in enumerate(zip(*shown, strict=True), start):
            row = product_row(number) | changed
            for picture in pictures:
                writer.writerow([f"p{number}", f"pictures/{picture.name}", *row.values()])
    return path


PLAIN = ("Red", "Green", "Blue")  # categories that the tiny encoder can tell: plain colours
LABELLED, OPEN = 90, 30  # products of ``write_stock`` with a category and without


def write_stock(folder: Path) -> Path:
    """Write a feed of products drawn in three colours, which are their categories.

    Product ``p4`` is "Paint > Green" and its tint is "cold"; the last ones have no category.
    """
    path, pictures = folder / "stock.csv", folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["product_id", "image_path", "title", "category", "tint"])
        for number in range(LABELLED + OPEN):
            colour = PLAIN[number % 3]
            picture = pictures / f"{number}.png"
            draw(1000 + number, colour.lower()).save(picture)
            category = f"Paint > {colour}" if number < LABELLED else ""
            tint = "warm" if colour == "Red" else "cold"
            writer.writerow([f"p{number}", picture, f"Paint {number}", category, tint])
    return path


def product_row(number: int) -> dict[str, str]:
    """Return the fields of product ``p{number}``, as a feed has them."""
    return {
        "title": f"Product {number}",
        "category": CATEGORIES[number % 3],
        "brand": ("Acme", "Bolt")[number % 2],
        "price": f"{number}.99",
        "currency": "EUR",
        "availability": ("in stock", "out of stock")[number % 4 == 0],
        "colour": COLOURS[number % len(COLOURS)],
    }


class Clock:
    """A time that tests can move."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now


# --- children ----------------------------------------------------------------------------------


class Child:
    """A process of its own, forked from a server that has loaded the libraries already.

    It runs ``work(*args)`` with the tiny encoder, in ``folder``, with its output in files there.
    """

    def __init__(
        self,
        work: Callable[..., object],
        args: Sequence[object] = (),
        *,
        folder: Path,
        env: dict[str, str] | None = None,
        max_file: int | None = None,
    ) -> None:
        self.args = args
        self._out = Path(tempfile.mkdtemp(prefix="child-", dir=folder))
        self.process: ForkServerProcess = _server().Process(
            target=_run, args=(work, args, folder, self._out, env or {}, max_file)
        )
        self.process.start()

    def kill(self, signal_number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, signal_number)

    def wait(self, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Wait for the end; return status (negative: the signal) and output."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"{self.args} ran for more than {timeout:.0f} s\n{self.output()}")
        assert self.process.exitcode is not None
        return subprocess.CompletedProcess(self.args, self.process.exitcode, *self.output())

    def output(self) -> tuple[str, str]:
        """Return what was written to standard output and standard error so far."""
        paths = (self._out / "stdout", self._out / "stderr")
        out, err = (path.read_text() if path.exists() else "" for path in paths)
        return out, err


def command(folder: Path, *args: object, **options: Any) -> Child:
    """Start the ``findalike`` command in a child."""
    return Child(_findalike, [str(each) for each in args], folder=folder, **options)


def _findalike(*args: str) -> None:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    webapp.cli.main(list(args), prog_name="findalike")


def _server() -> Any:
    """Return the context whose children are forked from a server that has this module loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "sklearn.linear_model"])
    here = str(Path(__file__).parent)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([here, before] if before else [here])
    try:
        from multiprocessing import forkserver

        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _run(
    work: Callable[..., object],
    args: Sequence[object],
    folder: Path,
    out: Path,
    env: dict[str, str],
    max_file: int | None,
) -> None:
    """Run in the child: what ``work`` exits with becomes the exit status."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(out / name, os.O_WRONLY | os.O_CREAT, 0o644), number)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1)
    os.chdir(folder)
    os.environ.update(env)
    if max_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, max_file))
    index.search.calibration.VERDICT_PHOTOS = FEW_PHOTOS
    with tiny_encoders():
        work(*args)
    sys.stdout.flush()
