"""The head: what it learns, how sure it is, what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vision.arrays import unit
from vision.errors import HeadError
from vision.head import Examples, Head
from vision.head.acceptance import calibration_error
from vision.taxonomy import CATEGORY, Taxonomy

DIM, COLOURS = 24, 12
LEAVES = ("Garden > Pots", "Garden > Rakes", "Kitchen > Bowls", "Kitchen > Cups > Mugs", "Toys")
SHADES = ("blue", "green", "red")
TAXONOMY = Taxonomy(LEAVES, {}, {"colour": SHADES})


def shop(
    n: int, seed: int = 0, noise: float = 1.0, shares: Sequence[float] | None = None
) -> Examples:
    """Products whose embedding tells the category, and whose colours tell the colour."""
    centres = np.random.default_rng(99)
    kinds = centres.normal(size=(len(LEAVES), DIM))
    kinds[2] = kinds[3] + 0.7 * centres.normal(size=DIM)  # bowls look like mugs
    shades = centres.random((len(SHADES), COLOURS)) ** 4
    rng = np.random.default_rng(seed)
    leaf = rng.choice(len(LEAVES), n, p=shares)
    shade = rng.integers(0, len(SHADES), n)
    vectors = kinds[leaf] + noise * rng.normal(size=(n, DIM)) + 1.0
    colours = shades[shade] + 0.15 * rng.random((n, COLOURS))
    return Examples(
        unit(vectors),
        unit(colours),
        {
            CATEGORY: tuple(LEAVES[each] for each in leaf),
            "colour": tuple(SHADES[each] for each in shade),
        },
    )


def relabelled(examples: Examples, axis: str, values: Sequence[str]) -> Examples:
    return replace(examples, labels={**examples.labels, axis: tuple(values)})


def best(head: Head, asked: Examples, axis: str = CATEGORY) -> np.ndarray:
    said = head.predict(asked.vectors, asked.colours)[axis]
    return np.array([value for ((value, _),) in said.best(1)])


@pytest.fixture(scope="module")
def trained() -> Head:
    return Head.fit(shop(800), TAXONOMY, fingerprint="f" * 64)


@pytest.fixture(scope="module")
def asked() -> Examples:
    return shop(2000, seed=1)


def test_categories_and_attributes_are_learnt_together(trained: Head, asked: Examples) -> None:
    said = trained.predict(asked.vectors, asked.colours)
    assert set(said) == {CATEGORY, "colour"}
    assert (best(trained, asked) == asked.labels[CATEGORY]).mean() > 0.9
    assert (best(trained, asked, "colour") == asked.labels["colour"]).mean() > 0.95
    # Each axis goes by what tells it: colours for the colour.
    assert trained.axes["colour"].colour_weight > trained.axes[CATEGORY].colour_weight
    assert trained.counts["colour"]["red"] == shop(800).labels["colour"].count("red")


def test_probabilities_mean_what_they_say(trained: Head, asked: Examples) -> None:
    said = trained.predict(asked.vectors, asked.colours)[CATEGORY]
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1.0, atol=1e-5)
    right = best(trained, asked) == asked.labels[CATEGORY]
    assert calibration_error(said.probabilities.max(axis=1), right) < 0.03
    assert trained.axes[CATEGORY].figures["calibration_error"] < 0.03
    assert trained.axes[CATEGORY].figures["accuracy"] == pytest.approx(right.mean(), abs=0.03)


def test_accepted_values_are_right_as_often_as_asked(asked: Examples) -> None:
    noisy = shop(3000, noise=1.5)
    head = Head.fit(noisy, TAXONOMY)
    asked = shop(4000, seed=1, noise=1.5)
    truth = asked.labels[CATEGORY]
    covered = []
    for precision in (0.9, 0.95, 0.98):
        said = head.predict(asked.vectors, asked.colours, precision=precision)[CATEGORY]
        right = [
            true == value or true.startswith(f"{value} > ")
            for true, value in zip(truth, said.accepted, strict=True)
            if value
        ]
        covered.append(len(right) / len(truth))
        assert np.mean(right) > precision - 0.015
        assert head.axes[CATEGORY].report(precision)["coverage"] == pytest.approx(
            covered[-1], abs=0.05
        )
    assert covered[0] > covered[1] > covered[2] > 0.2
    said = head.predict(asked.vectors, asked.colours)[CATEGORY]
    assert {"Kitchen", "Kitchen > Cups > Mugs"} <= set(said.accepted)  # as deep as is sure


def test_few_examples_prove_nothing() -> None:
    """Forty right ones of forty do not show that 98 % are right."""
    easy = shop(40, noise=0.1)
    head = Head.fit(easy, TAXONOMY)
    assert (best(head, easy) == easy.labels[CATEGORY]).mean() == 1.0
    assert set(head.predict(easy.vectors, easy.colours)[CATEGORY].accepted) == {""}
    said = head.predict(easy.vectors, easy.colours, precision=0.8)[CATEGORY]
    assert "Toys" in said.accepted


@pytest.mark.parametrize("each", [1, 2, 5])
def test_few_examples_are_enough_to_guess(each: int, asked: Examples) -> None:
    pool = shop(400, seed=7)
    rows = np.concatenate(
        [np.flatnonzero(np.array(pool.labels[CATEGORY]) == leaf)[:each] for leaf in LEAVES]
    )
    labels = {axis: tuple(np.array(said)[rows]) for axis, said in pool.labels.items()}
    labels["colour"] = ("",) * len(rows)
    head = Head.fit(Examples(pool.vectors[rows], pool.colours[rows], labels), TAXONOMY)
    assert (best(head, asked) == asked.labels[CATEGORY]).mean() > 0.55 + 0.05 * each
    if each == 1:
        assert set(head.axes[CATEGORY].weights) == {"prototypes"}
        assert "not calibrated" in head.axes[CATEGORY].figures["note"]
        assert set(head.predict(asked.vectors, asked.colours)[CATEGORY].accepted) == {""}


def words(texts: Sequence[str]) -> np.ndarray:
    """Embed names near what they name; of all else nothing is known."""
    kinds = shop(4000, seed=3, noise=0.5)
    rows = []
    for text in texts:
        found = [leaf for leaf in LEAVES if leaf.split(" > ")[-1] in text]
        chosen = np.array(kinds.labels[CATEGORY]) == (found[0] if found else "")
        rows.append(kinds.vectors[chosen].mean(axis=0) if found else np.ones(DIM))
    return unit(np.array(rows))


def test_without_labels_names_are_gone_by(asked: Examples) -> None:
    bare = Examples(asked.vectors, asked.colours, {})
    tree = Taxonomy(LEAVES)
    head = Head.fit(bare, tree, words=words)
    assert (best(head, asked) == asked.labels[CATEGORY]).mean() > 0.8
    said = head.predict(asked.vectors, asked.colours)[CATEGORY]
    assert set(said.accepted) == {""}
    assert "not calibrated" in head.report()[CATEGORY]["note"]
    with pytest.raises(HeadError, match="no product has a label"):
        Head.fit(bare, tree)


def test_names_help_where_examples_are_few_and_are_dropped_where_they_mislead() -> None:
    few = shop(25, seed=5, noise=1.5)
    asked = shop(1000, seed=6, noise=1.5)
    alone, named = (Head.fit(few, TAXONOMY, words=each) for each in (None, words))
    truth = np.array(asked.labels[CATEGORY])
    assert (best(named, asked) == truth).mean() > (best(alone, asked) == truth).mean() + 0.05
    assert "names" in named.axes[CATEGORY].weights
    rng = np.random.default_rng(0)
    misled = Head.fit(shop(400), TAXONOMY, words=lambda t: unit(rng.normal(size=(len(t), DIM))))
    assert "names" not in misled.axes[CATEGORY].weights


def test_labels_may_be_missing_or_stop_at_an_inner_node(asked: Examples) -> None:
    full = shop(600)
    rng = np.random.default_rng(0)
    partial = [
        "" if chance < 0.3 else value.split(" > ")[0] if chance < 0.6 else value
        for chance, value in zip(rng.random(600), full.labels[CATEGORY], strict=True)
    ]
    head = Head.fit(relabelled(full, CATEGORY, partial), TAXONOMY)
    assert (best(head, asked) == asked.labels[CATEGORY]).mean() > 0.85
    assert head.counts[CATEGORY]["Kitchen"] == partial.count("Kitchen")
    # A class that is known by an inner node only gets what the node has.
    split = Taxonomy((*LEAVES, "Toys > Cars", "Toys > Dolls"), {}, {"colour": SHADES})
    said = Head.fit(full, split).predict(asked.vectors, asked.colours, precision=0.9)[CATEGORY]
    assert {"Toys > Cars", "Toys > Dolls"} <= set(said.values)
    assert "Toys" in said.accepted
    assert not {"Toys > Cars", "Toys > Dolls"} & set(said.accepted)


def test_rare_classes_are_learnt_too() -> None:
    shares = (0.6, 0.02, 0.2, 0.15, 0.03)
    head = Head.fit(shop(1500, shares=shares), TAXONOMY)
    asked = shop(3000, seed=1, shares=shares)
    found = best(head, asked) == asked.labels[CATEGORY]
    truth = np.array(asked.labels[CATEGORY])
    for leaf in LEAVES:
        assert found[truth == leaf].mean() > 0.7, leaf
    p = head.predict(asked.vectors, asked.colours)[CATEGORY].probabilities.max(axis=1)
    assert calibration_error(p, found) < 0.03


def test_strangers_are_told_and_not_accepted(trained: Head, asked: Examples) -> None:
    rng = np.random.default_rng(0)
    strange = unit(2.0 * rng.normal(size=(500, DIM)) - 1.0)
    model = trained.axes[CATEGORY].outside
    assert model is not None
    own = trained.predict(asked.vectors, asked.colours)[CATEGORY]
    other = trained.predict(strange, asked.colours[:500])[CATEGORY]
    assert (own.outside > model.limit).mean() < 0.08
    assert (other.outside > model.limit).mean() > 0.6
    assert not any(
        value
        for value, p in zip(other.accepted, other.outside.tolist(), strict=True)
        if p > model.limit
    )


def test_a_correction_counts_at_once_for_what_looks_like_it(trained: Head, asked: Examples) -> None:
    before = trained.predict(asked.vectors, asked.colours)[CATEGORY]
    place = before.values.index("Toys")
    sure = int(np.argmax(np.where(before.probabilities[:, place] < 0.01, before.confidence, 0)))
    near = unit(asked.vectors[[sure]] + 0.01)
    said = {CATEGORY: ("Toys",), "colour": ("",)}
    since = Examples(near, asked.colours[[sure]], said)
    after = trained.predict(asked.vectors, asked.colours, corrections=since)[CATEGORY]
    assert after.best(1)[sure][0][0] == "Toys"
    assert after.outside[sure] < 0.05
    moved = np.abs(after.probabilities - before.probabilities).max(axis=1)
    alike = trained.space.parts(asked.vectors, asked.colours)
    alike = trained.space.weighed(alike, trained.axes[CATEGORY].colour_weight)
    assert moved[alike @ alike[sure] < 0.2].max() < 0.1
    np.testing.assert_allclose(after.probabilities.sum(axis=1), 1.0, atol=1e-5)
    # A category that the head never saw is proposed for its like.
    new = trained.predict(
        asked.vectors,
        asked.colours,
        corrections=replace(since, labels={CATEGORY: ("Books",)}),
    )[CATEGORY]
    assert new.best(1)[sure][0][0] == "Books"
    assert new.probabilities.shape == (2000, len(LEAVES) + 1)
    # An inner node raises what is below it, in the proportions that the head has.
    inner = trained.predict(
        asked.vectors, asked.colours, corrections=replace(since, labels={CATEGORY: ("Garden",)})
    )[CATEGORY]
    assert inner.best(1)[sure][0][0].startswith("Garden")


def test_the_same_examples_and_seed_give_the_same_head() -> None:
    examples, asked = shop(300), shop(50, seed=1)
    one, same, other = (Head.fit(examples, TAXONOMY, seed=seed) for seed in (3, 3, 4))
    first, second, third = (
        each.predict(asked.vectors, asked.colours)[CATEGORY] for each in (one, same, other)
    )
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert not np.array_equal(first.probabilities, third.probabilities)


def test_held_out_answers_are_kept_for_every_example() -> None:
    examples = relabelled(shop(300), "colour", ["red", "blue", ""] * 100)
    head = Head.fit(examples, TAXONOMY)
    np.testing.assert_array_equal(head.held_out[CATEGORY].rows, np.arange(300))
    rows = head.held_out["colour"].rows
    assert all(examples.labels["colour"][row] for row in rows)
    said = head.axes[CATEGORY].classes
    found = np.array(said)[head.held_out[CATEGORY].log_p.argmax(axis=1)]
    assert (found == examples.labels[CATEGORY]).mean() > 0.85


def test_progress_tells_every_stage() -> None:
    told: list[tuple[str, int, int]] = []
    Head.fit(shop(100), TAXONOMY, progress=lambda *each: told.append(each))
    assert [each[0] for each in told if each[1] == 0] == ["train category", "train colour"]
    assert all(done <= total for _, done, total in told)
    assert told[-1][1] == told[-1][2]


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: relabelled(e, CATEGORY, ["Toys"] * 50), "one kind only"),
        (lambda e: relabelled(e, CATEGORY, [""] * 50), "no product has a label"),
        (lambda e: relabelled(e, CATEGORY, ["Shoes"] * 50), "The taxonomy has no \"Shoes\""),
        (lambda e: relabelled(e, CATEGORY, ["Toys"] * 49), "needs an embedding"),
        (lambda e: replace(e, vectors=e.vectors * np.nan), "not numbers"),
        (lambda e: Examples(e.vectors[:0], e.colours[:0], {}), "no products"),
    ],
)  # fmt: skip
def test_bad_examples_are_refused(change: object, message: str) -> None:
    assert callable(change)
    plain = replace(shop(50), labels={CATEGORY: shop(50).labels[CATEGORY]})
    with pytest.raises(HeadError, match=message):
        Head.fit(change(plain), TAXONOMY)


def test_an_axis_that_cannot_be_learnt_is_named_and_the_others_are_learnt() -> None:
    head = Head.fit(relabelled(shop(80), "colour", ["red"] * 80), TAXONOMY)
    assert set(head.axes) == {CATEGORY}
    assert "one kind only" in head.skipped["colour"]


@pytest.mark.parametrize("precision", [0.0, 1.0, -1.0, 98.0])
def test_an_impossible_precision_is_refused(precision: float) -> None:
    with pytest.raises(HeadError, match="precision"):
        Head.fit(shop(50), TAXONOMY, precision=precision)


def test_other_embeddings_are_refused(trained: Head, asked: Examples) -> None:
    with pytest.raises(HeadError, match="24 numbers"):
        trained.predict(asked.vectors[:, :20], asked.colours)


def test_nothing_asked_is_nothing_said(trained: Head, asked: Examples) -> None:
    said = trained.predict(asked.vectors[:0], asked.colours[:0])[CATEGORY]
    assert said.probabilities.shape == (0, len(LEAVES))
    assert said.best(3) == []


# --- files ---------------------------------------------------------------------------------------


def test_a_head_comes_back_from_its_files(trained: Head, asked: Examples, tmp_path: Path) -> None:
    digest = trained.save(tmp_path / "1.json")
    back = Head.load(tmp_path / "1.json", digest=digest, fingerprint="f" * 64, taxonomy=TAXONOMY)
    one, two = (each.predict(asked.vectors, asked.colours) for each in (trained, back))
    for axis in one:
        assert one[axis].values == two[axis].values
        assert one[axis].accepted == two[axis].accepted
        np.testing.assert_array_equal(one[axis].probabilities, two[axis].probabilities)
        np.testing.assert_array_equal(one[axis].outside, two[axis].outside)
    assert back.report() == trained.report()
    assert (back.counts, back.time, back.taxonomy) == (
        trained.counts,
        trained.time,
        TAXONOMY.digest(),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.json", "1.safetensors"]


def test_heads_by_names_or_of_single_examples_come_back_too(
    asked: Examples, tmp_path: Path
) -> None:
    bare = Head.fit(Examples(asked.vectors, asked.colours, {}), Taxonomy(LEAVES), words=words)
    single = Head.fit(
        Examples(asked.vectors[:2], asked.colours[:2], {CATEGORY: LEAVES[:2]}), TAXONOMY
    )
    for number, head in enumerate((bare, single)):
        head.save(tmp_path / f"{number}.json")
        back = Head.load(tmp_path / f"{number}.json")
        np.testing.assert_array_equal(best(back, asked), best(head, asked))


@pytest.mark.parametrize("name", ["1.json", "1.safetensors"])
def test_a_flipped_bit_anywhere_is_noticed(name: str, tmp_path: Path) -> None:
    Head.fit(replace(shop(60), labels={CATEGORY: shop(60).labels[CATEGORY]}), TAXONOMY).save(
        tmp_path / "1.json"
    )
    path = tmp_path / name
    whole = path.read_bytes()
    for at in [*range(0, len(whole), max(1, len(whole) // 150)), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << (at % 8)
        path.write_bytes(flipped)
        with pytest.raises(HeadError, match="damaged"):
            Head.load(tmp_path / "1.json")
    path.write_bytes(whole[:-1])
    with pytest.raises(HeadError, match="damaged"):
        Head.load(tmp_path / "1.json")
    path.unlink()
    with pytest.raises(HeadError, match="cannot be read"):
        Head.load(tmp_path / "1.json")


def test_a_head_of_elsewhere_is_refused(trained: Head, tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    digest = trained.save(path)
    with pytest.raises(HeadError, match="another encoder"):
        Head.load(path, fingerprint="0" * 64)
    with pytest.raises(HeadError, match="another taxonomy"):
        Head.load(path, taxonomy=Taxonomy(LEAVES[:4], {}, {"colour": SHADES}))
    with pytest.raises(HeadError, match="another taxonomy"):
        Head.load(path, taxonomy=Taxonomy(LEAVES, {}, {"colour": SHADES[:2]}))
    # What the taxonomy has besides does not matter.
    Head.load(path, taxonomy=Taxonomy((*LEAVES, "Books"), {}, {"colour": (*SHADES, "pink")}))
    other = Head.fit(shop(60), TAXONOMY).save(tmp_path / "2.json")
    with pytest.raises(HeadError, match="another head"):
        Head.load(path, digest=other)
    assert digest != other


def test_renamed_and_merged_categories_are_followed(trained: Head, asked: Examples) -> None:
    before = trained.predict(asked.vectors, asked.colours)[CATEGORY]
    moved = trained.renamed({"Kitchen": "Cooking", "Garden > Rakes": "Tools", "Toys": "Tools"})
    after = moved.predict(asked.vectors, asked.colours)[CATEGORY]
    assert set(after.values) == {
        "Garden > Pots", "Tools", "Cooking > Bowls", "Cooking > Cups > Mugs",
    }  # fmt: skip
    assert moved.categories == after.values
    old = {value: before.probabilities[:, at] for at, value in enumerate(before.values)}
    new = {value: after.probabilities[:, at] for at, value in enumerate(after.values)}
    np.testing.assert_allclose(new["Tools"], old["Garden > Rakes"] + old["Toys"], atol=1e-6)
    np.testing.assert_allclose(new["Cooking > Bowls"], old["Kitchen > Bowls"], atol=1e-6)
    assert moved.predict(asked.vectors, asked.colours)["colour"].values == SHADES
