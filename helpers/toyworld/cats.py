"""Drawn cats: nineteen named factors in [0, 1] decide every pixel."""

import torch

from helpers.toyworld.shapes import Canvas, box, ellipse, named_factors, ramp, stroke

#: name of each factor -> what is drawn at 0 and at 1
FACTORS = {
    "yaw": ("head turned to the left of the picture", "to the right"),
    "tilt": ("head tilted to the left of the picture", "to the right"),
    "height": ("cowering, head low", "sitting tall, head high"),
    "head_width": ("narrow head", "wide head with full cheeks"),
    "ear_size": ("small ears", "large ears"),
    "ear_spread": ("ears upright", "ears lowered to the sides"),
    "eye_size": ("small eyes", "large eyes"),
    "eye_colour": ("amber eyes", "through green to blue eyes"),
    "pupil": ("pupils narrow slits", "pupils wide and round"),
    "mouth_open": ("mouth closed", "mouth wide open (miaowing)"),
    "fur": ("charcoal fur", "through brown and ginger to cream"),
    "stripes": ("plain fur", "tabby stripes"),
    "white": ("hardly any white", "white muzzle, chest and socks"),
    "body_width": ("slim body", "stout body"),
    "tail": ("tail on the floor", "tail raised"),
    "collar": ("no collar", "red collar with a bell"),
    "cushion": ("blue cushion", "through violet to rose and yellow"),
    "light": ("light from the left", "light from the right"),
    "wall": ("blue wall", "through green to sand and pink"),
}

FUR = [(0.30, 0.29, 0.34), (0.50, 0.36, 0.28), (0.86, 0.53, 0.25), (0.93, 0.76, 0.55)]
EYES = [(0.98, 0.52, 0.08), (0.66, 0.84, 0.22), (0.25, 0.62, 0.92)]
CUSHION = [(0.20, 0.36, 0.62), (0.48, 0.34, 0.60), (0.80, 0.36, 0.44), (0.90, 0.68, 0.32)]
WALL = [(0.48, 0.63, 0.78), (0.56, 0.72, 0.62), (0.86, 0.78, 0.60), (0.84, 0.58, 0.60)]
WHITE, PINK, DARK = (0.97, 0.95, 0.92), (0.86, 0.52, 0.52), (0.10, 0.07, 0.10)


def draw_cats(factors, size=64):
    """Draw cats from a table of factors.

    factors: (batch, 19) in [0, 1], columns in the order of `FACTORS`. Returns (batch, 3, size, size), RGB in [0, 1].
    Raises ValueError for a table of another width or with values outside [0, 1].
    """
    f = named_factors(factors, FACTORS)
    fur = ramp(f["fur"].flatten(), FUR)
    canvas = Canvas(len(factors), size, ramp(f["wall"].flatten(), WALL))
    turn, angle = 2 * f["yaw"] - 1, 0.26 * (2 * f["tilt"] - 1)
    place = {"turn": turn, "light": 2 * f["light"] - 1}
    place |= {"head_x": 0.05 * turn + 0.35 * angle, "head_y": -0.05 - 0.19 * f["height"]}
    across, down = canvas.x - place["head_x"], canvas.y - place["head_y"]
    place |= {
        "u": across * angle.cos() + down * angle.sin(),  # the head's own axes: from its middle to its right ...
        "v": down * angle.cos() - across * angle.sin(),  # ... and to its chin
        "features_x": 0.13 * turn,
        "half_head": 0.40 + 0.12 * f["head_width"],
        "half_body": 0.32 + 0.17 * f["body_width"],
    }
    _room(canvas, f, place)
    _tail(canvas, f, place, fur)
    _body(canvas, f, place, fur)
    head = _head(canvas, f, place, fur)
    _muzzle(canvas, f, place, head)
    _eyes(canvas, f, place)
    canvas.picture = canvas.picture * (1 + 0.20 * place["light"] * canvas.x).unsqueeze(1)
    return canvas.finish()


def _solid(canvas, shape, colour, across, light, opacity=1.0):
    """Paint a rounded body: darker towards its outline, lighter there on the side (across, -1 to 1) of the light."""
    edge = torch.exp(shape.clamp(max=0) / 0.10)
    canvas.paint(shape, colour * (1.04 + edge * (0.34 * light * across - 0.22)).unsqueeze(1), opacity)


def _shadow(canvas, shape, caster):
    """Darken a shape inside and, fading, around a second one."""
    canvas.paint(shape, (0.11, 0.06, 0.11), 0.52 * torch.exp(-caster.clamp(min=0) / 0.065))


def _coat(fur, f, pattern):
    """Fur colour with darker stripes where the pattern, (batch, height, width) in [0, 1], is high."""
    return fur * (1 - 0.62 * f["stripes"] * pattern).unsqueeze(1)


