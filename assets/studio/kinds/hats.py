"""Hats and beanies."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import ball, box, curve, joined, lathe
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

CLOTH = ("plain", "plain", "stripes", "dots", "check", "print")


def hat(shape: Shape, model: Model) -> None:
    r = 0.09
    h = shape.between("crown", 0.08, 0.14)
    brim = r + shape.between("brim", 0.035, 0.13)
    form = shape.pick("form", ["bowler", "flat", "fedora", "bucket"])
    top = {"bowler": 0.72, "flat": 0.97, "fedora": 0.8, "bucket": 0.82}[form]
    droop = {"bucket": -0.055, "fedora": -0.006}.get(form, 0.0)
    edge = min(brim, r * 1.55) if form == "bucket" else brim
    line = np.vstack(
        [
            curve([(edge, droop + 0.004), ((r + edge) / 2, droop * 0.35), (r * 1.0, 0.012)]),
            curve([(r * 0.985, 0.03), (r * (0.5 + top / 2), h * 0.7), (r * top, h * 0.97)]),
            curve(
                [
                    (r * top * 0.9, h),
                    (r * 0.4, h * (0.9 if form == "fedora" else 1.03)),
                    (1e-5, h * (0.86 if form == "fedora" else 1.05)),
                ]
            ),
        ]
    )
    curl = shape.between("curl", 0.0, 0.45) if form == "fedora" else 0.0

    def bend(p: np.ndarray) -> np.ndarray:
        out = np.clip(np.hypot(p[:, 0], p[:, 1]) - r, 0, None)
        p[:, 2] += curl * out * np.abs(p[:, 0]) / (np.hypot(p[:, 0], p[:, 1]) + 1e-6)
        p[:, 0] *= 0.88
        if form == "fedora":
            p[:, 2] -= 0.02 * np.exp(-((p[:, 0] / 0.025) ** 2)) * (p[:, 2] > h * 0.8)
        return p

    model.add(lathe(line, 72).bent(bend).moved(z=0.06 if form == "bucket" else 0.0))
    if shape.chance("band", 0.7):
        b = shape.between("band high", 0.014, 0.03)
        z = 0.06 if form == "bucket" else 0.0
        band = lathe(
            curve([(r * 0.99, 0.012), (r * 1.015, 0.014 + b / 2), (r * 0.985, 0.016 + b)]), 72
        )
        model.add(band.bent(bend).moved(z=z), "second")


def beanie(shape: Shape, model: Model) -> None:
    r = 0.1
    h = shape.between("high", 0.14, 0.21)
    slouch = shape.between("slouch", 0.0, 0.03)
    cuff = shape.between("cuff", 0.04, 0.075)

    def ribs(p: np.ndarray) -> np.ndarray:
        a = np.arctan2(p[:, 1], p[:, 0])
        p[:, :2] *= (1 + 0.012 * np.cos(a * count))[:, None]
        p[:, 0] += slouch * np.clip(p[:, 2] / h, 0, 1) ** 2
        return p

    count = shape.pick("ribs", [24, 36, 48])
    model.add(
        lathe(
            curve(
                [
                    (r * 0.96, 0),
                    (r * 1.03, h * 0.35),
                    (r * 0.86, h * 0.75),
                    (r * 0.4, h * 0.97),
                    (1e-5, h),
                ]
            ),
            144,
        ).bent(ribs)
    )
    if shape.chance("folded", 0.75):
        model.add(
            lathe(
                curve(
                    [(r * 0.98, 0), (r * 1.1, cuff * 0.2), (r * 1.11, cuff * 0.8), (r * 1.0, cuff)]
                ),
                144,
            ).bent(ribs),
            "plain",
        )
    if shape.chance("bobble", 0.5):
        b = shape.between("bobble size", 0.028, 0.045)
        model.add(
            joined(ball(b, b, b, 2, 24)).moved(x=slouch, z=h + b * 0.7),
            shape.pick("bobble material", ["plain", "second", "white"]),
        )
    if shape.chance("label", 0.4):
        model.add(box(0.035, 0.004, 0.022).moved(0, -r * 1.11, cuff * 0.3), "leather")


KINDS = (
    Kind(
        "hat",
        "Hats",
        ("hat", "brimmed hat"),
        ("fabric", "fabric", "leather"),
        CLOTH,
        (18, 70),
        "table",
        hat,
    ),
    Kind(
        "beanie",
        "Beanies",
        ("beanie", "knitted hat", "woolly hat"),
        ("fabric",),
        ("plain", "stripes", "stripes", "check", "dots"),
        (12, 38),
        "table",
        beanie,
    ),
)
