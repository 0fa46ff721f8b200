"""The one door: opening, and that what one door changes every other door shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from index.catalogue import Catalogue
from index.changes.adding import AddOptions
from index.query import Query
from index.store.place import database_address, is_catalogue, require_catalogue
from vision.errors import CatalogueError, FeedError, QueryError

Feed = Callable[..., Path]


def ids(catalogue: Catalogue, **asked: object) -> set[str]:
    answer = catalogue.search(Query(text="red", k=100, **asked))  # type: ignore[arg-type]
    return {hit.product.product_id for hit in answer.hits}


# --- where a catalogue is -----------------------------------------------------------------------


def test_a_folder_without_a_catalogue(tmp_path: Path) -> None:
    assert not is_catalogue(tmp_path)
    with pytest.raises(CatalogueError, match="findalike add PHOTOS"):
        require_catalogue(tmp_path)
    with pytest.raises(CatalogueError, match="findalike add PHOTOS"):
        Catalogue.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogueError, match="no catalogue in"):
        Catalogue.open(tmp_path / "file")
    with pytest.raises(CatalogueError, match="a catalogue is a folder"):
        Catalogue.open(tmp_path / "file", create=True)


def test_a_server_takes_the_place_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FINDALIKE_DATABASE", raising=False)
    assert str(database_address(tmp_path)) == f"sqlite:///{tmp_path}/catalogue.sqlite"
    assert str(database_address(tmp_path, "postgresql://a/b")) == "postgresql://a/b"
    monkeypatch.setenv("FINDALIKE_DATABASE", "postgresql://c/d")
    assert is_catalogue(tmp_path)
    assert str(database_address(tmp_path)) == "postgresql://c/d"
    assert str(database_address(tmp_path, "postgresql://a/b")) == "postgresql://a/b"


def test_a_database_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="is not a database findalike can open"):
        Catalogue.open(tmp_path / "new", create=True, database="nonsense")


# --- opening ------------------------------------------------------------------------------------


def test_a_new_catalogue_is_there_at_once(tiny_encoder: object, tmp_path: Path) -> None:
    with Catalogue.open(tmp_path / "deep" / "new", create=True) as made:
        assert made.info()["products"] == 0
    with Catalogue.open(tmp_path / "deep" / "new") as again:
        assert again.encoder_spec == made.encoder_spec
        assert again.fingerprint == made.fingerprint
        assert again.identity == made.identity


def test_an_encoder_that_changed_is_refused(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tiny.SEED, "1")
    with (
        Catalogue.open(catalogue.path) as other,
        pytest.raises(CatalogueError, match="is not the one this catalogue was made with"),
    ):
        other.search(Query(text="red"))


def test_another_encoder_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError, match="Leave out --encoder"):
        Catalogue.open(catalogue.path, encoder="torchvision:resnet50")


# --- one door and another -----------------------------------------------------------------------


def test_changes_show_through_every_door(catalogue: Catalogue, feed: Feed) -> None:
    with Catalogue.open(catalogue.path) as reader:
        assert len(ids(reader)) == 24
        catalogue.add([feed(3, start=40)])
        assert {"p40", "p41", "p42"} <= ids(reader)
        catalogue.remove(["p40", "p1"])
        assert not {"p40", "p1"} & ids(reader)
        assert len(ids(reader)) == 25
        catalogue.add([feed(1, start=2, brand="New")])
        assert ids(reader, where=("brand=new",)) == {"p2"}


def test_a_catalogue_answers_the_same_after_it_was_closed(catalogue: Catalogue) -> None:
    query = Query(photo=tiny_photo(catalogue), k=24)
    before = catalogue.search(query)
    with Catalogue.open(catalogue.path) as again:
        after = again.search(query)
        again.rebuild()
        rebuilt = again.search(query)
    assert before.hits == after.hits
    assert [hit.product for hit in before.hits] == [hit.product for hit in rebuilt.hits]


def tiny_photo(catalogue: Catalogue) -> Path:
    with catalogue.reading() as table:
        return Path(next(iter(table.get(table.keys(["p5"]).values()).values())).views[0].location)


def test_space_is_learnt_again_when_the_catalogue_has_grown(
    catalogue: Catalogue, feed: Feed
) -> None:
    learnt = catalogue.info()["calibrated_on_pictures"]
    catalogue.add([feed(2, start=50)])
    assert catalogue.info()["calibrated_on_pictures"] == learnt
    catalogue.add([feed(30, start=60)])
    assert catalogue.info()["calibrated_on_pictures"] > learnt


def test_unknown_products_are_named_and_nothing_is_removed(catalogue: Catalogue) -> None:
    with pytest.raises(QueryError, match="'p98', 'p99'"):
        catalogue.remove(["p1", "p98", "p99"])
    assert len(ids(catalogue)) == 24


def test_a_source_that_is_not_there(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="gone"):
        catalogue.add([tmp_path / "gone"])


def test_info_counts(catalogue: Catalogue) -> None:
    facts = catalogue.info()
    assert (facts["products"], facts["pictures"], facts["images"]) == (24, 30, 30)
    assert facts["fingerprint"] == catalogue.fingerprint
    assert facts["index_bytes"] > 0


@pytest.mark.usefixtures("tiny_encoder")
def test_a_plain_add_of_a_folder_keeps_its_categories(
    photos: Callable[..., list[Path]], tmp_path: Path
) -> None:
    photos(3, folder="shop/mugs")
    with Catalogue.open(tmp_path / "other", create=True) as opened:
        opened.add([tmp_path / "shop"], options=AddOptions(folder_categories=True))
        again = opened.add([tmp_path / "shop"])
        assert (again.unchanged, again.updated) == (3, 0)
        found = opened.search(Query(like="mugs/00000.png", where=("category=mugs",)))
        assert len(found.hits) == 2
