"""What an edit depends on, as one value that can be compared and kept."""

from dataclasses import dataclass, field

from helpers.regions import Region


@dataclass(frozen=True)
class Settings:
    """What an edit depends on.

    strengths: {layer name: alphas of its first directions}; method: how they are found, see `helpers.finder.METHODS`;
    window, site, injection: as for `Edit`; latents: a seed, or "upload". Equal settings hash equally.
    """

    strengths: dict
    method: str = "refined"
    window: tuple = (0.5, 0.8)
    site: str = "projections"
    injection: str = "symmetric"
    region: Region = field(default_factory=Region)
    latents: int | str = 0

    def __post_init__(self):
        pairs = [(layer, tuple(float(a) for a in alphas)) for layer, alphas in dict(self.strengths).items()]
        kept = tuple(sorted((layer, alphas) for layer, alphas in pairs if any(alphas)))
        object.__setattr__(self, "window", tuple(self.window))
        object.__setattr__(self, "strengths", kept)  # as sorted pairs without zeros, which can be hashed

    def in_words(self):
        """Strengths by layer: "mid_block.attentions.0: 1 at 8, 3 at -4"."""
        words = [
            f"{layer}: " + ", ".join(f"{i + 1} at {alpha:.3g}" for i, alpha in enumerate(alphas) if alpha)
            for layer, alphas in self.strengths
        ]
        return "; ".join(words) or "unedited"