def _room(canvas, f, p):
    """Wall with the light of a window, floor, and the cushion with the shadow of the cat."""
    x, y, light = canvas.x, canvas.y, p["light"]
    canvas.picture = canvas.picture * (0.93 - 0.10 * y)
    panes = box((x + 0.45 * light + 0.25 * light * y).abs(), (y + 0.47).abs(), 0.22, 0.25, 0.19, 0.22, 0.02)
    canvas.paint(panes, (1.0, 0.95, 0.80), 0.42)
    canvas.paint(0.46 - y, (0.93, 0.90, 0.86), 0.75)
    canvas.paint(0.53 - y, torch.tensor([0.58, 0.42, 0.32]).view(1, 3, 1, 1) * (0.70 + 0.42 * y))
    cushion = ellipse(x, y, 0.0, 0.83, 0.86, 0.17)
    canvas.paint(cushion - 0.05, (0.16, 0.10, 0.12), 0.30)
    _solid(canvas, cushion, ramp(f["cushion"].flatten(), CUSHION), x, light)
    _shadow(canvas, cushion, ellipse(x, y, -0.14 * light, 0.84, p["half_body"], 0.06))


def _tail(canvas, f, p, fur):
    """A chain of short strokes, every second one a stripe: curled up on the floor at 0, raised in a curve at 1."""
    x, y, tail = canvas.x, canvas.y, f["tail"]
    start_x, start_y, step, pieces = p["half_body"], 0.78, 0.070 + 0.045 * tail, []
    for i in range(7):
        heading = (1 - tail) * (0.30 - 0.20 * i) - tail * (0.75 + 0.40 * i - 0.055 * i * i)
        end_x, end_y = start_x + step * heading.cos(), start_y + step * heading.sin()
        pieces.append(stroke(x, y, start_x, start_y, end_x, end_y, 0.085 - 0.003 * i))
        start_x, start_y = end_x, end_y
    even, odd = torch.stack(pieces[::2]).amin(0), torch.stack(pieces[1::2]).amin(0)
    _solid(canvas, torch.minimum(even, odd), 0.92 * _coat(fur, f, canvas.mask(odd - even)), 0.5, p["light"])


def _body(canvas, f, p, fur):
    """Back, haunches, white chest, front legs and collar, and the shadow of the head on them."""
    x, y, half, light = canvas.x, canvas.y, p["half_body"], p["light"]
    out, across = x.abs(), (x / half).clamp(-1, 1)  # the body is the same on both sides
    bars = 0.5 + 0.5 * torch.cos(24 * (y - 0.12 * across.square()))
    coat = _coat(fur, f, (0.1 + 0.9 * across.square()) * bars)
    trunk = ellipse(x, y, 0.0, 0.52 + 0.5 * p["head_y"], half, 0.40 - 0.5 * p["head_y"])
    _solid(canvas, trunk, coat, across, light)
    _solid(canvas, ellipse(out, y, 0.86 * half, 0.66, 0.20, 0.23), coat, across, light)
    _solid(canvas, ellipse(out, y, half + 0.03, 0.85, 0.15, 0.075), fur, across, light)
    bib = ellipse(x, y, 0.0, p["head_y"] + 0.48, 0.02 + 0.22 * f["white"], 0.03 + 0.35 * f["white"])
    canvas.paint(torch.maximum(bib, trunk), WHITE, 0.92)
    limb = torch.minimum(stroke(out, y, 0.15, 0.48, 0.14, 0.80, 0.095), ellipse(out, y, 0.15, 0.86, 0.135, 0.085))
    fade = ((y - 0.46) / 0.20).clamp(0, 1)
    canvas.paint(limb - 0.035, 0.35 * fur, 0.5 * fade)
    _solid(canvas, limb, fur, (out - 0.15) / 0.1 * x.sign(), light, fade)
    canvas.paint(torch.maximum(limb, 0.90 - 0.34 * f["white"] - y), WHITE, 0.92 * fade)
    canvas.paint(stroke((out - 0.15).abs(), y, 0.04, 0.87, 0.04, 0.92, 0.008), DARK, 0.45)
    neck_x, neck_y = 0.6 * p["head_x"], p["head_y"]
    _shadow(canvas, trunk, ellipse(x, y, neck_x - 0.06 * light, neck_y + 0.16, 0.36, 0.24))
    ring = ellipse(x, y, neck_x, neck_y + 0.20, 0.32, 0.28)
    canvas.paint(torch.maximum(ring.abs() - 0.045, trunk), (0.80, 0.12, 0.16), f["collar"])
    canvas.paint(ellipse(x, y, neck_x, neck_y + 0.53, 0.07, 0.07), (0.86, 0.60, 0.16), f["collar"])
    canvas.paint(ellipse(x, y, neck_x, neck_y + 0.52, 0.045, 0.04), (1.0, 0.88, 0.45), f["collar"])


