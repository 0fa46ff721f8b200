"""Products written whole by programs, one or many, with pictures that are uploaded.

What is written so counts as the product's feed: people's decisions go before it, and the next feed
that has the product goes after it. The index catches up by itself at the next search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from index.product import Product
from index.search.live import stored_calibration
from index.store.products import UPLOAD, ProductTable, StoredProduct
from index.store.writing import Change, ProductWriter
from vision.batches import Picture, describe
from vision.errors import FindalikeError
from vision.images import Image

if TYPE_CHECKING:
    from index.catalogue import Catalogue

Outcome = Literal["created", "updated", "unchanged"]

_BATCH = 32  # pictures embedded at once
_LEARN_AGAIN = 0.2  # the share by which pictures may have become more or fewer, as in ``settle``


class UpsertError(FindalikeError):
    """A product that cannot be written as it is wished to be."""


@dataclass(frozen=True)
class Upsert:
    """A product to be written.

    ``change`` gives the product, as its feed would have it, from what is stored (None: nothing is);
    it is called within the transaction, and what it raises ends that. ``pictures`` are uploaded
    ones and SHA-256s of such as the catalogue has, in order, None to leave them as they are.
    """

    product_id: str
    change: Callable[[StoredProduct | None], Product]
    pictures: tuple[Image | str, ...] | None = None

    @property
    def uploads(self) -> list[Image]:
        """Return the pictures that come with it."""
        return [each for each in self.pictures or () if isinstance(each, Image)]


@dataclass(frozen=True)
class Embedded:
    """Uploaded pictures, ready to be stored: each with its embedding (d,) float32, by SHA-256."""

    pictures: Mapping[str, tuple[Picture, np.ndarray]]


def embed(catalogue: Catalogue, images: Sequence[Image]) -> Embedded:
    """Embed those of the pictures that the catalogue does not have: the slow part of an upsert."""
    fresh = {image.sha256: image for image in images}
    if not fresh:
        return Embedded({})
    with catalogue.reading() as table:
        for known in table.known_images(fresh, catalogue.fingerprint):
            del fresh[known]
    encoder = catalogue.encoder
    pictures = [describe(image, encoder) for image in fresh.values()]
    found: dict[str, tuple[Picture, np.ndarray]] = {}
    for run in (pictures[at : at + _BATCH] for at in range(0, len(pictures), _BATCH)):
        vectors = encoder.encode_pixels(np.stack([each.pixels for each in run]))
        found |= {each.sha256: (each, row) for each, row in zip(run, vectors, strict=True)}
    return Embedded(found)


def upsert_products(
    catalogue: Catalogue, wanted: Sequence[Upsert], embedded: Embedded
) -> list[Outcome | UpsertError]:
    """Write products in one transaction; return what became of each, or why it was not written.

    ``embedded`` is what ``embed`` makes of all their uploads. Of two of one product the second is
    refused.
    """
    results: list[Outcome | UpsertError] = []
    with catalogue.writing(), catalogue.changing() as table:
        keys = table.keys(each.product_id for each in wanted)
        stored = {each.product.product_id: each for each in table.get(keys.values()).values()}
        changes: list[Change] = []
        met: set[str] = set()
        for each in wanted:
            old = stored.get(each.product_id)
            try:
                if each.product_id in met:
                    raise UpsertError("This product stands in the request twice; send it once.")
                met.add(each.product_id)
                new = _change(table, each, old)
            except UpsertError as error:
                results.append(error)
                continue
            if old is not None and old.feed == new.product and old.pictures == new.pictures:
                results.append("unchanged")
                continue
            changes.append(new)
            results.append("created" if old is None else "updated")
        if changes:
            _write(catalogue, table, changes, stored, embedded)
    return results


def remove_product(
    catalogue: Catalogue, product_id: str, check: Callable[[StoredProduct], None]
) -> bool:
    """Remove a product and what only it used; return whether it was there.

    ``check`` may raise, which leaves it.
    """
    with catalogue.writing(), catalogue.changing() as table:
        key = table.keys([product_id]).get(product_id)
        if key is None:
            return False
        check(table.get([key])[key])
        table.remove([key], table.next_generation())
        table.remove_unused_images()
    return True


def needs_learning(catalogue: Catalogue) -> bool:
    """Tell whether so much was changed that the ranking should be learnt anew (``rebuild``)."""
    with catalogue.reading() as table:
        known = stored_calibration(table.connection, catalogue.fingerprint)
        pictures = table.indexed(catalogue.fingerprint)
    if known is None:
        return pictures > 0
    return abs(pictures - known.pictures) > _LEARN_AGAIN * known.pictures


def _change(table: ProductTable, wanted: Upsert, old: StoredProduct | None) -> Change:
    product = wanted.change(old)
    pictures = old.pictures if old is not None else []
    if wanted.pictures is not None:
        pictures = _pictures(table, wanted.pictures, dict(pictures))
    if not pictures:
        raise UpsertError("A product needs at least one picture; send one with it.")
    return Change(product, pictures, None if old is None else old.key)


def _pictures(
    table: ProductTable, wanted: Sequence[Image | str], own: dict[str, str]
) -> list[tuple[str, str]]:
    """Return (SHA-256, location) of the pictures that a product shall have, each once."""
    owners = table.owners(each for each in wanted if isinstance(each, str))
    found: dict[str, str] = {}
    for each in wanted:
        sha256 = each if isinstance(each, str) else each.sha256
        if sha256 in own:
            found[sha256] = own[sha256]
        elif not isinstance(each, str):
            found[sha256] = UPLOAD + sha256
        elif sha256 in owners:
            found[sha256] = owners[sha256][0][1]
        else:
            raise UpsertError(f"There is no picture {sha256[:12]} in this catalogue; send it.")
    return list(found.items())


def _write(
    catalogue: Catalogue,
    table: ProductWriter,
    changes: Sequence[Change],
    stored: Mapping[str, StoredProduct],
    embedded: Embedded,
) -> None:
    shown = {sha256 for change in changes for sha256, _ in change.pictures}
    known = table.known_images(shown, catalogue.fingerprint)
    if missing := shown - known - set(embedded.pictures):
        # The catalogue had it when the others were embedded, and lost it a moment ago.
        raise UpsertError(f"Picture {min(missing)[:12]} was just removed; send the request again.")
    fresh = [embedded.pictures[sha256] for sha256 in sorted(shown - known)]
    if fresh:
        vectors = np.stack([vector for _, vector in fresh])
        table.add_images([picture for picture, _ in fresh], vectors, catalogue.fingerprint)
    table.put(changes, table.next_generation())
    before = {
        sha256
        for change in changes
        if (old := stored.get(change.product.product_id)) is not None
        for sha256, _ in old.pictures
    }
    if before - shown:
        table.remove_unused_images()
