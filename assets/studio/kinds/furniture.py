"""Furniture: chairs, stools, tables, shelves, sofas."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import ball, box, disc, prism, rounded, sheet, tube
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape

CLOTH = ("plain", "plain", "stripes", "check", "print", "dots")


def legs(shape: Shape, model: Model, x: float, y: float, h: float, tone: str) -> None:
    """Add four legs under a rectangle of half sides x and y."""
    form = shape.pick("legs", ["round", "square", "splayed", "hairpin"])
    thick = shape.between("leg", 0.014, 0.024)
    for sx in (-1, 1):
        for sy in (-1, 1):
            out = 1.18 if form == "splayed" else 1.0
            top, foot = (
                (sx * x * 0.92, sy * y * 0.92, h),
                (sx * x * 0.92 * out, sy * y * 0.92 * out, 0),
            )
            if form == "square":
                model.add(box(2 * thick, 2 * thick, h).moved(top[0], top[1]), tone)
            elif form == "hairpin":
                for bend in (-0.045, 0.045):
                    model.add(
                        tube([(foot[0], foot[1], 0), (top[0] + bend, top[1], h)], 0.006, 8), "metal"
                    )
            else:
                model.add(tube([foot, top], [thick * 0.7, thick]), tone)


def chair(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.2, 0.25)
    seat = shape.between("seat", 0.42, 0.48)
    high = shape.between("back", 0.34, 0.5)
    form = shape.pick("form", ["shell", "panel", "slats", "padded", "spindles"])
    tone = shape.pick("leg material", ["wood", "metal", "black", "white"])
    legs(shape, model, w, w, seat, tone)
    if form == "shell":
        lean = shape.between("lean", 0.1, 0.2)

        def place(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
            t = v * 2
            y = np.where(t < 1, -w + 2 * w * t, w + lean * (t - 1))
            z = np.where(t < 1, seat + 0.03 * (1 - t), seat + high * (t - 1))
            bend = np.exp(-((t - 1) ** 2) / 0.02)
            side = 2 * u - 1
            return [
                side * w * (1.08 - 0.25 * np.clip(t - 1, 0, 1) ** 2),
                y - 0.035 * bend,
                z + 0.035 * bend + 0.045 * side**2 * (t < 1.4),
            ]

        model.add(sheet(place, (2 * w, 4 * w), (20, 40), solid=0.014))
        return
    model.add(box(2 * w, 2 * w, 0.035, 0.012).moved(z=seat), "plain" if form != "padded" else tone)
    if form == "padded":
        model.add(ball(w, w, 0.05, 5).moved(z=seat + 0.05))
        model.add(ball(w, 0.045, high / 2, 5).moved(y=w, z=seat + high / 2 + 0.08))
        return
    for sx in (-1, 1):
        model.add(
            tube([(sx * w * 0.9, w * 0.93, seat), (sx * w * 0.9, w * 1.12, seat + high)], 0.015),
            tone,
        )
    if form == "panel":
        model.add(
            box(2 * w, 0.018, high * 0.62, 0.006).turned("x", -8).moved(y=w, z=seat + high * 0.4)
        )
    elif form == "slats":
        for at in range(shape.pick("slats", [2, 3, 4])):
            model.add(
                box(1.8 * w, 0.016, 0.05, 0.006).moved(
                    y=w * (0.98 + at * 0.04), z=seat + 0.1 + at * 0.1
                )
            )
    else:
        model.add(box(2 * w, 0.03, 0.05, 0.012).moved(y=w * 1.12, z=seat + high))
        for at in np.linspace(-0.65, 0.65, shape.pick("spindles", [4, 5, 6])):
            model.add(tube([(at * w, w * 0.93, seat), (at * w, w * 1.12, seat + high)], 0.008, 8))


def stool(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.15, 0.2)
    h = shape.between("height", 0.42, 0.72)
    tone = shape.pick("leg material", ["wood", "metal", "black", "plain"])
    form = shape.pick("seat", ["round", "square", "cushion"])
    if form == "square":
        model.add(prism(rounded(2 * r, 2 * r, 0.05), 0.04, 0.01).turned("x", 90).moved(z=h))
    elif form == "cushion":
        model.add(ball(r, r, 0.06, 4).moved(z=h + 0.04))
    else:
        model.add(disc(r, shape.between("thick", 0.03, 0.06)).moved(z=h - 0.01))
    legs(shape, model, r * 0.72, r * 0.72, h, tone)
    if shape.chance("ring", 0.5):
        ring = r * 0.95
        model.add(
            tube(
                [
                    (ring * np.cos(a), ring * np.sin(a), h * 0.3)
                    for a in np.linspace(0, 2 * np.pi, 21)
                ],
                0.008,
                8,
                steps=3,
            ),
            tone,
        )


def table(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.35, 0.85)
    d = shape.between("deep", 0.28, 0.42)
    h = shape.between("height", 0.36, 0.74)
    form = shape.pick("form", ["rectangle", "round", "pedestal", "oval", "shelf"])
    tone = shape.pick("leg material", ["wood", "metal", "black", "plain", "white"])
    thick = shape.between("thick", 0.02, 0.04)
    if form in ("round", "pedestal"):
        model.add(disc(d * 1.2, thick).moved(z=h))
    else:
        corner = d * 0.98 if form == "oval" else 0.03
        model.add(
            prism(rounded(2 * w, 2 * d, corner, 10), thick, 0.004)
            .turned("x", 90)
            .moved(z=h + thick / 2)
        )
    if form == "pedestal":
        model.add(tube([(0, 0, 0), (0, 0, h)], 0.035), tone)
        model.add(disc(d * 0.7, 0.025), tone)
        return
    x = d * 0.8 if form == "round" else w * 0.9
    legs(shape, model, x, d * 0.8, h, tone)
    if form == "shelf":
        model.add(box(1.6 * w, 1.4 * d, 0.018).moved(z=h * 0.35), "plain")
    elif form == "rectangle" and shape.chance("drawer", 0.5):
        model.add(box(1.0 * w, 1.3 * d, 0.09).moved(z=h - 0.09), "plain")
        model.add(ball(0.014, 0.014, 0.014).moved(y=-d * 0.68, z=h - 0.045), "metal")


def bookshelf(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.35, 0.9)
    h = shape.between("height", 0.8, 1.8)
    d = shape.between("deep", 0.24, 0.34)
    t = shape.between("board", 0.018, 0.03)
    rows = shape.pick("rows", [2, 3, 4, 5])
    frame = shape.pick("frame", ["boards", "boards", "metal frame"])
    for z in np.linspace(0.06, h - t, rows + 1):
        model.add(box(w, d, t, 0.002).moved(z=z))
    for sx in (-1, 1):
        if frame == "boards":
            model.add(box(t, d, h, 0.002).moved(x=sx * (w + t) / 2))
        else:
            for sy in (-1, 1):
                model.add(
                    tube(
                        [
                            (sx * w * 0.49, sy * d * 0.46, 0),
                            (sx * w * 0.49, sy * d * 0.46, h + 0.04),
                        ],
                        0.012,
                    ),
                    "black",
                )
    if frame == "boards" and shape.chance("back", 0.6):
        model.add(
            box(w, 0.008, h - 0.06).moved(y=d / 2, z=0.05),
            shape.pick("back material", ["plain", "second", "white"]),
        )
    if shape.chance("divider", 0.45):
        model.add(
            box(t, d * 0.96, h - 0.08, 0.002).moved(
                x=w * shape.between("divider at", -0.2, 0.2), z=0.06
            )
        )
    if shape.chance("drawers", 0.4):
        model.add(
            box(w * 0.98, d * 0.98, (h - 0.06) / rows - t).moved(y=-0.006, z=0.06 + t), "second"
        )
        for sx in (-1, 1):
            model.add(
                ball(0.012, 0.012, 0.012).moved(sx * w * 0.2, -d * 0.52, 0.06 + h / rows / 2),
                "metal",
            )


def sofa(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.45, 1.1)
    d = 0.42
    seat = shape.between("seat", 0.36, 0.44)
    back = shape.between("back", 0.3, 0.48)
    arm = shape.between("arm", 0.06, 0.13)
    puff = shape.pick("puff", [3.0, 5.0, 9.0])
    tone = shape.pick("feet", ["wood", "metal", "black"])
    for sx in (-1, 1):
        for sy in (-1, 1):
            model.add(
                tube(
                    [(sx * w * 0.9, sy * d * 0.85, 0), (sx * w * 0.88, sy * d * 0.8, 0.15)],
                    [0.016, 0.024],
                ),
                tone,
            )
    model.add(ball(w, d, (seat - 0.12) / 2, 10).moved(z=0.12 + (seat - 0.12) / 2))
    model.add(
        ball(w, 0.11, (seat + back - 0.12) / 2, 8).moved(
            y=d - 0.08, z=0.12 + (seat + back - 0.12) / 2
        )
    )
    if shape.chance("arms", 0.8):
        tall = seat + shape.between("arm high", 0.08, 0.22)
        for sx in (-1, 1):
            model.add(
                ball(arm, d, (tall - 0.12) / 2, puff + 2).moved(
                    x=sx * (w - arm * 0.4), z=0.12 + (tall - 0.12) / 2
                )
            )
    count = max(1, round(2 * w / shape.between("cushion", 0.6, 0.85)))
    each = (w - arm) / count
    for at in range(count):
        x = -w + arm + each * (2 * at + 1)
        model.add(ball(each * 0.98, d * 0.86, 0.075, puff).moved(x, -0.06, seat + 0.05))
        model.add(
            ball(each * 0.95, 0.09, back * 0.45, puff)
            .turned("x", -12)
            .moved(x, d - 0.22, seat + back * 0.52)
        )


KINDS = (
    Kind(
        "chair",
        "Chairs",
        ("chair", "dining chair"),
        ("wood", "wood", "plastic", "fabric", "leather", "metal"),
        ("plain",),
        (45, 220),
        "floor",
        chair,
    ),
    Kind(
        "stool",
        "Stools",
        ("stool", "bar stool"),
        ("wood", "wood", "metal", "leather", "fabric"),
        ("plain",),
        (29, 140),
        "floor",
        stool,
    ),
    Kind(
        "table",
        "Tables",
        ("table", "side table", "coffee table"),
        ("wood", "wood", "metal", "glass", "plastic"),
        ("plain",),
        (60, 480),
        "floor",
        table,
    ),
    Kind(
        "bookshelf",
        "Shelves",
        ("bookshelf", "shelf", "shelving unit"),
        ("wood", "wood", "metal"),
        ("plain",),
        (70, 390),
        "floor",
        bookshelf,
    ),
    Kind(
        "sofa",
        "Sofas",
        ("sofa", "couch"),
        ("fabric", "fabric", "leather"),
        CLOTH,
        (290, 1500),
        "floor",
        sofa,
    ),
)
