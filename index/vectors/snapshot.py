"""The snapshot: an index in one file, of which no damaged byte is ever searched.

The file is laid out as safetensors: a header in JSON, then the arrays. All but the rows are covered
by a SHA-256 that is compared when the file is opened, which reads a small part of it; each row has
a CRC-32 among these arrays, to be compared when the row is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from index.store.files import replace_durably
from index.vectors.kinds import Measured
from index.vectors.rows import Rows, checksums
from vision.errors import CatalogueError

_TYPES = {"F16": "<f2", "F32": "<f4", "I64": "<i8", "U32": "<u4", "U8": "|u1"}
_NAMES = {np.dtype(type_): name for name, type_ in _TYPES.items()}
_NO_DIGEST = "0" * 64
_LONGEST_HEADER = 2**20


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot holds: ``notes`` and ``arrays`` by name, ``rows`` (n, dim), mapped into
    memory and not checked yet, and ``crcs`` (n,) uint32 to check them with.
    """

    notes: dict[str, str]
    arrays: dict[str, np.ndarray]
    rows: np.ndarray
    crcs: np.ndarray


def write_snapshot(
    path: Path, notes: Mapping[str, str], arrays: Mapping[str, np.ndarray], rows: Rows
) -> None:
    """Write a snapshot beside ``path``, flush it and put it in its place.

    Raises CatalogueError when the disk is full.
    """
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        name: (_NAMES[array.dtype], array.shape) for name, array in arrays.items()
    }
    shapes["crcs"] = ("U32", (len(rows),))
    shapes["rows"] = ("F16" if rows.half else "F32", (len(rows), rows.dim))
    header, places = _layout(shapes, {**notes, "sha256": _NO_DIGEST})
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.seek(places["rows"])
            crcs = np.empty(len(rows), np.uint32)
            done = 0
            for block in rows.blocks():
                file.write(block.data)
                crcs[done : done + len(block)] = checksums(block)
                done += len(block)
            held = {**arrays, "crcs": crcs}
            for name, array in held.items():
                file.seek(places[name])
                file.write(np.ascontiguousarray(array).data)
            file.seek(0)
            digest = _digest(header, held)
            file.write(header.replace(_NO_DIGEST.encode(), digest.encode()))
        replace_durably(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _cannot_write(error) from error


def _cannot_write(error: OSError) -> CatalogueError:
    return CatalogueError(
        f"The index could not be written ({error}). The products are safe in the catalogue, and "
        f"searches go on, only slower to start. Make room on the disk and run findalike rebuild."
    )


def _layout(
    shapes: Mapping[str, tuple[str, tuple[int, ...]]], notes: Mapping[str, str]
) -> tuple[bytes, dict[str, int]]:
    """Return the header, and where in the file each array begins. Wide types come first."""
    described: dict[str, Any] = {"__metadata__": dict(notes)}
    places, at = {}, 0
    for name, (type_, shape) in sorted(shapes.items(), key=lambda item: _width(item[1][0])):
        end = at + -_width(type_) * int(np.prod(shape))
        described[name] = {"dtype": type_, "shape": list(shape), "data_offsets": [at, end]}
        places[name], at = at, end
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + place for name, place in places.items()}


def _width(type_: str) -> int:
    """Return the bytes of a number, with a minus so that wide ones sort first."""
    return -np.dtype(_TYPES[type_]).itemsize


def read_snapshot(path: Path) -> Snapshot | None:
    """Open a snapshot; None where there is none, or it is not as it was written."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(min(length, _LONGEST_HEADER))
            described = json.loads(text)
            notes = described.pop("__metadata__")
            digest = notes.pop("sha256")
            end = 8 + length + max(each["data_offsets"][1] for each in described.values())
            if os.fstat(file.fileno()).st_size != end:
                return None
            about = described.pop("rows")
            arrays = {name: _read(file, 8 + length, each) for name, each in described.items()}
            header = length.to_bytes(8, "little") + text.replace(
                digest.encode(), _NO_DIGEST.encode()
            )
            if _digest(header, arrays) != digest:
                return None
            rows = _map(file, 8 + length, about)
        return Snapshot(notes, arrays, rows, arrays.pop("crcs"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, MemoryError):
        return None


def look(path: Path) -> Measured | None:
    """Return what a snapshot says was measured of it, unchecked; None where there is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            notes = json.loads(file.read(min(length, _LONGEST_HEADER)))["__metadata__"]
        return Measured.from_json(notes["measured"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _read(file: IO[bytes], start: int, about: dict[str, Any]) -> np.ndarray:
    file.seek(start + about["data_offsets"][0])
    count = int(np.prod(about["shape"]))
    array = np.fromfile(file, _TYPES[about["dtype"]], count)
    shaped: np.ndarray = array.reshape(about["shape"])
    return shaped


def _map(file: IO[bytes], start: int, about: dict[str, Any]) -> np.ndarray:
    shape, type_ = tuple(about["shape"]), np.dtype(_TYPES[about["dtype"]])
    if not shape[0]:
        return np.empty(shape, type_)
    return np.memmap(file, type_, "r", start + about["data_offsets"][0], shape)


def _digest(header: bytes, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(header)
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def spool_rows(
    parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    dim: int,
    folder: Path | None,
    *,
    half: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write vectors that come in parts, with their view ids and product keys, to a file without a
    name; return them mapped into memory, (n, dim) float32 or float16, and (n,) and (n,) int64.

    Raises CatalogueError when the disk is full.
    """
    type_ = np.dtype("<f2" if half else "<f4")
    ids, keys = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for views, products, vectors in parts:
                file.write(np.ascontiguousarray(vectors, type_).data)
                ids.append(views)
                keys.append(products)
            file.flush()
            views, products = np.concatenate(ids), np.concatenate(keys)
            shape = (len(views), dim)
            if not len(views):
                return np.empty(shape, type_), views, products
            return np.memmap(file, type_, "r", 0, shape), views, products
    except OSError as error:
        raise _cannot_write(error) from error
