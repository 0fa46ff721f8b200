"""Whether asking likely parts of a photo finds more, and whether it ever finds less.

    .venv/bin/python benchmarks/bench_parts.py DATA

DATA is a folder with products.csv and queries.csv. Asks the photos of the sample, of grocery and of
luma, which need no part, and grocery's photos put small into photos of clothes, which do. Prints
recall@1 of the whole photo, with parts as the shop asks them, and how often any part is right. With
--turns it lays the photos on their sides instead, and has them turned to where they find most.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image

from assets import SAMPLE
from index.catalogue import Catalogue
from index.changes.adding import AddOptions
from index.query import Query
from index.search.parts import search_parts
from index.search.turns import best_turn
from vision.images import Image, read_image
from vision.pictures.regions import likely_regions

SIDE = 480  # pixels of a made scene


def rows(path: Path, **wanted: str) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row[k] == v for k, v in wanted.items())]


def photos(name: str, data: Path) -> Iterator[tuple[Image, str]]:
    """Give photos and the ids of what they show, "" for what is not sold."""
    if name == "sample":
        for row in rows(SAMPLE / "photos.csv"):
            truth = row["product_id"] if row["sold"] == "yes" else ""
            yield read_image(SAMPLE / row["query_image"], at_least=640), truth
        return
    split = {} if name == "luma" else {"split": "val"}
    asked = rows(data / "queries.csv", set=name.split()[0], **split)
    scenes = rows(data / "queries.csv", set="clothing")
    for at, row in enumerate(asked):
        image = read_image(data / row["query_image"], at_least=640)
        if name == "grocery within clothes":
            image = within(image, data / scenes[at % len(scenes)]["query_image"], at)
        yield image, row["product_id"]


def within(image: Image, scene: Path, seed: int) -> Image:
    """Put a photo small into another, at a random place."""
    rng = np.random.default_rng(seed)
    ground = PIL.Image.open(scene).convert("RGB").resize((SIDE, SIDE))
    small = image.pixels.copy()
    small.thumbnail([int(SIDE * rng.uniform(0.3, 0.5))] * 2)
    place = [int(rng.integers(0, SIDE - side)) for side in small.size]
    ground.paste(small, place)
    return replace(image, pixels=ground, width=SIDE, height=SIDE)


def measure(name: str, catalogue: Catalogue, data: Path) -> str:
    sold = right = righter = best = other = unsold = told = still = 0
    took = 0.0
    for image, truth in photos(name, data):
        query = Query(photo=image)
        whole, parted = catalogue.search(query), search_parts(catalogue, query)
        started = time.perf_counter()
        regions = likely_regions(image)
        took += time.perf_counter() - started
        if not truth:
            unsold += 1
            told += whole.verdict == "not stocked"
            still += parted.answer.verdict == "not stocked"
            continue
        parts = [catalogue.search(replace(query, region=each)) for each in regions]
        sold += 1
        right += whole.hits[0].product.product_id == truth
        righter += parted.answer.hits[0].product.product_id == truth
        best += any(each.hits[0].product.product_id == truth for each in (whole, *parts))
        other += parted.region is not None
    shares = [f"{100 * each / sold:.1f}" for each in (right, righter, best, other)]
    cells = [f"{name}, {sold}", *shares, f"{told} / {still} of {unsold}"]
    return "| " + " | ".join(cells) + f" | {1000 * took / (sold + unsold):.1f} |"


def measure_turns(name: str, catalogue: Catalogue, data: Path) -> str:
    """Turn photos by one to three quarters; ask them so, and as ``best_turn`` says."""
    asked = [(image, truth) for image, truth in photos(name, data) if truth]

    def right(image: Image, truth: str) -> bool:
        return catalogue.search(Query(photo=image, k=1)).hits[0].product.product_id == truth

    counts = np.zeros(5)
    for at, (image, truth) in enumerate(asked):
        quarters = at % 3 + 1
        turned = image.turned(quarters)
        found, kept = best_turn(catalogue, turned), best_turn(catalogue, image)
        counts += (
            right(image, truth), right(turned, truth), right(turned.turned(found), truth),
            (quarters + found) % 4 == 0, kept != 0,
        )  # fmt: skip
    shares = " | ".join(f"{100 * each / len(asked):.1f}" for each in counts)
    return f"| {name}, {len(asked)} | {shares} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--turns", action="store_true", help="Measure turning instead of parts.")
    options = parser.parse_args()
    if options.turns:
        print("| photos | upright, R@1 | turned | turned back | upright again | turned in vain |")
        print("|---" * 6 + "|")
    else:
        print("| photos | whole, R@1 | with parts | any part | part taken | not stocked | ms |")
        print("|---" * 7 + "|")
    feeds = {"sample": SAMPLE / "products.csv"}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("grocery", "luma"):
            feeds[name] = Path(folder) / f"{name}.csv"
            with feeds[name].open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["product_id", "image_path", "title"])
                for row in rows(options.data / "products.csv", set=name):
                    writer.writerow([row["product_id"], row["image_path"], row["title"]])
        for feed, names in (("sample", ["sample"]), ("luma", ["luma"]),
                            ("grocery", ["grocery", "grocery within clothes"])):  # fmt: skip
            with Catalogue.open(Path(folder) / feed, create=True) as catalogue:
                root = None if feed == "sample" else options.data
                catalogue.add([feeds[feed]], options=AddOptions(images_root=root))
                if options.turns:
                    print(measure_turns(names[0], catalogue, options.data), flush=True)
                    continue
                for name in names:
                    print(measure(name, catalogue, options.data), flush=True)


if __name__ == "__main__":
    main()
