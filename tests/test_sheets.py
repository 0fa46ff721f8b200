"""The review queue as CSV: what is written, and how answers are read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from index.labels.review import Question
from index.labels.sheets import export_queue, read_decisions
from index.labels.standing import Decision, Label
from index.product import Product
from index.store.products import StoredProduct, View
from vision.errors import LabelError
from vision.taxonomy import Taxonomy

TREE = Taxonomy(
    ("Kitchen > Mugs", "Kitchen > Bowls", "Garden > Bowls"), {}, {"colour": ("red", "blue")}
)


def question(**changed: object) -> Question:
    product = Product("p1", title="=Mug")
    stored = StoredProduct(1, product, (View(1, "0" * 64, "/a/b.jpg"),), product, 0.0)
    fields: dict[str, object] = {
        "stored": stored, "axis": "category",
        "best": (("Kitchen > Mugs", 0.6), ("Kitchen > Bowls", 0.3)),
        "now": Label("Garden > Bowls", "feed", 1.0), "suspect": "", "outside": 0.0,
        "usefulness": 0.4,
    }  # fmt: skip
    return Question(**(fields | changed))  # type: ignore[arg-type]


def written(*questions: Question) -> list[dict[str, str]]:
    out = io.StringIO()
    assert export_queue(questions, out) == len(questions)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def answers(path: Path, text: str) -> list[Decision]:
    path.write_text(text, encoding="utf-8")
    return read_decisions(path, TREE)


def test_a_question_has_all_that_is_needed_to_decide() -> None:
    (row,) = written(question(suspect="Garden > Bowls"))
    assert row["product_id"] == "p1"
    assert row["title"] == "'=Mug"  # no formula in a spreadsheet
    assert row["image"] == "/a/b.jpg"
    assert (row["now"], row["proposal"], row["confidence"]) == (
        "Garden > Bowls", "Kitchen > Mugs", "0.60",
    )  # fmt: skip
    assert row["second"] == "Kitchen > Bowls (30%)"
    assert "looks wrong" in row["why"]
    assert row["decision"] == ""


@pytest.mark.parametrize(
    ("said", "decision"),
    [
        ("ok", Decision("p1", "category", "set", "Kitchen > Mugs")),
        ("OK", Decision("p1", "category", "set", "Kitchen > Mugs")),
        ("no", Decision("p1", "category", "reject", "Kitchen > Mugs")),
        ("none", Decision("p1", "category", "outside")),
        ("skip", Decision("p1", "category", "skip")),
        ("Kitchen > Bowls", Decision("p1", "category", "set", "Kitchen > Bowls")),
        ("mugs", Decision("p1", "category", "set", "Kitchen > Mugs")),
        ("New thing", Decision("p1", "category", "set", "New thing")),  # refused when decided
    ],
)
def test_answers_come_back(tmp_path: Path, said: str, decision: Decision) -> None:
    (row,) = written(question())
    out = io.StringIO()
    writer = csv.DictWriter(out, row)
    writer.writeheader()
    writer.writerows([row | {"decision": said}, row])  # the second decides nothing
    assert answers(tmp_path / "a.csv", out.getvalue()) == [decision]


def test_a_table_of_labels(tmp_path: Path) -> None:
    found = answers(
        tmp_path / "a.csv",
        "\ufeffproduct_id,category,colour,weight\np1,Mugs,RED,7\np2,,blue,\np3,,,\n",
    )
    assert found == [
        Decision("p1", "category", "set", "Kitchen > Mugs"),
        Decision("p1", "colour", "set", "red"),
        Decision("p2", "colour", "set", "blue"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs the columns"),
        ("a,b\n1,2\n", "needs the columns product_id"),
        ("product_id,decision\n", "decides nothing"),
        ("product_id,category\np1,Bowls\n", "line 2.*may mean.*write the whole path"),
        ("product_id,decision\np1,ok\n", "needs a proposal"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        answers(tmp_path / "a.csv", text)


def test_a_file_that_is_no_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"product_id,decision\n\xff\xfe,ok\n")
    with pytest.raises(LabelError, match="not a CSV in UTF-8"):
        read_decisions(tmp_path / "a.csv", TREE)
    with pytest.raises(LabelError, match="check the path"):
        read_decisions(tmp_path / "none.csv", TREE)
