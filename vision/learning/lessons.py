"""What an encoder learns from: pictures of products, in batches that hold what looks alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import PIL.Image

from vision.images import read_image
from vision.pictures.views import customer_view

VIEWS = 4  # of each product in a batch
PRODUCTS = 16  # in a batch
EPOCH = 512  # products seen in an epoch at most
_NEAR = 3  # products most like one of them that come into its batch, to be told apart


@dataclass(frozen=True)
class Lessons:
    """Pictures to learn from: n JPEGs, the product each shows and its category.

    ``products`` (n,) int64 has the same number for pictures of the same product, ``labels`` (n,)
    int64 for those of the same category, -1 where that is unknown.
    """

    pictures: Sequence[bytes]
    products: np.ndarray
    labels: np.ndarray

    @cached_property
    def by_product(self) -> list[np.ndarray]:
        """Return the pictures of each product, in order of its number."""
        return [np.flatnonzero(self.products == each) for each in np.unique(self.products)]

    @property
    def batches(self) -> int:
        """Return the number of batches in an epoch, at most."""
        return -(-min(EPOCH, len(self.by_product)) // PRODUCTS)


@dataclass(frozen=True)
class Shot:
    """One view to be made: of which product and picture, as it is (``plain``) or as a customer's
    photo before part of another picture, with the seed of its chance.
    """

    product: int
    picture: int
    plain: bool
    behind: int
    seed: int


def draw_batches(
    lessons: Lessons, near: Sequence[Sequence[int]], rng: np.random.Generator
) -> list[list[Shot]]:
    """Draw an epoch: batches of up to PRODUCTS products with VIEWS views each.

    ``near`` names for each product those that look most like it: as many as are free come along.
    """
    return [
        [shot for product in batch for shot in _views(lessons, product, rng)]
        for batch in _together(len(lessons.by_product), near, rng)
    ]


def make_view(
    lessons: Lessons, shot: Shot, preprocess: Callable[[PIL.Image.Image], np.ndarray]
) -> np.ndarray:
    """Return what the network sees of a view: (3, h, w) uint8."""
    picture = read_image(lessons.pictures[shot.picture]).pixels
    if not shot.plain:
        behind = read_image(lessons.pictures[shot.behind]).pixels
        picture = customer_view(picture, np.random.default_rng(shot.seed), behind)
    return preprocess(picture)


def _together(
    count: int, near: Sequence[Sequence[int]], rng: np.random.Generator
) -> Iterator[list[int]]:
    """Yield runs of products, none twice, each followed by what looks like it."""
    drawn = rng.permutation(count)[:EPOCH].tolist()
    free, run = dict.fromkeys(drawn), list[int]()
    for each in drawn:
        if each in free:
            alike = [other for other in near[each] if other in free and other != each]
            for one in (each, *alike[:_NEAR]):
                del free[one]
                run.append(one)
        while len(run) >= PRODUCTS:
            yield run[:PRODUCTS]
            run = run[PRODUCTS:]
    if len(run) > 1:  # one alone has nothing to be told from
        yield run


def _views(lessons: Lessons, product: int, rng: np.random.Generator) -> Iterator[Shot]:
    """Draw two pictures of a product, each as it is and photographed; a single picture is
    photographed three times.
    """
    own = rng.permutation(lessons.by_product[product])[:2].tolist()
    drawn = [(each, plain) for each in own for plain in (True, False)]
    for picture, plain in drawn + [(own[0], False)] * (VIEWS - len(drawn)):
        behind = int(rng.integers(len(lessons.pictures)))
        yield Shot(product, picture, plain, behind, int(rng.integers(2**63)))
