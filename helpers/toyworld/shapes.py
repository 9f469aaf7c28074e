"""Soft-edged shapes, painted over one another: the brush of every drawn world.

A shape is a signed distance in picture coordinates (x to the right, y downwards, both from -1 to 1; negative inside).
Every number that describes a shape may be a float or a tensor of shape (batch, 1, 1), one value per picture.
"""

import functools

import torch
import torch.nn.functional as F


def ellipse(x, y, centre_x, centre_y, radius_x, radius_y):
    """Approximate signed distance to an axis-aligned ellipse (exact on its outline)."""
    u, v = (x - centre_x) / radius_x, (y - centre_y) / radius_y
    length = torch.sqrt(u * u + v * v + 1e-9)
    slope = torch.sqrt((u / radius_x) ** 2 + (v / radius_y) ** 2 + 1e-9)
    return length * (length - 1) / slope


def box(x, y, centre_x, centre_y, half_width, half_height, corner=0.0):
    """Signed distance to a rectangle whose corners are rounded with the radius `corner`."""
    dx = (x - centre_x).abs() - (half_width - corner)
    dy = (y - centre_y).abs() - (half_height - corner)
    outside = torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2)
    return outside + torch.maximum(dx, dy).clamp(max=0) - corner


def stroke(x, y, start_x, start_y, end_x, end_y, half_width):
    """Signed distance to a straight line from start to end, with round ends."""
    along_x, along_y = end_x - start_x, end_y - start_y
    length2 = along_x * along_x + along_y * along_y
    position = (((x - start_x) * along_x + (y - start_y) * along_y) / length2).clamp(0, 1)
    return torch.hypot(x - start_x - position * along_x, y - start_y - position * along_y) - half_width


def polygon(x, y, corners):
    """Signed distance to the outline of a convex polygon (to its sides, prolonged).

    corners: (x, y) pairs, clockwise as seen in the picture.
    """
    sides = []
    for (start_x, start_y), (end_x, end_y) in zip(corners, corners[1:] + corners[:1], strict=True):
        along_x, along_y = end_x - start_x, end_y - start_y
        length = (along_x * along_x + along_y * along_y + 1e-9) ** 0.5
        sides.append(((x - start_x) * along_y - (y - start_y) * along_x) / length)
    return functools.reduce(torch.maximum, sides)


def named_factors(factors, names):
    """A table of factors, (batch, len(names)) in [0, 1], as {name: (batch, 1, 1)}: numbers to describe shapes with.

    Raises ValueError for a table of another width or with values outside [0, 1].
    """
    if factors.ndim != 2 or factors.shape[1] != len(names):
        raise ValueError(f"factors has shape {tuple(factors.shape)}: it must be (batch, {len(names)}).")
    if not ((factors >= 0) & (factors <= 1)).all():
        raise ValueError(f"factors run from {factors.min():g} to {factors.max():g}: they must be within 0 and 1.")
    return {name: factors[:, i].float().view(-1, 1, 1) for i, name in enumerate(names)}


class Canvas:
    """Pictures under construction, RGB in [0, 1], drawn at twice their size and averaged at the end."""

    supersampling = 2

    def __init__(self, batch, size, colour):
        pixels = size * self.supersampling
        line = (torch.arange(pixels, dtype=torch.float32) + 0.5) / pixels * 2 - 1
        self.x, self.y = line.view(1, 1, -1), line.view(1, -1, 1)
        self.softness = 2.4 / size
        self.picture = (colour + torch.zeros(batch, 3, pixels, pixels)).contiguous()

    def mask(self, distance):
        """Coverage in [0, 1] of a shape given by its signed distance: 1 inside, 0 outside, a soft edge between."""
        return (0.5 - distance / self.softness).clamp(0, 1)

    def paint(self, distance, colour, opacity=1.0):
        """Cover the inside of a shape with `colour` (three numbers, or a tensor that broadcasts to the picture)."""
        coverage = (self.mask(distance) * opacity).unsqueeze(1)
        if not torch.is_tensor(colour):
            colour = torch.tensor(colour, dtype=torch.float32).view(1, 3, 1, 1)
        self.picture = torch.lerp(self.picture, colour.expand_as(self.picture), coverage)

    def soften(self, distance, blur):
        """The same shape with an edge that fades over the width `blur`, in picture coordinates."""
        return distance * (self.softness / blur)

    def finish(self):
        """The pictures at their final size, (batch, 3, size, size) in [0, 1]."""
        return F.avg_pool2d(self.picture.clamp(0, 1), self.supersampling)


def ramp(position, colours):
    """Colours along a path: position (batch,) in [0, 1] -> (batch, 3, 1, 1), linear between the given colours."""
    stops = torch.tensor(colours, dtype=torch.float32)
    place = position.clamp(0, 1) * (len(stops) - 1)
    left = place.floor().long().clamp(max=len(stops) - 2)
    return torch.lerp(stops[left], stops[left + 1], (place - left).unsqueeze(1)).view(-1, 3, 1, 1)
