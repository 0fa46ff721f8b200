"""Pictures decoded ahead of the encoder, in parallel, in order, within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vision.images import Image, Limits, read_image
from vision.pictures.colour import describe_colour
from vision.threads import cores

if TYPE_CHECKING:
    from vision.encoder import Encoder

T = TypeVar("T")
R = TypeVar("R")

PREVIEW_SIDE = 512  # pixels on the long side of the picture that the catalogue keeps


@dataclass(frozen=True)
class Picture:
    """All that the catalogue wants to know of one picture before it is embedded.

    ``pixels`` is (3, h, w) uint8 as the encoder takes it, ``colour`` (COLOUR_DIM,) float16,
    ``preview`` a JPEG without metadata.
    """

    sha256: str
    width: int
    height: int
    format: str
    pixels: np.ndarray
    colour: np.ndarray
    preview: bytes


def decode(data: bytes, encoder: Encoder, limits: Limits) -> Picture:
    """Decode one picture for indexing; raises UnreadableImage."""
    image = read_image(data, at_least=encoder.preprocess.scale, limits=limits)
    return describe(image, encoder)


def describe(image: Image, encoder: Encoder) -> Picture:
    """Return what is indexed of a picture that was read already."""
    return Picture(
        image.sha256,
        image.width,
        image.height,
        image.format,
        encoder.prepare(image),
        describe_colour(image.pixels),
        image.preview(PREVIEW_SIDE),
    )


def ahead(
    items: Iterable[T], work: Callable[[T], R], *, workers: int | None = None, depth: int = 64
) -> Iterator[R]:
    """Yield ``work(item)`` for each item in order, computed by threads up to ``depth`` ahead.

    Pillow, zlib and hashing let go of the interpreter, so that threads keep the cores busy. The
    items are taken from their iterator in the caller's thread. What ``work`` raises is raised here.
    """
    pool = ThreadPoolExecutor(workers or cores(), thread_name_prefix="decode")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
