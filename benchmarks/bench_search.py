"""What findalike adds to a search in its index, and how long a catalogue takes to open.

    .venv/bin/python benchmarks/bench_search.py [--sizes 10000 100000] [--queries 300]
    .venv/bin/python benchmarks/bench_search.py --sizes 1000000

Fills a catalogue in a temporary folder with made-up products (clustered unit vectors of 512
dimensions, with a category, a brand, a price and two attributes), builds its index, and asks the
same query vectors of raw faiss.IndexFlatIP and of findalike's second half of a search: vector
store, product rows from SQL, verdicts; all with one thread. Recall is against FAISS. Then the
catalogue is opened by other processes: the first looks at all of the database, the second at its
note. A million products take 8 GB of disk and some minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from bench_index import conditions
from threadpoolctl import threadpool_limits

from index.product import Product
from index.query import Query
from index.search.calibration import Calibration
from index.search.live import LiveIndex, store_calibration
from index.search.ranking import Asked, answer_queries
from index.search.space import fit_space, unit
from index.search.words import Words
from index.store.checked import CHECKED
from index.store.database import connect, transaction, write_setting
from index.store.products import ProductTable
from index.store.writing import Change, ProductWriter
from vision.batches import Picture
from vision.pictures.colour import COLOUR_DIM

DIM = 512
COLOURS = ("red", "green", "blue")
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
                    Product(
                        f"p{at}",
                        title=f"Product {at}",
                        price=float(at % 100),
                        category=f"Shop > Aisle {at % 300}",
                        brand=f"Brand {at % 2000}",
                        attributes={"colour": COLOURS[at % 3], "size": str(at % 40)},
                    ),
                    [(picture.sha256, f"/photos/{at}.jpg")],
                )
                for at, picture in enumerate(pictures, start)
            ],
            generation,
        )


OPEN = """
import sys, time
started = time.perf_counter()
from pathlib import Path
from index.search.live import LiveIndex
from index.store.database import connect, transaction
from index.store.products import ProductTable
imported = time.perf_counter()
folder = Path(sys.argv[1])
engine = connect(f"sqlite:///{folder}/catalogue.sqlite")
with transaction(engine) as connection:
    table = ProductTable(connection)
    store = LiveIndex(folder, "bench", "bench").at(table, lambda: 512).store
    ready = time.perf_counter()
    store.search(store.vectors_at(store.products[:1] * 0), 10)
    first = time.perf_counter()
engine.dispose()
print(f"{imported - started:.2f} | {ready - imported:.2f} | {1000 * (first - ready):.1f} |")
"""


def percentiles(seconds: list[float]) -> str:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return f"{p50:.3f} | {p99:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    print(f"{conditions()}; one thread for searching, k = {K}")
    rng = np.random.default_rng(0)
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            one_size(Path(folder), size, options.queries, rng)


def one_size(folder: Path, size: int, queries: int, rng: np.random.Generator) -> None:
    """Fill a catalogue, measure searches in it and how long it takes to open."""
    engine = connect(f"sqlite:///{folder}/catalogue.sqlite")
    with transaction(engine, writes=True) as connection:
        table = ProductWriter(connection)
        fill(table, size, rng)
        vectors, colours, _ = table.sample("bench", 5000)
        calibration = Calibration(fit_space(vectors, colours), None, size, 0)
        write_setting(connection, "fingerprint", "bench")
        store_calibration(table, calibration, "bench")
    with transaction(engine) as connection:
        table = ProductTable(connection)
        live = LiveIndex(folder, "bench", "bench")
        started = time.perf_counter()
        index = live.build(table, calibration)
        built = time.perf_counter()
        live.save(table, index)
        saved = time.perf_counter()
        print(
            f"\n{size:,} products: {index.store.measured.in_words()}; built in "
            f"{built - started:.1f} s with reading the database, saved in {saved - built:.1f} s"
        )
        with threadpool_limits(1):
            compare(index.store, calibration, table, queries, rng)
    engine.dispose()
    (folder / CHECKED).unlink(missing_ok=True)
    print("\n| opened | imports s | ready s | first search ms |\n| --- | ---: | ---: | ---: |")
    for time_ in ("for the first time", "again", "again"):
        command = [sys.executable, "-c", OPEN, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"| {time_} | {done.stdout.strip()}", flush=True)


def compare(store, calibration, table, count, rng) -> None:  # type: ignore[no-untyped-def]
    raw = faiss.IndexFlatIP(store.dim)
    for _, _, part in store.parts():
        raw.add(part)
    views = store.views
    picked = store.vectors_at(rng.integers(0, len(store), count))
    queries = unit(picked + 0.3 * unit(rng.standard_normal(picked.shape)))
    times: dict[str, list[float]] = {
        "raw faiss, exact": [],
        "vector store": [],
        "with products": [],
    }
    same, words = 0, Words()
    none = np.array([-1], dtype=np.int64)
    for at in range(-20, count):  # the first 20 warm up
        vector = queries[at : at + 1] if at >= 0 else queries[:1]
        asked = Asked((Query(like="x", k=K),), vector, none, ("",), {})
        started = time.perf_counter()
        _, expected = raw.search(vector, K)
        first = time.perf_counter()
        found = store.search(vector, K)
        second = time.perf_counter()
        answer_queries(asked, store, calibration, words, table, table.get)
        third = time.perf_counter()
        if at < 0:
            continue
        same += len(set(views[expected[0]]) & set(found.views[0]))
        times["raw faiss, exact"].append(first - started)
        times["vector store"].append(second - first)
        times["with products"].append(third - second)
    print(f"\nrecall@{K} {same / count / K:.4f}\n")
    print("| | p50 ms | p99 ms |\n| --- | ---: | ---: |")
    for name, seconds in times.items():
        print(f"| {name} | {percentiles(seconds)} |")


if __name__ == "__main__":
    main()
