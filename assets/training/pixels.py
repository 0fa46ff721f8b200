"""All pictures of a run, decoded once and kept as one file of uint8 planes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PillowImage
from PIL import ImageOps

from assets.training.corpus import Corpus, Picture
from assets.training.options import TrainingError

_COLOURS, _CUTOUT = 3, 4  # planes of a picture


@dataclass(frozen=True)
class Pixels:
    """Pictures by number, squashed to squares.

    ``planes`` is (p, side, side) uint8: three planes per picture, and a fourth, how opaque it is,
    for cutouts, whose colours are multiplied by it. ``first`` (n,) int64 is where a picture's
    planes begin, ``cutout`` (n,) bool whether it has four, ``shape`` (n, 2) float32 half its width
    and height, the shorter being 1, so that the squashing can be undone.
    """

    planes: torch.Tensor
    first: torch.Tensor
    cutout: torch.Tensor
    shape: torch.Tensor

    def colours(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return pictures (b, 3, side, side) uint8, on the planes' device."""
        return self._take(numbers, _COLOURS)

    def layers(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return cutouts (b, 4, side, side) uint8, on the planes' device."""
        assert bool(self.cutout[numbers].all())
        return self._take(numbers, _CUTOUT)

    def to(self, device: torch.device) -> Pixels:
        """Return the same pictures in another memory."""
        return Pixels(self.planes.to(device), self.first, self.cutout, self.shape)

    def _take(self, numbers: torch.Tensor, planes: int) -> torch.Tensor:
        rows = self.first[numbers, None] + torch.arange(planes)
        side = self.planes.shape[-1]
        taken = self.planes[rows.reshape(-1).to(self.planes.device)]
        return taken.view(len(numbers), planes, side, side)


def load_pixels(corpus: Corpus, side: int, folder: Path, threads: int) -> Pixels:
    """Return the pictures of a corpus, from the file in ``folder`` or decoded into it.

    Raises TrainingError for a picture that cannot be decoded.
    """
    pictures = corpus.pictures
    cutout = np.array([each.view == "cutout" for each in pictures])
    counts = np.where(cutout, _CUTOUT, _COLOURS)
    first = np.cumsum(counts) - counts
    key = _key(pictures, side)
    file, note = folder / "pixels.npy", folder / "pixels.json"
    known = json.loads(note.read_text()) if note.is_file() and file.is_file() else {}
    if known.get("key") != key:
        note.unlink(missing_ok=True)
        planes = np.lib.format.open_memmap(
            file, mode="w+", dtype=np.uint8, shape=(int(counts.sum()), side, side)
        )
        with ThreadPoolExecutor(max(1, threads)) as pool:
            decoded = pool.map(lambda each: _decode(each, side), pictures)
            shapes = []
            for at, (pixels, shape) in zip(first, decoded, strict=True):
                planes[at : at + len(pixels)] = pixels
                shapes.append(shape)
        planes.flush()
        known = {"key": key, "shapes": shapes}
        note.write_text(json.dumps(known))
    planes = np.load(file, mmap_mode="c")  # torch wants to be able to write; nothing does
    return Pixels(
        torch.from_numpy(planes),
        torch.from_numpy(first.astype(np.int64)),
        torch.from_numpy(cutout),
        torch.tensor(known["shapes"], dtype=torch.float32),
    )


def _decode(picture: Picture, side: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Return one picture's planes (3 or 4, side, side) and half its width and height."""
    try:
        with PillowImage.open(picture.path) as opened:
            opened.draft("RGB", (side, side))
            image = ImageOps.exif_transpose(opened)
            image = image.convert("RGBA" if picture.view == "cutout" else "RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise TrainingError(f"{picture.path} cannot be decoded ({error}).") from error
    short = min(image.size)
    shape = (image.width / short, image.height / short)
    if picture.view == "cutout":
        image = image.convert("RGBa")  # edges blend rightly only when multiplied
    image = image.resize((side, side), PillowImage.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1), shape


def _key(pictures: Sequence[Picture], side: int) -> str:
    """Return a hash that changes when a file, its size or its date does."""
    digest = hashlib.sha256(str(side).encode())
    for each in pictures:
        stat = each.path.stat()
        digest.update(f"{each.path} {each.view} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
