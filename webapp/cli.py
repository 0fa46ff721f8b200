"""The ``findalike`` command: each subcommand parses, makes one call and prints.

Heavy libraries are imported inside the commands, so that help and mistyped options answer at once.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vision.errors import UnreadableImage
from webapp.terminal import (
    demo,
    encoders,
    evaluation,
    keys,
    review,
    serving,
    tags,
    taxonomy,
    tune,
    upkeep,
    users,
)
from webapp.terminal.command import (
    PASSED_OVER,
    PATH,
    STOPPED,
    Group,
    announce,
    open_catalogue,
    print_json,
    with_catalogue,
)
from webapp.terminal.files import check_writable, rejects_file

if TYPE_CHECKING:
    from index.catalogue import Catalogue


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="findalike")
@click.option(
    "--catalogue",
    "-c",
    "path",
    type=PATH,
    default=Path("catalogue"),
    envvar="FINDALIKE_CATALOGUE",
    show_default=True,
    show_envvar=True,
    help="The folder that holds the catalogue.",
)
@click.pass_context
def main(ctx: click.Context, path: Path) -> None:
    """Find a shop's products by photo, by words, or by another product.

    \b
    findalike add PHOTOS           make a catalogue from a folder, or add to it
    findalike search photo.jpg     find the product in a photo
    """
    ctx.obj = path
    # Before NumPy is loaded: OpenBLAS's threads spin beside torch's own, and made an add on a busy
    # machine take four times the processor time (docs/performance.md).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Sweeping through torch's objects before the process ends would take most of a second.
    atexit.register(gc.freeze)


_OTHERS = (
    *upkeep.COMMANDS, tune.tune, demo.demo, taxonomy.taxonomy, *tags.COMMANDS, review.review,
    keys.keys, *encoders.COMMANDS, evaluation.evaluate, serving.serve, users.users,
)  # fmt: skip
for _each in _OTHERS:
    main.add_command(_each)


@main.command(short_help="Add products from folders, feeds, ZIPs or photos.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=PATH)
@with_catalogue
@click.option(
    "--encoder", metavar="SPEC", help="The encoder of a new catalogue; see findalike encoders."
)
@click.option("--images", type=PATH, help="The folder that the feed's picture paths start from.")
@click.option(
    "--folder-categories", is_flag=True, help="Sub-folders of a folder become categories."
)
@click.option(
    "--rejects",
    type=PATH,
    help="Where to list what was passed over.  [default: SOURCE.rejects.csv]",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(1, 170),
    default=40,
    show_default=True,
    help="Larger pictures are passed over.",
)
@click.option("--dry-run", is_flag=True, help="Check the feed only; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def add(
    path: Path,
    sources: tuple[Path, ...],
    encoder: str | None,
    images: Path | None,
    folder_categories: bool,
    rejects: Path | None,
    max_megapixels: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add products from folders of photos, CSV, TSV or JSONL feeds, ZIP files or single photos.

    Makes the catalogue on first use. What is there already is not done again: run the same command
    after an interruption and it goes on. Exit status 2 means that something was passed over; the
    rejects file says what and why.
    """  # fmt: skip
    for each in (*sources, *([images] if images else [])):
        if not each.exists():
            raise click.ClickException(f"{each} does not exist; check the path.")
    listed = rejects or Path(f"{sources[0].resolve().name or 'feed'}.rejects.csv")
    check_writable(listed, "--rejects")
    # Searches on this machine go first. Before torch is loaded, since each thread has its own.
    with contextlib.suppress(OSError, AttributeError):
        os.nice(19)

    from index.changes.adding import AddOptions, check_feed
    from vision.images import Limits
    from webapp.terminal.backends import choice_line
    from webapp.terminal.show import print_report, progress_bar

    started, chosen = time.time(), ""
    options = AddOptions(
        limits=Limits(max_pixels=int(max_megapixels * 1e6)), images_root=images,
        folder_categories=folder_categories,
    )  # fmt: skip
    try:
        with rejects_file(listed) as reject:
            if dry_run:
                with progress_bar() as progress:
                    report = check_feed(sources, options, reject, progress)
            else:
                with _open_to_add(path, encoder, as_json) as catalogue, progress_bar() as progress:
                    report = catalogue.add(
                        sources, options=options, reject=reject, progress=progress
                    )
                    chosen = choice_line(catalogue, started)
    except KeyboardInterrupt:
        click.echo("\nStopped. What was finished is kept; run the same command to go on.", err=True)
        raise SystemExit(STOPPED) from None
    print_report(report, listed, as_json, dry_run)
    if chosen and not as_json:
        click.echo(chosen)
    if not any(vars(report).values()):
        names = ", ".join(str(each) for each in sources)
        raise click.ClickException(f"There is nothing to add in {names}: no pictures and no rows.")
    raise SystemExit(PASSED_OVER if report.passed_over else 0)


