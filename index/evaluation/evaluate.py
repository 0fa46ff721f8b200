"""How well a catalogue answers: labelled queries in, the field's measures out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from index.evaluation import measures
from index.evaluation.truths import Answers, PassedOver, Photo, Truth, read_photos
from index.progress import Progress, silent
from index.query import Hit, Query
from index.search.ranking import ask
from index.search.verdicts import Verdicts
from index.store.products import ProductTable
from index.vectors import Neighbours
from vision.errors import FeedError

if TYPE_CHECKING:
    from index.catalogue import Catalogue
    from index.search.live import Index

MAX_DEPTH = 10_000  # ranks looked at for mAP and MRR
_TOP = 10  # hits whose scores verdicts are made of
_WORST = 12  # misses shown
_SHOWN = 4  # hits shown for each miss


@dataclass(frozen=True)
class Miss:
    """A query whose right answer did not come first; ``rank`` is 0 where it was not found."""

    image: str
    expected: str
    rank: int
    hits: tuple[Hit, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the miss as documented in docs/evaluation.md."""
        return vars(self) | {"hits": [hit.as_dict() for hit in self.hits]}


@dataclass(frozen=True)
class VerdictMeasures:
    """How honest the verdicts are, on photos of products in the catalogue, asked twice: as it is,
    and with the product held out.

    ``ece`` is the expected calibration error over both; ``exact_share`` the share of photos called
    exact and ``exact_precision`` the share of those that are (None if it was never said);
    ``false_exact`` the share of held-out photos called exact; ``recognised`` the share of held-out
    photos called not stocked; ``false_alarms`` the share of the others called so.
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

    ``by`` says what a right answer is: "product", "category" or "product or category".
    ``strangers`` counts photos of products that the catalogue does not have,
    ``strangers_recognised`` is the share of them called not stocked. ``verdicts`` and that are None
    where there is nothing to measure them on. ``milliseconds`` are means for each query.
    """

    queries: int
    by: str
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
    passed_over: tuple[PassedOver, ...]
    worst: tuple[Miss, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as documented in docs/evaluation.md."""
        return asdict(replace(self, worst=(), passed_over=())) | {
            "passed_over": [each._asdict() for each in self.passed_over],
            "worst": [miss.as_dict() for miss in self.worst],
        }


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
        answers = Answers(table)
        passed_over: list[PassedOver] = []
        askable: list[Truth] = []
        for truth in truths:
            if truth.product_id or len(answers.right(truth)):
                askable.append(truth)
            elif truth.category:
                reason = f'no product is in the category "{truth.category}"'
                passed_over.append(PassedOver(truth.line, reason))
            else:
                reason = "says neither product nor category"
                passed_over.append(PassedOver(truth.line, reason))
        scale = catalogue.encoder.preprocess.scale
        parts: list[_Part] = []
        done = 0
        progress("evaluate", done, len(askable))
        for batch in read_photos(askable, scale, passed_over):
            parts.append(_measure(batch, catalogue, index, table, answers))
            done += len(batch)
            progress("evaluate", done, len(askable))
        asked = [part for part in parts if part.truths]
        if not asked:
            reason = (
                "line {}: {}".format(*passed_over[0])
                if passed_over
                else "their products are not in the catalogue"
            )
            raise FeedError(f"None of the queries can be asked ({reason}).")
        return _summary(asked, parts, index.calibration.verdicts, answers, passed_over, table)


@dataclass(frozen=True)
class _Scores:
    """What verdicts are made of: scores (n, 10), and the first hits' cosines (n,)."""

    scores: np.ndarray
    cosines: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[_Scores]) -> _Scores:
        fields = [(part.scores, part.cosines) for part in parts]
        return cls(*map(np.concatenate, zip(*fields, strict=True)))


@dataclass(frozen=True)
class _Part:
    """One batch of answers to q queries, and to s strangers.

    ``ranks`` (q,) int64: place of the first right answer, 0 for none; ``top``: the first ten hits,
    ``present`` their scores; ``held_out``: scores without the true product, for the p queries that
    name one (``by_product``, (q,) bool). ``measures`` and ``milliseconds``: means over the batch.
    """

    truths: tuple[Truth, ...]
    ranks: np.ndarray
    top: Neighbours
    by_product: np.ndarray
    present: _Scores
    held_out: _Scores
    strangers: _Scores
    measures: dict[str, float]
    milliseconds: dict[str, float]


