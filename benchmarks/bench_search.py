"""findalike's own share of a search, beside raw FAISS on the same vectors, in one run.

    .venv/bin/python benchmarks/bench_search.py [--sizes 10000 100000] [--queries 300]

Fills a catalogue in a temporary folder with made-up products (clustered unit vectors of 512
dimensions), opens it, and asks the same query vectors of raw faiss.IndexFlatIP and of findalike's
second half of a search: vector store, product rows from SQL, verdicts. Recall is against FAISS.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from index.product import Product
from index.query import Query
from index.search.calibration import Calibration
from index.search.live import LiveIndex
from index.search.ranking import Asked, answer_queries
from index.search.space import fit_space, unit
from index.store.database import connect, transaction
from index.store.products import ProductTable
from index.store.writing import Change, ProductWriter
from vision.batches import Picture
from vision.pictures.colour import COLOUR_DIM

DIM = 512
K = 10


def fill(table: ProductWriter, size: int, rng: np.random.Generator) -> None:
    """Write ``size`` made-up products with one picture each."""
    centres = unit(rng.standard_normal((max(2, size // 50), DIM)))
    hues = unit(rng.random((size // 50 + 2, COLOUR_DIM)))
    generation = table.next_generation()
    for start in range(0, size, 5000):
        n = min(5000, size - start)
        cluster = rng.integers(0, len(centres), n)
        vectors = unit(centres[cluster] + 0.5 * unit(rng.standard_normal((n, DIM))))
        pictures = [
            Picture(
                f"{start + at:064x}", 1, 1, "JPEG", np.empty(0), hues[cluster[at] % len(hues)], b"x"
            )
            for at in range(n)
        ]
        table.add_images(pictures, vectors, "bench")
        table.put(
            [
                Change(
                    Product(f"p{at}", title=f"Product {at}", price=float(at % 100)),
                    [(picture.sha256, f"/photos/{at}.jpg")],
                )
                for at, picture in enumerate(pictures, start)
            ],
            generation,
        )


def percentiles(seconds: list[float]) -> str:
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return f"{p50:7.2f} {p95:7.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, k = {K}")
    print(f"faiss {faiss.__version__}, {faiss.omp_get_max_threads()} threads")
    print(f"{'products':>9}  {'':24} {'p50 ms':>7} {'p95 ms':>7}  overhead p50")
    rng = np.random.default_rng(0)
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            engine = connect(f"sqlite:///{folder}/catalogue.sqlite")
            with transaction(engine, writes=True) as connection:
                fill(ProductWriter(connection), size, rng)
            with transaction(engine) as connection:
                table = ProductTable(connection)
                vectors, colours, _ = table.sample("bench", 5000)
                calibration = Calibration(fit_space(vectors, colours), None, size, 0)
                live = LiveIndex(Path(folder), "bench", "bench")
                store = live.build(table, calibration).store
                compare(store, table, options.queries, rng, size)
            engine.dispose()


def compare(store, table, count, rng, size) -> None:  # type: ignore[no-untyped-def]
    raw = faiss.IndexFlatIP(store.dim)
    raw.add(store.vectors())
    picked = store.vectors()[rng.integers(0, size, count)]
    queries = unit(picked + 0.3 * unit(rng.standard_normal(picked.shape)))
    times: dict[str, list[float]] = {"raw faiss": [], "vector store": [], "with products": []}
    same = 0
    none = np.array([-1], dtype=np.int64)
    for at in range(-20, count):  # the first 20 warm up
        vector = queries[at : at + 1] if at >= 0 else queries[:1]
        asked = Asked((Query(text="x", k=K),), vector, none, ("",), {})
        started = time.perf_counter()
        _, expected = raw.search(vector, K)
        first = time.perf_counter()
        found = store.search(vector, K)
        second = time.perf_counter()
        answer_queries(asked, store, None, table)
        third = time.perf_counter()
        if at < 0:
            continue
        same += len(set(store.views[expected[0]]) & set(found.views[0]))
        times["raw faiss"].append(first - started)
        times["vector store"].append(second - first)
        times["with products"].append(third - second)
    base = float(np.median(times["raw faiss"]))
    for name, seconds in times.items():
        extra = float(np.median(seconds)) - base
        print(
            f"{size:9}  {name:24} {percentiles(seconds)}  {extra * 1000:+.2f} ms "
            f"({100 * extra / base:+.0f} %)"
        )
    print(f"{size:9}  recall@{K} against raw faiss: {same / count / K:.4f}", flush=True)


if __name__ == "__main__":
    main()
