"""What phones and shops do to pictures: light, blur, noise, covers, shrinking and JPEG."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from assets.training.placing import Chance

_Change = Callable[[torch.Tensor, Chance], torch.Tensor]

_KERNEL = 9  # side of the blurring kernels
# ITU-T T.81 annex K, tables K.1 and K.2.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def wear(views: torch.Tensor, chance: Chance) -> torch.Tensor:
    """Return the views (b, 3, s, s) float32 in 0..1, each spoilt in some ways by chance.

    Hue is never turned: colour is something to be learnt.
    """
    views = _cover(views, chance)
    views = _light(views, chance)
    views = _some(views, 0.15, chance, _shrink)
    views = _some(views, 0.2, chance, _blur)
    views = _some(views, 0.3, chance, _noise)
    return _some(views.clamp(0, 1), 0.3, chance, _squeeze).clamp(0, 1)


def jpeg(views: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Return what JPEG of a quality (b,) in 1..100 leaves of (b, 3, s, s), s a multiple of 16.

    As libjpeg does it (ITU-T T.81, chroma at half the size), less the rounding of pixels and
    the smoothing of chroma between its samples.
    """
    to_ycc = torch.tensor(_TO_YCC, device=views.device)
    ycc = torch.einsum("ij,bjyx->biyx", to_ycc, views * 255 - 128)  # grey has no chroma anyway
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    luma = _quantise(ycc[:, :1], _LUMA, scale)
    chroma = _quantise(F.avg_pool2d(ycc[:, 1:], 2), _CHROMA, scale)
    chroma = F.interpolate(chroma, scale_factor=2, mode="nearest")
    back = torch.linalg.inv(to_ycc.double()).float()
    rgb = torch.einsum("ij,bjyx->biyx", back, torch.cat([luma, chroma], 1))
    return ((rgb + 128) / 255).clamp(0, 1)


def _some(views: torch.Tensor, share: float, chance: Chance, change: _Change) -> torch.Tensor:
    """Return the views with a share of them changed."""
    rows = chance.happens(share, len(views)).nonzero()[:, 0]
    if not len(rows):
        return views
    return views.index_copy(0, rows, change(views[rows], chance))


def _light(views: torch.Tensor, chance: Chance) -> torch.Tensor:
    """Return the views brighter or darker, with more or less contrast, warmer or cooler."""
    count = len(views)
    gamma = torch.exp(chance.between(-0.3, 0.3, count, 1, 1, 1))
    bright = torch.exp(chance.between(-0.25, 0.25, count, 1, 1, 1))
    contrast = torch.exp(chance.between(-0.3, 0.3, count, 1, 1, 1))
    warmth = torch.zeros(count, 3, 1, 1, device=views.device)
    warmth[:, 0] = chance.between(-0.08, 0.08, count, 1, 1)
    warmth[:, 2] = -warmth[:, 0]
    views = views.clamp(1e-4, 1) ** gamma * bright * torch.exp(warmth)
    mean = views.mean((1, 2, 3), keepdim=True)
    return ((views - mean) * contrast + mean).clamp(0, 1)


def _cover(views: torch.Tensor, chance: Chance) -> torch.Tensor:
    """Return the views, a quarter of them with a part hidden behind a piece of another."""
    count, size = len(views), views.shape[-1]
    line = torch.linspace(-1, 1, size, device=views.device)
    centre = chance.between(-0.9, 0.9, count, 2, 1, 1)
    half = chance.between(0.12, 0.5, count, 2, 1, 1)
    x = (line - centre[:, 0]) / half[:, 0]
    y = (line[:, None] - centre[:, 1]) / half[:, 1]
    round_ = x**2 + y**2 < 1
    angled = torch.maximum(x.abs().expand_as(round_), y.abs().expand_as(round_)) < 1
    mask = torch.where(chance.happens(0.5, count, 1, 1), round_, angled)
    mask &= chance.happens(0.25, count, 1, 1)
    return torch.where(mask[:, None], views.roll(1, 0).flip(3), views)


def _shrink(views: torch.Tensor, chance: Chance) -> torch.Tensor:
    size = views.shape[-1]
    small = int(size * float(chance.between(0.3, 0.8, 1)))
    shrunk = F.interpolate(views, size=small, mode="bilinear", antialias=True)
    return F.interpolate(shrunk, size=size, mode="bilinear", align_corners=False)


def _blur(views: torch.Tensor, chance: Chance) -> torch.Tensor:
    """Return the views out of focus or moved: Gaussians, some of them long and thin."""
    count, size = len(views), views.shape[-1]
    line = torch.arange(_KERNEL, device=views.device) - _KERNEL // 2
    angle = chance.between(0.0, math.pi, count, 1, 1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    along, across = cos * line + sin * line[:, None], cos * line[:, None] - sin * line
    wide = chance.between(0.5, 2.0, count, 1, 1) * size / 224
    moved = chance.happens(0.4, count, 1, 1)
    long, thin = torch.where(moved, wide * 1.8, wide), torch.where(moved, 0.3, wide)
    kernel = torch.exp(-0.5 * ((along / long) ** 2 + (across / thin) ** 2))
    kernel = (kernel / kernel.sum((1, 2), keepdim=True)).repeat_interleave(3, 0)[:, None]
    edge = _KERNEL // 2
    padded = F.pad(views, (edge,) * 4, mode="reflect").reshape(
        1, 3 * count, *(size + 2 * edge,) * 2
    )
    return F.conv2d(padded, kernel, groups=3 * count).view_as(views)


def _noise(views: torch.Tensor, chance: Chance) -> torch.Tensor:
    count, size = len(views), views.shape[-1]
    grain = torch.randn(1, 3, size + 64, size + 64, generator=chance.generator).to(views.device)
    # One field of noise, seen from another place by each picture: drawing is the slow part.
    at = chance.integers(64, 2 * count).view(count, 2).tolist()
    fields = torch.cat([grain[:, :, y : y + size, x : x + size] for y, x in at])
    return views + fields * chance.between(0.0, 0.05, count, 1, 1, 1)


def _squeeze(views: torch.Tensor, chance: Chance) -> torch.Tensor:
    return jpeg(views, chance.between(25.0, 90.0, len(views)))


def _quantise(plane: torch.Tensor, table: tuple[int, ...], scale: torch.Tensor) -> torch.Tensor:
    """Return planes (b, c, h, w) after rounding their 8 x 8 cosine transform."""
    b, c, h, w = plane.shape
    steps = torch.tensor(table, dtype=torch.float32, device=plane.device).view(1, 1, 1, 8, 1, 8)
    steps = ((steps * scale.view(-1, 1, 1, 1, 1, 1) + 50) / 100).floor().clamp(1, 255)
    line = torch.arange(8, device=plane.device, dtype=torch.float32)
    cosines = torch.cos((2 * line + 1) * line[:, None] * (math.pi / 16)) / 2
    cosines[0] /= 2**0.5  # orthonormal DCT-II
    blocks = plane.reshape(b, c, h // 8, 8, w // 8, 8)
    rows = torch.einsum("ij,bcyjxk->bcyixk", cosines, blocks)
    found = torch.einsum("ij,bcykxj->bcykxi", cosines, rows)
    kept = (found / steps).round() * steps
    rows = torch.einsum("ji,bcyjxk->bcyixk", cosines, kept)
    return torch.einsum("ji,bcykxj->bcykxi", cosines, rows).reshape(b, c, h, w)
