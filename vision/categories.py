"""The paths of categories, such as ``"Kitchen > Mugs"``: taken apart, put together, compared."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from vision.errors import TaxonomyError

SEPARATOR = " > "  # between the names of a path, as in Google's product taxonomy
MAX_NAME = 200  # characters of one name
MAX_DEPTH = 20  # levels

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def translate(path: str, moves: Mapping[str, str]) -> str:
    """Return where a path is after moves: with the deepest of its ancestors that moved."""
    for known in reversed(ancestors(path)):
        if known in moves:
            return moves[known] + path[len(known) :]
    return path


def compose(first: Mapping[str, str], then: Mapping[str, str]) -> dict[str, str]:
    """Return the moves that do what ``first`` does and after that what ``then`` does.

    For every path, ``translate(path, compose(a, b)) == translate(translate(path, a), b)``; moves
    that follow from those of an ancestor are left out.
    """
    known = {*first, *then}
    targets: dict[str, list[str]] = {}
    for old, new in first.items():
        targets.setdefault(new, []).append(old)
    for path in then:  # what lies below a first move's target is reached from below its source too
        for above in ancestors(path):
            known.update(old + path[len(above) :] for old in targets.get(above, ()))
    found: dict[str, str] = {}
    for path in sorted(known, key=lambda each: (len(names(each)), each)):
        new = translate(translate(path, first), then)
        if translate(path, found) != new:
            found[path] = new
    return found


def names(path: str) -> tuple[str, ...]:
    """Return the names that a path is made of, from the top."""
    return tuple(path.split(SEPARATOR))


def ancestors(path: str) -> tuple[str, ...]:
    """Return the paths from the top down to this one, with itself."""
    return tuple(itertools.accumulate(names(path), below))


def parent(path: str) -> str:
    """Return the path above; "" for one at the top."""
    return path.rpartition(SEPARATOR)[0]


def spaced(path: str) -> str:
    """Return a path with single spaces and `` > `` between its names.

    Raises:
        TaxonomyError: if it holds no name.
    """
    found = SEPARATOR.join(levels(path))
    if not found:
        raise TaxonomyError(f'"{path}" is no category; write a path such as "Kitchen > Mugs".')
    return found


def check_name(name: str) -> str:
    """Return the name of a category with single spaces, if it can be one.

    Raises:
        TaxonomyError: if it is empty, too long, or holds ``>`` or control characters.
    """
    found = " ".join(name.split())
    if ">" in found:
        raise TaxonomyError(f'"{name}" cannot be one name: ">" stands between names only.')
    if not found or len(found) > MAX_NAME or _CONTROL.search(found):
        raise TaxonomyError(
            f'"{found[:40]}" cannot be a name: write 1 to {MAX_NAME} characters, none of them '
            f"control characters."
        )
    return found


def fold(text: str) -> str:
    """Return a text without case, width, and spaces, to find what was meant to be the same."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def levels(path: str) -> tuple[str, ...]:
    """Return the names in a path written by hand: any spacing, without the empty ones."""
    spaced_out = (" ".join(name.split()) for name in path.split(">"))
    return tuple(name for name in spaced_out if name)


def below(above: str, name: str) -> str:
    """Return the path of a name below another path, or with "" at the top."""
    return f"{above}{SEPARATOR}{name}" if above else name


def depth_first(paths: Iterable[str]) -> Iterator[str]:
    """Yield the paths with their ancestors, parents first, siblings in the order they come."""
    children: dict[str, dict[str, None]] = {"": {}}
    for path in paths:
        for each in ancestors(path):
            children.setdefault(parent(each), {})[each] = None
    waiting = list(reversed(children[""]))
    while waiting:
        path = waiting.pop()
        yield path
        waiting += reversed(children.get(path, ()))
