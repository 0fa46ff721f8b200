"""The report on categorisation: what it says, what it draws, and that text stays text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tiny

from index.catalogue import Catalogue
from index.evaluation.axes import AxisEvaluation, Case, Item, LearningPoint, measure_axis
from index.evaluation.labelled import LabelEvaluation
from index.evaluation.labelmeasures import CoverageCurve, Reliability
from index.evaluation.truths import PassedOver
from vision.head import Prediction
from webapp.reports.charts import coverage_chart, learning_chart, reliability_chart, share_bar
from webapp.reports.labels import (
    axis_rows,
    confusion_table,
    headline,
    print_labels,
    short_names,
    write_label_html,
)

EVIL = '"><script>alert(1)</script>'


def axis(values: list[str], name: str = "category", count: int = 60) -> AxisEvaluation:
    """Return an axis on which one item of four is taken for the next value."""
    true = np.arange(count) % len(values)
    said = np.where(np.arange(count) % 4 == 0, (true + 1) % len(values), true)
    rng = np.random.default_rng(0)
    p = np.full((count, len(values)), 0.1 / len(values), dtype=np.float32)
    p[np.arange(count), said] += 0.9 * rng.uniform(0.4, 1, count).astype(np.float32)
    sure = p.max(axis=1)
    accepted = tuple(values[at] if s > 0.7 else "" for at, s in zip(said, sure, strict=True))
    found = measure_axis(
        name,
        Prediction(tuple(values), p, np.zeros(count, np.float32), accepted, sure),
        [values[at] for at in true],
        [Item(f"p{at % 24}", "") for at in range(count)],
        leaves=values,
        precision=0.98,
    )
    assert found is not None
    points = (LearningPoint(3, 1, 0.5, 0.0), LearningPoint(40, 0, 0.75, 0.4))
    return replace(found, learning=points)


def evaluation(catalogue: Catalogue, *axes: AxisEvaluation) -> LabelEvaluation:
    """Return an evaluation whose mistakes show the pictures of the catalogue's products."""
    with catalogue.reading() as table:
        keys = table.keys(f"p{number}" for number in range(24))
        stored = table.get(keys.values())
    shown = {name: stored[key].views[0].sha256 for name, key in keys.items()}

    def pictured(cases: tuple[Case, ...]) -> tuple[Case, ...]:
        return tuple(
            replace(case, item=replace(case.item, sha256=shown[case.item.name])) for case in cases
        )

    whole = tuple(
        replace(each, worst=pictured(each.worst), suspects=pictured(each.worst[:2]))
        for each in axes
    )
    return LabelEvaluation("products", 60, 5, 60, 0.98, 1.0, whole)


