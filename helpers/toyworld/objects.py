"""Eight objects in one colour each."""

import torch

from helpers.toyworld.shapes import box, ellipse, polygon, stroke

DARK, GLASS, WOOD = (0.10, 0.10, 0.12), (0.66, 0.84, 0.92), (0.50, 0.34, 0.20)


def draw_object(kind, canvas, f, place, colour):
    """Paint an object on a canvas: place holds its own axes u (to its front) and v (to the ground), and its scale."""
    u, v, scale = place["u"], place["v"], place["scale"]

    def paint(shape, with_colour, opacity=1.0):
        canvas.paint(shape * scale, with_colour, opacity)

    lit = colour * (1.08 - 0.18 * v).clamp(0.75, 1.2).unsqueeze(1)
    OBJECTS[kind](paint, u, v, f["detail"], lit, 0.68 * colour)


def _car(paint, u, v, detail, lit, dark):
    roof = 0.10 + 0.20 * detail
    paint(polygon(u, v, [(-0.72, 0.42), (-0.52, -roof), (0.22, -roof), (0.56, 0.42)]) - 0.03, lit)
    paint(polygon(u, v, [(-0.58, 0.36), (-0.44, -roof + 0.08), (-0.18, -roof + 0.08), (-0.18, 0.36)]), GLASS)
    paint(polygon(u, v, [(-0.08, 0.36), (-0.08, -roof + 0.08), (0.18, -roof + 0.08), (0.42, 0.36)]), GLASS)
    paint(box(u, v, 0.0, 0.56, 1.0, 0.22, 0.14), lit)
    paint(box(u, v, 0.0, 0.72, 0.98, 0.06, 0.05), dark)
    paint(ellipse(u, v, 0.94, 0.50, 0.07, 0.07), (1.0, 0.96, 0.70))
    paint(box(u, v, -0.97, 0.50, 0.04, 0.07, 0.02), (0.80, 0.10, 0.10))
    for x in (-0.56, 0.56):
        paint(ellipse(u, v, x, 0.78, 0.23, 0.23), DARK)
        paint(ellipse(u, v, x, 0.78, 0.11, 0.11), (0.75, 0.76, 0.78))


def _chair(paint, u, v, detail, lit, dark):
    for x in (-0.40, 0.46):
        paint(stroke(u, v, x, 0.30, x, 0.95, 0.05), dark)
    paint(stroke(u, v, -0.56, 0.30, -0.60, 0.95, 0.06), lit)
    paint(stroke(u, v, 0.30, 0.30, 0.32, 0.95, 0.06), lit)
    paint(polygon(u, v, [(-0.62, -0.95), (-0.24, -0.85), (-0.24, 0.30), (-0.62, 0.30)]) - 0.05, lit)
    paint(
        polygon(u, v, [(-0.52, -0.72), (-0.34, -0.66), (-0.34, 0.05 - 0.3 * detail), (-0.52, 0.05 - 0.3 * detail)]),
        dark,
    )
    paint(polygon(u, v, [(-0.60, 0.14), (0.42, 0.14), (0.54, 0.32), (-0.60, 0.32)]) - 0.05, lit)
    paint(box(u, v, -0.06, 0.38, 0.58, 0.05, 0.03), dark)


def _cup(paint, u, v, detail, lit, dark):
    paint(ellipse(u, v, 0.66, 0.22, 0.32, 0.38).abs() - 0.075, dark)
    paint(box(u, v, 0.0, 0.26, 0.62, 0.70, 0.22), lit)
    paint(ellipse(u, v, 0.0, -0.42, 0.62, 0.17), lit)
    paint(ellipse(u, v, 0.0, -0.42, 0.52, 0.12), (0.30, 0.18, 0.10))
    paint(box(u, v, 0.0, 0.30, 0.62, 0.09, 0.0), (0.98, 0.97, 0.94), 0.9 * (detail > 0.5).float())


