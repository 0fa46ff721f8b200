"""Products as the head sees them: their pictures' embeddings pooled, and their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from index.labels.standing import product_labels
from index.search.space import unit
from index.store.products import ProductTable, StoredProduct, arrays, chunks, embedded_views
from index.store.tables import views
from vision.head import Examples
from vision.taxonomy import CATEGORY, Taxonomy

_SAMPLE = 10_000  # products that stand for all


@dataclass(frozen=True)
class Pooled:
    """Products with one embedding each.

    ``keys`` (n,) int64, ``vectors`` (n, d) float32 unit rows: the mean over a product's pictures,
    ``colours`` (n, c) float32: the same of their colour descriptors.
    """

    keys: np.ndarray
    vectors: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """The products that have labels, as a head learns from them.

    ``products`` are in the order of ``examples``; ``strange`` counts the labels whose value the
    taxonomy does not have, by axis and value.
    """

    products: tuple[StoredProduct, ...]
    examples: Examples
    strange: dict[tuple[str, str], int]


def pooled(table: ProductTable, fingerprint: str, keys: Iterable[int]) -> Iterator[Pooled]:
    """Yield products with the mean of their pictures' embeddings, in the order of ``keys``."""
    for some in chunks(keys):
        query = embedded_views(fingerprint).where(views.c.product_key.in_(some))
        rows = table.connection.execute(query.order_by(views.c.position)).all()
        if not rows:
            continue
        vectors, colours, owners = arrays(rows)
        there = set(owners.tolist())
        order = {key: at for at, key in enumerate(key for key in some if key in there)}
        place = np.array([order[key] for key in owners.tolist()])
        count = np.bincount(place).astype(np.float32)[:, None]
        yield Pooled(
            np.array(list(order), dtype=np.int64),
            unit(_sums(vectors, place, len(order)) / count),
            _sums(colours, place, len(order)) / count,
        )


def _sums(rows: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    total = np.zeros((size, rows.shape[1]), dtype=np.float32)
    np.add.at(total, place, rows)
    return total


def sampled(table: ProductTable, fingerprint: str) -> Examples:
    """Return a sample of all products, without labels: what a head will be asked of."""
    vectors, colours, _ = _features(table, fingerprint, table.sample_keys(_SAMPLE))
    return Examples(vectors, colours, {})


def labelled(table: ProductTable, fingerprint: str, taxonomy: Taxonomy) -> Labelled:
    """Return all products that feeds or people labelled on any axis of the taxonomy."""
    axes = (CATEGORY, *taxonomy.axes)
    found: list[StoredProduct] = []
    values: dict[str, list[str]] = {axis: [] for axis in axes}
    strange: dict[tuple[str, str], int] = {}
    for some in chunks(table.all_keys()):
        stored = table.get(some)
        for key, known in sorted(product_labels(table, stored).items()):
            said = {
                axis: known[axis].value
                for axis in axes
                if axis in known and known[axis].source != "head" and known[axis].value
            }
            for axis, value in list(said.items()):
                if value not in (taxonomy if axis == CATEGORY else taxonomy.axes[axis]):
                    strange[axis, value] = strange.get((axis, value), 0) + 1
                    del said[axis]
            if said:
                found.append(stored[key])
                for axis in axes:
                    values[axis].append(said.get(axis, ""))
    vectors, colours, kept = _features(table, fingerprint, [each.key for each in found])
    return Labelled(
        tuple(found[at] for at in kept),
        Examples(
            vectors,
            colours,
            {axis: tuple(each[at] for at in kept) for axis, each in values.items()},
        ),
        strange,
    )


def _features(
    table: ProductTable, fingerprint: str, keys: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return pooled vectors and colours, and the places of the keys that have any."""
    place = {key: at for at, key in enumerate(keys)}
    parts = list(pooled(table, fingerprint, keys))
    if not parts:
        empty = np.empty((0, 0), dtype=np.float32)
        return empty, empty, []
    return (
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.colours for part in parts]),
        [place[key] for part in parts for key in part.keys.tolist()],
    )
