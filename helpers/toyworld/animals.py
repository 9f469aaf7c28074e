"""Ten animals, drawn as one animal with other proportions."""

from typing import NamedTuple

import torch

from helpers.toyworld.shapes import ellipse, polygon, stroke

DARK = (0.08, 0.06, 0.08)


class Animal(NamedTuple):
    """Lengths are in units of half the animal's height; colour: its own, RGB. coat: what is drawn on it."""

    colour: tuple
    leg: float
    body: float  # half the thickness of the trunk
    neck: float
    head: float
    muzzle: float
    ears: str
    tail: str
    coat: str = "plain"


ANIMALS = {
    "dog": Animal((0.74, 0.52, 0.32), 0.46, 0.23, 0.34, 0.25, 0.24, "hanging", "up"),
    "giraffe": Animal((0.95, 0.78, 0.42), 0.62, 0.20, 1.00, 0.16, 0.20, "small", "thin", "patches"),
    "horse": Animal((0.50, 0.30, 0.18), 0.66, 0.24, 0.60, 0.18, 0.34, "small", "full", "mane"),
    "lion": Animal((0.88, 0.68, 0.36), 0.46, 0.25, 0.36, 0.25, 0.14, "round", "tuft", "ruff"),
    "rabbit": Animal((0.78, 0.74, 0.72), 0.22, 0.30, 0.30, 0.26, 0.08, "long", "ball"),
    "sheep": Animal((0.95, 0.93, 0.86), 0.36, 0.36, 0.22, 0.22, 0.12, "side", "ball", "wool"),
    "cat": Animal((0.55, 0.55, 0.60), 0.36, 0.20, 0.30, 0.26, 0.05, "pointed", "up"),
    "monkey": Animal((0.46, 0.32, 0.22), 0.44, 0.21, 0.28, 0.27, 0.06, "side", "curl", "mask"),
    "leopard": Animal((0.92, 0.76, 0.44), 0.44, 0.22, 0.30, 0.23, 0.12, "round", "up", "spots"),
    "tiger": Animal((0.95, 0.56, 0.16), 0.46, 0.25, 0.30, 0.26, 0.14, "round", "up", "stripes"),
}


def draw_animal(kind, canvas, f, place, colour):
    """Paint an animal on a canvas: place holds its own axes u (to its front) and v (to the ground), and its scale."""
    animal, u, v, scale = ANIMALS[kind], place["u"], place["v"], place["scale"]
    sitting = (f["pose"] > 0.5).float()
    height = 1 - animal.leg - animal.body
    rump_x, rump_y = -0.50 + 0.18 * sitting, height + sitting * (0.98 - animal.body - height)
    chest_x, chest_y = 0.34 - 0.18 * sitting, height - 0.10 * sitting
    head_x, head_y = chest_x + 0.10 + 0.34 * animal.neck, chest_y - 0.12 - 0.85 * animal.neck
    bright = (colour.mean(1, keepdim=True) > 0.30).float()
    marks = bright * 0.22 * colour + (1 - bright) * (colour + 0.34)

    def paint(shape, with_colour, opacity=1.0):
        canvas.paint(shape * scale, with_colour, opacity)

    def limb(x, top, foot_x, tone):
        paint(stroke(u, v, x, top, foot_x, 0.93, 0.075), tone)

    far, shaded = 0.66 * colour, 0.84 * colour
    _tail(animal, paint, u, v, rump_x - animal.body, rump_y, sitting, colour, marks)
    limb(chest_x + 0.12, chest_y, chest_x + 0.14, far)
    paint(stroke(u, v, rump_x + 0.12, rump_y, rump_x + 0.12, 0.93, 0.075), far, 1 - sitting)
    neck = stroke(u, v, chest_x, chest_y, head_x - 0.06, head_y + 0.05, 0.58 * animal.body)
    trunk = torch.minimum(stroke(u, v, rump_x, rump_y, chest_x, chest_y, animal.body), neck)
    light = (1.10 - 0.26 * (v - height + 0.2)).clamp(0.7, 1.15).unsqueeze(1)
    if animal.coat == "wool":
        bumps = [
            ellipse(u, v, rump_x + 0.17 * i, rump_y + (chest_y - rump_y) * i / 5, 0.30, 0.36 + 0.05 * (i % 2))
            for i in range(6)
        ]
        trunk = torch.minimum(trunk, torch.stack(bumps).amin(0))
    paint(trunk, colour * light)
    _coat(animal, paint, u, v, trunk, marks)
    limb(chest_x - 0.02, chest_y, chest_x - 0.02, shaded)
    paint(stroke(u, v, rump_x - 0.06, rump_y, rump_x - 0.08, 0.93, 0.085), shaded, 1 - sitting)
    paint(ellipse(u, v, rump_x + 0.10, 0.78, 0.26, 0.21), shaded, sitting)
    paint(stroke(u, v, rump_x + 0.16, 0.93, rump_x + 0.34, 0.93, 0.06), shaded, sitting)
    _head(animal, paint, u, v, head_x, head_y, colour, marks)


