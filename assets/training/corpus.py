"""What is trained on: products with their labels, facts and pictures, from renders and photos."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assets.training.options import Options, TrainingError, folder

HEADS = ("kind", "colour", "material", "pattern", "grocery", "clothing")
_RENDER_COLUMNS = (
    "product", "family", "kind", "department", "title", "description", "colour", "second_colour",
    "material", "pattern", "finish", "size", "split",
)  # fmt: skip
_PICTURE_COLUMNS = ("file", "product", "view")
_VIEWS = ("studio", "cutout", "customer")
_PHOTO_COLUMNS = ("product_id", "set", "image_path", "title", "category", "description", "split")
_QUERY_COLUMNS = ("query_image", "set", "product_id", "label", "coarse_label", "split")

# Kinds that the classes of the clothing photos cover: a caption "shoes" fits a rendered boot.
_CLOTHING = {
    "sneaker": "shoes", "trainer": "shoes", "boot": "shoes", "sandal": "shoes", "loafer": "shoes",
    "shoe": "shoes", "slipper": "shoes", "cap": "hat", "beanie": "hat", "jacket": "outwear",
    "coat": "outwear", "hoodie": "longsleeve", "sweater": "longsleeve", "jumper": "longsleeve",
    "trousers": "pants", "jeans": "pants", "tshirt": "t-shirt", "tee": "t-shirt", "blouse": "shirt",
}  # fmt: skip
_CLASSES = frozenset(_CLOTHING.values()) | {"dress", "shorts", "skirt"}


@dataclass(frozen=True)
class Picture:
    """One picture file; ``view`` is studio, cutout or customer."""

    path: Path
    view: str


@dataclass(frozen=True)
class Product:
    """What counts as one and the same thing, and what is known about it.

    ``source`` is render, grocery or clothing. ``labels`` are what the heads learn (HEADS; absent is
    unknown). ``facts`` say which captions hold of it: a column that is absent is unknown.
    ``words`` are the columns captions are made of. ``pictures`` are numbers in Corpus.pictures.
    """

    name: str
    source: str
    family: str
    kind: str
    labels: dict[str, str]
    facts: dict[str, str]
    words: dict[str, str]
    pictures: tuple[int, ...]


@dataclass(frozen=True)
class Corpus:
    """All products and pictures of a run, in a fixed order."""

    products: tuple[Product, ...]
    pictures: tuple[Picture, ...]

    def vocabulary(self, head: str) -> list[str]:
        """Return the values a label takes, sorted."""
        return sorted({each.labels[head] for each in self.products if head in each.labels})

    def counts(self) -> dict[str, int]:
        """Return the numbers of products and pictures by source."""
        products = Counter(each.source for each in self.products)
        pictures: Counter[str] = Counter()
        for each in self.products:
            pictures[each.source] += len(each.pictures)
        return {
            **{f"{name}_products": products[name] for name in sorted(products)},
            **{f"{name}_pictures": pictures[name] for name in sorted(pictures)},
        }

    def fingerprint(self) -> str:
        """Return the hex SHA-256 over products, labels, words and the pictures' names."""
        digest = hashlib.sha256()
        for each in self.products:
            names = [f"{self.pictures[i].view}/{self.pictures[i].path.name}" for i in each.pictures]
            digest.update(repr((each.name, each.labels, each.words, names)).encode())
        return digest.hexdigest()


def read_corpus(options: Options) -> Corpus:
    """Return what the folders of ``options`` allow to be trained on.

    Of the renders, the split train; of the photos, grocery (shop images and the queries of the
    split train) and the split train of clothing, nothing else. Raises TrainingError for missing
    files and columns, unknown values, and pictures that stand in a forbidden part too.
    """
    if not options.renders and not options.photos:
        raise TrainingError("Name a folder of pictures with --renders, --photos or both.")
    gathered = _Gathered([], [])
    if options.renders:
        _read_renders(folder(options.renders, "renders"), gathered)
    if options.photos:
        _read_photos(folder(options.photos, "photos"), gathered)
    if len(gathered.products) < 2:
        raise TrainingError("Fewer than two products may be trained on; contrast needs more.")
    return Corpus(tuple(gathered.products), tuple(gathered.pictures))


@dataclass(frozen=True)
class _Gathered:
    products: list[Product]
    pictures: list[Picture]

    def add(self, files: Iterable[tuple[Path, str]]) -> tuple[int, ...]:
        """Add pictures and return their numbers; raises TrainingError for a missing file."""
        first = len(self.pictures)
        for path, view in files:
            if not path.is_file():
                raise TrainingError(f"A table names the picture {path}, which is not there.")
            self.pictures.append(Picture(path, view))
        return tuple(range(first, len(self.pictures)))


