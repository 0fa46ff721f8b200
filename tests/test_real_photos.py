"""The main job on real photos with a real encoder: index, ask, evaluate.

Uses the development photos in ``shared/data`` beside the repository; skipped without them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalogue import Catalogue
from index.changes.adding import AddOptions
from index.evaluation.evaluate import evaluate
from index.evaluation.truths import read_queries
from index.query import Query
from vision.encoder import Encoder

DATA = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = DATA.parent / "weights" / "mobilenetv2_imagenet"

pytestmark = pytest.mark.skipif(
    not (DATA / "products.csv").is_file(), reason="the development photos are not here"
)


def fill(catalogue: Catalogue, chosen: str, folder: Path) -> int:
    """Add the products of one set; return how many."""
    with (DATA / "products.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == chosen]
    feed = folder / f"{chosen}.csv"
    with feed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return catalogue.add([feed], options=AddOptions(images_root=DATA)).added


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """The tailwind products, embedded by the built-in encoder."""
    folder = tmp_path_factory.mktemp("shop")
    with Catalogue.open(folder / "catalogue", create=True) as catalogue:
        assert fill(catalogue, "tailwind", folder) == 63
        yield catalogue


def test_near_duplicates_find_their_product(shop: Catalogue) -> None:
    truths = read_queries(DATA / "queries.csv", only=["set=tailwind"])
    result = evaluate(shop, truths)
    assert (result.queries, result.recall_at_1) == (63, 1.0)
    assert result.verdicts is not None
    assert result.verdicts.exact_share > 0.9
    assert result.verdicts.false_exact < 0.2
    assert result.verdicts.ece < 0.2


def test_a_photo_with_a_filter(shop: Catalogue) -> None:
    photo = DATA / "images" / "tailwind" / "detail" / "10446729.jpg"
    answer = shop.search(Query(photo=photo, k=5))
    assert answer.verdict == "exact"
    assert answer.hits[0].product.product_id == "tailwind:1"
    answer = shop.search(Query(photo=photo, where=("category=Gardening", "price<50"), k=100))
    assert answer.hits
    for hit in answer.hits:
        assert hit.product.category == "Gardening"
        assert hit.product.price is not None
        assert hit.product.price < 50
    assert answer.verdict != "exact"


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the pretrained weights are not here")
def test_ranking_beats_the_bare_encoder_on_product_variants(tmp_path: Path) -> None:
    """Colour is what tells luma's products apart: the bare network finds 30 % of them first."""
    spec = f"timm:local-dir:{WEIGHTS}"
    assert Encoder.load(spec).dim == 1280
    with Catalogue.open(tmp_path / "catalogue", create=True, encoder=spec) as catalogue:
        assert fill(catalogue, "luma", tmp_path) == 282
        result = evaluate(catalogue, read_queries(DATA / "queries.csv", only=["set=luma"]))
    assert result.recall_at_1 > 0.45
    assert result.recall_at_10 > 0.7
