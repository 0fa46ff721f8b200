"""Calibration: what a catalogue learns from itself, stored and told apart by content."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import index.search.calibration as calibration_module
from index.catalogue import Catalogue
from index.query import Query
from index.search.calibration import MIN_PRODUCTS, Calibration
from index.search.space import MIN_PICTURES, fit_space, unit
from index.search.verdicts import Verdicts
from vision.errors import CatalogueError
from vision.pictures.colour import COLOUR_DIM


def made(weight: float = 0.2) -> Calibration:
    rng = np.random.default_rng(0)
    space = fit_space(unit(rng.normal(size=(30, 8))), unit(rng.random((30, COLOUR_DIM))), weight)
    return Calibration(space, Verdicts(-1.0, 2.0, 3.0, 0.9, 0.1, 0.4, 50, 0.02), 30, 0)


def learnt(catalogue: Catalogue) -> Calibration:
    with catalogue.reading() as table:
        return catalogue.index(table).calibration


def test_survives_storage() -> None:
    before = made()
    after = Calibration.from_bytes(before.to_bytes())
    assert after is not None
    assert after.verdicts == before.verdicts
    assert after.space_id == before.space_id
    assert (after.pictures, after.weight_from) == (30, 0)


def test_space_id_tells_spaces_apart() -> None:
    assert made(0.2).space_id != made(0.3).space_id
    shifted = replace(made().space, mean=made().space.mean + np.float32(1e-6))
    assert replace(made(), space=shifted).space_id != made().space_id


def test_damage_is_told_and_another_version_is_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    content = made().to_bytes()
    for broken in (content[:40], b"", b"x" * 100):
        with pytest.raises(CatalogueError, match="damaged"):
            Calibration.from_bytes(broken)
    monkeypatch.setattr(calibration_module, "_VERSION", 999)
    assert Calibration.from_bytes(content) is None


@pytest.mark.usefixtures("tiny_encoder")
def test_the_same_products_give_the_same_calibration_in_any_order(
    feed: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = feed(20, name="a.csv"), feed(20, start=20, name="b.csv")
    found = []
    for name, order in (("x", [first, second]), ("y", [second, first])):
        with Catalogue.open(tmp_path / name, create=True) as catalogue:
            for source in order:
                catalogue.add([source])
            catalogue.rebuild()
            found.append(learnt(catalogue))
    assert found[0].space_id == found[1].space_id
    # FAISS sums in blocks of rows, so that another order of rows rounds otherwise.
    assert found[0].verdicts is not None
    assert found[1].verdicts is not None
    assert found[0].verdicts.as_dict() == pytest.approx(found[1].verdicts.as_dict(), rel=1e-3)


@pytest.mark.usefixtures("tiny_encoder")
def test_too_few_products_to_say_how_sure(feed: Callable[..., Path], tmp_path: Path) -> None:
    source = feed(MIN_PRODUCTS - 1)
    with Catalogue.open(tmp_path / "c", create=True) as catalogue:
        catalogue.add([source])
        assert learnt(catalogue).verdicts is None
        answer = catalogue.search(Query(photo=tmp_path / "pictures" / "00003.png", k=3))
        assert [hit.probability for hit in answer.hits] == [1.0, None, None]  # the same file
        catalogue.add([feed(1, start=50, name="one.csv")])
        assert learnt(catalogue).verdicts is None  # not grown by enough to look again
        catalogue.add([feed(MIN_PICTURES, start=60, name="more.csv")])
        assert learnt(catalogue).verdicts is not None
        assert learnt(catalogue).space.mean.any()


@pytest.mark.usefixtures("tiny_encoder")
def test_colour_weight_is_chosen_on_products_with_several_pictures(
    feed: Callable[..., Path], tmp_path: Path
) -> None:
    """Here the embedding says nothing and the colour everything, so that its weight goes up."""
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(60), 2)
    vectors = unit(rng.normal(size=(120, 16)))
    colours = unit(rng.random((60, COLOUR_DIM)) ** 8)[owners]

    class Table:
        def sample(self, _fingerprint: str, _size: int) -> tuple[np.ndarray, ...]:
            return vectors, colours, owners

    space, products = calibration_module.learn_space(Table(), "x")  # type: ignore[arg-type]
    assert products == 60
    assert space.colour_weight > 0.2
    # Too few such products leave the default.
    owners = np.concatenate([owners[:20], np.arange(100, 200)])
    space, products = calibration_module.learn_space(Table(), "x")  # type: ignore[arg-type]
    assert (space.colour_weight, products) == (0.2, 0)
