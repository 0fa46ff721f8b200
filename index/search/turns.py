"""Which way up a photo belongs: the turn at which it finds most."""

from __future__ import annotations

from index.catalogue import Catalogue
from index.query import Query
from vision.images import Image

# How much higher the best score of a turned photo must be. Most upright photos stay as they are;
# docs/search.md has the measurements.
_CLEARLY = 0.05


def best_turn(catalogue: Catalogue, photo: Image) -> int:
    """Return by how many quarters, clockwise, a photo should be turned to find most: 0 to 3.

    0 too where no turn finds clearly more.
    """
    # One after the other: a batch takes no less time, and much more memory.
    scores = [_score(catalogue, photo.turned(quarters)) for quarters in range(4)]
    best = max(range(4), key=lambda quarters: scores[quarters])
    return best if scores[best] > scores[0] + _CLEARLY else 0


def _score(catalogue: Catalogue, photo: Image) -> float:
    hits = catalogue.search(Query(photo=photo, k=1)).hits
    return hits[0].score if hits else -1.0