def _measure(
    batch: Sequence[Photo],
    catalogue: Catalogue,
    index: Index,
    table: ProductTable,
    answers: Answers,
) -> _Part:
    store = index.store
    queries = [Query(photo=photo.image) for photo in batch]
    asked = ask(queries, lambda: catalogue.encoder, index.calibration.space, store, table)
    right = [answers.right(photo.truth) for photo in batch]
    known = np.array([len(keys) > 0 for keys in right])
    vectors = asked.vectors[known]
    started = time.perf_counter()
    top = store.search(vectors, _TOP)
    searched = time.perf_counter()
    truths = tuple(photo.truth for photo in batch if len(answers.right(photo.truth)))
    by_product = np.array([bool(truth.product_id) for truth in truths], dtype=bool)
    right = [keys for keys in right if len(keys)]
    found = store.search(vectors, min(len(answers), MAX_DEPTH)).products
    relevant = np.array(
        [np.isin(row, keys) for row, keys in zip(found, right, strict=True)], dtype=bool
    ).reshape(found.shape)
    own = np.array([keys[0] for keys in right], dtype=np.int64)

    def scores(asked: np.ndarray, hits: Neighbours) -> _Scores:
        rows = zip(asked, hits.products[:, 0].tolist(), strict=True)
        space = index.calibration.space
        cosines = [space.cosine(vector, store.vectors_of(key)) for vector, key in rows]
        return _Scores(hits.scores, np.array(cosines))

    named, unknown = vectors[by_product], asked.vectors[~known]
    return _Part(
        truths,
        np.where(relevant.any(axis=1), relevant.argmax(axis=1) + 1, 0),
        top,
        by_product,
        scores(vectors, top),
        scores(named, store.search(named, _TOP, without=own[by_product])),
        scores(unknown, store.search(unknown, _TOP)),
        _measures(relevant, np.array([len(keys) for keys in right])) if truths else {},
        {
            "read": 1000 * float(np.mean([photo.seconds for photo in batch])),
            "encode": asked.milliseconds["encode"],
            "search": 1000 * (searched - started) / max(1, len(truths)),
        },
    )


def _measures(relevant: np.ndarray, total: np.ndarray) -> dict[str, float]:
    return {
        "recall_at_1": measures.hit_rate(relevant, 1),
        "recall_at_5": measures.hit_rate(relevant, 5),
        "recall_at_10": measures.hit_rate(relevant, 10),
        "mean_average_precision": measures.mean_average_precision(relevant, total),
        "ndcg_at_10": measures.ndcg(relevant, total, 10),
        "mrr": measures.mean_reciprocal_rank(relevant),
    }


def _summary(
    asked: Sequence[_Part],
    parts: Sequence[_Part],
    model: Verdicts | None,
    answers: Answers,
    passed_over: Sequence[PassedOver],
    table: ProductTable,
) -> Evaluation:
    count = [len(part.truths) for part in asked]
    by_product = np.concatenate([part.by_product for part in asked])
    strangers = _Scores.joined([part.strangers for part in parts])
    kinds = [("product", by_product.any()), ("category", not by_product.all())]
    return Evaluation(
        queries=len(by_product),
        by=" or ".join(name for name, there in kinds if there),
        products=len(answers),
        **{
            name: float(np.average([part.measures[name] for part in asked], weights=count))
            for name in asked[0].measures
        },
        verdicts=_verdict_measures(asked, model) if model and by_product.any() else None,
        strangers=len(strangers.scores),
        strangers_recognised=(
            float((model.verdicts(strangers.scores, strangers.cosines) == "not stocked").mean())
            if model and len(strangers.scores)
            else None
        ),
        milliseconds={
            name: float(np.average([part.milliseconds[name] for part in asked], weights=count))
            for name in asked[0].milliseconds
        },
        passed_over=tuple(sorted(passed_over)),
        worst=tuple(_worst(asked, model, table)),
    )


def _verdict_measures(parts: Sequence[_Part], model: Verdicts) -> VerdictMeasures:
    by_product = np.concatenate([part.by_product for part in parts])
    every = _Scores.joined([part.present for part in parts])
    present = _Scores(every.scores[by_product], every.cosines[by_product])
    held_out = _Scores.joined([part.held_out for part in parts])
    right = np.concatenate([part.ranks[part.by_product] == 1 for part in parts])
    there, gone = (model.probabilities(each.scores)[:, 0] for each in (present, held_out))
    said, said_without = (model.verdicts(each.scores, each.cosines) for each in (present, held_out))
    exact = said == "exact"
    return VerdictMeasures(
        queries=len(there),
        ece=measures.expected_calibration_error(
            np.concatenate([there, gone]), np.concatenate([right, np.zeros(len(gone), dtype=bool)])
        ),
        exact_share=float(exact.mean()),
        exact_precision=float(right[exact].mean()) if exact.any() else None,
        false_exact=float((said_without == "exact").mean()),
        recognised=float((said_without == "not stocked").mean()),
        false_alarms=float((said == "not stocked").mean()),
    )


def _worst(parts: Sequence[_Part], model: Verdicts | None, table: ProductTable) -> Iterator[Miss]:
    """Yield the misses of which findalike was surest, with the pictures it took for the answer."""
    misses = [
        (part.top.scores[at], part, at) for part in parts for at in np.flatnonzero(part.ranks != 1)
    ]
    if not misses:
        return
    scores = np.stack([row for row, _, _ in misses])
    sure = model.probabilities(scores) if model else scores  # (m, 10)
    for worst in np.argsort(-sure[:, 0], kind="stable")[:_WORST]:
        _, part, at = misses[worst]
        keys, views = part.top.products[at, :_SHOWN], part.top.views[at]
        stored = table.get(keys.tolist())
        hits = []
        for place, key in enumerate(keys[keys >= 0].tolist()):
            view = next(each for each in stored[key].views if each.id == views[place])
            hits.append(
                Hit(
                    stored[key].product,
                    float(scores[worst, place]),
                    float(sure[worst, place]) if model else None,
                    view.location,
                    view.sha256,
                )
            )
        truth = part.truths[at]
        expected = truth.product_id or truth.category
        yield Miss(str(truth.image), expected, int(part.ranks[at]), tuple(hits))
