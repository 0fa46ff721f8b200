"""What a picture file says about itself, read before any decoder sees it.

A few hundred bytes can ask a decoder for gigabytes of memory or minutes of work. This module
finds the format by content, reads the size where the decoder would allocate before telling it,
refuses files that are cut into absurdly many pieces, and takes away what is not needed for the
pixels (comments, colour profiles, text, further pictures).
"""

from __future__ import annotations

import re
import struct
import zlib

from vision.errors import UnreadableImage

DAMAGED = "The picture is damaged and cannot be read; save it again as JPEG or PNG."
CUT_OFF = "The picture is cut off: the end of the file is missing; copy or upload it again."
TOO_COMPLEX = "The picture is stored in too many pieces; save it again as a plain JPEG or PNG."

# Far above anything a camera or an editor writes, and still cheap to go through.
MAX_SEGMENTS = 10_000
MAX_PNG_CHUNKS = 100_000
MAX_GIF_BLOCKS = 100_000
MAX_TIFF_TAGS = 1_000
MAX_TIFF_VALUES = 200_000
MAX_RLE_BYTES = 2 * 2**20  # run-length BMP is decoded in Python, at about a million runs a second

Size = tuple[int, int]

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",  # BigTIFF
    b"MM\x00+": "TIFF",
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}

# A JPEG marker that matters: not stuffing (00), filling (FF), or one without content
# (TEM, restart, start of image). Written without a repeat, so that searching stays linear.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_JPEG_KEPT = {0xE0: b"JFIF", 0xE1: b"Exif\0\0", 0xEE: b"Adobe"}  # the rest is never decoded
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"}


def detect(data: bytes) -> str | None:
    """Return the format by content ("JPEG", "PNG", ...), or None for anything not allowed."""
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), 256)
        major = data[8:12]
        brands = {major, *(data[i : i + 4] for i in range(16, end, 4))}
        if major not in _HEIF_BRANDS and brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & (_HEIF_BRANDS | {b"mif1", b"msf1"}):
            return "HEIF"
    return None


def canvas(data: bytes, kind: str) -> Size | None:
    """Return (width, height) in pixels where it must be known before the decoder starts.

    WebP and GIF decoders allocate the canvas on opening. None: the decoder will say the size
    itself before it allocates. Raises UnreadableImage.
    """
    try:
        if kind == "WEBP":
            return _webp_canvas(data)
        if kind == "GIF":
            return _gif_canvas(data)
    except (struct.error, IndexError):
        raise UnreadableImage(CUT_OFF) from None
    return None


def lean(data: bytes, kind: str, *, max_scans: int) -> bytes:
    """Return the file with what the pixels and the orientation need, and little else.

    JPEG with more than ``max_scans`` scans, and other files that would keep a decoder busy out
    of all proportion to their size, raise UnreadableImage.
    """
    try:
        if kind == "JPEG":
            return _lean_jpeg(data, max_scans)
        if kind == "PNG":
            return _lean_png(data)
        if kind == "TIFF":
            _check_tiff(data)
        if kind == "BMP":
            _check_bmp(data)
    except struct.error:
        raise UnreadableImage(CUT_OFF) from None
    return data


def _webp_canvas(data: bytes) -> Size:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data) + 1:  # the last padding byte is often left out
        raise UnreadableImage(CUT_OFF)
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise UnreadableImage(DAMAGED)
    return width, height


def _gif_canvas(data: bytes) -> Size:
    """Walk to the first frame: it may reach beyond the screen that the header declares."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _colours(flags)
    for _ in range(MAX_GIF_BLOCKS):
        block = data[position]
        if block == 0x2C:  # image descriptor
            left, top, w, h = struct.unpack_from("<HHHH", data, position + 1)
            return max(width, left + w), max(height, top + h)
        if block == 0x3B:  # trailer: there is no picture
            raise UnreadableImage(DAMAGED)
        position += 1
        if block == 0x21:  # extension: a label, then blocks of up to 255 bytes, then a zero
            position = _skip_blocks(data, position + 1)
    raise UnreadableImage(TOO_COMPLEX)


def _colours(flags: int) -> int:
    """Return the bytes of a GIF colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_blocks(data: bytes, position: int) -> int:
    for _ in range(MAX_GIF_BLOCKS):
        length = data[position]
        position += length + 1
        if not length:
            return position
    raise UnreadableImage(TOO_COMPLEX)


