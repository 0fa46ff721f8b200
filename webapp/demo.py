"""The subcommand that shows findalike at work, on the sample catalogue that ships with it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assets import SAMPLE
from webapp.command import PATH, announce

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_ASKED = 10  # customers' photos


@click.command(short_help="See it work on a sample catalogue.")
@click.option(
    "--catalogue", "-c", "path", type=PATH, default=Path("findalike-demo"), show_default=True,
    help="The folder that the sample catalogue is put into.",
)  # fmt: skip
def demo(path: Path) -> None:
    """Index a sample catalogue of rendered products and ask it ten customers' photos."""
    from index.catalogue import Catalogue
    from index.place import is_catalogue
    from index.query import Query
    from webapp.show import print_demo, progress_bar

    new = not is_catalogue(path)
    with Catalogue.open(path, create=True) as catalogue:
        if new:
            announce(path, catalogue.encoder_spec)
        _keep_out(catalogue, path)
        with progress_bar() as progress:
            catalogue.add([SAMPLE / "products.csv"], progress=progress)
        asked = sample_photos()
        answers = catalogue.search_many(
            [Query(photo=SAMPLE / row["query_image"], k=3) for row in asked]
        )
        print_demo(path, asked, answers)


def sample_photos() -> list[dict[str, str]]:
    """Return the rows of photos.csv that the demo asks, from all over the shop, with the titles."""
    titles = {row["product_id"]: row["title"] for row in _rows("products.csv")}
    sold = [row for row in _rows("photos.csv") if row["sold"] == "yes"]
    chosen = sold[:: len(sold) // _ASKED][:_ASKED]
    return [row | {"title": titles[row["product_id"]]} for row in chosen]


def _keep_out(catalogue: Catalogue, path: Path) -> None:
    """Raise ClickException for a catalogue that holds anything but the sample."""
    ids = [row["product_id"] for row in _rows("products.csv")]
    with catalogue.reading() as table:
        sample = len(table.keys(ids))
    if catalogue.info()["products"] != sample:
        raise click.ClickException(
            f"{path} holds products of your own; name a new folder with --catalogue."
        )


def _rows(name: str) -> list[dict[str, str]]:
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
