"""What a shopper asks for: read from a form or an address, and written into one again."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

from flask import url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.datastructures import MultiDict

from index.query import MAX_K, Query
from vision.categories import SEPARATOR
from vision.errors import QueryError
from vision.images import Image, Region

PAGE = 24  # products shown at first, and more at each wish
SORTED = 60  # of the most alike, when they are put in order of price
MAX_WORDS = 200  # characters
ORDERS = {
    "": lazy_gettext("Best match"),
    "price": lazy_gettext("Price, low to high"),
    "-price": lazy_gettext("Price, high to low"),
}
# Parts of a photo that can be chosen without drawing.
WHOLE = Region(0, 0, 1, 1)  # asked for as such: no part is looked for
PARTS = {
    "whole": (lazy_gettext("the whole photo"), "0,0,1,1"),
    "centre": (lazy_gettext("the middle"), "0.2,0.2,0.6,0.6"),
    "left": (lazy_gettext("the left half"), "0,0,0.5,1"),
    "right": (lazy_gettext("the right half"), "0.5,0,0.5,1"),
    "top": (lazy_gettext("the upper half"), "0,0,1,0.5"),
    "bottom": (lazy_gettext("the lower half"), "0,0.5,1,0.5"),
}
_NOT = re.compile(
    r"(?:^|[\s,;，；])(?:but not|not|without|no)\s+|[,，]?\s*(?:但不要|不要|不是|没有)", re.I
)
_ATTRIBUTE = "a."  # before an attribute's name in a form


@dataclass(frozen=True)
class Search:
    """One search as the page has it.

    ``words`` as they were typed, ``like`` a product's id, ``kept`` the token of a kept photo,
    ``example`` the place of an example photo, from 1; ``region`` the part of the photo that counts,
    None where the shop may choose it, WHOLE where it may not. ``chosen`` are the values by field
    (brand, availability or an attribute), ``least`` and ``most`` prices. ``shown`` is how many
    products.
    """

    words: str = ""
    like: str = ""
    kept: str = ""
    example: int | None = None
    region: Region | None = None
    category: str = ""
    chosen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    least: float | None = None
    most: float | None = None
    order: str = ""
    shown: int = PAGE

    @property
    def words_parts(self) -> tuple[str, str]:
        """Return what to look for and what to avoid: "mug, not blue" is ("mug", "blue")."""
        wanted, *unwanted = _NOT.split(self.words)
        return wanted.strip(" ,;，；"), " ".join(part.strip(" ,;，；") for part in unwanted)

    @property
    def asks(self) -> bool:
        """Tell whether there is something to look for besides a photo."""
        return bool(self.words or self.like)

    @property
    def where(self) -> tuple[str, ...]:
        """Return the conditions, for ``Query``."""
        conditions = [f"category={self.category}"] if self.category else []
        conditions += [f"{name}={'|'.join(values)}" for name, values in self.chosen.items()]
        conditions += [f"price>={self.least:g}"] if self.least is not None else []
        conditions += [f"price<={self.most:g}"] if self.most is not None else []
        return tuple(conditions)

    @property
    def narrowed(self) -> int:
        """Return how many conditions were chosen."""
        prices = self.least is not None or self.most is not None
        return bool(self.category) + sum(map(len, self.chosen.values())) + prices

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """Return what was chosen: how ``without`` knows it, and how people do."""
        found = [("category", self.category.split(SEPARATOR)[-1])] if self.category else []
        found += [
            (f"{_field(name)}={value}", value)
            for name, values in self.chosen.items()
            for value in values
        ]
        if self.least is not None or self.most is not None:
            least = f"≥ {self.least:g}" if self.least is not None else ""
            most = f"≤ {self.most:g}" if self.most is not None else ""
            found.append(("price", f"{least} {most}".strip()))
        return found

    def without(self, what: str) -> Search:
        """Return the search without one of its conditions, its words or its photo."""
        rest = {
            "price": {"least": None, "most": None},
            "photo": {"kept": "", "example": None, "region": None},
            "category": {"category": ""},
            "words": {"words": ""},
        }
        if what in rest:
            return replace(self, **rest[what])  # type: ignore[arg-type]
        chosen = {
            name: tuple(value for value in values if f"{_field(name)}={value}" != what)
            for name, values in self.chosen.items()
        }
        return replace(self, chosen={name: values for name, values in chosen.items() if values})

    def query(self, photo: Image | None) -> Query:
        """Return the query; raises QueryError where it makes no sense."""
        wanted, unwanted = self.words_parts
        if unwanted and not (wanted or self.like or photo):
            raise QueryError(
                gettext("Say what to look for, too: “chair, not leather”. Or add a photo.")
            )
        return Query(
            photo=photo,
            region=self.region if photo is not None and self.region != WHOLE else None,
            text=wanted,
            not_text=unwanted,
            like=self.like,
            where=self.where,
            k=min(MAX_K, max(self.shown, SORTED if self.order else 0)),
        )

    def address(self, **changes: Any) -> str:
        """Return the address of this search, or of one that differs in some fields."""
        fields: dict[str, Any] = _grouped(replace(self, **changes).fields())
        return url_for("shop.page", **fields)

    def fields(self) -> list[tuple[str, str]]:
        """Return the search as form fields, name and value."""
        pairs = [
            ("words", self.words),
            ("like", self.like),
            ("kept", self.kept),
            ("example", str(self.example or "")),
            ("region", numbers(self.region)),
            ("category", self.category),
            *((_field(name), value) for name, values in self.chosen.items() for value in values),
            ("least", "" if self.least is None else f"{self.least:g}"),
            ("most", "" if self.most is None else f"{self.most:g}"),
            ("order", self.order),
            ("shown", str(self.shown) if self.shown != PAGE else ""),
        ]
        return [(name, value) for name, value in pairs if value]


def read_search(values: MultiDict[str, str]) -> Search:
    """Read a search from a form or an address; raises QueryError in words for a shopper."""
    words = " ".join(values.get("words", "").split())
    if len(words) > MAX_WORDS:
        raise QueryError(gettext("These are too many words; describe it in a sentence."))
    part = values.get("part", "")
    region = PARTS[part][1] if part in PARTS else values.get("region", "")
    region = values.get("pick", region)  # a button
    chosen = {
        name.removeprefix(_ATTRIBUTE): tuple(dict.fromkeys(filter(None, values.getlist(name))))
        for name in values
        if name in ("brand", "availability") or name.startswith(_ATTRIBUTE)
    }
    order = values.get("order", "")
    search = Search(
        words=words,
        like=values.get("like", ""),
        kept=values.get("kept", ""),
        example=_whole(values.get("example", ""), 1000) or None,
        region=_region(region),
        category=values.get("category", ""),
        chosen={name: values for name, values in chosen.items() if values and name},
        least=read_price(values.get("least", "")),
        most=read_price(values.get("most", "")),
        order=order if order in ORDERS else "",
        shown=min(max(PAGE, _whole(values.get("shown", ""), MAX_K)), MAX_K // 2),
    )
    if "clear" in values:
        return replace(search, category="", chosen={}, least=None, most=None)
    return search.without(values["drop"]) if "drop" in values else search


def _field(name: str) -> str:
    return name if name in ("brand", "availability") else _ATTRIBUTE + name


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _region(text: str) -> Region | None:
    if not text.strip():
        return None
    try:
        x, y, width, height = (float(each) for each in text.split(","))
    except ValueError:
        raise QueryError(gettext("The part of the photo cannot be read; draw it again.")) from None
    # Numbers that were rounded may reach over the edge by a hair.
    hair = 0.001
    width = 1 - x if 1 < x + width < 1 + hair else width
    height = 1 - y if 1 < y + height < 1 + hair else height
    return Region(x, y, width, height)


def numbers(region: Region | None) -> str:
    """Return a region as a form has it, "" for none."""
    if region is None:
        return ""
    return ",".join(f"{each:.4g}" for each in (region.x, region.y, region.width, region.height))


def read_price(text: str) -> float | None:
    """Return the price that a person typed, None for none; raises QueryError."""
    if not text.strip():
        return None
    try:
        price = float(text.replace(",", "."))
    except ValueError:
        price = math.nan
    if not math.isfinite(price) or price < 0:
        raise QueryError(gettext("A price is a number such as 19.99."))
    return price


def _whole(text: str, most: int) -> int:
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 9 else 0
