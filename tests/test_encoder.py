"""The encoder: unit rows, mirror, backends by its own check, fingerprint, device."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from assets import SAMPLE
from vision.encoder import Encoder
from vision.errors import EncoderError
from vision.images import Image, read_image
from vision.networks import backends
from vision.networks.loading import Backbone
from vision.networks.preprocess import Preprocess

HALF = Preprocess("shortest", 32, 32, (0.5,) * 3, (0.5,) * 3, "bilinear")
NATIVE_BF16 = backends.computes_bf16()


def picture(width: int = 320, height: int = 256) -> Image:
    """A picture made by arithmetic alone, the same everywhere and always."""
    y, x = np.mgrid[0:height, 0:width]
    bands = [x * 255 // width, y * 255 // height, (x // 20 + y // 16) % 2 * 180 + 30]
    pixels = PIL.Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))
    return Image(pixels, "", width, height, "PNG")


PICTURES = [picture(), picture(90, 200), picture(33, 32), picture(700, 300)]


@pytest.fixture(scope="module")
def builtin() -> Encoder:
    return Encoder.load(device="cpu")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The spec of a small transformer with random weights."""
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0)
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps(
            {
                "architecture": "test_vit",
                "num_classes": 0,
                "pretrained_cfg": {"input_size": [3, 160, 160], "fixed_input_size": True},
            }
        )
    )
    return f"timm:local-dir:{folder}"


# --- embeddings ----------------------------------------------------------------------------------


def test_builtin_is_the_encoder_it_was(builtin: Encoder) -> None:
    """Stored once: a library that computes otherwise must not go unnoticed."""
    photos = [SAMPLE / "products" / "S00000_1.jpg", SAMPLE / "photos" / "001.jpg"]
    pictures = [picture(), *(read_image(path) for path in photos)]
    rows = builtin.encode_images(pictures)
    assert builtin.spec == "builtin" and builtin.dim == 512 and rows.shape == (3, 512)
    stored = np.load(Path(__file__).parent / "builtin_embeddings.npy")
    np.testing.assert_allclose(rows, stored, atol=1e-3)
    assert np.array_equal(rows, Encoder.load(device="cpu").encode_images(pictures))


def test_builtin_knows_the_words_of_its_sample(builtin: Encoder) -> None:
    things = ("mug", "sofa", "backpack", "table lamp", "rug")
    shop = read_rows(SAMPLE / "products.csv")
    shown = [next(row for row in shop if f" {thing}" in row["title"]) for thing in things]
    pictures = [read_image(SAMPLE / row["image_path"].split("|")[0]) for row in shown]
    texts = builtin.encode_texts([f"a {thing}" for thing in things])
    assert texts.shape == (5, 512) and texts.dtype == np.float32
    nearest = (texts @ builtin.encode_images(pictures).T).argmax(axis=1)
    assert nearest.tolist() == [0, 1, 2, 3, 4]
    odd = builtin.encode_texts(["", "Über-Tasse, 茶碗 🍵", "word " * 500])
    np.testing.assert_allclose(np.linalg.norm(odd, axis=1), 1, atol=1e-5)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_float32_units_whatever_the_batch(builtin: Encoder) -> None:
    rows = builtin.encode_images(PICTURES)
    assert rows.shape == (4, 512) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    alone = np.concatenate([builtin.encode_images([each]) for each in PICTURES])
    np.testing.assert_allclose(rows, alone, atol=1e-5)
    assert (rows @ rows.T)[0, 1:].max() < 0.98


def test_no_pictures_give_no_rows(builtin: Encoder) -> None:
    rows = builtin.encode_images([])
    assert rows.shape == (0, 512) and rows.dtype == np.float32


def test_mirror_is_the_mean_of_both(builtin: Encoder) -> None:
    pixels = np.stack([builtin.prepare(each) for each in PICTURES])
    both = builtin.encode_pixels(pixels) + builtin.encode_pixels(pixels[..., ::-1].copy())
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    mirrored = builtin.encode_images(PICTURES, mirror=True)
    np.testing.assert_allclose(mirrored, both, atol=1e-6)
    assert np.abs(mirrored - builtin.encode_images(PICTURES)).max() > 0.01


def test_pixels_are_left_as_they_were(builtin: Encoder) -> None:
    pixels = np.stack([builtin.prepare(each) for each in PICTURES])
    before = pixels.copy()
    rows = builtin.encode_pixels(pixels)
    assert np.array_equal(pixels, before)
    assert np.array_equal(rows, builtin.encode_images(PICTURES))


