"""The one place that opens pictures: bytes from anywhere in, upright RGB pixels out.

Every file is hostile until read: its size in bytes, its pixels and its scans are checked before
anything is decoded, only the formats listed in `vision.pictures.headers` reach a decoder, and
whatever a decoder raises becomes an UnreadableImage with a reason that a shopper understands.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import re
import stat
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import PIL.Image

from vision.errors import QueryError, UnreadableImage
from vision.pictures import headers
from vision.pictures.headers import CUT_OFF, DAMAGED
from vision.pictures.pixels import to_rgb

if TYPE_CHECKING:
    from vision.pictures.looks import Looks

NOT_A_PICTURE = (
    "This is not a picture that can be read; use JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC."
)
EMPTY = "The file is empty; choose a picture."
NOT_A_FILE = "This is not an ordinary file; choose a picture file."
NO_ACCESS = "The file is missing or may not be read; check where it is and who may read it."

MARGIN = 1.4  # kept above ``at_least``; chosen by benchmarks/bench_decode.py

_TURN = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_QUARTERS = {
    1: PIL.Image.Transpose.ROTATE_270,
    2: PIL.Image.Transpose.ROTATE_180,
    3: PIL.Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT_WHEN_LOADED = {"TIFF", "HEIF"}  # their decoders turn the picture themselves
_PILLOW = re.compile(r"PIL\.")

# Without a handler of its own, Pillow's remarks on odd files would go to the user's terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Limits:
    """What a picture may ask for: bytes of the file, pixels when decoded, JPEG scans.

    Pillow has a limit of its own, so that ``max_pixels`` above 178 million has no effect.
    """

    max_bytes: int = 50 * 2**20
    max_pixels: int = 40_000_000
    max_scans: int = 64


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Region:
    """A rectangle in a picture, as fractions 0..1 of its upright width and height.

    Raises QueryError when it is empty or reaches outside.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        values = (self.x, self.y, self.width, self.height)
        if not all(math.isfinite(value) for value in values):
            raise QueryError("A region needs four numbers: x, y, width and height.")
        if self.width <= 0 or self.height <= 0:
            raise QueryError("The region is empty; give it a width and a height above 0.")
        # Fractions made from pixels may miss 1 by a rounding error.
        if min(self.x, self.y) < 0 or max(self.x + self.width, self.y + self.height) > 1 + 1e-6:
            raise QueryError("The region reaches outside the picture; use fractions from 0 to 1.")


@dataclass(frozen=True)
class Image:
    """One decoded picture.

    ``pixels`` is RGB, upright and without metadata, possibly at a reduced scale. ``sha256`` is
    the hex digest of the file's bytes. ``width`` and ``height`` are in pixels, of the whole
    upright picture before any reduction. ``format`` is JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF
    or HEIF. ``looks`` is what was seen of it already, if anything.
    """

    pixels: PIL.Image.Image
    sha256: str
    width: int
    height: int
    format: str
    looks: Looks | None = None

    def crop(self, region: Region) -> Image:
        """Return the part inside ``region``, at least 1 pixel; sha256 stays that of the file."""
        left, right = _span(region.x, region.width, self.pixels.width)
        top, bottom = _span(region.y, region.height, self.pixels.height)
        return replace(
            self,
            pixels=self.pixels.crop((left, top, right, bottom)),
            width=max(1, round(region.width * self.width)),
            height=max(1, round(region.height * self.height)),
            looks=None,
        )

    def turned(self, quarters: int) -> Image:
        """Return the picture turned clockwise by 0 to 3 quarters; sha256 stays that of the file."""
        if not quarters % 4:
            return self
        width, height = (self.width, self.height)[:: -1 if quarters % 2 else 1]
        pixels = self.pixels.transpose(_QUARTERS[quarters % 4])
        return replace(self, pixels=pixels, width=width, height=height, looks=None)

    def preview(self, long_side: int) -> bytes:
        """Return a JPEG of at most ``long_side`` pixels, newly encoded and without metadata.

        Never enlarged, so that it may be smaller than asked for.
        """
        scale = min(1.0, long_side / max(self.pixels.size))
        width, height = (max(1, round(side * scale)) for side in self.pixels.size)
        small = self.pixels.resize((width, height), PIL.Image.Resampling.BICUBIC, reducing_gap=2.0)
        encoded = io.BytesIO()
        small.save(encoded, "JPEG", quality=85)
        return encoded.getvalue()


