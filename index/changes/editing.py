"""Single products changed by hand: what their feed says, their pictures, two that are one.

The category and the attributes are decided instead (``index.labels.deciding``): decisions outlast
the next import. What is changed here is in the feed's place, and holds until the feed brings
something else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from index.store.products import UPLOAD, StoredProduct
from index.store.writing import Change, ProductWriter
from vision.batches import describe
from vision.errors import QueryError
from vision.images import Image

if TYPE_CHECKING:
    from index.catalogue import Catalogue

MOST_PICTURES = 100  # of one product that can be added by hand


def change_product(
    catalogue: Catalogue, product_id: str, seen: str, values: dict[str, Any]
) -> StoredProduct:
    """Write other values of title, description, brand, price, currency, availability or url.

    ``seen`` is the digest of the feed's product that the values were chosen by. Raises QueryError
    where the product is gone, or somebody else has changed it meanwhile; returns it as it was.
    """
    with catalogue.writing(), catalogue.changing() as table:
        stored = _required(table, product_id)
        if stored.feed.digest() != seen:
            raise QueryError(
                "This product was changed by somebody else meanwhile. Nothing was written: look "
                "at it again."
            )
        changed = replace(stored.feed, **values)
        if changed != stored.feed:
            change = Change(changed, stored.pictures, stored.key)
            table.put([change], table.next_generation())
    return stored


def add_picture(catalogue: Catalogue, product_id: str, image: Image) -> bool:
    """Add a picture to a product, at the end; return False where it has it already.

    Of the picture the catalogue keeps its preview and its embedding. Raises QueryError.
    """
    picture = describe(image, catalogue.encoder)
    with catalogue.reading() as table:
        known = table.known_images([picture.sha256], catalogue.fingerprint)
    vectors = None if known else catalogue.encoder.encode_pixels(picture.pixels[None])
    with catalogue.writing(), catalogue.changing() as table:
        stored = _required(table, product_id)
        if picture.sha256 in {sha256 for sha256, _ in stored.pictures}:
            return False
        if len(stored.pictures) >= MOST_PICTURES:
            raise QueryError(f"A product has at most {MOST_PICTURES} pictures; remove one first.")
        if not table.known_images([picture.sha256], catalogue.fingerprint):
            if vectors is None:  # it was removed this very moment
                vectors = catalogue.encoder.encode_pixels(picture.pixels[None])
            table.add_images([picture], vectors, catalogue.fingerprint)
        shown = [*stored.pictures, (picture.sha256, UPLOAD + picture.sha256)]
        table.put([Change(stored.feed, shown, stored.key)], table.next_generation())
    return True


def set_pictures(catalogue: Catalogue, product_id: str, shown: list[str]) -> None:
    """Leave a product only some of its pictures, by SHA-256, in this order; at least one.

    Raises QueryError.
    """
    with catalogue.writing(), catalogue.changing() as table:
        stored = _required(table, product_id)
        location = dict(stored.pictures)
        kept = [(sha256, location[sha256]) for sha256 in dict.fromkeys(shown) if sha256 in location]
        if not kept:
            raise QueryError("A product needs a picture to be found by. Add another one first.")
        if kept != stored.pictures:
            table.put([Change(stored.feed, kept, stored.key)], table.next_generation())
            table.remove_unused_images()


def merge_products(catalogue: Catalogue, keep: str, other: str) -> None:
    """Make two products one: the first stays and takes over the other's pictures.

    What people decided about the other counts for it as far as nothing was decided about it
    itself. Raises QueryError.
    """
    if keep == other:
        raise QueryError("These are one product already; choose another one.")
    with catalogue.writing(), catalogue.changing() as table:
        first, second = _required(table, keep), _required(table, other)
        pictures = dict(second.pictures) | dict(first.pictures)
        order = [*first.pictures, *second.pictures]
        shown = [(sha256, pictures[sha256]) for sha256 in dict.fromkeys(each for each, _ in order)]
        generation = table.next_generation()
        table.remove([second.key], generation)
        table.put([Change(first.feed, shown, first.key)], generation)


def _required(table: ProductWriter, product_id: str) -> StoredProduct:
    key = table.keys([product_id]).get(product_id)
    if key is None:
        raise QueryError(f'There is no product "{product_id}" any more.')
    return table.get([key])[key]
