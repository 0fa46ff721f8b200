"""How well the head tags: real photos and the sample catalogue, against plain classifiers.

    .venv/bin/python benchmarks/bench_labels.py DATA [--encoder SPEC ...] [--only PART ...]

DATA is a folder with products.csv and queries.csv (columns product_id, set, image_path, category
and query_image, set, label, split). The floor beside the head is scikit-learn's LogisticRegression,
as it comes, on the same embeddings. Parts:

    splits   trained on the training photos of clothing and grocery, asked the validation photos
    folds    five folds over all photos of a set, and over the products of the sample catalogue,
             whose variants stay together
    few      1, 2 and 5 examples of each class
    outside  what share of photos of other things is accepted, and told to be something else
    answers  what 20, 100 and 500 more labels bring, the least sure first and at random
    speed    made-up embeddings of 10,000 and 100,000 products

ECE is given with the mean that perfectly calibrated probabilities would show on as many photos.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from vision.arrays import unit
from vision.batches import ahead
from vision.encoder import Encoder
from vision.head import Examples, Head, Prediction
from vision.head.acceptance import calibration_error
from vision.images import Image, read_image
from vision.pictures.colour import describe_colour
from vision.taxonomy import CATEGORY, Taxonomy

SAMPLE = Path(__file__).parents[1] / "assets" / "sample"
SAMPLE_AXES = ("colour", "material", "pattern")
ASKED = 0.98
SPLITS = (
    ("clothing", "train"),
    ("clothing", "validation"),
    ("grocery", "train"),
    ("grocery", "val"),
    ("luma", "catalogue"),
)
HEADER = (
    "| what | photos | acc. | floor | macro F1 | floor | top 3 | ECE (by chance) | floor "
    "| right of accepted | accepted | s |\n|" + " --- |" + " ---: |" * 11
)


@dataclass(frozen=True)
class Photos:
    """Photos, or products, of one axis: ``plain`` and ``mirrored`` (n, d), ``colours`` (n, c)."""

    plain: np.ndarray
    mirrored: np.ndarray
    colours: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> Photos:
        return Photos(self.plain[rows], self.mirrored[rows], self.colours[rows], self.labels[rows])

    def joined(self, other: Photos) -> Photos:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Photos(*(np.concatenate(pair) for pair in pairs))


def embed(paths: Sequence[Path], labels: Sequence[str], encoder: Encoder) -> Photos:
    def read(path: Path) -> tuple[Image, np.ndarray]:
        image = read_image(path)
        return image, describe_colour(image.pixels)

    done = list(ahead(paths, read))
    runs = [[image for image, _ in done[at : at + 32]] for at in range(0, len(done), 32)]
    return Photos(
        np.concatenate([encoder.encode_images(run) for run in runs]),
        np.concatenate([encoder.encode_images(run, mirror=encoder.mirrors) for run in runs]),
        np.stack([colour for _, colour in done]).astype(np.float32),
        np.array(labels),
    )


def read_sets(data: Path, encoder: Encoder) -> dict[tuple[str, str], Photos]:
    """Return the photos of clothing, grocery and luma by set and split."""
    found: dict[tuple[str, str], list[tuple[Path, str]]] = {}
    for file, image, label in (
        ("products.csv", "image_path", "category"),
        ("queries.csv", "query_image", "label"),
    ):
        with (data / file).open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                place = found.setdefault((row["set"], row["split"]), [])
                place.append((data / row[image], row[label]))
    return {key: embed(*zip(*found[key], strict=True), encoder) for key in SPLITS}


Sample = tuple[Examples, Taxonomy, list[str]]


def read_sample(encoder: Encoder) -> Sample:
    """Return the sample's products, their pictures pooled, its taxonomy, and who varies whom."""
    with (SAMPLE / "products.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pictures = [(at, each) for at, row in enumerate(rows) for each in row["image_path"].split("|")]
    owners = np.array([at for at, _ in pictures])
    photos = embed([SAMPLE / each for _, each in pictures], [""] * len(pictures), encoder)
    vectors = np.zeros((len(rows), photos.plain.shape[1]), dtype=np.float32)
    colours = np.zeros((len(rows), photos.colours.shape[1]), dtype=np.float32)
    np.add.at(vectors, owners, photos.plain)
    np.add.at(colours, owners, photos.colours / np.bincount(owners)[owners, None])
    labels = {axis: tuple(row[axis] for row in rows) for axis in (CATEGORY, *SAMPLE_AXES)}
    axes = {axis: tuple(sorted(set(labels[axis]) - {""})) for axis in SAMPLE_AXES}
    tree = Taxonomy(tuple(labels[CATEGORY]), {}, axes)
    return Examples(unit(vectors), colours, labels), tree, [row["group"] for row in rows]


def examples(photos: Photos) -> Examples:
    return Examples(photos.plain, photos.colours, {CATEGORY: tuple(photos.labels.tolist())})


def taxonomy(photos: Photos) -> Taxonomy:
    return Taxonomy(tuple(sorted(set(photos.labels.tolist()))))


def floor_of(known: Photos, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what logistic regression says and how sure it is."""
    model = LogisticRegression(max_iter=2000).fit(known.plain, known.labels)
    p = model.predict_proba(asked)
    return model.classes_[p.argmax(axis=1)], p.max(axis=1)


@dataclass
class Answers:
    """What was said of photos: best values, top 3, accepted ones, how sure, and the floor's."""

    truth: list[str]
    said: list[str]
    three: list[list[str]]
    accepted: list[str]
    sure: list[float]
    floor: list[str]
    floor_sure: list[float]

    def add(
        self, truth: np.ndarray, prediction: Prediction, floor: tuple[np.ndarray, np.ndarray]
    ) -> None:
        best = prediction.best(3)
        self.truth += truth.tolist()
        self.said += [each[0][0] for each in best]
        self.three += [[value for value, _ in each] for each in best]
        self.sure += [each[0][1] for each in best]
        self.accepted += prediction.accepted
        self.floor += floor[0].tolist()
        self.floor_sure += floor[1].tolist()

    def row(self, what: str, seconds: float) -> str:
        truth, said, floor = map(np.array, (self.truth, self.said, self.floor))
        right, sure = said == truth, np.array(self.sure)
        stood = np.array([bool(each) for each in self.accepted])
        good = np.array([
            each == true or true.startswith(f"{each} > ")
            for each, true in zip(self.accepted, self.truth, strict=True)
        ])[stood]  # fmt: skip
        rng = np.random.default_rng(0)
        chance = np.mean([
            calibration_error(sure, rng.random(len(sure)) < sure) for _ in range(200)
        ])  # fmt: skip
        three = np.mean([true in each for true, each in zip(truth, self.three, strict=True)])
        floor_ece = calibration_error(np.array(self.floor_sure), floor == truth)
        return (
            f"| {what} | {len(truth)} | {right.mean():.1%} | {(floor == truth).mean():.1%} "
            f"| {f1_score(truth, said, average='macro'):.3f} "
            f"| {f1_score(truth, floor, average='macro'):.3f} | {three:.1%} "
            f"| {calibration_error(sure, right):.3f} ({chance:.3f}) | {floor_ece:.3f} "
            f"| {f'{good.mean():.1%}' if len(good) else 'none'} | {stood.mean():.1%} "
            f"| {seconds:.1f} |"
        )


def nothing_said() -> Answers:
    return Answers([], [], [], [], [], [], [])


def splits(sets: dict[tuple[str, str], Photos]) -> None:
    print(f"\nTrained on training photos, asked validation photos\n\n{HEADER}")
    for train, test in ((SPLITS[0], SPLITS[1]), (SPLITS[2], SPLITS[3])):
        known, asked = sets[train], sets[test]
        start = time.perf_counter()
        head = Head.fit(examples(known), taxonomy(known), precision=ASKED)
        seconds = time.perf_counter() - start
        answers = nothing_said()
        said = head.predict(asked.mirrored, asked.colours)[CATEGORY]
        answers.add(asked.labels, said, floor_of(known, asked.mirrored))
        print(answers.row(train[0], seconds), flush=True)
        axis = head.axes[CATEGORY]
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in axis.weights.items())
        print(f"<!-- {weights}; {axis.figures} -->", flush=True)


def folds(sets: dict[tuple[str, str], Photos], sample: Sample) -> None:
    print(f"\nFive folds\n\n{HEADER}")
    for name, photos in (
        ("clothing, all", sets[SPLITS[0]].joined(sets[SPLITS[1]])),
        ("clothing, validation photos only", sets[SPLITS[1]]),
        ("grocery, all", sets[SPLITS[2]].joined(sets[SPLITS[3]])),
        ("luma", sets[SPLITS[4]]),
    ):
        answers, start = nothing_said(), time.perf_counter()
        parts = StratifiedKFold(5, shuffle=True, random_state=0)
        for train, test in parts.split(photos.plain, photos.labels):
            known, asked = photos.take(train), photos.take(test)
            head = Head.fit(examples(known), taxonomy(photos), precision=ASKED)
            said = head.predict(asked.plain, asked.colours)[CATEGORY]
            answers.add(asked.labels, said, floor_of(known, asked.plain))
        print(answers.row(name, (time.perf_counter() - start) / 5), flush=True)
    given, tree, variants = sample
    by_axis = {axis: nothing_said() for axis in given.labels}
    parts = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    start = time.perf_counter()
    for train, test in parts.split(given.vectors, given.labels[CATEGORY], variants):
        labels = {axis: tuple(np.array(each)[train]) for axis, each in given.labels.items()}
        known = Examples(given.vectors[train], given.colours[train], labels)
        head = Head.fit(known, tree, precision=ASKED)
        said = head.predict(given.vectors[test], given.colours[test])
        for axis, answers in by_axis.items():
            truth, seen = np.array(given.labels[axis])[test], np.array(labels[axis])
            there = Photos(given.vectors[train], given.vectors[train], known.colours, seen)
            answers.add(truth, said[axis], floor_of(there, given.vectors[test]))
    for axis, answers in by_axis.items():
        print(answers.row(f"sample, {axis}", (time.perf_counter() - start) / 5), flush=True)


def few(sets: dict[tuple[str, str], Photos], words: Callable | None) -> None:
    print("\nFew examples (mean of 5 draws): accuracy, and what share the head accepts\n")
    print("| set | each | head | 1-NN | logistic regression | accepted | right of accepted |")
    print("| --- |" + " ---: |" * 6)
    for train, test in ((SPLITS[0], SPLITS[1]), (SPLITS[2], SPLITS[3])):
        known, asked = sets[train], sets[test]
        for each in (1, 2, 5):
            found = []
            for draw in range(5):
                order = np.random.default_rng(draw).permutation(len(known.labels))
                rows = np.concatenate([
                    order[known.labels[order] == value][:each] for value in np.unique(known.labels)
                ])  # fmt: skip
                some = known.take(rows)
                head = Head.fit(examples(some), taxonomy(known), precision=ASKED, words=words)
                said = head.predict(asked.mirrored, asked.colours)[CATEGORY]
                best = np.array([value for ((value, _),) in said.best(1)])
                nearest = some.labels[(asked.mirrored @ some.plain.T).argmax(axis=1)]
                stood = np.array(said.accepted) != ""
                right = np.array(said.accepted) == asked.labels
                found.append([
                    (best == asked.labels).mean(), (nearest == asked.labels).mean(),
                    (floor_of(some, asked.mirrored)[0] == asked.labels).mean(), stood.mean(),
                    right[stood].sum(), stood.sum(),
                ])  # fmt: skip
            *shares, good, stood = np.array(found).sum(axis=0)
            shown = " | ".join(f"{share / 5:.1%}" for share in shares)
            rightly = f"{good / stood:.1%}" if stood else "none"
            print(f"| {train[0]} | {each} | {shown} | {rightly} |", flush=True)


def outside(sets: dict[tuple[str, str], Photos], sample: Sample) -> None:
    print("\nA clothing head asked about other things\n")
    print("| photos | n | ROC area | told | accepted |\n| --- |" + " ---: |" * 4)
    known, own = sets[SPLITS[0]], sets[SPLITS[1]]
    head = Head.fit(examples(known), taxonomy(known), precision=ASKED)
    model = head.axes[CATEGORY].outside
    assert model is not None
    print(f"| classes left out, while training | | {model.told:.3f} | {model.caught:.1%} | |")
    base = head.predict(own.mirrored, own.colours)[CATEGORY]
    luma, given = sets[SPLITS[4]], sample[0]
    gear = luma.take(np.flatnonzero(luma.labels == "Gear"))
    dressed = [value.startswith("Clothing") for value in given.labels[CATEGORY]]
    rows = np.flatnonzero(~np.array(dressed))
    for name, vectors, colours in (
        ("clothing, validation", own.mirrored, own.colours),
        ("grocery, training", sets[SPLITS[2]].mirrored, sets[SPLITS[2]].colours),
        ("sample, all but its clothing", given.vectors[rows], given.colours[rows]),
        ("luma, gear", gear.mirrored, gear.colours),
        ("luma, all (most of it is clothing)", luma.mirrored, luma.colours),
    ):
        said = head.predict(vectors, colours)[CATEGORY]
        truth = np.repeat([0, 1], [len(base.outside), len(said.outside)])
        area = roc_auc_score(truth, np.concatenate([base.outside, said.outside]))
        told, stood = (said.outside > model.limit).mean(), np.mean([bool(v) for v in said.accepted])
        area_shown = "" if vectors is own.mirrored else f"{area:.3f}"
        print(f"| {name} | {len(vectors)} | {area_shown} | {told:.1%} | {stood:.1%} |", flush=True)


def answers(sets: dict[tuple[str, str], Photos]) -> None:
    print("\nMore labels: 400 training photos, then what people say of others\n")
    print("| set | labels | accuracy, at once | retrained | accepted, at once | retrained |")
    print("| --- | --- |" + " ---: |" * 4)
    for key in (SPLITS[0], SPLITS[2]):
        photos = sets[key]
        order = np.random.default_rng(0).permutation(len(photos.labels))
        first, rest = order[:400], order[400:]
        pool, asked = rest[::2], photos.take(rest[1::2])
        start = Head.fit(examples(photos.take(first)), taxonomy(photos), precision=ASKED)
        mine = photos.take(pool)
        sure = start.predict(mine.plain, mine.colours)[CATEGORY].probabilities.max(axis=1)
        for how, queue in (("least sure", pool[np.argsort(sure, kind="stable")]), ("random", pool)):
            for count in (0, 20, 100, 500):
                said = photos.take(queue[:count])
                since = examples(said) if count else None
                once = start.predict(asked.plain, asked.colours, corrections=since)[CATEGORY]
                both = photos.take(np.concatenate([first, queue[:count]]))
                again = Head.fit(examples(both), taxonomy(photos), precision=ASKED)
                later = again.predict(asked.plain, asked.colours)[CATEGORY]
                shown = [
                    np.mean([value for ((value, _),) in each.best(1)] == asked.labels)
                    for each in (once, later)
                ] + [np.mean([bool(value) for value in each.accepted]) for each in (once, later)]
                cells = " | ".join(f"{share:.1%}" for share in shown)
                print(f"| {key[0]} | {how}, {len(said.labels)} | {cells} |", flush=True)


def speed() -> None:
    print("\nMade-up products: 512 numbers, 100 leaves, three attributes of 12 values\n")
    print("| products | train s | tag s | file MB | memory GB |\n| ---: |" + " ---: |" * 4)
    rng = np.random.default_rng(0)
    for n in (10_000, 100_000):
        leaf = rng.choice(100, n, p=rng.dirichlet(np.ones(100)))
        labels = {CATEGORY: tuple(f"Top {each // 10} > Leaf {each}" for each in leaf.tolist())}
        vectors = rng.normal(size=(n, 512)).astype(np.float32)
        vectors += 0.35 * rng.normal(size=(100, 512)).astype(np.float32)[leaf]
        for axis in ("colour", "material", "pattern"):
            value = rng.integers(0, 12, n)
            vectors += 0.2 * rng.normal(size=(12, 512)).astype(np.float32)[value]
            labels[axis] = tuple(f"v{each}" for each in value.tolist())
        colours = rng.random((n, 896), dtype=np.float32) ** 4
        axes = {axis: tuple(sorted(set(each))) for axis, each in labels.items() if axis != CATEGORY}
        leaves = tuple(dict.fromkeys(labels[CATEGORY]))
        start = time.perf_counter()
        head = Head.fit(Examples(unit(vectors), colours, labels), Taxonomy(leaves, {}, axes))
        trained = time.perf_counter()
        head.predict(unit(vectors), colours)
        tagged = time.perf_counter() - trained
        size = sum(each.nbytes for axis in head.axes.values()
                   for expert in axis.experts.values() for name, each in expert.arrays().items()
                   if name != "rows") + head.memory.nbytes  # fmt: skip
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"| {n:,} | {trained - start:.0f} | {tagged:.0f} | {size / 1e6:.0f} | {most:.1f} |",
            flush=True,
        )


PARTS = ("splits", "folds", "few", "outside", "answers", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", action="append", default=None)
    parser.add_argument("--only", action="append", choices=PARTS, default=None)
    options = parser.parse_args()
    wanted = options.only or PARTS
    for spec in options.encoder or ["builtin"] if set(wanted) != {"speed"} else []:
        encoder = Encoder.load(spec)
        print(f"\n### {Path(spec).name}", flush=True)
        sets, sample = read_sets(options.data, encoder), read_sample(encoder)
        if "splits" in wanted:
            splits(sets)
        if "folds" in wanted:
            folds(sets, sample)
        if "few" in wanted:
            few(sets, encoder.encode_texts if encoder.knows_words else None)
        if "outside" in wanted:
            outside(sets, sample)
        if "answers" in wanted:
            answers(sets)
    if "speed" in wanted:
        speed()


if __name__ == "__main__":
    main()
