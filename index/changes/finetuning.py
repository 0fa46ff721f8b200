"""An encoder fine-tuned on a catalogue's own pictures, and measured before and after on products
that it did not learn from."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index.evaluation.exams import Exam, Marks, Stock
from index.labels.standing import product_labels
from index.store.products import ProductTable
from vision.batches import ahead
from vision.encoder import Encoder
from vision.errors import CatalogueError, EncoderError
from vision.images import read_image
from vision.learning.finetune import Course, Epoch, finetune
from vision.learning.lessons import Lessons
from vision.networks.backbones import load_backbone
from vision.networks.loading import Backbone
from vision.networks.saving import local_spec, write_encoder
from vision.pictures.colour import describe_colour
from vision.taxonomy import CATEGORY

if TYPE_CHECKING:
    from index.catalogue import Catalogue

MIN_PRODUCTS = 40  # with fewer, what is held out says nothing
MOST_PRODUCTS = 3000  # that are read, drawn by a hash of their contents
_PICTURES = 4  # of each product at most
_TEST, _STOP = 0.2, 0.1  # shares of the products held out to measure, and to know when to stop
_TEST_PHOTOS, _STOP_PHOTOS = 400, 100  # simulated photos of those, about
_STOP_STOCK = 300  # products among which those for stopping are looked for
_NOISE = 2.0  # standard errors within which a difference of one measure is none


@dataclass(frozen=True)
class Measure:
    """One measure of held-out products: the share that was right before and after.

    ``error`` is the standard error of the difference, over ``products`` products.
    """

    name: str
    products: int
    before: float
    after: float
    error: float


@dataclass(frozen=True)
class Finetuned:
    """What fine-tuning did.

    ``spec`` names the new encoder, "" where none was written; ``verdict`` is "better", "equal"
    (within noise) or "worse"; ``epochs`` tells the course, 0 being the encoder as it was, ``best``
    the epoch taken, ``ended`` what ended it (see ``vision.learning.finetune``). ``measures`` is
    empty where no epoch was better than none.
    """

    encoder: str
    fingerprint_before: str
    spec: str
    fingerprint: str
    verdict: str
    measures: tuple[Measure, ...]
    products: int
    held_out: int
    pictures: int
    course: Course
    epochs: tuple[Epoch, ...]
    best: int
    ended: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return asdict(self)


def finetune_catalogue(
    catalogue: Catalogue,
    out: Path,
    course: Course,
    *,
    device: str | None = None,
    keep: bool = False,
    stage: Callable[[str], None] = lambda _stage: None,
    report: Callable[[Epoch], None] = lambda _epoch: None,
) -> Finetuned:
    """Train a copy of the catalogue's encoder on its pictures, and write it to the folder ``out``.

    The pictures are the stored previews. A tenth of the products says when to stop, a fifth is
    asked about before and after; the catalogue itself is only read. An encoder that does worse
    than before is written only with ``keep``. Raises EncoderError where ``out`` is taken or the
    encoder cannot be written or trained, CatalogueError where there are too few products.
    """
    started = time.monotonic()
    if out.exists():
        raise EncoderError(f"{out} is there already; name a new folder for the encoder.")
    with catalogue.reading() as table:
        stage("read")
        stock = read_stock(table)
    backbone = load_backbone(catalogue.encoder_spec)
    encoder = Encoder(catalogue.encoder_spec, backbone, device, "torch fp32")
    if encoder.fingerprint != catalogue.fingerprint:
        _ = catalogue.encoder  # says what is wrong
    part = out.with_name(f"{out.name}.part")
    try:
        # As it is, first: what cannot be written is told before the work, not after.
        _write(backbone, encoder, part)
        learn, stop, test = _divide(stock, course.seed)
        stage("before")
        exam = _exam(stock, test, encoder, _TEST_PHOTOS, course.seed)
        before = exam.take(encoder)
        few = np.sort(np.concatenate([stop, learn[: max(0, _STOP_STOCK - len(stop))]]))
        trial = _exam(
            stock.only(few), np.searchsorted(few, stop), encoder, _STOP_PHOTOS, course.seed
        )
        stage("learn")
        outcome = finetune(
            encoder, backbone.image, _lessons(stock, learn), course,
            judge=lambda: trial.take(encoder).score(), report=report,
        )  # fmt: skip
        measures: tuple[Measure, ...] = ()
        if outcome.best:
            stage("after")
            encoder = _write(backbone, Encoder(encoder.spec, backbone, device, "torch fp32"), part)
            measures = compare(before, exam.take(encoder))
        verdict = judge(measures)
        kept = outcome.best > 0 and (keep or verdict != "worse")
        result = Finetuned(
            catalogue.encoder_spec, catalogue.fingerprint,
            local_spec(catalogue.encoder_spec, out.resolve()) if kept else "",
            encoder.fingerprint if outcome.best else "", verdict, measures, len(learn),
            len(stop) + len(test), len(stock.pictures), course, outcome.epochs, outcome.best,
            outcome.ended, time.monotonic() - started,
        )  # fmt: skip
        if kept:
            _describe(result, part)
            part.rename(out)
    except OSError as error:
        raise EncoderError(f"{out} cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return result


def read_stock(table: ProductTable) -> Stock:
    """Read the pictures of a catalogue's products, or of some where it has very many.

    A picture that several products show tells none of them apart and is taken for one.
    """
    stored = table.get(table.sample_keys(MOST_PRODUCTS))
    shown: dict[str, int] = {}  # picture by SHA-256 -> key of its product
    for key in sorted(stored):
        for view in stored[key].views[:_PICTURES]:
            shown.setdefault(view.sha256, key)
    kept = sorted(set(shown.values()))
    if len(kept) < MIN_PRODUCTS:
        raise CatalogueError(
            f"Fine-tuning needs at least {MIN_PRODUCTS} products with pictures of their own, some "
            f"hundreds to be of use; this catalogue has {len(kept)}."
        )
    previews = table.previews(shown)
    pictures = [previews[sha256] for sha256 in shown]
    colours = list(ahead(pictures, lambda data: describe_colour(read_image(data).pixels)))
    known = product_labels(table, {key: stored[key] for key in kept})
    said = [known[key].get(CATEGORY) for key in kept]  # a head's word is no truth to learn from
    categories = [each.value if each and each.source != "head" else "" for each in said]
    names = sorted({each for each in categories if each})
    labels = [names.index(each) if each else -1 for each in categories]
    owners = np.searchsorted(kept, list(shown.values()))
    return Stock(pictures, np.stack(colours), owners, np.array(labels, dtype=np.int64))


def compare(before: Marks, after: Marks) -> tuple[Measure, ...]:
    """Return the measures of two encoders that took the same exam, with the paired error."""
    measures = []
    for name, old in before.right.items():
        new = after.right[name]
        error = float((new - old).std(ddof=1) / np.sqrt(len(old))) if len(old) > 1 else 0.0
        measures.append(Measure(name, len(old), float(old.mean()), float(new.mean()), error))
    return tuple(measures)


def judge(measures: Sequence[Measure]) -> str:
    """Say whether an encoder is "better" than before, "worse", or "equal" within noise.

    Worse is one that lost more than noise explains in any measure, or more than one standard
    error in all of them together; better gained more than noise explains in all of them together.
    No measures mean that no epoch was better than none, which is worse.
    """
    gains = [each.after - each.before for each in measures]
    noise = float(np.sqrt(sum(each.error**2 for each in measures)))
    lost = any(gain < -_NOISE * each.error for gain, each in zip(gains, measures, strict=True))
    if not measures or lost or sum(gains) < -noise:
        return "worse"
    return "better" if sum(gains) > _NOISE * noise else "equal"


def _divide(stock: Stock, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the products to learn from, to stop by, and to measure on, each in chance order."""
    order = np.random.default_rng((seed, 0)).permutation(len(stock.labels))
    stop, test = round(_STOP * len(order)), round(_TEST * len(order))
    return order[stop + test :], order[:stop], order[stop : stop + test]


