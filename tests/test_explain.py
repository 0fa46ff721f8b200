"""Heat maps point at what speaks for an answer, in the picture as it is, at a fixed cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from vision import explain
from vision.encoder import Encoder
from vision.explain import ENCODED, heat_map, log_odds, overlay
from vision.images import Image, read_image
from vision.networks.preprocess import Preprocess

SAMPLE = Path(__file__).parent.parent / "assets" / "sample"
RED, GREY = (220, 30, 30), (128, 128, 128)


class RedEncoder:
    """Stands in for an encoder: embeddings are the mean redness and blueness of what it sees."""

    def __init__(self, resize: str = "squash", scale: int = 48, crop: int = 48) -> None:
        mean = (0.0,) * 3
        self.preprocess = Preprocess(resize, scale, crop, mean, mean, "bilinear", 128)  # type: ignore[arg-type]
        self.seen = 0

    def prepare(self, image: Image) -> np.ndarray:
        return self.preprocess(image.pixels, (image.width, image.height))

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        self.seen += len(pixels)
        colours = pixels.astype(np.float32)
        red, green, blue = (colours[:, band] for band in range(3))  # (n, h, w)
        stands_out = (red - np.maximum(green, blue), blue - np.maximum(green, red))
        means = [np.maximum(each, 0).mean(axis=(1, 2)) / 255 for each in stands_out]
        return np.stack(means, axis=1)


def picture(width: int, height: int, box: tuple[int, int, int, int] | None) -> Image:
    """Draw a red box on grey, and read it back as findalike reads pictures."""
    drawn = PIL.Image.new("RGB", (width, height), GREY)
    if box is not None:
        drawn.paste(RED, box)
    return png(drawn)


def png(drawn: PIL.Image.Image) -> Image:
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    return read_image(buffer.getvalue())


def red(vectors: np.ndarray) -> np.ndarray:
    return vectors[:, 0]


def map_of(encoder: Any, image: Image, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return heat_map(encoder, image, score)


def middle(heat: np.ndarray) -> tuple[float, float]:
    """Return the centre of gravity of the heat, (x, y)."""
    y, x = np.indices(heat.shape)
    return float((x * heat).sum() / heat.sum()), float((y * heat).sum() / heat.sum())


# --- where -------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [(8, 8, 28, 28), (90, 10, 110, 30), (60, 85, 80, 105)])
def test_the_heat_is_on_what_is_scored(box: tuple[int, int, int, int]) -> None:
    heat = map_of(RedEncoder(), picture(120, 120, box), red)
    assert heat.shape == (120, 120)
    assert heat.dtype == np.float32
    assert (heat.min(), heat.max()) == (0.0, 1.0)
    assert middle(heat) == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=9)
    hottest = np.unravel_index(heat.argmax(), heat.shape)
    assert box[0] - 6 <= hottest[1] <= box[2] + 6
    assert box[1] - 6 <= hottest[0] <= box[3] + 6


@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
@pytest.mark.parametrize(("width", "height"), [(160, 80), (80, 160)])
def test_the_heat_lies_over_the_whole_picture_however_it_is_cut(
    resize: str, width: int, height: int
) -> None:
    across, down = width // 2, height // 2
    box = (across + 10, down + 10, across + 30, down + 30)
    heat = map_of(RedEncoder(resize), picture(width, height, box), red)
    assert heat.shape == (height, width)
    assert middle(heat) == pytest.approx((across + 20, down + 20), abs=9)


def test_what_the_encoder_does_not_see_is_cold() -> None:
    heat = map_of(RedEncoder("shortest"), picture(300, 100, (110, 30, 150, 70)), red)
    assert heat[:, :98].max() == heat[:, 202:].max() == 0.0
    assert heat.max() == 1.0


def test_a_margin_that_is_cut_away_moves_nothing() -> None:
    heat = map_of(RedEncoder("shortest", scale=64), picture(120, 120, (30, 70, 50, 90)), red)
    assert middle(heat) == pytest.approx((40, 80), abs=6)
    assert heat[:12].max() == heat[:, :12].max() == 0.0  # (64 - 48) / 2 of 64 on each side


def test_a_picture_reduced_while_read_has_its_heat_in_its_own_pixels() -> None:
    drawn = PIL.Image.new("RGB", (1201, 601), GREY)
    drawn.paste(RED, (700, 100, 900, 300))
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=95)
    image = read_image(buffer.getvalue(), at_least=48)
    assert image.pixels.width < 300
    heat = map_of(RedEncoder("squash"), image, red)
    assert heat.shape == (image.pixels.height, image.pixels.width)
    scale = image.pixels.width / 1201
    assert middle(heat) == pytest.approx((800 * scale, 200 * scale), abs=9)


def test_what_speaks_against_is_cold() -> None:
    image = picture(96, 96, (10, 10, 30, 30))
    image.pixels.paste((30, 30, 220), (60, 60, 90, 90))
    heat = map_of(RedEncoder(), image, lambda vectors: vectors[:, 0] - vectors[:, 1])
    assert heat[15:25, 15:25].min() > 0.5
    assert heat[68:82, 68:82].max() < 0.1


def test_nothing_to_point_at_is_no_heat() -> None:
    heat = map_of(RedEncoder(), picture(40, 30, None), red)
    assert heat.shape == (30, 40)
    assert not heat.any()


def test_the_cost_is_fixed() -> None:
    for side in (20, 500):
        encoder = RedEncoder()
        map_of(encoder, picture(side, side, (0, 0, 9, 9)), red)
        assert encoder.seen == ENCODED == 99


def test_log_odds_by_hand() -> None:
    found = log_odds(np.array([0.5, 0.9, 0.1, 0.0, 1.0], dtype=np.float32))
    assert found[:3] == pytest.approx([0.0, np.log(9), -np.log(9)], abs=1e-6)
    assert np.isfinite(found).all()
    assert found[3] == pytest.approx(-found[4])


# --- what is shown -----------------------------------------------------------------------------


def test_an_overlay_glows_where_it_is_hot() -> None:
    heat = np.zeros((300, 600), dtype=np.float32)
    heat[:, 300:] = 1.0
    shown = PIL.Image.open(io.BytesIO(overlay(picture(600, 300, (100, 0, 200, 300)), heat)))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", (512, 256))
    assert not shown.getexif()
    assert set(shown.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    hot = np.asarray(shown)[128, 400].astype(int)
    cold = np.asarray(shown)[128, 130].astype(int)
    assert np.ptp(cold) < 12  # grey, although the box is red
    assert hot[0] > hot[2] + 40  # yellow


def test_an_overlay_of_a_small_picture_is_not_enlarged() -> None:
    shown = overlay(picture(40, 30, None), np.zeros((30, 40), dtype=np.float32))
    assert PIL.Image.open(io.BytesIO(shown)).size == (40, 30)


def test_the_colours_get_lighter_with_the_heat() -> None:
    luminance = np.array(explain._INFERNO) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


# --- a real encoder ----------------------------------------------------------------------------

KINDS = ("Kitchen > Mugs", "Furniture > Chairs", "Bags > Backpacks", "Home > Clocks")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


@pytest.fixture(scope="module")
def shown() -> dict[str, list[Image]]:
    """Four products of each kind from the sample catalogue."""
    with (SAMPLE / "products.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        kind: [
            read_image(SAMPLE / row["image_path"].split("|")[0])
            for row in rows
            if row["category"] == kind
        ][:4]
        for kind in KINDS
    }


@pytest.mark.parametrize("left", [True, False])
def test_a_real_encoder_is_explained(
    encoder: Encoder, shown: dict[str, list[Image]], left: bool
) -> None:
    """Two products side by side: the heat for the one's kind lies on its side."""
    means = np.stack([encoder.encode_images(shown[kind][1:]).mean(axis=0) for kind in KINDS])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    mug, chair = (shown[kind][0].pixels.resize((200, 200)) for kind in KINDS[:2])
    canvas = PIL.Image.new("RGB", (400, 400), "white")
    canvas.paste(mug, (0 if left else 200, 100))
    canvas.paste(chair, (200 if left else 0, 100))

    def kind_of(number: int) -> Callable[[np.ndarray], np.ndarray]:
        def score(vectors: np.ndarray) -> np.ndarray:
            odds = np.exp(20 * vectors @ means.T)
            return log_odds((odds / odds.sum(axis=1, keepdims=True))[:, number])

        return score

    def share_on_the_left(number: int) -> float:
        heat = heat_map(encoder, png(canvas), kind_of(number))
        return float(heat[:, :200].sum() / heat.sum())

    mugs, chairs = share_on_the_left(0), share_on_the_left(1)
    assert (mugs > 0.75) is left
    assert (mugs < 0.25) is not left
    assert (chairs < 0.25) is left
    assert (chairs > 0.75) is not left
