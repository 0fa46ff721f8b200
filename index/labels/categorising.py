"""What photos show: the head's tags, and the labelled products that look most like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from index.labels.predicting import Tag, tags_of
from index.labels.reasons import LOOKED_AT, Reason, reasons
from index.labels.standing import within
from index.labels.tagging import corrections
from index.labels.taxonomies import taxonomy_of
from vision.errors import QueryError
from vision.explain import heat_map, log_odds, overlay
from vision.head import Prediction
from vision.images import Image
from vision.pictures.colour import describe_colour
from vision.taxonomy import CATEGORY

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_PHOTOS = 32  # embedded at once


@dataclass(frozen=True)
class Categorised:
    """What the head says of one photo by axis, and the labelled products that look most like it."""

    tags: dict[str, Tag]
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as documented in docs/tagging.md."""
        return {
            "tags": {
                axis: {
                    "accepted": tag.accepted or None,
                    "confidence": round(tag.confidence, 6),
                    "outside": round(tag.outside, 6),
                    "best": [
                        {"value": value, "probability": round(probability, 6)}
                        for value, probability in tag.best
                    ],
                }
                for axis, tag in self.tags.items()
            },
            "reasons": [vars(each) | {"cosine": round(each.cosine, 6)} for each in self.reasons],
        }


def categorise_photos(
    catalogue: Catalogue, images: Sequence[Image], *, precision: float | None = None
) -> dict[str, Prediction]:
    """Return what the head in use says of photos, by axis.

    ``precision`` asks for another share of right ones among the accepted than at the training.
    """
    with catalogue.reading() as table:
        head, _ = catalogue.heads.current(table.connection, taxonomy_of(table))
        since = corrections(table, catalogue.fingerprint, head)
    vectors, colours = _embed(catalogue, images)
    return head.predict(vectors, colours, corrections=since, precision=precision)


def categorise(catalogue: Catalogue, images: Sequence[Image]) -> list[Categorised]:
    """Say what photos show, and name the labelled products that look most like them.

    Raises HeadError where no head was trained.
    """
    if not images:
        return []
    with catalogue.reading() as table:
        taxonomy = taxonomy_of(table)
        head, _ = catalogue.heads.current(table.connection, taxonomy)
        since = corrections(table, catalogue.fingerprint, head)
        index = catalogue.index(table)
        vectors, colours = _embed(catalogue, images)
        rows = index.calibration.space.project(vectors, colours)
        near = index.store.search(rows, LOOKED_AT).products.tolist()
        axes = (CATEGORY, *taxonomy.axes)
        needed = CATEGORY if taxonomy.categories else ""
        why = reasons(table, catalogue.fingerprint, vectors, near, axes, needed)
        tags = tags_of(head.predict(vectors, colours, corrections=since))
        return [Categorised(*each) for each in zip(tags, why, strict=True)]


def explain_category(catalogue: Catalogue, image: Image, value: str = "") -> bytes:
    """Return a JPEG of a photo that glows where it speaks for a category, by default the likeliest.

    Raises QueryError for a category that the head does not know.
    """
    with catalogue.reading() as table:
        head, _ = catalogue.heads.current(table.connection, taxonomy_of(table))
        since = corrections(table, catalogue.fingerprint, head)
    vectors, colours = _embed(catalogue, [image])
    said = head.predict(vectors, colours, corrections=since)[CATEGORY]
    value = value or said.best(1)[0][0][0]
    columns = [at for at, each in enumerate(said.values) if within(each, value)]
    if not columns:
        raise QueryError(f'The head knows no category "{value}".')

    def score(vectors: np.ndarray) -> np.ndarray:
        shades = np.repeat(colours, len(vectors), axis=0)
        found = head.predict(vectors, shades, corrections=since)[CATEGORY]
        return log_odds(found.probabilities[:, columns].sum(axis=1))

    return overlay(image, heat_map(catalogue.encoder, image, score))


def _embed(catalogue: Catalogue, images: Sequence[Image]) -> tuple[np.ndarray, np.ndarray]:
    encoder = catalogue.encoder
    vectors = [
        encoder.encode_images(images[at : at + _PHOTOS], mirror=encoder.mirrors)
        for at in range(0, len(images), _PHOTOS)
    ]
    colours = [describe_colour(image.pixels) for image in images]
    return np.concatenate(vectors), np.stack(colours).astype(np.float32)
