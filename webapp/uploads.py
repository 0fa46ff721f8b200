"""Photos that strangers send: taken from the request, bounded, and decoded out of reach."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from flask import Request
from flask_babel import gettext

from vision.errors import QueryError, UnreadableImage
from vision.images import Image, read_image

# Translated where it is said.
GONE = "This photo is no longer kept. Choose it again."


def read_photo(request: Request, decode: Callable[[bytes], Image]) -> Image | None:
    """Return the uploaded photo as ``decode`` gives it, None where there is none.

    It is the first file under the name ``photo`` that is not empty, or else the Base64 text
    ``photo64``. Names and types that the client gives are not looked at. Raises UnreadableImage.
    """
    empty = False
    for file in request.files.getlist("photo"):
        data = file.stream.read()
        if data:
            return decode(data)
        empty = empty or bool(file.filename)
    text = request.form.get("photo64", "")
    if text:
        try:
            return decode(base64.b64decode(text, validate=True))
        except binascii.Error:
            raise UnreadableImage(
                gettext("The photo did not arrive whole; send it again.")
            ) from None
    if empty:
        return decode(b"")  # says what is wrong with an empty file
    return None


def inline(image: Image, long_side: int = 800) -> str:
    """Return a photo as Base64 of a small JPEG without metadata, for a page to carry along."""
    return base64.b64encode(image.preview(long_side)).decode("ascii")


def trusted(data: bytes) -> Image:
    """Return a picture of our own."""
    return read_image(data, at_least=640)


def require(image: Image | None) -> Image:
    """Return a photo that must be there; raises QueryError where its time is over."""
    if image is None:
        raise QueryError(gettext(GONE))
    return image
