"""What is rendered: the shop that ships with findalike, and what its encoder learns from."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from assets.studio.kinds import FOREIGN, KINDS, STOCKED
from assets.studio.products import Product, assortment
from assets.studio.shape import Draw
from assets.studio.takes import SCENES
from assets.studio.work import Picture


@dataclass(frozen=True)
class Training:
    """Products to learn from (``train``), and kinds kept apart to measure with (``holdout``)."""

    products: list[Product]
    splits: list[str]
    pictures: list[Picture]

    def write(self, folder: Path) -> None:
        """Write products.csv and pictures.csv."""
        folder.mkdir(parents=True, exist_ok=True)
        _write(
            folder / "products.csv",
            (
                {
                    "product": each.id,
                    "family": f"{each.family}/{each.twin}",
                    "kind": each.kind,
                    "department": each.department,
                    "title": each.title,
                    "description": each.description,
                    "colour": each.colour,
                    "second_colour": "" if each.pattern == "plain" else each.second,
                    "material": each.material,
                    "pattern": each.pattern,
                    "finish": each.finish,
                    "size": each.size,
                    "split": split,
                }
                for each, split in zip(self.products, self.splits, strict=True)
            ),
        )
        rows: list[dict[str, object]] = []
        for picture in self.pictures:
            view = "customer" if picture.scene else "studio"
            rows.append({"file": picture.name, "product": picture.product.id, "view": view})
            if picture.cutout:
                rows.append(
                    {"file": picture.cutout, "product": picture.product.id, "view": "cutout"}
                )
        _write(folder / "pictures.csv", rows)


def training(each: int, views: int, photos: int) -> Training:
    """Return ``each`` products of every stocked kind, and foreign ones to measure with."""
    learnt = assortment("training", STOCKED, each)
    apart = assortment("holdout", FOREIGN, 16)
    splits = ["train"] * len(learnt) + ["holdout"] * len(apart)
    pictures = []
    # In an order that has every kind early: half a run is a smaller training set.
    for product in Draw("training").shuffled("order", [*learnt, *apart]):
        folder = product.kind.replace(" ", "_")
        for view in range(views):
            name = f"{folder}/{product.id}_s{view}"
            pictures.append(Picture(f"{name}.jpg", product, view, "", f"{name}.webp"))
        scenes = Draw(f"{product.id}/scenes").shuffled("order", SCENES)
        for at, scene in enumerate(scenes[:photos]):
            pictures.append(Picture(f"{folder}/{product.id}_c{at}.jpg", product, at, scene))
    return Training([*learnt, *apart], splits, pictures)


@dataclass(frozen=True)
class Shop:
    """The sample catalogue: what it sells, photos customers took of that, and of other things."""

    products: list[Product]
    studio: list[Picture]
    customers: list[Picture]
    strangers: list[Picture]

    @property
    def pictures(self) -> list[Picture]:
        """Return all pictures."""
        return [*self.studio, *self.customers, *self.strangers]

    def write(self, folder: Path) -> None:
        """Write products.csv, the feed, and what to ask with the answers: photos.csv, texts.csv."""
        folder.mkdir(parents=True, exist_ok=True)
        images: dict[str, list[str]] = defaultdict(list)
        for picture in self.studio:
            images[picture.product.id].append(picture.name)
        _write(
            folder / "products.csv",
            (
                {
                    "product_id": each.id,
                    "title": each.title,
                    "description": each.description,
                    "brand": each.brand,
                    "price": f"{each.price:.2f} EUR",
                    "availability": Draw(each.id).weighted(
                        "availability", ("in stock", "out of stock", "preorder"), (0.85, 0.1, 0.05)
                    ),
                    "category": f"{each.department} > {each.category}",
                    "image_path": "|".join(images[each.id]),
                    "colour": each.colour,
                    "second_colour": "" if each.pattern == "plain" else each.second,
                    "material": each.material,
                    "pattern": each.pattern,
                    "finish": each.finish,
                    "size": each.size,
                    "group": each.family.replace("/", "-").replace(" ", "-"),
                }
                for each in self.products
            ),
        )
        _write(folder / "photos.csv", (
            {"query_image": each.name, "product_id": each.product.id,
             "category": f"{each.product.department} > {each.product.category}",
             "scene": each.scene, "sold": "yes" if each in self.customers else "no"}
            for each in (*self.customers, *self.strangers)
        ))  # fmt: skip
        right: dict[str, list[str]] = defaultdict(list)
        for each in self.products:
            right[f"{each.colour} {each.material} {KINDS[each.kind].nouns[0]}"].append(each.id)
        _write(folder / "texts.csv", (
            {"text": text, "product_ids": "|".join(ids)}
            for text, ids in sorted(right.items()) if len(ids) >= 5
        ))  # fmt: skip


def shop(each: int = 11, photos: int = 180, strangers: int = 40) -> Shop:
    """Return the sample catalogue: ``each`` products of every kind with two studio pictures."""
    products = assortment("shop", STOCKED, each, twins=0.04, taste=3.0)
    studio = [
        Picture(f"products/{product.id}_{view + 1}.jpg", product, view)
        for product in products for view in range(2)
    ]  # fmt: skip
    asked = Draw("shop/photos").shuffled("products", products)[:photos]
    customers = [
        Picture(f"photos/{at:03d}.jpg", product, 0, _scene(product, at))
        for at, product in enumerate(sorted(asked, key=lambda product: product.id), 1)
    ]
    sold = {(product.kind, product.colour) for product in products}
    other = [
        product for product in assortment("stranger", STOCKED, 12)
        if (product.kind, product.colour) not in sold
    ]  # fmt: skip
    foreign = Draw("shop/foreign").shuffled("products", assortment("foreign", FOREIGN, 6))
    unknown = Draw("shop/strangers").shuffled("products", other)[: strangers * 2 // 5]
    unknown += foreign[: strangers - len(unknown)]
    outside = [
        Picture(
            f"strangers/{at:03d}.jpg", replace(product, id=f"X{at:03d}"), 0, _scene(product, at)
        )
        for at, product in enumerate(unknown, 1)
    ]
    return Shop(products, studio, customers, outside)


def _scene(product: Product, at: int) -> str:
    """Return one of the scenes in turn; a shelf carries only what stands on tables."""
    scene = SCENES[at % len(SCENES)]
    return "clutter" if scene == "shelf" and KINDS[product.kind].place != "table" else scene


def _write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    listed = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, listed[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
