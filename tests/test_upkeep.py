"""Removing, checking, mending, backing up, exporting."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.upkeep import back_up, export_products, repair
from index.query import Query
from index.search.live import SNAPSHOT
from index.store.place import DATABASE
from vision.errors import CatalogueError, QueryError

RunCli = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a catalogue whose picture files are this test's own."""
    monkeypatch.setattr("index.search.calibration.VERDICT_PHOTOS", tiny.FEW_PHOTOS)
    with Catalogue.open(tmp_path / "own", create=True) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 12, views=2)])
    return tmp_path / "own"


def edit(folder: Path, sql: str) -> None:
    """Change the database behind findalike's back."""
    with sqlite3.connect(folder / DATABASE) as database:
        database.executescript(sql)
    database.close()


def problems(folder: Path) -> list[tuple[str, str, bool]]:
    with Catalogue.open(folder) as catalogue:
        return [(each.kind, each.what, each.serious) for each in check_catalogue(catalogue)]


def mend(folder: Path) -> list[str]:
    with Catalogue.open(folder) as catalogue, catalogue.writing():
        return repair(catalogue, list(check_catalogue(catalogue)))


# --- check and repair ----------------------------------------------------------------------------

IMAGE = "(SELECT sha256 FROM views WHERE id = 5)"  # the first picture of p2


@pytest.mark.parametrize(
    ("sql", "kinds", "words"),
    [
        (f"UPDATE images SET preview = x'00' WHERE sha256 = {IMAGE}", {"preview"}, "is damaged"),
        (f"UPDATE images SET width = 1 WHERE sha256 = {IMAGE}", {"preview"}, "is damaged"),
        (f"DELETE FROM images WHERE sha256 = {IMAGE}", {"preview", "rows"}, "is missing"),
        (
            f"UPDATE embeddings SET vector = x'00' WHERE sha256 = {IMAGE}",
            {"embedding", "index"}, "is damaged",
        ),
        (f"DELETE FROM embeddings WHERE sha256 = {IMAGE}", {"embedding", "rows"}, "is missing"),
        ("UPDATE attributes SET value = 'pink' WHERE product_key = 3", {"filters"}, '"p2" is not'),
        (
            "DELETE FROM attributes WHERE product_key = 3",
            {"rows", "filters"}, "11 rows of attributes instead of 12",
        ),
        ("UPDATE calibrations SET content = x'00'", {"calibration"}, "learnt"),
        ("DELETE FROM calibrations", {"calibration"}, "learnt"),
        ("DELETE FROM settings WHERE name = 'seal'", {"rows", "calibration"}, "instead of 0"),
    ],
)  # fmt: skip
def test_what_is_mended_without_loss(own: Path, sql: str, kinds: set[str], words: str) -> None:
    with Catalogue.open(own) as catalogue:
        before = catalogue.search(Query(like="p2", k=12)).hits
    edit(own, sql)
    found = problems(own)
    assert {kind for kind, _, _ in found} == kinds
    assert any(words in what for _, what, _ in found)
    assert all(serious for _, _, serious in found)
    assert mend(own) == []
    assert problems(own) == []
    with Catalogue.open(own) as catalogue:
        after = catalogue.search(Query(like="p2", k=12)).hits
    assert [hit.product for hit in after] == [hit.product for hit in before]


@pytest.mark.parametrize(
    ("sql", "kinds", "gone"),
    [
        ("UPDATE products SET title = 'Another' WHERE key = 3", {"product"}, True),
        ("UPDATE views SET location = '/else' WHERE id = 5", {"product", "index"}, True),
        ("DELETE FROM products WHERE key = 3", {"rows"}, False),
        ("UPDATE products SET key = 77 WHERE key = 3", {"rows", "product"}, True),
        ("DELETE FROM views WHERE product_key = 3", {"rows", "product"}, True),
    ],
)
def test_a_product_that_cannot_be_mended_has_to_go(
    own: Path, sql: str, kinds: set[str], gone: bool
) -> None:
    edit(own, sql)
    assert {kind for kind, _, serious in problems(own) if serious} == kinds
    lost = mend(own)
    assert lost == (["product 'p2': damaged or without pictures"] if gone else [])
    assert problems(own) == []
    with Catalogue.open(own) as catalogue:
        assert catalogue.info()["products"] == 11
        report = catalogue.add([own.parent / "feed.csv"])  # as check says
        assert (report.added, report.unchanged) == (1, 11)
    assert problems(own) == []