def _open_to_add(path: Path, encoder: str | None, quiet: bool) -> Catalogue:
    """Open the catalogue or make it, and say which encoder a new one has."""
    from index.catalogue import Catalogue
    from index.store.place import is_catalogue

    new = not is_catalogue(path)
    catalogue = Catalogue.open(path, encoder=encoder, create=True)
    if new and not quiet:
        announce(path, catalogue.encoder_spec)
    return catalogue


@main.command(short_help="Find products by photo, words or product.")
@click.argument("photo", required=False, type=PATH)
@with_catalogue
@click.option("--text", default="", help="Words that describe it (CLIP encoders).")
@click.option("--not", "not_text", default="", help="Words that it must not be like.")
@click.option("--like", default="", metavar="ID", help="Products like this one.")
@click.option(
    "--crop", metavar="X,Y,W,H", help="The part of the photo that counts, as fractions 0 to 1."
)
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help='Only such products: "category=Kitchen", "price<=20", "brand=Acme", "colour=red|blue".',
)
@click.option(
    "--weight",
    multiple=True,
    metavar="PART=NUMBER",
    help="How much photo, text, not or like count.",
)
@click.option("-k", "k", default=10, show_default=True, help="How many products.")
@click.option("--pictures", is_flag=True, help="Show small pictures (terminals with full colour).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/search.md.")
def search(
    path: Path,
    photo: Path | None,
    text: str,
    not_text: str,
    like: str,
    crop: str | None,
    where: tuple[str, ...],
    weight: tuple[str, ...],
    k: int,
    pictures: bool,
    as_json: bool,
) -> None:
    """Find products by photo, words, another product, or several of these together."""  # fmt: skip
    from index.query import Query
    from vision.images import Region, read_image

    query = Query(
        photo=photo,
        region=Region(*_numbers(crop)) if crop else None,
        text=text, not_text=not_text, like=like, where=where, k=k,
        weights=dict(_weight(each) for each in weight),
    )  # fmt: skip
    query.conditions()
    if photo is not None:
        try:
            read_image(photo, at_least=64)  # a wrong file is told before the encoder is loaded
        except UnreadableImage as error:
            raise click.ClickException(f"{photo}: {error}") from error
    with open_catalogue(path) as catalogue:
        answer = catalogue.search(query)
        if as_json:
            print_json(answer.as_dict())
            return
        from webapp.terminal.show import print_answer

        print_answer(answer, catalogue, pictures)


def _numbers(text: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f'"{text}" is not four numbers such as 0.25,0.1,0.5,0.8', param_hint="--crop"
        ) from None
    return x, y, width, height


def _weight(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise click.BadParameter(
            f'"{text}" is not PART=NUMBER such as text=0.5', param_hint="--weight"
        ) from None


@main.command("encoders", short_help="List the recommended encoders.")
def list_encoders() -> None:
    """List the recommended encoders and which of them are on this machine."""
    from webapp.terminal.show import print_encoders

    print_encoders()
