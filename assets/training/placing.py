"""Where a picture's pixels go: crops, turns, perspective, and cutouts placed on backgrounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from assets.training.pixels import Pixels

_RATIO = 4 / 3  # of the sides of a crop, at most


@dataclass(frozen=True)
class Chance:
    """Random numbers of one step, drawn on the CPU so that every device sees the same."""

    generator: torch.Generator
    device: torch.device

    def between(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """Return float32 numbers from ``low`` to ``high``."""
        drawn = torch.rand(*shape, generator=self.generator)
        return (low + (high - low) * drawn).to(self.device)

    def happens(self, probability: float, *shape: int) -> torch.Tensor:
        """Return bool numbers that are true with this probability."""
        return self.between(0.0, 1.0, *shape) < probability

    def integers(self, most: int, count: int) -> torch.Tensor:
        """Return ``count`` int64 numbers below ``most``, on the CPU."""
        return torch.randint(most, (count,), generator=self.generator)


class Placer:
    """Turns picture numbers into batches of squares, as they are or by chance."""

    def __init__(self, pixels: Pixels, backgrounds: torch.Tensor) -> None:
        self.pixels = pixels
        self.backgrounds = backgrounds  # numbers of pictures that may lie behind cutouts
        self.device = pixels.planes.device

    def plain(self, numbers: torch.Tensor, size: int) -> torch.Tensor:
        """Return the centre squares (b, 3, size, size) float32 in 0..1, cutouts on white."""
        unit = torch.ones(len(numbers), device=self.device)
        zero = torch.zeros_like(unit)
        shape = self.pixels.shape[numbers].to(self.device)
        matrix = _matrix(shape, unit, unit, torch.stack([zero, zero], 1), zero)
        return self._place(numbers, matrix, size, None)

    def draw(self, numbers: torch.Tensor, size: int, chance: Chance) -> torch.Tensor:
        """Return random views (b, 3, size, size) float32 in 0..1."""
        cutout = self.pixels.cutout[numbers].to(self.device)
        shape = self.pixels.shape[numbers].to(self.device)
        matrix = _random(shape, cutout, chance)
        return self._place(numbers, matrix, size, chance)

    def _place(
        self, numbers: torch.Tensor, matrix: torch.Tensor, size: int, chance: Chance | None
    ) -> torch.Tensor:
        out = torch.empty(len(numbers), 3, size, size, device=self.device)
        cutout = self.pixels.cutout[numbers]
        whole = (~cutout).nonzero()[:, 0]
        if len(whole):
            source = self.pixels.colours(numbers[whole]).float() / 255
            rows = whole.to(self.device)
            out[rows] = _sample(source, matrix[rows], size, "reflection")
        cut = cutout.nonzero()[:, 0]
        if len(cut):
            source = self.pixels.layers(numbers[cut]).float() / 255
            rows = cut.to(self.device)
            placed = _sample(source, matrix[rows], size, "zeros")
            behind: torch.Tensor | float = 1.0
            if chance is not None:
                behind = self._backgrounds(len(cut), size, chance)
            out[rows] = placed[:, :3] + (1 - placed[:, 3:]) * behind
        return out

    def _backgrounds(self, count: int, size: int, chance: Chance) -> torch.Tensor:
        """Return white, plain, shaded and photographed squares (count, 3, size, size)."""
        style = chance.between(0.0, 1.0, count, 1, 1, 1)
        ends = chance.between(0.0, 1.0, 2, count, 3, 1, 1)
        across = torch.linspace(0, 1, size, device=self.device)
        angle = chance.between(0.0, math.pi / 2, count, 1, 1, 1)
        way = torch.cos(angle) * across + torch.sin(angle) * across[:, None]
        shaded = torch.lerp(ends[0], ends[1], way / 2**0.5)
        made = torch.where(style < 0.25, torch.ones_like(shaded), shaded)
        made = torch.where((style >= 0.25) & (style < 0.4), ends[0].expand_as(made), made)
        if len(self.backgrounds):
            found = self.backgrounds[chance.integers(len(self.backgrounds), count)]
            pieces = self.pieces(found, size, chance)
            made = torch.where(style >= 0.6, pieces, made)
        return made

    def pieces(self, numbers: torch.Tensor, size: int, chance: Chance) -> torch.Tensor:
        """Return small parts of whole pictures (b, 3, size, size), too small to show a product."""
        count = len(numbers)
        shape = self.pixels.shape[numbers].to(self.device)
        zoom = chance.between(0.2, 0.6, count)
        room = shape - zoom[:, None]
        centre = chance.between(-1.0, 1.0, count, 2) * room
        turn = chance.integers(4, count).to(self.device) * (math.pi / 2)
        matrix = _matrix(shape, zoom, zoom, centre, turn)
        source = self.pixels.colours(numbers).float() / 255
        return _sample(source, matrix, size, "reflection")


def _random(shape: torch.Tensor, cutout: torch.Tensor, chance: Chance) -> torch.Tensor:
    """Return maps (b, 3, 3) from squares to pictures: a random crop, mirrored, turned, tilted."""
    count = len(shape)
    low = torch.where(chance.happens(0.2, count), 0.7, 0.25)  # a fifth is nearly whole
    high = torch.where(cutout, 2.5, 1.0)  # cutouts may be far away
    area = low + (high - low) * chance.between(0.0, 1.0, count)
    ratio = torch.exp(chance.between(-1.0, 1.0, count) * math.log(_RATIO) / 2)
    # Half the sides of a crop with this share of the short side's square.
    half = torch.stack([(area.sqrt() * ratio), (area.sqrt() / ratio)], 1)
    half = torch.where(cutout[:, None], half, torch.minimum(half, shape))
    centre = chance.between(-1.0, 1.0, count, 2) * (shape - half).abs()
    angle = chance.between(-1.0, 1.0, count) * math.radians(20) * chance.happens(0.5, count)
    quarter = chance.integers(4, count).to(angle.device) * chance.happens(0.08, count)
    angle = angle + quarter * (math.pi / 2)
    mirror = torch.where(chance.happens(0.5, count), -1.0, 1.0)
    matrix = _matrix(shape, half[:, 0] * mirror, half[:, 1], centre, angle)
    tilt = torch.eye(3, device=shape.device).repeat(count, 1, 1)
    strength = 0.25 * chance.happens(0.3, count)[:, None]
    tilt[:, 2, :2] = chance.between(-1.0, 1.0, count, 2) * strength
    return matrix @ tilt


def _matrix(
    shape: torch.Tensor,
    across: torch.Tensor,
    down: torch.Tensor,
    centre: torch.Tensor,
    angle: torch.Tensor,
) -> torch.Tensor:
    """Return maps (b, 3, 3) from the square -1..1 to a turned rectangle in the stored square.

    ``across`` and ``down`` are half the rectangle's sides and ``centre`` (b, 2) where it lies, all
    in units of half the picture's short side; dividing by ``shape`` gives stored coordinates.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.zeros(len(shape), 3, 3, device=shape.device)
    matrix[:, 0, 0], matrix[:, 0, 1] = across * cos, -down * sin
    matrix[:, 1, 0], matrix[:, 1, 1] = across * sin, down * cos
    matrix[:, :2, 2] = centre
    matrix[:, :2] /= shape[:, :, None]
    matrix[:, 2, 2] = 1
    return matrix


def _sample(source: torch.Tensor, matrix: torch.Tensor, size: int, outside: str) -> torch.Tensor:
    """Return what the maps see of the pictures: (b, c, size, size), in one resampling."""
    line = (torch.arange(size, device=source.device) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3)
    seen = points @ matrix.transpose(1, 2)
    grid = (seen[..., :2] / seen[..., 2:].clamp_min(0.1)).view(len(source), size, size, 2)
    return F.grid_sample(source, grid, padding_mode=outside, align_corners=False)