def test_an_image_whose_file_is_gone_has_to_go(own: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "00002.png").unlink()
    edit(own, f"UPDATE embeddings SET vector = x'00' WHERE sha256 = {IMAGE}")
    (own / SNAPSHOT).unlink()
    assert [line.partition(":")[2] for line in mend(own)] == [" its file is gone or changed"]
    with Catalogue.open(own) as catalogue:
        assert catalogue.info()["pictures"] == 23
        assert catalogue.info()["products"] == 12
    assert problems(own) == []


def test_a_damaged_index_is_built_anew(own: Path) -> None:
    (own / SNAPSHOT).write_bytes(b"")
    assert problems(own) == []  # by opening it
    with Catalogue.open(own) as catalogue:
        with catalogue.reading() as table:
            store = catalogue.index(table).store
        store.vectors()[3] += 0.1
        found = [(each.kind, each.what) for each in check_catalogue(catalogue)]
        assert found == [("index", "picture row 4 is not as it was embedded")]
        with catalogue.writing():
            assert repair(catalogue, []) == []
        assert list(check_catalogue(catalogue)) == []


def test_files_that_changed_are_no_harm(own: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "00002.png").unlink()
    tiny.draw(500).save(tmp_path / "pictures" / "00003.png")
    assert {(kind, Path(what).name, serious) for kind, what, serious in problems(own)} == {
        ("missing file", "00002.png", False), ("changed file", "00003.png", False),
    }  # fmt: skip
    with Catalogue.open(own) as catalogue:
        assert list(check_catalogue(catalogue, files=False)) == []


def test_pictures_no_product_shows(own: Path, tmp_path: Path) -> None:
    with Catalogue.open(own) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 12, views=1)])
    found = problems(own)
    assert len(found) == 12
    assert {(kind, serious) for kind, _, serious in found} == {("unused", False)}
    assert mend(own) == []
    assert problems(own) == []


def test_check_speaks_to_people(own: Path, run_cli: RunCli, tmp_path: Path) -> None:
    good = run_cli("-c", own, "check")
    assert (good.returncode, good.stdout.strip()) == (0, "Everything is in order.")
    (tmp_path / "pictures" / "00003.png").unlink()
    harmless = run_cli("-c", own, "check")
    assert harmless.returncode == 0
    assert "Nothing of this touches answers." in harmless.stdout
    edit(own, "UPDATE products SET title = 'Another' WHERE key = 3")
    bad = run_cli("-c", own, "check")
    assert bad.returncode == 1
    assert "product" in bad.stdout
    assert "check --repair" in bad.stdout
    as_json = json.loads(run_cli("-c", own, "check", "--json").stdout)
    assert {each["kind"] for each in as_json["problems"]} == {"product", "missing file"}
    mended = run_cli("-c", own, "check", "--repair")
    assert mended.returncode == 1  # something is lost, and it says what
    assert "'p2'" in mended.stdout
    assert run_cli("-c", own, "check").returncode == 0


def test_a_search_in_a_damaged_catalogue_says_what_to_do(own: Path, run_cli: RunCli) -> None:
    edit(own, "DELETE FROM views WHERE id = 5")
    done = run_cli("-c", own, "search", "--like", "p3")
    assert done.returncode == 1
    words = " ".join(done.stderr.split())
    assert "23 rows of views instead of 24. Run findalike check --repair." in words


# --- remove --------------------------------------------------------------------------------------