def test_words_without_a_clip_are_refused(vit: str) -> None:
    encoder = Encoder.load(vit, device="cpu")
    assert not encoder.knows_words
    with pytest.raises(EncoderError, match=r"knows pictures only.*--encoder clip:"):
        encoder.encode_texts(["mug"])


# --- backends and devices ------------------------------------------------------------------------


@pytest.mark.skipif(not NATIVE_BF16, reason="this processor has no bf16 of its own")
def test_transformers_are_computed_in_packed_bf16(vit: str) -> None:
    lowered = Encoder.load(vit, device="cpu")
    full = Encoder.load(vit, device="cpu", backend="torch fp32")
    assert (lowered.backend, full.backend) == ("packed bf16", "torch fp32")
    a, b = (each.encode_images(PICTURES) for each in (lowered, full))
    assert a.dtype == np.float32
    assert (a * b).sum(axis=1).min() >= 0.999 and not np.array_equal(a, b)


def test_transformers_are_packed_in_fp32_where_there_is_no_bf16(
    vit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "computes_bf16", lambda: False)
    packed = Encoder.load(vit, device="cpu")
    full = Encoder.load(vit, device="cpu", backend="torch fp32")
    assert packed.backend == "packed fp32"
    a, b = (each.encode_images(PICTURES) for each in (packed, full))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_where_weights_cannot_be_packed_they_are_used_plain(
    vit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: nn.Module) -> int:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    monkeypatch.setattr(backends, "pack", missing)
    monkeypatch.setattr(backends, "computes_bf16", lambda: True)
    assert Encoder.load(vit, device="cpu").backend == "torch bf16"


def test_a_network_that_serves_says_the_same_whatever_the_batch() -> None:
    encoder = Encoder.load("builtin", backend="torch fp32")
    before = encoder.encode_images(PICTURES, mirror=True)
    encoder.serve()
    assert encoder.backend == "frozen fp32"
    np.testing.assert_allclose(encoder.encode_images(PICTURES, mirror=True), before, atol=1e-6)
    for at, each in enumerate(PICTURES):
        one = encoder.encode_images([each], mirror=True)
        np.testing.assert_allclose(one, before[at : at + 1], atol=1e-6)


