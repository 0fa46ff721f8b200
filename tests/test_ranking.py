"""From queries to answers, over a small catalogue with the tiny encoder."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

from index.catalogue import Catalogue
from index.product import Product
from index.query import Answer, Hit, Query
from index.search import recent
from index.search.ranking import _verdict
from index.search.verdicts import Verdicts
from index.store.products import ProductTable, StoredProduct
from vision.errors import QueryError, UnreadableImage
from vision.images import Image as Picture
from vision.images import Region, read_image
from vision.pictures.colour import describe_colour


def photo(number: int, colour: str | None = None, view: int = 0) -> bytes:
    """Return a new photo of product p{number}, with other bytes than the catalogue has."""
    buffer = io.BytesIO()
    tiny.draw(number, colour, view).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def ids(answer: Answer) -> list[str]:
    return [hit.product.product_id for hit in answer.hits]


def own_file(catalogue: Catalogue, product_id: str, view: int = 0) -> Path:
    """Return the very file that a product was added with."""
    with catalogue.reading() as table:
        key = table.keys([product_id])[product_id]
        return Path(table.get([key])[key].views[view].location)


def plainly(
    catalogue: Catalogue, source: bytes | Path, region: Region | None = None
) -> dict[str, tuple[float, int]]:
    """Rank all products by a photo without any index: the score and view of each, best first."""
    encoder = catalogue.encoder
    picture = read_image(source, at_least=tiny.SIDE * (2 if region else 1))
    image = (picture.crop(region) if region else picture).pixels
    with catalogue.reading() as table:
        index = catalogue.index(table)
        space = index.calibration.space
        pixels = encoder.preprocess(image)[None]
        asked = space.project(
            encoder.encode_pixels(pixels, mirror=True), describe_colour(image)[None]
        )
        best: dict[str, tuple[float, int]] = {}
        for rows in table.rows(catalogue.fingerprint):
            scores = space.project(rows.vectors, rows.colours) @ asked[0]
            stored = table.get(set(rows.product_keys.tolist()))
            for score, key, view in zip(scores, rows.product_keys, rows.ids, strict=True):
                name = stored[int(key)].product.product_id
                best[name] = max(best.get(name, (-2.0, -1)), (float(score), int(view)))
    return dict(sorted(best.items(), key=lambda item: -item[1][0]))


# --- k distinct products -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 13, 17, 40])
def test_a_photo_is_answered_as_by_comparing_it_with_every_picture(
    catalogue: Catalogue, number: int
) -> None:
    answer = catalogue.search(Query(photo=photo(number), k=24))
    expected = plainly(catalogue, photo(number))
    assert ids(answer) == list(expected)
    scores = [hit.score for hit in answer.hits]
    assert scores == pytest.approx([score for score, _ in expected.values()], abs=1e-5)


@pytest.mark.parametrize("k", [1, 3, 10, 24])
def test_k_distinct_products_come_back(catalogue: Catalogue, k: int) -> None:
    found = ids(catalogue.search(Query(photo=photo(13), k=k)))
    assert len(found) == len(set(found)) == k


def test_k_beyond_the_catalogue_gives_all_of_it(catalogue: Catalogue) -> None:
    found = ids(catalogue.search(Query(photo=photo(0), k=1000)))
    assert sorted(found) == sorted(f"p{number}" for number in range(24))


def test_k_does_not_change_scores_and_probabilities(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far the first hit stands out from the next is part of how sure it is, even for k = 1."""

    def gap(_: object, scores: np.ndarray, _among: object = None) -> np.ndarray:
        return np.repeat(scores[:, :1] - scores[:, 1:2], scores.shape[1], axis=1)

    monkeypatch.setattr("index.search.verdicts.Verdicts.probabilities", gap)
    few, many = (catalogue.search(Query(photo=photo(5), k=k)) for k in (1, 20))
    assert few.hits == many.hits[:1]
    assert few.verdict == many.verdict


