"""What the built-in encoder can and cannot do, beside any other: the table of its model card.

    .venv/bin/python benchmarks/bench_builtin.py [--encoder SPEC ...] [--renders FOLDER] [DATA]

The sample catalogue always: customers' photos, photos of what is not sold, and words. With
--renders (a folder made by ``python -m assets.studio training``) kinds that no training saw: their
studio pictures are the catalogue, customers' photos the queries. With DATA (laid out as for
bench_quality.py) real photos. Last the time of one picture on this processor, beside a ViT-B/32.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from bench_quality import SETS, embed, rows

from index.catalogue import Catalogue
from index.evaluation.evaluate import evaluate
from index.evaluation.measures import hit_rate, mean_average_precision
from index.evaluation.truths import read_queries
from index.query import Query
from vision.encoder import Encoder

SAMPLE = Path(__file__).parent.parent / "assets" / "sample"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sample(spec: str) -> None:
    """Ask the sample catalogue everything that ships with it."""
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Catalogue.open(Path(folder) / "shop", encoder=spec, create=True)
        start = time.perf_counter()
        catalogue.add([SAMPLE / "products.csv"])
        print(f"sample catalogue built in {time.perf_counter() - start:.1f} s")
        with catalogue:
            photos = SAMPLE / "photos.csv"
            found = evaluate(catalogue, read_queries(photos))
            line = " / ".join(
                f"{100 * value:.1f}"
                for value in (found.recall_at_1, found.recall_at_5, found.recall_at_10)
            )
            print(f"photos: {line}, mAP {100 * found.mean_average_precision:.1f}")
            if found.verdicts:
                print(f"  {found.verdicts}")
            print(f"strangers: {found.strangers}, recognised {found.strangers_recognised}")
            for scene in sorted({row["scene"] for row in table(photos)}):
                only = [f"scene={scene}", "sold=yes"]
                part = evaluate(catalogue, read_queries(photos, only=only))
                print(f"  {scene}: {part.queries} photos, recall@1 {100 * part.recall_at_1:.0f}")
            if catalogue.encoder.knows_words:
                words(catalogue)


def words(catalogue: Catalogue) -> None:
    """Print precision@5 of texts that at least five products fit, and of all others likewise."""
    right: dict[str, set[str]] = defaultdict(set)
    for row in table(SAMPLE / "products.csv"):
        thing = row["title"].partition(",")[0].partition(" ")[2].removeprefix("II ")
        right[f"{row['colour']} {row['material']} {thing}"].add(row["product_id"])
    strict, capped = [], []
    for text, ids in sorted(right.items()):
        hits = [hit.product.product_id for hit in catalogue.search(Query(text=text, k=5)).hits]
        most = min(5, len(ids))
        capped.append(sum(each in ids for each in hits[:most]) / most)
        if len(ids) >= 5:
            strict.append(capped[-1])
            if capped[-1] < 1:
                print(f"  {text}: {capped[-1]:.1f}")
    print(f"words: {len(strict)} texts, precision@5 {np.mean(strict):.3f}")
    print(f"  all {len(capped)} texts, precision among as many as fit {np.mean(capped):.3f}")


def measured(
    name: str, shop: list[Path], asks: list[Path], right: np.ndarray, encoder: Encoder
) -> None:
    """Print recall@1, @5, @10 and mAP for ``right`` (queries, pictures) booleans."""
    known, asked = embed(shop, encoder), embed(asks, encoder)
    for what, scores in rows(known, asked):
        order = np.argsort(-scores, axis=1, kind="stable")
        relevant = np.take_along_axis(right, order, axis=1)
        recalls = " / ".join(f"{100 * hit_rate(relevant, k):.1f}" for k in (1, 5, 10))
        mean = mean_average_precision(relevant, right.sum(axis=1))
        print(f"{name}, {what}: {recalls}, {100 * mean:.1f}", flush=True)


def unseen(renders: Path, encoder: Encoder) -> None:
    """Measure kinds held out whole, each picture for itself."""
    apart = {row["product"] for row in table(renders / "products.csv") if row["split"] == "holdout"}
    pictures = [
        row for row in table(renders / "pictures.csv")
        if row["product"] in apart and (renders / row["file"]).is_file()
    ]  # fmt: skip
    shop = [row for row in pictures if row["view"] == "studio"]
    asks = [row for row in pictures if row["view"] == "customer"]
    right = np.array([[one["product"] == ask["product"] for one in shop] for ask in asks])
    files = [[renders / row["file"] for row in part] for part in (shop, asks)]
    measured("unseen kinds", files[0], files[1], right, encoder)


def real(data: Path, encoder: Encoder) -> None:
    """Measure real photos, as bench_quality.py does."""
    products, queries = table(data / "products.csv"), table(data / "queries.csv")
    for name, split in SETS:
        shelf = [row for row in products if row["set"] == name]
        asks = [row for row in queries if row["set"] == name and row["split"] == split]
        right = np.array([
            [one["product_id"] == ask["product_id"] if ask["product_id"]
             else one["category"] == ask["label"] for one in shelf]
            for ask in asks
        ])  # fmt: skip
        shop = [data / row["image_path"] for row in shelf]
        measured(name, shop, [data / row["query_image"] for row in asks], right, encoder)


def speed(spec: str) -> None:
    """Print the time of a picture in this encoder and in a ViT-B/32 with random weights."""
    import open_clip
    import torch

    pixels = torch.randint(0, 255, (32, 3, 224, 224)).float() / 127.5 - 1
    vit = open_clip.create_model("ViT-B-32").visual.eval()
    own = Encoder.load(spec, backend="torch fp32")
    for size in (1, 32):
        batch = pixels[:size]
        with torch.inference_mode():
            slow = best(lambda batch=batch: vit(batch)) / size
        ours = own.preprocess
        raw = np.zeros((size, 3, ours.crop, ours.crop), dtype=np.uint8)
        quick = best(lambda raw=raw: own.encode_pixels(raw)) / size
        print(
            f"batch {size}: {1000 * quick:.1f} ms a picture, ViT-B/32 {1000 * slow:.1f} ms "
            f"(fp32, {torch.get_num_threads()} threads): {quick / slow:.3f}"
        )


def best(call: object) -> float:
    """Return the shortest of several runs in seconds."""
    times = []
    for _ in range(8):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--encoder", action="append")
    parser.add_argument("--renders", type=Path)
    options = parser.parse_args()
    for spec in options.encoder or ["builtin"]:
        print(f"\n### {Path(spec).name}\n")
        encoder = Encoder.load(spec)
        sample(spec)
        if options.renders:
            unseen(options.renders, encoder)
        if options.data:
            real(options.data, encoder)
        speed(spec)


if __name__ == "__main__":
    main()
