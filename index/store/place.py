"""Where a catalogue is kept: its folder, and the database in that folder or on a server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vision.errors import CatalogueError

if TYPE_CHECKING:
    from sqlalchemy import URL

DATABASE = "catalogue.sqlite"
BACKEND = "backend"  # the folder with the choice of how the encoder is computed


def database_address(folder: Path, server: str | None = None) -> str | URL:
    """Return the SQLAlchemy address of a catalogue's database.

    That is ``server`` or FINDALIKE_DATABASE where one of them is given, else the SQLite file in
    the folder.
    """
    from sqlalchemy import URL

    # Not "sqlite:///PATH", in which a ? would have a meaning.
    return _server(server) or URL.create("sqlite", database=str(folder / DATABASE))


def is_catalogue(folder: Path, server: str | None = None) -> bool:
    """Tell whether there is a catalogue to open; one on a server is taken to be there."""
    if _server(server):
        return True
    try:
        return folder.is_dir() and (folder / DATABASE).stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CatalogueError(f"{folder} cannot be looked into ({error.strerror}).") from error


def require_catalogue(folder: Path, server: str | None = None) -> None:
    """Raise CatalogueError where there is no catalogue, or nothing left of it."""
    if is_catalogue(folder, server):
        return
    from index.store.stamp import compare_stamp, read_stamp

    compare_stamp(folder, read_stamp(folder), None)
    raise CatalogueError(
        f"There is no catalogue in {folder}. Make one with: findalike add PHOTOS "
        f"--catalogue {folder}"
    )


def make_folder(folder: Path) -> None:
    """Make the folder of a new catalogue; raises CatalogueError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise CatalogueError(
            f"{folder} is a file; a catalogue is a folder. Name another place."
        ) from error
    except OSError as error:
        raise CatalogueError(f"{folder} cannot be made ({error.strerror}).") from error


def _server(given: str | None) -> str | None:
    return given or os.environ.get("FINDALIKE_DATABASE")
