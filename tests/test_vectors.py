"""The vector store against a ranking by plain arithmetic."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.vectors import VectorStore

DIM = 6


def rows(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def made(products: list[int], seed: int = 0) -> VectorStore:
    """Return a store with view 1, 2, ... of these products."""
    store = VectorStore(DIM)
    store.update(
        np.arange(1, len(products) + 1),
        np.array(products, dtype=np.int64),
        rows(len(products), seed),
    )
    return store


def best(
    store: VectorStore, query: np.ndarray, allowed: set[int], without: int
) -> dict[int, float]:
    """Return each product's best score by plain arithmetic."""
    scores: dict[int, float] = {}
    for product, vector in zip(store.products.tolist(), store.vectors(), strict=True):
        if product in allowed and product != without:
            scores[product] = max(scores.get(product, -2.0), float(vector @ query))
    return scores


@settings(deadline=None, max_examples=150)
@given(
    products=st.lists(st.integers(1, 12), max_size=60),
    allowed=st.none() | st.sets(st.integers(1, 14)),
    without=st.lists(st.integers(-1, 13), min_size=3, max_size=3),
    k=st.integers(1, 15),
    seed=st.integers(0, 5),
)
def test_finds_what_arithmetic_finds(
    products: list[int], allowed: set[int] | None, without: list[int], k: int, seed: int
) -> None:
    store, queries = made(products, seed), rows(3, 100 + seed)
    keys = None if allowed is None else np.array(sorted(allowed), dtype=np.int64)
    found = store.search(queries, k, allowed=keys, without=np.array(without))
    everything = set(products) if allowed is None else allowed
    for at, query in enumerate(queries):
        scores = best(store, query, everything, without[at])
        n = min(k, len(scores))
        got = found.products[at][:n].tolist()
        assert len(set(got)) == n  # k distinct products, whenever there are k
        assert (found.products[at][n:] == -1).all()
        assert (found.views[at][n:] == -1).all()
        assert np.isneginf(found.scores[at][n:]).all()
        expected = sorted(scores.values(), reverse=True)[:n]
        np.testing.assert_allclose(found.scores[at][:n], expected, atol=1e-5)
        for product, score, view in zip(got, found.scores[at], found.views[at], strict=False):
            assert score == pytest.approx(scores[product], abs=1e-5)
            assert products[view - 1] == product
            assert float(store.vectors()[view - 1] @ query) == pytest.approx(score, abs=1e-5)


def test_a_product_with_very_many_pictures_takes_one_place() -> None:
    store = VectorStore(DIM)
    near = rows(1)[0]
    crowd = np.tile(near, (5000, 1))
    store.update(np.arange(5000), np.full(5000, 7), crowd)
    store.update(np.arange(5000, 5010), np.arange(10) + 100, rows(10, 3))
    found = store.search(near[None], 11)
    assert found.products[0][0] == 7
    assert sorted(found.products[0][1:].tolist()) == list(range(100, 110))


@settings(deadline=None, max_examples=80)
@given(
    steps=st.lists(
        st.tuples(st.sets(st.integers(1, 30), max_size=8), st.sets(st.integers(1, 40), max_size=8)),
        max_size=8,
    )
)
def test_rows_are_added_replaced_and_removed(steps: list[tuple[set[int], set[int]]]) -> None:
    store = VectorStore(DIM)
    model: dict[int, tuple[int, np.ndarray]] = {}
    for step, (put, removed) in enumerate(steps):
        out = removed - put
        vectors = rows(len(put), step)
        views = np.array(sorted(put), dtype=np.int64)
        store.update(views, views % 5, vectors, removed=np.array(sorted(out), dtype=np.int64))
        model = {view: row for view, row in model.items() if view not in out}
        model |= {
            view: (view % 5, vector) for view, vector in zip(sorted(put), vectors, strict=True)
        }
        assert sorted(store.views.tolist()) == sorted(model)
        for view, product, vector in zip(
            store.views.tolist(), store.products.tolist(), store.vectors(), strict=True
        ):
            assert product == model[view][0]
            np.testing.assert_array_equal(vector, model[view][1])


def test_removing_what_is_not_there() -> None:
    store = made([1, 2, 3])
    store.remove(np.array([2, 99]))
    assert store.views.tolist() == [1, 3]
    store.remove(np.array([1, 3]))
    assert len(store) == 0
    assert store.search(rows(2), 3).products.tolist() == [[-1] * 3] * 2
    assert store.vectors_of(1).shape == (0, DIM)


def test_a_snapshot_brings_back_everything(tmp_path: Path) -> None:
    store = made([3, 1, 3, 2])
    store.remove(np.array([2]))
    path = tmp_path / "index.safetensors"
    store.save(path, generation=5, space="a")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    loaded = VectorStore.load(path, dim=DIM, space="a")
    assert loaded is not None
    again, generation = loaded
    assert generation == 5
    assert again.views.tolist() == store.views.tolist()
    assert again.products.tolist() == store.products.tolist()
    np.testing.assert_array_equal(again.vectors(), store.vectors())
    again.update(np.array([9]), np.array([4]), rows(1))
    assert len(again) == 4


def test_a_snapshot_of_something_else_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "index.safetensors"
    assert VectorStore.load(path, dim=DIM, space="a") is None
    made([1, 2]).save(path, generation=1, space="a")
    assert VectorStore.load(path, dim=DIM, space="b") is None
    assert VectorStore.load(path, dim=DIM + 1, space="a") is None
    assert VectorStore.load(path, dim=DIM, space="a") is not None


def test_no_damaged_snapshot_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "index.safetensors"
    made([1, 2, 2, 4]).save(path, generation=1, space="a")
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert VectorStore.load(path, dim=DIM, space="a") is None, f"byte {at}"
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        assert VectorStore.load(path, dim=DIM, space="a") is None, f"cut at {length}"


def test_searches_while_rows_come_and_go() -> None:
    store = VectorStore(DIM)
    store.update(np.arange(50), np.arange(50), rows(50))
    wrong: list[str] = []
    over = threading.Event()

    def search() -> None:
        queries = rows(4, 9)
        while not over.is_set():
            found = store.search(queries, 30)
            if (found.products < 0).any() or any(
                len(set(row)) < 30 for row in found.products.tolist()
            ):
                wrong.append(str(found.products))
            elif (np.diff(found.scores, axis=1) > 1e-6).any():
                wrong.append(str(found.scores))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(300):
        fresh = np.arange(100 + 40 * step, 140 + 40 * step)
        store.update(fresh, fresh, rows(40, step), removed=fresh - 40)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(store) == 90
