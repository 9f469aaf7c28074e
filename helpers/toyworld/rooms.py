"""Drawn bedrooms: eighteen named factors in [0, 1] decide every pixel."""

import torch

from helpers.toyworld.shapes import Canvas, box, ellipse, named_factors, polygon, ramp, stroke

#: name of each factor -> what is drawn at 0 and at 1
FACTORS = {
    "wall": ("blue walls", "through green and cream to terracotta"),
    "floor": ("dark walnut floor", "pale ash floor"),
    "eye_height": ("seen from low down", "seen from high up"),
    "viewpoint": ("seen from the left", "seen from the right"),
    "bed_width": ("narrow bed", "wide bed"),
    "bed_height": ("low bed", "high bed"),
    "blanket": ("dark blue blanket", "through green and yellow to red"),
    "pillows": ("small flat pillows", "large plump pillows"),
    "window_place": ("window further to the left", "further to the right"),
    "window_size": ("small window", "large window"),
    "hour": ("night outside", "through blue noon to a red sunset"),
    "sun": ("daylight falls to the left", "to the right"),
    "curtains": ("curtains pulled aside", "half drawn"),
    "lamp": ("lamp switched off", "lamp glows"),
    "lamp_height": ("lamp hangs low", "lamp hangs high"),
    "picture": ("small picture above the bed", "large picture"),
    "rug": ("small rug", "large rug"),
    "plant": ("small plant", "large plant"),
}

WALL = [(0.36, 0.47, 0.60), (0.60, 0.70, 0.60), (0.90, 0.83, 0.70), (0.83, 0.56, 0.46)]
FLOOR = [(0.27, 0.17, 0.12), (0.52, 0.33, 0.20), (0.72, 0.52, 0.34), (0.82, 0.70, 0.54)]
BLANKET = [(0.14, 0.20, 0.42), (0.16, 0.46, 0.46), (0.88, 0.68, 0.26), (0.74, 0.20, 0.24)]
SKY_TOP = [(0.03, 0.05, 0.17), (0.12, 0.28, 0.62), (0.34, 0.64, 0.94), (0.66, 0.62, 0.72), (0.42, 0.22, 0.46)]
SKY_BOTTOM = [(0.12, 0.17, 0.40), (0.45, 0.55, 0.80), (0.84, 0.94, 0.98), (1.00, 0.84, 0.56), (1.00, 0.46, 0.22)]
AMBIENT = [(0.50, 0.53, 0.74), (0.76, 0.80, 0.92), (0.98, 0.98, 0.98), (1.04, 0.96, 0.85), (0.92, 0.74, 0.66)]
BEAM = [(0.30, 0.40, 0.70), (0.45, 0.50, 0.60), (0.52, 0.50, 0.42), (0.75, 0.52, 0.26), (1.00, 0.42, 0.14)]

WOOD, LINEN = torch.tensor([(0.50, 0.33, 0.22), (0.97, 0.94, 0.90)]).view(2, 1, 3, 1, 1)
HALF_WIDTH, HEIGHT, BED_X = 0.92, 1.20, 0.16  # of the room, whose back wall is 1 away


def draw_rooms(factors, size=64):
    """Draw bedrooms from a table of factors.

    factors: (batch, 18) in [0, 1], columns in the order of `FACTORS`. Returns (batch, 3, size, size), RGB in [0, 1].
    Raises ValueError for a table of another width or with values outside [0, 1].
    """
    f = named_factors(factors, FACTORS)
    hour = f["hour"].flatten()
    canvas = Canvas(len(factors), size, ramp(f["wall"].flatten(), WALL))
    eye = 0.48 + 0.46 * f["eye_height"]
    place = {"x": canvas.x, "y": canvas.y, "eye": eye, "shift": 0.6 * f["viewpoint"] - 0.3}
    place |= {"horizon": 0.34 - 0.12 * f["eye_height"] - eye, "ambient": ramp(hour, AMBIENT)}
    place |= {"window_x": -0.57 + 0.17 * f["window_place"], "window_half": 0.13 + 0.11 * f["window_size"]}
    _shell(canvas, f, place)
    _window(canvas, f, place, ramp(hour, SKY_TOP), ramp(hour, SKY_BOTTOM))
    _floor(canvas, f, place, ramp(hour, BEAM))
    _plant(canvas, f, place)
    _bed(canvas, f, place)
    canvas.picture = canvas.picture * place["ambient"]
    _lamp(canvas, f, place)
    canvas.picture = canvas.picture * (1 + 0.14 * (2 * f["sun"] - 1) * canvas.x).unsqueeze(1)
    return canvas.finish()


