"""How well a catalogue answers: labelled queries in, the field's measures out."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from index import measures
from index.adding import Progress, silent
from index.calibration import Calibration
from index.product import SEPARATOR, category_path
from index.products import ProductTable
from index.query import Query
from index.ranking import Asked, ask
from index.tables import products
from index.vectors import Neighbours, VectorStore
from vision.batches import ahead
from vision.errors import FeedError, UnreadableImage
from vision.images import Image, read_image

if TYPE_CHECKING:
    from index.catalogue import Catalogue

MAX_DEPTH = 10_000  # ranks looked at for mAP
_BATCH = 64
_WORST = 12  # misses shown
_SHOWN = 4  # hits shown for each miss


@dataclass(frozen=True)
class Truth:
    """One labelled query: the photo and what it shows, a product or only a category.

    ``product_id`` is "" where only the category is known.
    """

    image: Path
    product_id: str
    category: str
    line: int


@dataclass(frozen=True)
class Miss:
    """A query whose right product did not come first; ``rank`` is 0 where it was not found.

    ``hits`` are (product id, score, probability or None, SHA-256 of the picture), best first.
    """

    image: str
    expected: str
    rank: int
    hits: tuple[tuple[str, float, float | None, str], ...]


@dataclass(frozen=True)
class VerdictMeasures:
    """How honest the verdicts are, on photos of products in the catalogue, asked twice: as it is,
    and with the product held out.

    ``ece`` is the expected calibration error over both; ``exact_precision`` the share of "exact"
    that is (None if it was never said); ``false_exact`` the share of held-out photos called exact;
    ``recognised`` the share of held-out photos called not stocked; ``false_alarms`` the share of
    the others called so.
    """

    queries: int
    ece: float
    exact_share: float
    exact_precision: float | None
    false_exact: float
    recognised: float
    false_alarms: float


@dataclass(frozen=True)
class Evaluation:
    """The measures of one set of queries; recalls, mAP, nDCG and MRR are from 0 to 1.

    ``strangers`` counts photos of products that the catalogue does not have, ``recognised`` the
    share of them called not stocked. ``passed_over`` are (line, reason). ``milliseconds`` are means
    for each query.
    """

    queries: int
    by: str  # "product" or "category": what a right answer is
    products: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mean_average_precision: float
    ndcg_at_10: float
    mrr: float
    verdicts: VerdictMeasures | None
    strangers: int
    strangers_recognised: float | None
    milliseconds: dict[str, float]
    passed_over: tuple[tuple[int, str], ...]
    worst: tuple[Miss, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return asdict(self)


def read_queries(
    path: Path, *, images_root: Path | None = None, only: Sequence[str] = ()
) -> list[Truth]:
    """Read labelled queries from a CSV with the columns query_image and product_id or category.

    ``label`` is read as the category where there is no category column. Paths start from
    ``images_root`` or the file's folder; ``only`` keeps the rows where COLUMN=VALUE holds. Raises
    FeedError when the file cannot be used.
    """
    wanted = [tuple(part.strip() for part in each.partition("=")[::2]) for each in only]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            for column, _ in wanted:
                if column not in columns:
                    raise FeedError(
                        f'{path} has no column "{column}"; it has {", ".join(columns)}.'
                    )
            label = next((name for name in ("category", "label") if name in columns), None)
            if "query_image" not in columns or not (label or "product_id" in columns):
                raise FeedError(
                    f"{path} needs the columns query_image and product_id or category; it has "
                    f"{', '.join(columns) or 'none'}."
                )
            rows = [
                (reader.line_num, row)
                for row in reader
                if all(row[column] == value for column, value in wanted)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FeedError(f"{path} cannot be read: {error}") from error
    root = images_root or path.parent
    truths = [
        Truth(
            root / (row["query_image"] or ""),
            (row.get("product_id") or "").strip(),
            category_path((row.get(label) or "") if label else ""),
            line,
        )
        for line, row in rows
    ]
    if not truths:
        raise FeedError(f"{path} has no queries{' for ' + ', '.join(only) if only else ''}.")
    return truths


def evaluate(
    catalogue: Catalogue, truths: Sequence[Truth], *, progress: Progress = silent
) -> Evaluation:
    """Ask every labelled query and measure the answers.

    Queries with a product id are right when that product comes back; the others when the category
    of what comes back is theirs or lies below it. A product id that the catalogue does not have
    marks a stranger, which counts for the verdicts only. Raises FeedError if nothing can be asked.
    """
    with catalogue.reading() as table:
        index = catalogue.index(table)
        book = _Book(table)
        passed_over: list[tuple[int, str]] = []
        parts: list[_Part] = []
        strangers: list[np.ndarray] = []
        askable = []
        for truth in truths:
            if truth.product_id or len(book.right(truth)):
                askable.append(truth)
            else:
                reason = f'no product is in the category "{truth.category}"'
                passed_over.append((truth.line, reason if truth.category else "names no truth"))
        done = 0
        progress("evaluate", 0, len(truths))
        for batch in _readable(askable, catalogue.encoder.preprocess.scale, passed_over):
            queries = [Query(photo=image) for _, image in batch]
            asked = ask(queries, catalogue.encoder, index.calibration.space, index.store, table)
            known = [not truth.product_id or truth.product_id in book.key for truth, _ in batch]
            part = _measure(batch, asked, known, index.store, book)
            parts += [part] if part is not None else []
            odd = [at for at, good in enumerate(known) if not good]
            if odd:
                strangers.append(index.store.search(asked.vectors[odd], 10).scores)
            done += len(batch)
            progress("evaluate", done, len(truths))
        if not parts:
            reason = passed_over[0][1] if passed_over else "the catalogue has none of the products"
            raise FeedError(f"None of the queries can be asked ({reason}).")
        return _summary(parts, strangers, index.calibration, book, tuple(passed_over), table)


class _Book:
    """What the evaluation must know of every product: its key by id, its category by key."""

    def __init__(self, table: ProductTable) -> None:
        rows = table.connection.execute(
            sa.select(products.c.key, products.c.product_id, products.c.category)
        ).all()
        self.key = {row.product_id: row.key for row in rows}
        self.product_id = {row.key: row.product_id for row in rows}
        self._keys = np.array([row.key for row in rows], dtype=np.int64)
        self._categories = [row.category.lower() for row in rows]
        self._members: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.key)

    def right(self, truth: Truth) -> np.ndarray:
        """Return the keys of the products that are a right answer, (n,) int64."""
        if truth.product_id:
            return np.array([self.key[truth.product_id]], dtype=np.int64)
        name = truth.category.lower()
        if name not in self._members:
            within = [
                bool(name) and f"{SEPARATOR}{name}{SEPARATOR}" in f"{SEPARATOR}{path}{SEPARATOR}"
                for path in self._categories
            ]
            self._members[name] = self._keys[np.array(within, dtype=bool)]
        return self._members[name]


@dataclass(frozen=True)
class _Part:
    """One batch of answers: relevance (q, depth) bool, totals (q,), the first ten hits, and the
    scores with the true product held out (q, 10), -inf where the truth is a category."""

    truths: tuple[Truth, ...]
    relevant: np.ndarray
    total: np.ndarray
    top: Neighbours
    held_out: np.ndarray
    milliseconds: dict[str, float]


def _measure(
    batch: Sequence[tuple[Truth, Image]],
    asked: Asked,
    known: Sequence[bool],
    store: VectorStore,
    book: _Book,
) -> _Part | None:
    at = np.flatnonzero(known)
    if not len(at):
        return None
    truths = tuple(batch[i][0] for i in at)
    right = [book.right(truth) for truth in truths]
    vectors = asked.vectors[at]
    started = time.perf_counter()
    top = store.search(vectors, 10)
    searched = time.perf_counter()
    found = store.search(vectors, min(len(book), MAX_DEPTH))
    relevant = np.stack(
        [np.isin(row, keys) for row, keys in zip(found.products, right, strict=True)]
    )
    by_product = all(truth.product_id for truth in truths)
    held_out = np.full((len(at), 10), -np.inf, dtype=np.float32)
    if by_product:
        held_out = store.search(vectors, 10, without=np.concatenate(right)).scores
    times = dict(asked.milliseconds) | {"search": (searched - started) * 1000 / len(at)}
    return _Part(truths, relevant, np.array([len(keys) for keys in right]), top, held_out, times)


def _summary(
    parts: Sequence[_Part],
    strangers: Sequence[np.ndarray],
    calibration: Calibration,
    book: _Book,
    passed_over: tuple[tuple[int, str], ...],
    table: ProductTable,
) -> Evaluation:
    relevant = np.concatenate([part.relevant for part in parts])
    total = np.concatenate([part.total for part in parts])
    truths = [truth for part in parts for truth in part.truths]
    by_product = all(truth.product_id for truth in truths)
    scores = np.concatenate([part.top.scores for part in parts])
    model = calibration.verdicts
    verdicts = recognised = None
    if model is not None:
        if by_product:
            held_out = np.concatenate([part.held_out for part in parts])
            verdicts = _verdict_measures(calibration, scores, relevant[:, 0], held_out)
        if strangers:
            tops = model.probabilities(np.concatenate(strangers))[:, 0]
            recognised = float(np.mean([model.verdict(p) == "not stocked" for p in tops]))
    count = np.array([len(part.truths) for part in parts])
    return Evaluation(
        len(truths),
        "product" if by_product else "category",
        len(book),
        measures.hit_rate(relevant, 1),
        measures.hit_rate(relevant, 5),
        measures.hit_rate(relevant, 10),
        measures.mean_average_precision(relevant, total),
        measures.ndcg(relevant, total, 10),
        measures.mean_reciprocal_rank(relevant),
        verdicts,
        sum(len(each) for each in strangers),
        recognised,
        {
            name: float(np.average([part.milliseconds[name] for part in parts], weights=count))
            for name in parts[0].milliseconds
        },
        passed_over,
        tuple(_worst(parts, calibration, book, table)),
    )


def _verdict_measures(
    calibration: Calibration, present: np.ndarray, right: np.ndarray, held_out: np.ndarray
) -> VerdictMeasures:
    model = calibration.verdicts
    assert model is not None
    there = model.probabilities(present)[:, 0]
    gone = model.probabilities(held_out)[:, 0]
    exact = there >= model.exact_at
    return VerdictMeasures(
        len(there),
        measures.expected_calibration_error(
            np.concatenate([there, gone]), np.concatenate([right, np.zeros(len(gone), dtype=bool)])
        ),
        float(exact.mean()),
        float(right[exact].mean()) if exact.any() else None,
        float((gone >= model.exact_at).mean()),
        float((gone < model.not_stocked_at).mean()),
        float((there < model.not_stocked_at).mean()),
    )


def _worst(
    parts: Sequence[_Part], calibration: Calibration, book: _Book, table: ProductTable
) -> Iterator[Miss]:
    """Yield the misses of which findalike was surest, with the pictures it took for the answer."""
    model = calibration.verdicts
    misses: list[tuple[float, _Part, int]] = []
    for part in parts:
        sure = model.probabilities(part.top.scores)[:, 0] if model else part.top.scores[:, 0]
        misses += [
            (float(sure[at]), part, at)
            for at in range(len(part.truths))
            if not part.relevant[at, 0]
        ]
    misses.sort(key=lambda miss: -miss[0])
    for _, part, at in misses[:_WORST]:
        truth = part.truths[at]
        keys = part.top.products[at][:_SHOWN]
        stored = table.get([int(key) for key in keys if key >= 0])
        sure = model.probabilities(part.top.scores[at : at + 1])[0] if model else None
        hits = []
        for place, key in enumerate(keys.tolist()):
            if key not in stored:
                continue
            shown = stored[key].views
            view = next((v for v in shown if v.id == part.top.views[at][place]), shown[0])
            probability = float(sure[place]) if sure is not None else None
            hits.append(
                (book.product_id[key], float(part.top.scores[at][place]), probability, view.sha256)
            )
        rank = int(part.relevant[at].argmax()) + 1 if part.relevant[at].any() else 0
        yield Miss(str(truth.image), truth.product_id or truth.category, rank, tuple(hits))


def _readable(
    truths: Sequence[Truth], at_least: int, passed_over: list[tuple[int, str]]
) -> Iterator[list[tuple[Truth, Image]]]:
    """Yield batches of queries with their photos; those that cannot be read are noted."""

    def read(truth: Truth) -> Image | str:
        try:
            return read_image(truth.image, at_least=at_least)
        except UnreadableImage as error:
            return f"{truth.image}: {error}"

    batch: list[tuple[Truth, Image]] = []
    for truth, image in zip(truths, ahead(truths, read), strict=True):
        if isinstance(image, str):
            passed_over.append((truth.line, image))
        else:
            batch.append((truth, image))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
