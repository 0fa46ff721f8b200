"""A catalogue learns from itself: its ranking space and how sure its matches are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from index.evaluation.measures import mean_reciprocal_rank
from index.search.space import DEFAULT_COLOUR_WEIGHT, Space, fit_space
from index.search.verdicts import Verdicts, fit_verdicts
from index.store.products import ProductTable, StoredProduct
from index.store.tables import damaged
from index.vectors import VectorStore
from vision.batches import ahead
from vision.images import read_image
from vision.pictures.colour import describe_colour
from vision.pictures.views import customer_view

if TYPE_CHECKING:
    from vision.encoder import Encoder

SPACE_PICTURES = 20_000  # pictures the mean and the colour components are taken from
VERDICT_PHOTOS = 250  # photos simulated to calibrate verdicts, at least
MIN_PRODUCTS = 8  # with fewer, nothing can be said about how sure a match is
_VIEWED_PRODUCTS = 30  # products with several pictures needed to choose the colour's weight by them
_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
_WORTHWHILE = 0.01  # gain in MRR below which the default weight stays
_VERSION = 2  # raise it when space or verdicts are learnt in another way: they are then learnt anew
_HITS = 5  # hits of each simulated query that the model learns from


@dataclass(frozen=True)
class Calibration:
    """What was learnt from a catalogue with ``pictures`` pictures; stored with the fingerprint.

    ``verdicts`` is None where the catalogue was too small. ``weight_from`` says how many products
    with several pictures the colour's weight was chosen on, 0 for the default weight.
    """

    space: Space
    verdicts: Verdicts | None
    pictures: int
    weight_from: int

    @cached_property
    def space_id(self) -> str:
        """Return a hash of the ranking space: vectors of different spaces never meet."""
        digest = hashlib.sha256(repr(self.space.colour_weight).encode())
        for part in (self.space.mean, self.space.colour_mean, self.space.colour_basis):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """Return the calibration as safetensors."""
        facts = {
            "version": _VERSION,
            "verdicts": self.verdicts.as_dict() if self.verdicts else None,
            "pictures": self.pictures,
            "weight_from": self.weight_from,
            "colour_weight": self.space.colour_weight,
        }
        tensors = {
            "mean": self.space.mean,
            "colour_mean": self.space.colour_mean,
            "colour_basis": self.space.colour_basis,
        }
        return bytes(save(tensors, {"facts": json.dumps(facts)}))

    @classmethod
    def from_bytes(cls, content: bytes) -> Calibration | None:
        """Read what ``to_bytes`` wrote; None if another version of findalike learnt it otherwise.

        Raises CatalogueError if it is damaged.
        """
        try:
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["facts"])
        except (SafetensorError, ValueError, KeyError) as error:
            raise damaged("the calibration cannot be read") from error
        if facts.get("version") != _VERSION:
            return None
        return cls(
            Space(
                tensors["mean"], tensors["colour_mean"], tensors["colour_basis"],
                facts["colour_weight"],
            ),
            Verdicts(**facts["verdicts"]) if facts["verdicts"] else None,
            facts["pictures"],
            facts["weight_from"],
        )  # fmt: skip


def learn_space(table: ProductTable, fingerprint: str) -> tuple[Space, int]:
    """Fit the ranking space to a catalogue; return it and the number of products the colour's
    weight was chosen on (0: the default).

    Everything is sampled by SHA-256 and product id, so that the same catalogue gives the same
    space in whatever order it was filled.
    """
    vectors, colours, owners = table.sample(fingerprint, SPACE_PICTURES)
    keys, count = np.unique(owners, return_counts=True)
    viewed = keys[count > 1]
    if len(viewed) < _VIEWED_PRODUCTS:
        return fit_space(vectors, colours), 0
    scores = {
        w: _own_views_mrr(fit_space(vectors, colours, w), vectors, colours, owners)
        for w in _WEIGHTS
    }
    best = max(scores, key=lambda weight: scores[weight])
    if scores[best] < scores[DEFAULT_COLOUR_WEIGHT] + _WORTHWHILE:
        best = DEFAULT_COLOUR_WEIGHT
    return fit_space(vectors, colours, best), len(viewed)


def _own_views_mrr(
    space: Space, vectors: np.ndarray, colours: np.ndarray, owners: np.ndarray
) -> float:
    """Return how well a product's pictures find its others, as MRR, asking up to 500 of them."""
    rows = space.project(vectors, colours)
    _, inverse, count = np.unique(owners, return_inverse=True, return_counts=True)
    queries = np.flatnonzero(count[inverse] > 1)[:500]
    scores = rows[queries] @ rows.T
    scores[np.arange(len(queries)), queries] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    return mean_reciprocal_rank(owners[order] == owners[queries][:, None])


