"""The kinds of index beside hnswlib, usearch and raw FAISS, on the same vectors in one run.

    .venv/bin/python benchmarks/bench_index.py [N] [--without hnswlib usearch]

N (100,000) unit vectors of 512 dimensions in N / 50 clusters: a centre plus noise of length 0.5;
queries are vectors of theirs plus noise of length 0.3. Every index is built with all threads and
asked one query at a time with one thread, k = 10. Recall@10 is against exact search. findalike
chooses its settings by itself; the others get more and more effort in steps of about 7/5 until they
find what findalike finds, and the table has the fastest settings that reach 0.99, and the fastest
that reach findalike's own recall; the best of three rounds each. Then filters: 1, 10 and 50 % of
the products, drawn by chance. Last the settings tried that no other one of the same index beats in
both recall and time, where they find at least 0.9; benchmarks/plots.py draws these. Prints Markdown
tables.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np

from index.vectors import Choice, VectorStore
from vision.choice import machine

DIM, K, GOAL = 512, 10, 0.99
LEAST = 0.9  # recall from which on settings are of interest
QUERIES = 500
ROUNDS = 3
CHUNK = 50_000
THREADS = faiss.omp_get_max_threads()  # all cores, or what OMP_NUM_THREADS says

PROBES = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128, 181, 256)
FACTORS = (3, 4, 6, 8, 12, 16, 24, 32)  # findalike's own numbers of candidates, by tens
EFFORTS = (16, 23, 32, 45, 64, 90, 128, 180, 256, 360, 512, 720, 1024, 1440, 2048)
CURVE = (LEAST, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)

Ask = Callable[[np.ndarray], np.ndarray]
Ladder = list[tuple[str, Ask]]  # settings in words, with more and more effort


def conditions() -> str:
    """Say what the figures of a run depend on: machine and versions."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("faiss-cpu", "numpy", "hnswlib", "usearch"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    return ", ".join([machine(), *versions])


def unit(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def clustered(count: int) -> Iterator[np.ndarray]:
    """Yield vectors in chunks, the same in every call."""
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((max(2, count // 50), DIM), dtype=np.float32))
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        noise = unit(rng.standard_normal((n, DIM), dtype=np.float32))
        yield unit(centres[rng.integers(0, len(centres), n)] + 0.5 * noise)


def photos_of(rows: np.ndarray) -> np.ndarray:
    """Return queries: some of the rows with noise."""
    rng = np.random.default_rng(1)
    picked = rows[rng.integers(0, len(rows), QUERIES)]
    return unit(picked + 0.3 * unit(rng.standard_normal(picked.shape, dtype=np.float32)))


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)]))


@dataclass(frozen=True)
class Measured:
    """Recall, and the median and 99th percentile of single searches in milliseconds."""

    recall: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Tried(Measured):
    """The same of an index with these settings."""

    settings: str
    ask: Ask | None = None


def timed(ask: Ask, queries: np.ndarray, true: np.ndarray) -> Measured:
    """Ask one query after the other, with one thread."""
    faiss.omp_set_num_threads(1)
    taken, found = [], []
    for at in range(-20, len(queries)):  # the first few warm up
        query = queries[max(at, 0)][None]
        started = time.perf_counter()
        rows = ask(query)
        taken.append(1000 * (time.perf_counter() - started))
        found.append(rows[0].tolist())
    faiss.omp_set_num_threads(THREADS)
    p50, p99 = np.percentile(taken[20:], [50, 99])
    return Measured(recall(np.array(found[20:]), true), float(p50), float(p99))


def settled(ask: Ask, queries: np.ndarray, true: np.ndarray) -> Measured:
    """Return the least of several rounds: what else the machine does, and pages that are read for
    the first time, only make them slower.
    """
    rounds = [timed(ask, queries, true) for _ in range(ROUNDS)]
    p50, p99 = (min(getattr(each, name) for each in rounds) for name in ("p50", "p99"))
    return Measured(rounds[0].recall, p50, p99)


def ours(kind: str, rows: np.ndarray) -> VectorStore:
    parts = (
        (np.arange(i, i + len(part)), np.arange(i, i + len(part)), part)
        for i, part in ((i, rows[i : i + CHUNK]) for i in range(0, len(rows), CHUNK))
    )
    return VectorStore.build(parts, DIM, kind=kind, folder=Path(tempfile.gettempdir()))


def in_words(store: VectorStore) -> str:
    facts = store.measured
    lists = f", {facts.probes} lists" if facts.probes else ""
    return f"{facts.candidates} candidates{lists}"


