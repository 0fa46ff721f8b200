"""Likely parts of a photo: where they are, and when one of them is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
import tiny

from index.catalogue import Catalogue
from index.query import Query
from index.search.parts import search_parts
from vision.images import Image, Region
from vision.pictures.regions import _standing_out, likely_regions


def image(pixels: PIL.Image.Image) -> Image:
    return Image(pixels, "", *pixels.size, "PNG")


def scene(*things: tuple[PIL.Image.Image, tuple[int, int]], side: int = 400) -> Image:
    """Return a quiet ground with things on it."""
    rng = np.random.default_rng(3)
    ground = np.clip(rng.normal(150, 3, (side, side, 3)), 0, 255).astype(np.uint8)
    picture = PIL.Image.fromarray(ground)
    for thing, place in things:
        picture.paste(thing, place)
    return image(picture)


def overlap(a: Region, b: Region) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a.width * a.height + b.width * b.height - shared)


@pytest.mark.parametrize("place", [(20, 30), (230, 30), (60, 220), (220, 220)])
def test_a_thing_on_a_ground_is_found(place: tuple[int, int]) -> None:
    photo = scene((tiny.draw(5, "red", side=150), place))
    truth = Region(place[0] / 400, place[1] / 400, 150 / 400, 150 / 400)
    assert max(overlap(each, truth) for each in likely_regions(photo)[:2]) > 0.5


def test_a_soft_thing_stands_out_by_its_colour_alone() -> None:
    picture = PIL.Image.new("RGB", (300, 300), (90, 120, 90))
    picture.paste((150, 100, 150), (170, 60, 250, 140))
    seen = _standing_out(picture.filter(PIL.ImageFilter.GaussianBlur(25)))
    assert seen[:4, :4].max() < 0.01
    assert seen[16:28, 38:50].mean() > 10  # of 1 on average


def test_two_things_are_two_regions() -> None:
    photo = scene(
        (tiny.draw(5, "red", side=130), (20, 30)), (tiny.draw(8, "teal", side=130), (240, 230))
    )
    for place in ((20, 30), (240, 230)):
        truth = Region(place[0] / 400, place[1] / 400, 130 / 400, 130 / 400)
        assert max(overlap(each, truth) for each in likely_regions(photo)) > 0.3


def test_regions_are_few_inside_and_unlike_each_other() -> None:
    photo = scene((tiny.draw(3, side=160), (100, 60)))
    regions = likely_regions(photo, 4)
    assert 1 <= len(regions) <= 4
    assert likely_regions(photo, 2) == regions[:2]
    assert all(overlap(a, b) < 0.5 for at, a in enumerate(regions) for b in regions[:at])
    for each in regions:
        photo.crop(each)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (64, 64)])
def test_a_plain_photo_of_any_shape_has_none_or_valid_ones(size: tuple[int, int]) -> None:
    assert likely_regions(image(PIL.Image.new("RGB", size, "white"))) == ()


def test_a_small_thing_is_found_by_its_part(catalogue: Catalogue) -> None:
    query = Query(photo=scene((tiny.draw(7, side=150), (30, 220))), k=5)
    whole = catalogue.search(query)
    said = search_parts(catalogue, query)
    if whole.verdict == "not stocked":
        assert said.region is not None
        assert said.answer.hits[0].product.product_id == "p7"
    else:
        assert (said.region, said.answer.hits) == (None, whole.hits)
    assert said.likely


def test_parts_are_asked_only_where_nothing_was_found(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = Catalogue.search_many

    def search(self: Catalogue, queries: list[Query]) -> object:
        asked.append(len(queries))
        answers = real(self, queries)
        return [replace(each, verdict=verdict) for each in answers]

    monkeypatch.setattr(Catalogue, "search_many", search)
    query = Query(photo=scene((tiny.draw(7, side=150), (30, 220))), k=5)
    for verdict, batches in (("exact", [1]), ("similar", [1]), ("not stocked", [1] * 5)):
        asked.clear()
        said = search_parts(catalogue, query)
        assert asked == batches
        assert bool(said.likely) == (verdict != "exact")


def test_a_part_must_be_clearly_better(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Catalogue.search_many
    gain = [0.0]

    def search(self: Catalogue, queries: list[Query]) -> object:
        answers = real(self, queries)
        best = answers[0].hits[0]
        return [
            replace(each, verdict="not stocked",
                    hits=(replace(best, score=0.3 + (gain[0] if query.region else 0.0)),))
            for query, each in zip(queries, answers, strict=True)
        ]  # fmt: skip

    monkeypatch.setattr(Catalogue, "search_many", search)
    query = Query(photo=scene((tiny.draw(7, side=150), (30, 220))))
    for gain[0], taken in ((0.1, False), (0.2, True)):
        assert (search_parts(catalogue, query).region is not None) == taken
