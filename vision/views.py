"""What a customer's photo does to a product's picture: augmented views for calibration."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageFilter

_SIDE = 320  # pixels; the size of the simulated photo's short side


def customer_view(
    picture: PIL.Image.Image, rng: np.random.Generator, background: PIL.Image.Image | None = None
) -> PIL.Image.Image:
    """Return a picture as a customer might have photographed the product, RGB.

    Turned and seen askew, before another background, closer or farther, partly covered, in other
    light, blurred, and compressed: each by a random amount from ``rng``. The hue is left alone,
    because colour is part of what a product is.
    """
    view = _light(_place(_askew(picture, rng), background, rng), rng)
    if rng.random() < 0.3:
        view = _cover(view, rng)
    if rng.random() < 0.4:
        view = view.filter(PIL.ImageFilter.GaussianBlur(rng.uniform(0.4, 2.0)))
    if rng.random() < 0.5:
        view = view.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    view.save(buffer, "JPEG", quality=int(rng.integers(35, 90)))
    return PIL.Image.open(buffer).convert("RGB")


def _askew(picture: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """Turn by up to 20 degrees and move each corner by up to 12 %; what lies outside is clear."""
    width, height = picture.size
    quad: list[float] = []
    for x, y in ((0, 0), (0, 1), (1, 1), (1, 0)):
        quad += [
            (x + rng.uniform(-0.12, 0.12)) * width,
            (y + rng.uniform(-0.12, 0.12)) * height,
        ]
    clear = picture.convert("RGBA")
    bent = clear.transform(
        picture.size, PIL.Image.Transform.QUAD, quad, PIL.Image.Resampling.BILINEAR
    )
    return bent.rotate(rng.uniform(-20, 20), PIL.Image.Resampling.BILINEAR, expand=True)


def _place(
    picture: PIL.Image.Image, background: PIL.Image.Image | None, rng: np.random.Generator
) -> PIL.Image.Image:
    """Lay the picture before a background, at another scale and place, some of it outside."""
    if background is None or rng.random() < 0.3:
        shade = tuple(int(value) for value in rng.integers(40, 256, 3))
        canvas = PIL.Image.new("RGB", (_SIDE, _SIDE), shade)
    else:
        blurred = background.resize((_SIDE, _SIDE))
        canvas = blurred.filter(PIL.ImageFilter.GaussianBlur(rng.uniform(4, 16)))
    scale = rng.uniform(0.7, 1.4) * _SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    shape = picture.resize(size, PIL.Image.Resampling.BILINEAR)
    room = (_SIDE - size[0], _SIDE - size[1])
    at = (
        round(room[0] / 2 + rng.uniform(-0.12, 0.12) * _SIDE),
        round(room[1] / 2 + rng.uniform(-0.12, 0.12) * _SIDE),
    )
    canvas.paste(shape, at, shape)
    return canvas


def _light(picture: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """Change brightness, contrast and saturation, and warm or cool the light a little."""
    picture = PIL.ImageEnhance.Brightness(picture).enhance(rng.uniform(0.6, 1.35))
    picture = PIL.ImageEnhance.Contrast(picture).enhance(rng.uniform(0.7, 1.3))
    picture = PIL.ImageEnhance.Color(picture).enhance(rng.uniform(0.7, 1.25))
    warmth = rng.uniform(-0.12, 0.12)
    gains = np.array([1 + warmth, 1.0, 1 - warmth])
    tinted = np.clip(np.asarray(picture) * gains, 0, 255).astype(np.uint8)
    return PIL.Image.fromarray(tinted)


def _cover(picture: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """Cover a part from one edge, as a hand or a shelf does."""
    picture = picture.copy()
    width, height = picture.size
    part = rng.uniform(0.08, 0.3)
    shade = tuple(int(value) for value in rng.integers(30, 230, 3))
    boxes = (
        (0, 0, round(width * part), height),
        (width - round(width * part), 0, width, height),
        (0, height - round(height * part), width, height),
    )
    picture.paste(shade, boxes[int(rng.integers(3))])
    return picture
