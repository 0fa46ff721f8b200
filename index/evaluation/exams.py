"""An exam for encoders: questions about held-out products, asked again of each that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index.search.space import Space, fit_space, unit
from vision.batches import ahead
from vision.images import read_image
from vision.pictures.colour import describe_colour
from vision.pictures.views import customer_view

if TYPE_CHECKING:
    from vision.encoder import Encoder

_BATCH = 32
_NEIGHBOURS = 5  # products that vote for a category


@dataclass(frozen=True)
class Stock:
    """Pictures of products, none twice: n JPEGs with their colours (n, c) float32, the product each
    shows ``products`` (n,) int64 from 0 without gaps, and each product's category ``labels`` (p,)
    int64, -1 where it is not known.
    """

    pictures: Sequence[bytes]
    colours: np.ndarray
    products: np.ndarray
    labels: np.ndarray

    def of(self, products: np.ndarray) -> np.ndarray:
        """Return which pictures (m,) int64 show one of the products."""
        return np.flatnonzero(np.isin(self.products, products))

    def only(self, products: np.ndarray) -> Stock:
        """Return the stock of some products, (k,) int64 ascending, numbered anew in that order."""
        at = self.of(products)
        return Stock(
            [self.pictures[each] for each in at], self.colours[at],
            np.searchsorted(products, self.products[at]), self.labels[products],
        )  # fmt: skip


@dataclass(frozen=True)
class Marks:
    """How an encoder did: by measure, one mark for each product asked about, from 0 to 1.

    ``right`` holds the share of a product's questions whose first answer was right, ``near`` the
    mean reciprocal rank of the right one. Both have the measures "photos" (simulated customers'
    photos), "views" (a picture of a product that has others) and "categories" (the category of
    the five products most like it), as far as there are questions.
    """

    right: dict[str, np.ndarray]
    near: dict[str, np.ndarray]

    def score(self) -> float:
        """Return the mean over the measures of ``near``: finer than counting first answers."""
        return float(np.mean([each.mean() for each in self.near.values()]))


class Exam:
    """Questions about some products of a stock, all of whose pictures are what can be found.

    They are asked as the catalogue would: in its ranking space, photos with their mirror image
    where the encoder has it so.
    """

    def __init__(
        self, stock: Stock, asked: np.ndarray, encoder: Encoder, *, photos: int, seed: int
    ) -> None:
        self.stock, self.asked = stock, asked
        firsts = {each: int(stock.of(np.array([each]))[0]) for each in asked.tolist()}
        self._owners = np.repeat(asked, photos)

        def photograph(at: int) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng((seed, at))
            behind = read_image(stock.pictures[int(rng.integers(len(stock.pictures)))]).pixels
            picture = read_image(stock.pictures[firsts[int(self._owners[at])]]).pixels
            photo = customer_view(picture, rng, behind)
            return encoder.preprocess(photo), describe_colour(photo)

        made = list(ahead(range(len(self._owners)), photograph))
        self._photos = np.stack([pixels for pixels, _ in made])
        self._colours = np.stack([colour for _, colour in made])

    def take(self, encoder: Encoder) -> Marks:
        """Ask an encoder everything."""
        stock = self.stock
        vectors = _embed_stock(stock, encoder)
        space = fit_space(vectors, stock.colours)
        rows = space.project(vectors, stock.colours)
        ranks = {"photos": self._ask_photos(encoder, space, rows)}
        several = self.asked[np.bincount(stock.products)[self.asked] > 1]
        if len(several):
            ranks["views"] = self._ask_views(rows, several)
        right = {name: _by_product(asked, rank == 1) for name, (asked, rank) in ranks.items()}
        near = {name: _by_product(asked, 1 / rank) for name, (asked, rank) in ranks.items()}
        told = self._tell_categories(rows)
        if len(told):
            right["categories"] = near["categories"] = told
        return Marks(right, near)

    def _ask_photos(
        self, encoder: Encoder, space: Space, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the product of each photo and the rank (q,) at which it is found."""
        queries = [
            space.project(encoder.encode_pixels(self._photos[some], mirror=encoder.mirrors),
                          self._colours[some])
            for some in _runs(len(self._photos))
        ]  # fmt: skip
        return self._owners, self._rank(np.concatenate(queries) @ rows.T, self._owners)

    def _ask_views(self, rows: np.ndarray, several: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the same for each picture of products that have several, itself taken out."""
        asked = self.stock.of(several)
        scores = rows[asked] @ rows.T
        scores[np.arange(len(asked)), asked] = -np.inf
        owners = self.stock.products[asked]
        return owners, self._rank(scores, owners)

    def _rank(self, scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """Return the place (q,) of each query's product by its best picture, from scores (q, n)."""
        order = np.argsort(self.stock.products, kind="stable")
        starts = np.searchsorted(self.stock.products[order], np.arange(len(self.stock.labels)))
        best = np.maximum.reduceat(scores[:, order], starts, axis=1)  # (q, p)
        own = best[np.arange(len(owners)), owners]
        ranks: np.ndarray = 1 + (best > own[:, None]).sum(axis=1)
        return ranks

    def _tell_categories(self, rows: np.ndarray) -> np.ndarray:
        """Return for the products whose category another has too: was it told by those like it."""
        labels, count = self.stock.labels, len(self.stock.labels)
        known = np.flatnonzero(labels >= 0)
        asked = np.array(
            [each for each in self.asked if labels[each] >= 0
             and (labels == labels[each]).sum() > 1], dtype=np.int64,
        )  # fmt: skip
        means = np.zeros((count, rows.shape[1]), dtype=np.float32)
        np.add.at(means, self.stock.products, rows)
        means = unit(means)
        scores = means[asked] @ means[known].T
        scores[asked[:, None] == known[None]] = -np.inf
        right = []
        for row, each in zip(scores, asked, strict=True):
            top = np.argsort(-row, kind="stable")[:_NEIGHBOURS]
            votes = np.bincount(labels[known[top]], weights=np.maximum(row[top], 1e-6))
            right.append(float(votes.argmax() == labels[each]))
        return np.array(right)


def _embed_stock(stock: Stock, encoder: Encoder) -> np.ndarray:
    """Return the embeddings of all pictures, (n, d) float32."""
    pixels = ahead(stock.pictures, lambda data: encoder.preprocess(read_image(data).pixels))
    runs = (np.stack([next(pixels) for _ in some]) for some in _runs(len(stock.pictures)))
    return np.concatenate([encoder.encode_pixels(each) for each in runs])


def _runs(count: int) -> list[np.ndarray]:
    return [np.arange(count)[i : i + _BATCH] for i in range(0, count, _BATCH)]


def _by_product(owners: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return the mean of the marks of each product, in order of its number."""
    _, inverse, count = np.unique(owners, return_inverse=True, return_counts=True)
    means: np.ndarray = np.bincount(inverse, weights=marks) / count
    return means
