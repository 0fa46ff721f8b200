"""How a picture is cut and scaled for an encoder: a value that comes from the model itself."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image as PillowImage

from vision.errors import EncoderError

_FILTERS = {
    "bicubic": PillowImage.Resampling.BICUBIC,
    "bilinear": PillowImage.Resampling.BILINEAR,
    "lanczos": PillowImage.Resampling.LANCZOS,
    "nearest": PillowImage.Resampling.NEAREST,
}
_REACH = 3  # pixels of the coarser scale that the widest filter looks at, each way

# A strip of more than this many crops in length is cut before it is resized: whole, a picture of
# 1 x 60,000 pixels would take gigabytes.
_LONGEST_STRIP = 16


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop and normalisation of one model, sizes in pixels.

    ``resize`` = "shortest": the short side becomes ``scale``, then the centre is cut out;
    "squash": both sides become ``scale`` whatever the shape, then the centre is cut out;
    "longest": the long side becomes ``scale``, then the centre is cut out. What is missing around
    the picture gets the grey level ``fill``, or the colour ``mean`` where ``fill`` is None.
    ``mean`` and ``std`` apply to values in [0, 1]. The arithmetic follows the transforms of
    torchvision, open_clip and timm on Pillow pictures, so that the result equals the model's own.
    """

    resize: Literal["shortest", "squash", "longest"]
    scale: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    fill: int | None = 0

    def __post_init__(self) -> None:
        if self.interpolation not in _FILTERS:
            raise EncoderError(
                f'The model asks for the interpolation "{self.interpolation}", which findalike '
                f"does not know; it knows {', '.join(_FILTERS)}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, for the fingerprint."""
        return asdict(self)

    def __call__(
        self, picture: PillowImage.Image, whole: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return the pixels the model sees, before normalisation: (3, crop, crop) uint8, RGB.

        ``whole`` is the (width, height) of the picture before it was reduced while decoding. The
        cut follows these: a reduced picture has its sides rounded up, and taken as it is would
        give a cut that is off by half a pixel, which embeddings notice.
        """
        whole = whole or picture.size
        size = self._resized(*whole)
        extent = _extent(picture.size, whole)
        cut = self._cut_strip if max(size) > _LONGEST_STRIP * self.crop else self._cut
        seen = cut(picture, size, extent)
        if seen.size != (self.crop, self.crop):
            canvas = PillowImage.new("RGB", (self.crop, self.crop), self._background())
            canvas.paste(seen, ((self.crop - seen.width) // 2, (self.crop - seen.height) // 2))
            seen = canvas
        return np.ascontiguousarray(np.asarray(seen).transpose(2, 0, 1))

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of the resized picture, at least 1 pixel each."""
        if self.resize == "squash":
            return self.scale, self.scale
        if self.resize == "shortest":
            short = min(width, height)
            return int(self.scale * width / short), int(self.scale * height / short)
        ratio = max(width / self.scale, height / self.scale)
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def _cut(
        self, picture: PillowImage.Image, size: tuple[int, int], extent: tuple[float, float]
    ) -> PillowImage.Image:
        """Resize the picture, which reaches up to ``extent``, to ``size`` and take the centre."""
        resized = picture.resize(size, _FILTERS[self.interpolation], box=(0, 0, *extent))
        left, top = (self._start(side) for side in size)
        return resized.crop(
            (left, top, left + min(size[0], self.crop), top + min(size[1], self.crop))
        )

    def _cut_strip(
        self, picture: PillowImage.Image, size: tuple[int, int], extent: tuple[float, float]
    ) -> PillowImage.Image:
        """Do as ``_cut``, up to rounding, but resize only the part of a long strip that is seen."""
        axes = []
        for pixels, covered, target in zip(picture.size, extent, size, strict=True):
            step = covered / target  # pixels of the picture for one of the result
            begin = step * self._start(target)
            end = min(begin + step * min(target, self.crop), covered)
            reach = _REACH * max(1.0, step)
            first, last = max(0, int(begin - reach)), min(pixels, math.ceil(end + reach))
            axes.append((first, last, begin - first, end - first))
        (left, right, x0, x1), (top, bottom, y0, y1) = axes
        part = picture.crop((left, top, right, bottom))
        seen = (min(size[0], self.crop), min(size[1], self.crop))
        return part.resize(seen, _FILTERS[self.interpolation], box=(x0, y0, x1, y1))

    def _start(self, side: int) -> int:
        """Return where the cut begins on a side of the resized picture."""
        return max(0, round((side - self.crop) / 2.0))

    def _background(self) -> tuple[int, int, int]:
        if self.fill is not None:
            return self.fill, self.fill, self.fill
        red, green, blue = (round(255 * value) for value in self.mean)
        return red, green, blue


def _extent(size: tuple[int, int], whole: tuple[int, int]) -> tuple[float, float]:
    """Return how far the whole picture reaches in one reduced to ``size``, in its pixels.

    Decoders divide both sides by one whole number and round up, so that the last column and row
    may belong to the picture in part only. Any other relation is taken as a plain resize.
    """
    factor = round(whole[0] / size[0])
    if factor > 1:
        width, height = whole[0] / factor, whole[1] / factor
        if 0 <= size[0] - width < 1 and 0 <= size[1] - height < 1:
            return width, height
    return size
