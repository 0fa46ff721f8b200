"""The stamp: a note beside the database of whose it is and how far it has come.

A database file that was emptied, swapped, or lost its latest pages (they stand in a file of their
own, the write-ahead log, until they are moved) may read without any complaint as an older or other
catalogue. The stamp tells. It is written after each commit, so it is never ahead of the database;
where it is missing, nothing is compared.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from index.store.tables import checksum
from vision.errors import CatalogueError

STAMP = "catalogue.stamp"


@dataclass(frozen=True)
class Stamp:
    """Which catalogue the folder belongs to, and the generation it has reached."""

    identity: str
    generation: int


def write_stamp(folder: Path, stamp: Stamp) -> None:
    """Note how far the database has come; a full disk is no reason to fail after a commit."""
    temporary = folder / f"{STAMP}.tmp"
    text = f"{stamp.identity} {stamp.generation}"
    with contextlib.suppress(OSError):
        temporary.write_text(f"{text} {checksum(text)}\n")
        temporary.replace(folder / STAMP)


def read_stamp(folder: Path) -> Stamp | None:
    """Return the stamp, None where there is none that can be trusted."""
    try:
        text, _, crc = (folder / STAMP).read_text().strip().rpartition(" ")
        identity, _, generation = text.partition(" ")
        return Stamp(identity, int(generation)) if int(crc) == checksum(text) else None
    except (OSError, ValueError):
        return None


def compare_stamp(folder: Path, noted: Stamp | None, found: Stamp | None) -> None:
    """Raise CatalogueError where the database (None: it is gone or empty) is not what was noted."""
    if noted is None or (
        found is not None
        and found.identity == noted.identity
        and found.generation >= noted.generation
    ):
        return
    if found is None:
        what = "its database is gone or empty"
    elif found.identity != noted.identity:
        what = "its database belongs to another catalogue"
    else:
        what = (
            f"its database stands at change {found.generation}, although change "
            f"{noted.generation} was committed, so products are missing"
        )
    raise CatalogueError(
        f"The catalogue in {folder} is damaged: {what}. Put the right files back, all together, or "
        f"a backup's folder in their place. If this is how you want it, delete {folder / STAMP}."
    )
