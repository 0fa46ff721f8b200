"""How much slower a search gets while products are being added, in one run.

    .venv/bin/python benchmarks/bench_import.py PHOTOS [--photos 1500] [--queries 200]

Half of the photos make a catalogue; this process asks it queries (photo in, answer out, at most one
at a time), first alone and then while `findalike add` brings the other half. Prints p50 and p95.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from index.catalogue import Catalogue
from index.query import Query


def ask(catalogue: Catalogue, photos: list[Path], count: int, busy: subprocess.Popen[bytes] | None):  # type: ignore[no-untyped-def]
    seconds = []
    for at in range(count):
        if busy is not None and busy.poll() is not None:
            break
        started = time.perf_counter()
        catalogue.search(Query(photo=photos[at % len(photos)]))
        seconds.append(time.perf_counter() - started)
        time.sleep(0.02)  # a customer takes a breath
    return np.array(seconds) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=1500)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    photos = sorted(options.folder.rglob("*.jpg"))[: options.photos]
    half = len(photos) // 2
    print(f"{os.cpu_count()} cores, built-in encoder, {half} + {len(photos) - half} photos")
    with tempfile.TemporaryDirectory() as folder:
        with Catalogue.open(folder, create=True) as catalogue:
            catalogue.add(photos[:half])
        with Catalogue.open(folder) as catalogue:
            ask(catalogue, photos, 20, None)
            idle = ask(catalogue, photos, options.queries, None)
            # The importer has to load its libraries first: wait for its first commit.
            before = catalogue.info()["generation"]
            command = [Path(sys.executable).with_name("findalike"), "add", "-c", folder]
            adding = subprocess.Popen([*command, *photos[half:]], stdout=subprocess.DEVNULL)
            while catalogue.info()["generation"] == before and adding.poll() is None:
                time.sleep(0.05)
            during = ask(catalogue, photos, options.queries, adding)
            adding.wait()
            products = catalogue.info()["products"]
    for name, times in (("idle", idle), ("during add", during)):
        p50, p95 = np.percentile(times, [50, 95])
        print(f"{name:11} {len(times):4} searches   p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")
    ratio = np.percentile(during, 95) / np.percentile(idle, 95)
    print(f"p95 during add / idle: {ratio:.2f}   ({products} products at the end)")


if __name__ == "__main__":
    main()