def learn_verdicts(
    table: ProductTable, store: VectorStore, space: Space, encoder: Encoder
) -> Verdicts | None:
    """Calibrate verdicts on simulated customer photos of the catalogue's own products.

    Each sampled product is asked for by augmented views of its first picture and, where it has
    several, by its last picture with that picture taken out. None for fewer than MIN_PRODUCTS.
    """
    keys = table.sample_keys(VERDICT_PHOTOS)
    if len(keys) < MIN_PRODUCTS:
        return None
    stored = table.get(keys)
    products = [stored[key] for key in keys]
    queries, owners, left_out = _simulate(table, products, encoder, space)
    rivals = store.search(queries, _HITS, without=owners)  # the true product held out
    others = rivals.scores
    own, own_cosines = _own_scores(store, space, queries, owners, left_out)
    rows = np.concatenate([others, own[:, None]], axis=1)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :_HITS]
    present = np.take_along_axis(rows, order, axis=1)
    is_own = order == rows.shape[1] - 1
    # A product whose only picture is the query itself cannot be found: only its absence teaches.
    findable = np.isfinite(own)
    found = np.where(is_own.any(axis=1), is_own.argmax(axis=1), -1)
    cosines = None
    if encoder.sees_through_scenes:
        firsts = [store.vectors_of(int(key)) for key in rivals.products[:, 0]]
        theirs = [space.cosine(query, row) for query, row in zip(queries, firsts, strict=True)]
        cosines = np.where(found == 0, own_cosines, theirs)[findable]
    return fit_verdicts(present[findable], found[findable], others[findable], cosines)


def _simulate(
    table: ProductTable, products: Sequence[StoredProduct], encoder: Encoder, space: Space
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return queries (q, dim), their products' keys (q,), and the view that each must not find
    (q,), -1 for none.
    """
    previews = table.previews(
        v.sha256 for each in products for v in (each.views[0], each.views[-1])
    )
    firsts = [previews[each.views[0].sha256] for each in products]

    def photograph(at: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((1, at))
        background = read_image(firsts[int(rng.integers(len(firsts)))]).pixels
        picture = read_image(firsts[at % len(firsts)]).pixels
        photo = customer_view(picture, rng, background)
        return encoder.preprocess(photo), describe_colour(photo)

    def other_view(at: int) -> tuple[np.ndarray, np.ndarray]:
        picture = read_image(previews[products[at].views[-1].sha256]).pixels
        return encoder.preprocess(picture), describe_colour(picture)

    # A small catalogue has each product photographed several times.
    times = -(-VERDICT_PHOTOS // len(products))
    several = [at for at, each in enumerate(products) if len(each.views) > 1]
    made = [*ahead(range(times * len(products)), photograph), *ahead(several, other_view)]
    vectors = np.concatenate(
        [
            encoder.encode_pixels(
                np.stack([pixels for pixels, _ in made[i : i + 32]]), mirror=encoder.mirrors
            )
            for i in range(0, len(made), 32)
        ]
    )
    queries = space.project(vectors, np.stack([colour for _, colour in made]))
    asked = [*list(products) * times, *(products[at] for at in several)]
    left_out = [-1] * (times * len(products)) + [products[at].views[-1].id for at in several]
    return queries, np.array([each.key for each in asked]), np.array(left_out)


def _own_scores(
    store: VectorStore,
    space: Space,
    queries: np.ndarray,
    owners: np.ndarray,
    left_out: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's best score and cosine with its own product's pictures, (q,) each.

    Where a product has no picture left, the score is -inf and the cosine -1.
    """
    best = np.full(len(queries), -np.inf, dtype=np.float32)
    cosines = np.full(len(queries), -1.0, dtype=np.float32)
    for at, (query, owner, view) in enumerate(zip(queries, owners, left_out, strict=True)):
        rows = np.flatnonzero((store.products == owner) & (store.views != view))
        if len(rows):
            own = store.vectors()[rows]
            best[at] = float((own @ query).max())
            cosines[at] = space.cosine(query, own)
    return best, cosines
