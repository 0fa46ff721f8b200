"""What the terminal shows, at every width, and that JSON is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from index.catalogue import Catalogue
from index.changes.adding import AddReport
from index.changes.checking import Problem
from index.query import Query
from vision.models import MODELS
from webapp.terminal.command import count, print_json
from webapp.terminal.show import (
    print_answer,
    print_encoders,
    print_info,
    print_problems,
    print_report,
    progress_bar,
)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(params=["40", "80", "200"])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", request.param)
    return int(request.param)


def photo(catalogue: Catalogue, product_id: str) -> Path:
    with catalogue.reading() as table:
        key = table.keys([product_id])[product_id]
        return Path(table.get([key])[key].views[0].location)


def test_an_answer_fits_the_terminal(catalogue: Catalogue, width: int, capsys: Capture) -> None:
    answer = catalogue.search(Query(photo=photo(catalogue, "p7"), k=3))
    print_answer(answer, catalogue)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert shown.startswith("This is it.")
    assert "100%" in shown
    if width >= 80:
        for text in ("p7", "Product 7", "Kitchen > Bowls", "7.99 EUR"):
            assert text in shown


def test_empty_columns_are_left_out(catalogue: Catalogue, tmp_path: Path, capsys: Capture) -> None:
    tiny.write_photos(tmp_path / "bare", 2, start=50)
    catalogue.add([tmp_path / "bare"])
    answer = catalogue.search(Query(like="p1", where=("id=00050.png|00051.png",)))
    print_answer(answer, catalogue)
    head = capsys.readouterr().out.splitlines()[1]
    assert head.split() == ["#", "score", "product", "title"]


def test_markup_in_titles_is_text(catalogue: Catalogue, tmp_path: Path, capsys: Capture) -> None:
    tiny.write_photos(tmp_path / "odd", 1, start=60)
    (tmp_path / "odd.csv").write_text(
        "product_id,image_path,title\n[red]x[/],odd/00060.png,[bold]t[/]\n"
    )
    catalogue.add([tmp_path / "odd.csv"])
    print_answer(catalogue.search(Query(photo=tmp_path / "odd" / "00060.png", k=1)), catalogue)
    shown = capsys.readouterr().out
    assert "[red]x[/]" in shown
    assert "[bold]t[/]" in shown


def test_small_pictures(catalogue: Catalogue, capsys: Capture) -> None:
    answer = catalogue.search(Query(photo=photo(catalogue, "p7"), k=1))
    print_answer(answer, catalogue, pictures=True)
    assert capsys.readouterr().out.count("▀") == 16 * 8  # a square, two pixels to a letter


def test_no_hits(catalogue: Catalogue, tmp_path: Path, capsys: Capture) -> None:
    print_answer(catalogue.search(Query(like="p1", where=("price>999",))), catalogue)
    assert capsys.readouterr().out == "No product fits the conditions.\n"
    with Catalogue.open(tmp_path / "empty", create=True) as empty:
        print_answer(empty.search(Query(text="mug")), empty)
    assert "findalike add PHOTOS" in capsys.readouterr().out


def test_info_fits_the_terminal(catalogue: Catalogue, width: int, capsys: Capture) -> None:
    print_info(catalogue, as_json=False)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert "24, with 30" in " ".join(shown.split())


def test_encoders_are_shown_whole(width: int, capsys: Capture) -> None:
    print_encoders()
    lines = capsys.readouterr().out.splitlines()
    for model in MODELS:
        assert model.spec in lines  # to be copied, however narrow the terminal is


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_report(dry_run: bool, capsys: Capture) -> None:
    report = AddReport(added=1, unchanged=3, embedded=2, passed_over=4)
    print_report(report, Path("feed[1].rejects.csv"), False, dry_run)
    shown = capsys.readouterr().out
    assert "4; see feed[1].rejects.csv" in shown
    assert ("Nothing was changed" in shown) == dry_run
    assert dry_run or "Products: 1 added, 3 unchanged. Pictures embedded: 2." in shown


def test_problems(capsys: Capture) -> None:
    print_problems([], [], False, repaired=False)
    assert capsys.readouterr().out == "Everything is in order.\n"
    light, heavy = Problem("missing file", "/a[1].jpg", serious=False), Problem("index", "row 3")
    print_problems([light], [], False, repaired=False)
    assert capsys.readouterr().out == "missing file: /a[1].jpg\nNothing of this touches answers.\n"
    print_problems([heavy] * 60, ["image x"], False, repaired=False)
    shown = capsys.readouterr().out
    assert shown.count("index: row 3") == 50
    assert "and 10 more" in shown
    assert "lost: image x" in shown
    assert "findalike check --repair" in shown


def test_progress_stays_out_of_the_output(capsys: Capture) -> None:
    with progress_bar() as progress:
        progress("add", 0, 10)
        progress("add", 10, 10)
        progress("read", 5, 0)
    assert capsys.readouterr().out == ""


def test_json_is_strict_and_ascii(capsys: Capture) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": ("é", "\udcff")}})
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert json.loads(shown) == {"a": None, "b": [None, 1.5], "c": {"d": ["é", "\udcff"]}}


def test_counts_are_english() -> None:
    assert [count(number, "product") for number in (0, 1, 2)] == [
        "0 products", "1 product", "2 products",
    ]  # fmt: skip