def _lean_jpeg(data: bytes, max_scans: int) -> bytes:
    """Drop metadata before the first scan and count the scans up to the end of the image.

    Every scan of a progressive JPEG goes over the whole picture, even when it holds no data.
    What follows the end (further pictures of an MPO, a film) is dropped.
    """
    header = [b"\xff\xd8"]
    kept: set[int] = set()
    first_scan = scans = segments = 0
    position = 2
    end = len(data)
    while match := _JPEG_MARKER.search(data, position):
        start, marker = match.start(), data[match.start() + 1]
        if marker == _END_OF_IMAGE:
            end = match.end()
            break
        (length,) = struct.unpack_from(">H", data, start + 2)
        position = start + 2 + length
        segments += 1
        if marker == _START_OF_SCAN:
            scans += 1
            first_scan = first_scan or start
        if scans > max_scans or segments > MAX_SEGMENTS:
            raise UnreadableImage(TOO_COMPLEX)
        if not scans and _is_kept(marker, data[start + 4 : start + 10], kept):
            kept.add(marker)
            header.append(data[start:position])
    else:
        if not scans:
            raise UnreadableImage(CUT_OFF)
    if not scans:
        raise UnreadableImage(DAMAGED)
    return b"".join([*header, data[first_scan:end]])


def _is_kept(marker: int, content: bytes, kept: set[int]) -> bool:
    if 0xE0 <= marker <= 0xEF:  # application data: only the first of its kind
        name = _JPEG_KEPT.get(marker)
        return name is not None and marker not in kept and content.startswith(name)
    return marker != 0xFE  # a comment


def _lean_png(data: bytes) -> bytes:
    parts = [data[:8]]
    position = 8
    for _ in range(MAX_PNG_CHUNKS):
        if position + 8 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, position)
        if name in _PNG_KEPT:
            chunk = data[position : position + length + 12]
            parts.append(_eight_bit_key(chunk, data) if name == b"tRNS" else chunk)
        position += length + 12
        if name == b"IEND":
            break
    else:
        raise UnreadableImage(TOO_COMPLEX)
    return b"".join(parts)


def _eight_bit_key(chunk: bytes, data: bytes) -> bytes:
    """Return the tRNS chunk with its transparent colour as it is after scaling to 8 bits.

    Pillow compares the colour with scaled samples, but does not scale the colour itself.
    """
    depth, colour = struct.unpack_from("BB", data, 24)
    key: tuple[int, ...]
    if colour == 0 and depth in (2, 4) and len(chunk) == 14:
        key = (struct.unpack_from(">H", chunk, 8)[0] * (255 // (2**depth - 1)) & 0xFF,)
    elif colour == 2 and depth == 16 and len(chunk) == 18:
        key = tuple(value >> 8 for value in struct.unpack_from(">3H", chunk, 8))
    else:
        return chunk
    body = b"tRNS" + struct.pack(f">{len(key)}H", *key)
    return chunk[:4] + body + struct.pack(">I", zlib.crc32(body))


def _check_tiff(data: bytes) -> None:
    """Refuse a first page of too many tags or strips: each costs time before any pixel does."""
    order = "<" if data[:1] == b"I" else ">"
    if 43 in data[2:4]:  # BigTIFF
        (start,) = struct.unpack_from(order + "Q", data, 8)
        counted, entry = order + "Q", struct.Struct(order + "HHQ8x")
    else:
        (start,) = struct.unpack_from(order + "I", data, 4)
        counted, entry = order + "H", struct.Struct(order + "HHI4x")
    if start >= len(data):
        raise UnreadableImage(CUT_OFF)
    (tags,) = struct.unpack_from(counted, data, start)
    if tags > MAX_TIFF_TAGS:
        raise UnreadableImage(TOO_COMPLEX)
    for i in range(tags):
        offset = start + struct.calcsize(counted) + i * entry.size
        _, value_type, count = entry.unpack_from(data, offset)
        texts = value_type in (1, 2, 6, 7)  # bytes are read at once, numbers one by one
        if MAX_TIFF_VALUES < count <= len(data) and not texts:  # what cannot fit is not read
            raise UnreadableImage(TOO_COMPLEX)


def _check_bmp(data: bytes) -> None:
    header_size, compression = struct.unpack_from("<I12xI", data, 14)
    if header_size >= 40 and compression in (1, 2) and len(data) > MAX_RLE_BYTES:
        raise UnreadableImage(TOO_COMPLEX)
