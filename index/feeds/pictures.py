"""Where the pictures of a feed lie: references are turned into places, and places into bytes.

A place ("location") is an absolute path, or "/path/feed.zip!/member.jpg". Nothing outside the
feed's folder is ever reached, whatever a feed or a link in the folder says.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from index.feeds import archives
from vision.errors import FeedError, UnreadableImage

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
)
OUTSIDE = "path outside the feed: pictures must lie in the feed's folder, or in that of --images"
REMOTE = (
    "remote pictures are not fetched: download it beside the feed, or name the folder of the "
    "pictures with --images"
)
MISSING = "no such file"
NOT_TEXT = "has a name that is not UTF-8: rename it"
NOT_A_FILE = "this is not an ordinary file: name a picture"

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+:)?//|data:", re.IGNORECASE)
_MAX_FOLDERS = 10_000  # remembered


class BadPicture(Exception):
    """Why a picture that a feed names cannot be used."""


class Pictures(Protocol):
    """A place where pictures are looked for."""

    def find(self, reference: str) -> str:
        """Return the location of a picture; raise BadPicture if there is none."""


class FolderPictures:
    """Pictures in a folder and the folders below it."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        self._folders: dict[str, str] = {}  # folder -> where it really lies

    def find(self, reference: str) -> str:
        """Return the absolute path of a picture.

        Raises:
            BadPicture: if it is missing, remote, or outside.
        """
        if _REMOTE.match(reference):
            try:
                return self.find_path(base_name(reference))
            except BadPicture:
                raise BadPicture(REMOTE) from None
        if _DRIVE.match(reference):
            raise BadPicture(OUTSIDE)
        return self.find_path(reference.replace("\\", "/"))

    def find_path(self, reference: str) -> str:
        """Return the absolute path of a file, given relative to the root; see ``find``."""
        # os.path, because this runs once for each picture of a feed of millions.
        path = os.path.normpath(os.path.join(self.root, reference))  # noqa: PTH118
        folder = self._real_folder(os.path.dirname(path))  # noqa: PTH120
        path = os.path.join(folder, os.path.basename(path))  # noqa: PTH118, PTH119
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                path = os.path.realpath(path)
                if not _lies_in(path, self.root):
                    raise BadPicture(OUTSIDE)
                mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise BadPicture(f"{MISSING}: {reference}") from None
        except OSError as error:
            raise BadPicture(f"cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(mode):
            raise BadPicture(NOT_A_FILE)
        if not is_text(path):
            raise BadPicture(NOT_TEXT)
        return path

    def walk(self) -> Iterator[tuple[str, str]]:
        """Yield (path below the root, what is wrong with it or "") for each picture, sorted.

        Links to folders are not followed: what they show lies elsewhere in the root, or outside.
        """
        pending = [("", True)]  # (path, whether it is a folder), the next one last
        while pending:
            path, is_folder = pending.pop()
            if not is_folder:
                yield path, ""
                continue
            try:
                with os.scandir(posixpath.join(self.root, path)) as entries:
                    found = sorted(entries, key=lambda entry: entry.name, reverse=True)
            except OSError as error:
                yield path, f"the folder cannot be read ({error.strerror})"
                continue
            for entry in found:
                below = posixpath.join(path, entry.name)
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append((below, True))
                elif is_picture_name(entry.name):
                    pending.append((below, False))
                elif entry.is_dir() and not _lies_in(os.path.realpath(entry.path), self.root):
                    yield below, OUTSIDE

    def _real_folder(self, folder: str) -> str:
        known = self._folders.get(folder)
        if known is None:
            if len(self._folders) >= _MAX_FOLDERS:
                self._folders.clear()
            known = os.path.realpath(folder)
            self._folders[folder] = known
        if not _lies_in(known, self.root):
            raise BadPicture(OUTSIDE)
        return known


class ArchivePictures:
    """Pictures in a ZIP file, seen from one of its folders ("" for the outermost)."""

    def __init__(self, path: str, folder: str = "") -> None:
        self.path = path
        self.folder = folder

    def find(self, reference: str) -> str:
        """Return the location of a picture in the archive.

        Raises:
            BadPicture: if it is missing, remote, outside, or may not be used.
        """
        remote = _REMOTE.match(reference) is not None
        name = base_name(reference) if remote else reference.replace("\\", "/")
        name = archives.join(self.folder, name)
        if not name:
            raise BadPicture(OUTSIDE)
        try:
            return self.find_path(name)
        except KeyError:
            raise BadPicture(REMOTE if remote else f"{MISSING} in the ZIP file: {name}") from None

    def find_path(self, name: str) -> str:
        """Return the location of a member by its full name.

        Raises:
            BadPicture: if it may not be used.
            KeyError: if there is none.
        """
        info = archives.open_archive(self.path).getinfo(name)
        fault = archives.member_fault(info)
        if fault:
            raise BadPicture(fault)
        return f"{self.path}!/{name}"


def is_text(path: str) -> bool:
    """Tell whether a path is valid text: Linux allows any bytes in a name."""
    return path.isascii() or not re.search(r"[\ud800-\udfff]", path)


def is_picture_name(name: str) -> bool:
    """Tell by its extension whether a file is a picture."""
    return posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES


def read_bytes(location: str, limit: int) -> bytes:
    """Return the bytes of the picture at a location; may be called from several threads.

    Raises:
        UnreadableImage: if it is larger than ``limit`` bytes, missing, damaged, or not a file.
    """
    data = _read_member(location, limit) if "!/" in location else None
    return _read_file(location, limit) if data is None else data


def base_name(url: str) -> str:
    """Return the file name at the end of a URL, "." where there is none."""
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:  # such as http://[
        return "."
    name = posixpath.basename(path.replace("\\", "/"))
    return "." if name == ".." or "\0" in name else name or "."


def _lies_in(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _read_member(location: str, limit: int) -> bytes | None:
    """Read a location in an archive; None if it turns out to be an ordinary path."""
    for match in re.finditer("!/", location):
        path, name = location[: match.start()], location[match.end() :]
        if path.lower().endswith(".zip") and Path(path).is_file():
            try:
                return archives.read_member(path, name, limit)
            except KeyError:
                raise UnreadableImage("the picture is no longer in the ZIP file") from None
            except (*archives.DAMAGE, FeedError) as error:
                raise UnreadableImage(f"cannot be read from the ZIP file: {error}") from None
    return None


def _read_file(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise UnreadableImage(NOT_A_FILE)
            data = b"" if about.st_size > limit else file.read(limit + 1)
    except FileNotFoundError:
        raise UnreadableImage("the file is missing: put it back") from None
    except IsADirectoryError:
        raise UnreadableImage(NOT_A_FILE) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableImage(f"the file cannot be read ({reason})") from None
    if max(about.st_size, len(data)) > limit:
        raise UnreadableImage(archives.TOO_LARGE.format(limit=limit))
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a named pipe would make us wait for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
