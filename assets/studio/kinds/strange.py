"""What the shop does not have, never trained on: things for inside."""

from __future__ import annotations

import numpy as np

from assets.studio.meshes import ball, box, curve, disc, lathe, prism, rounded, tube
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape


def fan(shape: Shape, model: Model) -> None:
    r = shape.between("radius", 0.12, 0.17)
    z = r + shape.between("high", 0.09, 0.2)
    model.add(disc(r * 0.75, 0.025), "main")
    model.add(tube([(0, 0.02, 0.02), (0, 0.02, z)], 0.016), "plain")
    model.add(disc(r * 0.3, 0.1).turned("x", 90).moved(0, 0.06, z), "plain")
    for radius in (1.0, 0.7, 0.4):
        model.add(
            tube(
                [
                    (
                        radius * r * np.cos(a),
                        -0.05 * (1.2 - radius * 0.6),
                        z + radius * r * np.sin(a),
                    )
                    for a in np.linspace(0, 2 * np.pi, 33)
                ],
                0.003,
                6,
                steps=3,
            ),
            "metal",
        )
    for a in np.linspace(0, 2 * np.pi, 18, endpoint=False):
        model.add(
            tube([(0, -0.06, z), (r * np.cos(a), -0.03, z + r * np.sin(a))], 0.0018, 5), "metal"
        )
    blades = shape.pick("blades", [3, 4, 5])
    for at in range(blades):
        blade = ball(r * 0.4, 0.006, r * 0.22, 2.4).moved(x=r * 0.48)
        model.add(blade.turned("y", 360 / blades * at).moved(0, -0.01, z), "second")
    model.add(ball(r * 0.14, 0.02, r * 0.14).moved(0, -0.06, z), "plain")


def camera(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.06, 0.075)
    h = shape.between("high", 0.07, 0.09)
    model.add(prism(rounded(2 * w, h, 0.012), 0.045, 0.004).moved(z=h / 2))
    model.add(
        box(2.01 * w, 0.047, h * 0.2, 0.004).moved(z=h * 0.8),
        shape.pick("top", ["metal", "second", "black"]),
    )
    lens = shape.between("lens", 0.024, 0.032)
    x = shape.between("lens at", -0.01, 0.01)
    for s, d, tone in (
        (1.0, 0.02, "black"),
        (0.9, 0.035, "metal"),
        (0.8, 0.05, "black"),
        (0.55, 0.051, "rubber"),
    ):
        model.add(disc(lens * s, d).turned("x", 90).moved(x, -0.02, h * 0.45), tone)
    model.add(disc(0.008, 0.008).moved(w * 0.6, 0, h), "metal")
    model.add(disc(0.012, 0.006).moved(-w * 0.6, 0, h), "metal")
    model.add(box(0.016, 0.006, 0.01).moved(w * 0.62, -0.023, h * 0.84), "white")
    if shape.chance("prism", 0.5):
        model.add(
            prism([(-0.022, 0), (0.022, 0), (0.013, 0.02), (-0.013, 0.02)], 0.04, 0.003).moved(
                x, 0, h
            ),
            "plain",
        )


def bear(shape: Shape, model: Model) -> None:
    b = shape.between("body", 0.06, 0.085)
    head = shape.between("head", 0.05, 0.068)
    model.add(ball(b, b * 0.85, b * 1.15).moved(z=b * 1.1))
    top = b * 2.1 + head * 0.6
    model.add(ball(head * 1.08, head, head).moved(z=top))
    model.add(
        ball(head * 0.45, head * 0.45, head * 0.36).moved(0, -head * 0.82, top - head * 0.2),
        "second",
    )
    model.add(
        ball(head * 0.13, head * 0.1, head * 0.1).moved(0, -head * 1.25, top - head * 0.08), "black"
    )
    ear = head * shape.between("ear", 0.32, 0.5)
    for side in (-1, 1):
        model.add(ball(ear, ear * 0.5, ear).moved(side * head * 0.78, 0, top + head * 0.75))
        model.add(
            ball(head * 0.09, head * 0.07, head * 0.11).moved(
                side * head * 0.36, -head * 0.9, top + head * 0.2
            ),
            "black",
        )
        model.add(
            tube(
                [
                    (side * b * 0.8, 0, b * 1.7),
                    (side * b * 1.25, -b * 0.4, b * 1.2),
                    (side * b * 1.15, -b * 0.75, b * 0.85),
                ],
                [b * 0.3, b * 0.33, b * 0.28],
            )
        )
        model.add(ball(b * 0.28, b * 0.3, b * 0.28).moved(side * b * 1.15, -b * 0.8, b * 0.82))
        model.add(ball(b * 0.38, b * 0.75, b * 0.36).moved(side * b * 0.7, -b * 0.75, b * 0.36))
        model.add(
            disc(b * 0.24, 0.008).turned("x", 90).moved(side * b * 0.7, -b * 1.46, b * 0.38),
            "second",
        )
    if shape.chance("bow", 0.5):
        for side in (-1, 1):
            model.add(
                ball(b * 0.3, b * 0.1, b * 0.2).moved(side * b * 0.28, -b * 0.75, b * 1.95),
                "second",
            )


def lantern(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.06, 0.09)
    h = shape.between("high", 0.18, 0.3)
    model.add(box(2 * w, 2 * w, 0.02))
    model.add(box(2 * w, 2 * w, 0.02).moved(z=h))
    for sx in (-1, 1):
        for sy in (-1, 1):
            model.add(box(0.012, 0.012, h).moved(sx * w * 0.92, sy * w * 0.92, 0.01), "main")
    top = shape.pick("roof", [4, 0])
    model.add(
        lathe(
            [
                (w * 1.35 if top else w, h + 0.02),
                (w * 0.3, h + 0.02 + w * 0.8),
                (1e-5, h + 0.02 + w * 0.8),
            ],
            48,
            top,
        ),
        "main",
    )
    model.add(
        tube([(-w * 0.4, 0, h + w * 0.75), (0, 0, h + w * 1.9), (w * 0.4, 0, h + w * 0.75)], 0.004),
        "metal",
    )
    model.add(disc(w * 0.42, h * shape.between("candle", 0.3, 0.55)).moved(z=0.02), "white")
    model.add(lathe(curve([(0.001, 0), (0.007, 0.01), (0.001, 0.03)])).moved(z=h * 0.6), "glow")


KINDS = (
    Kind("fan", "Fans", ("fan",), ("plastic", "metal"), ("plain",), (25, 90), "table", fan),
    Kind(
        "camera",
        "Cameras",
        ("camera",),
        ("plastic", "leather", "metal"),
        ("plain",),
        (90, 600),
        "table",
        camera,
    ),
    Kind(
        "teddy bear",
        "Teddy bears",
        ("teddy bear",),
        ("fabric",),
        ("plain", "check"),
        (12, 45),
        "table",
        bear,
    ),
    Kind(
        "lantern",
        "Lanterns",
        ("lantern",),
        ("metal", "wood"),
        ("plain",),
        (15, 60),
        "table",
        lantern,
    ),
)