def test_remove(own: Path) -> None:
    with Catalogue.open(own) as catalogue:
        assert catalogue.remove(["p1", "p2", "p1"]) == 2
        assert {
            hit.product.product_id for hit in catalogue.search(Query(text="red", k=30)).hits
        } == {f"p{number}" for number in (0, *range(3, 12))}
        facts = catalogue.info()
        assert (facts["products"], facts["pictures"], facts["images"]) == (10, 20, 20)
    assert problems(own) == []


def test_remove_nothing_where_one_is_unknown(own: Path) -> None:
    with Catalogue.open(own) as catalogue:
        unknown = [f"x{number}" for number in range(9)]
        with pytest.raises(QueryError, match=r"'x0'.*\(nor 4 more\).*Nothing was removed"):
            catalogue.remove(["p1", *unknown])
        assert catalogue.info()["products"] == 12


def test_remove_everything(own: Path, tmp_path: Path) -> None:
    with Catalogue.open(own) as catalogue:
        catalogue.remove([f"p{number}" for number in range(12)])
        assert catalogue.search(Query(text="red")).hits == ()
        assert list(check_catalogue(catalogue)) == []
        assert catalogue.add([tmp_path / "feed.csv"]).added == 12
        assert list(check_catalogue(catalogue)) == []


# --- backup --------------------------------------------------------------------------------------


def test_a_backup_is_a_catalogue(own: Path, tmp_path: Path) -> None:
    with Catalogue.open(own) as catalogue:
        back_up(catalogue, tmp_path / "deep" / "backup")
        before = catalogue.search(Query(like="p3")).hits
    assert [path.name for path in (tmp_path / "deep" / "backup").iterdir()] == [DATABASE]
    assert problems(tmp_path / "deep" / "backup") == []
    shutil.rmtree(own)
    shutil.copytree(tmp_path / "deep" / "backup", own)
    with Catalogue.open(own) as catalogue:
        after = catalogue.search(Query(like="p3")).hits
    assert [(hit.product, round(hit.score, 5)) for hit in after] == [
        (hit.product, round(hit.score, 5)) for hit in before
    ]


def test_where_a_backup_cannot_go(own: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter").write_text("")
    (tmp_path / "file").write_text("")
    with Catalogue.open(own) as catalogue:
        for name, words in (("taken", "not empty"), ("file", "not empty"), ("file/x", "failed")):
            with pytest.raises(CatalogueError, match=words):
                back_up(catalogue, tmp_path / name)
    assert (tmp_path / "taken" / "letter").exists()


# --- export --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_export_reads_back_equal(own: Path, tmp_path: Path, kind: str) -> None:
    with Catalogue.open(own) as catalogue:
        tricky = {"title": '=1+1 "é"', "brand": "@x", "weight": "+3"}
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 3, views=2, **tricky)])
        with (tmp_path / f"out.{kind}").open("w", newline="") as file:
            assert export_products(catalogue, file, kind) == 12
        with Catalogue.open(tmp_path / "copy", create=True) as copy:
            from index.changes.adding import AddOptions

            report = copy.add([tmp_path / f"out.{kind}"], options=AddOptions(images_root=Path("/")))
            assert (report.added, report.passed_over) == (12, 0)
            for each in (catalogue, copy):
                with each.reading() as table:
                    keys = table.keys(["p0", "p7"])
                    stored = table.get(keys.values())
                    products = [stored[keys[name]].product for name in ("p0", "p7")]
                    assert products[0].title == '=1+1 "é"'
                    assert products[0].attributes == {"colour": "red", "weight": "+3"}
                    assert products[1].price == 7.99


def test_formulas_are_quoted_in_csv(own: Path, tmp_path: Path) -> None:
    with Catalogue.open(own) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 1, views=2, title="=cmd()")])
        out = io.StringIO()
        export_products(catalogue, out)
    first = next(csv.DictReader(io.StringIO(out.getvalue())))
    assert not first["title"].startswith("=")
