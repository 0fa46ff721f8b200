"""Where in a photo the thing may be that it was taken of: a few likely boxes, by looks alone.

No network is asked. On a photo reduced to 64 x 64 pixels, what stands out is what differs in colour
from the border of the photo, or has edges. Boxes of many sizes and places are compared by how well
they part what stands out from what does not: by the variance between inside and outside, which is
Otsu's criterion ("A threshold selection method from gray-level histograms", IEEE Trans. SMC 9(1),
1979) with a box in the place of a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import PIL.Image

from vision.images import Image, Region
from vision.pictures.colour import to_lab

_SIDE = 64  # pixels of the reduced photo
_BORDER = 3  # of them taken as background
_SAMPLE = 5  # every fifth pixel of the border
_SIZES = (0.3, 0.42, 0.55, 0.7, 0.85)  # of a side
_STRETCH = 2.2  # the most that a box is longer than wide, in the reduced photo
_STEP = 4  # pixels from one box to the next
_OVERLAP = 0.5  # of two boxes' union; those that share more are the same


def likely_regions(image: Image, most: int = 4) -> tuple[Region, ...]:
    """Return up to ``most`` boxes, likeliest first, none much like another or the whole photo.

    The second is the likeliest with the first one's content wiped out: another thing, if there is
    one.
    """
    seen = _standing_out(image.pixels)
    chosen: list[np.ndarray] = []
    for place in range(most):
        if place == 1:
            left, top, right, bottom = chosen[0]
            rest = seen.copy()
            rest[top:bottom, left:right] = np.median(seen)
        box = _best(rest if place == 1 else seen, chosen)
        if box is None:
            break
        chosen.append(box)
    return tuple(_region(box) for box in chosen)


def _best(seen: np.ndarray, chosen: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the box that parts best what stands out, and is unlike those chosen before."""
    boxes = _boxes()
    left, top, right, bottom = boxes.T
    total = np.zeros((_SIDE + 1, _SIDE + 1))
    total[1:, 1:] = seen.cumsum(axis=0).cumsum(axis=1)
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    area = (right - left) * (bottom - top)
    share = area / _SIDE**2
    gap = inside / area - (total[-1, -1] - inside) / (_SIDE**2 - area)
    parted = share * (1 - share) * np.maximum(gap, 0) ** 2  # (b,)
    for other in chosen:
        parted[_overlaps(other) >= _OVERLAP] = 0
    best = int(parted.argmax())
    return boxes[best] if parted[best] > 0 else None


def _standing_out(picture: PIL.Image.Image) -> np.ndarray:
    """Return how much each pixel of the reduced photo stands out, (64, 64) float64, mean one."""
    small = picture.resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX)
    lab = to_lab(np.asarray(small))  # (64, 64, 3)
    rows = np.arange(_SIDE)
    edge = np.minimum(rows, rows[::-1]) < _BORDER
    border = lab[edge[:, None] | edge[None, :]][::_SAMPLE]  # (s, 3)
    flat, border = lab.reshape(-1, 3).astype(np.float32), border.astype(np.float32)
    # Squared distances, but for the pixel's own square, which changes nothing in their order.
    near = (border**2).sum(axis=1) + flat @ (-2 * border.T)  # (64 * 64, s)
    # A tenth of the border is enough to be background: it may show several things.
    place = len(border) // 10
    near.partition(place, axis=1)
    squares = (flat**2).sum(axis=1) + near[:, place]
    strange = np.sqrt(np.maximum(squares, 0)).reshape(_SIDE, _SIDE)
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


def _overlaps(box: np.ndarray) -> np.ndarray:
    """Return what all boxes share with one, (b,), as a share of what both cover together."""
    boxes = _boxes()
    width = np.minimum(boxes[:, 2], box[2]) - np.maximum(boxes[:, 0], box[0])
    height = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    both: np.ndarray = shared / (areas + (box[2] - box[0]) * (box[3] - box[1]) - shared)
    return both


def _region(box: np.ndarray) -> Region:
    left, top, right, bottom = (float(each) / _SIDE for each in box)
    return Region(left, top, right - left, bottom - top)
