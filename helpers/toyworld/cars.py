"""Drawn cars: seventeen named factors in [0, 1] decide every pixel."""

import torch

from helpers.toyworld.landscape import paint_landscape
from helpers.toyworld.shapes import Canvas, box, ellipse, named_factors, ramp

#: name of each factor -> what is drawn at 0 and at 1
FACTORS = {
    "length": ("short body", "long body"),
    "clearance": ("body close to the road", "body high above it"),
    "roof_height": ("low roof", "tall roof"),
    "cabin": ("coupe: the roof ends early", "van: it reaches the rear"),
    "bonnet": ("nose slopes down", "nose high and square"),
    "wheel_size": ("small wheels", "large wheels"),
    "rims": ("black rims", "bright rims"),
    "colour": ("yellow", "through red and blue to green"),
    "stripe": ("plain side", "pale stripe along it"),
    "two_tone": ("roof in the colour of the body", "cream roof"),
    "tint": ("black windows", "clear windows"),
    "headlights": ("lights off", "lights glow"),
    "yaw": ("turned to show the rear", "to show the front"),
    "roof_rack": ("bare roof", "luggage on the roof"),
    "time": ("dawn", "through day to dusk"),
    "season": ("green hills of spring", "through gold and russet to snow"),
    "light": ("sun on the left", "sun on the right"),
}

PAINT = [(0.96, 0.76, 0.26), (0.86, 0.26, 0.18), (0.56, 0.18, 0.40), (0.20, 0.36, 0.74), (0.10, 0.54, 0.46)]
GLASS = [(0.06, 0.07, 0.10), (0.24, 0.34, 0.44), (0.62, 0.80, 0.88)]
ZENITH = [(0.48, 0.52, 0.76), (0.30, 0.58, 0.88), (0.14, 0.15, 0.36)]
HORIZON = [(1.00, 0.80, 0.68), (0.80, 0.92, 0.97), (0.94, 0.50, 0.38)]
AMBIENT = [(1.02, 0.90, 0.86), (1.06, 1.06, 1.04), (0.64, 0.58, 0.74)]


def draw_cars(factors, size=64):
    """Draw cars from a table of factors.

    factors: (batch, 17) in [0, 1], columns in the order of `FACTORS`. Returns (batch, 3, size, size), RGB in [0, 1].
    Raises ValueError for a table of another width or with values outside [0, 1].
    """
    f = named_factors(factors, FACTORS)
    paint, glass = ramp(f["colour"].flatten(), PAINT), ramp(f["tint"].flatten(), GLASS)
    zenith, horizon, ambient = (ramp(f["time"].flatten(), colours) for colours in (ZENITH, HORIZON, AMBIENT))
    canvas = Canvas(len(factors), size, horizon / ambient)  # the ambient light comes last, over everything
    paint_landscape(canvas, f, zenith / ambient, horizon / ambient)
    place = _place(canvas, f)
    _body(canvas, f, place, paint)
    _cabin(canvas, f, place, paint, glass)
    _wheels(canvas, f, place)
    canvas.picture = canvas.picture * ambient * (1 + 0.30 * (2 * f["light"] - 1) * canvas.x).unsqueeze(1)
    _headlights(canvas, f, place)
    return canvas.finish()


def _place(canvas, f):
    """Where everything is: coordinates u, v in the plane of the near side, the way to the far side, and the outline."""
    angle = 0.56 * (2 * f["yaw"] - 1)
    lean, rise, width = torch.tan(angle), 0.18, 0.52
    x = canvas.x - 0.5 * width * torch.sin(angle)
    half, sill = 0.68 + 0.19 * f["length"], -0.09 - 0.14 * f["clearance"]
    belt = sill - 0.31
    roof = belt - 0.19 - 0.22 * f["roof_height"]
    return {
        "u": x / torch.cos(angle),
        "v": canvas.y - 0.64 + rise * lean * x,
        "far": (-width * lean, -rise * width / torch.cos(angle)),
        "half": half,
        "sill": sill,
        "belt": belt,
        "nose": (-half, sill - 0.11 - 0.18 * f["bonnet"]),
        "cowl": (-0.42 * half, belt),
        "roof_front": (0.19 - 0.42 * half, roof),
        "roof_rear": ((0.14 + 0.76 * f["cabin"]) * half, roof),
        "deck": ((0.66 + 0.32 * f["cabin"]) * half, belt),
        "boot": (half, belt + 0.05),
        "lamp": sill - 0.075 - 0.135 * f["bonnet"],
        "radius": 0.125 + 0.065 * f["wheel_size"],
        "axle": 0.62 * half,
    }