def _head(canvas, f, p, fur):
    """Ears, then the head with stripes that fan out from the bridge of the nose. Returns the outline of the head."""
    u, v, half = p["u"], p["v"], p["half_head"]
    length, lean = 0.34 + 0.22 * f["ear_size"], 0.05 + 0.95 * f["ear_spread"]
    inside = 0.58 * torch.tensor(PINK).view(1, 3, 1, 1) + 0.30 * fur
    for side in (-1, 1):
        out, up = side * (u + 0.05 * p["turn"]) - half + 0.17, -0.18 - v
        along, wide = out * lean.sin() + up * lean.cos(), out * lean.cos() - up * lean.sin()
        width = 0.23 * (1 - 0.25 * (side * p["turn"]).clamp(min=0))
        tip = (wide.abs() * length + along * width - width * length) / torch.hypot(width, length)
        ear = torch.maximum(tip, ellipse(wide, along, 0.0, 0.42 * length, 0.85 * width, 0.60 * length))
        _solid(canvas, ear, fur, side * 0.8, p["light"])
        canvas.paint(ear + 0.06, inside * (1 + 0.2 * side * p["light"]).unsqueeze(1))
    head = torch.minimum(ellipse(u, v, 0.0, 0.0, half, 0.37), ellipse(u, v, 0.0, 0.12, half + 0.03, 0.24))
    from_x, from_y = u - p["features_x"], v - 0.12
    fan = (0.5 + 0.5 * torch.cos(9.5 * torch.atan2(from_x, -from_y))) * canvas.mask(0.26 - torch.hypot(from_x, from_y))
    _solid(canvas, head, _coat(fur, f, fan), (u / half).clamp(-1, 1), p["light"])
    return head


def _muzzle(canvas, f, p, head):
    """White muzzle and blaze, mouth with tongue, whiskers and nose."""
    u, v = p["u"] - p["features_x"], p["v"]
    out, tip = u.abs(), u - 0.03 * p["turn"]
    blaze = ellipse(u, v, 0.0, 0.02, 0.03 + 0.06 * f["white"], 0.14 + 0.18 * f["white"])
    pads = ellipse(out, v, 0.085, 0.185, 0.09 + 0.09 * f["white"], 0.07 + 0.06 * f["white"])
    chin = ellipse(u, v, 0.0, 0.28, 0.02 + 0.09 * f["white"], 0.03 + 0.05 * f["white"])
    canvas.paint(torch.maximum(torch.minimum(torch.minimum(blaze, pads), chin), head), WHITE, 0.92)
    drop = 0.010 + 0.100 * f["mouth_open"]
    mouth = ellipse(tip, v, 0.0, 0.24, 0.07 + 0.015 * f["mouth_open"], drop)
    canvas.paint(mouth, (0.36, 0.06, 0.10))
    canvas.paint(torch.maximum(mouth + 0.01, ellipse(tip, v, 0.0, 0.24 + drop, 0.06, 0.6 * drop)), (0.90, 0.46, 0.48))
    smile = ellipse(tip.abs(), v, 0.06, 0.18, 0.06, 0.055).abs() - 0.010
    canvas.paint(torch.maximum(smile, 0.19 - v), DARK, 0.7)
    for rise in (-0.05, 0.04):
        canvas.paint(stroke(out, v, 0.18, 0.17 + 0.3 * rise, 0.56, 0.17 + 2 * rise, 0.006), WHITE, 0.7)
    canvas.paint(ellipse(tip, v, 0.0, 0.13, 0.055, 0.038), PINK)


def _eyes(canvas, f, p):
    """Dark rims, coloured eyes, pupils from slit to round, and glints. The eye on the far side is narrower."""
    v, radius = p["v"] + 0.05, 0.080 + 0.070 * f["eye_size"]
    colour = ramp(f["eye_colour"].flatten(), EYES) * (1.05 + 2.0 * v).unsqueeze(1)
    for side in (-1, 1):
        far = 1 - 0.25 * (side * p["turn"]).clamp(min=0)
        u = p["u"] - p["features_x"] - side * 0.20 * far
        eye = torch.maximum(ellipse(u, v, 0.0, 0.0, radius * far, radius), -0.80 * radius - 0.12 * side * u - v)
        canvas.paint(eye - 0.02, DARK)
        canvas.paint(eye, colour)
        pupil = ellipse(u, v, 0.0, 0.0, radius * far * (0.18 + 0.60 * f["pupil"]), 0.82 * radius)
        canvas.paint(torch.maximum(pupil, eye), (0.04, 0.03, 0.06))
        canvas.paint(ellipse(u, v, 0.03, -0.04, 0.024, 0.024), (1.0, 1.0, 1.0))
