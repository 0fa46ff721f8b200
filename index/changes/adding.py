"""Adding products in bulk: read, decode ahead, embed in batches, commit each batch whole.

Decoders and the encoder have a thread for each core. They do not fight over them, because none
waits for another within its work: while a batch is embedded or committed the decoders go on, until
what is ready would fill four batches, and then the encoder has all cores. Half a batch is embedded
and committed while the next half is embedded: a killed process has embedded at most one batch in
vain, and the encoder waits neither for the disk nor for the last picture of a half.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index.changes.choosing import Chooser
from index.changes.renamed import renamed
from index.feeds import FeedItem, Reject, Staged, read_bytes, stage
from index.progress import Progress
from index.store.products import ProductTable
from index.store.writing import Change
from vision.batches import Picture, ahead, decode
from vision.errors import UnreadableImage
from vision.images import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from vision.encoder import Encoder


def ignore(_reject: Reject) -> None:
    """Take no notice of rejects."""


@dataclass(frozen=True)
class AddOptions:
    """How feeds are read.

    ``images_root`` is the folder that picture paths start from; ``folder_categories`` makes
    sub-folders of a folder of pictures its categories.
    """

    limits: Limits = DEFAULT_LIMITS
    images_root: Path | None = None
    folder_categories: bool = False


DEFAULT_OPTIONS = AddOptions()


@dataclass
class AddReport:
    """What an add did: numbers of products, of pictures embedded, and of things passed over."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    renamed: int = 0
    embedded: int = 0
    passed_over: int = 0


@dataclass
class _Work:
    """One product on its way: the SHA-256 of each readable picture, and those decoded anew."""

    item: FeedItem
    pictures: list[tuple[str, str]]  # (sha256, location)
    rejects: list[Reject] = field(default_factory=list)
    decoded: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class _Batch:
    """Products on their way, and their ``fresh`` pictures by SHA-256 with what becomes of them.

    ``vectors`` are (len(fresh), d) float32, in the same order.
    """

    works: list[_Work]
    fresh: dict[str, Picture]
    vectors: Future[np.ndarray]