def test_a_network_that_changes_when_frozen_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = Encoder.load("builtin", backend="torch fp32")
    network = encoder.network
    assert network is not None
    before = encoder.encode_images(PICTURES)

    class Other(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return network(batch).flip(1)

    monkeypatch.setattr(torch.jit, "freeze", lambda _: Other())
    encoder.serve()
    assert encoder.backend == "torch fp32"
    assert np.array_equal(encoder.encode_images(PICTURES), before)


def test_a_backend_asked_for_is_honoured(vit: str) -> None:
    full = Encoder.load(vit, device="cpu", backend="torch fp32").encode_images(PICTURES)
    for name in ("torch bf16", "packed fp32", "packed bf16", "frozen fp32"):
        other = Encoder.load(vit, device="cpu", backend=name)
        assert other.backend == name
        assert (other.encode_images(PICTURES) * full).sum(axis=1).min() >= 0.999


def test_convolutions_stay_in_fp32(builtin: Encoder) -> None:
    assert builtin.backend == "torch fp32"
    with pytest.raises(
        EncoderError, match=r"builtin cannot use torch bf16 here.*0\.9.*Use torch fp32"
    ):
        Encoder.load("builtin", device="cpu", backend="torch bf16")
    with pytest.raises(EncoderError, match="cannot use packed fp32 here: it has no linear"):
        Encoder("moody", Backbone(nn.Sequential(nn.Flatten()), HALF, ""), "cpu", "packed fp32")


class Moody(nn.Module):
    """A layer-normalised network that answers differently, or not at all, in half precision."""

    def __init__(self, mood: str) -> None:
        super().__init__()
        self.mood = mood
        self.layer = nn.Linear(3, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.float32:
            if self.mood == "fails":
                raise RuntimeError('"layer" not implemented for this type')
            rows = self.norm(self.layer(x.mean(dim=(2, 3))))
            return rows * float("nan") if self.mood == "overflows" else rows.roll(1, dims=1)
        rows = self.norm(self.layer(x.mean(dim=(2, 3))))
        return rows


@pytest.mark.parametrize("mood", ["differs", "overflows", "fails"])
def test_a_backend_that_does_not_agree_is_not_used(
    mood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "computes_bf16", lambda: True)
    monkeypatch.setattr(backends, "pack", lambda module: 1)
    torch.manual_seed(0)
    backbone = Backbone(Moody(mood), HALF, "")
    with pytest.raises(EncoderError, match="moody cannot use torch bf16 here"):
        Encoder("moody", backbone, "cpu", "torch bf16")
    encoder = Encoder("moody", backbone, "cpu", None)
    assert encoder.backend == "packed fp32"
    full = Encoder("moody", backbone, "cpu", "torch fp32")
    assert np.array_equal(encoder.encode_images(PICTURES), full.encode_images(PICTURES))
    assert encoder.fingerprint == full.fingerprint


def test_a_network_that_does_not_run_is_explained() -> None:
    with pytest.raises(EncoderError, match="moody loads but does not run here: mat1"):
        Encoder("moody", Backbone(nn.Linear(7, 7), HALF, ""), "cpu", None)


def test_unknown_backends_and_devices_are_refused() -> None:
    with pytest.raises(EncoderError, match=r'no backend "int8"; use torch fp32, torch bf16'):
        Encoder.load("builtin", backend="int8")
    for device in ("cuda:99", "quantum", "xpu"):
        with pytest.raises(EncoderError, match=f'The device "{device}" cannot be used here'):
            Encoder.load("builtin", device=device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_agrees_with_the_processor(vit: str, builtin: Encoder) -> None:
    for spec in ("builtin", vit):
        there = Encoder.load(spec)
        here = Encoder.load(spec, device="cpu", backend="torch fp32")
        assert there.device.type == "cuda" and there.fingerprint == here.fingerprint
        assert (there.backend == "torch fp32") == (spec == "builtin")
        a, b = (each.encode_images(PICTURES, mirror=True) for each in (there, here))
        assert (a * b).sum(axis=1).min() >= 0.999


# --- fingerprint ---------------------------------------------------------------------------------


def make(seed: int = 0, variant: str = "", device: str = "cpu", **changed: object) -> Encoder:
    torch.manual_seed(seed)
    preprocess = dataclasses.replace(HALF, **changed)  # type: ignore[arg-type]
    return Encoder("made", Backbone(Moody("agrees"), preprocess, variant), device, "torch fp32")


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"variant": "other padding"},
        {"mean": (0.5, 0.5, 0.51)},
        {"std": (0.5, 0.49, 0.5)},
        {"scale": 40},
        {"crop": 31},
        {"interpolation": "bicubic"},
        {"resize": "squash"},
        {"fill": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_fingerprint_changes_with_each_part(changed: dict[str, object]) -> None:
    assert make().fingerprint == make().fingerprint
    assert make(**changed).fingerprint != make().fingerprint  # type: ignore[arg-type]


def test_the_fingerprint_changes_with_one_bit_of_the_weights() -> None:
    backbone = Backbone(Moody("agrees"), HALF, "")
    before = Encoder("made", backbone, "cpu", "torch fp32").fingerprint
    with torch.no_grad():
        backbone.image.layer.bias.view(torch.uint8)[0] ^= 1  # type: ignore[operator,union-attr]
    assert Encoder("made", backbone, "cpu", "torch fp32").fingerprint != before


def test_the_fingerprint_does_not_depend_on_how_it_is_computed(vit: str) -> None:
    one = Encoder.load(vit, device="cpu", backend="torch fp32").fingerprint
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        two = Encoder.load(vit, device="cpu", backend="packed bf16").fingerprint
    finally:
        torch.set_num_threads(threads)
    assert one == two


def test_the_file_format_does_not_show(vit: str, tmp_path: Path) -> None:
    folder = Path(vit.removeprefix("timm:local-dir:"))
    state = timm.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    torch.save(dict(reversed(state.items())), tmp_path / "w.pt")
    save_file(state, tmp_path / "w.safetensors")
    prints = {
        Encoder.load(f"timm:test_vit@{tmp_path / name}", device="cpu").fingerprint
        for name in ("w.pt", "w.safetensors")
    }
    assert len(prints) == 1


def test_transformers_are_asked_without_the_mirror_image(builtin: Encoder, vit: str) -> None:
    assert builtin.mirrors
    assert not Encoder.load(vit, device="cpu").mirrors
