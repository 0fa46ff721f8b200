"""The colour descriptor: a unit vector that follows hue and not size."""

from __future__ import annotations

import colorsys

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from vision.pictures.colour import COLOUR_DIM, describe_colour


def shape(hue: float, side: int = 256, ground: str = "white") -> PIL.Image.Image:
    """A disc of one hue with a darker bar across."""
    picture = PIL.Image.new("RGB", (side, side), ground)
    pen = PIL.ImageDraw.Draw(picture)
    for (x0, y0, x1, y1), value in (((0.2, 0.2, 0.8, 0.8), 0.9), ((0.3, 0.45, 0.7, 0.55), 0.5)):
        colour = tuple(round(255 * each) for each in colorsys.hsv_to_rgb(hue, 0.8, value))
        pen.ellipse((x0 * side, y0 * side, x1 * side, y1 * side), fill=colour)
    return picture


def likeness(first: PIL.Image.Image, second: PIL.Image.Image) -> float:
    a, b = (describe_colour(each).astype(np.float32) for each in (first, second))
    return float(a @ b)


@pytest.mark.parametrize(
    "picture",
    [
        shape(0.3),
        PIL.Image.new("RGB", (1, 1), "teal"),
        PIL.Image.new("RGB", (64, 64), "white"),
        PIL.Image.new("RGB", (300, 2), "black"),
        PIL.Image.effect_noise((90, 50), 200).convert("RGB"),
    ],
    ids=["disc", "pixel", "white", "black strip", "noise"],
)
def test_every_picture_has_a_unit_vector(picture: PIL.Image.Image) -> None:
    vector = describe_colour(picture)
    assert vector.shape == (COLOUR_DIM,) and vector.dtype == np.float16
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(1.0, abs=2e-3)
    assert (vector >= 0).all()
    assert np.array_equal(vector, describe_colour(picture.copy()))


@pytest.mark.parametrize("side", [128, 512, 1000])
def test_scale_hardly_matters(side: int) -> None:
    assert likeness(shape(0.6), shape(0.6, side)) > 0.98


def test_hue_tells_apart_what_shape_does_not() -> None:
    red, nearly, green, blue = (shape(hue) for hue in (0.0, 0.02, 0.33, 0.6))
    for other in (green, blue):
        assert likeness(red, nearly) > likeness(red, other) + 0.1
    assert likeness(green, blue) < 0.8


def test_the_product_counts_more_than_its_ground() -> None:
    same_product = likeness(shape(0.0), shape(0.0, ground="lightgrey"))
    same_ground = likeness(shape(0.0), shape(0.5))
    assert same_product > same_ground


def test_the_ground_of_a_small_product_counts_little() -> None:
    def small(colour: str) -> PIL.Image.Image:
        picture = PIL.Image.new("RGB", (200, 200), "white")
        picture.paste(colour, (85, 85, 115, 115))  # 2 % of the picture
        return picture

    # Half of the descriptor looks at the whole centre, white ground and all.
    assert likeness(small("red"), small("blue")) < 0.65
    assert likeness(small("red"), small("red")) > 0.99
