"""How fast a long feed is read and checked, and in how much memory.

Makes a CSV of the given number of rows that refer to 1,000 real files (or, with ``--files N``,
to N), reads it as ``findalike add`` does, and prints rows per second and the peak of the memory:

    python benchmarks/bench_feeds.py 1000000
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from index.feeds import Reject, stage


def make_feed(folder: Path, rows: int, files: int) -> Path:
    """Write a feed like a shop's: every tenth product has a second picture, far from the first."""
    (folder / "images").mkdir()
    for number in range(files):
        (folder / f"images/{number:07}.jpg").touch()
    feed = folder / "products.csv"
    with feed.open("w", encoding="utf-8") as out:
        out.write("product_id,image_path,title,category,brand,price,currency,colour,attributes\n")
        for row in range(rows):
            number = row - rows // 2 if row % 10 == 9 and row > rows // 2 else row
            out.write(
                f"SKU-{number:08},images/{(row + row // files) % files:07}.jpg,"
                f'"Trail jacket no {number}, with a hood and four pockets",'
                f"Clothing > Jackets > Kind {number % 50},Maker {number % 300},"
                f"{number % 900}.99,EUR,dark blue,"
                f'"{{""season"": ""winter"", ""weight_g"": {number % 700}}}"\n'
            )
    return feed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    parser.add_argument("--files", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        feed = make_feed(Path(name), options.rows, options.files)
        size = feed.stat().st_size / 2**20
        rejects: list[Reject] = []
        started = time.perf_counter()
        with stage([feed], reject=rejects.append) as staged:
            checked = time.perf_counter() - started
            started = time.perf_counter()
            handed_out = sum(len(item.images) for item in staged)
            iterated = time.perf_counter() - started
            print(f"feed: {options.rows:,} rows, {size:.0f} MiB, {options.files:,} picture files")
            print(f"products {staged.products:,}, images {staged.images:,}, rejects {len(rejects)}")
    assert handed_out == staged.images, "counted and handed out"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # KiB on Linux
    print(f"staged and checked in {checked:.1f} s ({options.rows / checked:,.0f} rows/s)")
    print(f"handed out once in {iterated:.1f} s; peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
