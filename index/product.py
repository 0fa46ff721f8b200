"""A product as a shop sells it: plain data, without pixels or embeddings."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

from vision.categories import SEPARATOR


@dataclass(frozen=True)
class Product:
    """One thing that is sold.

    ``category`` is a path such as ``"Kitchen > Mugs"``. ``price`` is in units of ``currency``
    (ISO 4217, may be empty). ``attributes`` are free names and texts.
    """

    product_id: str
    title: str = ""
    description: str = ""
    category: str = ""
    brand: str = ""
    price: float | None = None
    currency: str = ""
    availability: str = ""
    url: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return a hex digest that is equal exactly when every field is equal."""
        text = json.dumps(self.__dict__, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def category_path(*parts: str) -> str:
    """Join category names into one path; each part may itself be a path.

    Levels are split at ``>`` or, where a part has none, at ``/``.
    """
    levels: list[str] = []
    for part in parts:
        pieces = part.split(">") if ">" in part else part.split("/")
        levels += [re.sub(r"\s+", " ", piece).strip() for piece in pieces]
    return SEPARATOR.join(level for level in levels if level)
