"""Photos of strangers: decoded in children with limits, and taken from requests."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from flask import Flask, request
from flask_babel import Babel
from PIL import Image

import vision.pictures.sandbox
from vision.errors import UnreadableImage
from vision.images import EMPTY, NOT_A_PICTURE, Region, read_image
from vision.pictures.colour import describe_colour
from vision.pictures.faults import photo_faults
from vision.pictures.headers import CUT_OFF
from vision.pictures.looks import colour_of, look_at
from vision.pictures.sandbox import LONG_SIDE, TOO_MUCH, Sandbox, SandboxBusy
from webapp.uploads import inline, read_photo

HOSTILE = Path(__file__).parents[2] / "shared" / "hostile"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def large(width: int = 4000, height: int = 3000) -> bytes:
    """Return a PNG of many pixels that is small as a file."""
    return saved(Image.new("RGB", (width, height), "teal"), compress_level=1)


# --- the sandbox --------------------------------------------------------------------------------


def test_a_picture_is_what_it_is_outside(sandbox: Sandbox) -> None:
    data = saved(tiny.draw(3, side=700))
    inside, outside = sandbox.read(data), read_image(data, at_least=640)
    assert inside.pixels.tobytes() == outside.pixels.tobytes()
    assert (inside.sha256, inside.width, inside.format) == (outside.sha256, 700, "PNG")


def test_large_ones_come_back_reduced(sandbox: Sandbox) -> None:
    image = sandbox.read(large())
    assert (image.width, image.height) == (4000, 3000)
    assert max(image.pixels.size) <= LONG_SIDE
    image = sandbox.read(saved(Image.new("RGB", (4000, 3000)), "JPEG"))
    assert image.pixels.size == (1000, 750)  # the decoder itself works at a quarter
    image = sandbox.read(saved(Image.new("RGB", (9000, 700)), "JPEG"))
    assert max(image.pixels.size) == LONG_SIDE


def test_a_turned_photo_is_upright(sandbox: Sandbox) -> None:
    picture = Image.new("RGB", (60, 40), "red")
    picture.paste("blue", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    image = sandbox.read(saved(picture, "JPEG", exif=exif, quality=95))
    assert image.pixels.size == (40, 60)
    red, _, blue = image.pixels.getpixel((20, 10))
    assert blue > red


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", EMPTY),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", NOT_A_PICTURE),
        (saved(tiny.draw(1, side=300), "JPEG")[:2000], CUT_OFF),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(
    sandbox: Sandbox, data: bytes, reason: str
) -> None:
    with pytest.raises(UnreadableImage) as error:
        sandbox.read(data)
    assert str(error.value) == reason


def test_too_much_time_ends_the_child_and_the_next_picture_is_read() -> None:
    with Sandbox(workers=1, seconds=0.06) as sandbox:
        sandbox.read(saved(tiny.draw(1)))
        (before,) = sandbox.pids()
        noise = np.random.default_rng(0).integers(0, 256, (2500, 2500, 3), dtype=np.uint8)
        with pytest.raises(UnreadableImage, match="too much time"):
            sandbox.read(saved(Image.fromarray(noise), "JPEG", progressive=True, quality=95))
        assert not exists(before)
        assert sandbox.read(saved(tiny.draw(2))).format == "PNG"
        (after,) = sandbox.pids()
        assert after != before


def test_too_much_memory_is_refused_and_small_pictures_are_read() -> None:
    with Sandbox(workers=1, memory=24 * 2**20) as sandbox:
        with pytest.raises(UnreadableImage, match=TOO_MUCH):
            sandbox.read(large())
        assert sandbox.read(saved(tiny.draw(2))).format == "PNG"


def test_a_large_picture_gets_more_memory_than_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision.pictures.sandbox, "_SMALL", 2**20)
    with Sandbox(workers=1) as sandbox:
        assert sandbox.read(large()).width == 4000


def test_a_child_that_died_is_replaced() -> None:
    with Sandbox(workers=1) as sandbox:
        sandbox.read(saved(tiny.draw(1)))
        (pid,) = sandbox.pids()
        os.kill(pid, signal.SIGSEGV)
        wait_for(lambda: not exists(pid) or state(pid) == "Z")
        assert sandbox.read(saved(tiny.draw(2))).format == "PNG"


def test_threads_get_their_own_pictures(sandbox: Sandbox) -> None:
    data = [saved(tiny.draw(number)) for number in range(24)]
    got: dict[int, bytes] = {}

    def read(number: int) -> None:
        got[number] = sandbox.read(data[number]).pixels.tobytes()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: read_image(each).pixels.tobytes() for n, each in enumerate(data)}


def test_it_does_not_let_people_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision.pictures.sandbox, "_PATIENCE", 0.05)
    with Sandbox(workers=1) as sandbox, sandbox._child(), pytest.raises(SandboxBusy):
        sandbox.read(saved(tiny.draw(1)))


def test_children_end_with_the_sandbox_and_with_its_process() -> None:
    with Sandbox() as sandbox:
        sandbox.warm()
        pids = sandbox.pids()
        assert len(pids) == 2
    assert not any(map(exists, pids))
    code = (
        "import os, signal, sys\nfrom vision.pictures.sandbox import Sandbox\n"
        "s = Sandbox()\ns.warm()\n"
        "print(*s.pids(), 'torch' in sys.modules, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    *children, torch = run.stdout.split()
    assert (len(children), torch) == (2, "False")
    wait_for(lambda: not any(exists(int(pid)) and state(int(pid)) != "Z" for pid in children))


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="the hostile pictures are not here")
def test_hostile_pictures(sandbox: Sandbox) -> None:
    manifest = (HOSTILE / "MANIFEST.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in manifest.splitlines()]
    assert len(rows) > 500
    wrong = []
    for row in rows:
        try:
            sandbox.read((HOSTILE / "images" / row["path"]).read_bytes())
            got = "accept"
        except UnreadableImage:
            got = "reject"
        if row["expect"] not in ("either", got):
            wrong.append(row["path"])
    assert not wrong


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def wait_for(done: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- requests -----------------------------------------------------------------------------------


@pytest.fixture
def app() -> Flask:
    made = Flask(__name__)
    Babel(made)
    return made


def sent(app: Flask, sandbox: Sandbox, **fields: object) -> object:
    with app.test_request_context(method="POST", data=fields):
        return read_photo(request._get_current_object(), sandbox.read)  # type: ignore[attr-defined]


def test_the_first_file_that_is_not_empty_is_taken(app: Flask, sandbox: Sandbox) -> None:
    data = saved(tiny.draw(1))
    empty, full = (io.BytesIO(b""), ""), (io.BytesIO(data), "../../etc/passwd.exe")
    image = sent(app, sandbox, photo=[empty, full])
    assert image is not None
    assert image.sha256 == read_image(data).sha256  # type: ignore[attr-defined]


def test_no_photo_is_none_and_an_empty_file_is_told(app: Flask, sandbox: Sandbox) -> None:
    assert sent(app, sandbox, photo=(io.BytesIO(b""), "")) is None
    assert sent(app, sandbox, words="mug") is None
    with pytest.raises(UnreadableImage, match="empty"):
        sent(app, sandbox, photo=(io.BytesIO(b""), "a.jpg"))


def test_base64_is_a_photo_too(app: Flask, sandbox: Sandbox) -> None:
    image = read_image(saved(tiny.draw(1, side=300)))
    again = sent(app, sandbox, photo64=inline(image))
    assert again.pixels.size == (300, 300)  # type: ignore[union-attr,attr-defined]
    for broken in ("%%%", "AAA", base64.b64encode(b"no picture").decode()):
        with pytest.raises(UnreadableImage):
            sent(app, sandbox, photo64=broken)


# --- faults -------------------------------------------------------------------------------------


def photo(brightness: float = 1.0, blur: float = 0, side: int = 400) -> bytes:
    from PIL import ImageEnhance, ImageFilter

    picture = tiny.draw(4, side=side, colour="red")
    picture = picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture
    return saved(ImageEnhance.Brightness(picture).enhance(brightness))


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (photo(), ()),
        (photo(brightness=0.15), ("dark",)),
        (saved(Image.new("RGB", (300, 300), (250, 250, 250))), ("bright", "blurred")),
        (photo(blur=12), ("blurred",)),
        (photo(side=60), ("small",)),
    ],
)
def test_faults_of_a_photo(data: bytes, faults: tuple[str, ...]) -> None:
    assert photo_faults(read_image(data)) == faults


def test_a_child_sees_what_its_parent_would(sandbox: Sandbox) -> None:
    for number in (3, 4):
        image = sandbox.read(saved(tiny.draw(number, side=500)))
        assert image.looks is not None
        alone = look_at(replace(image, looks=None))
        assert np.array_equal(image.looks.colour, alone.colour)
        assert (image.looks.regions, image.looks.faults) == (alone.regions, alone.faults)
        assert alone.regions and np.array_equal(colour_of(image), alone.colour)


def test_another_picture_looks_different(sandbox: Sandbox) -> None:
    image = sandbox.read(saved(tiny.draw(3, side=500)))
    for other in (image.crop(Region(0, 0, 0.5, 0.5)), image.turned(1)):
        assert other.looks is None
        assert np.array_equal(colour_of(other), describe_colour(other.pixels))
