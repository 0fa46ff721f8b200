"""The ``findalike`` command: each subcommand parses, makes one call and prints.

Heavy libraries are imported inside the commands, so that help and mistyped options answer at once.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vision.errors import FindalikeError

if TYPE_CHECKING:
    from index.catalogue import Catalogue

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
_STOPPED = 130  # the exit status of a command ended by Ctrl-C


class _Group(click.Group):
    """Shows findalike's own errors as one message with exit status 1, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FindalikeError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
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


def _with_catalogue(command: F) -> F:
    """Let ``--catalogue`` stand after the subcommand too, and pass the folder first."""

    @click.option(
        "--catalogue", "-c", "own", type=PATH, help="The folder that holds the catalogue."
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, own: Path | None, **options: Any) -> Any:
        return ctx.invoke(command, own or ctx.obj, **options)

    return wrapped  # type: ignore[return-value]


def _open(path: Path, **options: Any) -> Catalogue:
    from index.catalogue import Catalogue

    return Catalogue.open(path, **options)


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=PATH)
@_with_catalogue
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
    from index.adding import AddOptions
    from vision.images import Limits

    listed = rejects or Path(f"{sources[0].name or 'feed'}.rejects.csv")
    options = AddOptions(
        limits=Limits(max_pixels=int(max_megapixels * 1e6)), images_root=images,
        folder_categories=folder_categories,
    )  # fmt: skip
    from webapp.show import print_report, progress_bar

    if dry_run:
        from index.adding import check_feed

        with _rejects_file(listed) as reject, progress_bar() as progress:
            report = check_feed(sources, options, reject, progress)
        print_report(report, listed, as_json, dry_run=True)
        raise SystemExit(2 if report.passed_over else 0)
    new = not (path / "catalogue.sqlite").exists()
    with _open(path, encoder=encoder, create=True) as catalogue:
        if new and not as_json:
            _say_encoder(catalogue)
        _be_polite()
        try:
            with _rejects_file(listed) as reject, progress_bar() as progress:
                report = catalogue.add(sources, options=options, reject=reject, progress=progress)
        except KeyboardInterrupt:
            click.echo(
                "\nStopped. What was finished is kept; run the same command to go on.", err=True
            )
            raise SystemExit(_STOPPED) from None
    print_report(report, listed, as_json)
    raise SystemExit(2 if report.passed_over else 0)


def _say_encoder(catalogue: Catalogue) -> None:
    click.echo(f"New catalogue in {catalogue.path}, encoder {catalogue.encoder_spec}.", err=True)
    if catalogue.encoder_spec == "builtin":
        click.echo(
            "The built-in encoder knows photos only. A CLIP finds more and understands words: "
            "--encoder clip:ViT-B-32/laion2b_s34b_b79k (findalike encoders lists others).",
            err=True,
        )


def _be_polite() -> None:
    """Let searches on the same machine go first while a long add is running."""
    import os

    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)


@contextlib.contextmanager
def _rejects_file(path: Path) -> Iterator[Callable[[Any], None]]:
    """Give a function that lists what was passed over; the file exists only if there is any."""
    from index.feeds import quote_formula

    file = None

    def reject(one: Any) -> None:
        nonlocal file
        if file is None:
            file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            csv.writer(file).writerow(["source", "line", "product_id", "image", "reason"])
        csv.writer(file).writerow(
            [quote_formula(one.source), one.line or "", quote_formula(one.product_id),
             quote_formula(one.image), one.reason]
        )  # fmt: skip

    try:
        yield reject
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error}); see --rejects.") from error
    finally:
        if file is not None:
            file.close()


@main.command()
@click.argument("photo", required=False, type=PATH)
@_with_catalogue
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
        read_image(photo, at_least=64)  # a wrong file is told before the encoder is loaded
    with _open(path) as catalogue:
        answer = catalogue.search(query)
        if as_json:
            click.echo(json.dumps(answer.as_dict(), ensure_ascii=False, indent=2))
            return
        from webapp.show import print_answer

        print_answer(answer, catalogue if pictures else None)


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


