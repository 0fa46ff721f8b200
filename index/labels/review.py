"""The review queue: what a person should look at next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from index.labels.pooling import pooled
from index.labels.standing import Label, product_labels
from index.store.products import ProductTable, StoredProduct
from index.store.tables import labels, predictions, products

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_POOL = 5  # times as many as asked for are looked at, to choose different ones among them
_LEAST_POOL = 200


@dataclass(frozen=True)
class Question:
    """One product on one axis for a person to decide.

    ``best`` has the likeliest values with their probabilities, ``now`` what holds at present (None
    if nothing does), ``suspect`` the label that is likely wrong or "", ``outside`` the probability
    that no value fits.
    """

    stored: StoredProduct
    axis: str
    best: tuple[tuple[str, float], ...]
    now: Label | None
    suspect: str
    outside: float
    usefulness: float

    @property
    def why(self) -> str:
        """Say why it is asked."""
        if self.suspect:
            return f"labelled {self.suspect}, which looks wrong"
        if self.outside > 0.5:
            return "looks like nothing in the taxonomy"
        return "unsure"


def queue(catalogue: Catalogue, limit: int = 20, *, axis: str | None = None) -> list[Question]:
    """Return what to ask next: unsure or contradictory, and different from each other.

    Of the most useful ones those are taken first that look least like what was taken before
    (farthest-first, as in Sener and Savarese, "Active learning for convolutional neural networks:
    a core-set approach", ICLR 2018), weighed by their usefulness.
    """
    with catalogue.reading() as table:
        rows = table.connection.execute(
            _open_questions(axis)
            .order_by(predictions.c.usefulness.desc(), predictions.c.product_key)
            .limit(max(_LEAST_POOL, _POOL * limit))
        ).all()
        chosen = [rows[at] for at in _spread(table, catalogue.fingerprint, rows, limit)]
        stored = table.get({row.product_key for row in chosen})
        known = product_labels(table, stored)
    return [
        Question(
            stored[row.product_key], row.axis,
            tuple((value, probability) for value, probability in json.loads(row.best)),
            known[row.product_key].get(row.axis), row.suspect, row.outside, row.usefulness,
        )
        for row in chosen
    ]  # fmt: skip


def queue_length(table: ProductTable, axis: str | None = None) -> int:
    """Return how many questions are open, on one axis or on all."""
    query = sa.select(sa.func.count()).select_from(_open_questions(axis).subquery())
    return int(table.connection.execute(query).scalar_one())


def _open_questions(axis: str | None) -> sa.Select[Any]:
    """Return the predictions worth asking about that nobody decided since they were made."""
    decided = sa.select(sa.literal(1)).where(
        labels.c.product_id == products.c.product_id,
        labels.c.axis == predictions.c.axis,
        labels.c.withdrawn == 0,
        sa.or_(labels.c.action.in_(("set", "outside")), labels.c.time > predictions.c.time),
    )
    query = (
        sa.select(predictions)
        .join(products, products.c.key == predictions.c.product_key)
        .where(predictions.c.usefulness > 0, ~decided.correlate(products, predictions).exists())
    )
    return query if axis is None else query.where(predictions.c.axis == axis)


def _spread(table: ProductTable, fingerprint: str, rows: Sequence[Any], limit: int) -> list[int]:
    """Return the places of up to ``limit`` rows, useful and unlike each other, best first."""
    if not rows:
        return []
    keys = list(dict.fromkeys(row.product_key for row in rows))
    parts = list(pooled(table, fingerprint, keys))
    vector = {
        key: each
        for part in parts
        for key, each in zip(part.keys.tolist(), part.vectors, strict=True)
    }
    vectors = np.stack([vector[row.product_key] for row in rows])
    useful = np.array([row.usefulness for row in rows])
    distance = np.ones(len(rows), dtype=np.float32)
    chosen: list[int] = []
    while len(chosen) < min(limit, len(rows)):
        gain = useful * (0.1 + distance)
        gain[chosen] = -1.0
        chosen.append(int(gain.argmax()))
        distance = np.minimum(distance, 1.0 - vectors @ vectors[chosen[-1]])
    return chosen
