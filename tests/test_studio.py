"""The photo studio's products, and the sample catalogue that ships; nothing here needs Blender."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from assets import SAMPLE
from assets.studio import lists
from assets.studio.kinds import FOREIGN, KINDS, STOCKED
from assets.studio.products import PALETTE, assortment
from assets.studio.shape import Draw, Shape

MOST = 15_000_000  # bytes


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_lists_that_ship_are_the_ones_the_code_makes(tmp_path: Path) -> None:
    lists.shop().write(tmp_path)
    for name in ("products.csv", "photos.csv", "texts.csv"):
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes(), name


def test_every_picture_is_there_and_nothing_else() -> None:
    listed = {
        each for row in rows(SAMPLE / "products.csv") for each in row["image_path"].split("|")
    }
    listed |= {row["query_image"] for row in rows(SAMPLE / "photos.csv")}
    there = {path.relative_to(SAMPLE).as_posix() for path in SAMPLE.rglob("*.jpg")}
    assert there == listed
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < MOST
    for name in sorted(listed)[::37]:
        with PIL.Image.open(SAMPLE / name) as picture:
            assert picture.size == (256, 256) and picture.mode == "RGB"
            assert np.asarray(picture).std() > 3, f"{name} shows nothing"


def test_the_catalogue_is_what_was_asked_for() -> None:
    shop = rows(SAMPLE / "products.csv")
    photos = rows(SAMPLE / "photos.csv")
    assert len(shop) >= 400 and len({row["category"] for row in shop}) >= 24
    assert all(row["category"].count(" > ") == 1 for row in shop)
    assert all(len(row["image_path"].split("|")) >= 2 for row in shop)
    groups = Counter(row["group"] for row in shop)
    assert sum(count > 1 for count in groups.values()) > 50  # variants
    assert sum(" II " in row["title"] for row in shop) > 10  # near twins
    ids = {row["product_id"] for row in shop}
    assert sum(row["product_id"] in ids for row in photos) >= 150
    assert sum(row["product_id"] not in ids for row in photos) == 40
    assert {row["sold"] for row in photos if row["product_id"] in ids} == {"yes"}


def test_texts_name_products_that_are_so() -> None:
    shop = {row["product_id"]: row for row in rows(SAMPLE / "products.csv")}
    for row in rows(SAMPLE / "texts.csv"):
        for each in row["product_ids"].split("|"):
            product = shop[each]
            assert row["text"].startswith(f"{product['colour']} {product['material']} ")


def test_training_shares_no_shape_with_the_shop() -> None:
    shop = lists.shop()
    training = lists.training(3, 1, 1)
    sold = {product.family for product in shop.products}
    learnt = {each.family for each in training.products}
    asked = {each.product.family for each in shop.strangers}
    assert not sold & learnt and not asked & (sold | learnt)
    foreign = {kind.name for kind in FOREIGN}
    split = dict(zip([each.kind for each in training.products], training.splits, strict=True))
    assert {kind for kind, name in split.items() if name == "holdout"} == foreign
    assert not foreign & {product.kind for product in shop.products}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_builds_sound_models_of_many_shapes(name: str) -> None:
    sizes = set()
    for product in assortment("tests", [KINDS[name]], 8):
        model = product.model()
        points = model.points()
        assert np.isfinite(points).all() and 0.02 < np.ptp(points, axis=0).max() < 3
        assert {product.colour, product.second} <= set(PALETTE) and product.price > 0
        for mesh, _ in model.parts:
            assert len(mesh.uv) == len(mesh.vertices)
            assert max(max(face) for face in mesh.faces) < len(mesh.vertices)
        sizes.add(round(float(points.sum()), 6))
    assert len(sizes) > 2


def test_a_twin_is_near_its_model_and_a_colour_is_not_another_shape() -> None:
    one, twin = Shape("tests/mug/1"), Shape("tests/mug/1", 1)
    assert one.between("height", 0, 1) == Shape("tests/mug/1").between("height", 0, 1)
    assert 0.1 < abs(one.between("height", 0, 1) - twin.between("height", 0, 1)) < 0.3
    assert one.pick("form", range(100)) == twin.pick("form", range(100))
    families = Counter(each.family for each in assortment("tests", STOCKED[:1], 30))
    assert max(families.values()) > 1


def test_draws_depend_on_names_alone() -> None:
    draw = Draw("tests")
    values = [draw.fraction(at) for at in range(2000)]
    assert all(0 <= value < 1 for value in values) and abs(np.mean(values) - 0.5) < 0.03
    assert draw.fraction(3) == values[3] and Draw("other").fraction(3) != values[3]
    assert sorted(draw.shuffled("order", range(9))) == list(range(9))
    assert draw.fraction("fixed") == pytest.approx(0.012575992613915371)  # on every machine