@main.command()
@click.argument("queries", type=PATH)
@_with_catalogue
@click.option("--images", type=PATH, help="The folder that photo paths start from.")
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", help="Use only such rows.")
@click.option("--html", type=PATH, help="Write a report with pictures of the worst misses.")
@click.option("--json", "as_json", is_flag=True, help="Print the measures as JSON.")
def evaluate(
    path: Path,
    queries: Path,
    images: Path | None,
    only: tuple[str, ...],
    html: Path | None,
    as_json: bool,
) -> None:
    """Measure the answers to labelled photos: recall, mAP, nDCG, MRR, and how honest verdicts are.

    QUERIES is a CSV with the columns query_image and product_id or category.
    """  # fmt: skip
    from index.evaluate import evaluate as measure
    from index.evaluate import read_queries
    from webapp.show import print_evaluation, progress_bar, write_html

    truths = read_queries(queries, images_root=images, only=only)
    with _open(path) as catalogue:
        with progress_bar() as progress:
            result = measure(catalogue, truths, progress=progress)
        if html is not None:
            write_html(result, catalogue, html)
        if as_json:
            click.echo(json.dumps(result.as_dict(), ensure_ascii=False, indent=2))
        else:
            print_evaluation(result)
            if html is not None:
                click.echo(f"Report with pictures: {html}")


@main.command()
@_with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(path: Path, as_json: bool) -> None:
    """Show what the catalogue holds, its encoder, its index and its calibration."""
    from webapp.show import print_info

    with _open(path) as catalogue:
        print_info(catalogue, as_json)


@main.command()
@_with_catalogue
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option("--no-files", is_flag=True, help="Leave out the picture files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(path: Path, repair: bool, no_files: bool, as_json: bool) -> None:
    """Check every row against its checksum, the index, the picture files and the fingerprint.

    Exit status 1 means that something is wrong which touches answers.
    """
    from index.upkeep import check_catalogue
    from index.upkeep import repair as mend
    from webapp.show import print_problems, progress_bar

    with _open(path) as catalogue:
        with progress_bar() as progress:
            problems = list(check_catalogue(catalogue, files=not no_files, progress=progress))
        lost: list[str] = []
        if repair:
            with catalogue.writing():
                lost = mend(catalogue, problems)
            problems = list(check_catalogue(catalogue, files=not no_files))
        print_problems(problems, lost, as_json, repaired=repair)
    raise SystemExit(1 if lost or any(each.serious for each in problems) else 0)


@main.command()
@click.argument("product_ids", nargs=-1, required=True, metavar="ID...")
@_with_catalogue
def remove(path: Path, product_ids: tuple[str, ...]) -> None:
    """Remove products, with their pictures and embeddings."""
    with _open(path) as catalogue:
        count = catalogue.remove(product_ids)
    click.echo(f"Removed {count} product{'s' * (count != 1)}.")


@main.command()
@_with_catalogue
def rebuild(path: Path) -> None:
    """Build the index anew and calibrate anew, from the stored embeddings."""
    from webapp.show import progress_bar

    with _open(path) as catalogue, progress_bar() as progress:
        catalogue.rebuild(progress=progress)
    click.echo("The index is rebuilt.")


@main.command()
@click.argument("destination", type=PATH)
@_with_catalogue
def backup(path: Path, destination: Path) -> None:
    """Copy the catalogue to a new folder, even while products are being added."""
    from index.upkeep import back_up

    with _open(path) as catalogue:
        back_up(catalogue, destination)
    click.echo(f"Backed up to {destination}. To use it: findalike info --catalogue {destination}")


@main.command()
@click.argument("file", type=PATH, required=False)
@_with_catalogue
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "jsonl"]),
    help="[default: by FILE's name, else csv]",
)
def export(path: Path, file: Path | None, kind: str | None) -> None:
    """Write all products as CSV or JSONL, to FILE or to the screen.

    To read it back: findalike add FILE --images /
    """
    from index.upkeep import export_products

    kind = kind or ("jsonl" if file is not None and file.suffix in (".jsonl", ".ndjson") else "csv")
    with _open(path) as catalogue:
        if file is None:
            export_products(catalogue, sys.stdout, kind)
            return
        try:
            with file.open("w", encoding="utf-8", newline="") as out:
                count = export_products(catalogue, out, kind)
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written ({error}).") from error
    click.echo(f"Wrote {count} product{'s' * (count != 1)} to {file}.")


@main.command()
def encoders() -> None:
    """List the recommended encoders and which of them are on this machine."""
    from webapp.show import print_encoders

    print_encoders()