def add_products(
    catalogue: Catalogue,
    sources: Sequence[str | Path],
    options: AddOptions,
    reject: Callable[[Reject], None],
    progress: Progress,
) -> AddReport:
    """Add the products of the sources; the caller is the one writer and settles the index."""
    report = AddReport()

    def pass_over(rejected: Reject) -> None:
        report.passed_over += 1
        reject(rejected)

    done, chooser = 0, Chooser(catalogue, progress)

    def finish(batch: _Batch) -> None:
        nonlocal done
        for rejected in (each for work in batch.works for each in work.rejects):
            pass_over(rejected)
        _commit(catalogue, batch, report)
        done += sum(len(work.item.images) for work in batch.works)
        progress("add", done, staged.images)
        chooser.look(report.embedded, done, staged.images)

    size = max(1, catalogue.encoder.batch // 2)
    with (
        _stage(sources, options, pass_over, progress) as staged,
        ThreadPoolExecutor(2, thread_name_prefix="embed") as embedder,
    ):
        progress("add", 0, staged.images)
        waiting: _Batch | None = None
        for works in _batches(_prepared(catalogue, staged, options), size):
            batch = _embed(catalogue, works, waiting, embedder)
            if waiting is not None:
                finish(waiting)
            waiting = batch
        if waiting is not None:
            finish(waiting)
    return report


def check_feed(
    sources: Sequence[str | Path],
    options: AddOptions,
    reject: Callable[[Reject], None],
    progress: Progress,
) -> AddReport:
    """Read feeds and say what would go in (as ``added``) and what not, without any catalogue.

    Pictures are looked for but not opened.
    """
    report = AddReport()

    def pass_over(rejected: Reject) -> None:
        report.passed_over += 1
        reject(rejected)

    with _stage(sources, options, pass_over, progress) as staged:
        report.added = staged.products
    return report


def _stage(
    sources: Sequence[str | Path],
    options: AddOptions,
    reject: Callable[[Reject], None],
    progress: Progress,
) -> Staged:
    return stage(
        sources,
        reject=reject,
        images_root=options.images_root,
        folder_categories=options.folder_categories,
        progress=lambda rows: progress("read", rows, 0),
    )


def _prepared(
    catalogue: Catalogue, items: Iterable[FeedItem], options: AddOptions
) -> Iterator[_Work]:
    """Hash every picture and decode the new ones, in parallel, in order, ahead of the encoder."""
    limits, depth = options.limits, 4 * catalogue.encoder.batch

    def hash_all(item: FeedItem) -> _Work:
        work = _Work(item, [])
        for location in item.images:
            try:
                sha256 = hashlib.sha256(read_bytes(location, limits.max_bytes)).hexdigest()
            except UnreadableImage as error:
                work.rejects.append(_reject(item, location, error))
                continue
            if sha256 not in {known for known, _ in work.pictures}:
                work.pictures.append((sha256, location))
        return work

    def look_up(works: Iterable[_Work]) -> Iterator[tuple[_Work, set[str]]]:
        for run in _runs(works, 256):
            with catalogue.reading() as table:
                hashes = {sha256 for work in run for sha256, _ in work.pictures}
                known = table.known_images(hashes, catalogue.fingerprint)
            yield from ((work, known) for work in run)

    def decode_new(pair: tuple[_Work, set[str]]) -> _Work:
        work, known = pair
        kept: list[tuple[str, str]] = []
        for sha256, location in work.pictures:
            try:
                if sha256 not in known:
                    data = read_bytes(location, limits.max_bytes)
                    work.decoded.append(decode(data, catalogue.encoder, limits))
                    sha256 = work.decoded[-1].sha256  # the file may have changed meanwhile
                if sha256 not in {known for known, _ in kept}:
                    kept.append((sha256, location))
            except UnreadableImage as error:
                work.rejects.append(_reject(work.item, location, error))
        work.pictures = kept
        return work

    hashed = ahead(items, hash_all, depth=512)
    return ahead(look_up(hashed), decode_new, depth=depth)


def _reject(item: FeedItem, location: str, error: UnreadableImage) -> Reject:
    return Reject(item.source, item.line, item.product.product_id, location, str(error))


def _batches(works: Iterable[_Work], pictures: int) -> Iterator[list[_Work]]:
    """Group works until they hold enough new pictures for the encoder, or enough old products."""
    batch: list[_Work] = []
    for work in works:
        batch.append(work)
        if sum(len(each.decoded) for each in batch) >= pictures or len(batch) >= 16 * pictures:
            yield batch
            batch = []
    if batch:
        yield batch


def _runs(works: Iterable[_Work], size: int) -> Iterator[list[_Work]]:
    iterator = iter(works)
    while run := list(itertools.islice(iterator, size)):
        yield run


def _embed(
    catalogue: Catalogue, works: list[_Work], before: _Batch | None, embedder: ThreadPoolExecutor
) -> _Batch:
    """Have a batch's new pictures embedded, each once, those of the batch before left out."""
    fresh = {picture.sha256: picture for work in works for picture in work.decoded}
    with catalogue.reading() as table:
        known = table.known_images(fresh, catalogue.fingerprint)
    for sha256 in known.union(before.fresh if before is not None else ()):
        fresh.pop(sha256, None)
    return _Batch(works, fresh, embedder.submit(_vectors, catalogue.encoder, [*fresh.values()]))


def _vectors(encoder: Encoder, pictures: list[Picture]) -> np.ndarray:
    size = encoder.batch
    runs = [pictures[at : at + size] for at in range(0, len(pictures), size)]
    rows = [encoder.encode_pixels(np.stack([each.pixels for each in run])) for run in runs]
    return np.concatenate(rows) if rows else np.empty((0, encoder.dim), dtype=np.float32)


def _commit(catalogue: Catalogue, batch: _Batch, report: AddReport) -> None:
    """Write a batch in one transaction; count it once it is in."""
    count = AddReport()
    with catalogue.reading() as table:
        changes = list(_changes(table, batch.works, count))
    vectors = batch.vectors.result()
    if changes or batch.fresh:
        with catalogue.changing() as table:
            generation = table.next_generation()
            if batch.fresh:
                table.add_images([*batch.fresh.values()], vectors, catalogue.fingerprint)
            table.put(changes, generation)
    report.added += count.added
    report.updated += count.updated
    report.unchanged += count.unchanged
    report.renamed += count.renamed
    report.embedded += len(batch.fresh)


def _changes(table: ProductTable, batch: Sequence[_Work], count: AddReport) -> Iterator[Change]:
    """Yield what is not in the catalogue as it stands."""
    keys = table.keys(work.item.product.product_id for work in batch)
    stored = table.get(keys.values())
    taken = set(keys.values())
    for work in batch:
        if not work.pictures:
            continue  # every picture was passed over, and the product with them
        product = work.item.product
        key = keys.get(product.product_id)
        if key is not None:
            old = stored[key]
            if work.item.named_by_path and not product.category:
                # Files have no categories unless folders are: leave the one it was given.
                product = replace(product, category=old.feed.category)
            if old.feed == product and old.pictures == work.pictures:
                count.unchanged += 1
                continue
            count.updated += 1
        else:
            sha256, _ = work.pictures[0]
            key = renamed(table, sha256, taken) if work.item.named_by_path else None
            count.renamed += key is not None
            count.added += key is None
        yield Change(product, work.pictures, key)
