"""Simulated customer photos: repeatable, whole, and of the product's own hue."""

from __future__ import annotations

import colorsys

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from vision.pictures.views import customer_view


def product(hue: float, width: int = 300, height: int = 260, mode: str = "RGB") -> PIL.Image.Image:
    colour = tuple(round(255 * each) for each in colorsys.hsv_to_rgb(hue, 0.9, 0.9))
    picture = PIL.Image.new("RGB", (width, height), "white")
    PIL.ImageDraw.Draw(picture).ellipse((0, 0, width, height), fill=colour)
    return picture.convert(mode)


@pytest.mark.parametrize("background", [None, product(0.5, 90, 400)])
def test_a_seed_gives_the_same_photo_again(background: PIL.Image.Image | None) -> None:
    for seed in range(8):
        first, second, other = (
            customer_view(product(0.1), np.random.default_rng(each), background)
            for each in (seed, seed, seed + 100)
        )
        assert first.mode == "RGB" and min(first.size) >= 200
        assert first.tobytes() == second.tobytes()
        assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (1200, 900)])
def test_pictures_of_every_shape_and_mode(size: tuple[int, int]) -> None:
    for seed in range(6):
        for mode in ("RGB", "L", "RGBA"):
            rng = np.random.default_rng(seed)
            assert customer_view(product(0.2, *size, mode=mode), rng).mode == "RGB"


def test_the_picture_given_is_left_alone() -> None:
    picture, background = product(0.3), product(0.7)
    before = picture.tobytes(), background.tobytes()
    for seed in range(6):
        customer_view(picture, np.random.default_rng(seed), background)
    assert (picture.tobytes(), background.tobytes()) == before


@pytest.mark.parametrize("hue", [0.0, 0.35, 0.62])
def test_the_hue_is_kept(hue: float) -> None:
    off = []
    for seed in range(30):
        view = customer_view(product(hue), np.random.default_rng(seed)).convert("HSV")
        hues, saturation, value = (np.asarray(band).ravel() for band in view.split())
        coloured = hues[(saturation > 120) & (value > 60)] / 256
        if len(coloured) > 500:
            distance = np.abs((coloured - hue + 0.5) % 1 - 0.5)
            off.append(float(np.median(distance)))
    assert len(off) >= 10  # in most photos the product is large enough to see
    assert np.median(off) < 0.05