def _rows(path: Path, columns: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield a table's rows; raises TrainingError where the file or a column is missing."""
    if not path.is_file():
        raise TrainingError(f"There is no table {path}.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = sorted(set(columns) - set(reader.fieldnames or ()))
        if missing:
            raise TrainingError(f"{path} lacks the columns {', '.join(missing)}.")
        for number, row in enumerate(reader, 2):
            if None in row.values() or None in row:
                raise TrainingError(f"Line {number} of {path} has too few or too many fields.")
            yield {name: row[name].strip() for name in columns}


def _inside(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise TrainingError(f'The picture "{name}" lies outside {root}.')
    return path


def _read_renders(root: Path, gathered: _Gathered) -> None:
    rows = list(_rows(root / "products.csv", _RENDER_COLUMNS))
    splits: dict[str, set[str]] = defaultdict(set)
    names = Counter(row["product"] for row in rows)
    for row in rows:
        if row["split"] not in ("train", "holdout"):
            raise TrainingError(f'The split "{row["split"]}" of {row["product"]} is unknown.')
        if not row["product"] or names[row["product"]] > 1 or not row["kind"]:
            raise TrainingError(f'The render "{row["product"]}" has no name or kind, or is double.')
        splits[row["kind"]].add(row["split"])
    for kind, found in splits.items():
        if len(found) > 1:
            raise TrainingError(f'The kind "{kind}" is both trained on and held out.')
    files: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for row in _rows(root / "pictures.csv", _PICTURE_COLUMNS):
        if row["view"] not in _VIEWS or row["product"] not in names:
            raise TrainingError(f'{row["file"]}: unknown view "{row["view"]}" or product.')
        files[row["product"]].append((_inside(root, row["file"]), row["view"]))
    for row in rows:
        if row["split"] == "train":
            if not files[row["product"]]:
                raise TrainingError(f"The render {row['product']} has no pictures.")
            gathered.products.append(_render(row, gathered.add(files[row["product"]])))


def _render(row: dict[str, str], pictures: tuple[int, ...]) -> Product:
    words = {name: row[name] for name in _RENDER_COLUMNS[2:-1]}
    kind = row["kind"].replace("_", " ").lower()
    clothing = next((_CLOTHING[w] for w in kind.split() if w in _CLOTHING), "none")
    clothing = kind if kind in _CLASSES else clothing
    facts = {name: value.lower() for name, value in words.items() if value}
    facts.pop("description", None)
    facts.update(kind=kind, clothing=clothing, grocery="none", category="none")
    labels = {name: row[name] for name in HEADS[:4] if row[name]}
    family = row["family"] or row["product"]
    name = f"render:{row['product']}"
    return Product(name, "render", family, row["kind"], labels, facts, words, pictures)


def _read_photos(root: Path, gathered: _Gathered) -> None:
    allowed: list[dict[str, str]] = []
    photos: dict[str, list[str]] = defaultdict(list)
    coarse: dict[str, str] = {}
    kept: set[Path] = set()
    forbidden: set[Path] = set()
    for row in _rows(root / "products.csv", _PHOTO_COLUMNS):
        fine = (row["set"], row["split"]) in (("grocery", "catalogue"), ("clothing", "train"))
        (kept if fine else forbidden).add(_inside(root, row["image_path"]))
        if fine:
            allowed.append(row)
    for row in _rows(root / "queries.csv", _QUERY_COLUMNS):
        fine = (row["set"], row["split"]) == ("grocery", "train")
        (kept if fine else forbidden).add(_inside(root, row["query_image"]))
        if fine:
            photos[row["product_id"]].append(row["query_image"])
            coarse[row["product_id"]] = row["coarse_label"]
    if both := kept & forbidden:
        raise TrainingError(f"{min(both)} is both for training and for measuring.")
    unknown = set(photos) - {row["product_id"] for row in allowed}
    if unknown:
        raise TrainingError(f"Photos show {min(unknown)}, which is no product of the photos.")
    for row in allowed:
        views = [(_inside(root, row["image_path"]), "studio")]
        views += [(_inside(root, name), "customer") for name in photos[row["product_id"]]]
        make = _grocery if row["set"] == "grocery" else _clothing
        row["coarse"] = coarse.get(row["product_id"], "")
        gathered.products.append(make(row, gathered.add(views)))


def _grocery(row: dict[str, str], pictures: tuple[int, ...]) -> Product:
    name = row["product_id"]
    words = {key: row[key] for key in ("title", "category", "coarse", "description")}
    facts = {"grocery": name, "kind": name, "category": row["category"].lower(), "clothing": "none"}
    if row["coarse"]:
        facts["coarse"] = row["coarse"].lower()
    return Product(
        name, "grocery", name, row["category"], {"grocery": name}, facts, words, pictures
    )


def _clothing(row: dict[str, str], pictures: tuple[int, ...]) -> Product:
    name, kind = row["product_id"], row["category"]
    facts = {"clothing": kind.lower(), "grocery": "none", "category": "none", "coarse": "none"}
    words = {"category": kind}
    return Product(name, "clothing", name, kind, {"clothing": kind}, facts, words, pictures)
