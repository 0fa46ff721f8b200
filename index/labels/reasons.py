"""Why a product is taken for what it is: the labelled products that look most like it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from index.labels.categorising import Reason
from index.labels.pooling import pooled
from index.labels.standing import product_labels

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_LOOKED_AT = 40  # neighbours among which labelled ones are looked for


def product_reasons(
    catalogue: Catalogue, keys: Iterable[int], axis: str, *, count: int = 3
) -> dict[int, tuple[Reason, ...]]:
    """Return for products, by key, the ones most like them that a feed or a person labelled.

    The cosine is that of the products' mean embeddings; the labels are those of one axis.
    """
    with catalogue.reading() as table:
        asked = dict.fromkeys(keys)
        parts = list(pooled(table, catalogue.fingerprint, asked))
        if not parts:
            return {}
        store = catalogue.index(table).store
        rows = [store.vectors_of(key)[:1] for part in parts for key in part.keys.tolist()]
        near = store.search(np.concatenate(rows), _LOOKED_AT).products.tolist()
        own = {
            key: vector
            for part in parts
            for key, vector in zip(part.keys.tolist(), part.vectors, strict=True)
        }
        others = {key for found in near for key in found if key >= 0}
        stored = table.get(others)
        labels = {
            key: label.value
            for key, each in product_labels(table, stored).items()
            if (label := each.get(axis)) is not None and label.value and label.source != "head"
        }
        vectors = {
            key: vector
            for part in pooled(table, catalogue.fingerprint, labels)
            for key, vector in zip(part.keys.tolist(), part.vectors, strict=True)
        }
    found: dict[int, tuple[Reason, ...]] = {}
    for (key, vector), neighbours in zip(own.items(), near, strict=True):
        like = {
            other: float(vectors[other] @ vector)
            for other in neighbours
            if other in vectors and other != key
        }
        best = sorted(like, key=lambda other: -like[other])[:count]
        found[key] = tuple(
            Reason(
                stored[other].product.product_id,
                stored[other].product.title,
                stored[other].views[0].sha256,
                like[other],
                {axis: labels[other]},
            )
            for other in best
        )
    return found
