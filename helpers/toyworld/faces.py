"""Drawn faces: eighteen named factors in [0, 1] decide every pixel."""

import torch

from helpers.toyworld.shapes import Canvas, box, ellipse, named_factors, ramp, stroke

#: name of each factor -> what is drawn at 0 and at 1
FACTORS = {
    "smile": ("corners of the mouth down", "corners up"),
    "mouth_open": ("lips closed", "mouth wide open"),
    "lip_colour": ("pale lips", "deep red lips"),
    "eye_size": ("small eyes", "large eyes"),
    "eye_gap": ("eyes close together", "eyes far apart"),
    "brow_height": ("brows low", "brows raised"),
    "brow_tilt": ("brows slope inwards (stern)", "brows slope outwards (worried)"),
    "nose_size": ("small nose", "large nose"),
    "yaw": ("head turned to the left of the picture", "to the right"),
    "face_width": ("narrow face", "wide face"),
    "hair_length": ("short hair", "hair down to the shoulders"),
    "hair_colour": ("black hair", "fair hair"),
    "glasses": ("no glasses", "dark frames and tinted lenses"),
    "beard": ("shaven", "full beard"),
    "age": ("smooth skin", "deep wrinkles"),
    "skin": ("dark skin", "light skin"),
    "light": ("light from the left", "light from the right"),
    "background": ("blue", "through green and yellow to rose"),
}

HAIR = [(0.07, 0.06, 0.08), (0.32, 0.18, 0.10), (0.62, 0.36, 0.16), (0.93, 0.80, 0.48)]
SKIN = [(0.36, 0.22, 0.15), (0.66, 0.45, 0.32), (0.86, 0.67, 0.52), (0.98, 0.86, 0.76)]
LIPS = [(0.62, 0.42, 0.38), (0.70, 0.30, 0.32), (0.72, 0.06, 0.16)]
BACKGROUND = [(0.20, 0.33, 0.66), (0.22, 0.58, 0.55), (0.84, 0.76, 0.40), (0.80, 0.42, 0.48)]


def draw_faces(factors, size=64, hair=None):
    """Draw faces from a table of factors.

    factors: (batch, 18) in [0, 1], columns in the order of `FACTORS`; hair: its colours (batch, 3, 1, 1) in place of
    those of the factor. Returns (batch, 3, size, size), RGB in [0, 1].
    Raises ValueError for a table of another width or with values outside [0, 1].
    """
    f = named_factors(factors, FACTORS)
    hair = ramp(f["hair_colour"].flatten(), HAIR) if hair is None else hair
    skin = ramp(f["skin"].flatten(), SKIN)
    shade = skin * torch.tensor([0.66, 0.60, 0.58]).view(1, 3, 1, 1)
    canvas = Canvas(len(factors), size, ramp(f["background"].flatten(), BACKGROUND))
    canvas.picture = canvas.picture * (1.08 - 0.16 * canvas.y)
    turn = 2 * f["yaw"] - 1
    place = {
        "x": canvas.x,
        "y": canvas.y,
        "turn": turn,
        "head_x": 0.05 * turn,
        "features_x": 0.17 * turn,
        "half_width": 0.43 + 0.15 * f["face_width"],
        "eye_y": -0.02,
        "mouth_y": 0.40,
        "eye_gap": 0.145 + 0.135 * f["eye_gap"],
    }
    _behind(canvas, f, place, hair, skin, shade)
    _head(canvas, f, place, hair, skin, shade)
    _mouth(canvas, f, place)
    _eyes(canvas, f, place, hair, skin)
    _glasses(canvas, f, place)
    canvas.picture = canvas.picture * (1 + 0.42 * (2 * f["light"] - 1) * canvas.x).unsqueeze(1)
    return canvas.finish()


def _behind(canvas, f, p, hair, skin, shade):
    """Shoulders, the hair that hangs behind the face, neck and ears."""
    x, y = p["x"], p["y"]
    canvas.paint(ellipse(x, y, 0.0, 1.12, 0.86, 0.42), (0.30, 0.32, 0.40))
    bottom = 0.05 + 0.85 * f["hair_length"]
    crown = ellipse(x, y, p["head_x"], -0.10, p["half_width"] + 0.13, 0.66)
    curtain = box(x, y, p["head_x"], (bottom - 0.10) / 2, p["half_width"] + 0.13, (bottom + 0.10) / 2 + 0.02, 0.10)
    canvas.paint(torch.minimum(torch.maximum(crown, y - bottom), curtain), hair * 0.82)
    canvas.paint(box(x, y, 0.02 * p["turn"], 0.70, 0.20, 0.22, 0.08), shade)
    for side in (-1, 1):
        ear_x = p["head_x"] + side * (p["half_width"] - 0.01) - 0.05 * p["turn"]
        canvas.paint(ellipse(x, y, ear_x, 0.06, 0.07, 0.12), skin * 0.88)


