"""Where in a photo the thing may be that it was taken of: a few likely boxes, by looks alone.

No network is asked. On a photo reduced to 64 x 64 pixels, what stands out is what differs in colour
from the border of the photo, or has edges. Boxes of many sizes and places are compared by how well
they part what stands out from what does not: by the variance between inside and outside, which is
Otsu's criterion ("A threshold selection method from gray-level histograms", IEEE Trans. SMC 9(1),
1979) with a box in the place of a threshold.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import PIL.Image

from vision.colour import to_lab
from vision.images import Image, Region

_SIDE = 64  # pixels of the reduced photo
_BORDER = 3  # of them taken as background
_SAMPLE = 5  # every fifth pixel of the border
_SIZES = (0.3, 0.42, 0.55, 0.7, 0.85)  # of a side
_STRETCH = 2.2  # the most that a box is longer than wide, in the reduced photo
_STEP = 4  # pixels from one box to the next
_OVERLAP = 0.5  # of two boxes' union; those that share more are the same


def likely_regions(image: Image, most: int = 4) -> tuple[Region, ...]:
    """Return up to ``most`` boxes, likeliest first, none much like another or the whole photo."""
    seen = _standing_out(image.pixels)
    boxes = _boxes()  # (b, 4): left, top, right, bottom
    total = np.zeros((_SIDE + 1, _SIDE + 1))
    total[1:, 1:] = seen.cumsum(axis=0).cumsum(axis=1)
    left, top, right, bottom = boxes.T
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    area = (right - left) * (bottom - top)
    share = area / _SIDE**2
    gap = inside / area - (total[-1, -1] - inside) / (_SIDE**2 - area)
    parted = share * (1 - share) * np.maximum(gap, 0) ** 2  # (b,)
    chosen: list[np.ndarray] = []
    for at in np.argsort(-parted, kind="stable"):
        if len(chosen) == most or parted[at] <= 0:
            break
        if all(_overlap(boxes[at], other) < _OVERLAP for other in chosen):
            chosen.append(boxes[at])
    return tuple(_region(box) for box in chosen)


def _standing_out(picture: PIL.Image.Image) -> np.ndarray:
    """Return how much each pixel of the reduced photo stands out, (64, 64) float64, mean one."""
    small = picture.resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX)
    lab = to_lab(np.asarray(small))  # (64, 64, 3)
    rows = np.arange(_SIDE)
    edge = np.minimum(rows, rows[::-1]) < _BORDER
    border = lab[edge[:, None] | edge[None, :]][::_SAMPLE]  # (s, 3)
    flat = lab.reshape(-1, 3)
    squares = (flat**2).sum(axis=1)[:, None] + (border**2).sum(axis=1) - 2 * flat @ border.T
    # A tenth of the border is enough to be background: it may show several things.
    place = max(0, len(border) // 10)
    strange = np.sqrt(np.maximum(np.partition(squares, place, axis=1)[:, place], 0))
    strange = strange.reshape(_SIDE, _SIDE)
    slopes = np.hypot(*np.gradient(lab[..., 0]))
    found: np.ndarray = strange / (strange.mean() + 1e-6) + slopes / (slopes.mean() + 1e-6)
    return found


@cache
def _boxes() -> np.ndarray:
    """Return all boxes that are compared, (b, 4) int64: left, top, right, bottom in pixels."""
    sides = [round(size * _SIDE) for size in _SIZES]
    found = [
        (left, top, left + width, top + height)
        for width in sides
        for height in sides
        if max(width / height, height / width) <= _STRETCH
        for left in range(0, _SIDE - width + 1, _STEP)
        for top in range(0, _SIDE - height + 1, _STEP)
    ]
    return np.array(found, dtype=np.int64)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the area that two boxes share, as a share of what they cover together."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / (both - shared))


def _region(box: np.ndarray) -> Region:
    left, top, right, bottom = (float(each) / _SIDE for each in box)
    return Region(left, top, right - left, bottom - top)
