"""Work done ahead: in order, within bounds, and stopped when nobody wants it."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator

import numpy as np
import PIL.Image
import pytest

from vision.batches import PREVIEW_SIDE, ahead, decode
from vision.encoder import Encoder
from vision.errors import UnreadableImage
from vision.images import Limits, read_image
from vision.pictures.colour import describe_colour


class Counted:
    """Items 0, 1, 2, ...; knows how many were taken, and by which thread."""

    def __init__(self, count: int, fails_at: int = -1) -> None:
        self.count, self.fails_at = count, fails_at
        self.taken = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        for item in range(self.count):
            if item == self.fails_at:
                raise KeyError(item)
            self.taken += 1
            self.threads.add(threading.get_ident())
            yield item


def test_order_is_kept_though_later_items_are_ready_first() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(30)
        if item == 1:
            second_done.set()
        return item * item

    results = list(ahead(range(50), work, workers=4, depth=8))
    assert results == [item * item for item in range(50)]


@pytest.mark.parametrize(("workers", "depth"), [(1, 1), (4, 1), (2, 5), (8, 3)])
def test_no_more_than_depth_items_are_taken_ahead(workers: int, depth: int) -> None:
    items = Counted(40)
    for done, result in enumerate(ahead(items, str, workers=workers, depth=depth)):
        assert result == str(done)
        assert items.taken - done <= depth
    assert items.taken == 40


def test_items_are_taken_in_the_caller_s_thread_and_worked_on_in_others() -> None:
    items = Counted(20)
    threads = set(ahead(items, lambda _: threading.get_ident(), workers=3, depth=6))
    assert items.threads == {threading.get_ident()}
    assert threading.get_ident() not in threads and 1 <= len(threads) <= 3


def test_nothing_is_taken_before_it_is_asked_for() -> None:
    items = Counted(5)
    ahead(items, str)
    assert items.taken == 0
    assert list(ahead([], str)) == []


def test_what_work_raises_is_raised_in_its_turn() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = ahead(range(100), work, workers=2, depth=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert list(results) == []


def test_what_the_items_raise_is_raised() -> None:
    with pytest.raises(KeyError):
        list(ahead(Counted(20, fails_at=7), str, workers=2, depth=3))


def test_stopping_early_leaves_no_threads_and_starts_no_more_work() -> None:
    release, started = threading.Event(), []

    def work(item: int) -> int:
        started.append(item)
        if item:
            assert release.wait(30)
        return item

    before = set(threading.enumerate())
    results = ahead(range(1000), work, workers=2, depth=100)
    assert next(results) == 0
    threading.Timer(0.05, release.set).start()  # two are being worked on, the others wait
    results.close()  # type: ignore[attr-defined]
    assert len(started) < 100
    left = {thread for thread in set(threading.enumerate()) - before if "decode" in thread.name}
    assert not left


@pytest.fixture(scope="module")
def builtin() -> Encoder:
    return Encoder.load(device="cpu")


def jpeg(width: int, height: int) -> bytes:
    rng = np.random.default_rng(0)
    ground = PIL.Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x8825] = "Maker", {1: "N", 2: (52.0, 31.0, 12.0)}
    file = io.BytesIO()
    picture = ground.resize((width, height), PIL.Image.Resampling.BICUBIC)
    picture.save(file, "JPEG", exif=exif, comment=b"taken at home")
    return file.getvalue()


@pytest.mark.parametrize("size", [(2400, 1801), (900, 1203), (300, 200), (64, 700)])
def test_a_decoded_picture_has_all_the_catalogue_wants(
    builtin: Encoder, size: tuple[int, int]
) -> None:
    data = jpeg(*size)
    picture = decode(data, builtin, Limits())
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert (picture.width, picture.height, picture.format) == (*size, "JPEG")
    assert picture.pixels.shape == (3, 224, 224) and picture.pixels.dtype == np.uint8
    preview = PIL.Image.open(io.BytesIO(picture.preview))
    assert preview.format == "JPEG" and max(preview.size) == min(PREVIEW_SIDE, max(size))
    assert abs(preview.width / preview.height - size[0] / size[1]) < 0.02 * size[0] / size[1]
    assert (
        not preview.getexif() and "comment" not in preview.info and b"Maker" not in picture.preview
    )
    whole = read_image(data)
    rows = builtin.encode_pixels(np.stack([picture.pixels, builtin.prepare(whole)]))
    assert float(rows[0] @ rows[1]) >= 0.995
    colours = [picture.colour.astype(np.float32), describe_colour(whole.pixels).astype(np.float32)]
    assert float(colours[0] @ colours[1]) >= 0.99


def test_limits_apply_when_decoding(builtin: Encoder) -> None:
    with pytest.raises(UnreadableImage):
        decode(jpeg(300, 200), builtin, Limits(max_pixels=1000))
    with pytest.raises(UnreadableImage):
        decode(b"no picture", builtin, Limits())
