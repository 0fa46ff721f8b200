"""From queries to answers: embed what is asked, search, and say how sure each match is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from index.query import Answer, Hit, Query, Verdict
from index.search.calibration import Calibration
from index.search.embedding import photo_vectors, see_photos, word_vectors
from index.search.filters import check_attributes
from index.search.space import Space, unit
from index.search.verdicts import Verdicts
from index.search.words import Words, search_described
from index.store.products import Overtaken, ProductTable, StoredProduct
from index.vectors import Neighbours, VectorStore
from vision.errors import QueryError

if TYPE_CHECKING:
    from vision.encoder import Encoder

_LEAST_HITS = 10  # looked at whatever k is, so that probabilities do not depend on it
_NOTHING = 1e-4  # a query vector shorter than this has no direction


@dataclass(frozen=True)
class Asked:
    """Queries ready to be searched for, the same in all fields.

    ``vectors`` (q, dim) float32 in the ranking space, so that a score is the mean of the parts'
    scores by their weights, and a photo alone scores as pictures do among themselves. ``without``
    (q,) int64 is the key of the product each must not find, -1 for none; ``sha256`` that of the
    photo where the photo alone and whole is asked, else ""; ``milliseconds`` what reading and
    encoding took for each.
    """

    queries: tuple[Query, ...]
    vectors: np.ndarray
    without: np.ndarray
    sha256: tuple[str, ...]
    milliseconds: dict[str, float]


def ask(
    queries: Sequence[Query],
    encoder: Callable[[], Encoder],
    space: Space,
    store: VectorStore,
    table: ProductTable,
) -> Asked:
    """Read and embed queries.

    The parts of a query are averaged in the ranking space by their weights, words to avoid with a
    minus. ``encoder`` is called only where there is something to embed. Raises QueryError for
    unknown products and parts that cancel out, UnreadableImage for bad photos, EncoderError for
    words where the encoder knows none.
    """
    for query in queries:
        query.conditions()  # a wrong filter is told before anything is embedded
    like = table.keys(query.like for query in queries if query.like)
    for query in queries:
        if query.like and query.like not in like:
            raise QueryError(f'There is no product "{query.like}" in this catalogue.')
    seen = see_photos(queries, encoder)
    started = time.perf_counter()
    vectors = photo_vectors(queries, seen, space) + word_vectors(queries, encoder, space)
    for at, query in enumerate(queries):
        if query.like:
            own = store.vectors_of(like[query.like])
            if not len(own):
                raise Overtaken
            vectors[at] += query.weight("like") * unit(own.sum(axis=0, keepdims=True))[0]
    for query, vector in zip(queries, vectors, strict=True):
        if not query.photo_only and np.linalg.norm(vector) < _NOTHING:
            raise QueryError("The parts of the query cancel each other out; change their weights.")
    total = np.array([sum(map(query.weight, query.parts)) for query in queries], dtype=np.float32)
    took = Counter({"read": 0.0, "encode": (time.perf_counter() - started) * 1000})
    for each in filter(None, seen):
        took.update(each.milliseconds)
    return Asked(
        tuple(queries),
        vectors / total[:, None],
        np.array([like.get(query.like, -1) for query in queries], dtype=np.int64),
        tuple(
            each.sha256 if each is not None and query.photo_only and query.region is None else ""
            for each, query in zip(seen, queries, strict=True)
        ),
        {name: milliseconds / len(queries) for name, milliseconds in took.items()},
    )


@dataclass(frozen=True)
class _Found:
    """What one query found: the nearest products, and those that show the very same file.

    Each is one row of neighbours, (n,) in all fields; None where no product shows the file.
    ``rivals`` (m,) are the best scores of the whole catalogue, whatever the filters; ``unknown``
    the words asked for that describe no product.
    """

    best: Neighbours
    rivals: np.ndarray
    same: Neighbours | None
    unknown: tuple[str, ...] = ()

    @property
    def left_out(self) -> bool:
        """Tell whether the filters leave out a product that scores higher than all that pass."""
        scores = self.best.scores if self.same is None else self.same.scores
        return bool(self.rivals[0] > scores[0] + _NOTHING)


def answer_queries(
    asked: Asked,
    store: VectorStore,
    calibration: Calibration,
    words: Words,
    table: ProductTable,
    get: Callable[[set[int]], dict[int, StoredProduct]],
) -> list[Answer]:
    """Search for embedded queries and turn the neighbours into answers; ``get`` reads products."""
    started = time.perf_counter()
    verdicts = calibration.verdicts
    found = _search(asked, store, words, table)
    searched = time.perf_counter()
    rows = [row for each in found for row in (each.best, each.same) if row is not None]
    keys = {int(key) for row in rows for key in row.products[row.products >= 0]}
    products = get(keys)
    if len(products) < len(keys):
        raise Overtaken  # by another process, or by another thread that brought the index up
    hits = [
        _hits(query, each, products, verdicts)
        for query, each in zip(asked.queries, found, strict=True)
    ]
    ranked = time.perf_counter()
    times = asked.milliseconds | {
        "search": (searched - started) * 1000 / len(asked.queries),
        "rank": (ranked - searched) * 1000 / len(asked.queries),
    }

    def cosine(at: int) -> float:
        own = store.vectors_of(int(found[at].best.products[0]))
        return calibration.space.cosine(asked.vectors[at], own)

    return [
        Answer(
            _verdict(each, verdicts, partial(cosine, at)),
            each,
            dict(times),
            found[at].unknown,
            query.photo_only and bool(query.where) and found[at].left_out,
        )
        for at, (query, each) in enumerate(zip(asked.queries, hits, strict=True))
    ]


def _hits(
    query: Query, found: _Found, products: dict[int, StoredProduct], verdicts: Verdicts | None
) -> tuple[Hit, ...]:
    """Return at most k products, best first.

    The very same file is the product, even where another scores a hair higher.
    """
    best, same = found.best, found.same
    sure: list[float | None] = [None] * len(best.scores)
    if verdicts is not None and query.photo_only:
        sure = verdicts.probabilities(best.scores[None], found.rivals[None])[0].tolist()
    places = [(best, at, probability) for at, probability in enumerate(sure)]
    if same is not None:
        places = [(same, at, 1.0) for at in range(len(same.products))] + places
    hits: dict[int, Hit] = {}
    for row, at, probability in places:
        key = int(row.products[at])
        if key in products and key not in hits:  # -1 is the padding
            stored = products[key]
            view = next((v for v in stored.views if v.id == row.views[at]), stored.views[0])
            hits[key] = Hit(
                stored.product, float(row.scores[at]), probability, view.location, view.sha256
            )
    return tuple(hits.values())[: query.k]


def _verdict(
    hits: Sequence[Hit], verdicts: Verdicts | None, cosine: Callable[[], float]
) -> Verdict:
    if not hits:
        return "not stocked"
    probability = hits[0].probability
    if probability == 1.0:
        return "exact"
    if verdicts is None or probability is None:
        return "similar"
    return verdicts.verdict(probability, cosine())


def _search(asked: Asked, store: VectorStore, words: Words, table: ProductTable) -> list[_Found]:
    """Search queries that share filters and k together; return what each of them found."""
    owners = table.owners(sha256 for sha256 in asked.sha256 if sha256)
    groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for at, query in enumerate(asked.queries):
        groups.setdefault((tuple(query.where), query.k), []).append(at)
    answers: dict[int, _Found] = {}
    for (where, k), members in groups.items():
        allowed = None
        if where:
            conditions = asked.queries[members[0]].conditions()
            allowed = table.matching(conditions)
            if not len(allowed):
                check_attributes(conditions, table.connection)
        found = store.search(
            asked.vectors[members],
            max(k, _LEAST_HITS),
            allowed=allowed,
            without=asked.without[members],
        )
        rivals = found.scores
        if allowed is not None:
            without = asked.without[members]
            rivals = store.search(asked.vectors[members], _LEAST_HITS, without=without).scores
        for place, at in enumerate(members):
            keys = np.array([key for key, _ in owners.get(asked.sha256[at], ())], dtype=np.int64)
            keys = keys if allowed is None else np.intersect1d(keys, allowed)
            same = None
            if len(keys):
                same = _row(store.search(asked.vectors[at : at + 1], len(keys), allowed=keys), 0)
            best = _row(found, place)
            bonus = words.bonus(asked.queries[at], table)
            if bonus is not None:
                described = search_described(
                    store,
                    asked.vectors[at],
                    found.products.shape[1],
                    bonus,
                    allowed=allowed,
                    without=int(asked.without[at]),
                )
                best = _row(described, 0)
            answers[at] = _Found(best, rivals[place], same, bonus.unknown if bonus else ())
    return [answers[at] for at in range(len(asked.queries))]


def _row(found: Neighbours, at: int) -> Neighbours:
    return Neighbours(found.products[at], found.scores[at], found.views[at])
