"""Evaluating categories and attributes: folds, out-of-fold predictions, photos, what is counted."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from index.catalogue import Catalogue
from index.evaluation import labelled
from index.evaluation.axes import AxisEvaluation, Case, Item, measure_axis
from index.evaluation.folds import (
    joined,
    learning_curve,
    out_of_fold,
    ranks,
    stratified_folds,
    subset,
)
from index.evaluation.labelled import LabelEvaluation, evaluate_labels
from index.evaluation.truths import read_queries
from vision.errors import FeedError, HeadError, LabelError
from vision.head import Examples, Prediction
from vision.images import Image
from vision.pictures.colour import describe_colour


class Means:
    """Stands in for a head: the nearest class mean, and what it was taught."""

    def __init__(self, examples: Examples) -> None:
        self.taught = examples
        self.middle = examples.vectors.mean(axis=0)
        self.means = {
            axis: {
                value: self.centred(examples.vectors[[label == value for label in labels]]).mean(
                    axis=0
                )
                for value in sorted({label for label in labels if label})
            }
            for axis, labels in examples.labels.items()
        }
        if not any(self.means.values()):
            raise HeadError("nothing is labelled")

    def centred(self, vectors: np.ndarray) -> np.ndarray:
        rows: np.ndarray = vectors - self.middle
        return rows

    def predict(self, vectors: np.ndarray, colours: np.ndarray) -> dict[str, Prediction]:
        assert len(vectors) == len(colours)
        found = {}
        for axis, means in self.means.items():
            if means:
                odds = np.exp(20 * self.centred(vectors) @ np.stack(list(means.values())).T)
                found[axis] = prediction(tuple(means), odds / odds.sum(axis=1, keepdims=True))
        return found


def prediction(values: Sequence[str], probabilities: Any, accepted: Any = None) -> Prediction:
    """Return a prediction that accepts the best value from 0.6 on, unless told otherwise."""
    p = np.array(probabilities, dtype=np.float32)
    sure = p.max(axis=1)
    taken = [
        values[at] if p[row, at] >= 0.6 else "" for row, at in enumerate(p.argmax(axis=1).tolist())
    ]
    none = np.zeros(len(p), dtype=np.float32)
    return Prediction(tuple(values), p, none, tuple(accepted or taken), sure)


def items(count: int) -> list[Item]:
    return [Item(f"p{number}", f"{number:064d}") for number in range(count)]


# --- folds -------------------------------------------------------------------------------------

classes_and_hashes = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 40)), min_size=1, max_size=60
)


@given(classes_and_hashes, st.integers(2, 5), st.randoms(use_true_random=False))
def test_folds_keep_what_they_promise(
    pairs: list[tuple[str, int]], folds: int, random: Any
) -> None:
    labels, hashes = [label for label, _ in pairs], [str(number) for _, number in pairs]
    found = stratified_folds(labels, hashes, folds)
    assert found.min() >= 0
    assert found.max() < folds
    by_hash: dict[str, set[int]] = {}
    for each, fold in zip(hashes, found.tolist(), strict=True):
        by_hash.setdefault(each, set()).add(fold)
    assert all(len(each) == 1 for each in by_hash.values())  # one picture, one fold
    order = list(range(len(pairs)))
    random.shuffle(order)
    again = stratified_folds([labels[at] for at in order], [hashes[at] for at in order], folds)
    assert dict(zip(order, again.tolist(), strict=True)) == dict(enumerate(found.tolist()))


@given(st.lists(st.sampled_from("abc"), min_size=10, max_size=60), st.integers(2, 5))
def test_folds_spread_every_class_evenly(labels: list[str], folds: int) -> None:
    found = stratified_folds(labels, [str(at) for at in range(len(labels))], folds)
    for each in set(labels):
        counts = Counter(found[[label == each for label in labels]].tolist())
        sizes = [counts[fold] for fold in range(folds)]
        assert max(sizes) - min(sizes) <= 1
    sizes = np.bincount(found, minlength=folds)
    assert sizes.max() - sizes.min() <= 1


def test_ranks_count_within_a_class_by_hash() -> None:
    among = np.array([True, True, False, True, True])
    assert ranks("aabab", ["5", "3", "0", "4", "1"], among).tolist() == [2, 0, -1, 1, 0]


def examples(count: int = 30) -> Examples:
    """Return labelled points around three corners; every fifth has no colour."""
    rng = np.random.default_rng(0)
    kind = np.arange(count) % 3
    vectors = np.eye(3)[kind] + rng.normal(0, 0.1, (count, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = {
        "category": tuple(tiny.CATEGORIES[each] for each in kind),
        "colour": tuple(
            "" if at % 5 == 0 else ("red", "blue")[int(each == 0)] for at, each in enumerate(kind)
        ),
    }
    return Examples(vectors.astype(np.float32), np.zeros((count, 4), np.float32), labels)


def test_nothing_is_predicted_by_a_head_that_saw_it() -> None:
    every = examples()
    fold = np.arange(30) % 5
    heads: list[Means] = []

    def fit(some: Examples) -> Means:
        heads.append(Means(some))
        return heads[-1]

    told: list[tuple[str, int, int]] = []
    found = out_of_fold(every, fold, fit, lambda *step: told.append(step))
    assert len(heads) == 5
    for each, head in enumerate(heads):
        seen = {row.tobytes() for row in head.taught.vectors}
        rows = np.flatnonzero(fold == each)
        assert not seen & {every.vectors[row].tobytes() for row in rows}
        assert len(seen) == 24
        alone = head.predict(every.vectors[rows], every.colours[rows])["category"]
        assert found["category"].values == alone.values
        assert np.array_equal(found["category"].probabilities[rows], alone.probabilities)
        assert [found["category"].accepted[row] for row in rows] == list(alone.accepted)
    assert set(found) == {"category", "colour"}
    assert told[0] == ("cross-validate", 0, 5)
    assert told[-1] == ("cross-validate", 5, 5)


def test_heads_that_know_other_classes_are_joined() -> None:
    one = prediction(("a", "b"), [[0.9, 0.1], [0.3, 0.7]])
    other = prediction(("c", "a"), [[0.8, 0.2]])
    found = joined([(np.array([2, 0]), one), (np.array([1]), other)], 3)
    assert found.values == ("a", "b", "c")
    expected = [[0.3, 0.7, 0.0], [0.2, 0.0, 0.8], [0.9, 0.1, 0.0]]
    assert np.allclose(found.probabilities, expected)
    assert found.accepted == ("b", "c", "a")
    assert np.allclose(found.confidence, [0.7, 0.8, 0.9])


def test_a_learning_curve_sees_more_and_more() -> None:
    every = examples(90)
    held_out = np.arange(90) < 15
    rank = ranks(every.labels["category"], [str(at) for at in range(90)], ~held_out)
    taught: list[Examples] = []

    def fit(some: Examples) -> Means:
        taught.append(some)
        return Means(some)

    points = learning_curve(every, held_out, rank, fit)
    assert [point.each for point in points] == [1, 2, 5, 10, 20, 0]
    assert [point.examples for point in points] == [3, 6, 15, 30, 60, 75]
    assert [len(each.vectors) for each in taught] == [3, 6, 15, 30, 60, 75]
    unseen = {row.tobytes() for row in every.vectors[held_out]}
    for smaller, larger in itertools.pairwise(taught):
        rows = {row.tobytes() for row in larger.vectors}
        assert {row.tobytes() for row in smaller.vectors} < rows
        assert not rows & unseen
    assert all(len(point.predictions["category"].probabilities) == 15 for point in points)


def test_a_learning_curve_leaves_out_what_cannot_be_fitted() -> None:
    every = examples()

    def fit(some: Examples) -> Means:
        if len(some.vectors) < 10:
            raise HeadError("too few")
        return Means(some)

    held_out = np.arange(30) % 5 == 0
    rank = ranks(every.labels["category"], [str(at) for at in range(30)], ~held_out)
    assert [point.each for point in learning_curve(every, held_out, rank, fit)] == [5, 0]


def test_a_subset_keeps_labels_with_their_rows() -> None:
    every = examples()
    some = subset(every, np.array([7, 2]))
    assert np.array_equal(some.vectors, every.vectors[[7, 2]])
    assert some.labels["category"] == tuple(every.labels["category"][at] for at in (7, 2))


# --- one axis ----------------------------------------------------------------------------------

MUGS, BOWLS, POTS = tiny.CATEGORIES


def measured(labels: Sequence[str], said: Prediction) -> AxisEvaluation:
    found = measure_axis(
        "category", said, labels, items(len(labels)), leaves=(MUGS, BOWLS, POTS), precision=0.9
    )
    assert found is not None
    return found


def test_an_axis_by_hand() -> None:
    labels = [MUGS, MUGS, BOWLS, POTS, "Kitchen", ""]
    p = [
        [0.95, 0.05, 0],
        [0.25, 0.65, 0.1],
        [0.2, 0.55, 0.25],
        [0.85, 0.15, 0],
        [1, 0, 0],
        [0, 0, 1],
    ]
    accepted = [MUGS, "Kitchen", "", "Kitchen", MUGS, POTS]
    found = measured(labels, prediction((MUGS, BOWLS, POTS), p, accepted))
    assert (found.items, found.partial) == (4, 1)
    assert found.values == (MUGS, BOWLS, POTS)
    assert (found.accuracy, found.top_3) == (0.5, 1.0)
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.hierarchical.precision == pytest.approx((2 + 1 + 2 + 0) / 8)
    assert found.ece == pytest.approx((0.05 + 0.65 + 0.45 + 0.85) / 4)  # one in each bin
    assert found.reliability.count.sum() == 4
    assert found.accepted.coverage == 3 / 4
    assert found.accepted.precision == pytest.approx(2 / 3)
    assert found.accepted.to_the_leaf == 1 / 4
    assert found.accepted.hierarchical.precision == pytest.approx((2 + 1) / (2 + 1 + 1))
    assert found.accepted.hierarchical.recall == pytest.approx((2 + 1) / 8)
    assert found.coverage_at_precision == 0.25
    assert [(case.label, case.predicted) for case in found.worst] == [(POTS, MUGS), (MUGS, BOWLS)]
    assert found.worst[0] == Case(items(6)[3], POTS, MUGS, pytest.approx(0.85))
    mugs = found.by_value[0]
    assert (mugs.value, mugs.support, mugs.coverage) == (MUGS, 2, 1.0)
    assert (mugs.precision, mugs.recall) == (0.5, 0.5)


def test_a_class_that_the_head_never_saw_is_wrong() -> None:
    found = measured([POTS, MUGS], prediction((MUGS, BOWLS), [[0.7, 0.3], [0.9, 0.1]]))
    assert (found.accuracy, found.top_3) == (0.5, 0.5)
    assert found.values == (MUGS, POTS)
    assert found.confusion.tolist() == [[1, 0], [1, 0]]


def test_nothing_accepted_has_no_precision() -> None:
    found = measured([MUGS], prediction((MUGS, BOWLS), [[0.5, 0.5]], [""]))
    assert found.accepted.precision is None
    assert found.accepted.coverage == 0.0


def test_an_axis_without_labels_is_not_measured() -> None:
    said = prediction((MUGS,), [[1.0]])
    assert measure_axis("x", said, [""], items(1), leaves=(MUGS,), precision=0.9) is None
    assert measure_axis("x", said, ["Kitchen"], items(1), leaves=(MUGS,), precision=0.9) is None


def test_a_long_curve_is_thinned_but_keeps_its_ends() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 2000)
    found = measured([MUGS] * 2000, prediction((MUGS, BOWLS), np.stack([p, 1 - p], axis=1)))
    assert len(found.curve.coverage) == 200
    assert found.curve.coverage[[0, -1]].tolist() == [1 / 2000, 1.0]


# --- a catalogue -------------------------------------------------------------------------------

Photos = Callable[[list[dict[str, str]]], LabelEvaluation]


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Means, float]]:
    """Let heads be class means; return those that were fitted, with the precision asked for."""
    fitted: list[tuple[Means, float]] = []

    def fit_head(_c: Any, some: Examples, _t: Any, *, precision: float, **_: Any) -> Means:
        fitted.append((Means(some), precision))
        return fitted[-1][0]

    monkeypatch.setattr(labelled, "fit_head", fit_head)
    return fitted


@pytest.fixture
def photos(
    catalogue: Catalogue, heads: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Photos:
    """Return a function that evaluates rows of a file of labelled photos, with no folds."""
    tiny.write_photos(tmp_path / "ask", 24)

    def categorise_photos(
        _: Catalogue, images: Sequence[Image], *, precision: float
    ) -> dict[str, Prediction]:
        with catalogue.reading() as table:
            taught = labelled.labelled(
                table, catalogue.fingerprint, labelled.taxonomy_of(table)
            ).examples
        vectors = catalogue.encoder.encode_images(images)
        return Means(taught).predict(vectors, np.stack([describe_colour(i.pixels) for i in images]))

    monkeypatch.setattr(labelled, "categorise_photos", categorise_photos)

    def ask(rows: list[dict[str, str]]) -> LabelEvaluation:
        path = tmp_path / "ask" / "q.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["query_image", "product_id", "category"], restval="")
            writer.writeheader()
            writer.writerows(rows)
        return evaluate_labels(catalogue, read_queries(path), folds=0)

    return ask


def test_a_catalogue_is_cross_validated(catalogue: Catalogue, heads: list[Any]) -> None:
    told: list[tuple[str, int, int]] = []
    found = evaluate_labels(
        catalogue, folds=4, precision=0.9, progress=lambda *step: told.append(step)
    )
    assert (found.by, found.items, found.folds, found.learnt_from) == ("products", 24, 4, 24)
    category = found.axes[0]
    assert (category.axis, category.items) == ("category", 24)
    assert sorted(category.values) == sorted(tiny.CATEGORIES)
    assert category.confusion.sum() == 24
    assert [point.each for point in category.learning][-1] == 0
    assert category.learning[-1].examples == 18
    assert all(precision == 0.9 for _, precision in heads)
    assert [len(head.taught.vectors) for head, _ in heads[:4]] == [18, 18, 18, 18]
    assert {stage for stage, _, _ in told} == {"cross-validate", "learning curve"}
    again = evaluate_labels(catalogue, folds=4, precision=0.9)
    assert again.axes[0].accuracy == category.accuracy
    assert again.axes[0].worst == category.worst


def test_a_wrong_label_is_suspect(catalogue: Catalogue, heads: list[Any], feed: Any) -> None:
    """Twelve red and twelve blue products, of which one blue one is called red."""
    catalogue.remove([f"p{number}" for number in range(24)])
    path = feed(24, start=40)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    for at, row in enumerate(rows):
        row["category"] = ("Red", "Blue")[at % 2]
        colour = "red" if at % 2 == 0 else "blue"
        tiny.draw(int(row["product_id"][1:]), colour).save(path.parent / row["image_path"])
    rows[7]["category"] = "Red"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert catalogue.add([path]).added == 24
    (category,) = (axis for axis in evaluate_labels(catalogue).axes if axis.axis == "category")
    first = category.suspects[0]
    assert (first.item.name, first.label, first.predicted) == ("p47", "Red", "Blue")
    with catalogue.reading() as table:
        assert table.previews([first.item.sha256])


def test_too_few_labels_say_how_many_are_needed(catalogue: Catalogue, heads: list[Any]) -> None:
    catalogue.remove([f"p{number}" for number in range(4, 24)])
    with pytest.raises(LabelError, match="There are 4 labelled products, and 10 are the least"):
        evaluate_labels(catalogue)


def test_photos_by_category_and_by_product(photos: Photos) -> None:
    found = photos(
        [
            {"query_image": "00000.png", "category": "Kitchen > Mugs"},
            {"query_image": "00001.png", "category": "bowls"},
            {"query_image": "00002.png", "product_id": "p2"},
            {"query_image": "00003.png", "category": "Kitchen"},
        ]
    )
    assert (found.by, found.items, found.folds, found.learnt_from) == ("photos", 4, 0, 24)
    (category,) = found.axes
    assert (category.items, category.partial) == (3, 1)
    assert {value.value for value in category.by_value if value.support} == set(tiny.CATEGORIES)
    assert category.suspects == category.learning == ()
    assert found.passed_over == ()


def test_the_category_in_the_file_goes_before_the_products(photos: Photos) -> None:
    found = photos([{"query_image": "00000.png", "product_id": "p0", "category": "Pots"}])
    assert [each.value for each in found.axes[0].by_value if each.support] == [POTS]


def test_photos_that_cannot_be_asked_are_passed_over(photos: Photos) -> None:
    found = photos(
        [
            {"query_image": "00000.png", "category": "Kitchen > Mugz"},
            {"query_image": "gone.png", "category": "Mugs"},
            {"query_image": "00001.png", "product_id": "p99"},
            {"query_image": "00002.png"},
            {"query_image": "00003.png", "category": "Mugs"},
        ]
    )
    assert found.items == 1
    reasons = {each.line: each.reason for each in found.passed_over}
    assert sorted(reasons) == [2, 3, 4, 5]
    assert reasons[2] == (
        'the taxonomy has no category "Kitchen > Mugz"; did you mean "Kitchen > Mugs"?'
    )
    assert "gone.png" in reasons[3]
    assert reasons[4] == 'the catalogue has no labelled product "p99"'
    assert reasons[5] == "says neither product nor category"


def test_a_name_that_two_categories_have_is_not_guessed(
    catalogue: Catalogue, photos: Photos, feed: Any
) -> None:
    catalogue.add([feed(2, start=60, category="Garden > Bowls")])
    with pytest.raises(FeedError, match=r'"Bowls" may be "\w+ > Bowls" or "\w+ > Bowls"'):
        photos([{"query_image": "00001.png", "category": "Bowls"}])


def test_photos_with_folds_tell_suspects_and_lessons_too(
    catalogue: Catalogue, photos: Photos, tmp_path: Path
) -> None:
    photos([{"query_image": "00000.png", "category": "Mugs"}])  # writes the file
    truths = read_queries(tmp_path / "ask" / "q.csv")
    found = evaluate_labels(catalogue, truths, folds=3)
    assert (found.by, found.items, found.folds) == ("photos", 1, 3)
    assert found.axes[0].items == 1
    assert len(found.axes[0].learning) > 1


def test_an_evaluation_is_strict_json(catalogue: Catalogue, heads: list[Any]) -> None:
    found = evaluate_labels(catalogue, folds=3)
    loaded = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    (axis,) = loaded["axes"]
    assert axis["accuracy"] == found.axes[0].accuracy
    assert sum(each["count"] for each in axis["confusion"]) == 24
    assert len(axis["reliability"]["count"]) == 10
    assert set(axis["worst"][0]) == {"name", "sha256", "label", "predicted", "confidence"}
