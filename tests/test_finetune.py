"""Fine-tuning: what learns, what stays, what is written, and when it is called better."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import tiny
import torch
import torchvision
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import index.changes.finetuning
import vision.learning.finetune
from index.catalogue import Catalogue
from index.changes.finetuning import Measure, compare, finetune_catalogue, judge
from index.changes.reembedding import reembed
from index.evaluation.exams import Exam, Marks, Stock
from index.query import Query
from vision.encoder import Encoder
from vision.errors import CatalogueError, EncoderError
from vision.learning.blocks import free_bytes, kept_bytes, last_blocks
from vision.learning.finetune import Course, Epoch, Outcome, finetune
from vision.learning.lessons import PRODUCTS, VIEWS, Lessons, draw_batches, make_view
from vision.learning.losses import hold_loss, product_contrast, relation_loss
from vision.networks.backbones import load_backbone
from vision.networks.saving import local_spec, write_encoder
from webapp.terminal.encoders import finetune as command

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(autouse=True)
def few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask less than is good for a shop."""
    monkeypatch.setattr(index.changes.finetuning, "_TEST_PHOTOS", 120)
    monkeypatch.setattr(index.changes.finetuning, "_STOP_PHOTOS", 30)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The spec of a small CLIP with random weights."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CLIP, "preprocess_cfg": {}})
    )
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():  # a new network hardly looks at its picture
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.03)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return f"clip:local-dir:{folder}"


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The spec of a small network with batch normalisation, padded in a way of its own."""
    folder = tmp_path_factory.mktemp("timm")
    name, arguments = "mobilenetv3_small_050", {"pad_type": "same"}
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7, **arguments)
    save_file(model.state_dict(), folder / "model.safetensors")
    settings = {"num_classes": 7, "classifier": "classifier", "input_size": [3, 64, 64],
                "crop_pct": 0.9, "mean": [0.4] * 3}  # fmt: skip
    facts = {"architecture": name, "num_classes": 7, "model_args": arguments,
             "pretrained_cfg": settings}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(facts))
    return f"timm:local-dir:{folder}"


def jpeg(number: int, view: int = 0) -> bytes:
    import io

    buffer = io.BytesIO()
    tiny.draw(number, view=view).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def lessons(count: int = 24) -> Lessons:
    """Two pictures of the first half of the products, one of the others; three categories."""
    shown = [(each, view) for each in range(count) for view in range(1 + (each < count // 2))]
    products = np.array([each for each, _ in shown])
    return Lessons([jpeg(*each) for each in shown], products, products % 3)


def learn(spec: str, **options: Any) -> tuple[Outcome, dict[str, torch.Tensor], list[Epoch]]:
    """Fine-tune an encoder without any held-out products: later is better, unless told."""
    scores = iter(options.pop("scores", range(100)))
    report = options.pop("report", lambda _epoch: None)
    backbone = load_backbone(spec)
    encoder = Encoder(spec, backbone, "cpu", "torch fp32")
    told: list[Epoch] = []

    def note(epoch: Epoch) -> None:
        told.append(epoch)
        report(epoch)

    outcome = finetune(
        encoder, backbone.image, lessons(), Course(**{"epochs": 2, **options}),
        judge=lambda: float(next(scores)), report=note,
    )  # fmt: skip
    return outcome, dict(backbone.image.state_dict()), told


# --- what learns ---------------------------------------------------------------------------------


def names(spec: str, blocks: int) -> set[str]:
    network = load_backbone(spec).image
    chosen = {id(each) for each in last_blocks(network, blocks)}
    found = {name for name, each in network.named_parameters() if id(each) in chosen}
    return {name.rpartition(".")[0] or name for name in found}


def test_the_last_blocks_and_the_projection_learn(clip: str) -> None:
    assert names("builtin", 1) == {"trunk.conv_head", "trunk.bn2", "head.proj"}
    two = names("builtin", 2)
    assert {name for name in two if not name.startswith("trunk.blocks.6.")} == names("builtin", 1)
    assert not names("builtin", 3) & {"trunk.conv_stem", "trunk.bn1"}
    assert any(name.startswith("trunk.blocks.5.") for name in names("builtin", 3))
    one = names(clip, 1)
    assert {"proj", "ln_post"} < one
    assert {name.split(".")[2] for name in one if name.startswith("transformer")} == {"2"}


@pytest.mark.parametrize("kind", ["clip", "convolutional"])
def test_only_they_change_and_statistics_stay(kind: str, request: pytest.FixtureRequest) -> None:
    spec = request.getfixturevalue(kind)
    network = load_backbone(spec).image
    chosen = {id(each) for each in last_blocks(network, 1)}
    learning = {name for name, each in network.named_parameters() if id(each) in chosen}
    before = dict(network.state_dict())
    outcome, after, _ = learn(spec, blocks=1)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert outcome.best == 2 and changed
    assert changed <= learning
    assert len(changed) > len(learning) / 2


def test_the_same_seed_gives_the_same_weights(clip: str) -> None:
    (_, one, first), (_, other, again) = learn(clip, seed=3), learn(clip, seed=3)
    assert [each.loss for each in first] == [each.loss for each in again]
    assert all(torch.equal(one[name], other[name]) for name in one)
    different = learn(clip, seed=4)[1]
    assert any(not torch.equal(one[name], different[name]) for name in one)


def test_the_loss_falls(clip: str) -> None:
    _, _, told = learn(clip, epochs=6, rate=1e-3)
    assert [each.number for each in told] == list(range(7))
    assert told[-1].loss < told[1].loss - 0.1


def test_the_best_epoch_is_taken_and_it_stops_where_nothing_is_gained(clip: str) -> None:
    outcome, _, _ = learn(clip, epochs=20, scores=[0.5, 0.6, 0.4, 0.6, 0.5, 0.3, 0.9])
    assert (outcome.best, outcome.ended, len(outcome.epochs)) == (1, "no better", 6)
    outcome, weights, _ = learn(clip, epochs=1, scores=[0.5, 0.4])
    start = load_backbone(clip).image.state_dict()
    assert outcome.best == 0
    assert all(torch.equal(weights[name], start[name]) for name in start)


def test_minutes_end_it(clip: str) -> None:
    outcome, _, _ = learn(clip, epochs=500, minutes=1e-6)
    assert (outcome.ended, len(outcome.epochs)) == ("minutes", 2)


def stop_at(number: int) -> Callable[[Epoch], None]:
    def stop(epoch: Epoch) -> None:
        if epoch.number == number:
            raise KeyboardInterrupt

    return stop


def test_ctrl_c_keeps_the_best_so_far_or_raises(clip: str) -> None:
    outcome, weights, _ = learn(clip, epochs=9, report=stop_at(2), scores=[0.1, 0.3, 0.2])
    assert (outcome.best, outcome.ended) == (1, "interrupted")
    _, expected, _ = learn(clip, epochs=9, scores=[0.1, 0.3, 0, 0, 0, 0])
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    with pytest.raises(KeyboardInterrupt):
        learn(clip, report=stop_at(1), scores=[0.5, 0.4])


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (MemoryError(), "not enough memory to train.*--blocks 1"),
        (torch.OutOfMemoryError("CUDA"), "not enough memory to train"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough"),
    ],
)
def test_too_little_memory_is_said(
    clip: str, trouble: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> torch.Tensor:
        raise trouble

    monkeypatch.setattr(vision.learning.finetune, "product_contrast", fail)
    with pytest.raises(EncoderError, match=words):
        learn(clip)


def test_a_batch_that_would_not_fit_is_told_before(
    clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision.learning.finetune, "free_bytes", lambda _device: 1_000_000)
    with pytest.raises(EncoderError, match=r"it takes 0\.\d GB, 0\.0 GB are free"):
        learn(clip)
    rows = torch.ones(10, 10, requires_grad=True)
    assert kept_bytes(lambda: (rows * 2).exp().sum()) == 400  # exp keeps its result
    assert (free_bytes(torch.device("cpu")) or 1e9) > 1e6


def test_a_loss_that_is_no_number_is_said(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision.learning.finetune, "hold_loss", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(EncoderError, match=r"no number any more.*--blocks 1"):
        learn(clip)


# --- lessons and losses --------------------------------------------------------------------------


def test_batches_hold_each_product_once_beside_what_looks_like_it() -> None:
    given = lessons(40)
    pairs = [[each ^ 1, each] for each in range(40)]
    batches = draw_batches(given, pairs, np.random.default_rng(0))
    shots = [shot for batch in batches for shot in batch]
    assert [len(batch) // VIEWS for batch in batches] == [PRODUCTS, PRODUCTS, 40 % PRODUCTS]
    products = [batch[at].product for batch in batches for at in range(0, len(batch), VIEWS)]
    assert sorted(products) == list(range(40))
    assert all(products[at] ^ 1 == products[at + 1] for at in range(0, 40, 2))
    for product in range(40):
        own = [shot for shot in shots if shot.product == product]
        assert {shot.picture for shot in own} == set(given.by_product[product])
        assert sum(shot.plain for shot in own) == len(given.by_product[product])
    again = draw_batches(given, pairs, np.random.default_rng(0))
    assert again == batches != draw_batches(given, pairs, np.random.default_rng(1))


def test_views_are_the_picture_or_a_photo_of_it(clip: str) -> None:
    given, preprocess = lessons(), Encoder.load(clip, device="cpu").preprocess
    [batch, *_] = draw_batches(given, [[each] for each in range(24)], np.random.default_rng(0))
    for shot in batch[:8]:
        made = make_view(given, shot, preprocess)
        from vision.images import read_image

        picture = preprocess(read_image(given.pictures[shot.picture]).pixels)
        assert made.shape == (3, 32, 32) and made.dtype == np.uint8
        assert np.array_equal(made, picture) == shot.plain


def test_losses_against_their_formulas() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(5, 4, generator=rng), dim=1)
    products = torch.tensor([0, 0, 1, 1, 2])
    expected = []
    for i in range(4):
        scores = torch.tensor([float(rows[i] @ rows[j]) / 0.1 for j in range(5) if j != i])
        pair = float(rows[i] @ rows[i ^ 1]) / 0.1
        expected.append(float(scores.logsumexp(0)) - pair)
    assert float(product_contrast(rows, products, 0.1)) == pytest.approx(np.mean(expected))
    assert float(hold_loss(rows, rows)) == pytest.approx(0, abs=1e-6)
    assert float(hold_loss(rows, -rows)) == pytest.approx(2)
    assert float(relation_loss(rows, -rows)) == pytest.approx(0, abs=1e-9)
    assert float(relation_loss(rows, rows.roll(1, 0))) > 0.01


# --- written and loaded again --------------------------------------------------------------------


def round_trip(spec: str, folder: Path) -> Encoder:
    """Change a network's weights, write it, and compare what loads with what was written."""
    backbone = load_backbone(spec)
    with torch.no_grad():
        for each in last_blocks(backbone.image, 1):
            each.add_(0.01)
    changed = Encoder(spec, backbone, "cpu", "torch fp32")
    write_encoder(backbone, spec, folder)
    loaded = Encoder.load(local_spec(spec, folder), device="cpu", backend="torch fp32")
    original = Encoder.load(spec, device="cpu", backend="torch fp32")
    assert loaded.fingerprint == changed.fingerprint != original.fingerprint
    assert loaded.preprocess == original.preprocess
    if original.knows_words:
        texts = ["a red mug", "blue"]
        np.testing.assert_array_equal(loaded.encode_texts(texts), original.encode_texts(texts))
    return loaded