def _beyond(p, start, end, share=0.0):
    """Signed distance from the line start-end, moved by a share of the way to the far side; negative below a roof."""
    along_u, along_v = end[0] - start[0], end[1] - start[1]
    length = torch.hypot(along_u, along_v)
    from_start = p["u"] - start[0] - share * p["far"][0]
    return (from_start * along_v + (start[1] + share * p["far"][1]) * along_u) / length - p["v"] * (along_u / length)


def _panel(canvas, p, start, end, colour, along=(0.0, 1.0), across=(0.0, 1.0)):
    """Paint the surface between an edge of the near side and the same edge of the far side, where it faces us.

    along and across: which part of it, from the edge's start to its end and from the near side to the far one.
    """
    edge, far, middle = (end[0] - start[0], end[1] - start[1]), p["far"], sum(along) / 2
    length, depth = torch.hypot(*edge), torch.hypot(*far)
    sine = (far[0] * edge[1] - far[1] * edge[0]) / (length * depth)  # of the angle at the corners, seen from outside
    centre = (start[0] + middle * edge[0], start[1] + middle * edge[1])
    a = _beyond(p, centre, (centre[0] + far[0], centre[1] + far[1])).abs() - (along[1] - along[0]) / 2 * length * sine
    b = _beyond(p, start, end, sum(across) / 2).abs() - (across[1] - across[0]) / 2 * depth * sine
    canvas.paint(torch.maximum(a, b), colour, (5 * sine - 0.25).clamp(0, 1))


def _body(canvas, f, p, paint):
    """The shadow, what is seen of the body from above and from the end, and its near side up to the windows."""
    u, v, half, sill, belt, (far_u, far_v) = p["u"], p["v"], p["half"], p["sill"], p["belt"], p["far"]
    shadow = box(u, v, 0.5 * far_u + 0.10 * (1 - 2 * f["light"]), 0.4 * far_v, half + 0.02, 0.085, 0.08)
    canvas.paint(canvas.soften(shadow, 0.16), (0.07, 0.08, 0.12), 0.85)
    far_wheels = torch.hypot((u - far_u).abs() - p["axle"], v - far_v + p["radius"]) - p["radius"]
    canvas.paint(torch.maximum(far_wheels, sill + far_v - v), (0.06, 0.06, 0.08))
    # the end that is turned to us: grille and headlamps, or number plate and rear lamps
    front = far_u < 0
    end_u, top = torch.where(front, -half, half), torch.where(front, p["nose"][1], p["boot"][1])
    edge = (end_u, torch.where(front, sill, top)), (end_u, torch.where(front, top, sill))
    white, red = torch.tensor([[0.92, 0.93, 0.90], [0.74, 0.08, 0.08]]).view(2, 1, 3, 1, 1)
    _panel(canvas, p, *edge, paint * 0.78)
    _panel(canvas, p, *edge, torch.where(front.unsqueeze(1), 0.12 * white, white), (0.38, 0.74), (0.33, 0.67))
    lamp_u, lamp_v = u - end_u, v - torch.where(front, p["lamp"], belt + 0.12)
    for share in (0.15, 0.85):
        lamp = box(lamp_u, lamp_v, share * far_u, share * far_v, 0.11 * far_u.abs(), 0.042, 0.02)
        canvas.paint(lamp, torch.where(front.unsqueeze(1), white, red), (far_u.abs() / 0.1).clamp(0, 1))
    # the near side, darker towards the ground, with a shine along the shoulder
    outline = box(u, v, 0.0, (sill + belt) / 2, half, (sill - belt) / 2, 0.06)
    for start, end in ((p["nose"], p["cowl"]), (p["deck"], p["boot"])):
        _panel(canvas, p, start, end, paint * 1.13)
        outline = torch.maximum(outline, _beyond(p, start, end))
    arch = torch.hypot(u.abs() - p["axle"], v - 0.4 * sill + 0.75 * p["radius"]) - p["radius"]
    outline = torch.minimum(outline, torch.maximum(arch - 0.085, v - sill))
    height = ((v - belt) / (sill - belt)).clamp(0, 1)
    canvas.paint(outline, paint * (1.08 - 0.48 * height * height).unsqueeze(1))
    canvas.paint(torch.maximum(outline, sill - 0.045 - v), (0.12, 0.12, 0.14), 0.8)
    shine = torch.maximum((v - belt - 0.055).abs() - 0.012, outline + 0.03)
    canvas.paint(canvas.soften(shine, 0.05), (1.0, 1.0, 0.98), 0.55)
    canvas.paint(torch.maximum((v - belt - 0.15).abs() - 0.028, outline + 0.01), (0.97, 0.95, 0.88), f["stripe"])
    canvas.paint(torch.maximum(arch - 0.03, v - sill), (0.05, 0.05, 0.06))
    lamp = box(u.abs(), v, half, torch.where(u < 0, p["lamp"], belt + 0.12), 0.065, 0.036, 0.02)
    canvas.paint(torch.maximum(lamp, outline + 0.006), torch.where((u < 0).unsqueeze(1), white, red))


