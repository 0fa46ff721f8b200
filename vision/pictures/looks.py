"""What is seen of a photo without a network: its colours, its likely parts and its faults.

All of it can be worked out where the photo is decoded, and travel with it: in a server that decodes
in child processes, these then compute it too, and its threads need not wait for each other over it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.images import Image, Region
from vision.pictures.colour import describe_colour
from vision.pictures.faults import Fault, photo_faults
from vision.pictures.regions import likely_regions


@dataclass(frozen=True)
class Looks:
    """A photo's colour descriptor, (COLOUR_DIM,) float16, its likely parts, and its faults."""

    colour: np.ndarray
    regions: tuple[Region, ...]
    faults: tuple[Fault, ...]


def look_at(image: Image) -> Looks:
    """Work out everything."""
    return Looks(describe_colour(image.pixels), likely_regions(image), photo_faults(image))


def colour_of(image: Image) -> np.ndarray:
    """Return a photo's colour descriptor, (COLOUR_DIM,) float16."""
    return describe_colour(image.pixels) if image.looks is None else image.looks.colour


def regions_of(image: Image) -> tuple[Region, ...]:
    """Return a photo's likely parts, likeliest first."""
    return likely_regions(image) if image.looks is None else image.looks.regions


def faults_of(image: Image) -> tuple[Fault, ...]:
    """Return a photo's faults, most serious first."""
    return photo_faults(image) if image.looks is None else image.looks.faults
