"""Feeds: folders, tables, JSON lines and ZIP files, read into products with their pictures.

A feed that cannot be read at all raises FeedError. Everything smaller - a bad row, a missing
picture - is handed to the caller's ``reject`` and the rest goes in. docs/feeds.md says what a
feed may look like.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from index.feeds import archives
from index.feeds.pictures import (
    NOT_TEXT,
    ArchivePictures,
    BadPicture,
    FolderPictures,
    Pictures,
    is_picture_name,
    is_text,
)
from index.feeds.records import Record, read_records
from index.feeds.rows import JsonRowReader, Row, RowReader, check_id
from index.feeds.staging import Reject, Staged, StagedRow
from index.feeds.texts import BadRow
from index.product import Product, category_path
from vision.errors import FeedError

TABLES = frozenset({".csv", ".tsv", ".txt"})  # Google's tables are often called .txt
JSON_LINES = frozenset({".jsonl", ".ndjson"})
FEEDS_IN_ZIP = frozenset({".csv", ".tsv", *JSON_LINES})  # a .txt there is a note, not a feed

_PROGRESS_EVERY = 1000  # rows
_MAX_SHOWN = 500  # characters of what a feed says, in a report


def stage(
    sources: Sequence[str | Path],
    *,
    reject: Callable[[Reject], None],
    images_root: Path | None = None,
    folder_categories: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Staged:
    """Read feeds, all together, and return their products; to be closed after use.

    Pictures are looked for in ``images_root``, or else beside each feed. With
    ``folder_categories`` the sub-folders of a folder of pictures become categories. ``reject`` is
    called for each thing passed over, ``progress`` now and then with the number of rows so far.

    Raises:
        FeedError: if a source cannot be read at all, or the disk is too full for the rows.
    """
    if images_root is not None and not images_root.is_dir():
        raise FeedError(f"{images_root} is not a folder: name the one that holds the pictures")
    checked = [_check(Path(source), str(source)) for source in sources]
    staged = Staged()
    intake = _Intake(staged, reject, progress, images_root, folder_categories)
    try:
        for path, name in checked:
            intake.read(path, name)
        if progress is not None:
            progress(intake.rows)
        staged.seal(reject)
    except BaseException:
        staged.close()
        raise
    return staged


def _check(path: Path, name: str) -> tuple[Path, str]:
    """Find out early, before a long read, whether a source is of a kind that can be read."""
    if not is_text(str(path.absolute())):
        raise FeedError(f"{name!r} {NOT_TEXT}")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise FeedError(f"{name} does not exist or may not be read: check the path") from None
    suffix = path.suffix.lower()
    known = suffix in TABLES | JSON_LINES | {".zip"} or is_picture_name(path.name)
    if not (stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and known)):
        raise FeedError(
            f"{name} is of no kind that can be read: give a folder, a CSV, TSV, JSONL or ZIP file, "
            "or a picture"
        )
    return path, name


@dataclass
class _Intake:
    """Carries the rows of all sources of one call into the same staging area."""

    staged: Staged
    reject: Callable[[Reject], None]
    progress: Callable[[int], None] | None
    images_root: Path | None
    folder_categories: bool
    rows: int = 0
    source: str = ""

    def read(self, path: Path, name: str) -> None:
        """Read one source of any kind."""
        self.source = name
        try:
            if path.is_dir():
                self._read_folder(FolderPictures(path))
            elif path.suffix.lower() == ".zip":
                self._read_archive(str(path.absolute()))
            elif is_picture_name(path.name):
                real = Path(os.path.realpath(path))
                self._add_named(path.name, FolderPictures(real.parent).find_path, real.name)
            else:
                with _opened(path) as raw:
                    pictures = FolderPictures(self.images_root or path.parent)
                    self._read_feed(raw, path.suffix, pictures)
        except FeedError as error:
            raise FeedError(f"{name}: {error}") from None

    def _read_folder(self, pictures: FolderPictures) -> None:
        for path, fault in pictures.walk():
            if fault:
                self._reject(0, "", path, fault)
            else:
                self._add_named(path, pictures.find_path, path)

    def _read_archive(self, path: str) -> None:
        archive = archives.open_archive(path)
        names = []
        for name in sorted(archive.NameToInfo):
            fault = archives.name_fault(archive.getinfo(name))
            if fault:
                self._reject(0, "", name, fault)
            elif not archives.is_ignored(name):
                names.append(name)
        feeds = [name for name in names if _suffix(name) in FEEDS_IN_ZIP]
        if len(feeds) > 1:
            raise FeedError(f"the ZIP file holds several feeds ({_few(feeds)}): leave one in it")
        if feeds:
            inside = ArchivePictures(path, posixpath.dirname(feeds[0]))
            pictures = FolderPictures(self.images_root) if self.images_root else inside
            with archives.open_feed(archive, archive.getinfo(feeds[0])) as raw:
                self._read_feed(raw, _suffix(feeds[0]), pictures)
        else:
            for name in filter(is_picture_name, names):
                self._add_named(name, ArchivePictures(path).find_path, name)

    def _read_feed(self, raw: io.BufferedReader, suffix: str, pictures: Pictures) -> None:
        is_json = suffix.lower() in JSON_LINES
        with closing(read_records(raw, is_json=is_json)) as records:
            read = JsonRowReader().read if is_json else _table_reader(next(records)).read
            for record in records:
                self._count()
                if record.fault:
                    self._reject(record.line, "", "", record.fault)
                    continue
                try:
                    row = read(record.values)
                except BadRow as error:
                    self._reject(record.line, error.product_id, "", str(error))
                else:
                    self._add(row, record.line, pictures)

    def _add(self, row: Row, line: int, pictures: Pictures) -> None:
        images: list[str] = []
        bad: list[tuple[str, str]] = []
        for reference in row.images:
            try:
                images.append(pictures.find(reference))
            except BadPicture as error:
                bad.append((reference[:_MAX_SHOWN], str(error)))
        self.staged.add(
            StagedRow(row.product, images, bad, self.source, line, continues=row.continues)
        )

    def _add_named(self, name: str, find: Callable[[str], str], path: str) -> None:
        """Take in a picture that is a product of its own, named after its file."""
        self._count()
        try:
            product_id = check_id(name.strip())
            location = find(path)
        except (BadRow, BadPicture) as error:
            self._reject(0, "", name, str(error))
            return
        folder, file = posixpath.split(name)
        title = " ".join(re.sub(r"[_-]", " ", posixpath.splitext(file)[0]).split())
        category = category_path(*folder.split("/")) if self.folder_categories else ""
        product = Product(product_id, title=title, category=category)
        self.staged.add(StagedRow(product, [location], [], self.source, 0, named_by_path=True))

    def _count(self) -> None:
        self.rows += 1
        if self.progress is not None and self.rows % _PROGRESS_EVERY == 0:
            self.progress(self.rows)

    def _reject(self, line: int, product_id: str, image: str, reason: str) -> None:
        # A file's name may hold bytes that no terminal and no database takes.
        image = image[:_MAX_SHOWN].encode("utf-8", "backslashreplace").decode()
        self.reject(Reject(self.source, line, product_id, image, reason))


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise FeedError(f"the file cannot be read ({error.strerror})") from None


def _table_reader(header: Record) -> RowReader:
    """Return what reads the rows of a table; raise FeedError if it lacks what a feed needs."""
    reader = RowReader([str(name) for name in header.values])
    missing = reader.columns.missing()
    if missing:
        raise FeedError(
            f"the header has no column {' and no column '.join(missing)}; "
            f"it has: {_few(reader.columns.names)}"
        )
    return reader


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(name[:50] for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()
