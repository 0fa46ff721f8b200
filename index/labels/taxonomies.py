"""The catalogue's own taxonomy: from a file or from its products, looked over and changed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from index.feeds import NUMBERED
from index.product import Product
from index.store.database import read_setting, write_setting
from index.store.products import ProductTable
from index.store.tables import attributes, products, settings
from vision.categories import compose, fold, names, parent, translate
from vision.taxonomy import FEWEST_VALUES, MOST_VALUES, Migration, Taxonomy, derive

if TYPE_CHECKING:
    from index.store.writing import ProductWriter

_TAXONOMY, _ALIASES = "taxonomy", "aliases"  # names of settings
_ADVISED = 20  # findings of a kind for which what was meant is looked for, which takes time


@dataclass(frozen=True)
class Finding:
    """Something in a taxonomy, or in the products' use of it, that is probably not meant.

    ``kind`` is "outside" (a category of products that the taxonomy lacks), "value" (the same of an
    attribute), "twins" (categories whose names differ in case, spacing or plural only), "chain" (a
    category whose only content is one other) or "empty" (a leaf without products). ``what`` says it
    in words, ``products`` is how many it concerns, and ``nearest`` has what was probably meant.
    """

    kind: str
    path: str
    what: str
    products: int = 0
    nearest: tuple[str, ...] = ()

    @property
    def serious(self) -> bool:
        """Whether products are outside of the taxonomy."""
        return self.kind == "outside"


# --- reading and storing -----------------------------------------------------------------------


def taxonomy_of(table: ProductTable) -> Taxonomy:
    """Return the catalogue's taxonomy: the one it was given, else what its products go by.

    One that was given without attributes has those that its products go by.
    """
    stored = stored_taxonomy(table.connection)
    if stored is None:
        return derive(category_counts(table), value_counts(table))
    if stored.axes:
        return stored
    return replace(stored, axes=derive({}, value_counts(table)).axes)


def stored_taxonomy(connection: Connection) -> Taxonomy | None:
    """Return the taxonomy that the catalogue was given, None where it goes by its products."""
    value = read_setting(connection, _TAXONOMY)
    return None if value is None else Taxonomy.from_dict(value)


def store_taxonomy(writer: ProductWriter, taxonomy: Taxonomy) -> None:
    """Give the catalogue a taxonomy; what its products say stays as it is."""
    write_setting(writer.connection, _TAXONOMY, taxonomy.as_dict())


def drop_taxonomy(writer: ProductWriter) -> None:
    """Let the catalogue go by its products again."""
    writer.connection.execute(sa.delete(settings).where(settings.c.name == _TAXONOMY))


def category_counts(table: ProductTable) -> dict[str, int]:
    """Return how many products have each category as their own; "" is for those without."""
    query = sa.select(products.c.category, sa.func.count()).group_by(products.c.category)
    return {path: int(number) for path, number in table.connection.execute(query)}


def value_counts(
    table: ProductTable, axes: Collection[str] | None = None
) -> dict[str, dict[str, int]]:
    """Return how many products have each value, by attribute.

    Of the attributes in ``axes``, or of all that have few enough values to become axes.
    """
    name, value = attributes.c.name, attributes.c.value
    if axes is None:
        few = sa.func.count(value.distinct()).between(FEWEST_VALUES, MOST_VALUES)
        axes = table.connection.execute(sa.select(name).group_by(name).having(few)).scalars().all()
    found: dict[str, dict[str, int]] = {}
    for axis in axes:
        query = sa.select(value, sa.func.count()).where(name == axis).group_by(value)
        counted = {each: int(number) for each, number in table.connection.execute(query)}
        if counted:
            found[axis] = counted
    return found


# --- changing ----------------------------------------------------------------------------------


def aliases(connection: Connection) -> dict[str, str]:
    """Return where the categories that feeds name are by now: old path -> present path.

    To be used once, with ``translate``: a path that was given again to another category may be the
    old one of this and the new one of that.
    """
    return dict(_aliases(connection)["paths"])


def category_reader(connection: Connection) -> Callable[[Product], str]:
    """Return what tells the present category of a product as its feed has it, "" for none.

    That is the path it names, where that is by now, or the one that has the number it gives.
    """
    moves = aliases(connection)
    by_id: dict[str, str] | None = None

    def read(feed: Product) -> str:
        nonlocal by_id
        if feed.category or NUMBERED not in feed.attributes:
            return translate(feed.category, moves)
        if by_id is None:  # reading a large taxonomy takes time, and few feeds have numbers
            by_id = categories_by_id(connection)
        return by_id.get(feed.attributes[NUMBERED], "")

    return read


def categories_by_id(connection: Connection) -> dict[str, str]:
    """Return the present path of each id of the taxonomy's source, such as Google's numbers.

    The ids of categories that were merged into others are among them.
    """
    taxonomy = stored_taxonomy(connection) or Taxonomy()
    own = {code: path for path, code in taxonomy.ids.items()}
    return _aliases(connection)["ids"] | own


def extend_aliases(writer: ProductWriter, before: Taxonomy, migration: Migration) -> None:
    """Let feeds go on using the paths and ids of the taxonomy before a migration."""
    known, moves = _aliases(writer.connection), migration.moves
    present = set(migration.taxonomy.ids.values())
    merged = {code: path for path, code in before.ids.items() if code not in present}
    ids = {code: translate(path, moves) for code, path in (known["ids"] | merged).items()}
    paths = compose(known["paths"], moves)
    write_setting(writer.connection, _ALIASES, {"paths": paths, "ids": ids})


def _aliases(connection: Connection) -> dict[str, dict[str, str]]:
    stored: Any = read_setting(connection, _ALIASES)
    return stored or {"paths": {}, "ids": {}}


# --- looking it over ---------------------------------------------------------------------------


def check(table: ProductTable) -> list[Finding]:
    """Return what is probably not meant, the serious first, what concerns most products before."""
    taxonomy = taxonomy_of(table)
    counts = category_counts(table)
    return [
        *outside(taxonomy, counts),
        *_other_values(taxonomy, value_counts(table, taxonomy.axes)),
        *_twins(taxonomy, counts),
        *_chains(taxonomy, counts),
        *_empty_leaves(taxonomy, counts),
    ]


def outside(taxonomy: Taxonomy, counts: Mapping[str, int]) -> list[Finding]:
    """Return the categories of products that a taxonomy lacks; ``counts`` as of the products."""
    missing = {path: number for path, number in counts.items() if path and path not in taxonomy}
    found: list[Finding] = []
    for path in sorted(missing, key=lambda each: (-missing[each], each)):
        nearest = taxonomy.nearest(path) if len(found) < _ADVISED else ()
        what = f'"{path}" is not in the taxonomy'
        found.append(Finding("outside", path, what, missing[path], nearest))
    return found


def _other_values(taxonomy: Taxonomy, counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    missing = {
        (axis, value): number
        for axis, values in counts.items()
        for value, number in values.items()
        if value not in taxonomy.axes[axis]
    }
    for place, (axis, value) in enumerate(sorted(missing, key=lambda each: (-missing[each], each))):
        nearest: tuple[str, ...] = ()
        if place < _ADVISED:
            folded = {fold(each): each for each in taxonomy.axes[axis]}
            nearest = tuple(
                folded[each] for each in difflib.get_close_matches(fold(value), folded, 3, 0.7)
            )
        what = f'"{value[:80]}" is not among the values of "{axis}"'
        yield Finding("value", f"{axis}={value}", what, missing[axis, value], nearest)


def _twins(taxonomy: Taxonomy, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Find siblings whose names read the same."""
    alike: dict[tuple[str, str], list[str]] = {}
    for path in taxonomy.categories:
        alike.setdefault((parent(path), _stem(names(path)[-1])), []).append(path)
    for paths in alike.values():
        if len(paths) > 1:
            listed = " and ".join(f'"{path}"' for path in paths)
            number = sum(_within(taxonomy, path, counts) for path in paths)
            yield Finding("twins", paths[0], f"{listed} look the same", number, tuple(paths[1:]))


