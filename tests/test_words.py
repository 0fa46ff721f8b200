"""Words that products are described by, looked up and mixed into a search."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tiny

from index.catalogue import Catalogue
from index.query import Query
from index.search.words import Bonus, Words, search_described, words_of
from index.service.searchlog import describe_search
from index.vectors import VectorStore

FIELDS = ("product_id", "title", "brand", "category", "colour", "washable", "image_path")
ROWS = (
    ("A-1", "Mesa mug", "Lumika", "Kitchen > Mugs", "red", "yes", "1.png"),
    ("A-2", "Mesa jug", "Lumika", "Kitchen > Jugs", "red", "no", "2.png"),
    ("B-1", "Isla mugs, set of two", "Haven", "Kitchen > Mugs", "blue", "yes", "3.png"),
    ("B-2", "红色杯子", "Haven", "Kitchen > Mugs", "", "", "4.png"),
)


@pytest.fixture
def shop(tmp_path: Path) -> Catalogue:
    with tiny.tiny_encoders():
        catalogue = Catalogue.open(tmp_path / "catalogue", create=True)
    add(catalogue, tmp_path, ROWS)
    return catalogue


def add(catalogue: Catalogue, folder: Path, rows: tuple[tuple[str, ...], ...]) -> None:
    for row in rows:
        tiny.draw(int(row[-1][0])).save(folder / row[-1])
    with (folder / "feed.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([FIELDS, *rows])
    with tiny.tiny_encoders():
        catalogue.add([folder / "feed.csv"])


def found(catalogue: Catalogue, words: Words, text: str) -> dict[str, float]:
    with catalogue.reading() as table:
        matches = words.find(text, table)
        ids = {
            key: each.product.product_id for key, each in table.get(matches.keys.tolist()).items()
        }
    return {
        ids[key]: float(share)
        for key, share in zip(matches.keys.tolist(), matches.shares, strict=True)
        if key in ids
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red MUGS", ["red", "mug"]),
        ("a dress with berries, glass", ["dress", "berry", "glass"]),
        ("AB-12/3", ["ab-12/3", "ab", "12", "3"]),
        ("ｆｕｌｌ Straße", ["full", "strasse"]),
        ("红色杯子", ["红色", "色杯", "杯子"]),
        ("the of !?", []),
    ],
)
def test_words_as_they_are_compared(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


def test_products_that_say_more_of_it_share_more(shop: Catalogue) -> None:
    shares = found(shop, Words(), "red mug from Mesa")
    assert shares["A-1"] == 1
    assert set(shares) == {"A-1", "A-2", "B-1", "B-2"}  # B-2 is in the category of mugs
    assert shares["A-2"] > shares["B-1"] == shares["B-2"]  # mugs are common here
    assert found(shop, Words(), "b-1") == {"B-1": 1, "B-2": pytest.approx(0.37, abs=0.1)} | {
        "A-1": pytest.approx(0.3, abs=0.2)
    }
    assert set(found(shop, Words(), "杯子")) == {"B-2"}
    assert set(found(shop, Words(), "washable")) == {"A-1", "B-1"}


def test_words_that_no_product_has_are_told(shop: Catalogue) -> None:
    with shop.reading() as table:
        matches = Words().find("striped mugs zzz", table)
    assert matches.unknown == ("striped", "zzz")
    assert matches.shares.tolist() == [1, 1, 1]  # they say nothing about what there is


def test_changes_are_seen(shop: Catalogue, tmp_path: Path) -> None:
    words = Words()
    assert set(found(shop, words, "jug")) == {"A-2"}
    add(shop, tmp_path, (("A-2", "Mesa vase", *ROWS[1][2:3], "Home", *ROWS[1][4:]),))
    assert found(shop, words, "jug") == {}
    assert set(found(shop, words, "vase")) == {"A-2"}
    shop.remove(["A-2"])
    assert found(shop, words, "vase") == {}


@pytest.mark.parametrize("seed", range(20))
def test_bonus_and_score_are_ranked_together(seed: int) -> None:
    """Against plain arithmetic over all products, some with two pictures."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(90, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owners = random.permutation(np.r_[np.arange(60), np.arange(30)]) + 1
    store = VectorStore(8)
    store.update(np.arange(90), owners, vectors)
    query = vectors[0]
    described = random.choice(np.arange(1, 61), 25, replace=False)
    points = random.choice([0.3, 0.1, -0.2] if seed % 2 else [0.4, 0.2], 25).astype(np.float32)
    allowed = random.choice(np.arange(1, 61), 40, replace=False) if seed % 3 else None
    expected = {
        int(key): float((vectors[owners == key] @ query).max())
        + float(points[described == key].sum())
        for key in (range(1, 61) if allowed is None else allowed)
        if key != 7
    }
    for k in (1, 10, 100):
        got = search_described(
            store, query, k, Bonus(described, points), allowed=allowed, without=7
        )
        best = sorted(expected, key=lambda key: -expected[key])[:k]
        assert got.products[0, : len(best)].tolist() == best
        assert got.scores[0, : len(best)] == pytest.approx(
            [expected[key] for key in best], abs=1e-5
        )
        assert (got.products[0, len(best) :] == -1).all()
        assert got.products.shape == got.scores.shape == got.views.shape == (1, k)
        for key, view in zip(best, got.views[0].tolist(), strict=False):
            assert owners[view] == key