@pytest.mark.parametrize("kind", ["clip", "convolutional"])
def test_folders_load_as_they_were_written(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    round_trip(request.getfixturevalue(kind), tmp_path / "out")


def test_the_built_in_encoder_takes_its_vocabulary_along(tmp_path: Path) -> None:
    round_trip("builtin", tmp_path / "out")
    assert (tmp_path / "out" / "vocabulary.bpe.gz").is_file()


def test_a_named_clip_keeps_activation_and_preprocessing(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", CLIP)
    file = Path(clip.removeprefix("clip:local-dir:")) / "open_clip_model.safetensors"
    for tag in ("openai", "laion2b_s34b_b79k"):
        round_trip(f"clip:ViT-B-32/{tag}@{file}", tmp_path / tag)


def test_a_named_timm_model(convolutional: str, tmp_path: Path) -> None:
    file = Path(convolutional.removeprefix("timm:local-dir:")) / "model.safetensors"
    round_trip(f"timm:mobilenetv3_small_050@{file}", tmp_path / "out")


def test_torchvision_is_a_file_with_a_head_of_zeros(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "r.pth")
    round_trip(f"torchvision:resnet18@{tmp_path / 'r.pth'}", tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert not tensors["fc.weight"].any() and tensors["conv1.weight"].any()


def test_what_cannot_be_written_is_said(clip: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EncoderError, match="cannot be written"):
        write_encoder(load_backbone(clip), clip, tmp_path / "file" / "out")


# --- the exam ------------------------------------------------------------------------------------


def stock(count: int, several: int) -> Stock:
    """Products of which the first have two pictures."""
    shown = [(each, view) for each in range(count) for view in range(1 + (each < several))]
    owners = np.array([each for each, _ in shown])
    from vision.images import read_image
    from vision.pictures.colour import describe_colour

    pictures = [jpeg(*each) for each in shown]
    colours = np.stack([describe_colour(read_image(each).pixels) for each in pictures])
    return Stock(pictures, colours, owners, np.arange(count) % 2)


def test_an_exam_asks_what_it_says(tiny_encoder: Any) -> None:
    encoder = tiny_encoder()
    asked = np.array([1, 3, 20])
    exam = Exam(stock(30, 10), asked, encoder, photos=4, seed=0)
    marks = exam.take(encoder)
    assert {name: len(each) for name, each in marks.right.items()} == {
        "photos": 3, "views": 2, "categories": 3
    }  # fmt: skip
    assert all(0 <= each.min() <= each.max() <= 1 for each in marks.right.values())
    assert all((marks.near[name] >= marks.right[name]).all() for name in marks.right)
    assert exam.take(encoder).near["photos"].tolist() == marks.near["photos"].tolist()


def test_an_encoder_that_sees_nothing_fails(tiny_encoder: Any) -> None:
    class Blind(tiny_encoder):  # type: ignore[misc]
        def encode_pixels(self, pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
            rows = np.random.default_rng(int(pixels.sum())).normal(size=(len(pixels), tiny.DIM))
            return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    given = stock(40, 20)
    asked = np.arange(20)
    seeing = Exam(given, asked, tiny_encoder(), photos=3, seed=0).take(tiny_encoder())
    blind = Exam(given, asked, Blind(), photos=3, seed=0).take(Blind())
    assert seeing.right["views"].mean() > 0.6
    assert seeing.score() > blind.score() + 0.2
    assert judge(compare(seeing, blind)) == "worse"
    assert judge(compare(blind, seeing)) == "better"
    assert judge(compare(seeing, seeing)) == "equal"


def test_the_rank_of_a_product_is_that_of_its_best_picture(tiny_encoder: Any) -> None:
    exam = Exam(stock(3, 2), np.array([0]), tiny_encoder(), photos=1, seed=0)
    # Pictures of the products: 0, 0, 1, 1, 2.
    scores = np.array([[0.1, 0.9, 0.8, 0.2, 0.3], [0.1, 0.2, 0.8, 0.2, 0.3]])
    assert exam._rank(scores, np.array([0, 0])).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("measures", "verdict"),
    [
        ([], "worse"),
        ([(0.5, 0.6, 0.02)], "better"),
        ([(0.5, 0.53, 0.02)], "equal"),
        ([(0.5, 0.485, 0.02)], "equal"),
        ([(0.5, 0.45, 0.02)], "worse"),
        ([(0.5, 0.7, 0.02), (0.8, 0.75, 0.02)], "worse"),
        ([(0.5, 0.7, 0.02), (0.8, 0.77, 0.02)], "better"),
        ([(0.5, 0.47, 0.02), (0.8, 0.77, 0.02)], "worse"),
        ([(1.0, 1.0, 0.0)], "equal"),
    ],
)
def test_verdicts(measures: list[tuple[float, float, float]], verdict: str) -> None:
    assert judge([Measure("photos", 50, *each) for each in measures]) == verdict


def test_the_error_is_that_of_paired_differences() -> None:
    old, new = np.array([0.0, 1.0, 0.5, 1.0]), np.array([1.0, 1.0, 0.5, 0.5])
    [measure] = compare(Marks({"photos": old}, {}), Marks({"photos": new}, {}))
    assert (measure.before, measure.after, measure.products) == (0.625, 0.75, 4)
    assert measure.error == pytest.approx(np.std([1, 0, 0, -0.5], ddof=1) / 2)


# --- a catalogue's encoder -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(clip: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with the small CLIP: 60 products, 10 of them with two pictures."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("index.search.calibration.VERDICT_PHOTOS", tiny.FEW_PHOTOS)
        with Catalogue.open(folder / "catalogue", create=True, encoder=clip) as catalogue:
            few = tiny.write_feed(folder / "few.csv", 10, views=2, category="")
            catalogue.add([few, tiny.write_feed(folder / "feed.csv", 50, start=10, category="")])
    return folder / "catalogue"


def test_a_shops_encoder_gets_better_and_is_put_in(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a network of random weights sees is not worth holding.
    monkeypatch.setitem(vision.learning.finetune._WEIGHTS, "hold", 0.0)
    monkeypatch.setitem(vision.learning.finetune._WEIGHTS, "relations", 0.0)
    monkeypatch.setattr(index.changes.finetuning, "_TEST_PHOTOS", 300)
    shutil.copytree(shop, tmp_path / "catalogue")
    out = tmp_path / "out"
    with Catalogue.open(tmp_path / "catalogue") as catalogue:
        before = catalogue.info()
        done = finetune_catalogue(catalogue, out, Course(epochs=8, rate=1e-3))
        assert catalogue.info() == before
    assert done.verdict != "worse" and done.best > 0
    photos = next(each for each in done.measures if each.name == "photos")
    assert photos.after > photos.before
    assert (done.products, done.held_out, done.pictures) == (42, 18, 70)
    assert done.spec == f"clip:local-dir:{out}"
    assert Encoder.load(done.spec).fingerprint == done.fingerprint != done.fingerprint_before
    written = json.loads((out / "finetuned.json").read_text())
    assert written["fingerprint_before"] == before["fingerprint"]
    assert written == json.loads(json.dumps(done.as_dict()))
    assert f"findalike reembed {done.spec}" in (out / "README.md").read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["catalogue", "out"]
    with Catalogue.open(tmp_path / "catalogue") as catalogue:
        assert reembed(catalogue, done.spec).embedded == 70
    with Catalogue.open(tmp_path / "catalogue") as catalogue:
        assert catalogue.fingerprint == done.fingerprint
        answer = catalogue.search(Query(photo=shop.parent / "pictures" / "00007.png"))
        assert answer.hits[0].product.product_id == "p7"


def run(shop: Path, out: Path, *options: object) -> Any:
    return CliRunner().invoke(command, [str(out), *map(str, options)], obj=shop)


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training spoil an encoder, whatever the products held out for stopping say."""
    learn = vision.learning.finetune._Learner._learn

    def spoil(self: Any, *args: Any) -> float:
        loss = learn(self, *args)
        with torch.no_grad():
            for each in self.learning:
                each.normal_(generator=torch.Generator().manual_seed(0))
        return loss

    monkeypatch.setattr(vision.learning.finetune._Learner, "_learn", spoil)
    scores = iter(np.arange(100) / 100)
    monkeypatch.setattr(Marks, "score", lambda _self: float(next(scores)))


@pytest.mark.usefixtures("spoilt")
def test_a_worse_encoder_is_never_recommended(shop: Path, tmp_path: Path) -> None:
    done = run(shop, tmp_path / "out", "--epochs", 1)
    assert done.exit_code == 1
    assert "Keep the encoder you have" in done.output and "Nothing was written" in done.output
    assert "reembed" not in done.output
    assert not list(tmp_path.iterdir())
    done = run(shop, tmp_path / "out", "--epochs", 1, "--keep")
    assert done.exit_code == 1
    assert "written all the same" in done.output and "reembed" not in done.output
    assert "it is worse" in (tmp_path / "out" / "README.md").read_text()
    Encoder.load(f"clip:local-dir:{tmp_path / 'out'}")


def test_where_no_epoch_is_better_nothing_is_written(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Marks, "score", lambda _self: 0.5)
    done = run(shop, tmp_path / "out", "--epochs", 2, "--keep", "--json")
    assert done.exit_code == 1
    assert not list(tmp_path.iterdir())
    facts = json.loads(done.stdout)
    assert (facts["spec"], facts["verdict"], facts["measures"]) == ("", "worse", [])


def test_the_command_shows_how_it_goes(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter(np.arange(100) / 100)
    monkeypatch.setattr(Marks, "score", lambda _self: float(next(scores)))
    done = run(shop, tmp_path / "out", "--epochs", 2, "--minutes", 5, "--keep", "--device", "cpu")
    assert "as it is: score" in done.stderr and "epoch 2: loss" in done.stderr
    assert "simulated photos, recall@1" in done.stdout
    assert done.exit_code in (0, 1)


def test_ctrl_c_before_the_first_epoch_writes_nothing(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.terminal.encoders._print_epoch", stop_at(0))
    done = run(shop, tmp_path / "out")
    assert done.exit_code == 130 and "Nothing was written" in done.output
    assert not list(tmp_path.iterdir())


def test_what_stands_in_the_way_is_said_first(
    shop: Path, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    with Catalogue.open(shop) as catalogue:
        with pytest.raises(EncoderError, match="out is there already; name a new folder"):
            finetune_catalogue(catalogue, tmp_path / "out", Course())
        with pytest.raises(EncoderError, match='device "cuda:99"'):
            finetune_catalogue(catalogue, tmp_path / "new", Course(), device="cuda:99")
        monkeypatch.setattr(index.changes.finetuning, "finetune", None)
        (tmp_path / "file").write_text("")
        with pytest.raises(EncoderError, match="cannot be written"):
            finetune_catalogue(catalogue, tmp_path / "file" / "new", Course())
        monkeypatch.setattr(index.changes.finetuning, "local_spec", lambda *_: "builtin")
        with pytest.raises(EncoderError, match="loads as another encoder"):
            finetune_catalogue(catalogue, tmp_path / "new", Course())
    with Catalogue.open(tmp_path / "few", create=True, encoder=clip) as catalogue:
        catalogue.add([tiny.write_feed(tmp_path / "feed.csv", 9)])
        with pytest.raises(CatalogueError, match=r"at least 40 products.* has 9"):
            finetune_catalogue(catalogue, tmp_path / "new", Course())
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob("*.part"))
