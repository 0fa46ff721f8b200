"""The head at work on a catalogue: trained, asked, tagging, corrected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import tiny

from index.catalogue import Catalogue
from index.changes.checking import check_catalogue
from index.changes.upkeep import back_up, repair
from index.labels.categorising import categorise, explain_category
from index.labels.deciding import decide, undo
from index.labels.heads import read_register
from index.labels.migrating import migrate
from index.labels.review import queue, queue_length
from index.labels.standing import Decision, product_labels, stored_predictions
from index.labels.tagging import refresh, tag, train
from index.product import Product
from index.store.tables import labels, predictions
from vision.errors import HeadError, QueryError
from vision.images import read_image

PLAIN, COUNT, OPEN = tiny.PLAIN, tiny.LABELLED, tiny.OPEN


@pytest.fixture
def catalogue(taught: Catalogue) -> Catalogue:
    return taught


def product(catalogue: Catalogue, product_id: str) -> Product:
    with catalogue.reading() as table:
        return table.get(table.keys([product_id]).values()).popitem()[1].product


def source(catalogue: Catalogue, product_id: str, axis: str = "category") -> str | None:
    with catalogue.reading() as table:
        stored = table.get(table.keys([product_id]).values())
        label = product_labels(table, stored).popitem()[1].get(axis)
    return label.source if label else None


def picture(number: int, colour: str, tmp_path: Path) -> Path:
    path = tmp_path / f"photo-{number}.png"
    tiny.draw(number, colour).save(path)
    return path


def test_a_photo_is_categorised_with_reasons(catalogue: Catalogue, tmp_path: Path) -> None:
    for colour in PLAIN:
        photo = read_image(picture(7000, colour.lower(), tmp_path))
        (answer,) = categorise(catalogue, [photo])
        assert answer.tags["category"].best[0][0] == f"Paint > {colour}"
        assert answer.tags["category"].accepted in (f"Paint > {colour}", "Paint")
        assert answer.reasons[0].labels["category"] == f"Paint > {colour}"
        assert 0.0 < answer.reasons[0].cosine <= 1.0
        assert answer.tags["tint"].best[0][0] == ("warm" if colour == "Red" else "cold")
    assert categorise(catalogue, []) == []


def test_an_explanation_is_a_picture(catalogue: Catalogue, tmp_path: Path) -> None:
    photo = read_image(picture(7000, "red", tmp_path))
    assert read_image(explain_category(catalogue, photo)).width == photo.width
    with pytest.raises(QueryError, match="knows no category"):
        explain_category(catalogue, photo, "Paint > Mauve")


def test_tagging_fills_in_what_nobody_said(catalogue: Catalogue) -> None:
    assert product(catalogue, f"p{COUNT}").category == ""
    report = tag(catalogue)
    assert (report.predicted, report.unchanged) == (OPEN, COUNT)  # the others were held out
    right = 0
    for number in range(COUNT, COUNT + OPEN):
        found = product(catalogue, f"p{number}").category
        right += found == f"Paint > {PLAIN[number % 3]}"
        assert found == "" or source(catalogue, f"p{number}") == "head"
    assert right >= 0.7 * OPEN
    assert source(catalogue, "p0") == "feed"
    assert not list(check_catalogue(catalogue))


def test_tagging_again_does_nothing(catalogue: Catalogue) -> None:
    tag(catalogue)
    generation = catalogue.info()["generation"]
    assert tag(catalogue).predicted == 0
    assert catalogue.info()["generation"] == generation


def test_tagging_goes_on_where_it_stopped(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.store.products.CHUNK", 20)

    def stop(_stage: str, done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tag(catalogue, progress=stop)
    report = tag(catalogue)
    assert (report.predicted, report.unchanged) == (OPEN - 20, COUNT + 20)


def test_a_head_learns_from_feeds_and_people_only(catalogue: Catalogue) -> None:
    tag(catalogue)
    decide(catalogue, [Decision(f"p{COUNT}", "category", "set", "Paint > Red")], who="ada")
    again = train(catalogue, precision=0.9)
    assert again.version == "2"
    assert len(again.labelled.products) == COUNT + OPEN  # all have a tint
    known = again.labelled.examples.labels["category"]
    assert sum(bool(each) for each in known) == COUNT + 1


def test_a_new_version_predicts_anew(catalogue: Catalogue) -> None:
    tag(catalogue)
    train(catalogue, precision=0.9)
    assert tag(catalogue).predicted == OPEN


def test_one_head_back(catalogue: Catalogue) -> None:
    train(catalogue, precision=0.95)
    with catalogue.writing(), catalogue.changing() as table:
        assert read_register(table.connection).current == "2"
        catalogue.heads.use(table, "1")
        with pytest.raises(HeadError, match="is in use"):
            catalogue.heads.remove(table, "1")
        catalogue.heads.remove(table, "2")
        with pytest.raises(HeadError, match='no head "2"; there are: 1'):
            catalogue.heads.use(table, "2")
    assert not list((catalogue.path / "heads").glob("2.*"))
    assert tag(catalogue).predicted == COUNT + OPEN


def test_the_same_labels_teach_the_same(catalogue: Catalogue, tmp_path: Path) -> None:
    photo = read_image(picture(7001, "red", tmp_path))
    first = categorise(catalogue, [photo])
    train(catalogue, precision=0.9)
    assert categorise(catalogue, [photo]) == first


def test_a_correction_counts_at_once_for_what_looks_like_it(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    twin = tmp_path / "more" / "twin.png"
    twin.parent.mkdir()
    tiny.draw(1000, "red").save(twin, compress_level=9)  # p0's picture in another file
    catalogue.add([twin.parent])
    tag(catalogue)
    assert best(catalogue, "twin.png") == "Paint > Red"
    others = {number: best(catalogue, f"p{number}") for number in range(1, COUNT)}
    decide(catalogue, [Decision("p0", "category", "set", "Paint > Blue")], who="ada")
    refresh(catalogue, ["p0"])
    assert best(catalogue, "twin.png") == "Paint > Blue"
    changed = [n for n, before in others.items() if best(catalogue, f"p{n}") != before]
    assert len(changed) <= 2
    undo(catalogue)
    refresh(catalogue, ["p0"])
    assert best(catalogue, "twin.png") == "Paint > Red"


def best(catalogue: Catalogue, product_id: str) -> str:
    """Return the likeliest category, as it is stored."""
    with catalogue.reading() as table:
        key = table.keys([product_id])[product_id]
        found: str = json.loads(stored_predictions(table.connection, [key])[key]["category"].best)[
            0
        ][0]
    return found


def test_predictions_of_similar_products_follow_a_correction(catalogue: Catalogue) -> None:
    tag(catalogue)
    decide(catalogue, [Decision("p0", "category", "set", "Paint > Blue")], who="ada")
    assert refresh(catalogue, ["p0"]) > 1
    with catalogue.reading() as table:
        key = table.keys(["p0"])["p0"]
        row = table.connection.execute(
            sa.select(predictions).where(
                predictions.c.product_key == key, predictions.c.axis == "category"
            )
        ).one()
    assert row.best.startswith('[["Paint > Blue"')
    assert row.usefulness == 0.0


def test_the_queue_has_what_is_unsure_and_forgets_what_was_decided(catalogue: Catalogue) -> None:
    tag(catalogue)
    with catalogue.writing(), catalogue.changing() as table:
        rows = table.connection.execute(sa.select(predictions)).all()
        made = [dict(row._mapping) for row in rows if row.axis == "category"][:5]
        for at, row in enumerate(made):
            row.pop("crc")
            row.update(usefulness=0.5 + at / 10, accepted="")
        table.put_predictions(made)
    questions = queue(catalogue, 10, axis="category")
    assert len(questions) >= 5
    assert questions[0].usefulness == max(each.usefulness for each in questions)
    first = questions[0].stored.product.product_id
    with catalogue.reading() as table:
        length = queue_length(table)
    decide(catalogue, [Decision(first, "category", "set", "Paint > Red")], who="ada")
    again = [each.stored.product.product_id for each in queue(catalogue, 10, axis="category")]
    assert first not in again
    with catalogue.reading() as table:
        assert queue_length(table) == length - 1
    undo(catalogue)
    assert first in [each.stored.product.product_id for each in queue(catalogue, 10)]
    decide(catalogue, [Decision(first, "category", "skip")], who="ada")
    assert first not in [
        each.stored.product.product_id for each in queue(catalogue, 10, axis="category")
    ]


def test_a_feeds_label_that_looks_wrong_is_asked_about(
    tiny_encoder: object, tmp_path: Path
) -> None:
    path = tiny.write_stock(tmp_path)
    text = path.read_text().replace("Paint 0,Paint > Red", "Paint 0,Paint > Blue")
    path.write_text(text)
    with Catalogue.open(tmp_path / "c", create=True) as catalogue:
        catalogue.add([path])
        train(catalogue, precision=0.9)
        tag(catalogue)
        assert product(catalogue, "p0").category == "Paint > Blue"
        suspects = [each for each in queue(catalogue, 200) if each.suspect]
    assert "p0" in [each.stored.product.product_id for each in suspects if each.axis == "category"]


def test_heads_follow_their_categories(catalogue: Catalogue, tmp_path: Path) -> None:
    tag(catalogue)
    migrate(catalogue, lambda tree: tree.renamed("Paint > Red", "Scarlet"))
    migrate(catalogue, lambda tree: tree.merged("Paint > Green", "Paint > Blue"))
    photo = read_image(picture(7000, "red", tmp_path))
    other = read_image(picture(7000, "green", tmp_path))
    first, second = categorise(catalogue, [photo, other])
    assert first.tags["category"].best[0][0] == "Paint > Scarlet"
    assert second.tags["category"].best[0][0] == "Paint > Blue"
    assert product(catalogue, f"p{COUNT}").category in ("", "Paint", "Paint > Scarlet")
    assert product(catalogue, "p1").category == "Paint > Blue"
    assert tag(catalogue).predicted == 0  # what moved was carried along


def test_a_head_of_another_taxonomy_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    from index.labels.taxonomies import store_taxonomy
    from vision.taxonomy import Taxonomy

    with catalogue.writing(), catalogue.changing() as table:
        store_taxonomy(table, Taxonomy(("Metal > Tin", "Metal > Iron")))
    with pytest.raises(HeadError, match=r"another taxonomy.*findalike train"):
        tag(catalogue)


def test_damaged_and_missing_heads_are_noticed(catalogue: Catalogue) -> None:
    for name in ("1.json", "1.safetensors"):
        path = catalogue.path / "heads" / name
        whole = path.read_bytes()
        rng = np.random.default_rng(0)
        for at in rng.integers(0, len(whole), 10).tolist():
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            with Catalogue.open(catalogue.path) as again, pytest.raises(HeadError):
                tag(again)
        path.unlink()
        with Catalogue.open(catalogue.path) as again, pytest.raises(HeadError):
            tag(again)
        path.write_bytes(whole)
    assert tag(catalogue).predicted


def test_without_a_head(tiny_encoder: object, tmp_path: Path) -> None:
    with Catalogue.open(tmp_path / "c", create=True) as catalogue:
        catalogue.add([tiny.write_stock(tmp_path)])
        for ask in (tag, lambda made: categorise(made, [read_image(picture(1, "red", tmp_path))])):
            with pytest.raises(HeadError, match="findalike train"):
                ask(catalogue)


def test_nothing_to_learn_from(tiny_encoder: object, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    tiny.write_photos(folder, 30)
    with Catalogue.open(tmp_path / "c", create=True) as catalogue:
        catalogue.add([folder])
        with pytest.raises(HeadError):
            train(catalogue)


def test_check_and_repair_see_labels_too(catalogue: Catalogue) -> None:
    tag(catalogue)
    decide(catalogue, [Decision("p0", "category", "set", "Paint > Blue")], who="ada")
    with catalogue.engine.begin() as connection:
        connection.execute(sa.update(labels).values(value="Paint > Green"))
        one = predictions.c.product_key == 5
        connection.execute(sa.update(predictions).where(one).values(accepted="Nonsense"))
    head = catalogue.path / "heads" / "1.safetensors"
    head.write_bytes(head.read_bytes()[:-1])
    problems = list(check_catalogue(catalogue))
    assert {"decision", "prediction", "head"} <= {each.kind for each in problems}
    with catalogue.writing():
        lost = repair(catalogue, problems)
    assert [each.split(":")[0] for each in lost] == ["decision 1", "head 1"]
    assert {each.kind for each in check_catalogue(catalogue)} == {"head"}
    assert product(catalogue, "p0").category == "Paint > Red"


def test_a_backup_has_the_heads(catalogue: Catalogue, tmp_path: Path) -> None:
    back_up(catalogue, tmp_path / "copy")
    with Catalogue.open(tmp_path / "copy") as copy:
        assert tag(copy).predicted
