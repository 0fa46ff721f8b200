"""What looking up words adds to the encoder's own sense of them, on the sample catalogue.

    .venv/bin/python benchmarks/bench_words.py

Words alone: "colour material thing" and "colour category", where at least five products fit;
precision@5. Photo and words: a customer's photo and "in COLOUR", another colour that its category
has; what share of those that fit are among the first five. Photo, not: "not COLOUR", its product's
own; what share of the first five have another.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

import index.search.words
from index.catalogue import Catalogue
from index.query import Query

SAMPLE = Path(__file__).parents[1] / "assets" / "sample"


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of one of the sample's tables."""
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Print one row for each strength of what products say."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Catalogue.open(Path(folder) / "catalogue", create=True) as catalogue,
    ):
        catalogue.add([SAMPLE / "products.csv"])
        print(
            "| a product that says all of it gains | words alone | photo and words | photo, not |"
        )
        print("| ---: | ---: | ---: | ---: |")
        for said in (0.0, 0.1, 0.2, 0.3, 0.5):
            index.search.words._SAID, index.search.words._UNWANTED = said, 2 * said
            row = (alone(catalogue), with_photo(catalogue), unwanted(catalogue))
            print(f"| {said} | " + " | ".join(f"{each:.3f}" for each in row) + " |", flush=True)


def alone(catalogue: Catalogue) -> float:
    """Return the mean precision@5 of words that at least five products fit."""
    right: dict[str, set[str]] = defaultdict(set)
    for row in table("products.csv"):
        thing = row["title"].partition(",")[0].partition(" ")[2].removeprefix("II ")
        right[f"{row['colour']} {row['material']} {thing}"].add(row["product_id"])
        right[f"{row['colour']} {row['category'].split(' > ')[-1]}"].add(row["product_id"])
    asked = {text: ids for text, ids in right.items() if len(ids) >= 5}
    answers = catalogue.search_many([Query(text=text, k=5) for text in asked])
    return float(
        np.mean(
            [
                np.mean([hit.product.product_id in ids for hit in answer.hits])
                for answer, ids in zip(answers, asked.values(), strict=True)
            ]
        )
    )


def with_photo(catalogue: Catalogue) -> float:
    """Return what share of the products of a photo's kind in another colour come first."""
    colours = {row["product_id"]: row["colour"] for row in table("products.csv")}
    there = Counter((row["category"], row["colour"]) for row in table("products.csv"))
    found = []
    for at, row in enumerate(sold()):
        own = (row["category"], colours[row["product_id"]])
        others = sorted(each for each in there if each[0] == own[0] and each != own)
        if others:
            category, colour = others[at % len(others)]
            query = Query(photo=SAMPLE / row["query_image"], text=f"in {colour}", k=5)
            fit = sum(
                (hit.product.category, hit.product.attributes["colour"]) == (category, colour)
                for hit in catalogue.search(query).hits
            )
            found.append(fit / min(5, there[category, colour]))
    return float(np.mean(found))


def unwanted(catalogue: Catalogue) -> float:
    """Return what share of the first five has another colour than the one not wanted."""
    colours = {row["product_id"]: row["colour"] for row in table("products.csv")}
    found = []
    for row in sold():
        colour = colours[row["product_id"]]
        answer = catalogue.search(Query(photo=SAMPLE / row["query_image"], not_text=colour, k=5))
        found += [hit.product.attributes["colour"] != colour for hit in answer.hits]
    return float(np.mean(found))


def sold() -> list[dict[str, str]]:
    """Return the rows of customers' photos whose product is sold."""
    return [row for row in table("photos.csv") if row["sold"] == "yes"]


if __name__ == "__main__":
    main()
