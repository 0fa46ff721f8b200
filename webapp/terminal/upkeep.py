"""The subcommands that keep a catalogue in order: info, check, remove, rebuild, backup, export."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from webapp.terminal.command import FAILED, PATH, count, open_catalogue, with_catalogue


@click.command(short_help="Show what the catalogue holds.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/cli.md.")
def info(path: Path, as_json: bool) -> None:
    """Show what the catalogue holds, its encoder, its index and its calibration."""
    with open_catalogue(path) as catalogue:
        from webapp.terminal.show import print_info

        print_info(catalogue, as_json)


@click.command(short_help="Look for damage, and mend it.")
@with_catalogue
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option("--no-files", is_flag=True, help="Leave out the picture files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/cli.md.")
def check(path: Path, repair: bool, no_files: bool, as_json: bool) -> None:
    """Check every row against its checksum, the index, the picture files and the fingerprint.

    Exit status 1 means that something is wrong which touches answers.
    """
    with open_catalogue(path) as catalogue:
        from index.changes.checking import check_catalogue
        from index.changes.upkeep import repair as mend
        from webapp.terminal.show import print_problems, progress_bar

        with progress_bar() as progress:
            problems = list(check_catalogue(catalogue, files=not no_files, progress=progress))
        lost: list[str] = []
        if repair:
            with catalogue.writing():
                lost = mend(catalogue, problems)
            problems = list(check_catalogue(catalogue, files=not no_files))
        print_problems(problems, lost, as_json, repaired=repair)
    raise SystemExit(FAILED if lost or any(each.serious for each in problems) else 0)


@click.command(short_help="Remove products.")
@click.argument("product_ids", nargs=-1, required=True, metavar="ID...")
@with_catalogue
def remove(path: Path, product_ids: tuple[str, ...]) -> None:
    """Remove products, with their pictures and embeddings."""
    from index.query import check_text

    for each in product_ids:
        check_text(each)
    with open_catalogue(path) as catalogue:
        removed = catalogue.remove(product_ids)
    click.echo(f"Removed {count(removed, 'product')}.")


@click.command(short_help="Build the index anew.")
@with_catalogue
def rebuild(path: Path) -> None:
    """Build the index anew and calibrate anew, from the stored embeddings."""
    with open_catalogue(path) as catalogue:
        from webapp.terminal.show import progress_bar

        with progress_bar() as progress:
            catalogue.rebuild(progress=progress)
    click.echo("The index is rebuilt.")


@click.command(short_help="Copy the catalogue to a new folder.")
@click.argument("destination", type=PATH)
@with_catalogue
def backup(path: Path, destination: Path) -> None:
    """Copy the catalogue to a new folder, even while products are being added."""
    with open_catalogue(path) as catalogue:
        from index.changes.upkeep import back_up

        back_up(catalogue, destination)
    click.echo(f"Backed up to {destination}. To use it: findalike info --catalogue {destination}")


@click.command(short_help="Write all products as CSV or JSONL.")
@click.argument("file", type=PATH, required=False)
@with_catalogue
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
    kind = kind or ("jsonl" if file is not None and file.suffix in (".jsonl", ".ndjson") else "csv")
    with open_catalogue(path) as catalogue:
        from index.changes.upkeep import export_products

        if file is None:
            export_products(catalogue, sys.stdout, kind)
            return
        try:
            with file.open("w", encoding="utf-8", newline="") as out:
                written = export_products(catalogue, out, kind)
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written ({error.strerror}).") from error
    click.echo(f"Wrote {count(written, 'product')} to {file}.")


COMMANDS = (info, check, remove, rebuild, backup, export)
