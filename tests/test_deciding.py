"""People's decisions: what holds then, and that nothing takes it away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
import tiny

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.labels.deciding import decide, undo
from index.labels.standing import Decision, Label, product_labels
from index.product import Product
from index.query import Query
from index.store.tables import labels, predictions
from vision.errors import CatalogueError, LabelError

MUGS, BOWLS, POTS = tiny.CATEGORIES


def product(catalogue: Catalogue, product_id: str) -> Product:
    with catalogue.reading() as table:
        return table.get([table.keys([product_id])[product_id]]).popitem()[1].product


def label(catalogue: Catalogue, product_id: str, axis: str = "category") -> Label | None:
    with catalogue.reading() as table:
        stored = table.get(table.keys([product_id]).values())
        return product_labels(table, stored).popitem()[1].get(axis)


def say(catalogue: Catalogue, product_id: str, value: str, axis: str = "category") -> None:
    decide(catalogue, [Decision(product_id, axis, "set", value)], who="ada", new_values=True)


def predict(catalogue: Catalogue, product_id: str, axis: str, value: str) -> None:
    """Write an accepted prediction as a head would."""
    from index.labels.deciding import write_again

    with catalogue.writing(), catalogue.changing() as table:
        key = table.keys([product_id])[product_id]
        table.put_predictions(
            [
                {
                    "product_key": key, "axis": axis, "head": "1", "best": f'[["{value}", 0.99]]',
                    "accepted": value, "confidence": 0.99, "outside": 0.0, "usefulness": 0.0,
                    "suspect": "", "time": 5.0,
                }
            ]
        )  # fmt: skip
        write_again(table, [key], table.next_generation())


def test_a_decision_holds_and_says_whose_it_is(catalogue: Catalogue) -> None:
    before = label(catalogue, "p0")
    assert before is not None and (before.value, before.source) == (MUGS, "feed")
    say(catalogue, "p0", POTS)
    assert product(catalogue, "p0").category == POTS
    after = label(catalogue, "p0")
    assert after is not None
    assert (after.value, after.source, after.who) == (POTS, "person", "ada")
    assert after.time > before.time > 0


def test_filters_and_export_go_by_it(catalogue: Catalogue, tmp_path: Path) -> None:
    say(catalogue, "p0", POTS)
    answer = catalogue.search(Query(like="p1", where=(f"category={POTS}",), k=24))
    assert "p0" in {hit.product.product_id for hit in answer.hits}
    assert not list(check_catalogue(catalogue))


def test_an_attribute_can_be_decided(catalogue: Catalogue) -> None:
    say(catalogue, "p0", "teal", "colour")
    assert product(catalogue, "p0").attributes["colour"] == "teal"
    answer = catalogue.search(Query(like="p1", where=("colour=teal",), k=24))
    assert "p0" in {hit.product.product_id for hit in answer.hits}


def test_nothing_fits(catalogue: Catalogue) -> None:
    decide(catalogue, [Decision("p0", "category", "outside")], who="ada")
    assert product(catalogue, "p0").category == ""
    decide(catalogue, [Decision("p0", "colour", "outside")], who="ada")
    assert "colour" not in product(catalogue, "p0").attributes


def test_the_last_word_counts(catalogue: Catalogue) -> None:
    for value in (POTS, MUGS, BOWLS):
        say(catalogue, "p0", value)
    assert product(catalogue, "p0").category == BOWLS


def test_a_refused_value_does_not_hold(catalogue: Catalogue) -> None:
    decide(catalogue, [Decision("p0", "category", "reject", MUGS)], who="ada")
    assert product(catalogue, "p0").category == ""
    say(catalogue, "p0", MUGS)
    assert product(catalogue, "p0").category == MUGS


def test_adding_the_feed_again_changes_nothing(
    catalogue: Catalogue, feed: Callable[..., Path], filled: Path
) -> None:
    say(catalogue, "p0", POTS)
    say(catalogue, "p1", "teal", "colour")
    report = catalogue.add([filled.parent / "a.csv"])
    assert (report.unchanged, report.updated) == (12, 0)
    assert product(catalogue, "p0").category == POTS


def test_a_changed_feed_does_not_overrule_people(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    say(catalogue, "p0", POTS)
    report = catalogue.add([feed(12, category=BOWLS, title="New")])
    assert report.updated == 12
    assert (product(catalogue, "p0").category, product(catalogue, "p0").title) == (POTS, "New")
    assert product(catalogue, "p1").category == BOWLS
    undo(catalogue)
    assert product(catalogue, "p0").category == BOWLS  # what the feed says by now


def test_a_removed_product_comes_back_with_its_decisions(
    catalogue: Catalogue, filled: Path
) -> None:
    say(catalogue, "p0", POTS)
    catalogue.remove(["p0"])
    assert catalogue.add([filled.parent / "a.csv"]).added == 1
    assert product(catalogue, "p0").category == POTS


def test_a_decision_is_kept_by_the_picture_where_the_id_is_gone(
    catalogue: Catalogue, tmp_path: Path, filled: Path
) -> None:
    say(catalogue, "p0", POTS)
    text = (filled.parent / "a.csv").read_text()
    (filled.parent / "other.csv").write_text(text.replace("\np0,", "\nnew-p0,"))
    catalogue.add([filled.parent / "other.csv"])
    assert product(catalogue, "new-p0").category == MUGS  # p0 is still there: two listings
    catalogue.remove(["p0", "new-p0"])
    catalogue.add([filled.parent / "other.csv"])
    assert product(catalogue, "new-p0").category == POTS


def test_a_decision_follows_a_renamed_file(
    tiny_encoder: object, tmp_path: Path, photos: Callable[..., list[Path]]
) -> None:
    first, *_ = photos(3)
    with Catalogue.open(tmp_path / "c", create=True) as catalogue:
        catalogue.add([first.parent])
        decide(
            catalogue, [Decision(first.name, "category", "set", "A > B")], who="ada",
            new_values=True,
        )  # fmt: skip
        first.rename(first.with_name("renamed.png"))
        assert catalogue.add([first.parent]).renamed == 1
        assert product(catalogue, "renamed.png").category == "A > B"
        undo(catalogue)
        assert product(catalogue, "renamed.png").category == ""


def test_one_step_back(catalogue: Catalogue) -> None:
    decide(
        catalogue,
        [Decision("p0", "category", "set", POTS), Decision("p1", "category", "set", POTS)],
        who="ada",
    )
    decide(catalogue, [Decision("p0", "category", "set", BOWLS)], who="bob")
    assert [each.value for each in undo(catalogue)] == [BOWLS]
    assert product(catalogue, "p0").category == POTS
    assert len(undo(catalogue)) == 2
    assert product(catalogue, "p0").category == MUGS
    assert undo(catalogue) == []


def test_undo_of_one_person_leaves_the_others(catalogue: Catalogue) -> None:
    decide(catalogue, [Decision("p0", "category", "set", POTS)], who="ada")
    decide(catalogue, [Decision("p1", "category", "set", POTS)], who="bob")
    assert [each.product_id for each in undo(catalogue, who="ada")] == ["p0"]
    assert product(catalogue, "p1").category == POTS


def test_a_prediction_fills_in_only_where_nobody_says_anything(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    predict(catalogue, "p0", "category", POTS)
    assert product(catalogue, "p0").category == MUGS  # the feed goes before the head
    catalogue.add([feed(12, category="")])
    assert product(catalogue, "p0").category == POTS
    found = label(catalogue, "p0")
    assert found is not None
    assert (found.source, found.head, found.confidence, found.time) == ("head", "1", 0.99, 5.0)
    say(catalogue, "p0", BOWLS)
    assert product(catalogue, "p0").category == BOWLS
    decide(catalogue, [Decision("p0", "category", "reject", POTS)], who="ada")
    assert product(catalogue, "p0").category == BOWLS


def test_a_refused_prediction_does_not_come_back(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    catalogue.add([feed(12, category="")])
    decide(catalogue, [Decision("p0", "category", "reject", POTS)], who="ada", new_values=True)
    predict(catalogue, "p0", "category", POTS)
    assert product(catalogue, "p0").category == ""


def test_other_pictures_need_another_prediction(
    catalogue: Catalogue, feed: Callable[..., Path]
) -> None:
    predict(catalogue, "p0", "category", POTS)
    predict(catalogue, "p1", "category", POTS)
    catalogue.add([feed(1, views=2)])
    with catalogue.reading() as table:
        keys = table.connection.execute(sa.select(predictions.c.product_key)).scalars().all()
        assert keys == [table.keys(["p1"])["p1"]]


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (Decision("p99", "category", "set", MUGS), 'no product "p99"'),
        (Decision("p0", "category", "set", "Kitchen > Mgs"), f'Did you mean "{MUGS}"'),
        (Decision("p0", "category", "set", ""), "value is missing"),
        (Decision("p0", "size", "set", "L"), "no such axis"),
        (Decision("p0", "category", "burn", MUGS), "is not one of"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_decided(catalogue: Catalogue, decision: Decision, said: str) -> None:
    good = Decision("p1", "category", "set", POTS)
    with pytest.raises(LabelError, match=said) as caught:
        decide(catalogue, [good, decision], who="ada")
    assert "Nothing was changed" in str(caught.value)
    assert product(catalogue, "p1").category != POTS


def test_a_lost_or_changed_decision_is_noticed(catalogue: Catalogue) -> None:
    say(catalogue, "p0", POTS)
    say(catalogue, "p1", POTS)
    with catalogue.engine.begin() as connection:
        connection.execute(sa.update(labels).where(labels.c.id == 1).values(value=BOWLS))
    with pytest.raises(CatalogueError, match="decision 1"):
        say(catalogue, "p0", MUGS)
    with catalogue.engine.begin() as connection:
        connection.execute(sa.delete(labels).where(labels.c.id == 1))
    with Catalogue.open(catalogue.path) as again, pytest.raises(CatalogueError, match="of labels"):
        again.search(Query(like="p1"))


def test_a_decision_outlasts_repair_and_backup(catalogue: Catalogue, tmp_path: Path) -> None:
    from index.changes.upkeep import back_up, repair

    say(catalogue, "p0", POTS)
    with catalogue.writing():
        repair(catalogue, [])
    assert product(catalogue, "p0").category == POTS
    assert not list(check_catalogue(catalogue))
    back_up(catalogue, tmp_path / "copy")
    with Catalogue.open(tmp_path / "copy") as copy:
        assert product(copy, "p0").category == POTS
        undo(copy)
        assert product(copy, "p0").category == MUGS


def test_the_feed_itself_is_known(catalogue: Catalogue) -> None:
    before = product(catalogue, "p0")
    say(catalogue, "p0", POTS)
    with catalogue.reading() as table:
        stored = table.get(table.keys(["p0"]).values()).popitem()[1]
    assert stored.feed == before
    assert stored.product == dataclasses.replace(before, category=POTS)


def test_a_set_taxonomy_takes_no_new_values(catalogue: Catalogue) -> None:
    from index.labels.taxonomies import store_taxonomy, taxonomy_of

    with catalogue.writing(), catalogue.changing() as table:
        store_taxonomy(table, taxonomy_of(table))
    with pytest.raises(LabelError, match='no category "New"'):
        say(catalogue, "p0", "New")