def _cabin(canvas, f, p, paint, glass):
    """Roof, windows that mirror the sky, and the luggage; the factors two_tone and roof_rack are opacities."""
    u, v, (far_u, far_v) = p["u"], p["v"], p["far"]
    paint = torch.lerp(paint, torch.tensor([0.97, 0.94, 0.87]).view(1, 3, 1, 1), f["two_tone"].unsqueeze(1))
    for edge in ((p["cowl"], p["roof_front"]), (p["roof_rear"], p["deck"])):
        _panel(canvas, p, *edge, paint * 0.86, across=(0.10, 0.90))
        _panel(canvas, p, *edge, glass * 1.10 + 0.03, (0.10, 0.88), (0.17, 0.83))
    _panel(canvas, p, p["roof_front"], p["roof_rear"], paint * 1.12, across=(0.10, 0.90))
    sides = torch.maximum(_beyond(p, p["cowl"], p["roof_front"], 0.1), _beyond(p, p["roof_rear"], p["deck"], 0.1))
    top, bottom = _beyond(p, p["roof_front"], p["roof_rear"], 0.1), v - p["belt"] - 0.1 * far_v
    canvas.paint(torch.stack([sides, top, bottom - 0.01]).amax(0), paint)
    window = torch.stack([sides + 0.037, top + 0.058, bottom + 0.012]).amax(0)
    mirror = ((p["belt"] - v) / 0.40).clamp(0, 1)  # the higher, the more sky
    canvas.paint(window, glass * (0.85 + 0.40 * mirror).unsqueeze(1))
    streak = ((u + 0.6 * v + 0.22).abs() - 0.035).minimum((u + 0.6 * v - 0.22).abs() - 0.05)
    canvas.paint(torch.maximum(streak, window + 0.01), (0.95, 0.98, 1.0), 0.22)
    posts = torch.minimum((u - 0.12 * p["half"]).abs(), (u - 0.62 * p["half"]).abs()) - 0.016
    canvas.paint(torch.maximum(posts, window - 0.01), paint * 0.9)
    middle, roof = (p["roof_front"][0] + p["roof_rear"][0]) / 2 + 0.4 * far_u, p["roof_front"][1] + 0.4 * far_v
    trunk_half = 0.10 + 0.34 * (p["roof_rear"][0] - p["roof_front"][0])
    trunk = box(u, v, middle, roof - 0.075, trunk_half, 0.075, 0.03)
    canvas.paint(trunk, (0.34, 0.19, 0.14), f["roof_rack"])
    straps = torch.maximum(((u - middle).abs() - 0.55 * trunk_half).abs() - 0.016, trunk)
    canvas.paint(straps, (0.94, 0.80, 0.52), f["roof_rack"])


def _wheels(canvas, f, p):
    """The near wheels: tyre, rim, dish and hub."""
    radius = p["radius"]
    from_hub = torch.hypot(p["u"].abs() - p["axle"], p["v"] + radius)
    canvas.paint(from_hub - radius, (0.08, 0.08, 0.10))
    rim = 0.10 + 0.84 * f["rims"].unsqueeze(1)
    for share, shade in ((0.68, 1.0), (0.52, 0.55), (0.26, 1.0)):
        canvas.paint(from_hub - share * radius, rim * shade)


def _headlights(canvas, f, p):
    """Halos around the lamps and a pool of light on the road."""
    u, v, (far_u, far_v) = p["u"] + p["half"], p["v"], p["far"]
    pool = ellipse(u, v, 0.4 * far_u - 0.10, 0.03, 0.34, 0.07)
    canvas.paint(canvas.soften(pool, 0.20), (1.0, 0.92, 0.62), 0.60 * f["headlights"])
    for share, seen in ((0.85, (-far_u / 0.1).clamp(0, 1)), (0.08, 1.0)):
        away = torch.hypot(u - share * far_u, v - p["lamp"] - share * far_v)
        canvas.paint(canvas.soften(away - 0.10, 0.24), (1.0, 0.93, 0.62), 0.75 * seen * f["headlights"])
        canvas.paint(away - 0.045, (1.0, 1.0, 0.93), seen * f["headlights"])
