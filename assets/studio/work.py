"""The pictures to take, and the taking of those that are not there yet."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assets.studio.products import Product


@dataclass(frozen=True)
class Picture:
    """One picture to take: ``scene`` is "" in the studio; ``name`` is the file below the folder.

    ``cutout`` names a second file for the same picture without its white paper.
    """

    name: str
    product: Product
    view: int
    scene: str = ""
    cutout: str = ""


@dataclass(frozen=True)
class Camera:
    """How pictures are rendered: side in pixels, samples a pixel, and JPEG quality."""

    size: int
    samples: int
    quality: int


def take_all(pictures: Sequence[Picture], camera: Camera, folder: Path, workers: int) -> None:
    """Take the pictures that are missing, several at once; can be stopped and started again."""
    todo = [each for each in pictures if not (folder / each.name).is_file()]
    print(f"{len(pictures)} pictures, {len(todo)} to take", flush=True)
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=_take_some, args=(todo[at::workers], camera, folder, at))
        for at in range(workers)
    ]
    for each in running:
        each.start()
    for each in running:
        each.join()
    if any(each.exitcode for each in running):
        raise SystemExit("Some pictures could not be taken; the reason stands above.")


def _take_some(pictures: Sequence[Picture], camera: Camera, folder: Path, worker: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        # Blender's libraries start a thread for every core they see and let them all spin.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[worker % len(cores)]})
    for done, picture in enumerate(pictures, 1):
        take(picture, camera, folder)
        if done % 25 == 0:
            print(f"worker {worker}: {done} of {len(pictures)}", flush=True)


def take(picture: Picture, camera: Camera, folder: Path) -> None:
    """Take one picture; the file appears whole or not at all."""
    from PIL import Image

    from assets.studio.lens import as_photo, on_white
    from assets.studio.shape import Draw
    from assets.studio.shots import render_customer, render_studio
    from assets.studio.takes import studio_take

    target = folder / picture.name
    target.parent.mkdir(parents=True, exist_ok=True)
    draw = Draw(f"{picture.product.family}/{picture.name}")
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw.png"
        with _quiet():
            if picture.scene:
                render_customer(
                    picture.product, picture.scene, draw, camera.size, camera.samples, raw
                )
            else:
                shot = studio_take(picture.product, picture.view)
                render_studio(picture.product, shot, camera.size, camera.samples, raw)
        rendered = Image.open(raw)
        if picture.cutout:
            rendered.save(folder / picture.cutout, quality=camera.quality, method=4)
        photo = as_photo(rendered, picture.scene, draw) if picture.scene else on_white(rendered)
        part = target.with_suffix(".part")
        photo.save(part, "JPEG", quality=camera.quality, optimize=True)
        part.replace(target)


class _quiet:
    """Keep Blender's own chatter off standard output, which it writes to below Python."""

    def __enter__(self) -> None:
        self.kept = os.dup(1)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.close(sink)

    def __exit__(self, *_: object) -> None:
        os.dup2(self.kept, 1)
        os.close(self.kept)
