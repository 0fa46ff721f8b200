"""A colour descriptor beside the embedding: it tells product variants apart that a network mixes.

Two histograms of a picture reduced to 64 x 64 pixels: one in CIE Lab over what stands out from
the border's colour (the product rather than its background), with soft bins so that a change of
light moves it little; one in HSV over the centre, with hard bins, which separates the fine shades
of studio photos. The square root of each histogram is a unit vector, so that a dot product is the
Bhattacharyya coefficient (Hellinger kernel; Arandjelovic and Zisserman, "Three things everyone
should know to improve object retrieval", CVPR 2012).
"""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage

_SIDE = 64
_LAB_BINS = (6, 8, 8)  # L, a, b
_LAB_RANGE = ((0.0, 100.0), (-60.0, 60.0), (-60.0, 60.0))
_BORDER = 4  # pixels of the reduced picture taken as background

COLOUR_DIM = _LAB_BINS[0] * _LAB_BINS[1] * _LAB_BINS[2] + 8 * 8 * 8

_grid = (np.arange(_SIDE) - (_SIDE - 1) / 2) / (_SIDE / 2)
_CENTRE = np.exp(-(_grid[None, :] ** 2 + _grid[:, None] ** 2) / 0.36).ravel()

# sRGB (D65) to XYZ scaled by the white point, IEC 61966-2-1.
_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.95047], [1.0], [1.08883]])
_values = np.arange(256) / 255.0
_LINEAR = np.where(_values <= 0.04045, _values / 12.92, ((_values + 0.055) / 1.055) ** 2.4)


def describe_colour(picture: PillowImage.Image) -> np.ndarray:
    """Return the descriptor of an RGB picture: (COLOUR_DIM,) float16, a unit vector."""
    small = picture.resize((_SIDE, _SIDE), PillowImage.Resampling.BOX)
    lab = to_lab(np.asarray(small))  # (64, 64, 3)
    border = np.concatenate(
        [
            lab[:_BORDER].reshape(-1, 3),
            lab[-_BORDER:].reshape(-1, 3),
            lab[:, :_BORDER].reshape(-1, 3),
            lab[:, -_BORDER:].reshape(-1, 3),
        ]
    )
    distance = np.linalg.norm(lab - np.median(border, axis=0), axis=2).ravel()
    foreground = 1.0 - np.exp(-((distance / 15.0) ** 2))
    # The small constant keeps a picture of one even colour from having no histogram at all.
    lab_part = _soft_histogram(lab.reshape(-1, 3), foreground * _CENTRE + 1e-3)
    hsv = np.asarray(small.convert("HSV")).reshape(-1, 3).astype(np.int64) // 32
    cells = hsv[:, 0] * 64 + hsv[:, 1] * 8 + hsv[:, 2]
    hsv_part = np.bincount(cells, weights=_CENTRE, minlength=512)
    parts = [np.sqrt(part / part.sum() / 2.0) for part in (lab_part, hsv_part)]
    return np.concatenate(parts).astype(np.float16)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert (h, w, 3) uint8 sRGB to CIE Lab (CIE 15:2004), float64."""
    xyz = _LINEAR[rgb] @ _TO_XYZ.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def _soft_histogram(lab: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return a joint histogram of (n, 3) values, each shared linearly among eight near bins."""
    low: list[np.ndarray] = []
    share: list[np.ndarray] = []
    for axis, (bins, (start, stop)) in enumerate(zip(_LAB_BINS, _LAB_RANGE, strict=True)):
        position = np.clip((lab[:, axis] - start) / (stop - start), 0.0, 1.0) * (bins - 1)
        below = np.minimum(position.astype(np.int64), bins - 2)
        low.append(below)
        share.append(position - below)
    total = np.zeros(_LAB_BINS[0] * _LAB_BINS[1] * _LAB_BINS[2])
    for corner in np.ndindex(2, 2, 2):
        weight = weights.copy()
        for step, part in zip(corner, share, strict=True):
            weight *= part if step else 1.0 - part
        cells = ((low[0] + corner[0]) * _LAB_BINS[1] + low[1] + corner[1]) * _LAB_BINS[2]
        total += np.bincount(cells + low[2] + corner[2], weights=weight, minlength=total.size)
    return total
