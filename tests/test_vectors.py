"""The vector store against a ranking by plain arithmetic."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.vectors import KINDS, Choice, DamagedIndex, VectorStore, look
from index.vectors.rows import BLOCK, Rows
from vision.errors import CatalogueError

DIM = 6


def rows(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def made(products: list[int], seed: int = 0, kind: str = "exact") -> VectorStore:
    """Return a store with view 1, 2, ... of these products."""
    keys = np.array(products, dtype=np.int64)
    part = (np.arange(1, len(products) + 1), keys, rows(len(products), seed))
    return VectorStore.build([part], DIM, kind=kind)


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
    kind=st.sampled_from(KINDS),
    products=st.lists(st.integers(1, 12), max_size=60),
    allowed=st.none() | st.sets(st.integers(1, 14)),
    without=st.lists(st.integers(-1, 13), min_size=3, max_size=3),
    k=st.integers(1, 15),
    seed=st.integers(0, 5),
)
def test_finds_what_arithmetic_finds(
    kind: str, products: list[int], allowed: set[int] | None, without: list[int], k: int, seed: int
) -> None:
    store, queries = made(products, seed, kind), rows(3, 100 + seed)
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


@settings(deadline=None, max_examples=120)
@given(
    kind=st.sampled_from(KINDS),
    steps=st.lists(
        st.tuples(st.sets(st.integers(1, 30), max_size=8), st.sets(st.integers(1, 40), max_size=8)),
        max_size=8,
    ),
)
def test_rows_are_added_replaced_and_removed(
    kind: str, steps: list[tuple[set[int], set[int]]]
) -> None:
    first = rows(20, 99)
    store = VectorStore.build([(np.arange(1, 21), np.arange(1, 21) % 5, first)], DIM, kind=kind)
    model = {view: (view % 5, first[view - 1]) for view in range(1, 21)}
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
        for product in range(6):
            own = [view for view, row in model.items() if row[0] == product]
            assert len(store.vectors_of(product)) == len(own)
        if model:  # each is found by its own vector
            some = min(model)
            assert store.search(model[some][1][None], 1).scores[0, 0] == pytest.approx(1, abs=1e-5)


def test_few_products_are_looked_up_among_many_and_among_what_came_since() -> None:
    products = np.random.default_rng(0).integers(0, 500, 3000)
    store = VectorStore(DIM)
    for part in (slice(0, 2000), slice(2000, 3000)):
        ids = np.arange(3000)[part]
        store.update(ids, products[ids], rows(3000, 1)[ids])
        for keys in (np.array([7]), np.array([3, 7, 450]), np.array([7, 900])):
            own = np.flatnonzero(np.isin(products[: ids[-1] + 1], keys))
            found = [store.vectors_of(int(key)) for key in keys]
            assert sum(map(len, found)) == len(own)
            best = store.search(rows(1, 2), 1, allowed=keys).scores[0, 0]
            assert best == pytest.approx((rows(3000, 1)[own] @ rows(1, 2)[0]).max(), abs=1e-6)


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


# --- kinds that propose candidates ---------------------------------------------------------------

BIG, WIDE = 6000, 32


def clustered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, WIDE))
    vectors = centres[rng.integers(0, 40, count)] + 0.9 * rng.normal(size=(count, WIDE))
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


@pytest.fixture(params=["scan", "lists", "scan in half"])
def big(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorStore]:
    """A store of 6000 products with one picture each, view = product + 10,000."""
    if request.param == "scan in half":
        monkeypatch.setattr("index.vectors.store.HALF_FROM", 0)
    keys, vectors = np.arange(BIG), clustered(BIG)
    parts = (
        (keys[i : i + 700] + 10_000, keys[i : i + 700], vectors[i : i + 700])
        for i in range(0, BIG, 700)
    )
    store = VectorStore.build(parts, WIDE, kind=request.param.split()[0])
    assert store.measured.kind == request.param.split()[0]  # and not exact, for want of recall
    assert store.in_file
    yield store


def recall(store: VectorStore, vectors: np.ndarray, keys: np.ndarray | None, k: int = 10) -> float:
    """Return recall@k of 60 queries against plain arithmetic among these products."""
    queries = clustered(60, 7)
    among = np.arange(len(vectors)) if keys is None else keys
    order = np.argsort(-(queries @ vectors[among].T), axis=1)[:, :k]
    found = store.search(queries, k, allowed=keys).products
    assert (found >= 0).all()
    assert all(len(set(row)) == k for row in found.tolist())
    return float(
        np.mean([len(set(a) & set(b)) / k for a, b in zip(found, among[order], strict=True)])
    )


@pytest.mark.parametrize("share", [None, 0.004, 0.01, 0.1, 0.2, 0.5, 0.9])
def test_recall_with_and_without_filters(big: VectorStore, share: float | None) -> None:
    keys = None
    if share is not None:
        keys = np.sort(np.random.default_rng(3).choice(BIG, int(share * BIG), replace=False))
    reached = recall(big, clustered(BIG), keys)
    assert reached >= 0.99
    if share is not None and share <= 0.1 and big.tolerance < 1e-4:
        assert reached == 1.0  # an exact pass


def test_a_filter_that_leaves_only_what_is_far(big: VectorStore) -> None:
    vectors, hits = clustered(BIG), []
    near = big.measured.candidates - 5  # few of the best codes are left
    for query in clustered(40, 7):
        far = np.sort(np.argsort(vectors @ query)[: BIG - near])  # nothing near may be found
        found = big.search(query[None], 10, allowed=far).products[0]
        best_first = far[np.argsort(-(vectors[far] @ query))[:10]]
        hits.append(len(set(found.tolist()) & set(best_first.tolist())))
    assert np.mean(hits) >= 9.9


def test_a_narrow_filter_does_not_depend_on_codes(
    big: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.vectors.scans.Scan.search", None)
    keys = np.arange(0, BIG, 10)
    assert recall(big, clustered(BIG), keys) >= (1.0 if big.tolerance < 1e-4 else 0.99)


def test_many_products_asked_for_are_all_found(big: VectorStore) -> None:
    assert recall(big, clustered(BIG), None, k=700) >= 0.99


def test_recall_after_products_came_and_went(big: VectorStore) -> None:
    vectors = clustered(BIG)
    fresh = clustered(1500, 5)
    big.update(np.arange(1500) + 50_000, np.arange(1500) + BIG, fresh)
    gone = np.random.default_rng(4).choice(BIG, 2500, replace=False)
    big.remove(gone + 10_000)
    moved = np.setdiff1d(np.arange(BIG), gone)[:300]  # the same pictures, other vectors
    vectors[moved] = clustered(300, 6)
    big.update(moved + 10_000, moved, vectors[moved])
    assert len(big) == BIG - 2500 + 1500
    assert big.worn == pytest.approx((1500 + 2500 + 300 + 300) / BIG)
    every = np.concatenate([vectors, fresh])
    there = np.setdiff1d(np.arange(len(every)), gone)
    order = there[np.argsort(-(clustered(60, 7) @ every[there].T), axis=1)[:, :10]]
    found = big.search(clustered(60, 7), 10).products
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), order.tolist(), strict=True)]
    assert np.mean(hits) >= 9.9
    assert not np.isin(found, gone).any()
    assert sorted(big.products.tolist()) == there.tolist()
    for key in (int(moved[0]), BIG + 3):
        np.testing.assert_allclose(big.vectors_of(key), every[key][None], atol=big.tolerance)


def test_pictures_that_crowd_the_candidates(big: VectorStore) -> None:
    """One product has more pictures near the query than there are candidates."""
    query = clustered(1, 7)
    crowd = np.tile(query, (4000, 1))
    big.update(np.arange(4000) + 90_000, np.full(4000, 77_777), crowd)
    found = big.search(query, 5).products[0].tolist()
    assert found[0] == 77_777
    assert len(set(found)) == 5
    assert -1 not in found
    alone = big.search(query, 5, without=np.array([77_777])).products[0].tolist()
    assert 77_777 not in alone
    assert -1 not in alone


def test_one_query_is_answered_as_many_are(big: VectorStore) -> None:
    queries = clustered(20, 8)
    together = big.search(queries, 10)
    for at in range(20):
        alone = big.search(queries[at : at + 1], 10)
        np.testing.assert_array_equal(alone.products[0], together.products[at])


def test_the_measured_recall_is_what_it_says(big: VectorStore) -> None:
    facts = big.measured
    assert facts.recall >= 0.995  # with its margin
    assert facts.rows == BIG
    assert 0 < facts.p50 <= facts.p99
    assert facts.memory <= 100
    trade = big.tradeoffs([0.5, 0.9, 0.99, 0.999])
    assert [each.recall for each in trade] == sorted(each.recall for each in trade)
    assert all(
        each.recall >= goal for each, goal in zip(trade, (0.5, 0.9, 0.99, 0.999), strict=False)
    )
    assert trade[0].candidates < trade[-1].candidates
    assert big.measured == facts


def test_a_recall_that_is_out_of_reach_makes_the_index_exact(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("index.vectors.measuring._CANDIDATES", (20,))
    vectors = rows(3000)
    part = (np.arange(3000), np.arange(3000), vectors)
    store = VectorStore.build([part], DIM, kind="lists", recall=0.9999)
    assert store.measured.kind == "exact"
    store.remove(np.array([5]))
    query = vectors[5:6]
    order = np.argsort(-(vectors @ query[0]))
    assert store.search(query, 10).products[0].tolist() == order[1:11].tolist()
    store.save(tmp_path / "index", generation=1, space="a")
    loaded = VectorStore.load(tmp_path / "index", dim=DIM, space="a")
    assert loaded is not None
    assert loaded[0].search(query, 10).products[0].tolist() == order[1:11].tolist()


def test_the_kind_goes_by_size() -> None:
    sizes = (0, 19_999, 20_000, 199_999, 200_000)
    assert [Choice().kind_for(n) for n in sizes] == ["exact", "exact", "scan", "scan", "lists"]
    assert Choice("exact").kind_for(10**7) == "exact"


# --- their snapshots -----------------------------------------------------------------------------


def reload(store: VectorStore, path: Path) -> VectorStore:
    store.save(path, generation=3, space="a")
    found = VectorStore.load(path, dim=WIDE, space="a")
    assert found is not None
    assert found[1] == 3
    return found[0]


def test_a_large_snapshot_brings_back_everything(big: VectorStore, tmp_path: Path) -> None:
    big.remove(np.arange(10_050, 10_100))
    big.update(np.array([60_000]), np.array([9000]), clustered(1, 3))
    again = reload(big, tmp_path / "index.safetensors")
    assert again.measured == big.measured == look(tmp_path / "index.safetensors")
    assert again.views.tolist() == big.views.tolist()
    assert again.products.tolist() == big.products.tolist()
    np.testing.assert_array_equal(again.vectors(), big.vectors())
    one, two = (each.search(clustered(30, 7), 10) for each in (big, again))
    np.testing.assert_array_equal(one.products, two.products)
    np.testing.assert_array_equal(one.scores, two.scores)
    assert (big.unsaved, again.unsaved) == (0, 0)
    twice = reload(again, tmp_path / "index.safetensors")  # in place of the file that it reads
    np.testing.assert_array_equal(again.vectors(), twice.vectors())
    assert again.search(clustered(1, 3), 1).products[0, 0] == 9000


def test_no_damaged_byte_is_searched(big: VectorStore, tmp_path: Path) -> None:
    path = tmp_path / "index.safetensors"
    big.save(path, generation=1, space="a")
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    late = 0
    for at in [*range(0, 400, 3), *rng.integers(0, len(good), 150).tolist(), len(good) - 1]:
        path.unlink()  # a store may still read the one before
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        loaded = VectorStore.load(path, dim=WIDE, space="a")
        if loaded is not None:
            late += 1
            with pytest.raises(DamagedIndex):
                loaded[0].search(clustered(1, 7), len(big))
            with pytest.raises(DamagedIndex):
                loaded[0].vectors()
            with pytest.raises(DamagedIndex):
                loaded[0].save(tmp_path / "copy", generation=1, space="a")
    assert late > 50  # most of the file is vectors
    for length in [*range(0, 400, 7), *rng.integers(0, len(good), 50).tolist()]:
        path.unlink()
        path.write_bytes(good[:length])
        assert VectorStore.load(path, dim=WIDE, space="a") is None, f"cut at {length}"
    path.write_bytes(good + b"x")
    assert VectorStore.load(path, dim=WIDE, space="a") is None


def test_rows_that_changed_places_are_noticed(big: VectorStore, tmp_path: Path) -> None:
    path = tmp_path / "index.safetensors"
    big.save(path, generation=1, space="a")
    data = bytearray(path.read_bytes())
    width = WIDE * (2 if big.tolerance > 1e-4 else 4)
    row = clustered(BIG)[7].astype(np.float16 if width == 2 * WIDE else np.float32).tobytes()
    at = data.index(row)
    one, two = data[at : at + width], data[at + width : at + 2 * width]
    assert zlib.crc32(one) != zlib.crc32(two)
    data[at : at + 2 * width] = two + one
    path.write_bytes(data)
    loaded = VectorStore.load(path, dim=WIDE, space="a")
    assert loaded is not None
    with pytest.raises(DamagedIndex):
        loaded[0].vectors_of(7)
    assert len(loaded[0].vectors_of(200)) == 1


def test_a_full_disk_while_vectors_are_set_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("index.vectors.snapshot.tempfile.TemporaryFile", full)
    with pytest.raises(CatalogueError, match="Make room on the disk"):
        made([1, 2, 3], kind="scan")


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


def test_a_pass_over_everything_does_not_hold_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else building takes as much memory as there are vectors, though they lie in a file."""
    count, let_go = 6 * BLOCK, []
    release = Rows.release

    def noted(self: Rows) -> None:
        let_go.append(True)
        release(self)

    monkeypatch.setattr("index.vectors.rows._HELD", 2)
    monkeypatch.setattr(Rows, "release", noted)
    parts = [(np.arange(count), np.arange(count), rows(count))]
    store = VectorStore.build(parts, DIM, kind="scan")
    assert store.in_file
    for everything in (
        lambda: store._pictures.rows.best(rows(3), 10),
        lambda: list(store._pictures.rows.blocks()),
    ):
        let_go.clear()
        everything()
        assert len(let_go) == 3
    np.testing.assert_allclose(np.concatenate(list(store._pictures.rows.blocks())), rows(count))
