"""From queries to answers: embed what is asked, search, and say how sure each match is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from index.products import ProductTable
from index.query import Answer, Hit, Query
from index.space import Space, unit
from index.vectors import Neighbours, VectorStore
from index.verdicts import Verdicts
from vision.batches import ahead
from vision.colour import describe_colour
from vision.encoder import Encoder
from vision.errors import QueryError
from vision.images import Image, read_image

BATCH = 32  # photos embedded at once


@dataclass(frozen=True)
class Asked:
    """Queries ready to be searched for, the same in all fields.

    ``vectors`` (q, dim) float32 unit rows of the ranking space; ``without`` (q,) int64 the key of
    the product each must not find, -1 for none; ``sha256`` of the photo where the photo alone and
    whole is asked, else ""; ``milliseconds`` what reading and encoding took for each.
    """

    queries: tuple[Query, ...]
    vectors: np.ndarray
    without: np.ndarray
    sha256: tuple[str, ...]
    milliseconds: dict[str, float]

    def hold_out(self, keys: np.ndarray) -> Asked:
        """Return the same queries, each with one product left out as if it were not stocked."""
        return replace(self, without=keys, sha256=("",) * len(self.queries))


def ask(
    queries: Sequence[Query],
    encoder: Encoder,
    space: Space,
    store: VectorStore,
    table: ProductTable,
) -> Asked:
    """Read and embed queries.

    The parts of a query are added up in the ranking space by their weights, words to avoid with a
    minus. Raises QueryError for unknown products, UnreadableImage for bad photos, EncoderError for
    words where the encoder knows none.
    """
    for query in queries:
        query.conditions()  # a wrong filter is told before anything is embedded
    started = time.perf_counter()
    like = table.keys(query.like for query in queries if query.like)
    for query in queries:
        if query.like and query.like not in like:
            raise QueryError(f'There is no product "{query.like}" in this catalogue.')
    images = list(ahead(queries, lambda query: _read(query, encoder)))
    read = time.perf_counter()
    vectors = np.zeros((len(queries), space.dim), dtype=np.float32)
    with_photo = [at for at, image in enumerate(images) if image is not None]
    for run in (with_photo[i : i + BATCH] for i in range(0, len(with_photo), BATCH)):
        chosen = [image for at in run if (image := images[at]) is not None]
        embedded = encoder.encode_images(chosen, mirror=True)
        colours = np.stack([describe_colour(image.pixels) for image in chosen])
        weights = np.array([[queries[at].weight("photo")] for at in run], dtype=np.float32)
        vectors[run] += weights * space.project(embedded, colours)
    for words, name, sign in (("text", "text", 1.0), ("not_text", "not", -1.0)):
        spoken = [at for at, query in enumerate(queries) if getattr(query, words).strip()]
        if spoken:
            embedded = encoder.encode_texts([getattr(queries[at], words) for at in spoken])
            weights = np.array([[sign * queries[at].weight(name)] for at in spoken], np.float32)
            vectors[spoken] += weights * space.project_words(embedded)
    for at, query in enumerate(queries):
        if query.like:
            own = store.vectors_of(like[query.like])
            vectors[at] += query.weight("like") * unit(own.mean(axis=0, keepdims=True))[0]
    encoded = time.perf_counter()
    return Asked(
        tuple(queries),
        unit(vectors),
        np.array([like.get(query.like, -1) for query in queries], dtype=np.int64),
        tuple(
            image.sha256 if image is not None and query.photo_only and query.region is None else ""
            for image, query in zip(images, queries, strict=True)
        ),
        {
            "read": (read - started) * 1000 / len(queries),
            "encode": (encoded - read) * 1000 / len(queries),
        },
    )


def _read(query: Query, encoder: Encoder) -> Image | None:
    if query.photo is None:
        return None
    image = query.photo
    if not isinstance(image, Image):
        region = query.region
        # A small part of a large photo needs more of its pixels.
        share = min(region.width, region.height) if region else 1.0
        image = read_image(image, at_least=int(encoder.preprocess.scale / share) + 1)
    return image.crop(query.region) if query.region else image


def answer_queries(
    asked: Asked, store: VectorStore, verdicts: Verdicts | None, table: ProductTable
) -> list[Answer]:
    """Search for embedded queries and turn the neighbours into answers."""
    started = time.perf_counter()
    found = _search(asked, store, table)
    searched = time.perf_counter()
    products = table.get({int(key) for row in found for key in row.products[row.products >= 0]})
    same_bytes = table.owners(sha256 for sha256 in asked.sha256 if sha256)
    answers = []
    for query, sha256, row in zip(asked.queries, asked.sha256, found, strict=True):
        scores = row.scores[np.isfinite(row.scores)]
        sure = verdicts.probabilities(row.scores[None])[0] if verdicts and len(scores) else None
        owners = {key for key, _ in same_bytes.get(sha256, ())}
        hits = []
        for at, key in enumerate(row.products[: min(len(scores), query.k)].tolist()):
            if key not in products:
                continue  # removed by another process a moment ago
            stored = products[key]
            view = next((v for v in stored.views if v.id == row.views[at]), stored.views[0])
            probability = float(sure[at]) if sure is not None and query.photo_only else None
            if key in owners:
                probability, view = 1.0, next(v for v in stored.views if v.sha256 == sha256)
            hits.append(
                Hit(stored.product, float(scores[at]), probability, view.location, view.sha256)
            )
        # The very same file is the product, even where another scores a hair higher.
        hits.sort(key=lambda hit: hit.sha256 != sha256)
        answers.append((query, tuple(hits)))
    ranked = time.perf_counter()
    times = asked.milliseconds | {
        "search": (searched - started) * 1000 / len(asked.queries),
        "rank": (ranked - searched) * 1000 / len(asked.queries),
    }
    return [_judge(query, hits, verdicts, dict(times)) for query, hits in answers]


def _judge(
    query: Query, hits: tuple[Hit, ...], verdicts: Verdicts | None, times: dict[str, float]
) -> Answer:
    if not hits:
        return Answer("not stocked", hits, times)
    top = hits[0].probability
    if top == 1.0:
        return Answer("exact", hits, times)
    if verdicts is None or top is None:
        return Answer("similar", hits, times)
    return Answer(verdicts.verdict(top), hits, times)


def _search(asked: Asked, store: VectorStore, table: ProductTable) -> list[Neighbours]:
    """Search queries that share filters and k together; one row of neighbours for each query."""
    groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for at, query in enumerate(asked.queries):
        groups.setdefault((query.where, query.k), []).append(at)
    rows: list[Neighbours | None] = [None] * len(asked.queries)
    for (where, k), members in groups.items():
        allowed = table.matching(asked.queries[members[0]].conditions()) if where else None
        # One hit more than asked: how far the last one stands out is part of how sure it is.
        found = store.search(
            asked.vectors[members], max(k, 2), allowed=allowed, without=asked.without[members]
        )
        for place, at in enumerate(members):
            rows[at] = Neighbours(found.products[place], found.scores[place], found.views[place])
    return [row for row in rows if row is not None]
