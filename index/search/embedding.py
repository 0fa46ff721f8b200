"""What is asked for, embedded: photos and words as vectors of the ranking space."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index.query import Query, Seen
from index.search.space import Space
from vision.batches import ahead
from vision.errors import UnreadableImage
from vision.images import Image, read_image
from vision.pictures.looks import colour_of

if TYPE_CHECKING:
    from vision.encoder import Encoder

_BATCH = 32  # photos embedded at once


def see_photos(queries: Sequence[Query], encoder: Callable[[], Encoder]) -> list[Seen | None]:
    """Read and embed the photos of queries, None where there is none.

    What the same encoder saw of the same part before is taken as it is. ``encoder`` is called only
    where there is a photo. Raises UnreadableImage.
    """
    if all(query.photo is None for query in queries):
        return [None] * len(queries)
    found = [query.seen_by(encoder().fingerprint) for query in queries]
    new = [at for at, query in enumerate(queries) if query.photo is not None and found[at] is None]
    for run in (new[i : i + _BATCH] for i in range(0, len(new), _BATCH)):
        for at, seen in zip(run, _see([queries[at] for at in run], encoder()), strict=True):
            found[at] = seen
    return found


def _see(queries: Sequence[Query], encoder: Encoder) -> list[Seen]:
    started = time.perf_counter()
    scale = encoder.preprocess.scale
    if len(queries) == 1:  # not worth starting threads
        images = [_read(queries[0], scale)]
    else:
        images = list(ahead(queries, lambda query: _read(query, scale)))
    read = time.perf_counter()
    rows = encoder.encode_images(images, mirror=encoder.mirrors)
    colours = [colour_of(image) for image in images]
    encoded = time.perf_counter()
    took = {
        "read": (read - started) * 1000 / len(queries),
        "encode": (encoded - read) * 1000 / len(queries),
    }
    return [
        Seen(query.photo, query.region, image.sha256, encoder.fingerprint, row, colour, took)
        for query, image, row, colour in zip(queries, images, rows, colours, strict=True)
    ]


def _read(query: Query, scale: int) -> Image:
    """Return a query's photo or its region, with at least ``scale`` pixels where it has them."""
    image, region = query.photo, query.region
    assert image is not None
    if not isinstance(image, Image):
        # A small part of a large photo needs more of its pixels.
        share = min(region.width, region.height) if region else 1.0
        try:
            image = read_image(image, at_least=math.ceil(scale / share))
        except UnreadableImage as error:
            if isinstance(query.photo, str | Path):
                raise UnreadableImage(f"{query.photo}: {error}") from error
            raise
    return image.crop(region) if region else image


def photo_vectors(
    queries: Sequence[Query], seen: Sequence[Seen | None], space: Space
) -> np.ndarray:
    """Return each query's photo by its weight, (q, dim) float32, zeros where there is none."""
    vectors = np.zeros((len(queries), space.dim), dtype=np.float32)
    shown = [(at, each) for at, each in enumerate(seen) if each is not None]
    if shown:
        rows = [at for at, _ in shown]
        embedded = np.stack([each.embedding for _, each in shown])
        colours = np.stack([each.colour for _, each in shown])
        weights = np.array([[queries[at].weight("photo")] for at in rows], dtype=np.float32)
        vectors[rows] = weights * space.project(embedded, colours)
    return vectors


def word_vectors(
    queries: Sequence[Query], encoder: Callable[[], Encoder], space: Space
) -> np.ndarray:
    """Return each query's words by their weights, (q, dim) float32; unwanted ones with a minus.

    Raises EncoderError where the encoder knows no words.
    """
    vectors = np.zeros((len(queries), space.dim), dtype=np.float32)
    spoken = [
        (at, words, weight)
        for at, query in enumerate(queries)
        for words, weight in (
            (query.text, query.weight("text")),
            (query.not_text, -query.weight("not")),
        )
        if words.strip()
    ]
    if spoken:
        embedded = space.project_words(encoder().encode_texts([words for _, words, _ in spoken]))
        for (at, _, weight), row in zip(spoken, embedded, strict=True):
            vectors[at] += weight * row
    return vectors
