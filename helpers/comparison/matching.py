"""Edits brought to an equal change of the picture: strengths are searched on a few latents, then all are measured."""

import math

import torch

from helpers.comparison.records import rounded
from helpers.metrics import rms_change

FIRST = {"asymmetric": 4.0, "symmetric": 16.0}  # strengths at which the search begins
LEAST, MOST = 0.01, {"asymmetric": 64.0, "symmetric": 256.0}  # and beyond which it does not go
TOLERANCE = 0.15  # of the wanted change: what is off by more is corrected once
COARSE, FINE = 2, 4  # latents of the first guesses, and of the last


class Matching:
    """Edits of the same latents at wanted changes.

    edits: `ManyEdits`; seeds: of the latents; probe_steps: of the first guesses. Everywhere layer is an
    `AttentionLayer`, part a `Part` of `helpers.comparison.plan`, vectors (rows, d), alphas (rows,). One with
    a minus sign is a vector of its own.
    """

    def __init__(self, edits, seeds, probe_steps):
        self.edits, self.seeds, self.probe_steps = edits, seeds, probe_steps

    def plain(self, steps):
        """The unedited pictures of the latents."""
        return self.edits.unedited(self.seeds, steps)

    def sizes(self, pictures, steps):
        """Root mean squared change of pixels, mean over latents: pictures (rows, latents, ...) -> (rows,)."""
        plain = self.plain(steps)[: pictures.shape[1]]
        return torch.stack([rms_change(some, plain).mean() for some in pictures])

    def measure(self, layer, part, vectors, alphas, place="tokens", steps=None, count=None):
        """Pictures (rows, latents, ...) of every edit on every latent, or on the first `count` of them."""
        count = min(count or len(self.seeds), len(self.seeds))
        rows = (alphas.unsqueeze(1) * vectors).repeat_interleave(count, 0)
        which, steps = torch.arange(count).repeat(len(vectors)), steps or part.steps
        pictures = self.edits.edited(layer, rows, which, self.seeds, steps, part.injection, place)
        return pictures.unflatten(0, (len(vectors), count))

    def strengths(self, layer, part, vectors, guess=None):
        """(alphas, slopes), both (rows,): strengths of the wanted change, by secants of logarithms.

        Two guesses with few steps, one correction with the part's; of a guess that is given, the correction alone.
        slopes: of log change over log alpha.
        """
        wanted, least, most = math.log(part.wanted), math.log(LEAST), math.log(MOST[part.injection])

        def size(logs, steps, count):
            pictures = self.measure(layer, part, vectors, logs.exp(), steps=steps, count=count)
            return self.sizes(pictures, steps).clamp(min=1e-6).log()

        slopes = torch.ones(len(vectors))
        if guess is None:
            first = torch.full((len(vectors),), math.log(FIRST[part.injection]))
            before = size(first, self.probe_steps, COARSE)
            second = (first + wanted - before).clamp(least, most)
            after = size(second, self.probe_steps, COARSE)
            apart = second - first
            slopes = torch.where(apart.abs() > 0.1, (after - before) / apart, slopes).clamp(0.5, 2)
            guess = (second + (wanted - after) / slopes).exp()
        logs = guess.log().clamp(least, most)
        logs = logs + (wanted - size(logs, part.steps, FINE)) / slopes
        return self._kept(logs, part), slopes

    @staticmethod
    def _kept(logs, part):
        """Strengths within their bounds, rounded as they are kept, so that the table says what was measured."""
        return torch.tensor([rounded(alpha) for alpha in logs.exp().clamp(LEAST, MOST[part.injection]).tolist()])

    def matched(self, layer, part, vectors, guess=None):
        """(alphas, pictures) at the wanted change, as of `measure`; what is off is corrected once if that helps."""
        alphas, slopes = self.strengths(layer, part, vectors, guess)
        pictures = self.measure(layer, part, vectors, alphas)
        off = (self.sizes(pictures, part.steps) / part.wanted).log()
        better = self._kept(alphas.log() - off / slopes, part)
        again = (((off.exp() - 1).abs() > TOLERANCE) & (better != alphas)).nonzero().flatten()
        if len(again):
            others = self.measure(layer, part, vectors[again], better[again])
            nearer = (self.sizes(others, part.steps) / part.wanted).log().abs() < off[again].abs()
            alphas[again[nearer]], pictures[again[nearer]] = better[again[nearer]], others[nearer]
        return alphas, pictures
