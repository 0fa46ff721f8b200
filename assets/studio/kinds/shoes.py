"""Shoes: sneakers and boots."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import Mesh, ball, box, curve, lathe, sheet, tube
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape


def sole_width(t: np.ndarray, wide: float) -> np.ndarray:
    """Return the half width of a shoe sole along its length, t = 0 heel to 1 toe."""
    half: np.ndarray = wide * np.interp(t, [0, 0.06, 0.25, 0.45, 0.72, 0.9, 0.97, 1.0],
                            [0.35, 0.72, 0.82, 0.76, 1.0, 0.82, 0.52, 0.05])  # fmt: skip
    return half


def sole(length: float, wide: float, thick: float, lift: float) -> Mesh:
    """Return a sole lying along x, toe at +x, with the toe lifted."""

    def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
        a = 2 * np.pi * u
        t = (1 - np.cos(a)) / 2
        spread = np.interp(v, [0, 0.05, 0.5, 0.95, 1], [0.0, 0.97, 1.02, 0.97, 0.0])
        half = np.maximum(sole_width(t, wide), 0.002)
        z = (
            thick * np.interp(v, [0, 0.05, 0.95, 1], [0, 0, 1, 1])
            + lift * np.clip(t - 0.7, 0, 1) ** 2 * 11
        )
        middle = (t - 0.5) * length
        return [middle * (0.25 + 0.75 * spread**0.5), np.sign(np.sin(a)) * half * spread, z]

    return sheet(place, (2.2 * length, thick), (72, 10))


def upper(length: float, wide: float, base: float, tall: np.ndarray, at: np.ndarray) -> Mesh:
    """Return the part above the sole: heights ``tall`` at the positions ``at`` along it."""

    def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
        t = v
        height = np.interp(t, at, tall)
        a = np.pi * u
        round_ = np.abs(np.sin(a)) ** 0.62
        half = np.maximum(sole_width(t, wide) * 0.96, 0.002)
        narrow = 1 - 0.45 * round_ * np.clip(height / 0.09, 0.35, 1)
        side = np.sign(np.cos(a)) * np.abs(np.cos(a)) ** 0.55
        return [(t - 0.5) * length * 0.975, side * half * narrow, base + height * round_]

    return sheet(place, (0.2, length), (28, 60), solid=0.002)


def shoe(shape: Shape, model: Model, side: int, boot: bool) -> None:
    """Add one shoe lying along x at the origin; ``side`` is -1 or 1."""
    length = 0.285
    wide = shape.between("wide", 0.044, 0.051)
    thick = shape.between("sole", 0.018, 0.04)
    parts = Model()
    sole_tone = (
        "rubber" if boot else shape.pick("sole material", ["white", "white", "second", "rubber"])
    )
    parts.add(sole(length, wide, thick, shape.between("lift", 0.004, 0.014)), sole_tone)
    toe = shape.between("toe", 0.04, 0.055)
    ankle = shape.between("ankle", 0.085, 0.11)
    if not boot:
        high_top = shape.chance("high", 0.3)
        heel = ankle * (1.35 if high_top else 0.82)
        tall = np.array(
            [
                0.02,
                heel,
                heel * 0.92,
                ankle * (1.3 if high_top else 0.8),
                0.062,
                toe,
                toe * 0.85,
                0.012,
            ]
        )
        parts.add(
            upper(
                length, wide, thick * 0.85, tall, np.array([0, 0.05, 0.2, 0.4, 0.62, 0.8, 0.92, 1])
            )
        )
        mouth = thick + heel * 0.9
        parts.add(ball(0.05, wide * 0.42, 0.012, 3).moved(-length * 0.26, 0, mouth), "black")
        if shape.chance("cap", 0.45):
            parts.add(ball(0.045, wide * 0.92, 0.036, 2.6).moved(length * 0.34, 0, thick), "second")
        form = shape.pick("mark", ["stripe", "dot", "heel", "none"])
        for sy in (-1, 1):
            if form == "stripe":
                parts.add(
                    tube(
                        [
                            (-0.04, sy * wide * 0.9, thick + 0.045),
                            (0.01, sy * wide * 0.86, thick + 0.02),
                            (0.06, sy * wide * 0.8, thick + 0.035),
                        ],
                        0.008,
                        8,
                        0.5,
                    ),
                    "second",
                )
            elif form == "dot":
                parts.add(
                    ball(0.018, 0.006, 0.018).moved(-0.01, sy * wide * 0.83, thick + 0.035),
                    "second",
                )
        if form == "heel":
            parts.add(ball(0.014, 0.024, 0.03, 3).moved(-length * 0.47, 0, thick + 0.04), "second")
        for at in np.linspace(0.08, 0.28, 4):
            z = thick + np.interp(at, [0.0, 0.3], [ankle * 0.8, 0.055])
            parts.add(
                tube(
                    [
                        ((0.36 - at) * -0.2 + at * 0.4 - 0.02, -wide * 0.4, z - 0.004),
                        (at * 0.4 - 0.02 - (0.36 - at) * 0.2, 0, z + 0.006),
                        (at * 0.4 - 0.02 - (0.36 - at) * 0.2, wide * 0.4, z - 0.004),
                    ],
                    0.0035,
                    6,
                ),
                "white",
            )
    else:
        tall = np.array([0.03, 0.1, 0.11, 0.1, 0.07, toe * 1.1, toe, 0.012])
        parts.add(
            upper(
                length, wide, thick * 0.85, tall, np.array([0, 0.05, 0.2, 0.4, 0.6, 0.78, 0.92, 1])
            )
        )
        high = shape.between("shaft", 0.16, 0.34)
        line = curve(
            [
                (0.046, thick + 0.05),
                (0.05, thick + 0.1),
                (shape.between("shaft wide", 0.05, 0.066), thick + high),
            ]
        )
        shaft = (
            lathe(np.vstack([line, (line - [0.004, 0])[::-1]]))
            .scaled(1.15, 0.88)
            .moved(x=-length * 0.27)
        )
        parts.add(shaft)
        parts.add(
            box(0.08, wide * 1.6, shape.between("heel", 0.012, 0.035)).moved(-length * 0.34, 0, 0),
            "rubber",
        )
        trim = shape.pick("trim", ["cuff", "strap", "laces", "none"])
        if trim == "cuff":
            r = line[-1, 0]
            cuff = lathe(
                curve(
                    [
                        (r * 1.04, thick + high - 0.05),
                        (r * 1.1, thick + high - 0.02),
                        (r * 1.03, thick + high + 0.004),
                    ]
                )
            )
            parts.add(cuff.scaled(1.15, 0.88).moved(x=-length * 0.27), "second")
        elif trim == "strap":
            ring = lathe(
                curve([(0.052, thick + 0.085), (0.056, thick + 0.095), (0.052, thick + 0.105)])
            )
            parts.add(ring.scaled(1.15, 0.9).moved(x=-length * 0.27), "second")
            parts.add(box(0.02, 0.008, 0.02).moved(-length * 0.27, -0.05, thick + 0.085), "metal")
        elif trim == "laces":
            for at in range(5):
                z = thick + 0.075 + at * 0.022
                x = -length * 0.27 + 0.056 + (0.03 - at * 0.006)
                parts.add(
                    tube(
                        [(x - 0.012, -0.024, z), (x, 0, z + 0.004), (x - 0.012, 0.024, z)], 0.003, 6
                    ),
                    "second",
                )
    for mesh, material in parts.parts:
        model.add(mesh.turned("z", -90 + side * 6).moved(x=side * 0.062), material)


def sneaker(shape: Shape, model: Model) -> None:
    for side in (-1, 1):
        shoe(shape, model, side, False)


def boot(shape: Shape, model: Model) -> None:
    for side in (-1, 1):
        shoe(shape, model, side, True)


KINDS = (
    Kind(
        "sneaker",
        "Sneakers",
        ("sneakers", "trainers", "shoes"),
        ("fabric", "leather"),
        ("plain", "plain", "check", "print", "stripes"),
        (35, 130),
        "floor",
        sneaker,
    ),
    Kind(
        "boot",
        "Boots",
        ("boots", "winter boots"),
        ("leather", "leather", "plastic", "fabric"),
        ("plain", "plain", "dots", "check"),
        (45, 190),
        "floor",
        boot,
    ),
)
