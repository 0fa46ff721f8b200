"""Photos that strangers send: taken from the request, bounded, and decoded out of reach."""

from __future__ import annotations

import base64
import binascii

from flask import Request
from flask_babel import gettext

from index.query import Query
from vision.errors import QueryError, UnreadableImage
from vision.images import Image, read_image
from vision.pictures.sandbox import Sandbox
from webapp.shop.searches import Search, read_search

# Translated where it is said.
GONE = "This photo is no longer kept. Choose it again."


def read_photo(request: Request, sandbox: Sandbox) -> Image | None:
    """Return the uploaded photo, None where there is none.

    It is the first file under the name ``photo`` that is not empty, or else the Base64 text
    ``photo64``. Names and types that the client gives are not looked at. Raises UnreadableImage.
    """
    most = sandbox.limits.max_bytes
    empty = False
    for file in request.files.getlist("photo"):
        data = file.stream.read(most + 1)
        if data:
            return sandbox.read(data)
        empty = empty or bool(file.filename)
    text = request.form.get("photo64", "")
    if text:
        try:
            return sandbox.read(base64.b64decode(text, validate=True))
        except binascii.Error:
            raise UnreadableImage(
                gettext("The photo did not arrive whole; send it again.")
            ) from None
    if empty:
        return sandbox.read(b"")  # says what is wrong with an empty file
    return None


def read_query(request: Request, sandbox: Sandbox) -> tuple[Search, Query]:
    """Return what a request asks, for the page and for the catalogue.

    Raises QueryError and UnreadableImage. Kept photos and examples are the page's own affair.
    """
    search = read_search(request.values)
    return search, search.query(read_photo(request, sandbox))


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
