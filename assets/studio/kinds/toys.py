"""Toys: cars, stacking toys, robots."""

from __future__ import annotations

from assets.studio.meshes import ball, box, disc, prism, rounded, tube
from assets.studio.model import Kind, Model
from assets.studio.shape import Shape


def toy_car(shape: Shape, model: Model) -> None:
    long = shape.between("long", 0.07, 0.1)
    w = shape.between("wide", 0.032, 0.042)
    wheel = shape.between("wheel", 0.016, 0.024)
    form = shape.pick("form", ["saloon", "van", "truck", "racer"])
    z = wheel * 0.75
    low = {"saloon": 0.03, "van": 0.03, "truck": 0.026, "racer": 0.02}[form]
    model.add(prism(rounded(2 * long, low * 1.4, 0.016), 2 * w, 0.005).moved(z=z + low * 0.7))
    if form == "saloon":
        cabin = [(-long * 0.62, 0), (long * 0.5, 0), (long * 0.28, 0.04), (-long * 0.42, 0.04)]
        model.add(prism(cabin, 1.7 * w, 0.006).moved(z=z + low * 1.3), "second")
    elif form == "van":
        model.add(
            prism(rounded(1.55 * long, 0.06, 0.016), 1.94 * w, 0.006).moved(
                -long * 0.2, 0, z + low + 0.034
            ),
            "plain",
        )
        for sy in (-1, 1):
            for x in (-0.6, -0.15, 0.28):
                model.add(
                    box(long * 0.32, 0.003, 0.026, 0.001).moved(
                        x * long, sy * w * 0.975, z + low + 0.026
                    ),
                    "second",
                )
    elif form == "truck":
        model.add(
            prism(rounded(0.6 * long, 0.06, 0.012), 1.9 * w, 0.005).moved(
                long * 0.6, 0, z + low + 0.03
            ),
            "plain",
        )
        model.add(box(1.2 * long, 1.9 * w, 0.05, 0.004).moved(-long * 0.35, 0, z + low), "second")
    else:
        model.add(ball(long * 0.3, w * 0.5, 0.024).moved(-long * 0.1, 0, z + low * 1.4), "second")
        model.add(box(0.02, 2 * w, 0.005).moved(-long * 0.9, 0, z + low * 2.2), "second")
        for y in (-0.5, 0.5):
            model.add(box(0.012, 0.004, low).moved(-long * 0.9, y * w, z + low * 1.3), "black")
    for x in (-0.58, 0.58):
        for sy in (-1, 1):
            model.add(
                disc(wheel, 0.014).turned("x", sy * 90).moved(x * long, sy * w * 0.9, wheel),
                shape.pick("tyre", ["rubber", "wood", "black"]),
            )
            model.add(
                disc(wheel * 0.45, 0.004)
                .turned("x", sy * 90)
                .moved(x * long, sy * (w * 0.9 + 0.013), wheel),
                "white",
            )
    for y in (-0.6, 0.6):
        model.add(ball(0.005, 0.006, 0.006).moved(long, y * w, z + low * 0.75), "glow")


def stacker(shape: Shape, model: Model) -> None:
    rings = shape.pick("rings", [4, 5, 6])
    r = shape.between("radius", 0.05, 0.065)
    form = shape.pick("form", ["rings", "rings", "blocks"])
    z = 0.0
    if form == "rings":
        model.add(disc(r * 1.1, 0.014), "wood")
        z = 0.014
    for at in range(rings):
        s = r * (1 - at / rings * shape.between("taper", 0.5, 0.75))
        t = r * shape.between("thick", 0.3, 0.44) if form == "rings" else s * 1.1
        tone = (
            ("main", "second", "white")[at % 3]
            if shape.chance("three tones", 0.5)
            else ("main", "second")[at % 2]
        )
        piece = (
            disc(s, t, t * 0.45)
            if form == "rings"
            else box(s * 1.7, s * 1.7, t).turned("z", at * 9)
        )
        model.add(piece.moved(z=z), tone)
        z += t
    if form == "rings":
        k = r * 0.3
        model.add(ball(k, k, k).moved(z=z + k * 0.8), "second")


