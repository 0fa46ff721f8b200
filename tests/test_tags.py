"""The commands that categorise, in the terminal."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from click.testing import CliRunner, Result

from index.catalogue import Catalogue
from vision.images import read_image
from webapp.cli import main


@pytest.fixture(autouse=True)
def here(taught: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*args: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == status, result.output
    return result


def printed(*args: str) -> Any:
    return json.loads(run(*args, "--json").stdout)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    tiny.draw(7000, "red").save(path)
    return path


def test_train_says_what_it_learnt() -> None:
    said = run("train", "--precision", "0.9").output
    assert "Head 2 learnt from 120 products" in said
    assert "category" in said and "tint" in said
    facts = printed("train")
    assert facts["version"] == "3"
    assert facts["axes"]["category"]["examples"] == tiny.LABELLED
    assert 0.7 < facts["axes"]["category"]["accuracy"] <= 1.0


def test_heads_are_listed_changed_and_removed() -> None:
    run("train")
    assert "in use" in run("heads").output
    assert printed("heads")["current"] == "2"
    run("heads", "use", "1")
    assert printed("heads")["current"] == "1"
    assert "is in use" in run("heads", "remove", "1", status=1).output
    run("heads", "remove", "2")
    assert list(printed("heads")["heads"]) == ["1"]
    assert 'no head "7"' in run("heads", "use", "7", status=1).output


def test_tag_and_review(taught: Catalogue, tmp_path: Path) -> None:
    facts = printed("tag")
    assert facts["predicted"] == tiny.OPEN
    open_ones = printed("review", "--limit", "500")
    assert open_ones["open"] == len(open_ones["questions"]) >= facts["queued"]
    run("review", "set", "p0", "blue")
    assert "Took 1 decision" in run("review", "set", "p1", "blue", "--who", "ada").output
    assert "p1" not in {q["product_id"] for q in printed("review")["questions"]}
    assert "Took back 1 decision" in run("review", "undo", "--who", "ada").output
    assert "Took back 1 decision" in run("review", "undo").output
    assert "nothing to undo" in run("review", "undo", status=1).output


def test_review_by_spreadsheet(tmp_path: Path) -> None:
    run("tag")
    run("review", "export", "q.csv", "--limit", "3")
    with (tmp_path / "q.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if rows:
        rows[0]["decision"] = "ok"
    rows.append({"product_id": "p3", "axis": "tint", "decision": "cold"})
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["product_id", "axis", "proposal", "decision"],
                                extrasaction="ignore")  # fmt: skip
        writer.writeheader()
        writer.writerows(rows)
    assert "Took" in run("review", "import", "a.csv").output
    (tmp_path / "b.csv").write_text("product_id,category\np1,Sky > Blue\n")
    said = run("review", "import", "b.csv", status=1).output
    assert "Sky > Blue" in said and "Nothing was changed" in said
    assert "Took 1" in run("review", "import", "b.csv", "--new-values").output


def test_categorise(photo: Path, tmp_path: Path) -> None:
    said = run("categorise", str(photo), "--explain", "heat.jpg").output
    assert "Paint > Red" in said and "cosine" in said
    assert read_image(tmp_path / "heat.jpg").width == read_image(photo).width
    (found,) = printed("categorise", str(photo))
    assert found["tags"]["category"]["best"][0]["value"] == "Paint > Red"
    (tmp_path / "bad.jpg").write_text("no picture")
    assert "bad.jpg" in run("categorise", str(photo), "bad.jpg", status=1).output
    said = run("categorise", str(photo), "--explain", "no/where.jpg", status=1).output
    assert "--explain" in said


def test_evaluate_labels(tmp_path: Path, photo: Path) -> None:
    said = run("evaluate", "--labels", "--folds", "3", "--html", "labels.html").output
    assert "category" in said
    assert "<svg" in (tmp_path / "labels.html").read_text()
    (tmp_path / "q.csv").write_text(f"query_image,category\n{photo},Red\n")
    facts = printed("evaluate", "q.csv", "--labels", "--folds", "0")
    assert facts["by"] == "photos"
    assert "labelled photos" in run("evaluate", status=1).output


def test_without_a_head(tmp_path: Path, photo: Path) -> None:
    with Catalogue.open("other", create=True) as made:
        made.add([photo])
    for command in (["tag"], ["categorise", str(photo)]):
        assert "findalike train" in run(*command, "-c", "other", status=1).output
    run("train", "-c", "other", status=1)
