"""One row of a feed, turned into a product and the pictures it names.

Everything a row may do wrong is found here, except what needs a look at other rows (see
``index.feeds.staging``) or at the disk (see ``index.feeds.pictures``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from index.feeds.columns import MAX_NAME, NUMBERED, Columns, read_header
from index.feeds.prices import names_symbol, parse_currency, parse_price
from index.feeds.texts import BadRow, html_to_text, loads_strictly, to_text
from index.product import Product, category_path
from vision.errors import FeedError

MAX_ID = 512  # characters
MAX_CATEGORY = 2000  # characters of a whole path
MAX_IMAGES = 1000  # pictures of one product
MAX_ATTRIBUTES = 1000

_MAX_HEADERS = 100  # kept at once

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """What one row says.

    ``images`` are references as the feed writes them, distinct and in order. ``continues`` is
    True for the further rows of a Shopify product: they add pictures, and values to the
    attributes of the product's first row.
    """

    product: Product
    images: tuple[str, ...]
    continues: bool = False


class RowReader:
    """Reads the rows that share one header, in the order of the feed."""

    def __init__(self, names: Sequence[str]) -> None:
        """Read the header; see ``read_header`` for what it raises."""
        self.columns: Columns = read_header(names)
        # Shopify names the options in a product's first row only: (handle, names of the options)
        self._options: tuple[str, list[str]] = ("", [])

    def read(self, cells: Sequence[object]) -> Row:
        """Turn the cells of one row into a product and its picture references.

        Cells are texts from a table, or any JSON values; missing ones at the end are empty.

        Raises:
            BadRow: if the row cannot be used.
        """
        columns = self.columns
        if len(cells) > len(columns.names):
            raise BadRow(
                f"has {len(cells):,} fields where the header has {len(columns.names):,}: quote "
                "texts that contain the separator"
            )
        if len(cells) < len(columns.names):
            cells = [*cells, *[""] * (len(columns.names) - len(cells))]
        product_id = _product_id(to_text(cells[at]) for at in columns.roles.get("product_id", ()))
        try:
            return self._read(product_id, cells)
        except BadRow as error:
            error.product_id = product_id
            raise
        except RecursionError:
            raise BadRow("is nested too deeply: write plain values", product_id) from None

    def _read(self, product_id: str, cells: Sequence[object]) -> Row:
        columns = self.columns
        images = _images(columns, cells)
        attributes: dict[str, str] = {}
        for at in columns.roles.get("attributes", ()):
            attributes = _attributes(cells[at])
        fields = dict.fromkeys(columns.roles, "")
        for role, positions in columns.roles.items():
            if role in ("product_id", "attributes"):
                continue
            for at in positions:
                text = to_text(cells[at])
                if not text:
                    continue
                is_number = role == "category" and at == columns.numbered_category
                if fields[role] or (is_number and text.isdecimal()):
                    attributes[NUMBERED if is_number else columns.names[at]] = text
                else:
                    fields[role] = text
        for at in columns.others:
            text = to_text(cells[at])
            if text:
                attributes[columns.names[at]] = text
        if columns.shopify:
            options = self._read_options(product_id, cells)
            if fields.get("title") == "":
                return Row(Product(product_id, attributes=options), images, continues=True)
            attributes |= options
            fields["description"] = html_to_text(fields.get("description", ""))
        return Row(_product(product_id, fields, attributes), images)

    def _read_options(self, handle: str, cells: Sequence[object]) -> dict[str, str]:
        """Return the options of one Shopify variant, such as ``{"Size": "M"}``."""
        pairs = self.columns.options
        if handle != self._options[0]:
            self._options = (handle, [to_text(cells[name]) for name, _ in pairs])
        names = self._options[1]
        values = [to_text(cells[value]) for _, value in pairs]
        # "Title: Default Title" is how Shopify writes that there are no variants.
        return {
            name[:MAX_NAME]: value
            for name, value in zip(names, values, strict=True)
            if name and value and (name, value) != ("Title", "Default Title")
        }


class JsonRowReader:
    """Reads JSON objects, each of which may have names of its own."""

    def __init__(self) -> None:
        self._readers: dict[tuple[str, ...], RowReader] = {}

    def read(self, values: Sequence[object]) -> Row:
        """Turn one JSON object, the only one of ``values``, into a product; see ``RowReader``."""
        (value,) = values
        assert isinstance(value, dict), "read_records lets nothing else through"
        names = tuple(value)
        reader = self._readers.get(names)
        if reader is None:
            try:
                reader = RowReader(names)
            except FeedError as error:
                raise BadRow(str(error)) from None
            if len(self._readers) >= _MAX_HEADERS:
                self._readers.clear()
            self._readers[names] = reader
        return reader.read(list(value.values()))


def split_images(text: str, *, commas: bool = False) -> list[str]:
    """Split the text of an image cell: a JSON list, or references parted by ``|``."""
    if text.startswith("[") and text.endswith("]"):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            listed = None  # then it is a file name in brackets
        if isinstance(listed, list):
            return _texts(listed)
    parts = re.split(r"[|,]", text) if commas else text.split("|")
    return [part.strip() for part in parts if part.strip()]


def check_id(product_id: str) -> str:
    """Return the id of a product if it can be one.

    Raises:
        BadRow: if it is empty, too long, or holds control characters.
    """
    if not product_id:
        raise BadRow("has no product_id: give every product its own")
    if len(product_id) > MAX_ID:
        raise BadRow(f"product_id has {len(product_id):,} characters: at most {MAX_ID} are allowed")
    if _CONTROL.search(product_id):
        raise BadRow("product_id holds control characters: remove them")
    return product_id


def _product_id(candidates: Iterable[str]) -> str:
    return check_id(next(iter(candidates), ""))


def _texts(values: list[object]) -> list[str]:
    """Return the picture references of a JSON list."""
    if not all(isinstance(value, str) for value in values):
        raise BadRow('lists pictures that are not texts: write ["front.jpg", "back.jpg"]')
    return [text for text in map(to_text, values) if text]


def _images(columns: Columns, cells: Sequence[object]) -> tuple[str, ...]:
    found: list[str] = []
    for at in columns.images:
        cell = cells[at]
        if isinstance(cell, list):
            found += _texts(cell)
        elif cell:
            found += split_images(to_text(cell), commas=at in columns.comma_separated)
    if len(found) > MAX_IMAGES:
        raise BadRow(f"names {len(found):,} pictures: at most {MAX_IMAGES:,} are kept")
    return tuple(dict.fromkeys(found))


def _attributes(cell: object) -> dict[str, str]:
    """Read the ``attributes`` cell: a JSON object, or its text."""
    if isinstance(cell, str):
        if not cell.strip():
            return {}
        try:
            cell = loads_strictly(cell)
        except (ValueError, RecursionError):
            raise BadRow('attributes is not JSON: write {"colour": "red"}') from None
    if cell is None:
        return {}
    if not isinstance(cell, dict):
        raise BadRow('attributes is not a JSON object: write {"colour": "red"}')
    texts = {to_text(name): to_text(value) for name, value in cell.items()}
    if len(texts) > MAX_ATTRIBUTES or any(len(name) > MAX_NAME for name in texts):
        raise BadRow(
            f"attributes has too many or too long names: at most {MAX_ATTRIBUTES:,} of "
            f"{MAX_NAME} characters each"
        )
    return {name: text for name, text in texts.items() if name and text}


def _product(product_id: str, fields: dict[str, str], attributes: dict[str, str]) -> Product:
    price, currency = parse_price(fields.get("price", ""))
    stated = parse_currency(fields.get("currency", ""))
    if stated and currency not in ("", stated) and not names_symbol(fields["price"]):
        raise BadRow(f"price is in {currency}, but the currency column says {stated}")
    return Product(
        product_id=product_id,
        title=fields.get("title", ""),
        description=fields.get("description", ""),
        category=_category(fields.get("category", ""), fields.get("subcategory", "")),
        brand=fields.get("brand", ""),
        price=price,
        currency=stated or currency,
        availability=fields.get("availability", ""),
        url=_checked_url(fields.get("url", "")),
        attributes=attributes,
    )


@lru_cache(maxsize=1024)  # a feed has few categories and many rows
def _category(category: str, subcategory: str) -> str:
    path = category_path(category, subcategory)
    if len(path) > MAX_CATEGORY:
        raise BadRow(f"category has {len(path):,} characters: at most {MAX_CATEGORY:,} are kept")
    return path


def _checked_url(url: str) -> str:
    """Let through what may stand in a link on a page; ``javascript:`` and its kin may not."""
    scheme = _SCHEME.match(url)
    if _CONTROL.search(url) or (scheme and scheme[1].lower() not in ("http", "https")):
        raise BadRow("bad url: write an address that starts with https:// or http://")
    return url
