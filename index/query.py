"""A question to the catalogue and its answer, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from index.product import Product
from index.search.filters import Condition, parse_filter
from vision.errors import QueryError
from vision.images import Image, Region

Verdict = Literal["exact", "similar", "not stocked"]

MAX_K = 1000
DEFAULT_WEIGHTS = {"photo": 1.0, "text": 1.0, "not": 0.5, "like": 1.0}


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo, or its region, as an encoder saw it.

    ``sha256`` is that of the file, ``fingerprint`` the encoder's, ``embedding`` (dim,) float32 a
    unit vector, ``colour`` (COLOUR_DIM,) float16; ``milliseconds`` what reading and encoding took.
    """

    photo: str | Path | bytes | Image | None
    region: Region | None
    sha256: str
    fingerprint: str
    embedding: np.ndarray
    colour: np.ndarray
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Query:
    """What is looked for: a photo, words, a product, or several of these together.

    ``photo`` is a path, the file's bytes, or an Image; ``region`` the part of it that counts;
    ``text`` and ``not_text`` words that should and should not fit; ``like`` the id of a product
    (which is left out of the answer). ``where`` holds conditions as text ("price<20") that all must
    hold. ``weights`` changes how much each part counts (see DEFAULT_WEIGHTS). ``seen`` is the photo
    embedded before, by ``Catalogue.see``. Raises QueryError when nothing is asked or something
    makes no sense.
    """

    photo: str | Path | bytes | Image | None = None
    region: Region | None = None
    text: str = ""
    not_text: str = ""
    like: str = ""
    where: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    k: int = 10
    seen: Seen | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for text in (self.text, self.not_text, self.like, *self.where):
            check_text(text)
        if not self.parts:
            raise QueryError("Nothing to look for: give a photo, words or a product (--like ID).")
        if self.parts == ("not",):
            raise QueryError(
                "Words to avoid need something to look for: add a photo, words or a product."
            )
        if self.region is not None and self.photo is None:
            raise QueryError("A region is a part of a photo; give the photo too.")
        if not 1 <= self.k <= MAX_K:
            raise QueryError(f"The number of results must be from 1 to {MAX_K}, not {self.k}.")
        for name, weight in self.weights.items():
            if name not in DEFAULT_WEIGHTS:
                raise QueryError(
                    f'There is no weight "{name}"; there are {", ".join(DEFAULT_WEIGHTS)}.'
                )
            if not math.isfinite(weight) or weight < 0:
                raise QueryError(f"The weight of {name} must be a number from 0 up, not {weight}.")
        if not any(self.weight(name) for name in self.parts if name != "not"):
            raise QueryError("What is looked for has the weight 0; give it more, or leave it out.")

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts that are asked, as in DEFAULT_WEIGHTS."""
        there = (self.photo is not None, self.text.strip(), self.not_text.strip(), self.like)
        return tuple(
            name for name, is_there in zip(DEFAULT_WEIGHTS, there, strict=True) if is_there
        )

    @property
    def photo_only(self) -> bool:
        """Tell whether the photo alone is asked, which is what verdicts are calibrated for."""
        return self.parts == ("photo",)

    def seen_by(self, fingerprint: str) -> Seen | None:
        """Return the photo's part that is asked as an encoder saw it before, None if it did not."""
        seen = self.seen
        if seen is None or (seen.fingerprint, seen.region) != (fingerprint, self.region):
            return None
        return seen if seen.photo is self.photo else None

    def conditions(self) -> tuple[Condition, ...]:
        """Return ``where`` parsed; raises QueryError."""
        return parse_filter(self.where)

    def weight(self, name: str) -> float:
        """Return the weight of a part."""
        return self.weights.get(name, DEFAULT_WEIGHTS[name])


def check_text(text: str) -> None:
    """Raise QueryError for what no product's text can hold: NUL and halves of characters."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise QueryError(f"{text!r} holds bytes that are not text; write it as UTF-8.")


@dataclass(frozen=True)
class Hit:
    """One product in an answer.

    ``score`` is the inner product in the ranking space, -1 to 1, and what words add to it
    (docs/search.md); ``probability`` that this is the
    very product in the photo, None where that cannot be said (words in the query, or a catalogue
    too small to calibrate); ``image`` where the picture that scored was added from, ``sha256`` its
    hash.
    """

    product: Product
    score: float
    probability: float | None
    image: str
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return the hit as documented in docs/search.md."""
        product = self.product
        return {
            "product_id": product.product_id,
            "score": round(self.score, 6),
            "probability": None if self.probability is None else round(self.probability, 6),
            "title": product.title,
            "category": product.category,
            "image": self.image,
            "brand": product.brand,
            "price": product.price,
            "currency": product.currency,
            "availability": product.availability,
            "url": product.url,
            "attributes": product.attributes,
        }


@dataclass(frozen=True)
class Answer:
    """The products for one query, best first, and what findalike thinks of them.

    ``verdict`` is "exact" when the first hit is the product itself, "not stocked" when the
    catalogue has nothing that is, and "similar" in between or where no probability can be given.
    ``milliseconds`` is the time of each stage. ``unknown`` are the words asked for that describe no
    product; ``left_out`` tells that the conditions leave out one that would have come first.
    """

    verdict: Verdict
    hits: tuple[Hit, ...]
    milliseconds: dict[str, float]
    unknown: tuple[str, ...] = ()
    left_out: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as documented in docs/search.md."""
        return {
            "verdict": self.verdict,
            "hits": [hit.as_dict() for hit in self.hits],
            "unknown": list(self.unknown),
            "left_out": self.left_out,
            "milliseconds": {name: round(ms, 2) for name, ms in self.milliseconds.items()},
        }