class Page(HTMLParser):
    """What an HTML file is made of: its elements with attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]


# --- the page ----------------------------------------------------------------------------------


def test_the_page_has_every_part(catalogue: Catalogue, tmp_path: Path) -> None:
    result = evaluation(catalogue, axis(list(tiny.CATEGORIES)), axis(["red", "blue"], "colour"))
    write_label_html(result, catalogue, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for part in (
        "Is it as sure as it is right?", "How much can be accepted?", "Would more labels help?",
        "What is taken for what", "Worst mistakes", "Labels that may be wrong", "macro F1",
    ):  # fmt: skip
        assert text.count(part) >= 2, part
    page = Page(text)
    assert sum(tag == "svg" and a["class"] == "chart" for tag, a in page.elements) == 6
    pictures = [attrs["src"] or "" for tag, attrs in page.elements if tag == "img"]
    assert len(pictures) == 2 * (12 + 2)
    assert all(each.startswith("data:image/jpeg;base64,") for each in pictures)
    assert all(alt for alt in page.attributes("alt"))
    assert str(catalogue.path) not in text  # where it lies is no reader's business


def test_the_page_needs_nothing_from_outside(catalogue: Catalogue, tmp_path: Path) -> None:
    write_label_html(evaluation(catalogue, axis(["a", "b"])), catalogue, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert not page.attributes("style")  # one style sheet, which a policy can name by its hash
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert all(each.startswith("#") for each in page.attributes("href"))
    assert not re.search(r"url\(|@import|https?://", text)


def test_text_stays_text(catalogue: Catalogue, tmp_path: Path) -> None:
    result = evaluation(catalogue, axis([EVIL + "1", EVIL + "2"], EVIL))
    passed_over = (PassedOver(2, EVIL),)
    path = tmp_path / "report.html"
    write_label_html(replace(result, passed_over=passed_over), catalogue, path)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 20
    assert "script" not in {tag for tag, _ in Page(text).elements}


def test_photos_are_shown_from_their_files(catalogue: Catalogue, tmp_path: Path) -> None:
    (photo,) = tiny.write_photos(tmp_path / "asked", 1, start=90)
    case = Case(Item(str(photo), "f" * 64), "a", "b", 0.9)
    result = evaluation(catalogue, axis(["a", "b"]))
    result = replace(result, by="photos", axes=(replace(result.axes[0], worst=(case,)),))
    write_label_html(result, catalogue, tmp_path / "report.html")
    assert str(photo) in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def nothing_wrong() -> AxisEvaluation:
    values = ["a", "b"]
    p = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    said = Prediction(tuple(values), p, np.zeros(2, np.float32), ("", ""), p.max(axis=1))
    found = measure_axis(
        "category", said, values, [Item("p0", ""), Item("p1", "")], leaves=values, precision=0.98
    )
    assert found is not None
    return found


def test_a_report_without_mistakes_or_lessons(
    catalogue: Catalogue, nothing_wrong: AxisEvaluation, tmp_path: Path
) -> None:
    write_label_html(evaluation(catalogue, nothing_wrong), catalogue, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Worst mistakes" not in text
    assert "Labels that may be wrong" not in text
    assert "Would more labels help?" not in text


def test_a_page_that_cannot_be_written(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="cannot be written"):
        write_label_html(evaluation(catalogue, axis(["a", "b"])), catalogue, tmp_path)


# --- the confusion matrix ----------------------------------------------------------------------


def test_a_small_matrix_is_shown_whole() -> None:
    found = confusion_table(axis(list(tiny.CATEGORIES)))
    assert [short for short, _ in found.labels] == ["Mugs", "Bowls", "Pots"]
    assert found.left_out == 0
    counts = [[cell.count for cell in row] for row in found.rows]
    assert counts == axis(list(tiny.CATEGORIES)).confusion.tolist()
    assert [[cell.kind for cell in row] for row in found.rows] == [
        ["right" if row == column else "wrong" for column in range(3)] for row in range(3)
    ]
    assert found.rows[0][1].says == (
        f"Kitchen > Mugs taken for Kitchen > Bowls: {counts[0][1]} of {sum(counts[0])}"
    )
    assert found.rows[0][2].shade == 0
    assert found.rows[0][0].shade > found.rows[0][1].shade >= 1


def test_a_large_matrix_keeps_what_is_confused_and_every_count() -> None:
    every = axis([f"value {at:02d}" for at in range(50)], count=1000)
    found = confusion_table(every, most=10)
    assert len(found.labels) == len(found.rows) == 11
    assert found.left_out == 40
    assert found.labels[-1] == ("others", "40 other values")
    assert sum(cell.count for row in found.rows for cell in row) == 1000
    assert found.rows[-1][-1].kind == "mixed"
    assert found.rows[0][0].kind == "right"


def test_names_are_short_where_they_can_be() -> None:
    assert short_names(["Men > Boots", "Women > Boots", "Women > Hats", "red"]) == {
        "Men > Boots": "Men > Boots",
        "Women > Boots": "Women > Boots",
        "Women > Hats": "Hats",
        "red": "red",
    }


# --- charts ------------------------------------------------------------------------------------

SVG = dict[str, list[dict[str, str]]]


def drawn(chart: Any) -> SVG:
    """Return the elements of an SVG by name; it must be well-formed and inside its box."""
    root = ET.fromstring(str(chart))
    width, height = (float(each) for each in root.attrib["viewBox"].split()[2:])
    found: SVG = {}
    for each in root.iter():
        found.setdefault(each.tag, []).append(dict(each.attrib))
    for each in found.get("circle", []):
        assert 0 <= float(each["cx"]) <= width
        assert 0 <= float(each["cy"]) <= height
    for each in found.get("rect", []):
        assert float(each.get("height", 0)) >= 0
        assert float(each.get("y", 0)) + float(each["height"]) <= height
    assert root.attrib.get("aria-label") or root.attrib.get("aria-hidden")
    return found


def test_a_reliability_diagram_has_its_points_where_they_belong() -> None:
    bins = Reliability(
        np.array([0.0, 0.25, 0.0, 1.0]), np.array([0.0, 0.5, 0.0, 1.0]), np.array([0, 4, 0, 12])
    )
    found = drawn(reliability_chart(bins, 0.06))
    low, high = found["circle"]
    ideal = found["polyline"][0]["points"].split()
    (left, bottom), (right, top) = (map(float, each.split(",")) for each in ideal)
    assert float(low["cx"]) == pytest.approx(left + (right - left) / 4, abs=0.1)
    assert float(low["cy"]) == pytest.approx((bottom + top) / 2, abs=0.1)
    assert (float(high["cx"]), float(high["cy"])) == pytest.approx((right, top), abs=0.1)
    assert len(found["rect"]) == 4  # a bar and a count for each bin that is not empty


def test_a_coverage_chart_marks_what_was_accepted() -> None:
    every = axis(["a", "b"])
    accepted = replace(every.accepted, coverage=0.5, precision=0.9)
    curve = CoverageCurve(np.array([0.9, 0.4]), np.array([0.5, 1.0]), np.array([1.0, 0.8]))
    found = drawn(coverage_chart(curve, accepted, 0.98))
    (dot,) = found["circle"]
    asked, line = (each["points"].split() for each in found["polyline"])
    assert len(line) == 3  # from no coverage on
    assert float(dot["cx"]) == pytest.approx(float(line[1].split(",")[0]), abs=0.1)
    assert float(dot["cy"]) > float(asked[0].split(",")[1])  # 90 % lies below 98 %
    nothing = drawn(coverage_chart(curve, replace(accepted, precision=None), 0.98))
    assert "circle" not in nothing


def test_a_learning_curve_goes_up_to_the_right() -> None:
    points = [LearningPoint(n, 0, a, a / 2) for n, a in ((39, 0.4), (78, 0.6), (400, 0.9))]
    found = drawn(learning_chart(points))
    assert len(found["circle"]) == 6
    xs = [float(each["cx"]) for each in found["circle"][:3]]
    ys = [float(each["cy"]) for each in found["circle"][:3]]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert xs[1] - xs[0] < xs[2] - xs[1] < 3 * (xs[1] - xs[0])  # a log scale
    assert len(drawn(learning_chart(points[:1]))["circle"]) == 2


def test_a_bar_is_as_long_as_its_share() -> None:
    for share, width in ((0.0, 0.0), (0.5, 30.0), (1.0, 60.0)):
        _, fill = drawn(share_bar(share))["rect"]
        assert float(fill["width"]) == width


# --- the terminal ------------------------------------------------------------------------------


def test_the_terminal_shows_every_axis(
    catalogue: Catalogue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = evaluation(catalogue, axis(list(tiny.CATEGORIES)), axis(["red", "[b]x"], "colour"))
    print_labels(replace(result, passed_over=(PassedOver(3, "no [such] photo"),)))
    shown = capsys.readouterr().out
    assert headline(result) in shown
    row = next(line for line in shown.splitlines() if line.startswith("category "))
    assert row.split()[:3] == ["category", "60", "75.0"]
    assert "Kitchen > Bowls" in shown
    assert "hierarchical precision / recall / F: " in shown
    assert "passed over line 3: no [such] photo" in shown
    assert "colour: 2 labels may be wrong; --html shows them" in shown


def test_every_measure_has_a_row() -> None:
    every = axis(list(tiny.CATEGORIES))
    rows = dict(axis_rows(every, 0.98))
    assert rows["accuracy"] == "75.0"
    assert rows["accepted (coverage)"] == f"{100 * every.accepted.coverage:.1f}"
    assert "coverage possible at 98 % right" in rows
    assert rows["hierarchical precision / recall / F"].count("/") == 2
    assert dict(axis_rows(axis(["a", "b"], "colour"), 0.98))["accepted down to a leaf"] == "–"
    partial = dict(axis_rows(replace(every, partial=3), 0.98))
    assert partial["items"] == "60 (and 3 partly labelled)"
