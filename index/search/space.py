"""The space products are ranked in: embedding and colour brought into one vector.

Each picture becomes one unit vector whose dot product with another is

    (1 - w) * cosine(embeddings, catalogue's mean taken away) + w * cosine(colours, likewise)

so that one inner-product search ranks by both, exactly, whatever index does the searching. Taking
the mean away counters hubs, points that are near everything (Suzuki et al., "Centering similarity
measures to reduce hubs", EMNLP 2013); colours are reduced to their principal components, which
keeps these dot products while the vectors stay short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.pictures.colour import COLOUR_DIM

# Chosen on the grocery and clothing *training* photos of the development data; see docs/ranking.md.
DEFAULT_COLOUR_WEIGHT = 0.2
COLOUR_COMPONENTS = 128

# Below this many pictures a mean says more about those few than about the catalogue.
MIN_PICTURES = 20


@dataclass(frozen=True)
class Space:
    """A way to turn embeddings and colours into ranking vectors.

    ``mean`` is (d,) float32, ``colour_mean`` (c,) float32, ``colour_basis`` (c, r) float32 with
    orthonormal columns, ``colour_weight`` in [0, 1).
    """

    mean: np.ndarray
    colour_mean: np.ndarray
    colour_basis: np.ndarray
    colour_weight: float

    @property
    def dim(self) -> int:
        """Return the length of a ranking vector, d + r."""
        return int(self.mean.size + self.colour_basis.shape[1])

    def project(self, vectors: np.ndarray, colours: np.ndarray) -> np.ndarray:
        """Return ranking vectors (n, dim) float32 for embeddings (n, d) and colours (n, c)."""
        shapes = unit(vectors - self.mean) * np.float32(np.sqrt(1.0 - self.colour_weight))
        shades = unit(colours.astype(np.float32) - self.colour_mean) @ self.colour_basis
        shades = shades * np.float32(np.sqrt(self.colour_weight))
        return np.concatenate([shapes, shades], axis=1).astype(np.float32)

    def embeddings(self, rows: np.ndarray) -> np.ndarray:
        """Return the embeddings (n, d) float32 that ranking vectors (n, dim) were made of.

        ``project`` forgets how far an embedding lay from the mean; that it had length one tells.
        """
        shapes = rows[:, : self.mean.size] / np.float32(np.sqrt(1.0 - self.colour_weight))
        along = shapes @ self.mean
        away = np.sqrt(np.maximum(along**2 + 1.0 - self.mean @ self.mean, 0.0)) - along
        found: np.ndarray = self.mean + away[:, None] * shapes
        return found.astype(np.float32)

    def cosine(self, query: np.ndarray, rows: np.ndarray) -> float:
        """Return the best cosine of a photo's embedding with a product's pictures'.

        ``query`` (dim,) and ``rows`` (n, dim) are ranking vectors; -1 where there are no rows.
        """
        if not len(rows):
            return -1.0
        return float((self.embeddings(rows) @ self.embeddings(query[None])[0]).max())

    def project_words(self, vectors: np.ndarray) -> np.ndarray:
        """Return ranking vectors for embedded words, which have no colours: (n, dim) float32.

        The mean of pictures is not taken from words: the two lie apart in a CLIP's space (Liang et
        al., "Mind the gap", NeurIPS 2022), and a constant shift of the query changes no order.
        """
        shades = np.zeros((len(vectors), self.colour_basis.shape[1]), dtype=np.float32)
        return np.concatenate([vectors, shades], axis=1).astype(np.float32)


def plain_space(dim: int) -> Space:
    """Return the space for a catalogue too small to have a mean: nothing is taken away."""
    return Space(
        np.zeros(dim, dtype=np.float32),
        np.zeros(COLOUR_DIM, dtype=np.float32),
        np.eye(COLOUR_DIM, dtype=np.float32),
        DEFAULT_COLOUR_WEIGHT,
    )


def fit_space(
    vectors: np.ndarray, colours: np.ndarray, colour_weight: float = DEFAULT_COLOUR_WEIGHT
) -> Space:
    """Return the space of a catalogue with these embeddings (n, d) and colours (n, c)."""
    if len(vectors) < MIN_PICTURES:
        return plain_space(vectors.shape[1])
    colours = colours.astype(np.float32)
    colour_mean = colours.mean(axis=0)
    centred = unit(colours - colour_mean)
    # The leading eigenvectors of (c, c): its size does not grow with the catalogue.
    _, basis = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    basis = basis[:, ::-1][:, : min(COLOUR_COMPONENTS, len(vectors))]
    return Space(
        vectors.mean(axis=0).astype(np.float32),
        colour_mean.astype(np.float32),
        np.ascontiguousarray(basis, dtype=np.float32),
        colour_weight,
    )


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length one; rows of zeros stay zeros."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = rows / np.maximum(norms, 1e-12)
    return scaled.astype(np.float32)
