"""What in a picture speaks for an answer: a heat map by covering it part by part."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import PIL.ImageFilter

from vision.images import Image
from vision.networks.preprocess import Preprocess

if TYPE_CHECKING:
    from vision.encoder import Encoder

Score = Callable[[np.ndarray], np.ndarray]  # embeddings (n, d) to how much each speaks for it (n,)

# Square patches that cover a third and a quarter of a side, moved by a sixth of it: chosen on
# composed pictures, where more and smaller patches pointed no better.
_PATCHES = (1 / 3, 1 / 4)
_STEPS = 6
_BLUR = 1 / 10  # of the side: what a covered part looks like
_COARSE = 24  # cells of a side that heat is smoothed to
_BATCH = 33  # pictures embedded at once
_SURE = 1e-4  # probabilities are not told apart nearer to 0 and 1
_NOTHING = 1e-6  # a smaller drop of the score says nothing

_PREVIEW = 512  # pixels on the long side of an overlay
_COVER = 0.75  # of the picture where it is hottest
_COLD = 0.15  # heat up to here is not shown
_INFERNO = (  # at equal steps (S. van der Walt and N. Smith, 2015, in the public domain)
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85),
    (227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164),
)  # fmt: skip

ENCODED = 1 + len(_PATCHES) * (_STEPS + 1) ** 2  # pictures that one heat map takes, always


def heat_map(encoder: Encoder, image: Image, score: Score) -> np.ndarray:
    """Return how much each pixel of ``image.pixels`` speaks for what ``score`` scores.

    (h, w) float32, 1 where it speaks most, 0 where it does not or the encoder does not look; all 0
    where covering nothing lowers the score. ``score`` takes embeddings (n, d) and returns (n,), for
    example the ``log_odds`` of one category's probability. It works for every encoder and every
    score: each part is blurred in turn, and what the score loses by it counts for that part
    (occlusion; Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV
    2014). Takes ``ENCODED`` pictures through the encoder.
    """
    pixels = encoder.prepare(image)  # (3, c, c)
    side = pixels.shape[1]
    masks = _masks(side)
    blurred = _blurred(pixels)
    covered = (np.where(mask, blurred, pixels) for size in masks for mask in size)
    scores = np.concatenate(
        [score(encoder.encode_pixels(batch)) for batch in _batches(pixels, covered)]
    ).astype(np.float64)
    drops = scores[0] - scores[1:].reshape(len(masks), -1)
    heat = np.zeros((side, side), dtype=np.float32)
    for size, drop in zip(masks, drops, strict=True):
        heat += np.tensordot(drop, size, 1) / size.sum(axis=0) / len(masks)
    placed = _placed(_smooth(np.maximum(heat, 0)), image, encoder.preprocess)
    most = float(placed.max())
    return placed / most if most > _NOTHING else np.zeros_like(placed)


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)), a score that still moves where a probability is near 0 or 1.

    Covering one part of a picture hardly lowers a probability of 0.999, since the other parts
    suffice; the log-odds show what each part adds.
    """
    p = np.clip(probabilities.astype(np.float64), _SURE, 1 - _SURE)
    odds: np.ndarray = np.log(p / (1 - p))
    return odds


def overlay(image: Image, heat: np.ndarray) -> bytes:
    """Return a heat map laid over its picture: a JPEG of at most 512 pixels without metadata.

    ``heat`` is (h, w) float32 from 0 to 1. The picture turns grey, and what speaks for the answer
    glows from purple over orange to yellow, in steps that look equal and that colour-blind people
    tell apart ("inferno").
    """
    scale = min(1.0, _PREVIEW / max(image.pixels.size))
    size = (
        max(1, round(image.pixels.width * scale)),
        max(1, round(image.pixels.height * scale)),
    )
    picture = image.pixels.resize(size, PIL.Image.Resampling.BICUBIC, reducing_gap=2.0)
    hot = PIL.Image.fromarray(np.clip(heat, 0, 1).astype(np.float32))
    share = np.clip(np.asarray(hot.resize(size, PIL.Image.Resampling.BILINEAR)), 0, 1)
    grey = np.asarray(picture.convert("L"), dtype=np.float32)[..., None]
    steps = np.linspace(0, 1, len(_INFERNO))
    colours = np.array(_INFERNO, dtype=np.float64)
    glow = np.stack([np.interp(share, steps, colours[:, band]) for band in range(3)], axis=-1)
    alpha = _COVER * np.clip((share[..., None] - _COLD) / (1 - _COLD), 0, 1)
    mixed = (1 - alpha) * grey + alpha * glow
    buffer = io.BytesIO()
    PIL.Image.fromarray(mixed.round().astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@cache
def _masks(side: int) -> np.ndarray:
    """Return what each patch covers: (sizes, patches, side, side) bool.

    Patches are centred from edge to edge, so that those at an edge cover less.
    """
    middles = np.linspace(0, side, _STEPS + 1)
    at = np.arange(side) + 0.5
    found = []
    for part in _PATCHES:
        within = np.abs(at - middles[:, None]) <= part * side / 2  # (steps + 1, side)
        patches = within[:, None, :, None] & within[None, :, None, :]
        found.append(patches.reshape(-1, side, side))
    return np.stack(found)


def _blurred(pixels: np.ndarray) -> np.ndarray:
    picture = PIL.Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    blur = PIL.ImageFilter.GaussianBlur(_BLUR * pixels.shape[1])
    return np.asarray(picture.filter(blur)).transpose(2, 0, 1)


def _smooth(heat: np.ndarray) -> PIL.Image.Image:
    """Round off the edges that the patches leave: (c, c) float32 as a picture of floats."""
    coarse = PIL.Image.fromarray(heat).resize((_COARSE, _COARSE), PIL.Image.Resampling.BOX)
    return coarse.resize(heat.shape[::-1], PIL.Image.Resampling.BICUBIC)


def _batches(pixels: np.ndarray, covered: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the picture itself and then those with a part covered, in batches."""
    batch = [pixels]
    for each in covered:
        if len(batch) == _BATCH:
            yield np.stack(batch)
            batch = []
        batch.append(each)
    yield np.stack(batch)


def _placed(heat: PIL.Image.Image, image: Image, preprocess: Preprocess) -> np.ndarray:
    """Lay the heat of the part that the encoder sees over the whole picture: (h, w) float32."""
    width, height = _resized(preprocess, image.width, image.height)
    size = image.pixels.size
    across, down = width / size[0], height / size[1]
    left, top = (width - preprocess.crop) / 2, (height - preprocess.crop) / 2
    where = (across, 0, -left, 0, down, -top)
    placed = heat.transform(size, PIL.Image.Transform.AFFINE, where, PIL.Image.Resampling.BILINEAR)
    return np.maximum(np.asarray(placed, dtype=np.float32), 0)


def _resized(preprocess: Preprocess, width: int, height: int) -> tuple[float, float]:
    """Return the size that the whole picture has when the centre is cut out of it."""
    if preprocess.resize == "squash":
        return preprocess.scale, preprocess.scale
    side = min(width, height) if preprocess.resize == "shortest" else max(width, height)
    return width * preprocess.scale / side, height * preprocess.scale / side
