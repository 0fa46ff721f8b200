"""Meshes as arrays: turned, swept, bent and inflated. Metres, z up, the front towards -y."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Points = Sequence[Sequence[float]] | np.ndarray


@dataclass(frozen=True)
class Mesh:
    """Vertices (n, 3), faces as tuples of vertex numbers, and texture coordinates (n, 2) in metres.

    ``bevel`` rounds the edges (metres); ``solid`` gives a surface a thickness (metres).
    """

    vertices: np.ndarray
    faces: list[tuple[int, ...]]
    uv: np.ndarray
    smooth: bool = True
    bevel: float = 0.0
    solid: float = 0.0

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """Return the mesh somewhere else."""
        return self._with(self.vertices + np.array([x, y, z]))

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Mesh:
        """Return the mesh stretched from the origin; x * y * z must be positive."""
        return self._with(self.vertices * np.array([x, y, z]))

    def turned(self, axis: str, degrees: float) -> Mesh:
        """Return the mesh turned about one of the axes through the origin."""
        a = np.radians(degrees)
        c, s = np.cos(a), np.sin(a)
        matrix = {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
        return self._with(self.vertices @ np.array(matrix).T)

    def bent(self, function: Callable[[np.ndarray], np.ndarray]) -> Mesh:
        """Return the mesh with every vertex (n, 3) moved by a function."""
        return self._with(function(self.vertices.copy()))

    def _with(self, vertices: np.ndarray) -> Mesh:
        return Mesh(vertices, self.faces, self.uv, self.smooth, self.bevel, self.solid)


def curve(points: Points, steps: int = 8) -> np.ndarray:
    """Return a smooth line through the points (Catmull and Rom 1974), (m, d)."""
    p = np.asarray(points, dtype=float)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False):
        pieces.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
                   + (3 * b - a - 3 * c + d) * t**3)
        )  # fmt: skip
    return np.vstack([*pieces, p[-2:-1]])


def lathe(profile: Points, segments: int = 56, sides: int = 0) -> Mesh:
    """Turn a profile of (radius, height) about the z axis; ``sides`` > 0 makes it many-sided."""
    p = np.asarray(profile, dtype=float)
    p[:, 0] = np.maximum(p[:, 0], 1e-5)
    n = sides or segments
    angles = np.linspace(0, 2 * np.pi, n + 1) + (np.pi / n if sides else 0)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(p, axis=0).T))])
    radius = p[:, 0].max()
    vertices = np.stack(
        [np.outer(p[:, 0], np.cos(angles)), np.outer(p[:, 0], np.sin(angles)),
         np.repeat(p[:, 1:2], n + 1, axis=1)], axis=-1,
    )  # fmt: skip
    uv = np.stack(
        [np.broadcast_to(angles * radius, vertices.shape[:2]),
         np.repeat(length[:, None], n + 1, axis=1)], axis=-1,
    )  # fmt: skip
    return _grid(vertices, uv, smooth=not sides)


def vessel(outside: Points, wall: float, steps: int = 6, sides: int = 0) -> Mesh:
    """Turn a hollow body: the outside profile from the foot to the rim, and a wall inside it."""
    out = curve(outside, steps)
    inner = np.maximum(out - [wall, 0], 1e-5)[::-1]
    inner[:, 1] = np.maximum(inner[:, 1], out[0, 1] + wall)
    rim = [[out[-1, 0] - wall / 2, out[-1, 1] + wall / 2]]
    foot = [[1e-5, out[0, 1]]]
    return lathe(np.vstack([foot, out, rim, inner, [[1e-5, out[0, 1] + wall]]]), sides=sides)


def disc(radius: float, height: float, edge: float = 0.0) -> Mesh:
    """Return a round slab standing on z = 0 with a rounded edge."""
    e = edge or min(radius, height) * 0.12
    rounding = np.linspace(0, np.pi / 2, 5)
    low = np.stack([radius - e + e * np.sin(rounding), e - e * np.cos(rounding)], 1)
    high = np.stack([radius - e + e * np.cos(rounding), height - e + e * np.sin(rounding)], 1)
    return lathe(np.vstack([[[1e-5, 0]], low, high, [[1e-5, height]]]))


def ball(x: float, y: float, z: float, power: float = 2.0, steps: int = 32) -> Mesh:
    """Return a superellipsoid (Barr 1981) of the given half axes; power 2 is an ellipsoid."""
    u, v = np.meshgrid(
        np.linspace(-np.pi, np.pi, steps + 1), np.linspace(-np.pi / 2, np.pi / 2, steps // 2 + 1)
    )

    def bent(value: np.ndarray) -> np.ndarray:
        rounded_off: np.ndarray = np.sign(value) * np.abs(value) ** (2 / power)
        return rounded_off

    vertices = np.stack(
        [x * bent(np.cos(v)) * bent(np.cos(u)), y * bent(np.cos(v)) * bent(np.sin(u)),
         z * bent(np.sin(v))], axis=-1,
    )  # fmt: skip
    middle = vertices[len(vertices) // 2]
    round_ = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))])
    side = vertices[:, 3 * steps // 8]
    up = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(side, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(round_[None], up[:, None]), axis=-1)
    return _grid(vertices, uv)


def box(x: float, y: float, z: float, bevel: float = 0.0) -> Mesh:
    """Return a box standing on z = 0, centred in x and y, with rounded edges."""
    corners: list[np.ndarray] = []
    faces: list[tuple[int, ...]] = []
    uv: list[tuple[float, float]] = []
    for axis, a, b in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        for side in (-1, 1):
            start = len(corners)
            ring = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
            for p, q in ring if side > 0 else ring[::-1]:
                at = [0.0, 0.0, 0.0]
                at[axis], at[a], at[b] = side, p, q
                point = np.array(at) * [x / 2, y / 2, z / 2]
                corners.append(point)
                uv.append((point[a], point[b]) if axis == 0 else (point[b], point[a]))
            faces.append(tuple(range(start, start + 4)))
    mesh = Mesh(np.array(corners), faces, np.array(uv), False, bevel or min(x, y, z) * 0.08)
    return mesh.moved(z=z / 2)


def prism(outline: Points, depth: float, bevel: float = 0.0) -> Mesh:
    """Return an outline in x and z (metres) given a depth in y, centred on y = 0."""
    p = np.asarray(outline, dtype=float)
    n = len(p)
    front = np.column_stack([p[:, 0], np.full(n, -depth / 2), p[:, 1]])
    back = np.column_stack([p[:, 0], np.full(n, depth / 2), p[:, 1]])
    around = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(p, axis=0).T))])
    sides_uv = np.concatenate(
        [np.column_stack([around, np.zeros(n)]), np.column_stack([around, np.full(n, depth)])]
    )
    vertices = np.vstack([front, back, front, back])
    faces = [tuple(range(n)), tuple(range(2 * n - 1, n - 1, -1))]
    for i in range(n):
        j = (i + 1) % n
        faces.append((2 * n + i, 3 * n + i, 3 * n + j, 2 * n + j))
    return Mesh(vertices, faces, np.vstack([p, p, sides_uv]), False, bevel)


def rounded(width: float, height: float, corner: float, steps: int = 6) -> np.ndarray:
    """Return a rectangle with round corners as an outline about the origin, (4 * steps, 2)."""
    corner = min(corner, width / 2 - 1e-4, height / 2 - 1e-4)
    points = []
    for turn, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        a = np.linspace(0, np.pi / 2, steps) + turn * np.pi / 2
        points.append(
            np.column_stack([sx * (width / 2 - corner) + corner * np.cos(a),
                             sy * (height / 2 - corner) + corner * np.sin(a)])
        )  # fmt: skip
    return np.vstack(points)


def tube(
    path: Points,
    radius: float | Sequence[float],
    sides: int = 14,
    flat: float = 1.0,
    steps: int = 8,
) -> Mesh:
    """Sweep a circle along a smooth path; ``radius`` may vary along it, ``flat`` squashes it."""
    line = curve(path, steps) if len(path) > 2 else np.asarray(path, dtype=float)
    n = len(line)
    given = np.full(len(path), radius) if np.isscalar(radius) else np.asarray(radius, dtype=float)
    radii = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(given)), given)
    ahead = np.gradient(line, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-12
    start = np.array([0.0, 1.0, 0.0]) if abs(ahead[0, 1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    rings = []
    across = start - ahead[0] * (start @ ahead[0])
    angles = np.linspace(0, 2 * np.pi, sides + 1)
    for at in range(n):
        across = across - ahead[at] * (across @ ahead[at])
        across /= np.linalg.norm(across) + 1e-12
        up = np.cross(ahead[at], across)
        r = radii[at]
        rings.append(
            line[at] + r * (np.outer(np.cos(angles), across) + flat * np.outer(np.sin(angles), up))
        )
    vertices = np.stack(
        [np.tile(line[0], (sides + 1, 1)), *rings, np.tile(line[-1], (sides + 1, 1))]
    )
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    along = np.concatenate([[0], length, length[-1:]])
    uv = np.stack(np.broadcast_arrays(angles[None] * radii.mean(), along[:, None]), axis=-1)
    return _grid(vertices, uv)


def sheet(
    function: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]],
    size: tuple[float, float], steps: tuple[int, int] = (40, 40), solid: float = 0.0,
) -> Mesh:  # fmt: skip
    """Return a surface: ``function`` takes u and v in [0, 1] to x, y, z; ``size`` is in metres."""
    u, v = np.meshgrid(np.linspace(0, 1, steps[0] + 1), np.linspace(0, 1, steps[1] + 1))
    vertices = np.stack(np.broadcast_arrays(*function(u, v)), axis=-1).astype(float)
    mesh = _grid(vertices, np.stack([u * size[0], v * size[1]], axis=-1))
    return Mesh(mesh.vertices, mesh.faces, mesh.uv, True, 0.0, solid)


def pillow(width: float, depth: float, height: float, plump: float = 0.45) -> Mesh:
    """Return an inflated cloth with pointed corners lying on z = 0, its seam half way up."""

    def side(sign: int) -> Mesh:
        def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
            x, y = 2 * u - 1, 2 * v - 1
            full = np.clip((1 - x**4) * (1 - y**4), 0, 1) ** plump
            pull = 0.06 * (1 - np.abs(x) ** 2) * np.abs(y) ** 3
            pull_x = 0.06 * (1 - np.abs(y) ** 2) * np.abs(x) ** 3
            return [
                sign * x * (1 - pull_x) * width / 2, y * (1 - pull) * depth / 2,
                height / 2 * (1 + sign * full),
            ]  # fmt: skip

        return sheet(place, (width, depth), (36, 36))

    return joined(side(1), side(-1))


def joined(*meshes: Mesh) -> Mesh:
    """Return several meshes of like finish as one."""
    start = 0
    faces: list[tuple[int, ...]] = []
    for mesh in meshes:
        faces += [tuple(at + start for at in face) for face in mesh.faces]
        start += len(mesh.vertices)
    first = meshes[0]
    return Mesh(
        np.vstack([each.vertices for each in meshes]), faces,
        np.vstack([each.uv for each in meshes]), first.smooth, first.bevel, first.solid,
    )  # fmt: skip


def _grid(vertices: np.ndarray, uv: np.ndarray, smooth: bool = True) -> Mesh:
    """Return the mesh of a grid of points (rows, columns, 3), its faces turned outwards."""
    rows, columns = vertices.shape[:2]
    at = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]
    faces = np.stack([a, b, c, d], axis=-1).reshape(-1, 4)
    return Mesh(vertices.reshape(-1, 3), [tuple(f) for f in faces.tolist()],
                uv.reshape(-1, 2).astype(float), smooth)  # fmt: skip
