"""The subcommands that categorise: train, tag, categorise, heads."""

from __future__ import annotations

from pathlib import Path

import click

from vision.errors import UnreadableImage
from webapp.terminal.command import PATH, STOPPED, open_catalogue, print_json, with_catalogue
from webapp.terminal.files import check_writable

_PRECISION = click.FloatRange(0.5, 0.9999)


@click.command(short_help="Learn categories and attributes from labelled products.")
@with_catalogue
@click.option(
    "--precision", type=_PRECISION, default=0.98, show_default=True,
    help="The share of accepted tags that must be right.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="All chance follows from it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/tagging.md.")
def train(path: Path, precision: float, seed: int, as_json: bool) -> None:
    """Learn categories and attributes from the products that feeds or people labelled.

    The head that comes of it is kept beside the older ones (findalike heads) and used from now on.
    """
    with open_catalogue(path) as catalogue:
        from index.labels.tagging import train as teach
        from webapp.terminal.show import progress_bar
        from webapp.terminal.tagshow import print_taught

        with progress_bar() as progress:
            taught = teach(catalogue, precision=precision, seed=seed, progress=progress)
        print_taught(taught, as_json)


@click.command(short_help="Tag the whole catalogue.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/tagging.md.")
def tag(path: Path, as_json: bool) -> None:
    """Say of every product what the head thinks: what is sure is filled in, the rest is queued.

    What feeds and people said stays. Products that the head has seen already are left out, so that
    an interrupted run is taken up by starting it again.
    """
    with open_catalogue(path) as catalogue:
        from index.labels.tagging import tag as run
        from webapp.terminal.show import progress_bar
        from webapp.terminal.tagshow import print_tagged

        try:
            with progress_bar() as progress:
                report = run(catalogue, progress=progress)
        except KeyboardInterrupt:
            click.echo(
                "\nStopped. What was finished is kept; run the same command to go on.", err=True
            )
            raise SystemExit(STOPPED) from None
        print_tagged(report, as_json)


@click.command(short_help="Say what photos show.")
@click.argument("photos", nargs=-1, required=True, type=PATH, metavar="PHOTO...")
@with_catalogue
@click.option(
    "--explain", type=PATH, metavar="FILE", help="Write a heat map over the first photo, a JPEG."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/tagging.md.")
def categorise(path: Path, photos: tuple[Path, ...], explain: Path | None, as_json: bool) -> None:
    """Say which category and attributes photos show, how surely, and why."""
    from vision.images import read_image

    if explain is not None:
        check_writable(explain, "--explain")
    images = []
    for photo in photos:
        try:
            images.append(read_image(photo, at_least=_PIXELS))
        except UnreadableImage as error:
            raise click.ClickException(f"{photo}: {error}") from error
    with open_catalogue(path) as catalogue:
        from index.labels.categorising import categorise as ask
        from index.labels.categorising import explain_category
        from webapp.terminal.tagshow import print_categorised

        answers = ask(catalogue, images)
        if explain is not None:
            explain.write_bytes(explain_category(catalogue, images[0]))
        if as_json:
            print_json(
                [
                    {"photo": str(photo)} | answer.as_dict()
                    for photo, answer in zip(photos, answers, strict=True)
                ]
            )
            return
        print_categorised(photos, answers)
        if explain is not None:
            click.echo(f"Heat map of {photos[0].name}: {explain}")


_PIXELS = 512  # that photos are read with at least, enough for every encoder


@click.group(invoke_without_command=True, short_help="List, choose and remove trained heads.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/tagging.md.")
@click.pass_context
def heads(ctx: click.Context, path: Path, as_json: bool) -> None:
    """List the heads that were trained; the one in use is marked."""
    ctx.obj = path
    if ctx.invoked_subcommand is not None:
        return
    with open_catalogue(path) as catalogue:
        from webapp.terminal.tagshow import print_heads

        print_heads(catalogue, as_json)


@heads.command("use", short_help="Use another head.")
@click.argument("version")
@with_catalogue
def use_head(path: Path, version: str) -> None:
    """Use another version from now on: a step back, or forth again.

    To tag the catalogue by it: findalike tag
    """
    with open_catalogue(path) as catalogue, catalogue.writing(), catalogue.changing() as table:
        catalogue.heads.use(table, version)
    click.echo(f"Head {version} is in use. To tag the catalogue by it: findalike tag")


@heads.command("remove", short_help="Delete a head.")
@click.argument("version")
@with_catalogue
def remove_head(path: Path, version: str) -> None:
    """Delete a version that is not in use."""
    with open_catalogue(path) as catalogue, catalogue.writing(), catalogue.changing() as table:
        catalogue.heads.remove(table, version)
    click.echo(f"Removed head {version}.")


COMMANDS = (train, tag, categorise, heads)