def test_hits_stand_in_the_order_of_their_scores(catalogue: Catalogue) -> None:
    scores = [hit.score for hit in catalogue.search(Query(photo=photo(30), k=24)).hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_filters_apply_inside_the_search(catalogue: Catalogue, k: int) -> None:
    answer = catalogue.search(Query(photo=photo(1), k=k, where=("category=Garden", "price>=5")))
    fitting = [number for number in range(24) if number % 3 == 2 and number >= 5]
    assert len(answer.hits) == min(k, len(fitting))
    assert set(ids(answer)) <= {f"p{number}" for number in fitting}


def test_nothing_fits(catalogue: Catalogue) -> None:
    answer = catalogue.search(Query(photo=photo(1), where=("price>1000",)))
    assert answer.hits == ()
    assert answer.verdict == "not stocked"


def test_an_attribute_that_no_product_has_is_told(catalogue: Catalogue) -> None:
    with pytest.raises(QueryError, match='"colr"; there are colour'):
        catalogue.search(Query(photo=photo(1), where=("colr=red",)))
    assert catalogue.search(Query(photo=photo(1), where=("colour=pink",))).hits == ()


def test_the_picture_that_scored_is_shown(catalogue: Catalogue) -> None:
    for number in range(12, 18):  # those with two pictures
        answer = catalogue.search(Query(photo=photo(number, view=1), k=24))
        expected = plainly(catalogue, photo(number, view=1))
        hit = next(hit for hit in answer.hits if hit.product.product_id == f"p{number}")
        with catalogue.reading() as table:
            key = table.keys([f"p{number}"])[f"p{number}"]
            views = {view.id: view.location for view in table.get([key])[key].views}
        assert hit.image == views[expected[f"p{number}"][1]]


# --- exact, similar, not stocked ---------------------------------------------------------------


@pytest.mark.parametrize("where", [(), ("price<100",)])
def test_the_same_bytes_are_the_product(catalogue: Catalogue, where: tuple[str, ...]) -> None:
    for product_id in ("p3", "p12", "p23"):
        file = own_file(catalogue, product_id)
        for k in (1, 5):
            answer = catalogue.search(Query(photo=file, k=k, where=where))
            assert answer.verdict == "exact"
            assert ids(answer)[0] == product_id
            assert answer.hits[0].probability == 1.0
            assert answer.hits[0].image == str(file)


def test_the_same_bytes_come_first_even_if_another_scores_higher(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query is averaged with its mirror image, so that its own picture may not be the nearest."""
    file = own_file(catalogue, "p4")
    stranger = read_image(own_file(catalogue, "p9"))
    with_its_hash = replace(stranger, sha256=read_image(file).sha256)
    answer = catalogue.search(Query(photo=with_its_hash, k=24))
    assert ids(answer)[:2] == ["p4", "p9"]
    assert answer.verdict == "exact"
    assert answer.hits[0].score < answer.hits[1].score


def test_the_same_bytes_for_two_products(catalogue: Catalogue, tmp_path: Path) -> None:
    file = Path(shutil.copy(own_file(catalogue, "p3"), tmp_path / "twin.png"))
    (tmp_path / "twin.csv").write_text("product_id,image_path\ntwin,twin.png\n")
    assert catalogue.add([tmp_path / "twin.csv"]).added == 1
    answer = catalogue.search(Query(photo=file))
    assert set(ids(answer)[:2]) == {"p3", "twin"}
    assert [hit.probability for hit in answer.hits[:2]] == [1.0, 1.0]


def test_a_part_of_the_same_file_is_not_the_same_bytes(catalogue: Catalogue) -> None:
    file = own_file(catalogue, "p3")
    answer = catalogue.search(Query(photo=file, region=Region(0.5, 0.5, 0.2, 0.2)))
    assert all(hit.probability is None or hit.probability < 1 for hit in answer.hits)


def test_filtered_out_it_is_not_exact(catalogue: Catalogue) -> None:
    answer = catalogue.search(Query(photo=own_file(catalogue, "p3"), where=("id!=p3",)))
    assert "p3" not in ids(answer)
    assert answer.hits[0].probability != 1.0


def test_probabilities_are_probabilities(catalogue: Catalogue) -> None:
    for number in (0, 13, 40):
        for hit in catalogue.search(Query(photo=photo(number), k=24)).hits:
            assert hit.probability is not None
            assert 0.0 <= hit.probability <= 1.0
            assert np.isfinite(hit.score)


def test_words_have_no_probability(catalogue: Catalogue) -> None:
    for query in (Query(text="red"), Query(photo=photo(1), text="red"), Query(like="p1")):
        answer = catalogue.search(query)
        assert answer.verdict == "similar"
        assert {hit.probability for hit in answer.hits} == {None}


def hit_with(probability: float | None) -> Hit:
    return Hit(Product("a"), 0.5, probability, "a.jpg", "")


def test_the_verdict_is_that_of_the_first_hit() -> None:
    model = Verdicts(0.0, 1.0, 0.0, 0.9, 0.2, 0.4, queries=9, ece=0.0)
    assert _verdict([], model, lambda: 0.5) == "not stocked"
    assert _verdict([hit_with(0.95), hit_with(0.1)], model, lambda: 0.5) == "exact"
    assert _verdict([hit_with(0.1), hit_with(0.95)], model, lambda: 0.5) == "not stocked"
    assert _verdict([hit_with(0.5)], model, lambda: 0.5) == "similar"
    assert _verdict([hit_with(0.5)], model, lambda: 0.3) == "not stocked"
    assert _verdict([hit_with(None)], model, lambda: 0.3) == "similar"
    assert _verdict([hit_with(0.95)], None, lambda: 0.5) == "similar"
    assert _verdict([hit_with(1.0)], None, lambda: 0.5) == "exact"


def test_an_empty_catalogue_stocks_nothing(tiny_encoder: object, tmp_path: Path) -> None:
    with Catalogue.open(tmp_path / "empty", create=True) as empty:
        answer = empty.search(Query(photo=photo(1)))
        assert (answer.verdict, answer.hits) == ("not stocked", ())


def test_a_catalogue_of_one_product(
    tiny_encoder: object, tmp_path: Path, feed: Callable[..., Path]
) -> None:
    with Catalogue.open(tmp_path / "one", create=True) as one:
        one.add([feed(1)])
        answer = one.search(Query(photo=photo(5)))
        assert ids(answer) == ["p0"]
        assert answer.verdict == "similar"  # nothing is known of how sure a match is
        assert one.search(Query(photo=own_file(one, "p0"))).verdict == "exact"
        assert one.search(Query(like="p0")).hits == ()


# --- the parts of a query ----------------------------------------------------------------------


def test_like_leaves_out_the_product_itself(catalogue: Catalogue) -> None:
    found = ids(catalogue.search(Query(like="p13", k=24)))
    assert len(found) == 23
    assert "p13" not in found


def test_unknown_product(catalogue: Catalogue) -> None:
    with pytest.raises(QueryError, match='no product "p99"'):
        catalogue.search(Query(like="p99"))


def test_like_needs_no_encoder(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = catalogue.path

    def load(*_: object, **__: object) -> None:
        raise AssertionError("the encoder is loaded")

    monkeypatch.setattr("vision.encoder.Encoder.load", load)
    with Catalogue.open(folder) as fresh:
        assert len(fresh.search(Query(like="p1")).hits) == 10


def test_a_region_counts_alone(catalogue: Catalogue, tmp_path: Path) -> None:
    scene = Image.new("RGB", (288, 144), "white")
    scene.paste(tiny.draw(6).resize((144, 144)), (0, 0))
    scene.paste(tiny.draw(20).resize((144, 144)), (144, 0))
    scene.save(tmp_path / "scene.png")
    for x in (0, 144):
        region = Region(x / 288, 0.0, 0.5, 1.0)
        answer = catalogue.search(Query(photo=tmp_path / "scene.png", region=region, k=24))
        assert ids(answer) == list(plainly(catalogue, tmp_path / "scene.png", region))


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A catalogue of plain pictures in colours that the tiny encoder has words for."""
    folder = tmp_path_factory.mktemp("coloured")
    for colour in tiny.COLOURS:
        Image.new("RGB", (8, 8), colour).save(folder / f"{colour}.png")
    with tiny.tiny_encoders(), Catalogue.open(folder / "catalogue", create=True) as opened:
        opened.add([folder / f"{colour}.png" for colour in tiny.COLOURS])
        yield opened


def place(answer: Answer, product_id: str) -> int:
    return ids(answer).index(product_id)


def test_words_find_what_they_say(coloured: Catalogue) -> None:
    for colour in tiny.COLOURS:
        assert ids(coloured.search(Query(text=f"a {colour} mug")))[0] == f"{colour}.png"


def test_unwanted_words_move_a_product_down(coloured: Catalogue) -> None:
    moved = []
    for wanted in tiny.COLOURS:
        plain = coloured.search(Query(text=wanted))
        for unwanted in set(tiny.COLOURS) - {wanted}:
            product = f"{unwanted}.png"
            without = coloured.search(Query(text=wanted, not_text=unwanted))
            moved.append(place(without, product) - place(plain, product))
            assert plain.hits[place(plain, product)].score > (
                without.hits[place(without, product)].score
            )
    assert min(moved) >= 0
    assert max(moved) > 0


def test_weights_pull_a_mix_to_one_side(coloured: Catalogue) -> None:
    places = [
        place(coloured.search(Query(text="red", like="teal.png", weights={"text": w})), "red.png")
        for w in (0.01, 1.0, 10.0)
    ]
    assert places == sorted(places, reverse=True)
    assert places[0] > places[2] == 0
    photo_too = Query(photo=own_file(coloured, "green.png"), text="red", weights={"text": 0.0})
    assert ids(coloured.search(photo_too))[0] == "green.png"


def test_parts_that_cancel_out_are_refused(coloured: Catalogue) -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        coloured.search(Query(text="red", not_text="red", weights={"not": 1.0}))


def test_a_photo_like_the_mean_of_all_is_still_answered(
    tiny_encoder: object, tmp_path: Path
) -> None:
    (tmp_path / "same").mkdir()
    for at in range(25):
        Image.new("RGB", (8, 8), "red").save(tmp_path / "same" / f"{at}.png")
        with (tmp_path / "same" / f"{at}.png").open("ab") as file:
            file.write(bytes([at]))  # other bytes, the same picture
    with Catalogue.open(tmp_path / "alike", create=True) as alike:
        alike.add([tmp_path / "same"])
        answer = alike.search(Query(photo=own_file(alike, "3.png")))
        assert len(answer.hits) == 10
        assert ids(answer)[0] == "3.png"
        assert all(np.isfinite(hit.score) for hit in answer.hits)


# --- many at once ------------------------------------------------------------------------------


def test_many_at_once_are_answered_as_one_by_one(catalogue: Catalogue) -> None:
    queries = [
        Query(photo=photo(3)),
        Query(text="red", k=3),
        Query(photo=photo(4), where=("price<10",), k=5),
        Query(photo=photo(5), where=("price<10",), k=5),
        Query(like="p7", not_text="blue"),
        Query(photo=own_file(catalogue, "p9"), k=1),
        Query(photo=photo(14), region=Region(0.1, 0.1, 0.8, 0.8), like="p2"),
    ]
    for one, many in zip(
        (catalogue.search(query) for query in queries), catalogue.search_many(queries), strict=True
    ):
        assert ids(one) == ids(many)
        assert one.verdict == many.verdict
        assert [hit.score for hit in one.hits] == pytest.approx(
            [hit.score for hit in many.hits], abs=1e-5
        )


def test_no_queries_have_no_answers(catalogue: Catalogue) -> None:
    assert catalogue.search_many([]) == []


def test_more_photos_than_one_batch(catalogue: Catalogue) -> None:
    photos = [photo(number) for number in range(70)]
    answers = catalogue.search_many([Query(photo=each, k=1) for each in photos])
    for at in (0, 31, 32, 69):
        assert ids(answers[at]) == ids(catalogue.search(Query(photo=photos[at], k=1)))
    assert len({ids(answer)[0] for answer in answers}) > 10


def test_every_stage_is_timed(catalogue: Catalogue) -> None:
    times = catalogue.search(Query(photo=photo(1))).milliseconds
    assert set(times) == {"open", "read", "encode", "search", "rank"}
    assert all(value >= 0 for value in times.values())


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_bad_photo_is_named(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.jpg: The file is missing"):
        catalogue.search(Query(photo=tmp_path / "gone.jpg"))
    with pytest.raises(UnreadableImage, match=r"^This is not a picture"):
        catalogue.search(Query(photo=b"no picture"))


def test_a_wrong_filter_is_told_before_the_photo_is_read(catalogue: Catalogue) -> None:
    with pytest.raises(QueryError, match="not a price"):
        catalogue.search(Query(photo=b"no picture", where=("price<x",)))


def test_product_ids_of_every_language(catalogue: Catalogue, tmp_path: Path) -> None:
    names = ["ключ №1", "カップ", "mug/🥤", "a,b;c", 'O\'Neill "x"', "%_\\"]
    tiny.write_photos(tmp_path / "odd", len(names), start=100)
    lines = [
        '"' + name.replace('"', '""') + f'",odd/{100 + at:05d}.png' for at, name in enumerate(names)
    ]
    (tmp_path / "odd.csv").write_text(
        "\n".join(["product_id,image_path", *lines]), encoding="utf-8"
    )
    report = catalogue.add([tmp_path / "odd.csv"])
    assert report.added == len(names)
    for at, name in enumerate(names):
        file = own_file(catalogue, name)
        assert file.name == f"{100 + at:05d}.png"
        assert ids(catalogue.search(Query(photo=file, k=1))) == [name]
        assert name not in ids(catalogue.search(Query(like=name, k=100)))
        assert ids(catalogue.search(Query(photo=photo(1), where=(f"id={name}",)))) == [name]


def test_a_filter_makes_no_product_surer(catalogue: Catalogue) -> None:
    """Hiding the rivals of a wrong product must not turn it into the right one."""
    asked = photo(40)  # of a product that is not there
    whole = {
        hit.product.product_id: hit.probability
        for hit in catalogue.search(Query(photo=asked, k=24)).hits
    }
    for name, probability in whole.items():
        alone = catalogue.search(Query(photo=asked, where=(f"id={name}",)))
        assert alone.hits[0].probability == pytest.approx(probability, abs=1e-4)


def test_a_photo_seen_before_is_not_embedded_again(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(photo=read_image(photo(7)), k=3)
    plain = catalogue.search(query)
    seen = catalogue.see(query)
    passes: list[int] = []
    encode = catalogue.encoder.encode_images

    def counted(images: Sequence[Picture], **options: Any) -> np.ndarray:
        passes.append(len(images))
        return encode(images, **options)

    monkeypatch.setattr(catalogue.encoder, "encode_images", counted)
    answer = catalogue.search(seen)
    assert not passes and answer.hits == plain.hits and answer.verdict == plain.verdict
    assert seen.seen is not None
    assert answer.milliseconds["encode"] >= seen.seen.milliseconds["encode"] > 0
    # Of another part, and as another encoder saw it, it says nothing.
    corner = replace(seen, region=Region(0, 0, 0.5, 0.5))
    assert catalogue.search(corner).hits == catalogue.search(replace(corner, seen=None)).hits
    passes.clear()
    catalogue.search(replace(seen, seen=replace(seen.seen, fingerprint="other")))
    assert passes == [1]


def test_an_encoder_that_does_not_mirror_is_asked_once(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mirrored,) = catalogue.search(Query(photo=photo(7), k=1)).hits
    monkeypatch.setattr(catalogue.encoder, "mirrors", False)
    (plain,) = catalogue.search(Query(photo=photo(7), k=1)).hits
    assert plain.product == mirrored.product and plain.score > mirrored.score
    assert plain.score == pytest.approx(1, abs=1e-5)  # it is the very picture


def test_products_are_read_once_until_the_catalogue_changes(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    get = ProductTable.get

    def counted(table: ProductTable, keys: Iterable[int]) -> dict[int, StoredProduct]:
        wanted = list(keys)
        read.extend(wanted)
        return get(table, wanted)

    monkeypatch.setattr(ProductTable, "get", counted)
    query = Query(photo=photo(7), k=5)
    first = catalogue.search(query)
    assert len(read) == 10  # as many as probabilities look at
    read.clear()
    assert catalogue.search(query).hits == first.hits and not read
    with Catalogue.open(catalogue.path) as elsewhere:
        elsewhere.add([tiny.write_feed(tmp_path / "again.csv", 8, title="Renamed")])
    again = catalogue.search(query).hits[0]
    assert again.product.title == "Renamed" and again.product.product_id == "p7" and read


def test_few_products_are_remembered(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_MOST", 6)
    remembered = recent.RecentProducts()
    with catalogue.reading() as table:
        now, keys = table.generation(), list(table.all_keys())[:12]
        for at in range(0, 12, 4):
            found = remembered.get(keys[at : at + 4], table, now)
            assert found == table.get(keys[at : at + 4])
            assert len(remembered._products) <= 6
        assert remembered.get(keys, table, now) == table.get(keys)
        assert remembered.get([10**9], table, now) == {}
        # Of an earlier state, which another reader still sees, nothing is remembered.
        assert remembered.get(keys[:1], table, now - 1) == table.get(keys[:1])
        assert remembered._generation == now
