"""What a customer's camera does to a picture: blur, noise, exposure, JPEG."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from assets.studio.shape import Draw


def as_photo(picture: Image.Image, scene: str, draw: Draw) -> Image.Image:
    """Return a rendered picture as a telephone would have taken it; RGB of the same size."""
    photo = picture.convert("RGB")
    side = photo.width
    if scene == "blurred":
        if draw.chance("moved", 0.5):
            photo = _moved(
                photo, draw.between("way", 0.01, 0.03) * side, draw.between("angle", 0, np.pi)
            )
        else:
            photo = photo.filter(
                ImageFilter.GaussianBlur(draw.between("blur", 0.005, 0.012) * side)
            )
    elif draw.chance("soft", 0.3):
        photo = photo.filter(ImageFilter.GaussianBlur(draw.between("blur", 0.0, 0.003) * side))
    photo = ImageEnhance.Brightness(photo).enhance(draw.between("bright", 0.85, 1.2))
    photo = ImageEnhance.Contrast(photo).enhance(draw.between("contrast", 0.85, 1.15))
    grain = draw.between("grain", 1.0, 9.0) if scene == "dim" else draw.between("grain", 0.0, 4.0)
    noise = np.random.default_rng(int(draw.fraction("noise") * 2**32)).normal(
        0, grain, (side, side, 3)
    )
    return Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))


def on_white(picture: Image.Image) -> Image.Image:
    """Return a transparent picture on white paper."""
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture.convert("RGBA"))
    return paper.convert("RGB")


def _moved(photo: Image.Image, way: float, angle: float) -> Image.Image:
    """Return the mean of the picture at several places along a line: a camera that moved."""
    steps = 9
    total = np.zeros((photo.height, photo.width, 3))
    for at in np.linspace(-0.5, 0.5, steps):
        x, y = round(at * way * np.cos(angle)), round(at * way * np.sin(angle))
        total += np.asarray(ImageChops.offset(photo, x, y))
    return Image.fromarray((total / steps).astype(np.uint8))
