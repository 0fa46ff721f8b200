"""The ranking space: one dot product that means what the docstring says."""

import numpy as np
import pytest

from index.search.space import (
    COLOUR_COMPONENTS,
    DEFAULT_COLOUR_WEIGHT,
    MIN_PICTURES,
    fit_space,
    plain_space,
    unit,
)
from vision.pictures.colour import COLOUR_DIM


def sample(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(n, 24)) + 0.5), unit(rng.random((n, COLOUR_DIM)) ** 4)


def test_dot_product_is_the_weighted_sum_of_both_cosines() -> None:
    vectors, colours = sample(100)
    space = fit_space(vectors, colours, 0.3)
    rows = space.project(vectors, colours)
    shapes = unit(vectors - vectors.mean(axis=0))
    shades = unit(colours - colours.mean(axis=0))
    expected = 0.7 * shapes @ shapes.T + 0.3 * shades @ shades.T
    # 100 pictures span at most 99 dimensions: the components keep all of them.
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-5)
    assert rows.dtype == np.float32
    assert rows.shape == (100, space.dim)


def test_rows_are_unit_vectors() -> None:
    vectors, colours = sample(60)
    rows = fit_space(vectors, colours).project(vectors, colours)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def test_large_catalogues_keep_a_bounded_number_of_colour_components() -> None:
    vectors, colours = sample(300)
    space = fit_space(vectors, colours)
    assert space.colour_basis.shape == (COLOUR_DIM, COLOUR_COMPONENTS)
    gram = space.colour_basis.T @ space.colour_basis
    np.testing.assert_allclose(gram, np.eye(COLOUR_COMPONENTS), atol=1e-5)


def test_a_small_catalogue_has_nothing_taken_away() -> None:
    vectors, colours = sample(MIN_PICTURES - 1)
    space = fit_space(vectors, colours)
    assert not space.mean.any()
    rows = space.project(vectors, colours)
    w = DEFAULT_COLOUR_WEIGHT
    expected = (1 - w) * vectors @ vectors.T + w * unit(colours) @ unit(colours).T
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-4)


def test_embeddings_come_back_from_ranking_vectors() -> None:
    rng = np.random.default_rng(5)
    vectors = unit(rng.normal(0.4, 1.0, (60, 24)).astype(np.float32))
    colours = rng.random((60, COLOUR_DIM)).astype(np.float32)
    for space in (fit_space(vectors, colours, 0.3), plain_space(24)):
        rows = space.project(vectors, colours)
        np.testing.assert_allclose(space.embeddings(rows), vectors, atol=1e-5)
        best = float((vectors[1:9] @ vectors[0]).max())
        assert space.cosine(rows[0], rows[1:9]) == pytest.approx(best, abs=1e-5)
        assert space.cosine(rows[0], rows[:0]) == -1.0


def test_words_touch_the_embedding_only() -> None:
    vectors, colours = sample(50)
    space = fit_space(vectors, colours)
    words = unit(np.random.default_rng(1).normal(size=(2, 24)))
    rows = space.project_words(words)
    np.testing.assert_array_equal(rows[:, 24:], 0)
    scores = rows @ space.project(vectors, colours).T
    shapes = unit(vectors - space.mean) * np.sqrt(1 - DEFAULT_COLOUR_WEIGHT)
    np.testing.assert_allclose(scores, words @ shapes.T, atol=1e-5)


def test_picture_equal_to_the_mean_gives_zeros_not_nan() -> None:
    space = fit_space(*sample(50))
    row = space.project(space.mean[None], space.colour_mean[None])
    assert np.isfinite(row).all()


@pytest.mark.parametrize("n", [0, 3])
def test_projecting_keeps_the_number_of_rows(n: int) -> None:
    space = plain_space(24)
    assert space.project(np.zeros((n, 24)), np.zeros((n, COLOUR_DIM))).shape == (n, space.dim)
