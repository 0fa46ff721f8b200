"""What the terminal says of how the encoder is computed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from vision.choice import Choice

_MANY = 2000  # pictures, from which on it is worth a line that nothing was chosen


def print_choice(choice: Choice) -> None:
    """Show what every backend did and which is used, as a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("backend", "pictures/s of a core", "query ms", "cosine", "least", "recall@10", ""):
        table.add_column(name, justify="left" if name in ("backend", "") else "right")
    for each in choice.trials:
        measured = (
            f"{each.speed:.1f}", f"{each.pair:.1f}", f"{each.cosine:.5f}", f"{each.least:.5f}",
            f"{each.recall:.4f}",
        )  # fmt: skip
        said = "is used" if each.backend == choice.backend else each.refused
        table.add_row(each.backend, *(measured if each.speed else ("-",) * 5), escape(said))
    Console(highlight=False).print(table)


def computed_with(choice: dict[str, Any] | None) -> str:
    """Say how the encoder is computed, and how far off that is."""
    usual = "the first of the usual ways that agrees when it is loaded"
    if choice is None:
        return f"{usual}, not measured; findalike quicken finds the fastest way"
    if choice["unfit"]:
        return f"{usual}; a choice was made, but {choice['unfit']}. Run findalike quicken again"
    when = time.strftime(", %Y-%m-%d %H:%M", time.localtime(choice["time"]))
    return (
        f"{_measured(choice)}, chosen by measurement on {choice['pictures']} pictures"
        f"{when if choice['time'] else ''} on {choice['machine']}"
    )


def _measured(choice: dict[str, Any]) -> str:
    trials = {each["backend"]: each for each in choice["trials"]}
    mine, reference = trials[choice["backend"]], choice["trials"][0]
    return (
        f"{mine['backend']}, {mine['speed'] / reference['speed']:.1f} times the speed of "
        f"{reference['backend']} (cosine {mine['cosine']:.5f}, the least {mine['least']:.5f}, "
        f"recall@10 {mine['recall']:.3f})"
    )


def choice_line(catalogue: Catalogue, since: float) -> str:
    """Return what to say after an add, most times nothing.

    That is a choice made ``since`` that Unix time, or in a terminal that one would pay.
    """
    from index.changes.choosing import describe_choice

    choice = describe_choice(catalogue)
    if choice is not None and not choice["unfit"]:
        made = choice["time"] >= since
        return f"The encoder is computed with {_measured(choice)} from now on." if made else ""
    if sys.stdout.isatty() and catalogue.encoder.device.type == "cpu":
        with catalogue.reading() as table:
            if table.counts()["images"] >= _MANY:
                return "findalike quicken would find the fastest way to compute the encoder."
    return ""
