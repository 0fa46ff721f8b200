"""A ZIP file, read without ever unpacking it to disk.

Names and sizes that an archive states are not believed: every member is read up to a limit, and
only names that could be unpacked safely count.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from vision.errors import FeedError, UnreadableImage

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TOO_LARGE = "the file is larger than {limit:,} bytes: make the picture smaller"
MAX_MEMBERS = 1_000_000
MAX_RATIO = 200  # of a feed file; tables are known to shrink to a fiftieth at best
_SMALL = 64 << 20  # bytes; below, the ratio does not matter
_CHUNK = 1 << 16
_KEPT_OPEN = 4  # archives

# Everything that zipfile is known to raise for archives that are damaged or made to harm.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)

_open: dict[tuple[int, str], tuple[tuple[int, int], zipfile.ZipFile]] = {}
_lock = threading.Lock()


def open_archive(path: str) -> zipfile.ZipFile:
    """Return the archive, opened once and shared by all threads.

    Raises:
        FeedError: if it is missing, not a ZIP file, has too many members, or is encrypted.
    """
    try:
        about = Path(path).stat()
    except OSError as error:
        raise FeedError(f"the ZIP file cannot be read ({error.strerror})") from None
    stamp = (about.st_mtime_ns, about.st_size)
    # A forked process shares the position in the file with its parent: it opens its own.
    key = (os.getpid(), path)
    with _lock:
        known = _open.get(key)
        if known is None or known[0] != stamp:
            _open.pop(key, None)
            while len(_open) >= _KEPT_OPEN:
                # Not closed: a thread may be reading. It closes with its last reader.
                _open.pop(next(iter(_open)))
            _open[key] = known = (stamp, _opened(path))
        return known[1]


def close_archives() -> None:
    """Forget the archives that are open; they close when nobody reads them any more."""
    with _lock:
        _open.clear()


def name_fault(info: zipfile.ZipInfo) -> str:
    """Say why a member could not be unpacked safely, "" where it could."""
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        return "path outside the feed: the ZIP file names a place outside of itself"
    if "\\" in name or "\0" in name:
        return "has a backslash or NUL in its name: make the ZIP file with plain names"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "path outside the feed: it is a link, and links in ZIP files are not followed"
    return ""


def member_fault(info: zipfile.ZipInfo) -> str:
    """Say why a member may not be read, "" where it may."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile inflates the other kinds without a limit.
        return "is compressed in an unusual way: make the ZIP file with the usual one (deflate)"
    return name_fault(info)


def is_ignored(name: str) -> bool:
    """Tell whether a member is a folder, hidden, or what macOS adds."""
    parts = name.split("/")
    return name.endswith("/") or any(p.startswith(".") or p == "__MACOSX" for p in parts)


def open_feed(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> io.BufferedReader:
    """Open a member as a stream that is inflated bit by bit.

    Raises:
        FeedError: if it may not be used, is damaged, or inflates to far more than a feed can.
    """
    fault = member_fault(info)
    if fault:
        raise FeedError(f"{info.filename} in the ZIP file {fault}")
    # No more than the stated size is ever inflated, so that the stated size may be judged.
    if info.file_size > max(_SMALL, MAX_RATIO * info.compress_size):
        raise FeedError(
            f"{info.filename} inflates to {info.file_size:,} bytes from {info.compress_size:,}: "
            "no honest feed does; unpack it yourself if you trust it"
        )
    try:
        # The checksum stands at the end: without this, damaged rows would be taken for good ones.
        with archive.open(info) as member:
            while member.read(_CHUNK):
                pass
        return io.BufferedReader(_Inflated(archive.open(info)), _CHUNK)
    except DAMAGE as error:
        raise FeedError(f"{info.filename} in the ZIP file is damaged: {error}") from None


class _Inflated(io.RawIOBase):
    """The bytes of a member, whose damages are those of a file: OSError."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        try:
            data = self._member.read(len(view))
        except DAMAGE as error:
            raise OSError(f"the ZIP file is damaged: {error}") from None
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._member.close()
        super().close()


def read_member(path: str, name: str, limit: int) -> bytes:
    """Return the bytes of a member.

    Raises:
        UnreadableImage: if it is larger than ``limit`` bytes, whatever size it states.
        FeedError: if the archive may not be used.
        ValueError: if the member may not be used.
        One of DAMAGE: if it cannot be read.
    """
    archive = open_archive(path)
    info = archive.getinfo(name)
    fault = member_fault(info)
    if fault:
        raise ValueError(fault)
    data = b""
    if info.file_size <= limit:
        with archive.open(info) as member:
            data = member.read(limit + 1)
    if max(info.file_size, len(data)) > limit:
        raise UnreadableImage(TOO_LARGE.format(limit=limit))
    return data


def join(folder: str, reference: str) -> str:
    """Return the member that a reference means, seen from a folder of the archive; "" outside."""
    name = posixpath.normpath(posixpath.join(folder, reference))
    outside = name.startswith(("/", "../")) or name == ".." or re.match(r"[A-Za-z]:", reference)
    return "" if outside else name


def _opened(path: str) -> zipfile.ZipFile:
    try:
        with Path(path).open("rb") as file:
            too_many = _has_too_many_members(file)
        if too_many:
            raise FeedError(f"the ZIP file has more than {MAX_MEMBERS:,} members: split it")
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise FeedError("this is not a ZIP file, or it is damaged: make it anew") from None
    except DAMAGE as error:
        raise FeedError(f"the ZIP file cannot be read: {error}") from None
    if any(info.flag_bits & 1 for info in archive.filelist):
        archive.close()
        raise FeedError("the ZIP file is encrypted: make one without a password")
    return archive


def _has_too_many_members(file: BinaryIO) -> bool:
    """Count the members before zipfile does, which makes an object of each.

    Follows the same steps as ``zipfile``, on the "end of central directory" of APPNOTE.TXT
    4.3.16 and 4.3.14. The count that the archive states is not looked at.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22 - 0xFFFF))
    tail = file.read()
    at = len(tail) - 22
    if at < 0 or tail[at : at + 4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        return False  # zipfile will say that it is no ZIP file
    end = size - len(tail) + at
    (directory_size,) = struct.unpack_from("<L", tail, at + 12)
    start = end - directory_size
    if end >= 76:
        file.seek(end - 76)
        record = file.read(76)
        if record[56:60] == b"PK\6\7" and record[:4] == b"PK\6\6":
            (directory_size,) = struct.unpack_from("<Q", record, 40)
            start = end - 76 - directory_size
    if directory_size <= 46 * MAX_MEMBERS or start < 0:
        return False
    file.seek(start)
    for count in range(MAX_MEMBERS + 1):
        entry = file.read(46)
        if len(entry) < 46 or entry[:4] != b"PK\1\2":
            return count > MAX_MEMBERS
        file.seek(sum(struct.unpack_from("<HHH", entry, 28)), os.SEEK_CUR)
    return True
