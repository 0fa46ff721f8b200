"""Verdicts: probabilities that are right as often as they say."""

from dataclasses import replace

import numpy as np
import pytest

from index.search.verdicts import EXACT_PRECISION, FALSE_ALARMS, NO_LIMIT, Verdicts, fit_verdicts


def simulated(q: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return present, found, absent: rivals around 0.4, the true product somewhat above them."""
    rng = np.random.default_rng(seed)
    rivals = -np.sort(-rng.normal(0.4, 0.1, (q, 5)), axis=1)
    own = rng.normal(0.65, 0.15, q)
    rows = np.concatenate([rivals, own[:, None]], axis=1)
    order = np.argsort(-rows, axis=1)[:, :5]
    is_own = order == 5
    found = np.where(is_own.any(axis=1), is_own.argmax(axis=1), -1)
    present = np.take_along_axis(rows, order, axis=1)
    return present.astype(np.float32), found, rivals.astype(np.float32)


def test_probabilities_hold_on_photos_that_were_not_fitted() -> None:
    model = fit_verdicts(*simulated(2000))
    present, found, absent = simulated(4000, seed=1)
    p = model.probabilities(np.concatenate([present, absent]))[:, 0]
    right = np.concatenate([found == 0, np.zeros(len(absent), dtype=bool)])
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        here = (p >= low) & (p < low + 0.2)
        if here.sum() > 100:
            assert right[here].mean() == pytest.approx(p[here].mean(), abs=0.1)
    assert model.ece < 0.05
    assert model.queries == 2000


def test_limits_keep_what_they_state() -> None:
    model = fit_verdicts(*simulated(3000))
    present, found, absent = simulated(3000, seed=1)
    there, gone = model.probabilities(present)[:, 0], model.probabilities(absent)[:, 0]
    said = np.concatenate(
        [found[there >= model.exact_at] == 0, np.zeros((gone >= model.exact_at).sum())]
    )
    assert len(said) > 100
    assert said.mean() > EXACT_PRECISION - 0.02
    assert (there < model.not_stocked_at).mean() < FALSE_ALARMS + 0.02
    assert model.not_stocked_at <= model.exact_at


def test_verdict_follows_the_limits() -> None:
    model = Verdicts(0.0, 1.0, 0.0, 0.9, 0.2, NO_LIMIT, queries=9, ece=0.0)
    assert [model.verdict(p, -1.0) for p in (0.95, 0.9, 0.5, 0.2, 0.1)] == [
        "exact", "exact", "similar", "similar", "not stocked",
    ]  # fmt: skip
    by_cosine = replace(model, not_stocked_at=0.0, least_cosine=0.4)
    asked = [(0.95, 0.1), (0.1, 0.4), (0.5, 0.39), (0.1, -1.0)]
    assert [by_cosine.verdict(*each) for each in asked] == [
        "exact", "similar", "not stocked", "not stocked",
    ]  # fmt: skip


def test_a_limit_by_cosine_keeps_false_alarms_as_stated() -> None:
    cosines = np.random.default_rng(2).normal(0.7, 0.1, 1000)
    model = fit_verdicts(*simulated(1000), cosines)
    assert (cosines < model.least_cosine).mean() == pytest.approx(FALSE_ALARMS, abs=0.005)
    present, _, _ = simulated(1000, seed=1)
    sure = model.probabilities(present)[:, 0].tolist()
    said = [model.verdict(p, cosine) for p, cosine in zip(sure, cosines.tolist(), strict=True)]
    assert said.count("not stocked") <= FALSE_ALARMS * 1000
    assert fit_verdicts(*simulated(1000)).least_cosine == NO_LIMIT


def test_the_best_hit_is_the_surest_and_padding_has_no_chance() -> None:
    model = fit_verdicts(*simulated(500))
    p = model.probabilities(np.array([[0.8, 0.4, 0.3, -np.inf]], dtype=np.float32))[0]
    assert p[0] > p[1] >= p[2] > p[3] == 0.0
    assert p[0] > model.probabilities(np.array([[0.8, 0.79, 0.3, 0.2]], dtype=np.float32))[0, 0]


def test_a_lone_hit_has_a_probability() -> None:
    model = fit_verdicts(*simulated(500))
    assert np.isfinite(model.probabilities(np.array([[0.8]], dtype=np.float32))).all()
    assert np.isfinite(model.probabilities(np.array([[1.0, -np.inf]], dtype=np.float32))).all()


def test_nothing_to_learn_from_says_nothing_either_way() -> None:
    """A catalogue whose photos never find their product has no positive example."""
    rivals = np.full((20, 5), 0.5, dtype=np.float32)
    model = fit_verdicts(rivals, np.full(20, -1), rivals)
    assert model.probabilities(rivals)[:, 0] == pytest.approx(0.5)
    assert model.verdict(0.5, 0.9) == "similar"


def test_fit_is_deterministic() -> None:
    assert fit_verdicts(*simulated(300)) == fit_verdicts(*simulated(300))


def test_a_filter_makes_no_hit_surer() -> None:
    model = fit_verdicts(*simulated(500))
    whole = np.array([[0.6, 0.5, 0.1]], dtype=np.float32)
    everything = model.probabilities(whole)[0]
    alone = model.probabilities(np.array([[0.1, -np.inf]], dtype=np.float32), whole[:, :2])
    assert alone[0, 0] == pytest.approx(everything[2])
    second = model.probabilities(np.array([[0.5, 0.1]], dtype=np.float32), whole[:, :2])
    np.testing.assert_allclose(second[0], everything[1:], rtol=1e-5)


def test_twins_with_one_picture_are_no_rivals() -> None:
    model = fit_verdicts(*simulated(500))
    one = model.probabilities(np.array([[0.9, 0.4, 0.3]], dtype=np.float32))[0]
    two = model.probabilities(np.array([[0.9, 0.9, 0.4]], dtype=np.float32))[0]
    assert two[0] == two[1] == pytest.approx(one[0])
