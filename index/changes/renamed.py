"""Files that were renamed: the product named after the old name is known by its picture."""

from __future__ import annotations

from pathlib import Path

from index.store.products import ProductTable


def renamed(table: ProductTable, sha256: str, taken: set[int]) -> int | None:
    """Return the product named after a file that is gone and had this very picture, if any.

    It is noted in ``taken``: of two copies of a file only one is the file renamed.
    """
    owners = [key for key, _ in table.owners([sha256]).get(sha256, ()) if key not in taken]
    for key, stored in sorted(table.get(owners).items()):
        location = stored.views[0].location
        named_by_path = location.endswith(f"/{stored.product.product_id}")
        if named_by_path and not _is_there(location):
            taken.add(key)
            return key
    return None


def _is_there(location: str) -> bool:
    """Tell whether a picture's file, or the archive it lay in, is still there."""
    archive, separator, _ = location.partition("!/")
    try:
        return Path(location).exists() or (bool(separator) and Path(archive).is_file())
    except OSError:
        return True  # behind a door that is shut today
