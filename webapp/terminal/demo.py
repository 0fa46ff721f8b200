"""The subcommand that shows findalike at work, on the sample catalogue that ships with it."""

from __future__ import annotations

import csv
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assets import SAMPLE
from webapp.terminal.command import PATH, announce

if TYPE_CHECKING:
    from index.catalogue import Catalogue

_ASKED = 10  # customers' photos
_STAFF = "demo"  # the name of the account that is made for the staff pages


@click.command(short_help="See it work on a sample catalogue.")
@click.option(
    "--catalogue", "-c", "path", type=PATH, default=Path("findalike-demo"), show_default=True,
    help="The folder that the sample catalogue is put into.",
)  # fmt: skip
@click.option("--port", default=8000, show_default=True, help="The port that the shop listens on.")
@click.option(
    "--serve/--no-serve", "serves", default=None,
    help="Whether to open the shop afterwards.  [default: in a terminal]",
)  # fmt: skip
def demo(path: Path, port: int, serves: bool | None) -> None:
    """Index a sample catalogue of rendered products, ask it ten customers' photos, open the shop.

    The shop has the ten photos one click away; Ctrl-C ends it.
    """
    from index.catalogue import Catalogue
    from index.query import Query
    from index.store.place import is_catalogue
    from webapp.terminal.show import print_demo, progress_bar

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
        if sys.stdout.isatty() if serves is None else serves:
            click.echo(f"\n{_staff(catalogue, path)}")
            _open_shop(catalogue, [SAMPLE / row["query_image"] for row in asked], port)
        else:
            click.echo(
                f"  findalike demo --catalogue {path} --serve   # the shop and a staff login"
            )


def _staff(catalogue: Catalogue, path: Path) -> str:
    """Return how to log in to the staff pages; the first time, an account is made for it."""
    from index.service.accounts import Accounts

    accounts, password = Accounts(catalogue.engine), secrets.token_urlsafe(9)
    if any(each.name == _STAFF for each in accounts.all()):
        return (
            f"Staff pages: /staff/ as {_STAFF}, with the password of the first time. For another: "
            f"findalike users password {_STAFF} --catalogue {path}"
        )
    accounts.add(_STAFF, password, "admin")
    return f"Staff pages: /staff/ as {_STAFF} with the password {password} (shown this once)"


def _open_shop(catalogue: Catalogue, photos: list[Path], port: int) -> None:
    """Serve the shop until Ctrl-C, with photos to try."""
    from webapp.services import Config
    from webapp.terminal.serving import run, shop_of

    config = Config(shop_name="findalike demo", examples=tuple(photos))
    with shop_of(catalogue, config) as app:
        click.echo("The shop is open until Ctrl-C:")
        run(app, "127.0.0.1", port)


def sample_photos() -> list[dict[str, str]]:
    """Return the rows of photos.csv that the demo asks, from all over the shop, with the titles."""
    titles = {row["product_id"]: row["title"] for row in _rows("products.csv")}
    sold = [row for row in _rows("photos.csv") if row["sold"] == "yes"]
    chosen = sold[:: len(sold) // _ASKED][:_ASKED]
    return [row | {"title": titles[row["product_id"]]} for row in chosen]


def _keep_out(catalogue: Catalogue, path: Path) -> None:
    """Raise ClickException for a catalogue that is not the demo's, whatever was imported there."""
    ids = [row["product_id"] for row in _rows("products.csv")]
    with catalogue.reading() as table:
        sample = len(table.keys(ids))
    if catalogue.info()["products"] > sample < len(ids) / 2:
        raise click.ClickException(
            f"{path} holds products of your own; name a new folder with --catalogue."
        )


def _rows(name: str) -> list[dict[str, str]]:
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
