"""What the columns of a feed mean: its header read once, for all rows.

Three kinds of feed are told apart by the names alone: findalike's own, Google Merchant (whose
names are synonyms of ours) and Shopify's product export (which has a ``Handle`` and an
``Image Src``). A column nobody knows becomes an attribute of the product.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vision.errors import FeedError

MAX_COLUMNS = 1000
MAX_NAME = 200  # characters of one column or attribute name

# role -> names, the preferred first; where a row leaves the preferred empty, the next one counts
ROLES: dict[str, tuple[str, ...]] = {
    "product_id": ("product_id", "id", "sku", "item_id", "product_sku", "product_code"),
    "title": ("title", "name", "product_title", "product_name"),
    "description": ("description", "product_description", "long_description"),
    "category": ("category", "categories", "category_path", "product_category", "product_type",
                 "google_product_category"),
    "subcategory": ("subcategory", "sub_category"),
    "brand": ("brand", "vendor", "manufacturer"),
    "price": ("price",),
    "currency": ("currency", "currency_code", "price_currency"),
    "availability": ("availability", "stock_status"),
    "url": ("url", "link", "product_url"),
    "attributes": ("attributes",),
}  # fmt: skip
IMAGES = frozenset({
    "image_path", "image_paths", "image", "images", "image_file", "image_files", "image_name",
    "image_link", "image_links", "image_url", "image_urls", "image_src", "additional_image_link",
    "additional_image_links", "filename", "file_name", "filepath", "file_path", "picture",
    "pictures", "photo", "photos",
})  # fmt: skip
COMMA_SEPARATED = frozenset({"additional_image_link", "additional_image_links"})

NUMBERED = "google_product_category"  # may hold the number of a category instead of its path

SHOPIFY_ROLES: dict[str, tuple[str, ...]] = {
    "product_id": ("handle", "url_handle"),
    "title": ("title",),
    "description": ("body_html", "description"),
    "category": ("product_category", "type", "custom_product_type"),
    "brand": ("vendor",),
    "price": ("variant_price", "price"),
}
SHOPIFY_IMAGES = frozenset({
    "image_src", "product_image_url", "variant_image", "variant_image_url",
})  # fmt: skip
# About one picture or one line of the export, not about the product.
SHOPIFY_IGNORED = frozenset({"image_position", "image_alt_text"})


@dataclass(frozen=True)
class Columns:
    """Where in a row each thing stands; positions count from 0.

    ``options`` pairs the name and the value column of each Shopify option. ``others`` are the
    columns that become attributes, named in ``names`` as the feed names them.
    """

    names: tuple[str, ...]
    roles: dict[str, tuple[int, ...]]
    images: tuple[int, ...]
    others: tuple[int, ...]
    comma_separated: frozenset[int]
    numbered_category: int | None  # Google's category column, which may hold a bare number
    options: tuple[tuple[int, int], ...]
    shopify: bool

    def missing(self) -> list[str]:
        """Name what a feed cannot do without and this one lacks."""
        handle = "Handle" if self.shopify else "product_id (or id, sku)"
        image = "Image Src" if self.shopify else "image_path (or image, images, image_link)"
        return [handle] * ("product_id" not in self.roles) + [image] * (not self.images)


def read_header(header: Sequence[str]) -> Columns:
    """Find out what each column means.

    Raises:
        FeedError: if there are too many columns, two of one name, or a name that cannot be read.
    """
    if len(header) > MAX_COLUMNS:
        raise FeedError(
            f"the feed has {len(header):,} columns; at most {MAX_COLUMNS:,} can be read: "
            "check the header line and the separator"
        )
    names = tuple(name.strip() or f"column {at}" for at, name in enumerate(header, 1))
    keys = [_key(name) for name in names]
    for at, name in enumerate(names):
        _check_name(name)
        if name in names[:at] and keys[at] not in IMAGES | SHOPIFY_IMAGES:
            raise FeedError(f"the feed has two columns named {name!r}: rename or remove one")

    shopify = bool({"handle", "url_handle"} & set(keys)) and bool(SHOPIFY_IMAGES & set(keys))
    image_names = SHOPIFY_IMAGES if shopify else IMAGES
    roles: dict[str, tuple[int, ...]] = {}
    for role, synonyms in (SHOPIFY_ROLES if shopify else ROLES).items():
        found = tuple(keys.index(synonym) for synonym in synonyms if synonym in keys)
        if role in ("product_id", "attributes"):
            # An id never falls back to another column: ids of two kinds would mix.
            found = found[:1]
        if found:
            roles[role] = found
    images = tuple(at for at, key in enumerate(keys) if key in image_names)
    options = _shopify_options(keys) if shopify else ()
    known = {*images, *(at for found in roles.values() for at in found)}
    known |= {at for pair in options for at in pair}
    if shopify:
        known |= {at for at, key in enumerate(keys) if key in SHOPIFY_IGNORED}
    return Columns(
        names=names,
        roles=roles,
        images=images,
        others=tuple(at for at in range(len(names)) if at not in known),
        comma_separated=frozenset(at for at in images if keys[at] in COMMA_SEPARATED),
        numbered_category=keys.index(NUMBERED) if NUMBERED in keys else None,
        options=options,
        shopify=shopify,
    )


def _key(name: str) -> str:
    """Return the name as it stands in the tables above: "Body (HTML)" is ``body_html``."""
    return re.sub(r"[^a-z0-9]+", "_", name.casefold().removeprefix("g:")).strip("_")


def _check_name(name: str) -> None:
    if "\0" in name:
        raise FeedError(
            "the header line holds NUL bytes: save the feed as UTF-8, or as UTF-16 with its "
            "byte-order mark"
        )
    if re.search(r"[\ud800-\udfff]", name):
        raise FeedError("the header line is not UTF-8: save the feed as UTF-8")
    if len(name) > MAX_NAME:
        raise FeedError(
            f"the header line has a name of {len(name):,} characters (at most {MAX_NAME}): "
            "is the first line really the header?"
        )


def _shopify_options(keys: list[str]) -> tuple[tuple[int, int], ...]:
    """Pair ``Option1 Name`` with ``Option1 Value``, and so on."""
    pairs = [(f"option{number}_name", f"option{number}_value") for number in (1, 2, 3)]
    return tuple(
        (keys.index(name), keys.index(value))
        for name, value in pairs
        if name in keys and value in keys
    )
