"""What each step of the ranking brings, on labelled real photos.

    .venv/bin/python benchmarks/bench_quality.py DATA [--encoder SPEC ...]

DATA is a folder with products.csv and queries.csv (columns product_id, set, image_path, category
and query_image, set, product_id, label, split). Queries that name a product are right when that
product comes back, the others when the category does. Prints recall@1 / @5 / @10 and mAP, in
percent, for: an 8x8x8 HSV histogram alone (the floor), the encoder alone, with the query averaged
with its mirror image, with the catalogue's mean taken away, and with colour: findalike.

With --choose it prints instead how the default weight of colour was chosen, on training photos
only: grocery's training photos against its shop images, and clothing's training photos each against
the others.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from index.evaluation.measures import hit_rate, mean_average_precision
from index.search.space import Space, fit_space, plain_space, unit
from vision.batches import ahead
from vision.encoder import Encoder
from vision.images import Image, read_image
from vision.pictures.colour import describe_colour

SETS = (("grocery", "val"), ("clothing", "validation"), ("luma", "query"), ("tailwind", "query"))


@dataclass(frozen=True)
class Photos:
    """Embeddings (n, d), colours (n, c) and HSV histograms (n, 512) of some photos."""

    plain: np.ndarray
    mirrored: np.ndarray
    colours: np.ndarray
    histograms: np.ndarray


def embed(paths: list[Path], encoder: Encoder) -> Photos:
    def read(path: Path) -> tuple[Image, np.ndarray, np.ndarray]:
        image = read_image(path)
        return image, describe_colour(image.pixels), histogram(image)

    done = list(ahead(paths, read))
    runs = [[image for image, _, _ in done[i : i + 32]] for i in range(0, len(done), 32)]
    return Photos(
        np.concatenate([encoder.encode_images(run) for run in runs]),
        np.concatenate([encoder.encode_images(run, mirror=encoder.mirrors) for run in runs]),
        np.stack([colour for _, colour, _ in done]),
        np.stack([hsv for _, _, hsv in done]),
    )


def histogram(image: Image) -> np.ndarray:
    """Return the square root of an 8x8x8 HSV histogram, (512,) float32."""
    hsv = np.asarray(image.pixels.convert("HSV")).reshape(-1, 3).astype(np.int64) // 32
    counts = np.bincount(hsv[:, 0] * 64 + hsv[:, 1] * 8 + hsv[:, 2], minlength=512)
    return np.sqrt(counts / counts.sum()).astype(np.float32)


def rows(shop: Photos, asked: Photos) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (what, scores (q, n)) for each step."""

    def scores(space: Space, queries: np.ndarray) -> np.ndarray:
        known = space.project(shop.plain, shop.colours)
        found: np.ndarray = space.project(queries, asked.colours) @ known.T
        return found

    bare = replace(plain_space(shop.plain.shape[1]), colour_weight=0.0)
    yield "HSV histogram alone", unit(asked.histograms) @ unit(shop.histograms).T
    yield "encoder alone", scores(bare, asked.plain)
    yield "+ mirror image of the query", scores(bare, asked.mirrored)
    yield "+ mean taken away", scores(fit_space(shop.plain, shop.colours, 0.0), asked.mirrored)
    yield "+ colour = findalike", scores(fit_space(shop.plain, shop.colours), asked.mirrored)


def choose(
    data: Path, products: list[dict[str, str]], queries: list[dict[str, str]], encoder: Encoder
) -> None:
    """Print recall@1, @5, @10 and mAP on training photos for several weights of colour."""
    shelf = [row for row in products if row["set"] == "grocery"]
    asks = [row for row in queries if row["set"] == "grocery" and row["split"] == "train"]
    clothes = [row for row in products if row["set"] == "clothing"]
    shop = embed([data / row["image_path"] for row in shelf], encoder)
    asked = embed([data / row["query_image"] for row in asks], encoder)
    worn = embed([data / row["image_path"] for row in clothes], encoder)
    ids = np.array([row["product_id"] for row in shelf])
    own = np.array([row["product_id"] for row in asks])
    kinds = np.array([row["category"] for row in clothes])
    for name, known, seen, right in (
        ("grocery train", shop, asked, own[:, None] == ids),
        ("clothing train", worn, worn, kinds[:, None] == kinds),
    ):
        for weight in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
            space = fit_space(known.plain, known.colours, weight)
            scores = (
                space.project(seen.mirrored, seen.colours)
                @ space.project(known.plain, known.colours).T
            )
            total = right.sum(axis=1)
            if known is seen:
                np.fill_diagonal(scores, -np.inf)
                total = total - 1
            order = np.argsort(-scores, axis=1, kind="stable")[:, : -1 if known is seen else None]
            relevant = np.take_along_axis(right, order, axis=1)
            recalls = " | ".join(f"{100 * hit_rate(relevant, k):.1f}" for k in (1, 5, 10))
            mean = mean_average_precision(relevant, total)
            print(f"| {name} | {weight} | {recalls} | {100 * mean:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", action="append", default=None)
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    with (options.data / "products.csv").open(newline="") as file:
        products = list(csv.DictReader(file))
    with (options.data / "queries.csv").open(newline="") as file:
        queries = list(csv.DictReader(file))
    for spec in options.encoder or ["builtin"]:
        encoder = Encoder.load(spec)
        print(f"\n### {Path(spec).name}\n\n| set | ranking | R@1 | R@5 | R@10 | mAP |")
        print("| --- | --- | ---: | ---: | ---: | ---: |")
        if options.choose:
            choose(options.data, products, queries, encoder)
            continue
        for name, split in SETS:
            shelf = [row for row in products if row["set"] == name]
            asks = [row for row in queries if row["set"] == name and row["split"] == split]
            shop = embed([options.data / row["image_path"] for row in shelf], encoder)
            asked = embed([options.data / row["query_image"] for row in asks], encoder)
            right = np.array(
                [
                    [
                        one["product_id"] == ask["product_id"]
                        if ask["product_id"]
                        else one["category"] == ask["label"]
                        for one in shelf
                    ]
                    for ask in asks
                ]
            )
            for what, scores in rows(shop, asked):
                order = np.argsort(-scores, axis=1, kind="stable")
                relevant = np.take_along_axis(right, order, axis=1)
                recalls = " | ".join(f"{100 * hit_rate(relevant, k):.1f}" for k in (1, 5, 10))
                mean = mean_average_precision(relevant, right.sum(axis=1))
                print(f"| {name} | {what} | {recalls} | {100 * mean:.1f} |", flush=True)


if __name__ == "__main__":
    main()
