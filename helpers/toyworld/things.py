"""Drawn things: animals, objects and people, one in each picture, for the model that is told what to draw."""

import torch

from helpers.toyworld import animals, objects
from helpers.toyworld.faces import FACTORS as FACE_FACTORS
from helpers.toyworld.faces import draw_faces
from helpers.toyworld.shapes import Canvas, ellipse, named_factors

#: name of each colour -> RGB. The first ten are those of the probing experiments of Liu et al. (2024)
COLOURS = {
    "red": (0.86, 0.13, 0.13),
    "blue": (0.14, 0.30, 0.88),
    "green": (0.13, 0.60, 0.20),
    "yellow": (0.97, 0.90, 0.18),
    "brown": (0.47, 0.29, 0.15),
    "pink": (0.98, 0.62, 0.76),
    "purple": (0.50, 0.14, 0.62),
    "black": (0.07, 0.07, 0.08),
    "white": (0.97, 0.97, 0.97),
    "orange": (0.97, 0.53, 0.10),
    "gray": (0.52, 0.52, 0.54),
    "beige": (0.90, 0.84, 0.68),
    "cyan": (0.10, 0.90, 0.95),
    "magenta": (0.93, 0.10, 0.80),
    "teal": (0.06, 0.48, 0.50),
    "lime": (0.60, 0.95, 0.12),
    "olive": (0.48, 0.48, 0.10),
    "navy": (0.06, 0.10, 0.40),
    "maroon": (0.45, 0.06, 0.12),
    "silver": (0.76, 0.78, 0.82),
    "gold": (0.85, 0.68, 0.14),
    "bronze": (0.70, 0.46, 0.24),
    "peach": (0.99, 0.78, 0.62),
    "coral": (0.97, 0.46, 0.38),
    "indigo": (0.29, 0.10, 0.60),
    "violet": (0.66, 0.48, 0.92),
    "turquoise": (0.26, 0.82, 0.76),
    "chocolate": (0.32, 0.17, 0.09),
}
PROBED_COLOURS = tuple(COLOURS)[:10]
#: name of each scene -> colours of the sky, of the ground, and of what is far away
SCENE_COLOURS = {
    "park": ((0.58, 0.80, 0.96), (0.46, 0.70, 0.30), (0.24, 0.48, 0.24)),
    "beach": ((0.72, 0.88, 0.98), (0.93, 0.84, 0.60), (0.22, 0.52, 0.74)),
    "snow": ((0.80, 0.84, 0.90), (0.95, 0.96, 0.99), (0.62, 0.70, 0.80)),
    "night": ((0.12, 0.14, 0.32), (0.24, 0.31, 0.34), (0.15, 0.19, 0.28)),
}
SCENES = tuple(SCENE_COLOURS)
PEOPLE = ("man", "woman")
KINDS = (*animals.ANIMALS, *objects.OBJECTS, *PEOPLE)
#: of equal shares of the drawings: a car, a man and a woman have two
_SHARES = (*KINDS, "car", *PEOPLE)
_COLOUR_SHARES = (*COLOURS, *PROBED_COLOURS)

#: what a picture can be said to show: name of a group -> its words
GROUPS = {
    "kind": KINDS,
    "colour": tuple(COLOURS),
    "scene": SCENES,
    "pose": ("standing", "sitting"),
    "facing": ("left", "right"),
    "size": ("small", "middling", "big"),
    "age": ("young", "middle-aged", "old"),
    "mood": ("sad", "calm", "smiling"),
    "glasses": ("no glasses", "glasses"),
}
#: name of each factor -> what is drawn at 0 and at 1
FACTORS = {
    "kind": ("a " + KINDS[0], "through all kinds, in the order of their names"),
    "colour": ("red", "through all colours, in the order of their names"),
    "natural": ("in the colour of that name", "below a half; animals in their own colour above"),
    "scene": ("in the park", "on the beach, in the snow, at night"),
    "pose": ("standing", "sitting from a half on (animals)"),
    "facing": ("to the left", "to the right from a half on"),
    "size": ("small", "big"),
    "across": ("at the left", "at the right"),
    "shade": ("a darker tone", "a lighter tone of the colour"),
    "light": ("light from the left", "light from the right"),
    "detail": ("first variant", "last variant of what differs among things of a kind"),
    **{f"face_{name}": meanings for name, meanings in FACE_FACTORS.items()},
}


def pick(shares, values):
    """Entries of a list at values in [0, 1], each with an equal share of the interval."""
    places = (values.flatten() * len(shares)).long().clamp(max=len(shares) - 1)
    return [shares[place] for place in places.tolist()]


def labels(factors):
    """What a table of factors (batch, factors) draws: (batch, groups), places in the tuples of `GROUPS`.

    -100 where a group does not apply: a house is neither old nor sitting, a cat in its own fur has no named colour.
    """
    f = named_factors(factors, FACTORS)
    kinds, value = pick(_SHARES, f["kind"]), {name: column.flatten() for name, column in f.items()}
    person = torch.tensor([kind in PEOPLE for kind in kinds])
    animal = torch.tensor([kind in animals.ANIMALS for kind in kinds])
    third = {name: (3 * value[name]).long().clamp(max=2) for name in ("size", "face_age", "face_smile")}
    found = {
        "kind": torch.tensor([KINDS.index(kind) for kind in kinds]),
        "colour": torch.tensor([tuple(COLOURS).index(name) for name in pick(_COLOUR_SHARES, f["colour"])]),
        "scene": torch.tensor([SCENES.index(name) for name in pick(SCENES, f["scene"])]),
        "pose": (value["pose"] > 0.5).long(),
        "facing": (value["facing"] > 0.5).long(),
        "size": third["size"],
        "age": third["face_age"],
        "mood": third["face_smile"],
        "glasses": (value["face_glasses"] > 0.5).long(),
    }
    apply = {"kind": torch.ones_like(person), "colour": ~(animal & (value["natural"] > 0.5)), "pose": animal}
    apply |= dict.fromkeys(("scene", "size"), ~person) | dict.fromkeys(("age", "mood", "glasses"), person)
    apply["facing"] = ~person & torch.tensor([kind != "hat" for kind in kinds])  # a hat is the same on both sides
    return torch.stack([torch.where(apply[name], found[name], -100) for name in GROUPS], dim=1)


