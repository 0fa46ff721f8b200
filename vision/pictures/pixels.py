"""RGB pixels from whatever a decoder gives: palettes, alpha, CMYK, deep grey."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import PIL.Image

_GREY_16 = {"I;16", "I;16L", "I;16B", "I;16N"}
_WITH_ALPHA = {"LA", "PA", "RGBA", "RGBa"}
_BAND_PIXELS = 2**20


def to_rgb(picture: PIL.Image.Image, factor: int = 1) -> PIL.Image.Image:
    """Return the decoded ``picture`` as RGB on white, without metadata, at 1 / ``factor``.

    Sides are rounded up; each pixel is the mean of ``factor`` x ``factor`` pixels. Works band by
    band, so that no second copy of a large picture is made.
    """
    width, height = picture.size
    levels = _levels(picture)
    flat = PIL.Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    for top, band in _bands(picture, factor):
        rgb = _flatten(band) if levels is None else _grey(band, *levels)
        flat.paste(rgb.reduce(factor) if factor > 1 else rgb, (0, top // factor))
    return flat


def _bands(picture: PIL.Image.Image, factor: int = 1) -> Iterator[tuple[int, PIL.Image.Image]]:
    """Yield (first row, strip of full width); all but the last have a multiple of factor rows."""
    width, height = picture.size
    rows = max(1, _BAND_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(top + rows, height)))


def _flatten(band: PIL.Image.Image) -> PIL.Image.Image:
    if band.mode == "La":  # has no way to RGBA of its own
        band = band.convert("LA")
    if band.mode not in _WITH_ALPHA and "transparency" not in band.info:
        return band.convert("RGB")
    rgba = band.convert("RGBA")
    white = PIL.Image.new("RGB", band.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _levels(picture: PIL.Image.Image) -> tuple[float, float] | None:
    """Return the values that mean black and white in deep grey; None for every other mode.

    16-bit grey has a fixed range. 32-bit integers and floats do not say theirs: it is taken to
    be the smallest usual one (0..1 for floats, 0..255, 0..65535) that holds every value, and
    otherwise goes from the least to the greatest.
    """
    if picture.mode in _GREY_16:
        return 0.0, 65535.0
    if picture.mode not in ("I", "F"):
        return None
    low, high = math.inf, -math.inf
    for _, band in _bands(picture):
        values = np.asarray(band)
        values = values[np.isfinite(values)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    usual = (1.0, 255.0, 65535.0) if picture.mode == "F" else (255.0, 65535.0)
    for white in usual:
        if low >= 0 and high <= white:
            return 0.0, white
    return low, high


def _grey(band: PIL.Image.Image, black: float, white: float) -> PIL.Image.Image:
    values = np.asarray(band).astype(np.float32)  # (h, w)
    scaled = (values - black) * (255 / max(white - black, 1e-12))
    grey = np.clip(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0) + 0.5, 0, 255)
    grey = grey.astype(np.uint8)
    if "transparency" in band.info:
        grey[values == band.info["transparency"]] = 255
    return PIL.Image.fromarray(grey).convert("RGB")
