"""What reading a 12-megapixel photo at a reduced scale saves, and what it costs in likeness.

    python benchmarks/bench_decode.py --photos 40

Compares ``read_image(photo, at_least=256)`` plus a resize to a short side of 256 with the plain
way: full decode plus the same resize (bicubic, antialiased). For each margin factor (how much
larger than asked for the reduced picture is kept) it prints the time against the plain way and
the cosine between the two embeddings: of these photos, and of the same ones at the size that is
worst for the margin, where the reduced picture is only just large enough.

Photos are real ones enlarged to 4000 x 3000 with a little sensor noise, or textures where there
are none; both are encoded as JPEG of quality 90.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image

from vision import images

SHARED = Path(__file__).resolve().parents[2] / "shared"
WEIGHTS = SHARED / "weights" / "mobilenetv2_imagenet"
SIZE = 256
TARGET_RATIO, TARGET_COSINE = 0.25, 0.995
ROUNDS = 3

Encode = Callable[[list[PIL.Image.Image]], np.ndarray]
Read = Callable[[bytes], PIL.Image.Image]


def make_photos(count: int) -> list[bytes]:
    """Return JPEG files of 4000 x 3000 pixels (or 3000 x 4000)."""
    generator = np.random.default_rng(0)
    found = sorted((SHARED / "data" / "images").rglob("*.jpg"))
    chosen = [found[i] for i in generator.permutation(len(found))[:count]]
    photos = []
    for i in range(count):
        if chosen:
            small = PIL.Image.open(chosen[i]).convert("RGB")
        else:
            small = PIL.Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        size = (4000, 3000) if small.width >= small.height else (3000, 4000)
        pixels = np.asarray(small.resize(size, PIL.Image.Resampling.LANCZOS)).astype(np.int16)
        pixels += generator.normal(0, 4, pixels.shape).astype(np.int16)
        encoded = io.BytesIO()
        photo = PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        photo.save(encoded, "JPEG", quality=90)
        photos.append(encoded.getvalue())
    return photos


def at_worst(photo: bytes, margin: float) -> bytes:
    """Return the photo at the size where 1/8 of it is just ``margin`` times SIZE."""
    picture = PIL.Image.open(io.BytesIO(photo))
    scale = 8 * math.ceil(SIZE * margin) / min(picture.size)
    size = (math.ceil(picture.width * scale), math.ceil(picture.height * scale))
    encoded = io.BytesIO()
    picture.resize(size, PIL.Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def resize(picture: PIL.Image.Image, width: int, height: int) -> PIL.Image.Image:
    """Return the picture with a short side of SIZE, in the shape of width x height."""
    scale = SIZE / min(width, height)
    size = (round(width * scale), round(height * scale))
    return picture.resize(size, PIL.Image.Resampling.BICUBIC)


def read_plain(photo: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(photo)).convert("RGB")
    return resize(picture, *picture.size)


def read_reduced(photo: bytes) -> PIL.Image.Image:
    """Resize to the shape of the whole picture: that of the reduced one is rounded."""
    image = images.read_image(photo, at_least=SIZE)
    return resize(image.pixels, image.width, image.height)


def seconds(read: Read, photos: list[bytes]) -> float:
    """Return the median over the photos of the best of ROUNDS times."""
    best = []
    for photo in photos:
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            read(photo)
            times.append(time.perf_counter() - start)
        best.append(min(times))
    return statistics.median(best)


def load_encoder() -> Encode:
    """Return a function from pictures to (n, d) unit rows; timm's own preprocessing."""
    import timm
    import torch

    model = timm.create_model(f"local-dir:{WEIGHTS}", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))

    def encode(pictures: list[PIL.Image.Image]) -> np.ndarray:
        with torch.inference_mode():
            rows = torch.cat([model(transform(picture)[None]) for picture in pictures])
        return torch.nn.functional.normalize(rows).numpy()

    return encode


def cosines(encode: Encode, photos: list[bytes]) -> np.ndarray:
    """Return the likeness of each photo read in both ways: (n,) float32."""
    plain = encode([read_plain(photo) for photo in photos])
    reduced = encode([read_reduced(photo) for photo in photos])
    return (plain * reduced).sum(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=40)
    count = parser.parse_args().photos
    photos = make_photos(count)
    encode = load_encoder() if WEIGHTS.is_dir() else None
    print(f"command: python benchmarks/bench_decode.py --photos {count}")
    plain = seconds(read_plain, photos)
    print(f"plain: {plain * 1000:.1f} ms a photo, {len(photos)} photos of 12 megapixels")
    print(f"targets: ratio at most {TARGET_RATIO}, cosine at least {TARGET_COSINE}")
    if encode is None:
        print("no weights at hand: the cosine is left out")
    chosen = images.MARGIN
    print("margin  ms     ratio  cosine min  mean    worst size: min  mean")
    for margin in sorted({1.0, 1.2, 1.4, 1.6, 2.0, chosen}):
        images.MARGIN = margin
        reduced = seconds(read_reduced, photos)
        line = f"{margin:<6g}  {reduced * 1000:5.1f}  {reduced / plain:5.3f}"
        if encode is not None:
            usual = cosines(encode, photos)
            worst = cosines(encode, [at_worst(photo, margin) for photo in photos])
            line += f"  {usual.min():10.4f}  {usual.mean():.4f}"
            line += f"  {worst.min():15.4f}  {worst.mean():.4f}"
        print(line + ("  <- used" if margin == chosen else ""))
    images.MARGIN = chosen


if __name__ == "__main__":
    main()