def _at(p, across, up, depth):
    """Where a point of the room is in the picture: across from the middle, up from the floor, depth from the viewer."""
    return (across - p["shift"]) / depth + 0.8 * p["shift"], p["horizon"] + (p["eye"] - up) / depth


def _quad(p, *points):
    """A convex polygon through points of the room, each (across, up, depth)."""
    return polygon(p["x"], p["y"], [_at(p, *point) for point in points])


def _block(canvas, p, left, right, bottom, top, near, far, colour):
    """A cuboid: the side that faces the viewer, if one does, then its front and its top, each with its own shade."""
    (_, highest), (_, lowest) = _at(p, left, top, near), _at(p, left, bottom, near)
    for side, edge, start, end, shade in ((1, left, far, near, 0.86), (-1, right, near, far, 0.52)):
        face = _quad(p, (edge, top, start), (edge, top, end), (edge, bottom, end), (edge, bottom, start))
        facing = (side * (edge - p["shift"]) / 0.04).clamp(0, 1)
        # nothing below the near corner, where the prolonged sides of a narrow polygon make a spike
        canvas.paint(torch.maximum(face, p["y"] - lowest), colour * shade, facing)
    front = _quad(p, (left, top, near), (right, top, near), (right, bottom, near), (left, bottom, near))
    canvas.paint(front, colour * (0.80 - 0.75 * (p["y"] - highest)).unsqueeze(1))
    canvas.paint(_quad(p, (left, top, far), (right, top, far), (right, top, near), (left, top, near)), colour)


def _shell(canvas, f, p):
    """Side walls, ceiling and back wall, darker towards its edges, with a skirting board and the framed picture."""
    wall, w, h = canvas.picture[:, :, :1, :1], HALF_WIDTH, HEIGHT
    canvas.picture = canvas.picture * torch.where(p["x"] < 0, 0.74, 0.82).unsqueeze(1)
    canvas.paint(_quad(p, (-w, h, 0.3), (w, h, 0.3), (w, h, 1), (-w, h, 1)), 0.25 * wall + 0.70)
    back = _quad(p, (-w, h, 1), (w, h, 1), (w, 0, 1), (-w, 0, 1))
    canvas.paint(back, wall * (1 - 0.20 * torch.exp(back.clamp(max=0) / 0.10)).unsqueeze(1))
    canvas.paint(_quad(p, (-w, 0.06, 1), (w, 0.06, 1), (w, 0, 1), (-w, 0, 1)), 0.30 * wall + 0.62)
    x, y = _at(p, BED_X, 0.82, 1)
    across, down = (p["x"] - x) / (0.40 + 0.60 * f["picture"]), (p["y"] - y) / (0.40 + 0.60 * f["picture"])
    canvas.paint(0.4 * box(across, down, 0.01, 0.02, 0.22, 0.17), wall * 0.5, 0.6)
    frame, sun, hill = box(across, down, 0, 0, 0.21, 0.165), ellipse(across, down, 0.05, -0.02, 0.05, 0.05), 0.05 - down
    canvas.paint(frame, (0.20, 0.15, 0.13))
    canvas.paint(frame + 0.035, (0.95, 0.90, 0.80))
    canvas.paint(sun, (0.90, 0.45, 0.25))
    canvas.paint(torch.maximum(hill - 0.04 * torch.cos(16 * across), frame + 0.035), (0.20, 0.36, 0.42))


