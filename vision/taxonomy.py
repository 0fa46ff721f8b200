"""The taxonomy: a tree of categories, and the attributes whose values are a closed list."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vision.categories import (
    MAX_DEPTH,
    SEPARATOR,
    ancestors,
    below,
    check_name,
    depth_first,
    fold,
    levels,
    names,
    parent,
    spaced,
    translate,
)
from vision.errors import TaxonomyError

__all__ = ["CATEGORY", "SEPARATOR", "Migration", "Taxonomy", "derive", "translate"]

CATEGORY = "category"  # the axis that is a tree

# The attributes of products that become axes: few values, each with enough products to learn from.
FEWEST_VALUES, MOST_VALUES = 2, 50
_PRODUCTS_EACH = 5
_YES_NO = (("no", "yes"), ("false", "true"), ("0", "1"), ("n", "y"))
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*")


@dataclass(frozen=True)
class Taxonomy:
    """The categories that a product can be in, and the values that its attributes can have.

    ``categories`` are the paths of all nodes, such as ``"Kitchen > Mugs"``, in depth-first order:
    parents before children, siblings in the order they were given; ancestors that were left out
    are put in, and paths get the spacing that feeds' categories have. They compare as written,
    with regard to case. ``ids`` maps some paths to their ids in the source. ``axes`` maps the
    attributes to their closed values; of two that mean no and yes, no comes first.

    Raises:
        TaxonomyError: where a path or value is empty, an id is that of no category or of two, or
            an attribute is called "category".
    """

    categories: tuple[str, ...] = ()
    ids: dict[str, str] = field(default_factory=dict)
    axes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids = {spaced(path): code.strip() for path, code in self.ids.items() if code.strip()}
        axes = {name.strip(): _closed(values) for name, values in self.axes.items()}
        object.__setattr__(self, "categories", tuple(depth_first(map(spaced, self.categories))))
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "axes", axes)
        for path in ids:
            self._require(path)
        if len(set(ids.values())) < len(ids):
            raise TaxonomyError("Two categories have the same id; give each its own.")
        if CATEGORY in axes:
            raise TaxonomyError(
                f'An attribute cannot be called "{CATEGORY}", which is the tree; rename it.'
            )
        for name, values in axes.items():
            if not name.strip() or not values or not all(value.strip() for value in values):
                raise TaxonomyError(
                    f'The attribute "{name}" needs a name and values to choose from.'
                )

    # --- looking -------------------------------------------------------------------------------

    def __contains__(self, path: object) -> bool:
        return path in self._places

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The categories without children, in order."""
        return tuple(path for path in self.categories if path not in self._children)

    def children(self, path: str = "") -> tuple[str, ...]:
        """Return the categories just below one, or with "" the top ones, in order."""
        return self._children.get(self._require(path), ())

    def ancestors(self, path: str) -> tuple[str, ...]:
        """Return the paths from the top down to this category, with itself."""
        return ancestors(self._require_one(path))

    def leaves_under(self, path: str = "") -> tuple[str, ...]:
        """Return the leaves at or below a category, or with "" all, in order."""
        if not path:
            return self.leaves
        return tuple(each for each in self.subtree(path) if each not in self._children)

    def subtree(self, path: str) -> tuple[str, ...]:
        """Return a category with all that is below it, in order."""
        after = range(self._places[self._require_one(path)] + 1, len(self.categories))
        start = path + SEPARATOR
        rest = (self.categories[place] for place in after)
        return (path, *itertools.takewhile(lambda each: each.startswith(start), rest))

    def depth(self, path: str) -> int:
        """Return the level of a category: 1 at the top."""
        return len(names(self._require_one(path)))

    def yes_no(self, axis: str) -> bool:
        """Tell whether an attribute is one that a product has or has not."""
        return _as_yes_no(self.axes[axis]) is not None

    def nearest(self, path: str, count: int = 3) -> tuple[str, ...]:
        """Return up to ``count`` categories that a path was probably meant to be, likeliest first.

        The same name elsewhere in the tree comes before a similar name (Ratcliff and Obershelp
        1988, as difflib has it); of equal names those whose whole path is the most similar.
        """
        wanted = fold(names(path)[-1]) if path.strip(" >") else ""
        close = [wanted] if wanted in self._by_name else []
        close += difflib.get_close_matches(wanted, self._by_name, count, 0.7)
        found: list[str] = []
        for name in dict.fromkeys(close):
            found += sorted(self._by_name[name], key=lambda each: -_likeness(each, path))
        return tuple(found[:count])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {path: place for place, path in enumerate(self.categories)}

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for path in self.categories:
            found.setdefault(parent(path), []).append(path)
        return {path: tuple(each) for path, each in found.items()}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.categories:
            found.setdefault(fold(names(path)[-1]), []).append(path)
        return found

    def _require(self, path: str) -> str:
        if path and path not in self._places:
            near = self.nearest(path)
            listed = ", ".join(f'"{each}"' for each in near or self.children()[:5]) or "none"
            hint = f"Did you mean {listed}?" if near else f"At the top there are: {listed}."
            raise TaxonomyError(f'There is no category "{path}" in the taxonomy. {hint}')
        return path

    # --- changing ------------------------------------------------------------------------------

    def renamed(self, path: str, name: str) -> Migration:
        """Give a category another name; what is below it goes along.

        Raises:
            TaxonomyError: if there is no such category, or its parent has one of this name.
        """
        new = below(parent(self._require_one(path)), check_name(name))
        self._require_free(new)
        return self._migrated(lambda each: translate(each, {path: new}), in_place=True)

    def moved(self, path: str, to: str) -> Migration:
        """Put a category with all below it under another one, or with "" at the top.

        Raises:
            TaxonomyError: if either does not exist, the one is below the other, the new parent has
                one of this name already, or the tree would get too deep.
        """
        self._require_apart(path, self._require(to), "moved under")
        new = below(to, names(path)[-1])
        self._require_free(new)
        deepest = max(len(names(each)) for each in self.subtree(path)) - len(names(path))
        if len(names(new)) + deepest > MAX_DEPTH:
            raise TaxonomyError(f'Below "{to}" it would lie deeper than {MAX_DEPTH} levels.')
        return self._migrated(lambda each: translate(each, {path: new}))

    def merged(self, path: str, into: str) -> Migration:
        """Dissolve a category into another; what is below it goes below that, name by name.

        Raises:
            TaxonomyError: if either does not exist, or ``into`` is the category or below it.
        """
        self._require_apart(path, self._require_one(into), "merged into")
        return self._migrated(lambda each: translate(each, {path: into}))

    def split(self, path: str, parts: Sequence[str]) -> Migration:
        """Add categories below one; what was labelled with it stays there, now partly labelled.

        Raises:
            TaxonomyError: if there is no such category, or a name is given twice or taken.
        """
        self._require_one(path)
        new = [below(path, check_name(part)) for part in parts]
        if not new:
            raise TaxonomyError(f'Name the categories to be made below "{path}".')
        for each in new:
            self._require_free(each)
        if len(set(new)) < len(new):
            raise TaxonomyError("A name is given twice; give each category its own.")
        if len(names(new[0])) > MAX_DEPTH:
            raise TaxonomyError(f'Below "{path}" they would lie deeper than {MAX_DEPTH} levels.')
        return Migration(Taxonomy((*self.categories, *new), self.ids, self.axes), {})

    def _migrated(self, new_path: Callable[[str], str], *, in_place: bool = False) -> Migration:
        """Return the migration that gives every category its new path.

        Those that change come last among their new siblings, unless they stay in their place.
        """
        moves = {each: new for each in self.categories if (new := new_path(each)) != each}
        kept = (each for each in self.categories if each not in moves)
        order = map(new_path, self.categories) if in_place else (*kept, *moves.values())
        # Of two that become one, the one that was there keeps its id.
        ids = {moves[each]: code for each, code in self.ids.items() if each in moves}
        ids |= {each: code for each, code in self.ids.items() if each not in moves}
        return Migration(Taxonomy(tuple(order), ids, self.axes), moves)

    def _require_one(self, path: str) -> str:
        if not path:
            raise TaxonomyError('Name a category by its path, such as "Kitchen > Mugs".')
        return self._require(path)

    def _require_free(self, path: str) -> None:
        if path in self:
            raise TaxonomyError(
                f'There is a category "{path}" already; choose another name, or merge the two.'
            )

    def _require_apart(self, path: str, other: str, how: str) -> None:
        if self._require_one(path) in (ancestors(other) if other else ()):
            raise TaxonomyError(f'"{path}" cannot be {how} itself or what is below it.')

    # --- keeping -------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """Return the taxonomy as JSON values."""
        axes = {name: list(values) for name, values in self.axes.items()}
        return {"categories": list(self.categories), "ids": dict(self.ids), "axes": axes}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Taxonomy:
        """Return the taxonomy that ``as_dict`` gave.

        Raises:
            TaxonomyError: if it is none.
        """
        try:
            axes = {str(name): tuple(map(str, each)) for name, each in value["axes"].items()}
            return cls(tuple(map(str, value["categories"])), dict(value["ids"]), axes)
        except (KeyError, TypeError, AttributeError) as error:
            raise TaxonomyError(f"This is not a taxonomy: {error!r}. Import it anew.") from error

    def digest(self) -> str:
        """Return a hex digest of what can be predicted: equal whatever the order and the ids."""
        axes = {name: sorted(values) for name, values in self.axes.items()}
        text = json.dumps([sorted(self.categories), axes], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Migration:
    """A changed taxonomy, and where the categories of the old one went.

    ``moves`` maps the old path of each category that changed, inner or leaf, to its new one; all
    at once, so that a new path may be another's old one (see ``translate``).
    """

    taxonomy: Taxonomy
    moves: dict[str, str]


def derive(categories: Mapping[str, int], attributes: Mapping[str, Mapping[str, int]]) -> Taxonomy:
    """Make the taxonomy that products go by.

    ``categories`` maps paths to how many products have them, ``attributes`` names to values to how
    many products. The axes are the attributes with 2 to 50 values and on average 5 products each,
    other than numbers (sizes, ids): those cannot be told from a picture, or not learnt.
    """
    axes = {}
    for name, counts in sorted(attributes.items()):
        values = sorted(value for value, count in counts.items() if value.strip() and count > 0)
        few = FEWEST_VALUES <= len(values) <= MOST_VALUES
        if name == CATEGORY or not name.strip() or not few:
            continue
        if sum(counts[value] for value in values) < _PRODUCTS_EACH * len(values):
            continue
        if _as_yes_no(values) or not all(_NUMBER.fullmatch(value) for value in values):
            axes[name] = tuple(values)
    paths = sorted(path for path, count in categories.items() if count > 0 and levels(path))
    return Taxonomy(tuple(paths), {}, axes)


def _closed(values: Sequence[str]) -> tuple[str, ...]:
    distinct = tuple(dict.fromkeys(value.strip() for value in values))
    return _as_yes_no(distinct) or distinct


def _as_yes_no(values: Sequence[str]) -> tuple[str, str] | None:
    """Return the two values as (no, yes), as written, if that is what they mean."""
    meant = {value.casefold(): value for value in values}
    pairs = (pair for pair in _YES_NO if set(pair) == set(meant) and len(values) == 2)
    return next(((meant[no], meant[yes]) for no, yes in pairs), None)


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, fold(one), fold(other)).ratio()
