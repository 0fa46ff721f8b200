"""Preprocess equals each library's own transform, and reduced pictures are cut like whole ones."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import torch
from open_clip.transform import image_transform
from timm.data import create_transform
from torchvision.models import ResNet50_Weights
from torchvision.transforms._presets import ImageClassification

from vision.encoder import Encoder
from vision.errors import EncoderError
from vision.images import Region, read_image
from vision.networks.preprocess import Preprocess

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SHAPES = [
    (640, 480), (480, 641), (333, 500), (224, 224), (300, 300), (256, 1000), (1000, 77), (227, 223),
    (100, 100), (30, 20), (20, 300), (3, 2), (1, 1), (225, 221), (513, 231),
]  # fmt: skip


def draw(width: int, height: int) -> PIL.Image.Image:
    """A smooth ground with sharp shapes on it, the same for the same size."""
    rng = np.random.default_rng((width, height))
    ground = PIL.Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    picture = ground.resize((width, height), PIL.Image.Resampling.BICUBIC)
    pen = PIL.ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, side = int(rng.integers(width)), int(rng.integers(height)), max(1, width // 12)
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x, y, x + side, y + side), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return picture


def normalised(preprocess: Preprocess, picture: PIL.Image.Image) -> torch.Tensor:
    """Do what ``Encoder.encode_pixels`` does before the network."""
    pixels = torch.from_numpy(preprocess(picture)).to(torch.float32)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (preprocess.mean, preprocess.std))
    return pixels.div(255).sub(mean).div(std)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
def test_equals_open_clip(resize: str, interpolation: str, shape: tuple[int, int]) -> None:
    if resize == "longest" and min(shape) * 224 < max(shape):
        pytest.skip("open_clip itself fails on a side of 0 pixels")
    own = image_transform(
        224, False, MEAN, STD, resize_mode=resize, interpolation=interpolation, fill_color=9
    )
    ours = Preprocess(resize, 224, 224, MEAN, STD, interpolation, 9)  # type: ignore[arg-type]
    picture = draw(*shape)
    assert torch.equal(normalised(ours, picture), own(picture))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("mode", "resize", "fill"),
    [("center", "shortest", 0), ("squash", "squash", 0), ("border", "longest", None)],
)
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 1.0, 1.15])
def test_equals_timm(
    crop_pct: float, mode: str, resize: str, fill: int | None, shape: tuple[int, int]
) -> None:
    own = create_transform(
        (3, 224, 224),
        mean=MEAN,
        std=STD,
        crop_pct=crop_pct,
        crop_mode=mode,
        interpolation="bicubic",
    )
    ours = Preprocess(
        resize, int(224 / crop_pct), 224, MEAN, STD, "bicubic", fill  # type: ignore[arg-type]
    )  # fmt: skip
    picture = draw(*shape)
    assert torch.equal(normalised(ours, picture), own(picture))


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torchvision(shape: tuple[int, int]) -> None:
    own = ResNet50_Weights.DEFAULT.transforms()
    assert isinstance(own, ImageClassification)
    ours = Preprocess("shortest", 232, 224, tuple(own.mean), tuple(own.std), "bilinear")
    picture = draw(*shape)
    assert torch.equal(normalised(ours, picture), own(picture))


@pytest.mark.parametrize("shape", [(9, 400), (3000, 11), (2, 64), (40, 4001)])
def test_long_strips_equal_the_own_transform_up_to_rounding(shape: tuple[int, int]) -> None:
    own = image_transform(32, False, (0.0,) * 3, (1.0,) * 3, interpolation="bicubic")
    ours = Preprocess("shortest", 32, 32, (0.0,) * 3, (1.0,) * 3, "bicubic")
    picture = draw(*shape)
    difference = normalised(ours, picture) - own(picture)
    assert difference.abs().max() <= 1.01 / 255


@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1)])
def test_a_line_of_pixels_takes_no_memory_to_speak_of(shape: tuple[int, int], resize: str) -> None:
    # Resized whole, it would be 256 x 15 million pixels.
    ours = Preprocess(resize, 256, 224, MEAN, STD, "bicubic")  # type: ignore[arg-type]
    assert ours(PIL.Image.new("RGB", shape, "red")).shape == (3, 224, 224)


def test_pixels_are_uint8_rgb_in_one_block() -> None:
    pixels = Preprocess("squash", 8, 8, MEAN, STD, "bilinear")(PIL.Image.new("RGB", (5, 9), "red"))
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert pixels[:, 4, 4].tolist() == [255, 0, 0]


def test_an_unknown_interpolation_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"interpolation.*bicubic"):
        Preprocess("squash", 8, 8, MEAN, STD, "magic")


def test_settings_are_plain_values() -> None:
    ours = Preprocess("shortest", 256, 224, MEAN, STD, "bicubic")
    assert Preprocess(**ours.as_dict()) == ours
    assert {field.name for field in dataclasses.fields(ours)} == set(ours.as_dict())


def jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    draw(width, height).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "reduced"),
    [
        ((3593, 2801), (450, 351)),
        ((2153, 1441), (539, 361)),
        ((1801, 1793), (451, 449)),
        ((719, 2153), (360, 1077)),
        ((4321, 3601), (541, 451)),
    ],
)
def test_decoding_at_reduced_scale_keeps_the_embedding(
    builtin: Encoder, size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    data = jpeg(*size)
    whole, small = read_image(data), read_image(data, at_least=builtin.preprocess.scale)
    assert small.pixels.size == reduced  # sides that the factor does not divide
    assert (small.width, small.height) == size
    first, second = builtin.encode_images([whole, small])
    assert float(first @ second) >= 0.995


@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
@pytest.mark.parametrize(
    ("size", "factor"), [((1801, 1793), 4), ((719, 1441), 2), ((3601, 1201), 8)]
)
def test_the_last_column_and_row_count_for_as_much_as_they_hold(
    size: tuple[int, int], factor: int, resize: str
) -> None:
    ours = Preprocess(resize, 128, 112, MEAN, STD, "bicubic")  # type: ignore[arg-type]
    whole = draw(*size)
    small = whole.reduce(factor)  # rounds up, as decoders do
    right, stretched = (
        np.abs(ours(whole).astype(float) - pixels).mean()
        for pixels in (ours(small, size), ours(small))
    )
    assert right < 0.6 * stretched


def test_a_region_of_a_reduced_picture_keeps_the_embedding(builtin: Encoder) -> None:
    data = jpeg(3593, 2801)
    region = Region(0.21, 0.13, 0.57, 0.61)
    whole, small = read_image(data), read_image(data, at_least=512)
    first, second = builtin.encode_images([whole.crop(region), small.crop(region)])
    assert float(first @ second) >= 0.995


def test_a_picture_of_another_shape_than_told_is_stretched() -> None:
    ours = Preprocess("squash", 32, 32, MEAN, STD, "bilinear")
    picture = draw(64, 48)
    for whole in ((65, 48), (63, 49), (1000, 48), (12, 9)):
        assert np.array_equal(ours(picture, whole), ours(picture)), whole


@pytest.fixture(scope="module")
def builtin() -> Encoder:
    return Encoder.load(device="cpu")