def _window(canvas, f, p, top, bottom):
    """Sky over hills, a white frame and curtains; the sky shines by itself, whatever the light in the room."""
    x, y, half, tall = p["x"], p["y"], p["window_half"], 1.35 * p["window_half"]
    cx, cy = _at(p, p["window_x"], 0.66, 1)
    canvas.paint(box(x, y, cx, cy, half + 0.035, tall + 0.035), LINEN)
    pane = box(x, y, cx, cy, half, tall)
    blend = ((y - cy) / tall * 0.5 + 0.5).clamp(0, 1).unsqueeze(1)
    canvas.paint(pane, torch.lerp(top, bottom, blend) / p["ambient"])
    disc = ellipse(x, y, cx + 0.45 * half, cy - tall * (0.55 - 0.9 * (f["hour"] - 0.5).clamp(min=0)), 0.036, 0.036)
    canvas.paint(torch.maximum(disc, pane), (0.25 * bottom + 0.75) / p["ambient"])
    hill = cy + 0.62 * tall - 0.12 * tall * torch.cos(4 * (x - cx) / half + 0.6) - y
    canvas.paint(torch.maximum(hill, pane), (0.35 * top + 0.10 * bottom + 0.02) / p["ambient"])
    bars = torch.minimum((x - cx).abs(), (y - cy + 0.3 * tall).abs()) - 0.011
    canvas.paint(torch.maximum(bars, pane), LINEN)
    canvas.paint(box(x, y, cx, cy + tall + 0.045, half + 0.07, 0.022), (0.88, 0.86, 0.82))
    cover = 0.10 + 0.52 * f["curtains"]
    for side in (-1, 1):
        outer, inner = cx + side * (half + 0.07), cx + side * half * (1 - cover)
        folds = 0.88 + 0.12 * torch.cos(18 * (x - outer) / (outer - inner))
        cloth = box(x, y, (outer + inner) / 2, cy + 0.02, (outer - inner).abs() / 2, tall + 0.12, 0.01)
        canvas.paint(cloth, LINEN * folds.unsqueeze(1))
    canvas.paint(box(x, y, cx, cy - tall - 0.10, half + 0.11, 0.014, 0.014), (0.30, 0.22, 0.18))


def _floor(canvas, f, p, beam):
    """Planks that run towards the vanishing point, the rug, and the light that the window throws on both."""
    w, wood = HALF_WIDTH, ramp(f["floor"].flatten(), FLOOR)
    floor = _quad(p, (-w, 0, 1), (w, 0, 1), (w, 0, 0.3), (-w, 0, 0.3))
    depth = p["eye"] / (p["y"] - p["horizon"]).clamp(min=0.1)
    plank = ((p["x"] - 0.8 * p["shift"]) * depth + p["shift"]) / 0.15
    tone = (1.08 - 0.22 * depth + 0.05 * torch.sin(2.4 * plank.floor())).unsqueeze(1)
    canvas.paint(floor, wood * tone)
    canvas.paint(torch.maximum((plank - plank.round()).abs() * 0.15 / depth - 0.004, floor), wood * 0.6, 0.5)
    grow = 0.35 + 0.65 * f["rug"]
    (x, front), (_, back) = _at(p, -0.36, 0, 0.72 - 0.14 * grow), _at(p, -0.36, 0, 0.72 + 0.14 * grow)
    rug = ellipse(p["x"], p["y"], x, (front + back) / 2, 0.50 * grow, (front - back) / 2)
    canvas.paint(0.5 * rug - 0.008, wood * 0.4, 0.5)
    canvas.paint(rug, (0.66, 0.62, 0.60))
    canvas.paint((rug + 0.07 * grow).abs() - 0.016, (0.56, 0.30, 0.28))
    lean, left, right = f["sun"] - 0.5, p["window_x"] - p["window_half"], p["window_x"] + p["window_half"]
    near, far = [(right + lean, 0, 0.67), (left + lean, 0, 0.67)], [(left, 0, 0.96), (right, 0, 0.96)]
    light = _quad(p, *far, *near)
    canvas.picture = canvas.picture * (1 + canvas.mask(torch.maximum(0.5 * light, floor)).unsqueeze(1) * beam)


