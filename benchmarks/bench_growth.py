"""How the cost of an index grows with the catalogue: building, searching, filtering, opening.

    .venv/bin/python benchmarks/bench_growth.py [--sizes 1000 10000 100000] [--ten-million]

The same made-up vectors and queries as in bench_index.py, in the kind that findalike takes by
itself at each size, and in the exact kind up to a million. Each size has a process of its own, so
that the memory is its own. Vectors are made as they are needed and kept by no one but the index;
the time that this takes is taken out of that of building. "peak MB" is what the process had
resident at most until the index was built, with libraries, the vectors being made and pages of the
index's file. Searches are the best of three rounds; a filter lets 1 % of the products pass, drawn
by chance. Opening reads a snapshot that was just written, so its file is in the disk's cache. The
first table has the costs, the second what power of the number of vectors each grows with, fitted by
least squares to the logarithms. Prints Markdown tables. Ten million vectors and their snapshot take
21 GB of disk for a while: TMPDIR=FOLDER says where.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from bench_index import DIM, THREADS, K, clustered, conditions, photos_of, settled

from index.vectors import Choice, VectorStore

SIZES = (1_000, 3_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
LARGE = (2_000_000, 5_000_000, 10_000_000)
EXACT_TO = 1_000_000  # 2 GB
FEW = 100  # queries, where one takes long
COSTS = ("build s", "p50 ms", "p99 ms", "filter ms", "open ms")


@dataclass(frozen=True)
class Grown:
    """What an index of ``kind`` with ``count`` vectors costs, by the names of ``COSTS``; the bytes
    that it keeps in memory for a vector; the megabytes that its process had resident at most.
    """

    count: int
    kind: str
    recall: float
    memory: float
    peak: float
    costs: dict[str, float]


class Making:
    """Vectors of a size as a store takes them, and the seconds that making them took."""

    def __init__(self, count: int) -> None:
        self.count, self.seconds = count, 0.0

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        at, chunks = 0, clustered(self.count)
        while True:
            started = time.perf_counter()
            part = next(chunks, None)
            self.seconds += time.perf_counter() - started
            if part is None:
                return
            ids = np.arange(at, at + len(part))
            yield ids, ids, part
            at += len(part)


def nearest(count: int, queries: np.ndarray) -> np.ndarray:
    """Search vectors in float32 exactly as they are made; return rows (q, K)."""
    best = np.full((len(queries), 0), -np.inf), np.empty((len(queries), 0), np.int64)
    for ids, _, part in Making(count):
        scores, rows = faiss.knn(queries, part, K, metric=faiss.METRIC_INNER_PRODUCT)
        both = np.concatenate([best[0], scores], axis=1), np.concatenate([best[1], ids[rows]], 1)
        order = np.argsort(-both[0], axis=1)[:, :K]
        best = np.take_along_axis(both[0], order, 1), np.take_along_axis(both[1], order, 1)
    return best[1]


def grow(count: int, kind: str) -> Grown:
    """Build, search, filter and open an index of one size in this process."""
    queries = photos_of(next(clustered(count)))
    made = Making(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.safetensors"
        started = time.perf_counter()
        store = VectorStore.build(made, DIM, kind=kind, count=count, folder=Path(folder))
        build = time.perf_counter() - started - made.seconds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        true, some = nearest(count, queries), slice(0, FEW if kind == "exact" else None)
        found = settled(lambda query: store.search(query, K).views, queries[some], true[some])
        passing = np.random.default_rng(2).choice(count, max(K, count // 100), replace=False)
        keys, few = np.sort(passing), queries[:FEW]
        among = settled(lambda query: store.search(query, K, allowed=keys).views, few, true[:FEW])
        memory = store.measured.memory
        store.save(path, generation=1, space="bench")
        started = time.perf_counter()
        opened = VectorStore.load(path, dim=DIM, space="bench")
        opening = time.perf_counter() - started
        assert opened is not None and len(opened[0]) == count
    costs = (build, found.p50, found.p99, among.p50, 1000 * opening)
    return Grown(count, kind, found.recall, memory, peak, dict(zip(COSTS, costs, strict=True)))


def fit(counts: Sequence[float], costs: Sequence[float]) -> tuple[float, float, float]:
    """Return a and b of cost = a * n^b by least squares in logarithms, and by what factor the
    worst of the costs is off.
    """
    x, y = np.log(counts), np.log(costs)
    b, log_a = np.polyfit(x, y, 1)
    off = float(np.exp(np.abs(y - (log_a + b * x)).max()))
    return float(np.exp(log_a)), float(b), off


def print_fits(grown: list[Grown]) -> None:
    print("\n## Growth, fitted\n")
    print("| cost | kind | vectors | a | b, cost = a n^b | for 10 times as many | off by at most |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for cost in COSTS:
        for kind in dict.fromkeys(each.kind for each in grown):
            own = [each for each in grown if each.kind == kind]
            if len(own) < 3:  # a line through two points says nothing
                continue
            a, b, off = fit([each.count for each in own], [each.costs[cost] for each in own])
            print(f"| {cost} | {kind} | {own[0].count:,} to {own[-1].count:,} | {a:.3g} | {b:.2f} "
                  f"| x {10**b:.1f} | x {off:.2f} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--ten-million", action="store_true", help="2, 5 and 10 million too")
    options = parser.parse_args()
    sizes = sorted([*options.sizes, *(LARGE if options.ten_million else ())])
    print(f"\n## Growth, {DIM} dimensions\n")
    print(f"| vectors | kind | recall@10 | bytes/vector in memory | peak MB "
          f"| {' | '.join(COSTS)} |")  # fmt: skip
    print(f"| ---: | --- | {'---: | ' * (3 + len(COSTS))}".rstrip())
    grown = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as alone:
        for count in sizes:
            own = Choice().kind_for(count)
            for kind in dict.fromkeys([own, *["exact"] * (count <= EXACT_TO)]):
                each = alone.submit(grow, count, kind).result()
                grown.append(each)
                costs = " | ".join(f"{value:.4g}" for value in each.costs.values())
                print(f"| {count:,} | {kind} | {each.recall:.4f} | {each.memory:.0f} | "
                      f"{each.peak:.0f} | {costs} |", flush=True)  # fmt: skip
    print(f"\n{conditions()}; {THREADS} threads for building, 1 for searching.")
    print_fits(grown)


if __name__ == "__main__":
    main()
