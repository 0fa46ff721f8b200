"""Reading pictures: formats, modes, orientation, limits, privacy, hostile files."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import math
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL.features
import PIL.Image
import pytest

from vision import images
from vision.errors import QueryError, UnreadableImage
from vision.images import Limits, Region, read_image
from vision.pictures import headers

HOSTILE = Path(__file__).parents[2] / "shared" / "hostile"
TURNS = {  # EXIF orientation -> what the camera did to the upright picture
    1: None,
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_90,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_270,
}


def encode(picture: PIL.Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def photo(width: int = 64, height: int = 48) -> PIL.Image.Image:
    """A picture without any symmetry: red grows to the right, green downwards."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // max(1, width - 1), y * 255 // max(1, height - 1)
    return PIL.Image.fromarray(np.stack([red, green, red // 2], axis=-1).astype(np.uint8))


def difference(a: PIL.Image.Image, b: PIL.Image.Image) -> float:
    """The greatest mean difference of the three colours."""
    assert a.size == b.size
    left, right = (np.asarray(picture.convert("RGB"), dtype=float) for picture in (a, b))
    return float(np.abs(left - right).mean(axis=(0, 1)).max())


def colour_of(data: bytes, x: int = 0, y: int = 0) -> tuple[int, ...]:
    pixel = read_image(data).pixels.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def chunk(name: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def png(mode: str, depth: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG of 2 x 1 pixels with samples that Pillow cannot write itself."""
    colour = {"grey": 0, "rgb": 2}[mode]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + rows))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *extra, body, chunk(b"IEND", b"")])


def exif(orientation: int) -> PIL.Image.Exif:
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = "secret description"
    tags.get_ifd(0x8825)[1] = "N"
    return tags


def scans(data: bytes, count: int) -> bytes:
    """Repeat the last scan of a progressive JPEG until there are ``count``."""
    last = data.rindex(b"\xff\xda")
    present = data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - present) + data[-2:]


def refusal(source: bytes | Path | str, limits: Limits = images.DEFAULT_LIMITS) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_image(source, limits=limits)
    return str(caught.value)


# Formats and sources


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_reads_every_format_by_content(kind: str, tmp_path: Path) -> None:
    if kind == "AVIF" and not PIL.features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encode(photo(), kind)
    path = tmp_path / "wrong-name.txt"
    path.write_bytes(data)
    for source in (data, path, str(path), io.BytesIO(data)):
        image = read_image(source)
        assert (image.format, image.width, image.height) == (kind, 64, 48)
        assert image.sha256 == hashlib.sha256(data).hexdigest()
        assert image.pixels.mode == "RGB" and image.pixels.info == {}
        assert difference(image.pixels, photo()) < 15  # GIF has 256 colours


@pytest.fixture
def heic() -> bytes:
    path = HOSTILE / "images" / "other_format" / "samplefilehub.heif"
    if not path.is_file():
        pytest.skip("no HEIC file at hand, and none can be written")
    return path.read_bytes()


def test_reads_heic(heic: bytes) -> None:
    image = read_image(heic, at_least=100)
    assert (image.format, image.width, image.height) == ("HEIF", 640, 426)
    assert image.pixels.size == (214, 142)
    assert np.asarray(image.pixels).std() > 10


def test_heic_is_turned_once(heic: bytes) -> None:
    """A rotation property is put in, as phones write it, and EXIF says the same once more."""
    data = bytearray(heic)
    boxes = {name: heic.index(name) - 4 for name in (b"meta", b"iprp", b"ipco", b"ipma", b"iloc")}
    more = {boxes[b"meta"]: 10, boxes[b"iprp"]: 10, boxes[b"ipco"]: 9, boxes[b"ipma"]: 1}
    for offset in (0xD26, 0x1D7, 0x23B):  # of the pixels, EXIF and XMP, in the table of places
        more[heic.index(struct.pack(">I", offset), boxes[b"iloc"])] = 10
    for at, growth in more.items():
        data[at : at + 4] = struct.pack(">I", int.from_bytes(data[at : at + 4], "big") + growth)
    data[boxes[b"ipma"] + 18] += 1  # properties of the picture
    data[0x1D7 + 29] = 6  # the value of the orientation, the first EXIF tag
    data[boxes[b"ipma"] + 21 : boxes[b"ipma"] + 21] = b"\x83"  # the third property, which is:
    data[boxes[b"ipma"] : boxes[b"ipma"]] = b"\0\0\0\x09irot\x03"
    image = read_image(bytes(data))
    upright = read_image(heic).pixels.transpose(PIL.Image.Transpose.ROTATE_270)
    assert PIL.Image.open(io.BytesIO(data)).info["original_orientation"] == 6
    assert (image.width, image.height) == (426, 640)
    assert difference(image.pixels, upright) == 0


def test_mpo_gives_its_first_picture() -> None:
    data = encode(photo(), "MPO", save_all=True, append_images=[photo(30, 30)])
    image = read_image(data)
    assert (image.format, image.width) == ("JPEG", 64)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_only_the_first_frame_counts(kind: str) -> None:
    frames = [PIL.Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:] * 200)
    assert colour_of(data) == (255, 0, 0) if kind != "WEBP" else colour_of(data)[0] > 240


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "JPEG2000", "DDS"])
def test_other_formats_are_refused(kind: str) -> None:
    assert refusal(encode(photo(), kind)) == images.NOT_A_PICTURE


@pytest.mark.parametrize("data", [b"<svg/>", b"%!PS-Adobe", b"hello" * 99, bytes(1000)])
def test_other_files_are_refused(data: bytes) -> None:
    assert refusal(data) == images.NOT_A_PICTURE


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert refusal(fifo) == images.NOT_A_FILE
    assert refusal(tmp_path) == images.NOT_A_FILE
    assert refusal("/dev/zero") == images.NOT_A_FILE
    assert refusal(tmp_path / "missing") == images.NO_ACCESS
    assert refusal("nul\0byte") == images.NO_ACCESS
    assert refusal(b"") == images.EMPTY


# Orientation


@pytest.mark.parametrize("at_least", [None, 50])
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_turned_pictures_become_upright(kind: str, orientation: int, at_least: int | None) -> None:
    upright = photo(400, 300)
    turn = TURNS[orientation]
    turned = upright if turn is None else upright.transpose(turn)
    image = read_image(encode(turned, kind, exif=exif(orientation)), at_least=at_least)
    assert (image.width, image.height) == (400, 300)
    assert min(image.pixels.size) >= (at_least or 300)
    assert difference(image.pixels, upright.resize(image.pixels.size)) < 3


@pytest.mark.parametrize("broken", [b"MM\0*", b"II*\0\xff\xff\xff\xff", b"nonsense", b""])
def test_broken_exif_is_ignored(broken: bytes) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        image = read_image(encode(photo(), kind, exif=b"Exif\0\0" + broken))
        assert (image.width, image.height) == (64, 48)


# Colour modes


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [("CMYK", "JPEG", 4), ("CMYK", "TIFF", 1), ("LAB", "TIFF", 3), ("YCbCr", "JPEG", 3)],
)
def test_other_colour_spaces(mode: str, kind: str, tolerance: float) -> None:
    source = photo().convert(mode)
    assert difference(read_image(encode(source, kind)).pixels, photo()) < tolerance


def test_adobe_ycck() -> None:
    data = encode(photo().convert("CMYK"), "JPEG")
    transform = data.index(b"Adobe") + 11
    data = data[:transform] + b"\2" + data[transform + 1 :]
    plain = PIL.Image.open(io.BytesIO(data)).convert("RGB")
    assert difference(read_image(data).pixels, plain) == 0
    assert difference(plain, photo()) > 10  # the mark is not without effect


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(mode: str) -> None:
    grey = PIL.Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    grey.putpixel((1, 0), (100, 100, 100, 255))
    grey.putpixel((2, 0), (0, 0, 0, 128))
    data = encode(grey.convert(mode), "PNG")
    assert [colour_of(data, x)[0] for x in range(3)] == [255, 100, 127]


@pytest.mark.parametrize("key", [3, bytes([255, 255, 255, 0])])
def test_palette_with_transparency(key: int | bytes) -> None:
    indexed = PIL.Image.new("P", (2, 1), 3)
    indexed.putpalette([0, 0, 0, 10, 20, 30, 0, 255, 0, 200, 0, 0])
    indexed.putpixel((0, 0), 1)
    assert colour_of(encode(indexed, "PNG"), 1) == (200, 0, 0)
    data = encode(indexed, "PNG", transparency=key)
    assert (colour_of(data, 0), colour_of(data, 1)) == ((10, 20, 30), (255, 255, 255))


@pytest.mark.parametrize(
    ("mode", "depth", "rows", "key", "expected"),
    [
        ("grey", 1, b"\x40", (1,), (0, 255)),
        ("grey", 2, b"\x60", (1,), (255, 170)),
        ("grey", 4, b"\x5a", (5,), (255, 170)),
        ("grey", 8, b"\x05\xaa", (5,), (255, 170)),
        ("grey", 16, b"\x01\x02\xaa\xaa", (0x102,), (255, 170)),
        ("rgb", 8, b"\x05\x05\x05\xaa\xaa\xaa", (5, 5, 5), (255, 170)),
        ("rgb", 16, b"\x05\x01" * 3 + b"\xaa\xaa" * 3, (0x501,) * 3, (255, 170)),
    ],
)
def test_transparent_colour_of_png(
    mode: str, depth: int, rows: bytes, key: tuple[int, ...], expected: tuple[int, int]
) -> None:
    data = png(mode, depth, rows, chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)))
    assert [colour_of(data, x) for x in (0, 1)] == [(value,) * 3 for value in expected]


def test_deep_grey_is_scaled() -> None:
    ramp = np.linspace(0, 65535, 256).reshape(16, 16)
    truth = np.rint(ramp / 257)
    for kind in ("PNG", "TIFF"):
        pixels = read_image(encode(PIL.Image.fromarray(ramp.astype(np.uint16)), kind)).pixels
        assert np.abs(np.asarray(pixels)[..., 0] - truth).max() <= 1
    for values in (ramp.astype(np.int32), (ramp / 65535).astype(np.float32), ramp - 32768):
        data = encode(PIL.Image.fromarray(values.astype(values.dtype.char.lower())), "TIFF")
        assert np.abs(np.asarray(read_image(data).pixels)[..., 0] - truth).max() <= 1
    dark = encode(PIL.Image.fromarray(np.full((4, 4), 2570, np.uint16)), "PNG")
    assert colour_of(dark) == (10, 10, 10)  # not stretched: it is a dark picture
    odd = np.array([[-5, 0, 5, np.nan, np.inf]], np.float32)
    pixels = read_image(encode(PIL.Image.fromarray(odd), "TIFF")).pixels
    assert np.asarray(pixels)[0, :, 0].tolist() == [0, 128, 255, 0, 255]


def test_one_bit() -> None:
    line = PIL.Image.new("1", (2, 1))
    line.putpixel((1, 0), 1)
    for kind in ("PNG", "TIFF", "BMP"):
        data = encode(line, kind)
        assert (colour_of(data, 0), colour_of(data, 1)) == ((0, 0, 0), (255, 255, 255))


# Scale


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(4000, 3000), (600, 401), (257, 300), (3000, 40), (2868, 2868)])
def test_reduced_but_never_below_what_is_needed(kind: str, size: tuple[int, int]) -> None:
    data = encode(photo(*size), kind)
    image = read_image(data, at_least=256)
    assert (image.width, image.height) == size
    assert min(image.pixels.size) >= min(256, *size)
    assert min(image.pixels.size) <= 2 * math.ceil(256 * images.MARGIN)
    assert difference(image.pixels, photo(*size).resize(image.pixels.size)) < 3


def test_reduction_in_bands_has_no_seams() -> None:
    source = photo(3001, 2003).convert("RGBA")
    image = read_image(encode(source, "PNG", compress_level=1), at_least=100)
    assert difference(image.pixels, source.convert("RGB").reduce(14)) == 0


# Crop, preview, privacy


def test_crop() -> None:
    image = read_image(encode(photo(400, 300), "PNG"), at_least=50)
    part = image.crop(Region(0.5, 0.25, 0.5, 0.5))
    assert (part.width, part.height, part.sha256) == (200, 150, image.sha256)
    width, height = image.pixels.size
    assert part.pixels.size == (width - width // 2, round(height * 0.75) - height // 4)
    assert difference(part.pixels, image.pixels.crop((width // 2, height // 4, width, 56))) == 0
    assert image.crop(Region(1 - 1e-9, 0.4, 1e-9, 1e-9)).pixels.size == (1, 1)
    assert image.crop(Region(0, 0, 1, 1)).pixels.size == image.pixels.size


@pytest.mark.parametrize(
    ("region", "word"),
    [
        ((0.5, 0, 0.6, 1), "outside"),
        ((-0.1, 0, 0.6, 1), "outside"),
        ((0, 0, 0, 1), "empty"),
        ((0, 0, 1, -1), "empty"),
        ((float("nan"), 0, 1, 1), "numbers"),
        ((0, 0, float("inf"), 1), "numbers"),
    ],
)
def test_senseless_regions(region: tuple[float, float, float, float], word: str) -> None:
    with pytest.raises(QueryError, match=word):
        Region(*region)


def test_preview_is_small_and_never_enlarged() -> None:
    image = read_image(encode(photo(400, 300), "PNG"))
    assert PIL.Image.open(io.BytesIO(image.preview(100))).size == (100, 75)
    assert PIL.Image.open(io.BytesIO(image.preview(9999))).size == (400, 300)
    thin = read_image(encode(photo(1000, 1), "PNG"))
    assert PIL.Image.open(io.BytesIO(thin.preview(10))).size == (10, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_metadata_is_never_kept(kind: str) -> None:
    xmp = b"<x:xmpmeta>secret xmp</x:xmpmeta>"
    options: dict[str, object] = {"exif": exif(1), "xmp": xmp, "comment": b"secret comment"}
    image = read_image(encode(photo(), kind, icc_profile=b"secret profile", **options))
    assert image.pixels.info == {} and not image.pixels.getexif()
    preview = image.preview(50)
    assert b"secret" not in preview and b"Exif" not in preview
    assert set(PIL.Image.open(io.BytesIO(preview)).info) <= {
        "jfif",
        "jfif_version",
        "jfif_unit",
        "jfif_density",
    }


# Broken and hostile files


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_cut_off_files_are_refused(kind: str, part: float) -> None:
    noise = PIL.Image.effect_noise((200, 200), 80).convert("RGB")
    data = encode(noise, kind)
    assert refusal(data[: int(len(data) * part)]) in (headers.CUT_OFF, headers.DAMAGED)


def test_the_message_says_cut_off() -> None:
    noise = PIL.Image.effect_noise((200, 200), 80).convert("RGB")
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        data = encode(noise, kind)
        assert refusal(data[: len(data) // 2]) == headers.CUT_OFF


def test_too_many_bytes_are_not_read() -> None:
    class Endless(io.RawIOBase):
        read_so_far = 0

        def read(self, size: int = -1) -> bytes:
            self.read_so_far += size
            return bytes(min(size, 1000))

    source = Endless()
    with pytest.raises(UnreadableImage, match=r"larger than 0\.01 MB"):
        read_image(source, limits=Limits(max_bytes=10_486))  # type: ignore[arg-type]
    assert source.read_so_far < 200_000
    assert "larger" in refusal(bytes(11), Limits(max_bytes=10))
    data = encode(photo(), "PNG")
    assert read_image(data, limits=Limits(max_bytes=len(data))).width == 64


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_pixels_are_limited_by_the_header(kind: str) -> None:
    data = encode(photo(101, 100), kind)
    assert "million pixels" in refusal(data, Limits(max_pixels=10_000))
    with pytest.raises(UnreadableImage):
        read_image(data, at_least=10, limits=Limits(max_pixels=10_000))
    assert read_image(data, limits=Limits(max_pixels=10_100)).height == 100


@functools.cache
def bombs() -> dict[str, bytes]:
    side = 16_383
    webp = b"\x2f" + struct.pack("<I", side | side << 14) + bytes(9)
    webp = b"WEBPVP8L" + struct.pack("<I", len(webp) - 1) + webp
    gif = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"!\xf9\x04\x08\0\0\0\0"
    small = encode(photo(16, 16), "PNG")
    huge = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    jpeg = encode(PIL.Image.new("RGB", (6000, 6000)), "JPEG", progressive=True)
    tags = struct.pack("<HHQQ", 60_000, 3, 1, 1) * 300_000
    rle = struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 1078, 40, 8000, 5000, 1, 8, 1, 0, 0, 0, 256, 0)
    return {
        "webp": b"RIFF" + struct.pack("<I", len(webp)) + webp,
        "gif": gif + b"," + struct.pack("<HHHHB", 0, 0, 13_000, 13_000, 0) + b"\x08\x01\0\0;",
        "gif blocks": gif[:13] + b"!\xfe" + b"\x01a" * 9_000_000,
        "png": small[:8] + chunk(b"IHDR", huge) + small[33:],
        "png chunks": small[:33] + chunk(b"IDAT", b"") * 2_000_000 + small[33:],
        "jpeg scans": scans(jpeg, 5_000),
        "jpeg segments": jpeg[:2] + b"\xff\xec\0\x02" * 9_000_000 + jpeg[2:],
        "bigtiff": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 300_000) + tags,
        "bmp runs": b"BM" + rle + bytes(1024) + b"\x01\x07" * 9_000_000,
    }


def test_bombs_are_refused_at_once() -> None:
    for name, data in bombs().items():
        start = time.perf_counter()
        message = refusal(data)
        assert time.perf_counter() - start < 1, name
        assert "million pixels" in message or message == headers.TOO_COMPLEX, name


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_bombs_allocate_nothing(tmp_path: Path) -> None:
    small = encode(photo(16, 16), "PNG")
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 * 2**20)))
    profiles = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**20))) * 2_000
    files = {"text": small[:33] + text + small[33:], "icc": small[:33] + profiles + small[33:]}
    for name in ("webp", "gif", "png"):
        files[name] = bombs()[name]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys, pathlib\n"
        "from vision.images import read_image, UnreadableImage\n"
        "def peak():\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(l.split()[1]) for l in lines if l.startswith('VmHWM'))\n"
        "def read(path):\n"
        "    try: read_image(path)\n"
        "    except UnreadableImage: pass\n"
        "paths = sorted(pathlib.Path(sys.argv[1]).iterdir())\n"
        "read(paths[0].with_name('missing')); before = peak()\n"
        "for path in paths: read(path)\n"
        "print(peak() - before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert done.stderr == ""
    assert int(done.stdout) < 50 * 1024  # KiB, most of it the decoders' own code


def test_scans_are_counted_in_the_picture_only() -> None:
    data = scans(encode(photo(), "JPEG", progressive=True), 64)
    assert read_image(data).width == 64
    assert refusal(scans(data, 65)) == headers.TOO_COMPLEX
    inside = b"\xff\xec\xff\xff" + b"\xff\xda" * 32766 + b"\0"  # application data, a film behind
    assert read_image(data[:2] + inside + data[2:] + b"\xff\xda" * 1000).width == 64


def test_a_small_bmp_of_runs_is_read() -> None:
    rows = (b"\x02\x07\0\0" * 2) + b"\0\x01"
    header = struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 62, 40, 2, 2, 1, 8, 1, 0, 0, 0, 2, 0)
    assert read_image(b"BM" + header + bytes(8) + rows).width == 2


def test_zero_size_is_refused() -> None:
    jpeg, bmp = encode(photo(), "JPEG"), encode(photo(), "BMP")
    frame = jpeg.index(b"\xff\xc0") + 5
    assert refusal(jpeg[:frame] + bytes(4) + jpeg[frame + 4 :]) == headers.DAMAGED
    assert refusal(bmp[:18] + bytes(8) + bmp[26:]) == headers.DAMAGED


def test_png_text_and_profiles_are_not_even_unpacked() -> None:
    small = encode(photo(16, 16), "PNG")
    body = b"a\0\0" + zlib.compress(bytes(2**22))
    for name in (b"zTXt", b"iCCP"):
        start = time.perf_counter()
        assert read_image(small[:33] + chunk(name, body) * 1_000 + small[33:]).width == 16
        assert time.perf_counter() - start < 0.5


def test_no_other_decoder_sees_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plain_open = PIL.Image.open

    def spy(file: io.BytesIO, formats: list[str] | None = None) -> PIL.Image.Image:
        seen.append(formats)
        return plain_open(file, formats=formats)

    monkeypatch.setattr(PIL.Image, "open", spy)
    read_image(encode(photo(), "PNG"))
    read_image(encode(photo(), "WEBP"))
    assert seen == [["PNG"], ["WEBP"]]


def test_any_failure_of_a_decoder_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(photo(), "PNG")
    kinds = [OSError, SyntaxError, ValueError, struct.error, EOFError, MemoryError, OverflowError]
    for kind in [*kinds, ZeroDivisionError, PIL.Image.DecompressionBombError, AssertionError]:

        def fail(*_: object, error: type[Exception] = kind, **__: object) -> None:
            raise error("/secret/path in libwhatever")

        monkeypatch.setattr(PIL.Image, "open", fail)
        message = refusal(data)
        assert "secret" not in message and "lib" not in message
        assert (message == headers.CUT_OFF) == (kind is EOFError)
        assert ("pixels" in message) == (kind in (MemoryError, PIL.Image.DecompressionBombError))


def test_pillow_says_nothing_to_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = logging.getLogger("PIL").handlers  # without one, remarks go to the terminal
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
    broken = chunk(b"acTL", b"\0\0\0\0\0\0\0\0")  # makes Pillow warn
    data = encode(photo(), "PNG")
    tags = encode(photo(), "TIFF", exif=exif(6))
    wrong = tags.replace(b"secret description", b"secret \xff\xfe\xfd description"[:18])
    big = encode(PIL.Image.new("1", (9500, 9500)), "PNG")  # above Pillow's own 89 million
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_image(data[:33] + broken + data[33:])
        read_image(wrong)
        read_image(encode(photo(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05aaaaaaaaaaaaaaa"))
        read_image(big, at_least=100, limits=Limits(max_pixels=100_000_000))
    assert caught == []
    assert capfd.readouterr().err == ""


def test_every_hostile_file() -> None:
    """Nothing but UnreadableImage, no `reject` accepted, no `accept` refused."""
    manifest = HOSTILE / "MANIFEST.jsonl"
    if not manifest.is_file():
        pytest.skip("the collection of hostile files is not at hand")
    wrong = []
    for line in manifest.read_text().splitlines():
        entry = json.loads(line)
        try:
            image = read_image(HOSTILE / "images" / entry["path"])
            verdict = "accept"
            assert image.pixels.mode == "RGB" and image.pixels.info == {}
        except UnreadableImage:
            verdict = "reject"
        if entry["expect"] not in (verdict, "either"):
            wrong.append(entry["path"])
    assert wrong == []
