"""The files that commands write: refused before the work begins, made when there is need."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from index.feeds import Reject


def check_writable(path: Path, option: str) -> None:
    """Tell a path that cannot be written before the work is done, not after."""
    there = path if path.exists() else path.parent
    if path.is_dir() or not there.exists() or not os.access(there, os.W_OK):
        raise click.ClickException(f"{path} cannot be written; name another file with {option}.")


@contextlib.contextmanager
def rejects_file(path: Path) -> Iterator[Callable[[Reject], None]]:
    """Give a function that lists what was passed over; the file exists only if there is any."""
    from index.feeds import quote_formula

    file: TextIO | None = None

    def reject(one: Reject) -> None:
        nonlocal file
        columns = [one.source, one.line or "", one.product_id, one.image, one.reason]
        try:
            if file is None:
                file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
                csv.writer(file).writerow(["source", "line", "product_id", "image", "reason"])
            csv.writer(file).writerow([quote_formula(str(each)) for each in columns])
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written ({error.strerror}).") from error

    try:
        yield reject
    finally:
        if file is not None:
            file.close()
