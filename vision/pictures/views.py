"""What a customer's photo does to a product's picture: augmented views for calibration."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageFilter

_SIDE = 320  # pixels; both sides of the simulated photo
_HARDEST = 1.25  # chosen so that verdicts hold on photos of several kinds, see docs/ranking.md


def customer_view(
    picture: PIL.Image.Image, rng: np.random.Generator, background: PIL.Image.Image | None = None
) -> PIL.Image.Image:
    """Return a picture as a customer might have photographed the product, RGB.

    Turned and seen askew, before another background, closer or farther, partly covered, in other
    light, blurred, and compressed: each by a random amount from ``rng``, all of them scaled by how
    hard this photo is, from hardly changed to barely recognisable. The hue is left alone, because
    colour is part of what a product is.
    """
    hard = rng.uniform(0.0, _HARDEST)
    view = _light(_place(_askew(picture, hard, rng), background, hard, rng), hard, rng)
    if rng.random() < 0.5 * hard:
        view = _cover(view, hard, rng)
    if rng.random() < hard:
        view = view.filter(PIL.ImageFilter.GaussianBlur(rng.uniform(0.2, 0.2 + 2.8 * hard)))
    if rng.random() < 0.5 * hard:
        view = view.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    view.save(buffer, "JPEG", quality=round(90 - 55 * hard * rng.random()))
    return PIL.Image.open(buffer).convert("RGB")


def _askew(picture: PIL.Image.Image, hard: float, rng: np.random.Generator) -> PIL.Image.Image:
    """Turn the picture and move its corners; what lies outside is clear."""
    width, height = picture.size
    corner = 0.2 * hard
    quad: list[float] = []
    for x, y in ((0, 0), (0, 1), (1, 1), (1, 0)):
        quad += [
            (x + rng.uniform(-corner, corner)) * width,
            (y + rng.uniform(-corner, corner)) * height,
        ]
    bent = picture.convert("RGBA").transform(
        picture.size, PIL.Image.Transform.QUAD, quad, PIL.Image.Resampling.BILINEAR
    )
    return bent.rotate(rng.uniform(-35, 35) * hard, PIL.Image.Resampling.BILINEAR, expand=True)


def _place(
    picture: PIL.Image.Image,
    background: PIL.Image.Image | None,
    hard: float,
    rng: np.random.Generator,
) -> PIL.Image.Image:
    """Lay the picture before a background, at another scale and place, some of it outside."""
    if background is not None and rng.random() < hard:
        blur = PIL.ImageFilter.GaussianBlur(rng.uniform(0, 12))
        canvas = background.resize((_SIDE, _SIDE)).filter(blur)
    else:
        shade = rng.integers(40, 256, 3) if rng.random() < hard else (255, 255, 255)
        canvas = PIL.Image.new("RGB", (_SIDE, _SIDE), tuple(int(value) for value in shade))
    scale = max(0.3, rng.uniform(1 - 0.55 * hard, 1 + 0.5 * hard)) * _SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    shape = picture.resize(size, PIL.Image.Resampling.BILINEAR)
    shift = 0.2 * hard * _SIDE
    at = (
        round((_SIDE - size[0]) / 2 + rng.uniform(-shift, shift)),
        round((_SIDE - size[1]) / 2 + rng.uniform(-shift, shift)),
    )
    canvas.paste(shape, at, shape)
    return canvas


def _light(picture: PIL.Image.Image, hard: float, rng: np.random.Generator) -> PIL.Image.Image:
    """Change brightness, contrast and saturation, and warm or cool the light a little."""
    for enhancer, most in (
        (PIL.ImageEnhance.Brightness, 0.5),
        (PIL.ImageEnhance.Contrast, 0.4),
        (PIL.ImageEnhance.Color, 0.4),
    ):
        picture = enhancer(picture).enhance(1 + rng.uniform(-most, most) * hard)
    warmth = rng.uniform(-0.2, 0.2) * hard
    gains = np.array([1 + warmth, 1.0, 1 - warmth])
    tinted = np.clip(np.asarray(picture) * gains, 0, 255).astype(np.uint8)
    return PIL.Image.fromarray(tinted)


def _cover(picture: PIL.Image.Image, hard: float, rng: np.random.Generator) -> PIL.Image.Image:
    """Cover a part from one edge, as a hand or a shelf does."""
    picture = picture.copy()
    width, height = picture.size
    part = rng.uniform(0.05, 0.05 + 0.45 * hard)
    shade = tuple(int(value) for value in rng.integers(30, 230, 3))
    boxes = (
        (0, 0, round(width * part), height),
        (width - round(width * part), 0, width, height),
        (0, height - round(height * part), width, height),
    )
    picture.paste(shade, boxes[int(rng.integers(3))])
    return picture