def _exam(stock: Stock, asked: np.ndarray, encoder: Encoder, photos: int, seed: int) -> Exam:
    return Exam(stock, np.sort(asked), encoder, photos=-(-photos // len(asked)), seed=seed)


def _lessons(stock: Stock, learn: np.ndarray) -> Lessons:
    own = stock.only(np.sort(learn))
    return Lessons(own.pictures, own.products, own.labels[own.products])


def _write(backbone: Backbone, encoder: Encoder, folder: Path) -> Encoder:
    """Write a network as it is now and load it again; raises EncoderError if that differs."""
    write_encoder(backbone, encoder.spec, folder)
    spec = local_spec(encoder.spec, folder.resolve())
    loaded = Encoder.load(spec, device=str(encoder.device), backend="torch fp32")
    if loaded.fingerprint != encoder.fingerprint:
        raise EncoderError(
            f"{encoder.spec} cannot be fine-tuned: what is written of it loads as another encoder."
        )
    return loaded


def _describe(result: Finetuned, folder: Path) -> None:
    """Write beside the weights what they were made from, for programs and for people."""
    text = json.dumps(result.as_dict(), indent=2)
    (folder / "finetuned.json").write_text(text + "\n", encoding="utf-8")
    rows = "\n".join(
        f"| {each.name} | {each.products} | {each.before:.1%} | {each.after:.1%} "
        f"| {each.error:.1%} |"
        for each in result.measures
    )
    (folder / "README.md").write_text(
        f"""# A fine-tuned encoder

Made by findalike from {result.encoder} (fingerprint {result.fingerprint_before[:12]}) on
{result.products} products of a catalogue in {result.seconds:.0f} seconds: epoch {result.best} of
{len(result.epochs) - 1}, seed {result.course.seed}. Fingerprint now: {result.fingerprint}.

On {result.held_out} products that were held out it is {result.verdict}. Right first answers:

| measure | products | before | after | standard error of the difference |
| --- | ---: | ---: | ---: | ---: |
{rows}

    findalike reembed {result.spec}
""",
        encoding="utf-8",
    )
