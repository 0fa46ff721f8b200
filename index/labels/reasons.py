"""Why something is taken for what it is: the labelled products that look most like it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index.labels.pooling import pooled
from index.labels.standing import product_labels
from index.store.products import ProductTable

if TYPE_CHECKING:
    from index.catalogue import Catalogue

LOOKED_AT = 40  # neighbours among which labelled ones are looked for
_REASONS = 3  # labelled neighbours shown


@dataclass(frozen=True)
class Reason:
    """A labelled product that looks like what was asked: ``cosine`` is that of the embeddings."""

    product_id: str
    title: str
    sha256: str
    cosine: float
    labels: dict[str, str]


def reasons(
    table: ProductTable,
    fingerprint: str,
    vectors: Iterable[np.ndarray],
    near: Sequence[Sequence[int]],
    axes: Sequence[str],
    needed: str = "",
) -> Iterator[tuple[Reason, ...]]:
    """Yield for each embedding (d,) those of its neighbours that a feed or a person labelled.

    ``near`` has the keys of each one's neighbours, -1 for none. A reason names the labels on
    ``axes``, one at least, and one on the axis ``needed``. The most alike come first, by the cosine
    with the mean of a product's embeddings.
    """
    stored = table.get({key for keys in near for key in keys if key >= 0})
    said = {
        key: {
            axis: label.value
            for axis, label in labels.items()
            if axis in axes and label.value and label.source != "head"
        }
        for key, labels in product_labels(table, stored).items()
    }
    told = [key for key, labels in said.items() if labels and (not needed or needed in labels)]
    means = _means(table, fingerprint, told)
    for vector, keys in zip(vectors, near, strict=True):
        cosine = {key: float(means[key] @ vector) for key in keys if key in means}
        best = sorted(cosine, key=lambda key: -cosine[key])[:_REASONS]
        yield tuple(
            Reason(
                stored[key].product.product_id,
                stored[key].product.title,
                stored[key].views[0].sha256,
                cosine[key],
                said[key],
            )
            for key in best
        )


def product_reasons(
    catalogue: Catalogue, keys: Iterable[int], axis: str
) -> dict[int, tuple[Reason, ...]]:
    """Return for products, by key, the ones most like them that have a label on an axis."""
    with catalogue.reading() as table:
        means = _means(table, catalogue.fingerprint, dict.fromkeys(keys))
        if not means:
            return {}
        store = catalogue.index(table).store
        rows = np.concatenate([store.vectors_of(key)[:1] for key in means])
        found = store.search(rows, LOOKED_AT).products.tolist()
        near = [
            [each for each in row if each != key] for key, row in zip(means, found, strict=True)
        ]
        why = reasons(table, catalogue.fingerprint, means.values(), near, (axis,))
        return dict(zip(means, why, strict=True))


def _means(table: ProductTable, fingerprint: str, keys: Iterable[int]) -> dict[int, np.ndarray]:
    """Return the mean embeddings (d,) of products, by key."""
    return {
        key: vector
        for part in pooled(table, fingerprint, keys)
        for key, vector in zip(part.keys.tolist(), part.vectors, strict=True)
    }
