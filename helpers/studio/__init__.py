"""The editing studio: everything behind its panel, its explorer and its atlas of directions."""

from helpers.studio.panel import Studio

__all__ = ["Studio"]
