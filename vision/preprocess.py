"""How a picture is cut and scaled for an encoder: a value that comes from the model itself."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop and normalisation of one model, sizes in pixels.

    ``resize`` = "shortest": the short side becomes ``scale``, then the centre is cut out;
    "squash": both sides become ``scale`` whatever the shape, then the centre is cut out;
    "longest": the long side becomes ``scale``, the rest is filled with grey level ``fill``.
    ``mean`` and ``std`` apply to values in [0, 1]. The arithmetic follows torchvision's Resize
    and CenterCrop on Pillow pictures, so that the result equals the model's own transform.
    """

    resize: Literal["shortest", "squash", "longest"]
    scale: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    fill: int = 0

    def __post_init__(self) -> None:
        if self.interpolation not in _FILTERS:
            raise EncoderError(
                f'The model asks for the interpolation "{self.interpolation}", which findalike '
                f"does not know; it knows {', '.join(_FILTERS)}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, for the fingerprint."""
        return asdict(self)

    def __call__(self, picture: PillowImage.Image) -> np.ndarray:
        """Return the pixels the model sees, before normalisation: (3, crop, crop) uint8, RGB."""
        width, height = picture.size
        if self.resize == "squash":
            size = (self.scale, self.scale)
        elif self.resize == "shortest":
            short = min(width, height)
            size = (int(self.scale * width / short), int(self.scale * height / short))
        else:
            factor = self.scale / max(width, height)
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
        resized = picture.resize(size, _FILTERS[self.interpolation])
        left = round((size[0] - self.crop) / 2.0)
        top = round((size[1] - self.crop) / 2.0)
        if left < 0 or top < 0:
            canvas = PillowImage.new("RGB", (self.crop, self.crop), (self.fill,) * 3)
            canvas.paste(resized, (-left, -top))
        else:
            canvas = resized.crop((left, top, left + self.crop, top + self.crop))
        return np.ascontiguousarray(np.asarray(canvas, dtype=np.uint8).transpose(2, 0, 1))
