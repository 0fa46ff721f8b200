"""What is wrong with a photo itself: too dark, too bright, blurred, or too small."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import PIL.Image

from vision.images import Image

Fault = Literal["dark", "bright", "blurred", "small"]

_SIDE = 512  # pixels of the long side that sharpness is judged at
_SMALL = 120  # pixels of the short side below which an encoder sees little
_DARK, _BRIGHT = 70, 235  # of 255: the 90th and the 10th percentile of brightness
_EDGE = 4.0  # of 255 per pixel: the slope of the steepest hundredth


def photo_faults(image: Image) -> tuple[Fault, ...]:
    """Return the faults that make an answer worse, most serious first.

    Dark: nine pixels of ten are. Bright: the same. Blurred: even the steepest hundredth of the
    photo's slopes is gentle, measured at 512 pixels by the second difference, which out-of-focus
    edges lack and flat grounds do not add to; in the dark nothing has edges.
    """
    grey = image.pixels.convert("L")
    grey.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.BILINEAR)
    values = np.asarray(grey).astype(np.int16)  # (h, w)
    tenth, ninth = _percentiles(values, 10, 90)
    faults: list[Fault] = []
    if ninth < _DARK:
        faults.append("dark")
    elif tenth > _BRIGHT:
        faults.append("bright")
    if min(image.width, image.height) < _SMALL:
        faults.append("small")
    elif "dark" not in faults and min(values.shape) >= 3 and _sharpness(values) < _EDGE:
        faults.append("blurred")
    return tuple(faults)


def _sharpness(values: np.ndarray) -> float:
    """Return the 99th percentile of the second differences, along rows and columns."""
    least, most = _percentiles(values, 1, 99)
    seconds = [
        np.abs(values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]),
        np.abs(values[2:] - 2 * values[1:-1] + values[:-2]),
    ]
    steepest = max(_percentiles(each, 99)[0] for each in seconds)
    return steepest * 128 / max(1.0, most - least)


def _percentiles(values: np.ndarray, *wanted: int) -> list[float]:
    """Return percentiles of whole numbers from 0 as numpy's, from their counts: 5 times faster."""
    upto = np.bincount(values.ravel()).cumsum()
    found = []
    for percent in wanted:
        place = percent / 100 * (values.size - 1)
        low, high = np.searchsorted(upto, [math.floor(place), math.ceil(place)], side="right")
        found.append(float(low + (high - low) * (place % 1)))
    return found
