"""What is wrong with a photo itself: too dark, too bright, blurred, or too small."""

from __future__ import annotations

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
    edges lack and flat grounds do not add to.
    """
    grey = image.pixels.convert("L")
    grey.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.BILINEAR)
    values = np.asarray(grey, dtype=np.float32)  # (h, w)
    faults: list[Fault] = []
    if np.percentile(values, 90) < _DARK:
        faults.append("dark")
    elif np.percentile(values, 10) > _BRIGHT:
        faults.append("bright")
    if min(image.width, image.height) < _SMALL:
        faults.append("small")
    elif min(values.shape) >= 3 and _sharpness(values) < _EDGE:
        faults.append("blurred")
    return tuple(faults)


def _sharpness(values: np.ndarray) -> float:
    """Return the 99th percentile of the second differences, along rows and columns."""
    across = np.abs(np.diff(values, n=2, axis=1))
    down = np.abs(np.diff(values, n=2, axis=0))
    spread = max(1.0, float(np.percentile(values, 99) - np.percentile(values, 1)))
    steepest = max(float(np.percentile(across, 99)), float(np.percentile(down, 99)))
    return steepest * 128 / spread