def _tail(animal, paint, u, v, x, y, sitting, colour, marks):
    reach = 0.24 if animal.tail == "thin" else 0.34
    if animal.tail == "ball":
        return paint(ellipse(u, v, x, y - 0.02, 0.13, 0.13), 1.1 * colour)
    rise = {"up": -0.40, "curl": -0.46, "tuft": 0.16, "thin": 0.24, "full": 0.42}[animal.tail]
    rise = rise - 0.2 * sitting
    width = 0.10 if animal.tail == "full" else 0.05
    middle_x, middle_y, end_x, end_y = x - 0.6 * reach, y + 0.3 * rise, x - 0.75 * reach, y + rise
    tone = marks if animal.tail == "full" else 0.8 * colour
    for start in (((x + 0.1), y, middle_x, middle_y), (middle_x, middle_y, end_x, end_y)):
        paint(stroke(u, v, *start, width), tone)
    if animal.tail == "curl":
        paint(ellipse(u, v, end_x + 0.12, end_y, 0.13, 0.13).abs() - 0.045, tone)
    if animal.tail == "tuft":
        paint(ellipse(u, v, end_x, end_y, 0.10, 0.12), marks)


def _coat(animal, paint, u, v, trunk, marks):
    if animal.coat == "stripes":
        paint(torch.maximum(0.045 - (u * 6.5 + 1.2 * v).sin().abs() * 0.14, trunk), marks, 0.95)
    if animal.coat in ("spots", "patches"):
        cell, radius = (0.17, 0.045) if animal.coat == "spots" else (0.24, 0.095)
        row = (v / cell).floor()
        across = (u / cell + 0.5 * row.remainder(2)).remainder(1) - 0.5
        down = (v / cell).remainder(1) - 0.5
        paint(torch.maximum(torch.hypot(across, down) * cell - radius, trunk), marks, 0.9)


def _head(animal, paint, u, v, x, y, colour, marks):
    size, face = animal.head, colour
    if animal.coat == "ruff":
        paint(ellipse(u, v, x - 0.04, y + 0.02, size + 0.20, size + 0.20), 0.52 * colour)
    if animal.coat == "mane":
        paint(stroke(u, v, x - 0.10, y - 0.10, x - 0.36, y + 0.50, 0.09), marks)
    if animal.coat == "wool":
        face = marks
    for side in (-1, 1):
        _ear(animal.ears, paint, u, v, x, y, size, side, 0.8 * face if side < 0 else face)
    paint(ellipse(u, v, x, y, size, 0.94 * size), 1.06 * face)
    tip = x + 0.7 * size + 0.6 * animal.muzzle
    pale = face * 0.7 + 0.28
    if animal.coat == "mask":
        paint(ellipse(u, v, x + 0.06, y + 0.03, 0.74 * size, 0.74 * size), pale)
    slope, tone = 0.45 * animal.muzzle, 1.06 * face if animal.muzzle > 0.1 else pale
    paint(stroke(u, v, x + 0.3 * size, y + 0.25 * size, tip, y + 0.30 * size + slope, 0.42 * size), tone)
    paint(ellipse(u, v, tip + 0.28 * size, y + 0.16 * size + slope, 0.055, 0.045), DARK)
    if animal.coat == "stripes":
        for i in (-1, 0, 1):
            paint(stroke(u, v, x - 0.10 + 0.10 * i, y - 0.9 * size, x - 0.07 + 0.07 * i, y - 0.55 * size, 0.02), marks)
    paint(ellipse(u, v, x + 0.30 * size, y - 0.22 * size, 0.075, 0.085), (0.98, 0.98, 0.96))
    paint(ellipse(u, v, x + 0.36 * size, y - 0.22 * size, 0.045, 0.055), DARK)


def _ear(kind, paint, u, v, x, y, size, side, colour):
    x = x + side * 0.42 * size - 0.06
    if kind in ("pointed", "small"):
        wide, high = (0.13, 0.30) if kind == "pointed" else (0.06, 0.17)
        top = y - 0.70 * size
        paint(polygon(u, v, [(x, top - high), (x + wide, top + 0.12), (x - wide, top + 0.12)]), colour)
    elif kind == "round":
        paint(ellipse(u, v, x, y - 0.85 * size, 0.10, 0.10), colour)
    elif kind == "long":
        paint(ellipse(u, v, x, y - size - 0.20, 0.075, 0.30), colour)
    elif kind == "hanging":
        paint(ellipse(u, v, x - 0.06 + 0.02 * side, y - 0.15 * size, 0.10, 0.22), 0.7 * colour)
    else:
        paint(ellipse(u, v, x + side * 0.55 * size, y - 0.05, 0.11, 0.09), colour)