def test_words_and_looks_are_asked_together(shop: Catalogue) -> None:
    """The tiny encoder knows colours only: everything else is found by what products say."""
    with tiny.tiny_encoders():
        plain = shop.search(Query(text="isla"))
        assert plain.hits[0].product.product_id == "B-1"
        assert (plain.unknown, plain.left_out) == ((), False)
        assert shop.search(Query(text="B-2")).hits[0].product.product_id == "B-2"
        nonsense = shop.search(Query(text="qwerty mug"))
        assert nonsense.unknown == ("qwerty",)
        assert len(nonsense.hits) == 4  # the rest follows by looks
        scores = [hit.score for hit in nonsense.hits]
        assert scores == sorted(scores, reverse=True)


def test_words_to_avoid_move_what_has_them_back(shop: Catalogue) -> None:
    with tiny.tiny_encoders(), shop.reading() as table:
        own = Path(table.get(list(table.all_keys()))[1].views[0].location)
        assert shop.search(Query(photo=own, text="mug")).hits[0].product.product_id == "A-1"
        told = shop.search(Query(photo=own, not_text="lumika"))
        assert [hit.product.brand for hit in told.hits] == ["Haven", "Haven", "Lumika", "Lumika"]
        within = shop.search(Query(photo=own, not_text="isla", where=("brand=Haven",)))
        assert [hit.product.product_id for hit in within.hits] == ["B-2", "B-1"]


def test_filters_that_leave_out_the_best_are_told(shop: Catalogue) -> None:
    with tiny.tiny_encoders(), shop.reading() as table:
        own = Path(table.get(list(table.all_keys()))[1].views[0].location)
        assert shop.search(Query(photo=own, where=("brand=Haven",))).left_out
        assert shop.search(Query(photo=own, where=("price<5",))).left_out  # of all of them
        assert not shop.search(Query(photo=own, where=("brand=Lumika",))).left_out
        assert not shop.search(Query(photo=own)).left_out


def test_words_in_vain_are_noted_as_such(shop: Catalogue) -> None:
    with tiny.tiny_encoders():
        noted = {
            text: describe_search(query := Query(text=text), shop.search(query))["hits"]
            for text in ("qwerty", "qwerty zzz", "qwerty mug", "the", "mug")
        }
    assert noted == {"qwerty": 0, "qwerty zzz": 0, "qwerty mug": 4, "the": 4, "mug": 4}