def _plant(canvas, f, p):
    """A pot in the left corner and a fan of leaves."""
    grow, (x, foot) = 0.35 + 0.65 * f["plant"], _at(p, -0.76, 0, 0.88)
    rim = foot - 0.15
    canvas.paint(0.3 * ellipse(p["x"], p["y"], x, foot, 0.13, 0.05), (0.05, 0.04, 0.05), 0.5)
    for lean, length in ((-0.26, 0.24), (0.28, 0.26), (-0.20, 0.40), (0.20, 0.42), (-0.06, 0.50), (0.07, 0.54)):
        tip, wide, middle = (x + lean * grow, rim - length * grow), 0.024 + 0.030 * grow, rim - 0.6 * length * grow
        left, right = ((x + 0.4 * lean * grow + side * wide, middle) for side in (-1, 1))
        green = (0.14 + 0.6 * abs(lean), 0.34 + 0.9 * abs(lean), 0.22)
        canvas.paint(polygon(p["x"], p["y"], [tip, right, (x, rim + 0.02), left]), green)
    canvas.paint(box(p["x"], p["y"], x, foot - 0.07, 0.085, 0.085, 0.03), (0.78, 0.46, 0.34))


def _bed(canvas, f, p):
    """Shadow, headboard, frame, mattress, pillows and blanket, from back to front; a bedside table to the right."""
    half, top = 0.22 + 0.17 * f["bed_width"], 0.15 + 0.17 * f["bed_height"]
    left, right = BED_X - half, BED_X + half
    blanket = ramp(f["blanket"].flatten(), BLANKET)
    _block(canvas, p, 0.62, 0.82, 0, 0.25, 0.84, 0.97, WOOD)
    canvas.paint(_quad(p, (0.65, 0.22, 0.84), (0.79, 0.22, 0.84), (0.79, 0.13, 0.84), (0.65, 0.13, 0.84)), WOOD)
    shadow = _quad(p, (left, 0, 1), (right, 0, 1), (right, 0, 0.65), (left, 0, 0.65))
    canvas.paint(0.25 * shadow - 0.012, (0.06, 0.04, 0.06), 0.6)
    board = _quad(p, (left, top + 0.19, 1), (right, top + 0.19, 1), (right, 0, 1), (left, 0, 1)) - 0.03
    canvas.paint(board, WOOD)
    canvas.paint((board + 0.045).abs() - 0.008, WOOD * 0.7)
    _block(canvas, p, left, right, 0.03, 0.10, 0.66, 0.99, WOOD)
    _block(canvas, p, left, right, 0.08, top, 0.66, 0.99, LINEN)
    for side in (-1, 1):
        wide, tall = half * (0.24 + 0.20 * f["pillows"]), 0.035 + 0.055 * f["pillows"]
        x, y = _at(p, BED_X + side * 0.48 * half, top + 0.01, 0.93)
        canvas.paint(box(p["x"], p["y"], x, y - tall + 0.012, wide + 0.01, tall + 0.015, 0.03), LINEN * 0.78)
        canvas.paint(box(p["x"], p["y"], x, y - tall, wide, tall, 0.03), LINEN)
    _block(canvas, p, left - 0.012, right + 0.012, 0.07, top + 0.012, 0.655, 0.86, blanket)
    fold = (left, top + 0.012, 0.86), (right, top + 0.012, 0.86), (right, top + 0.012, 0.80), (left, top + 0.012, 0.80)
    canvas.paint(_quad(p, *fold), 0.45 * blanket + 0.50)


def _lamp(canvas, f, p):
    """A lamp that hangs over the bedside table and warms what is near it."""
    x, y = _at(p, 0.72, 0.46 + 0.50 * f["lamp_height"], 0.90)
    canvas.paint(stroke(p["x"], p["y"], x, -1.1, x, y - 0.10, 0.010), (0.12, 0.10, 0.10))
    distance2 = (p["x"] - x) ** 2 + (p["y"] - y - 0.10) ** 2
    canvas.picture = canvas.picture * (1 + 0.25 * f["lamp"] * torch.exp(-distance2 / 0.8)).unsqueeze(1)
    warm = torch.tensor([1.0, 0.84, 0.56]).view(1, 3, 1, 1)
    canvas.picture = canvas.picture.lerp(warm, (0.65 * f["lamp"] * torch.exp(-distance2 / 0.09)).unsqueeze(1))
    shade = polygon(p["x"], p["y"], [(x - 0.06, y - 0.12), (x + 0.06, y - 0.12), (x + 0.14, y), (x - 0.14, y)])
    canvas.paint(shade - 0.016, (0.12, 0.10, 0.10))
    canvas.paint(shade, ramp(f["lamp"].flatten(), [(0.34, 0.30, 0.30), (1.0, 0.93, 0.70)]))