def read_image(
    source: bytes | Path | str | BinaryIO,
    *,
    at_least: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Image:
    """Read one picture from its bytes, a path, or an open binary file (from where it stands).

    With ``at_least``, the short side in pixels that the caller needs, a larger picture comes
    back reduced, with a short side of at least that; None means full scale. Animations give
    their first frame, transparency becomes white. Raises UnreadableImage.
    """
    data = source if isinstance(source, bytes) else _read_bytes(source, limits.max_bytes)
    if len(data) > limits.max_bytes:
        raise UnreadableImage(
            f"The file is larger than {limits.max_bytes / 2**20:.3g} MB; save the picture smaller."
        )
    if not data:
        raise UnreadableImage(EMPTY)
    kind = headers.detect(data)
    if kind is None:
        raise UnreadableImage(NOT_A_PICTURE)
    pixels, (width, height) = _decode(data, kind, at_least, limits)
    return Image(pixels, hashlib.sha256(data).hexdigest(), width, height, kind)


def _read_bytes(source: Path | str | BinaryIO, max_bytes: int) -> bytes:
    """Return at most ``max_bytes`` + 1 bytes: one more than allowed is enough to know."""
    try:
        if not isinstance(source, str | Path):
            return _read_up_to(source, max_bytes + 1)
        # Not blocking, because a FIFO would wait for a writer for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(source, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableImage(NOT_A_FILE)
            return _read_up_to(file, max_bytes + 1)
    except IsADirectoryError:
        raise UnreadableImage(NOT_A_FILE) from None
    except (OSError, ValueError) as error:
        raise UnreadableImage(NO_ACCESS) from error


def _read_up_to(file: BinaryIO, limit: int) -> bytes:
    parts = []
    while limit > 0 and (part := file.read(limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _decode(
    data: bytes, kind: str, at_least: int | None, limits: Limits
) -> tuple[PIL.Image.Image, headers.Size]:
    """Return upright RGB pixels and the (width, height) of the whole upright picture."""
    canvas = headers.canvas(data, kind)
    if canvas is not None:
        _check_size(canvas, limits)
    file = io.BytesIO(headers.lean(data, kind, max_scans=limits.max_scans))
    _silence_pillow()
    try:
        picture = _open(file, kind)
        size = picture.size
        _check_size(size, limits)
        if kind == "JPEG" and at_least is not None:
            wanted = math.ceil(at_least * MARGIN)
            picture.draft(None, (wanted, wanted))  # the decoder itself works at 1/2, 1/4 or 1/8
            picture.load()
        else:
            picture.load()
            size = picture.size  # some formats learn it only now
            _check_size(size, limits)
        orientation = 1 if kind in _UPRIGHT_WHEN_LOADED else _orientation(picture)
        pixels = to_rgb(picture, _reduction(picture.size, at_least))
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise almost anything on broken files
        _refuse(error, limits)
    if orientation in _TURN:
        pixels = pixels.transpose(_TURN[orientation])
    return pixels, size if orientation < 5 else (size[1], size[0])


def _open(file: BinaryIO, kind: str) -> PIL.Image.Image:
    if kind == "HEIF" and kind not in PIL.Image.OPEN:
        import pi_heif

        pi_heif.register_heif_opener()
    return PIL.Image.open(file, formats=[kind])


def _check_size(size: headers.Size, limits: Limits) -> None:
    if min(size) < 1:
        raise UnreadableImage(DAMAGED)
    if size[0] * size[1] > limits.max_pixels:
        raise UnreadableImage(_too_large(limits))


def _too_large(limits: Limits) -> str:
    millions = limits.max_pixels / 1e6
    return f"The picture has more than {millions:.3g} million pixels; save it smaller."


def _refuse(error: Exception, limits: Limits) -> NoReturn:
    """Translate what a decoder raised; its own words are not for people."""
    if isinstance(error, MemoryError | PIL.Image.DecompressionBombError):
        raise UnreadableImage(_too_large(limits)) from error
    if isinstance(error, EOFError) or re.search("truncated|end of file", str(error), re.I):
        raise UnreadableImage(CUT_OFF) from error
    raise UnreadableImage(DAMAGED) from error


def _silence_pillow() -> None:
    """Keep Pillow's warnings from the user: odd files cause them, and most are read well.

    A filter that stays, put in front again when another came before it, because
    ``warnings.catch_warnings`` is not safe with threads.
    """
    if warnings.filters[:1] != [("ignore", None, Warning, _PILLOW, 0)]:
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def _orientation(picture: PIL.Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where it is missing or broken."""
    try:
        value = picture.getexif().get(_ORIENTATION)
    except Exception:  # broken EXIF raises almost anything and says nothing about the pixels
        return 1
    return value if isinstance(value, int) and value in _TURN else 1


def _reduction(size: headers.Size, at_least: int | None) -> int:
    """Return the whole number by which both sides may still be divided."""
    return 1 if at_least is None else max(1, min(size) // math.ceil(at_least * MARGIN))


def _span(start: float, length: float, pixels: int) -> tuple[int, int]:
    """Return the first pixel and the one after the last, at least one apart."""
    first = min(int(start * pixels), pixels - 1)
    return first, max(first + 1, min(pixels, round((start + length) * pixels)))