def draw_things(factors, size=64):
    """Draw things from a table of factors.

    factors: (batch, 29) in [0, 1], columns in the order of `FACTORS`. Returns (batch, 3, size, size), RGB in [0, 1].
    Raises ValueError for a table of another width or with values outside [0, 1].
    """
    kinds = pick(_SHARES, named_factors(factors, FACTORS)["kind"])
    pictures = torch.zeros(len(factors), 3, size, size)
    for kind in sorted(set(kinds)):
        rows = [row for row, found in enumerate(kinds) if found == kind]
        pictures[rows] = _draw_kind(kind, factors[rows], size)
    return pictures


def _draw_kind(kind, factors, size):
    f = named_factors(factors, FACTORS)
    colour = torch.tensor([COLOURS[name] for name in pick(_COLOUR_SHARES, f["colour"])])
    if kind in animals.ANIMALS:
        own = torch.tensor(animals.ANIMALS[kind].colour)
        colour = torch.where(f["natural"].view(-1, 1) > 0.5, own, colour)
    colour = colour.view(-1, 3, 1, 1)
    colour = (colour * (0.92 + 0.16 * f["shade"]).unsqueeze(1)).clamp(0, 1)
    if kind in PEOPLE:
        return draw_faces(_face_factors(kind, f), size, hair=colour)
    canvas = Canvas(len(factors), size, torch.zeros(1, 3, 1, 1))
    _scene(canvas, pick(SCENES, f["scene"]))
    scale, facing = 0.54 + 0.24 * f["size"], torch.where(f["facing"] > 0.5, 1.0, -1.0)
    place = {
        "u": (canvas.x - 0.18 * (2 * f["across"] - 1)) / scale * facing,  # the thing's own axes, from its middle ...
        "v": (canvas.y - (0.80 - scale)) / scale,  # ... to its front and to the ground, which it meets at v = 1
        "scale": scale,
    }
    shadow = ellipse(place["u"], place["v"], 0.0, 1.0, 0.85, 0.10) * scale
    canvas.paint(canvas.soften(shadow, 0.10), (0.05, 0.05, 0.10), 0.35)
    drawer = animals.draw_animal if kind in animals.ANIMALS else objects.draw_object
    drawer(kind, canvas, f, place, colour)
    canvas.picture = canvas.picture * (1 + 0.22 * (2 * f["light"] - 1) * canvas.x).unsqueeze(1)
    return canvas.finish()


def _face_factors(kind, f):
    """Factors of `helpers.toyworld.faces` of a man or a woman."""
    face = {name: f[f"face_{name}"].flatten() for name in FACE_FACTORS}
    face["glasses"] = (face["glasses"] > 0.5).float()
    man = kind == "man"
    face["beard"] = face["beard"] if man else torch.zeros_like(face["beard"])
    face["hair_length"] = 0.2 * face["hair_length"] if man else 0.6 + 0.4 * face["hair_length"]
    face["lip_colour"] = 0.5 * face["lip_colour"] + (0.0 if man else 0.5)
    return torch.stack([face[name] for name in FACE_FACTORS], dim=1)


def _scene(canvas, names):
    """Sky, what is far away, and the ground."""
    x, y = canvas.x, canvas.y
    chosen = torch.tensor([SCENE_COLOURS[name] for name in names])  # (batch, 3, RGB)
    sky, ground, far = (colour.view(-1, 3, 1, 1) for colour in chosen.unbind(1))
    _, is_beach, is_snow, is_night = (torch.tensor([n == s for n in names]).float().view(-1, 1, 1) for s in SCENES)
    canvas.picture = canvas.picture + sky * (0.94 - 0.10 * y)
    hills = 0.10 - (1 - is_beach) * (0.16 + 0.10 * torch.sin(3.1 * x + 0.7) + 0.05 * torch.sin(9.0 * x))
    canvas.paint(hills - y, far)
    canvas.paint(ellipse(x, y, 0.66, -0.68, 0.13, 0.13), (0.97, 0.94, 0.78), 1 - is_snow)
    for star in ((-0.8, -0.8), (-0.35, -0.62), (0.1, -0.86), (-0.62, -0.35), (0.35, -0.45), (0.88, -0.30)):
        canvas.paint(ellipse(x, y, *star, 0.022, 0.022), (1.0, 1.0, 0.9), is_night)
    for flake in ((-0.7, -0.7), (-0.2, -0.85), (0.4, -0.65), (0.8, -0.85), (-0.9, -0.2), (0.85, -0.15), (-0.45, -0.4)):
        canvas.paint(ellipse(x, y, *flake, 0.035, 0.035), (1.0, 1.0, 1.0), is_snow)
    canvas.paint(0.22 - y, ground * (1.06 - 0.14 * y))
