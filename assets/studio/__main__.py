"""Render the sample catalogue, or the products that the built-in encoder learns from."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from assets.studio import lists
from assets.studio.work import Camera, take_all


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(prog="python -m assets.studio", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("training", help="the products the encoder learns from")
    training.add_argument("folder", type=Path)
    training.add_argument("--each", type=int, default=50, help="products of every kind")
    training.add_argument("--views", type=int, default=2, help="studio pictures of a product")
    training.add_argument("--photos", type=int, default=2, help="customer photos of a product")
    training.add_argument("--size", type=int, default=192, help="side of a picture in pixels")
    sample = commands.add_parser("sample", help="the sample catalogue that ships with findalike")
    sample.add_argument("folder", type=Path)
    for each in (training, sample):
        each.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    todo: lists.Training | lists.Shop
    if given.command == "sample":
        todo, camera = lists.shop(), Camera(256, 20, 88)
    else:
        todo = lists.training(given.each, given.views, given.photos)
        camera = Camera(given.size, 6, 88)
    todo.write(given.folder)
    take_all(todo.pictures, camera, given.folder, given.workers)


if __name__ == "__main__":
    main()
