"""Staging: rows of one product find each other, and memory stays flat."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from index.feeds.staging import FeedItem, Reject, Staged, StagedRow
from index.product import Product
from vision.errors import FeedError


def row(
    product_id: str,
    *images: str,
    title: str = "",
    line: int = 1,
    source: str = "feed.csv",
    bad: tuple[str, ...] = (),
    named: bool = False,
    further: dict[str, str] | None = None,
) -> StagedRow:
    product = Product(product_id, title=title, attributes=further or {})
    faults = [(reference, "no such file") for reference in bad]
    return StagedRow(product, list(images), faults, source, line, named, further is not None)


def gather(*rows: StagedRow) -> tuple[list[FeedItem], list[Reject]]:
    rejects: list[Reject] = []
    with Staged() as staged:
        for each in rows:
            staged.add(each)
        staged.seal(rejects.append)
        items = list(staged)
        assert list(staged) == items, "iterating again yields the same"
        assert staged.products == len(items)
        assert staged.images == sum(len(item.images) for item in items)
    return items, rejects


def test_rows_of_a_product_need_not_be_adjacent() -> None:
    items, rejects = gather(
        row("b", "/1.jpg", line=2), row("a", "/2.jpg", line=3), row("b", "/3.jpg", line=4)
    )
    assert [(item.product.product_id, item.images, item.line) for item in items] == [
        ("b", ("/1.jpg", "/3.jpg"), 2),
        ("a", ("/2.jpg",), 3),
    ]
    assert rejects == []


def test_an_exact_duplicate_is_silently_one() -> None:
    items, rejects = gather(row("a", "/1.jpg"), row("a", "/1.jpg", line=2))
    assert [item.images for item in items] == [("/1.jpg",)]
    assert rejects == []


def test_other_data_under_the_same_id_names_the_first_line() -> None:
    items, rejects = gather(
        row("a", "/1.jpg", title="A", line=2),
        row("a", "/2.jpg", title="B", line=3),
        row("a", "/3.jpg", title="A", line=4),
        row("a", "/4.jpg", title="C", line=1, source="other.csv"),
    )
    assert [(item.product.title, item.images) for item in items] == [("A", ("/1.jpg", "/3.jpg"))]
    assert [(reject.source, reject.line, reject.product_id) for reject in rejects] == [
        ("feed.csv", 3, "a"),
        ("other.csv", 1, "a"),
    ]
    assert rejects[0].reason.startswith("line 2 has the same product_id with other data")
    assert rejects[1].reason.startswith("line 2 of feed.csv ")


def test_attributes_in_another_order_are_the_same_data() -> None:
    products = [
        Product("a", attributes={"x": "1", "y": "2"}),
        Product("a", attributes={"y": "2", "x": "1"}),
    ]
    items, rejects = gather(
        *(StagedRow(product, [f"/{at}"], [], "f", at) for at, product in enumerate(products))
    )
    assert [item.images for item in items] == [("/0", "/1")]
    assert rejects == []


def test_files_of_one_name_are_not_two_views_of_one_product() -> None:
    items, rejects = gather(
        row("x.jpg", "/a/x.jpg", source="a", line=0, named=True),
        row("x.jpg", "/b/x.jpg", source="b", line=0, named=True),
        row("x.jpg", "/a/x.jpg", source="a", line=0, named=True),
    )
    assert [(item.images, item.named_by_path) for item in items] == [(("/a/x.jpg",), True)]
    assert [(reject.source, reject.reason) for reject in rejects] == [
        ("b", "another picture of a has the same name: rename one of the two")
    ]


def test_bad_pictures_are_reported_once_each() -> None:
    items, rejects = gather(
        row("some", "/1.jpg", bad=("2.jpg",), line=2),
        row("some", bad=("2.jpg",), line=3),
        row("one", bad=("3.jpg",), line=4),
        row("two", bad=("4.jpg", "5.jpg"), line=5),
        row("none", line=6),
    )
    assert [item.product.product_id for item in items] == ["some"]
    assert [(reject.line, reject.product_id, reject.image) for reject in rejects] == [
        (2, "some", "2.jpg"),
        (4, "one", "3.jpg"),
        (5, "two", "4.jpg"),
        (5, "two", "5.jpg"),
        (5, "two", ""),
        (6, "none", ""),
    ]
    assert "only picture" in rejects[1].reason
    assert "only picture" not in rejects[0].reason
    assert rejects[4].reason.startswith("none of its 2 pictures")
    assert rejects[5].reason.startswith("names no picture")


def test_a_row_without_a_picture_may_follow_one_with() -> None:
    items, rejects = gather(row("a", "/1.jpg"), row("a", line=2))
    assert (len(items), rejects) == (1, [])


def test_continuing_rows_add_pictures_and_values() -> None:
    first = StagedRow(Product("tee", "Tee", attributes={"Size": "S"}), ["/1.jpg"], [], "f", 2)
    items, rejects = gather(
        first,
        row("tee", "/2.jpg", further={"Size": "M"}, line=3),
        row("tee", further={"Size": "M", "Colour": "red"}, line=4),
        row("lost", "/3.jpg", further={}, line=5),
        row("lost", "/4.jpg", further={}, line=6),
    )
    (item,) = items
    assert item.product.attributes == {"Size": "S, M", "Colour": "red"}
    assert item.images == ("/1.jpg", "/2.jpg")
    assert [(reject.line, reject.product_id) for reject in rejects] == [(5, "lost")]
    assert "Title" in rejects[0].reason


def test_a_product_has_at_most_a_thousand_pictures() -> None:
    items, rejects = gather(*(row("a", f"/{line}.jpg", line=line) for line in range(1, 1500)))
    assert len(items[0].images) == 1000
    assert [(reject.line, reject.image) for reject in rejects] == [(1001, "")]


def test_products_come_out_whole() -> None:
    product = Product("ü", "t", "d", "a > b", "br", 1.5, "EUR", "in stock", "https://x", {"k": "v"})
    items, _ = gather(StagedRow(product, ["/é !/1.jpg"], [], "f", 7))
    assert items == [FeedItem(product, ("/é !/1.jpg",), "f", 7, False)]


def test_many_batches_keep_the_order() -> None:
    items, rejects = gather(
        *(row(f"{(line * 7919) % 12_001}", f"/{line}") for line in range(12_001))
    )
    assert [item.images[0] for item in items] == [f"/{line}" for line in range(12_001)]
    assert rejects == []


def test_a_full_disk_is_a_clear_error() -> None:
    with Staged() as staged:
        staged._db.execute("PRAGMA max_page_count = 20")
        with pytest.raises(FeedError, match="make room"):
            for number in range(20_000):
                staged.add(row(f"p{number}", f"/{number}.jpg", title="x" * 100))


def test_a_full_disk_while_sorting(tmp_path: Path) -> None:
    with Staged() as staged:
        for number in range(4000):
            staged.add(row(f"p{number}", f"/{number}.jpg"))
        staged._write()
        (pages,) = staged._db.execute("PRAGMA page_count").fetchone()
        staged._db.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(FeedError, match="make room"):
            staged.seal(lambda reject: None)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    staged = Staged()
    for number in range(60_000):  # more than the cache holds: the file is really used
        staged.add(row(f"p{number}", f"/{number}.jpg", title="x" * 1000))
    assert list(tmp_path.iterdir()) == []  # not even while it is open: kill -9 leaves nothing
    staged.close()
    with pytest.raises(sqlite3.ProgrammingError):
        next(iter(staged))
