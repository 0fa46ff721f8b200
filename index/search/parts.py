"""Where a photo shows more than the product: the part of it that finds most."""

from __future__ import annotations

from dataclasses import dataclass, replace

from index.catalogue import Catalogue
from index.query import Answer, Query
from vision.images import Image, Region
from vision.pictures.looks import regions_of

# How much higher the best score of a part must be. Chosen on photos that need no part, where it
# changes nothing for the worse; docs/search.md has the measurements.
_CLEARLY = 0.15


@dataclass(frozen=True)
class Parted:
    """The answer to a photo or to a part of it, and which.

    ``region`` is the part that the answer is about, None where it is the whole photo; ``likely``
    are the parts that may show one thing each, likeliest first.
    """

    answer: Answer
    region: Region | None
    likely: tuple[Region, ...]


def search_parts(catalogue: Catalogue, query: Query) -> Parted:
    """Answer a photo; where the shop seems not to have it, try its likely parts too.

    A part is taken where its best score is clearly higher than that of the whole photo, which is
    so where the product is a small thing in a large scene. ``query`` asks a decoded photo, alone
    and whole.
    """
    assert isinstance(query.photo, Image) and query.photo_only and query.region is None
    whole = catalogue.search(query)
    if whole.verdict == "exact" or not whole.hits:
        return Parted(whole, None, ())
    likely = regions_of(query.photo)
    if whole.verdict != "not stocked" or not likely:
        return Parted(whole, None, likely)
    # One after the other: a batch takes no less time, and much more memory.
    answers = [catalogue.search(replace(query, region=each)) for each in likely]
    region, best = max(zip(likely, answers, strict=True), key=lambda each: _score(each[1]))
    if _score(best) <= _score(whole) + _CLEARLY:
        return Parted(whole, None, likely)
    return Parted(best, region, likely)


def _score(answer: Answer) -> float:
    return answer.hits[0].score if answer.hits else -1.0