def curve(store: VectorStore, queries: np.ndarray, true: np.ndarray) -> Iterator[Tried]:
    """Measure findalike with the settings it would choose for other recalls."""
    own = store.measured
    settings = dict.fromkeys((each.candidates, each.probes) for each in store.tradeoffs(CURVE))
    for candidates, probes in settings:
        store.measured = replace(own, candidates=candidates, probes=probes)
        found = timed(lambda query: store.search(query, K).views, queries, true)
        yield Tried(found.recall, found.p50, found.p99, in_words(store))
    store.measured = own


def raw_faiss(name: str, lists: int, rows: np.ndarray) -> list[Ladder]:
    """Build raw FAISS; return a ladder for each number of candidates compared again."""
    index = faiss.index_factory(DIM, name, faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:: max(1, len(rows) // 65_536)])
    index.add(rows)
    inner = faiss.extract_index_ivf(index) if lists else None

    def asking(probes: int, factor: int) -> Ask:
        def ask(query: np.ndarray) -> np.ndarray:
            if inner is not None:
                inner.nprobe = probes
            if factor:
                index.k_factor = factor
            return index.search(query, K)[1]

        return ask

    factors = FACTORS if "RFlat" in name else (0,)
    steps = [probes for probes in PROBES if probes <= lists] or [0]
    ladders = [
        [
            (", ".join([f"nprobe {p}"] * bool(p) + [f"k_factor {f}"] * bool(f)), asking(p, f))
            for p in steps
        ]
        for f in factors
    ]
    return ladders if lists else [[each for ladder in ladders for each in ladder]]


def hnswlib_graph(rows: np.ndarray) -> Ladder:
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=DIM)
    graph.init_index(max_elements=len(rows), M=16, ef_construction=100)
    graph.add_items(rows, num_threads=THREADS)
    graph.set_num_threads(1)

    def asking(ef: int) -> Ask:
        def ask(query: np.ndarray) -> np.ndarray:
            graph.set_ef(ef)
            return graph.knn_query(query, k=K)[0]

        return ask

    return [(f"M 16, efC 100, ef {ef}", asking(ef)) for ef in EFFORTS]


def usearch_graph(rows: np.ndarray) -> Ladder:
    from usearch.index import Index

    graph = Index(ndim=DIM, metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    graph.add(np.arange(len(rows)), rows, threads=THREADS)

    def asking(ef: int) -> Ask:
        def ask(query: np.ndarray) -> np.ndarray:
            graph.expansion_search = ef
            return graph.search(query[0], K, threads=1).keys[None]

        return ask

    return [(f"f16, M 16, efC 100, ef {ef}", asking(ef)) for ef in EFFORTS]


def rivals(
    rows: np.ndarray, left_out: list[str]
) -> Iterator[tuple[str, int, Callable[[], list[Ladder]]]]:
    """Yield name, bytes for a vector, and what builds it and returns its ladders."""
    lists = 2 ** round(np.log2(np.sqrt(len(rows))))
    flat, codes, links = 4 * DIM, 32, 4 * 34
    for name, memory, many in (
        (f"IVF{lists},Flat", flat + 8, lists),
        ("PQ64x4fs,RFlat", flat + codes, 0),
        (f"IVF{lists},PQ64x4fs,RFlat", flat + codes + 8, lists),
    ):
        yield f"faiss {name}", memory, lambda name=name, many=many: raw_faiss(name, many, rows)
    if "hnswlib" not in left_out:
        yield "hnswlib", flat + links + 8, lambda: [hnswlib_graph(rows)]
    if "usearch" not in left_out:
        yield "usearch", flat // 2 + links + 8, lambda: [usearch_graph(rows)]


def climb(
    ladders: list[Ladder], goal: float, queries: np.ndarray, true: np.ndarray
) -> Iterator[Tried]:
    """Measure settings with more and more effort, each ladder until it reaches the goal."""
    for ladder in ladders:
        for settings, ask in ladder:
            found = timed(ask, queries, true)
            yield Tried(found.recall, found.p50, found.p99, settings, ask)
            if found.recall >= goal:
                break


def fastest(tried: list[Tried], goal: float) -> tuple[Tried, str]:
    """Return the fastest settings that reach a recall and "", or the best and that it is missed."""
    good = [each for each in tried if each.recall >= goal]
    if good:
        return min(good, key=lambda each: each.p50), ""
    return max(tried, key=lambda each: each.recall), f", {goal:.4f} not reached"


def unbeaten(tried: list[Tried]) -> list[Tried]:
    """Return the settings that no others beat in both recall and median, fastest first."""
    kept: list[Tried] = []
    for each in sorted(tried, key=lambda each: each.p50):
        if not kept or each.recall > kept[-1].recall:
            kept.append(each)
    return kept


def compare(n: int, left_out: list[str]) -> None:
    rows = np.concatenate(list(clustered(n)))
    queries = photos_of(rows)
    _, true = faiss.knn(queries, rows, K, metric=faiss.METRIC_INNER_PRODUCT)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(rows)
    exact = settled(lambda query: flat.search(query, K)[1], queries[:100], true[:100])
    stores = {kind: ours(kind, rows) for kind in ("scan", "lists")}
    found = {
        kind: settled(lambda query, s=store: s.search(query, K).views, queries, true)
        for kind, store in stores.items()
    }
    own = Choice().kind_for(n)
    own = own if own in stores else "scan"
    yardstick = found[own]

    def line(name: str, settings: str, build: float, memory: float, what: Measured) -> None:
        print(
            f"| {name} | {settings} | {build:.1f} | {memory:.0f} | {what.recall:.4f} | "
            f"{what.p50:.3f} | {what.p99:.3f} | {exact.p50 / what.p50:.1f} | "
            f"{what.p50 / yardstick.p50:.2f} | {what.p99 / yardstick.p99:.2f} |",
            flush=True,
        )

    print(f"\n## Search in {n:,} vectors of {DIM} dimensions\n")
    print("| index | settings | build s | bytes/vector in memory | recall@10 | p50 ms | p99 ms "
          f"| x exact | p50 / findalike {own} | p99 / findalike {own} |")  # fmt: skip
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    line("faiss IndexFlatIP", "exact", 0.0, 4 * DIM, exact)
    curves: dict[str, list[Tried]] = {}
    for kind, store in stores.items():
        facts = store.measured
        line(f"findalike {kind}", in_words(store), facts.seconds, facts.memory, found[kind])
        curves[f"findalike {kind}"] = list(curve(store, queries, true))
    for name, memory, build in rivals(rows, left_out):
        started = time.perf_counter()
        ladders = build()
        built = time.perf_counter() - started
        tried = list(climb(ladders, max(GOAL, yardstick.recall), queries, true))
        best = dict.fromkeys(fastest(tried, goal) for goal in (GOAL, yardstick.recall))
        for each, missed in best:
            again = settled(each.ask, queries, true)  # the fastest of many was lucky, too
            line(name, each.settings + missed, built, memory, again)
        curves[name] = [replace(each, ask=None) for each in unbeaten(tried)]
        del ladders, tried, best, each, build  # these hold the index
        gc.collect()
    print(f"\n{conditions()}; {THREADS} threads for building, 1 for searching.")
    filters(stores, flat, rows, queries[:100], exact.p50)
    print(f"\n## Settings tried, {n:,} vectors\n")
    print("| index | settings | recall@10 | p50 ms | p99 ms |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name, settings in curves.items():
        for each in settings:
            if each.recall < LEAST:
                continue
            print(f"| {name} | {each.settings} | {each.recall:.4f} | {each.p50:.3f} | "
                  f"{each.p99:.3f} |")  # fmt: skip


def filters(stores, flat, rows, queries, unfiltered) -> None:  # type: ignore[no-untyped-def]
    n = len(rows)
    print(f"\n## Filters, {n:,} vectors (exact search of everything: {unfiltered:.2f} ms)\n")
    print("| share that passes | index | recall@10 | p50 ms | p99 ms |")
    print("| ---: | --- | ---: | ---: | ---: |")
    for share in (0.01, 0.1, 0.5):
        keys = np.sort(np.random.default_rng(2).choice(n, int(share * n), replace=False))
        _, among = faiss.knn(queries, rows[keys], K, metric=faiss.METRIC_INNER_PRODUCT)
        true = keys[among]
        mask = np.zeros(n, dtype=bool)
        mask[keys] = True
        bits = np.packbits(mask, bitorder="little")
        chosen = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        kinds = [("faiss IndexFlatIP, bitmap", lambda q, c=chosen: flat.search(q, K, params=c)[1])]
        kinds += [
            (f"findalike {kind}", lambda q, s=store, a=keys: s.search(q, K, allowed=a).views)
            for kind, store in stores.items()
        ]
        for name, ask in kinds:
            what = settled(ask, queries, true)
            print(f"| {share:.0%} | {name} | {what.recall:.4f} | {what.p50:.2f} | {what.p99:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--without", nargs="*", default=[], choices=["hnswlib", "usearch"])
    options = parser.parse_args()
    compare(options.count, options.without)


if __name__ == "__main__":
    main()
