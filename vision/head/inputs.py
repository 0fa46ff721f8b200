"""What a head learns from, and the one input that all of its outputs share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.arrays import dot, leading_axes, unit
from vision.errors import HeadError
from vision.taxonomy import CATEGORY, Taxonomy

FEWEST = 20  # examples from which a mean is taken away
_COLOUR_COMPONENTS = 128
_POWER = 0.7  # of embeddings' numbers; see docs/head.md
_COMPONENTS = 512  # of embeddings that are longer, the leading ones are kept
_SAMPLE = 20_000  # examples that components are taken from


@dataclass(frozen=True)
class Examples:
    """Labelled, or partly labelled, products as arrays.

    ``vectors`` (n, d) float32 are unit rows, the mean of each product's pictures' embeddings scaled
    to length one; ``colours`` (n, c) float32 their mean colour descriptors; ``labels`` maps an axis
    to n values, "" where it is not known. The axis "category" has paths, maybe of inner nodes.
    """

    vectors: np.ndarray
    colours: np.ndarray
    labels: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Space:
    """The shared input: what is taken away, and the components that are kept, float32.

    ``mean`` (d,) and ``basis`` (d, r) are of evened embeddings, ``colour_mean`` (c,) and
    ``colour_basis`` (c, s) of colours. The columns of both bases are orthonormal.
    """

    mean: np.ndarray
    basis: np.ndarray
    colour_mean: np.ndarray
    colour_basis: np.ndarray

    def parts(self, vectors: np.ndarray, colours: np.ndarray) -> np.ndarray:
        """Return (n, r + s) float32: the embedding and the colours, each of length one."""
        shapes = unit(dot(evened(vectors) - self.mean, self.basis))
        shades = dot(unit(colours.astype(np.float32) - self.colour_mean), self.colour_basis)
        return np.concatenate([shapes, shades], axis=1)

    def weighed(self, parts: np.ndarray, colour_weight: float) -> np.ndarray:
        """Return (n, r + s) float32 whose dot products are weighed sums of both cosines."""
        factors = np.full(parts.shape[1], np.sqrt(1.0 - colour_weight), dtype=np.float32)
        factors[self.basis.shape[1] :] = np.sqrt(colour_weight)
        rows: np.ndarray = parts.astype(np.float32) * factors
        return rows


def evened(vectors: np.ndarray) -> np.ndarray:
    """Return embeddings (n, d) float32 in which a few large numbers no longer drown the others.

    Power normalisation (Perronnin et al., "Improving the Fisher kernel", ECCV 2010).
    """
    rows: np.ndarray = np.sign(vectors) * np.abs(vectors) ** np.float32(_POWER)
    return unit(rows)


def fit_space(vectors: np.ndarray, colours: np.ndarray, seed: int) -> Space:
    """Return the space of some products; from very few no mean is taken away."""
    some = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:_SAMPLE])
    vectors, colours = evened(vectors[some]), colours[some].astype(np.float32)
    many = len(vectors) >= FEWEST
    mean, colour_mean = (
        each.mean(axis=0) if many else np.zeros(each.shape[1], np.float32)
        for each in (vectors, colours)
    )
    return Space(
        mean,
        leading_axes(vectors - mean, _COMPONENTS),
        colour_mean,
        leading_axes(unit(colours - colour_mean), _COLOUR_COMPONENTS),
    )


def check_examples(examples: Examples, taxonomy: Taxonomy, precision: float) -> None:
    """Raise HeadError for examples that nothing can be learnt from as they stand."""
    if not 0.0 < precision < 1.0:
        raise HeadError(f"A precision of {precision} cannot be reached; ask for 0.98, for example.")
    n = len(examples.vectors)
    if not n:
        raise HeadError("There are no products to learn from. Add some first: findalike add")
    if len(examples.colours) != n or any(len(each) != n for each in examples.labels.values()):
        raise HeadError("Each product needs an embedding, a colour and a label (or none).")
    if not (np.isfinite(examples.vectors).all() and np.isfinite(examples.colours).all()):
        raise HeadError("Some embeddings are not numbers. Check the catalogue: findalike check")
    for axis, values in examples.labels.items():
        known = set(taxonomy.categories if axis == CATEGORY else taxonomy.axes.get(axis, ()))
        strange = sorted(set(values) - known - {""})
        if strange:
            raise HeadError(
                f'The taxonomy has no "{strange[0]}" for {axis}. Add it, or correct the label.'
            )