def _chains(taxonomy: Taxonomy, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Find categories with one child and nothing else, of several in a row the topmost."""

    def single(path: str) -> bool:
        return len(taxonomy.children(path)) == 1 and not counts.get(path)

    for path in taxonomy.categories:
        if single(path) and not (parent(path) and single(parent(path))):
            last = path
            while single(last):
                (last,) = taxonomy.children(last)
            what = f'"{path}" holds nothing but "{last[len(path) + 3 :]}"'
            yield Finding("chain", path, what, _within(taxonomy, path, counts), (last,))


def _empty_leaves(taxonomy: Taxonomy, counts: Mapping[str, int]) -> Iterator[Finding]:
    for path in taxonomy.leaves:
        if not counts.get(path):
            yield Finding("empty", path, f'"{path}" has no products')


def _within(taxonomy: Taxonomy, path: str, counts: Mapping[str, int]) -> int:
    return sum(counts.get(each, 0) for each in taxonomy.subtree(path))


def _stem(name: str) -> str:
    """Return a name as it compares: without case and spaces, English plurals like singulars.

    After the S-stemmer of Harman, How effective is suffixing?, JASIS 42 (1991), made symmetric.
    """
    text = fold(name)
    if text.endswith("s") and not text.endswith("ss"):
        text = text[:-1]
    text = text.removesuffix("e")
    return f"{text[:-1]}i" if text.endswith("y") else text
