"""Evaluation: labelled queries are read, asked, and measured, with nothing lost on the way."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from index.catalogue import Catalogue
from index.evaluation.evaluate import Evaluation, evaluate
from index.evaluation.truths import Answers, Truth, read_queries
from index.query import Query
from vision.errors import FeedError
from webapp.reports.retrieval import evaluation_rows, write_html

Ask = Callable[..., Evaluation]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def ask(catalogue: Catalogue, tmp_path: Path) -> Ask:
    """Return a function: ask(rows) -> the evaluation of these rows on the small catalogue.

    The photos are those of the catalogue, as ask/00007.png for product p7, and 24 to 29, which
    are of products that it does not have.
    """
    folder = tmp_path / "ask"
    shutil.copytree(_pictures(catalogue), folder)
    tiny.write_photos(folder, 6, start=24)

    def asked(rows: list[dict[str, str]]) -> Evaluation:
        return evaluate(catalogue, read_queries(write(folder / "q.csv", rows)))

    return asked


def _pictures(catalogue: Catalogue) -> Path:
    with catalogue.reading() as table:
        key = table.keys(["p0"])["p0"]
        return Path(table.get([key])[key].views[0].location).parent


def of_products(*numbers: int) -> list[dict[str, str]]:
    return [{"query_image": f"{n:05d}.png", "product_id": f"p{n}"} for n in numbers]


# --- reading -----------------------------------------------------------------------------------


def test_queries_are_read(tmp_path: Path) -> None:
    rows = [
        {"query_image": "a.jpg", "product_id": "p1", "category": ""},
        {"query_image": "/b.jpg", "product_id": "", "category": "Kitchen/Mugs"},
    ]
    truths = read_queries(write(tmp_path / "q.csv", rows))
    assert truths == [
        Truth(tmp_path / "a.jpg", "p1", "", 2),
        Truth(Path("/b.jpg"), "", "Kitchen > Mugs", 3),
    ]


def test_label_is_a_category_and_rows_are_chosen(tmp_path: Path) -> None:
    rows = [
        {"query_image": "a.jpg", "label": "Mugs", "set": "one"},
        {"query_image": "b.jpg", "label": "Pots", "set": "two"},
    ]
    path = write(tmp_path / "q.csv", rows)
    (truth,) = read_queries(path, images_root=tmp_path / "photos", only=["set = two"])
    assert truth == Truth(tmp_path / "photos" / "b.jpg", "", "Pots", 3)


@pytest.mark.parametrize(
    ("content", "only", "says"),
    [
        (b"", (), "needs the columns query_image and product_id or category; it has none"),
        (b"photo,product_id\na,b\n", (), "it has photo, product_id"),
        (b"query_image\na\n", (), "needs the columns"),
        (b"query_image,product_id\n", (), "has no queries"),
        (b"query_image,product_id\na,b\n", ("set=x",), 'no column "set"; there are query_image'),
        (b"query_image,product_id\na,b\n", ("product_id=c",), "no queries for product_id=c"),
        (b"query_image,product_id\na,b\n", ("product_id",), "is not COLUMN=VALUE"),
        (b"query_image,product_id\n\xff,b\n", (), "not a CSV in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used(
    tmp_path: Path, content: bytes, only: tuple[str, ...], says: str
) -> None:
    (tmp_path / "q.csv").write_bytes(content)
    with pytest.raises(FeedError, match=says):
        read_queries(tmp_path / "q.csv", only=only)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"q\.csv cannot be read \(No such file"):
        read_queries(tmp_path / "q.csv")


def test_right_answers(catalogue: Catalogue) -> None:
    with catalogue.reading() as table:
        answers = Answers(table)
        keys = table.keys(f"p{number}" for number in range(24))

    def right(product_id: str = "", category: str = "") -> set[int]:
        return set(answers.right(Truth(Path(), product_id, category, 1)).tolist())

    assert len(answers) == 24
    assert right("p3") == {keys["p3"]}
    assert right("p99") == right("") == right("", "Cellar") == right("", "Kit") == set()
    kitchen = {keys[f"p{number}"] for number in range(24) if number % 3 != 2}
    assert right("", "kitchen") == kitchen
    mugs = {keys[f"p{number}"] for number in range(0, 24, 3)}
    assert right("", "Kitchen > Mugs") == right("", "mugs") == mugs


# --- measuring ---------------------------------------------------------------------------------


def test_measures_agree_with_asking_one_by_one(catalogue: Catalogue, ask: Ask) -> None:
    numbers = list(range(24))
    result = ask(of_products(*numbers))
    ranks = []
    for number in numbers:
        pixels = _pictures(catalogue) / f"{number:05d}.png"
        # As an evaluation asks: by what the photo shows, not by whether its bytes are known.
        hits = catalogue.search(Query(photo=pixels.read_bytes() + b"x", k=24)).hits
        ranks.append([hit.product.product_id for hit in hits].index(f"p{number}") + 1)
    places = np.array(ranks)
    assert (result.queries, result.products, result.by) == (24, 24, "product")
    assert result.recall_at_1 == pytest.approx((places <= 1).mean())
    assert result.recall_at_5 == pytest.approx((places <= 5).mean())
    assert result.recall_at_10 == pytest.approx((places <= 10).mean())
    assert result.mrr == pytest.approx((1 / places).mean())
    assert result.mean_average_precision == pytest.approx(result.mrr)  # one right answer each
    assert {miss.rank for miss in result.worst} == {rank for rank in ranks if rank > 1}


def test_a_perfect_encoder_has_perfect_measures(
    catalogue: Catalogue, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.evaluation.evaluate.ask", _oracle(catalogue))
    result = ask(of_products(*range(24)))
    assert result.recall_at_1 == result.recall_at_10 == result.mrr == 1.0
    assert result.mean_average_precision == result.ndcg_at_10 == 1.0
    assert result.worst == ()
    assert result.verdicts is not None
    assert result.verdicts.queries == 24
    assert result.verdicts.exact_precision in (1.0, None)


def _oracle(catalogue: Catalogue) -> Callable[..., object]:
    """Return an ``ask`` whose queries are the very vectors of the pictures they show."""

    def ask(queries: list[Query], *_: object) -> object:
        with catalogue.reading() as table:
            store = catalogue.index(table).store
            found = table.owners([query.photo.sha256 for query in queries])  # type: ignore[union-attr]
        views = [found[query.photo.sha256][0][0] for query in queries]  # type: ignore[union-attr]
        vectors = np.stack([store.vectors_of(key)[0] for key in views])
        return SimpleNamespace(vectors=vectors, milliseconds={"read": 0.0, "encode": 0.0})

    return ask


def test_held_out_means_that_the_product_itself_is_gone(
    catalogue: Catalogue, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    result = ask(of_products(12, 13))
    with catalogue.reading() as table:
        index = catalogue.index(table)
        keys = table.keys(["p12", "p13"])
    search = index.store.search

    def spy(queries: np.ndarray, k: int, *, without: np.ndarray | None = None) -> object:
        found = search(queries, k, without=without)
        if without is not None:
            assert without.tolist() == [keys["p12"], keys["p13"]]
            assert not np.isin(found.products, without[:, None]).any(axis=1).all()
            for row, key in zip(found.products, without, strict=True):
                assert key not in row
            seen.append(found.products)
        return found

    monkeypatch.setattr(index.store, "search", spy)
    again = ask(of_products(12, 13))
    assert len(seen) == 1
    assert again.verdicts == result.verdicts


def test_categories_as_the_truth(ask: Ask) -> None:
    rows = [
        {"query_image": "00000.png", "category": "Kitchen > Mugs"},
        {"query_image": "00001.png", "category": "kitchen"},
        {"query_image": "00002.png", "category": "Pots"},
    ]
    result = ask(rows)
    assert result.by == "category"
    assert result.queries == 3
    assert result.verdicts is None
    assert 0 < result.mean_average_precision <= 1
    assert result.recall_at_10 == 1.0


def test_products_and_categories_together(ask: Ask) -> None:
    rows = [
        {"query_image": "00003.png", "product_id": "p3", "category": ""},
        {"query_image": "00004.png", "product_id": "", "category": "Kitchen"},
    ]
    result = ask(rows)
    assert (result.by, result.queries) == ("product or category", 2)
    assert result.verdicts is not None
    assert result.verdicts.queries == 1


def test_strangers_count_for_the_verdicts_only(ask: Ask) -> None:
    known = ask(of_products(1, 2, 3))
    both = ask(of_products(1, 2, 3, 24, 25, 26, 27))
    assert (known.strangers, known.strangers_recognised) == (0, None)
    assert (both.strangers, both.queries) == (4, 3)
    assert both.strangers_recognised is not None
    assert 0 <= both.strangers_recognised <= 1
    assert (both.recall_at_1, both.mrr) == (known.recall_at_1, known.mrr)
    assert both.verdicts == known.verdicts


def test_what_cannot_be_asked_is_passed_over(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "ask" / "broken.png").write_bytes(b"no picture")
    rows = [
        {"query_image": "gone.png", "product_id": "p1", "category": ""},
        {"query_image": "00002.png", "product_id": "p2", "category": ""},
        {"query_image": "broken.png", "product_id": "p3", "category": ""},
        {"query_image": "00003.png", "product_id": "", "category": "Cellar"},
        {"query_image": "00004.png", "product_id": "", "category": ""},
        {"query_image": "", "product_id": "p5", "category": ""},
    ]
    result = ask(rows)
    assert result.queries == 1
    lines = {each.line: each.reason for each in result.passed_over}
    assert sorted(lines) == [2, 4, 5, 6, 7]
    assert "gone.png: The file is missing" in lines[2]
    assert "not a picture" in lines[4]
    assert lines[5] == 'no product is in the category "Cellar"'
    assert lines[6] == "says neither product nor category"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [{"query_image": "gone.png", "product_id": "p1"}],
            r"line 2: .*gone\.png: The file is mis",
        ),
        ([{"query_image": "00025.png", "product_id": "p25"}], "not in the catalogue"),
    ],
)
def test_nothing_to_ask(ask: Ask, rows: list[dict[str, str]], says: str) -> None:
    with pytest.raises(FeedError, match=says):
        ask(rows)


def test_more_queries_than_one_batch(ask: Ask) -> None:
    once, thrice = ask(of_products(*range(24))), ask(of_products(*range(24)) * 4)
    assert thrice.queries == 96
    for name in ("recall_at_1", "mean_average_precision", "ndcg_at_10", "mrr"):
        assert getattr(thrice, name) == pytest.approx(getattr(once, name))
    assert once.verdicts is not None
    assert thrice.verdicts is not None
    assert thrice.verdicts.ece == pytest.approx(once.verdicts.ece)


def test_stages_are_timed_and_progress_is_told(catalogue: Catalogue, ask: Ask) -> None:
    result = ask(of_products(1, 2))
    assert set(result.milliseconds) == {"read", "encode", "search"}
    assert all(value > 0 for value in result.milliseconds.values())
    told: list[tuple[str, int, int]] = []
    truths = [Truth(_pictures(catalogue) / "00001.png", "p1", "", 2)] * 3
    evaluate(catalogue, truths, progress=lambda *step: told.append(step))
    assert told == [("evaluate", 0, 3), ("evaluate", 3, 3)]


# --- the report --------------------------------------------------------------------------------


def test_an_evaluation_is_strict_json(ask: Ask) -> None:
    result = ask([*of_products(*range(24)), *of_products(26)])
    text = json.dumps(result.as_dict(), allow_nan=False)
    loaded = json.loads(text)
    assert loaded["recall_at_1"] == result.recall_at_1
    assert set(loaded["worst"][0]) == {"image", "expected", "rank", "hits"}
    assert loaded["worst"][0]["hits"][0]["product_id"].startswith("p")


def test_every_measure_has_a_row(ask: Ask) -> None:
    rows = dict(evaluation_rows(ask([*of_products(*range(24)), *of_products(26)])))
    assert rows["queries"] == "24 by product, 24 products"
    assert rows["strangers"].startswith("1, ")
    assert {"mAP", "nDCG@10", "MRR", "calibration error (ECE)"} <= set(rows)


def test_the_html_report_shows_text_as_text(ask: Ask, catalogue: Catalogue, tmp_path: Path) -> None:
    """Ids and paths come from feeds: nothing in them may become markup."""
    evil = '"><script>alert(1)</script>'
    lines = ["product_id,image_path,title"]
    for at in range(100, 104):
        tiny.write_photos(tmp_path / "evil", 1, start=at)
        lines.append(f'"{evil.replace(chr(34), chr(34) * 2)}{at}",evil/{at:05d}.png,{evil[2:]}')
    (tmp_path / "evil.csv").write_text("\n".join(lines))
    assert catalogue.add([tmp_path / "evil.csv"]).added == 4
    rows = [{"query_image": "00001.png", "product_id": f"{evil}{at}"} for at in range(100, 104)]
    rows.append({"query_image": f"{evil[2:]}.png", "product_id": "p1"})
    result = ask(rows)
    write_html(result, catalogue, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert result.worst
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5
    assert page.count("data:image/jpeg;base64,") >= 5


def test_the_html_report_without_misses(
    catalogue: Catalogue, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.evaluation.evaluate.ask", _oracle(catalogue))
    write_html(ask(of_products(1, 2)), catalogue, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Worst misses" not in page
    assert "recall@1" in page
