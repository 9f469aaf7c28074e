"""The landscape behind the drawn cars."""

import torch

from helpers.toyworld.shapes import box, ellipse, ramp

CLOUDS = [(-0.58, -0.50, 0.24, 0.05), (-0.46, -0.55, 0.13, 0.08), (0.60, -0.40, 0.26, 0.05), (0.50, -0.45, 0.13, 0.08)]
TREES = [(-0.90, -0.10, 0.06, 0.20), (-0.76, -0.04, 0.05, 0.15), (0.90, -0.12, 0.06, 0.21)]
LAND = [(0.42, 0.62, 0.30), (0.80, 0.68, 0.32), (0.70, 0.40, 0.24), (0.90, 0.92, 0.96)]


def paint_landscape(canvas, f, zenith, horizon):
    """Sky with a sun and clouds, two chains of hills, trees and the road, painted on a `Canvas`.

    f: factors of `helpers.toyworld.cars` by name; zenith, horizon: colours of the sky, (batch, 3, 1, 1).
    """
    x, y = canvas.x, canvas.y
    canvas.paint(canvas.soften(y + 0.45, 1.0), zenith)
    sun_x, sun_y = 0.80 * (2 * f["light"] - 1), 0.90 * (f["time"] - 0.5) ** 2 - 0.80
    sun = ellipse(x, y, sun_x, sun_y, 0.09, 0.09)
    canvas.paint(canvas.soften(sun - 0.10, 0.36), 0.7 * horizon + 0.3, 0.6)
    canvas.paint(sun, 0.5 * horizon + torch.tensor([0.75, 0.65, 0.45]).view(1, 3, 1, 1))
    clouds = torch.stack([ellipse(x, y, *cloud) for cloud in CLOUDS]).amin(0)
    canvas.paint(canvas.soften(clouds, 0.09), horizon * 1.08 + 0.04, 0.65)
    land = ramp(f["season"].flatten(), LAND)
    far = -0.22 - 0.11 * torch.sin(2.6 * x + 0.6) - 0.05 * torch.sin(7.1 * x)
    canvas.paint(far - y, torch.lerp(horizon, land, 0.5))
    near = -0.04 + 0.10 * torch.sin(2.2 * x + 3.4) + 0.02 * torch.sin(9.0 * x)
    canvas.paint(near - y, land)
    trees = torch.stack([ellipse(x, y, *tree) for tree in TREES]).amin(0)
    canvas.paint(torch.minimum(trees, 0.24 - y), land * 0.66)
    canvas.paint(0.34 - y, (0.74, 0.72, 0.68))
    canvas.paint(0.375 - y, (0.41 - 0.12 * y).unsqueeze(1))
    dash = (x + 0.35 * y + 0.12).remainder(0.84) - 0.42
    canvas.paint(box(dash, y, 0.0, 0.90, 0.22, 0.022), (0.86, 0.84, 0.76))
