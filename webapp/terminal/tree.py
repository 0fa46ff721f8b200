"""What the terminal shows of a taxonomy: the tree with its numbers, and what was found in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from vision.categories import names, parent
from webapp.terminal.command import count

if TYPE_CHECKING:
    from index.labels.taxonomies import Finding
    from vision.taxonomy import Taxonomy

_WHOLE = 200  # categories up to which the tree is shown whole
_LINES = 20  # findings of one kind, and values of one attribute, that are shown

_KINDS = {
    "outside": ("Products outside of the taxonomy", "products"),
    "value": ("Attribute values outside of it", "products"),
    "twins": ("Categories that look the same", "products"),
    "chain": ("Levels without a choice", "products"),
    "empty": ("Categories without products", ""),
}


def taxonomy_json(
    shown: Taxonomy, products: Mapping[str, int], values: Mapping[str, Mapping[str, int]],
    given: bool,
) -> dict[str, Any]:  # fmt: skip
    """Return a taxonomy as documented for ``findalike taxonomy --json``.

    ``products`` are numbers by category, ``values`` by attribute and value; ``given`` says that the
    taxonomy is from a file.
    """
    totals = _totals(shown, products)
    return {
        "source": "file" if given else "products",
        "digest": shown.digest(),
        "without_category": products.get("", 0),
        "categories": [
            {"path": path, "id": shown.ids.get(path), "products": totals[path],
             "own": products.get(path, 0), "leaf": not shown.children(path)}
            for path in shown.categories
        ],
        "axes": [
            {"name": axis, "yes_no": shown.yes_no(axis), "values": [
                {"value": value, "products": values.get(axis, {}).get(value, 0)} for value in closed
            ]}
            for axis, closed in shown.axes.items()
        ],
    }  # fmt: skip


def _totals(shown: Taxonomy, products: Mapping[str, int]) -> dict[str, int]:
    """Return how many products each category has, with all below it."""
    totals = {path: products.get(path, 0) for path in shown.categories}
    for path in reversed(shown.categories):
        if parent(path):
            totals[parent(path)] += totals[path]
    return totals


def print_taxonomy(
    shown: Taxonomy, products: Mapping[str, int], values: Mapping[str, Mapping[str, int]],
    given: bool, whole: bool,
) -> None:  # fmt: skip
    """Show a taxonomy, of a large one only what has products unless it is wanted ``whole``."""
    console = Console(highlight=False)
    totals = _totals(shown, products)
    whole = whole or len(totals) <= _WHOLE
    chosen = [path for path in shown.categories if whole or totals[path]]
    source = "from a file" if given else "as the products have it"
    console.print(
        f"[bold]Categories[/] ({len(totals)}, {len(shown.leaves)} of them leaves; {source})"
    )
    console.print(_tree(chosen, totals))
    if len(chosen) < len(totals):
        console.print(f"... and {len(totals) - len(chosen)} without products; --all shows them.")
    if without := products.get("", 0):
        console.print(f"{count(without, 'product')} without a category.")
    for axis, closed in shown.axes.items():
        had = values.get(axis, {})
        listed = sorted(closed, key=lambda value: -had.get(value, 0))[:_LINES]
        texts = ", ".join(f"{escape(value)} [dim]{had.get(value, 0)}[/]" for value in listed)
        more = f", ... and {len(closed) - _LINES} more" if len(closed) > _LINES else ""
        console.print(f"[bold]{escape(axis)}[/]: {texts}{more}", soft_wrap=True)


def _tree(chosen: Collection[str], totals: Mapping[str, int]) -> Tree:
    branches = {"": Tree("", hide_root=True)}
    for path in chosen:
        label = f"{escape(names(path)[-1])} [dim]{totals[path]}[/]"
        branches[path] = branches[parent(path)].add(label)
    return branches[""]


def print_difference(old: Taxonomy, new: Taxonomy) -> None:
    """Say what another taxonomy would bring."""
    fresh = sum(path not in old for path in new.categories)
    gone = sum(path not in new for path in old.categories)
    axes = count(len(new.axes), "attribute") if new.axes else "attributes as the products have them"
    click.echo(
        f"{categories(len(new.categories))} ({fresh} new, {gone} no longer there), "
        f"{len(new.leaves)} of them leaves; {axes}."
    )


def print_findings(found: Sequence[Finding]) -> None:
    """Show findings by kind, of each the first."""
    console = Console(highlight=False)
    for kind, (title, noun) in _KINDS.items():
        some = [each for each in found if each.kind == kind]
        if not some:
            continue
        colour = "red" if some[0].serious else "yellow"
        number = sum(each.products for each in some)
        total = f" ({count(number, noun.removesuffix('s'))})" if noun else ""
        console.print(f"[{colour}]{title}[/]{total}")
        for each in some[:_LINES]:
            meant = " or ".join(f'"{one}"' for one in each.nearest)
            hint = f"; is it {meant}?" if meant and kind in ("outside", "value") else ""
            line = f"{each.what}{f': {each.products}' if noun else ''}{hint}"
            console.print(f"  {escape(line)}", soft_wrap=True)
        if len(some) > _LINES:
            console.print(f"  ... and {len(some) - _LINES} more; --json lists all")


def categories(number: int) -> str:
    """Return a number of categories in words."""
    return "1 category" if number == 1 else f"{number} categories"