def _head(canvas, f, p, hair, skin, shade):
    """The face itself, wrinkles, nose, beard and the fringe."""
    x, y, cx = p["x"], p["y"], p["features_x"]
    face = ellipse(x, y, p["head_x"], 0.06, p["half_width"], 0.66)
    canvas.paint(face, skin)
    # wrinkles: forehead, under the eyes, from the nose to the corners of the mouth
    for height in (-0.36, -0.29):
        arc = (y - height - 0.35 * (x - cx) ** 2).abs() - 0.014
        canvas.paint(torch.maximum(arc, (x - cx).abs() - 0.26), shade * 0.75, f["age"])
    for side in (-1, 1):
        canvas.paint(stroke(x, y, cx + side * 0.14, 0.20, cx + side * 0.30, 0.38, 0.018), shade * 0.75, f["age"])
        bag = (ellipse(x, y, cx + side * p["eye_gap"], p["eye_y"] + 0.04, 0.11, 0.115)).abs() - 0.012
        canvas.paint(torch.maximum(bag, p["eye_y"] + 0.09 - y), shade * 0.75, f["age"])
    # beard: the lower part of the face, and a moustache
    jaw = torch.maximum(face, 0.32 - 1.1 * (x - cx) ** 2 - y)
    canvas.paint(jaw, hair * 0.55 + 0.03, 0.92 * f["beard"])
    # nose, nearer to the viewer than the rest, so it turns further
    tip_x, grow = cx + 0.05 * p["turn"], 0.50 + 1.1 * f["nose_size"]
    canvas.paint(stroke(x, y, cx + 0.02 * p["turn"], 0.04, tip_x, 0.17, 0.035 * grow), shade, 0.55)
    canvas.paint(ellipse(x, y, tip_x, 0.18, 0.095 * grow, 0.062 * grow), shade)
    canvas.paint(ellipse(x, y, tip_x, 0.165, 0.060 * grow, 0.045 * grow), skin * 0.95)
    # fringe: the top of the head above a gently curved hairline
    skull = ellipse(x, y, p["head_x"], 0.02, p["half_width"] + 0.04, 0.70)
    hairline = y + 0.41 - 0.55 * (x - cx) ** 2
    canvas.paint(torch.maximum(skull, hairline), hair)


def _mouth(canvas, f, p):
    """Lips along a parabola; an opening between them that shows teeth."""
    x, y, half = p["x"], p["y"], 0.215
    u = ((x - p["features_x"]) / half).clamp(-1.2, 1.2)
    bend = 0.20 * (f["smile"] - 0.5)
    middle = p["mouth_y"] + bend * (1 - 2 * u * u)
    bow = (1 - u * u).clamp(min=0)
    opening = 0.125 * f["mouth_open"] * bow
    across = (y - middle - 0.5 * opening).abs()
    ends = (u.abs() - 1) * half
    canvas.paint(
        torch.maximum(across - opening - 0.052 * bow.sqrt() - 0.004, ends), ramp(f["lip_colour"].flatten(), LIPS)
    )
    canvas.paint(torch.maximum(across - opening + 0.004, ends), (0.16, 0.04, 0.06))
    teeth = torch.maximum(y - middle + 0.10 * opening, across - opening + 0.012)
    canvas.paint(torch.maximum(teeth, ends), (0.95, 0.94, 0.90))


def _eyes(canvas, f, p, hair, skin):
    """Eyes with iris, pupil and a glint; brows above them. The eye on the far side is narrower."""
    x, y = p["x"], p["y"]
    brow = torch.minimum(0.45 * hair, 0.30 * skin)  # darker than any skin, or fair brows would be invisible on some
    for side in (-1, 1):
        far = 1 - 0.28 * (side * p["turn"]).clamp(min=0)
        eye_x = p["features_x"] + side * p["eye_gap"] * far
        width, height = (0.060 + 0.058 * f["eye_size"]) * far, 0.036 + 0.064 * f["eye_size"]
        white = ellipse(x, y, eye_x, p["eye_y"], width, height)
        canvas.paint(white - 0.016, (0.12, 0.08, 0.08))
        canvas.paint(white, (0.97, 0.97, 0.95))
        iris = 0.030 + 0.030 * f["eye_size"]
        for radius, colour in ((iris, (0.24, 0.38, 0.50)), (0.55 * iris, (0.04, 0.04, 0.06))):
            canvas.paint(torch.maximum(ellipse(x, y, eye_x, p["eye_y"], radius, radius), white), colour)
        canvas.paint(ellipse(x, y, eye_x + 0.015, p["eye_y"] - 0.018, 0.013, 0.013), (1.0, 1.0, 1.0))
        brow_y = p["eye_y"] - 0.135 - 0.115 * f["brow_height"]
        slope = 0.075 * (2 * f["brow_tilt"] - 1)
        inner_x, outer_x = eye_x - side * 0.095 * far, eye_x + side * 0.105 * far
        canvas.paint(stroke(x, y, inner_x, brow_y - slope, outer_x, brow_y + slope, 0.028), brow)


def _glasses(canvas, f, p):
    """Frames and slightly tinted lenses around the eyes; the factor is how strongly they are drawn."""
    x, y = p["x"], p["y"]
    frame = (0.10, 0.08, 0.16)
    for side in (-1, 1):
        lens = box(x, y, p["features_x"] + side * p["eye_gap"], p["eye_y"] + 0.01, 0.150, 0.125, 0.07)
        canvas.paint(lens, (0.45, 0.62, 0.80), 0.30 * f["glasses"])
        canvas.paint(lens.abs() - 0.020, frame, f["glasses"])
        start = p["features_x"] + side * (p["eye_gap"] + 0.15)
        end = p["head_x"] + side * p["half_width"]
        canvas.paint(stroke(x, y, start, p["eye_y"] - 0.02, end, p["eye_y"] - 0.04, 0.016), frame, f["glasses"])
