"""Searching and categorising: what a photo, words or a product are like."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from typing import Any

from flask import g

from index.product import Product
from index.query import Hit, Query
from vision.errors import UnreadableImage
from vision.images import Image, Region
from vision.pictures.looks import faults_of
from webapp.api import answers
from webapp.api.operations import operation
from webapp.api.problems import Problem
from webapp.api.requests import PhotoForm, PhotoRequest, SearchForm, SearchRequest
from webapp.services import services

_ASKING = (413, 415, 422, 429, 503)


@operation("POST", "/search", tag="search", scope="search", refusals=(404, 409, *_ASKING))
def search(body: SearchRequest | SearchForm) -> answers.SearchAnswer:
    """Find products by photo, words, another product, or several of these together.

    The photo is not kept. The verdict is about the first product: "exact" is this very product,
    "not stocked" says that the catalogue does not seem to have it.
    """
    service = services()
    g.words = " ".join(filter(None, (body.text, body.not_)))
    if body.like and service.product(body.like) is None:
        raise Problem(404, "There is no product with the id in like.")
    if g.words and not service.knows_words:
        raise Problem(409, "The encoder of this catalogue knows no words; ask with a photo.")
    with service.gate.place():
        photo = read_photo(body.photo) if "photo" in body.model_fields_set else None
        query = service.see(
            Query(
                photo=photo,
                region=_region(body.region),
                text=body.text,
                not_text=body.not_,
                like=body.like,
                where=tuple(body.where),
                weights=body.weights.model_dump(by_alias=True),
                k=body.k,
            )
        )
        with service.gate.turn():
            answer = service.search(query)
            faults = [] if photo is None or answer.verdict == "exact" else faults_of(photo)
    took = dict(answer.milliseconds)
    took["decode"] = g.stages.get("decode", 0.0) + took["read"]
    took["read"] = g.stages["read"]
    g.stages = took
    g.verdict = answer.verdict
    service.metrics.took({"read": took["read"]})
    return answers.SearchAnswer(
        verdict=answer.verdict,
        hits=[_hit(each) for each in answer.hits],
        faults=list(faults),
        unknown=list(answer.unknown),
        left_out=answer.left_out,
        milliseconds={name: round(each, 2) for name, each in took.items()},
    )


@operation("POST", "/categorise", tag="search", scope="search", refusals=(409, *_ASKING))
def categorise(body: PhotoRequest | PhotoForm) -> answers.Categorisation:
    """Say what a photo shows: the value of each axis, the likeliest ones, and the reasons.

    Refused with 409 as long as no head was trained.
    """
    from index.labels.categorising import categorise as ask

    service = services()
    with service.gate.place():
        photo = read_photo(body.photo)
        with service.gate.turn():
            (found,) = service.gate.run(lambda: ask(service.catalogue, [photo]))
    return answers.Categorisation.model_validate(found.as_dict())


def read_photo(data: str | bytes) -> Image:
    """Decode a picture that was sent, as Base64 or as it is.

    It is decoded in the sandbox, and no metadata is kept. Raises UnreadableImage.
    """
    if not isinstance(data, bytes):
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise UnreadableImage("This is not Base64; encode the whole file.") from None
    started = time.perf_counter()
    image = services().decode(data)
    g.stages["decode"] = g.stages.get("decode", 0.0) + (time.perf_counter() - started) * 1000
    return image


def picture_ref(sha256: str) -> answers.PictureRef:
    """Return how a picture is referred to."""
    return answers.PictureRef(sha256=sha256, url=f"/pictures/{sha256}.jpg")


def product_fields(product: Product) -> dict[str, Any]:
    """Return what a product says of itself."""
    return dict(vars(product))


def _hit(hit: Hit) -> answers.Hit:
    return answers.Hit(
        **product_fields(hit.product),
        score=round(hit.score, 6),
        probability=None if hit.probability is None else round(hit.probability, 6),
        picture=picture_ref(hit.sha256),
    )


def _region(given: Sequence[float] | str | None) -> Region | None:
    if not given:
        return None
    x, y, width, height = map(float, given.split(",") if isinstance(given, str) else given)
    return Region(x, y, min(width, 1 - x), min(height, 1 - y))