def _house(paint, u, v, detail, lit, dark):
    paint(box(u, v, 0.42, -0.62, 0.11, 0.30), WOOD)
    paint(box(u, v, 0.0, 0.42, 0.78, 0.58, 0.02), lit)
    paint(polygon(u, v, [(0.0, -0.98), (0.98, -0.10), (-0.98, -0.10)]), dark)
    paint(box(u, v, 0.0, 0.64, 0.17, 0.36, 0.02), WOOD)
    for x in (-0.46, 0.46):
        paint(box(u, v, x, 0.32, 0.18, 0.18, 0.02), (0.98, 0.97, 0.94))
        paint(box(u, v, x, 0.32, 0.14, 0.14, 0.02), GLASS)


def _hat(paint, u, v, detail, lit, dark):
    paint(ellipse(u, v, 0.0, 0.74, 0.98, 0.24), dark)
    paint(ellipse(u, v, 0.0, 0.68, 0.98, 0.20), lit)
    paint(box(u, v, 0.0, 0.18 - 0.15 * detail, 0.52, 0.54 + 0.15 * detail, 0.20), lit)
    paint(box(u, v, 0.0, 0.52, 0.52, 0.10, 0.0), (0.98, 0.97, 0.94))


def _boat(paint, u, v, detail, lit, dark):
    paint(stroke(u, v, 0.0, -0.95, 0.0, 0.5, 0.04), WOOD)
    paint(polygon(u, v, [(0.08, -0.88), (0.80, 0.38), (0.08, 0.38)]), (0.97, 0.96, 0.92))
    paint(polygon(u, v, [(-0.08, -0.70), (-0.08, 0.38), (-0.52 - 0.15 * detail, 0.38)]), 0.85 * lit + 0.1)
    paint(polygon(u, v, [(-0.95, 0.48), (0.98, 0.48), (0.62, 0.98), (-0.66, 0.98)]), lit)
    paint(box(u, v, 0.0, 0.54, 0.92, 0.06, 0.0), dark)


def _flower(paint, u, v, detail, lit, dark):
    green = (0.16, 0.42, 0.14)
    paint(stroke(u, v, 0.0, -0.2, 0.05, 0.98, 0.055), green)
    paint(ellipse(u + 0.5 * v, v, 0.10, 0.62, 0.32, 0.11), green)
    paint(ellipse(u - 0.5 * v, v, 0.02, 0.48, 0.28, 0.10), green)
    for i in range(6):
        angle = 1.0472 * i + 0.5 * detail
        petal = ellipse(u - 0.36 * angle.cos(), v + 0.40 - 0.36 * angle.sin(), 0.0, 0.0, 0.25, 0.25)
        paint(petal, dark if i % 2 else lit)
    paint(ellipse(u, v, 0.0, -0.40, 0.20, 0.20), (0.98, 0.84, 0.30))


def _umbrella(paint, u, v, detail, lit, dark):
    paint(stroke(u, v, 0.0, -0.9, 0.0, 0.86, 0.04), WOOD)
    paint(torch.maximum(ellipse(u, v, 0.12, 0.84, 0.13, 0.13).abs() - 0.04, 0.84 - v), WOOD)
    dome = torch.maximum(ellipse(u, v, 0.0, 0.0, 0.98, 0.90), v - 0.02)
    for x in (-0.66, 0.0, 0.66):
        dome = torch.maximum(dome, -ellipse(u, v, x, 0.10, 0.32, 0.17))
    paint(dome, lit)
    inner = torch.maximum(ellipse(u, v, 0.0, 0.0, 0.36 + 0.2 * detail, 0.90), dome)
    paint(inner, dark)


#: name of each object -> what draws it
OBJECTS = {
    "car": _car,
    "chair": _chair,
    "cup": _cup,
    "house": _house,
    "hat": _hat,
    "boat": _boat,
    "flower": _flower,
    "umbrella": _umbrella,
}
