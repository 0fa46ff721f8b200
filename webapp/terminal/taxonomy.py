"""The subcommands of ``findalike taxonomy``: show, check, import, export and change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webapp.terminal.command import FAILED, PATH, count, open_catalogue, print_json, with_catalogue

if TYPE_CHECKING:
    from vision.taxonomy import Migration, Taxonomy


@click.group(
    short_help="Show, check and change the categories and attributes.", invoke_without_command=True
)
@with_catalogue
@click.option("--all", "whole", is_flag=True, help="Show categories without products, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/taxonomy.md.")
def taxonomy(path: Path, whole: bool, as_json: bool) -> None:
    """Show the category tree and the attributes, with the numbers of products.

    Categories are named by their path, such as "Kitchen > Mugs".
    """
    context = click.get_current_context()
    context.obj = path
    if context.invoked_subcommand is not None:
        return
    with open_catalogue(path) as catalogue:
        from index.labels.taxonomies import (
            category_counts,
            stored_taxonomy,
            taxonomy_of,
            value_counts,
        )
        from webapp.terminal.tree import print_taxonomy, taxonomy_json

        with catalogue.reading() as table:
            shown = taxonomy_of(table)
            given = stored_taxonomy(table.connection) is not None
            products, values = category_counts(table), value_counts(table, shown.axes)
    if as_json:
        print_json(taxonomy_json(shown, products, values, given))
    else:
        print_taxonomy(shown, products, values, given, whole)


@taxonomy.command(short_help="Look for what is probably not meant.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/taxonomy.md.")
def check(path: Path, as_json: bool) -> None:
    """Look for products outside of the taxonomy, and for what in it is probably not meant.

    Exit status 1 means that products have categories which the taxonomy lacks.
    """
    with open_catalogue(path) as catalogue:
        from index.labels.taxonomies import check as look_over
        from webapp.terminal.tree import print_findings

        with catalogue.reading() as table:
            found = look_over(table)
    if as_json:
        print_json({"findings": [asdict(each) for each in found]})
    else:
        print_findings(found)
        if not found:
            click.echo("Everything is in order.")
    raise SystemExit(FAILED if any(each.serious for each in found) else 0)


@taxonomy.command("import", short_help="Take the taxonomy from a file.")
@click.argument("file", type=PATH)
@with_catalogue
@click.option("--attributes", type=PATH, help="A file with the attributes and their values.")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
def import_file(path: Path, file: Path, attributes: Path | None, dry_run: bool) -> None:
    """Take the taxonomy from FILE: indented text, CSV, Google's product taxonomy or Shopify's.

    What products say stays as it is; those outside of the new taxonomy are listed.
    """
    from index.feeds.taxonomies import read_taxonomy

    new = read_taxonomy(file, attributes)
    with open_catalogue(path) as catalogue:
        from index.labels.migrating import adopt
        from index.labels.taxonomies import category_counts, outside, taxonomy_of
        from webapp.terminal.tree import print_difference, print_findings

        with catalogue.reading() as table:
            old, products = taxonomy_of(table), category_counts(table)
        print_difference(old, new)
        print_findings(outside(new, products))
        if dry_run:
            click.echo("Nothing was changed.")
            return
        adopt(catalogue, new)
    click.echo(f"The taxonomy is that of {file}.")


@taxonomy.command(short_help="Write the taxonomy as CSV.")
@click.argument("file", type=PATH, required=False)
@with_catalogue
def export(path: Path, file: Path | None) -> None:
    """Write the taxonomy as CSV, to FILE or to the screen.

    To read it back: findalike taxonomy import FILE
    """
    with open_catalogue(path) as catalogue:
        from index.feeds.taxonomies import taxonomy_csv, write_taxonomy
        from index.labels.taxonomies import taxonomy_of

        with catalogue.reading() as table:
            written = taxonomy_of(table)
    if file is None:
        click.echo(taxonomy_csv(written).replace("\r\n", "\n"), nl=False)
        return
    from webapp.terminal.tree import categories

    write_taxonomy(written, file)
    click.echo(f"Wrote {categories(len(written.categories))} to {file}.")


@taxonomy.command(short_help="Give a category another name.")
@click.argument("category", metavar="PATH")
@click.argument("name")
@with_catalogue
def rename(path: Path, category: str, name: str) -> None:
    """Give the category PATH another NAME; all that is below it goes along."""
    _migrate(path, lambda old: old.renamed(_path(category), name))


@taxonomy.command(short_help="Put a category under another one.")
@click.argument("category", metavar="PATH")
@click.argument("parent")
@with_catalogue
def move(path: Path, category: str, parent: str) -> None:
    """Put the category PATH with all below it under PARENT, or with / at the top."""
    to = "" if parent.strip() in ("", "/") else _path(parent)
    _migrate(path, lambda old: old.moved(_path(category), to))


@taxonomy.command(short_help="Dissolve a category into another.")
@click.argument("category", metavar="PATH")
@click.argument("into")
@with_catalogue
def merge(path: Path, category: str, into: str) -> None:
    """Dissolve the category PATH into the category INTO; what is below it goes below that."""
    _migrate(path, lambda old: old.merged(_path(category), _path(into)))


@taxonomy.command(short_help="Add categories below one.")
@click.argument("category", metavar="PATH")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_catalogue
def split(path: Path, category: str, names: tuple[str, ...]) -> None:
    """Add categories below the category PATH; its products stay on it until they are told apart."""
    migration = _migrate(path, lambda old: old.split(_path(category), names))
    below = ", ".join(migration.taxonomy.children(_path(category)))
    click.echo(f'Below "{_path(category)}" there are now: {below}.')


@taxonomy.command(short_help="Go by the products again.")
@with_catalogue
def derive(path: Path) -> None:
    """Drop the taxonomy of a file, and go by what the products say.

    What was renamed, moved or merged stays so.
    """
    with open_catalogue(path) as catalogue:
        from index.labels.taxonomies import drop_taxonomy, taxonomy_of
        from webapp.terminal.tree import categories

        with catalogue.writing(), catalogue.changing() as writer:
            drop_taxonomy(writer)
            found = taxonomy_of(writer)
    number = categories(len(found.categories))
    click.echo(f"The taxonomy is what the products say: {number}.")


def _path(text: str) -> str:
    """Return a path as it was typed in the spacing that paths have."""
    from vision.categories import spaced

    return spaced(text)


def _migrate(path: Path, change: Callable[[Taxonomy], Migration]) -> Migration:
    """Change the taxonomy and say what became of it."""
    with open_catalogue(path) as catalogue:
        from index.labels.migrating import migrate

        migration, products = migrate(catalogue, change)
    if migration.moves:
        from webapp.terminal.tree import categories

        old, new = next(iter(migration.moves.items()))
        click.echo(
            f'"{old}" is now "{new}": {categories(len(migration.moves))}, '
            f"{count(products, 'product')}. Feeds may go on using the old name."
        )
    return migration
