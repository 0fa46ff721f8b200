"""How a catalogue gets better with people's answers: the review queue against a random order.

    .venv/bin/python benchmarks/bench_review.py DATA [--encoder SPEC] [--set clothing|grocery]

DATA is a folder with products.csv and queries.csv. The training photos of the set become products,
of which only a few of each class are labelled; a simulated person answers questions truthfully,
in the order of the review queue or at random, in steps of ten. After 0, 20, 100 and 500 answers the
head is trained again. Prints, for the products that nobody labelled and for the validation photos:
how many are right, how many are accepted at precision 0.98, and how many of the accepted are right.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from index.catalogue import Catalogue
from index.labels.categorising import categorise_photos
from index.labels.deciding import decide
from index.labels.review import queue
from index.labels.standing import Decision, stored_predictions
from index.labels.tagging import refresh, tag, train
from vision.images import read_image
from vision.taxonomy import CATEGORY

CHECKPOINTS = (0, 20, 100, 500)
STEP = 10  # answers between two looks at the queue


def rows(path: Path, **wanted: str) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row[k] == v for k, v in wanted.items())]


def photos(data: Path, name: str) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Return products as (id, path, class), and validation photos as (path, class)."""
    if name == "clothing":
        taught = [(r["product_id"], r["image_path"], r["category"])
                  for r in rows(data / "products.csv", set=name)]  # fmt: skip
    else:
        taught = [(Path(r["query_image"]).stem, r["query_image"], r["label"])
                  for r in rows(data / "queries.csv", set=name, split="train")]  # fmt: skip
    split = "validation" if name == "clothing" else "val"
    asked = [(r["query_image"], r["label"])
             for r in rows(data / "queries.csv", set=name, split=split)]  # fmt: skip
    return taught, asked


def by_queue(catalogue: Catalogue, _open: dict[str, str]) -> list[str]:
    found = queue(catalogue, STEP, axis=CATEGORY)
    return [each.stored.product.product_id for each in found]


def at_random(seed: int) -> Callable[[Catalogue, dict[str, str]], list[str]]:
    rng = np.random.default_rng(seed)
    return lambda _, open_: rng.permutation(sorted(open_))[:STEP].tolist()


def measure(
    catalogue: Catalogue, open_: dict[str, str], asked: list[tuple[Path, str]]
) -> tuple[float, ...]:
    with catalogue.reading() as table:
        keys = table.keys(open_)
        said = stored_predictions(table.connection, keys.values())
    accepted = [(said[keys[each]][CATEGORY].accepted, truth) for each, truth in open_.items()]
    best = [(said[keys[each]][CATEGORY].best, truth) for each, truth in open_.items()]
    right = np.mean([value.startswith(f'[["{truth}"') for value, truth in best])
    some = [(value, truth) for value, truth in accepted if value]
    predicted = categorise_photos(catalogue, [read_image(path, at_least=256) for path, _ in asked])
    category = predicted[CATEGORY]
    hits = [row[0][0] == truth for row, (_, truth) in zip(category.best(1), asked, strict=True)]
    kept = [(value, truth) for value, (_, truth) in zip(category.accepted, asked, strict=True)
            if value]  # fmt: skip
    return (
        float(right), len(some) / len(open_), _share(some),
        float(np.mean(hits)), len(kept) / len(asked), _share(kept),
    )  # fmt: skip


def _share(pairs: list[tuple[str, str]]) -> float:
    return float(np.mean([value == truth for value, truth in pairs])) if pairs else float("nan")


def run(
    catalogue: Catalogue,
    truths: dict[str, str],
    open_: dict[str, str],
    asked: list[tuple[Path, str]],
    choose: Callable[[Catalogue, dict[str, str]], list[str]],
) -> Iterable[tuple[int, tuple[float, ...]]]:
    given = 0
    for checkpoint in CHECKPOINTS:
        while given < checkpoint:
            chosen = choose(catalogue, open_)[: checkpoint - given]
            if not chosen:
                return
            decide(catalogue, [Decision(each, CATEGORY, "set", truths[each]) for each in chosen],
                   who="simulated", new_values=True)  # fmt: skip
            for each in chosen:
                open_.pop(each, None)  # or it had a label that looked wrong
            given += len(chosen)
            refresh(catalogue, chosen)
        train(catalogue)
        tag(catalogue)
        yield given, measure(catalogue, open_, asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", default="builtin")
    parser.add_argument("--set", default="clothing", choices=("clothing", "grocery"))
    parser.add_argument("--labelled", type=int, default=5, help="of each class, at the start")
    options = parser.parse_args()
    taught, asked = photos(options.data, options.set)
    first: dict[str, list[str]] = defaultdict(list)
    for product_id, _, truth in taught:
        first[truth].append(product_id)
    known = {each for ids in first.values() for each in ids[: options.labelled]}
    print(f"{options.set}, {len(taught)} products, {len(known)} labelled, {options.encoder}")
    head = ("order", "answers", "right", "accepted", "of those right", "photos: right", "accepted",
            "of those right")  # fmt: skip
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for order, choose in (("queue", by_queue), ("random", at_random(0))):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            feed = Path(folder) / "feed.csv"
            with feed.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["product_id", "image_path", "category"])
                for product_id, path, truth in taught:
                    writer.writerow([product_id, path, truth if product_id in known else ""])
            with Catalogue.open(Path(folder) / "c", create=True, encoder=options.encoder) as made:
                from index.changes.adding import AddOptions

                made.add([feed], options=AddOptions(images_root=options.data))
                truths = {each: truth for each, _, truth in taught}
                open_ = {each: truth for each, truth in truths.items() if each not in known}
                paths = [(options.data / path, truth) for path, truth in asked]
                for given, figures in run(made, truths, open_, paths, choose):
                    cells = [f"{100 * value:.1f}" for value in figures]
                    print("| " + " | ".join([order, str(given), *cells]) + " |", flush=True)
        print(f"({order}: {time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