def robot(shape: Shape, model: Model) -> None:
    w = shape.between("wide", 0.035, 0.05)
    h = shape.between("body", 0.06, 0.09)
    leg = shape.between("leg", 0.03, 0.055)
    head = shape.between("head", 0.028, 0.042)
    for sx in (-1, 1):
        model.add(box(w * 0.55, w * 0.7, leg).moved(sx * w * 0.5), "second")
        model.add(box(w * 0.7, w * 1.1, 0.016).moved(sx * w * 0.52, -w * 0.15), "black")
        model.add(
            tube(
                [
                    (sx * w * 1.05, 0, leg + h * 0.85),
                    (sx * w * 1.5, -0.005, leg + h * 0.55),
                    (sx * w * 1.45, -0.03, leg + h * 0.3),
                ],
                0.009,
            ),
            "metal",
        )
        model.add(ball(0.013, 0.013, 0.013).moved(sx * w * 1.45, -0.03, leg + h * 0.28), "second")
    model.add(box(2 * w, 1.4 * w, h, 0.008).moved(z=leg))
    top = leg + h
    form = shape.pick("head form", ["box", "dome", "ball"])
    model.add(tube([(0, 0, top), (0, 0, top + 0.012)], 0.014), "metal")
    if form == "box":
        model.add(box(1.5 * head, 1.3 * head, 1.3 * head, 0.006).moved(z=top + 0.01), "plain")
    else:
        model.add(
            ball(head * 0.85, head * 0.8, head * 0.75, 2.0 if form == "ball" else 3.5).moved(
                z=top + 0.01 + head * 0.7
            ),
            "plain",
        )
    for sx in (-1, 1):
        model.add(
            ball(head * 0.2, 0.006, head * 0.2).moved(
                sx * head * 0.35,
                -head * (0.65 if form == "box" else 0.74),
                top + 0.012 + head * 0.75,
            ),
            "white",
        )
        model.add(
            ball(head * 0.09, 0.006, head * 0.09).moved(
                sx * head * 0.35,
                -head * (0.65 if form == "box" else 0.74) - 0.004,
                top + 0.012 + head * 0.75,
            ),
            "black",
        )
    if shape.chance("antenna", 0.7):
        model.add(tube([(0, 0, top + head * 1.3), (0, 0, top + head * 1.9)], 0.002, 6), "metal")
        model.add(ball(0.007, 0.007, 0.007).moved(z=top + head * 1.9), "second")
    model.add(
        prism(rounded(w * 1.1, h * 0.45, 0.008), 0.006, 0.002).moved(0, -w * 0.71, leg + h * 0.55),
        shape.pick("panel", ["white", "second", "black"]),
    )
    for at, x in enumerate((-0.3, 0.0, 0.3)):
        model.add(
            disc(0.005, 0.004).turned("x", 90).moved(x * w, -w * 0.75, leg + h * 0.55),
            ("second", "glow", "metal")[at],
        )


KINDS = (
    Kind(
        "toy car",
        "Toy cars",
        ("toy car", "toy vehicle"),
        ("wood", "plastic", "metal"),
        ("plain", "plain", "stripes", "dots"),
        (8, 34),
        "table",
        toy_car,
    ),
    Kind(
        "stacking toy",
        "Stacking toys",
        ("stacking toy", "stacking tower"),
        ("wood", "wood", "plastic"),
        ("plain",),
        (12, 38),
        "table",
        stacker,
    ),
    Kind(
        "toy robot",
        "Toy robots",
        ("toy robot", "robot"),
        ("plastic", "metal", "wood"),
        ("plain", "plain", "stripes", "check"),
        (14, 48),
        "table",
        robot,
    ),
)
