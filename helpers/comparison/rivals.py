"""`python -m helpers.comparison.rivals toy-faces`: methods of several authors on one drawn world, at equal change.

It follows the page "The protocol of the comparison with other methods". Interrupt it at any time and start it again: it
goes on with the next method.
"""

import math
import statistics
import time
from dataclasses import asdict, dataclass, replace

import torch
from torch.nn.functional import cosine_similarity

from helpers.baselines import counted_passes
from helpers.comparison import command
from helpers.comparison.ceiling import perfect_edits
from helpers.comparison.matching import COARSE, FINE, TOLERANCE
from helpers.comparison.plan import CHANGES
from helpers.comparison.records import FOLDER
from helpers.comparison.rival_means import EqualChange
from helpers.comparison.rival_methods import METHODS, SEEDS, Bench, RivalPlan
from helpers.comparison.rival_verdicts import MEASURES, RivalRecords
from helpers.metrics import COLOURS, changed_area, rms_change, ssim, tint_share
from helpers.sampling import sample
from helpers.toyworld import WORLDS
from helpers.toyworld.regressor import UNIFORM_DEVIATION, world_reader

#: factors of a world that its thing can change and stay the same thing; all others are its identity
PASSING = {
    "toy-faces": "smile mouth_open brow_height brow_tilt yaw glasses light background".split(),
    "toy-cats": "yaw tilt height ear_spread pupil mouth_open collar cushion light wall".split(),
    "toy-cars": "headlights yaw roof_rack time season light".split(),
    "toy-rooms": "eye_height viewpoint hour sun curtains lamp".split(),
}
FLOORS = "unedited, rounded to 8 bits, another picture, perfect edits"
TWICE = 2 * CHANGES[0]  # what the strengths of the first size, doubled, are thought to change


@dataclass(frozen=True)
class Case:
    """The columns that tell what is measured at once from all else, as of `helpers.comparison.plan.Part`."""

    layer: str
    method: str
    injection: str
    wanted: float
    steps: int


def measured(pictures, plain, embed):
    """What was changed of each picture: (batch, `MEASURES`).

    pictures, plain: (batch, channels, height, width) in [0, 1]; embed: pictures -> (batch, d), of which the cosine is
    the identity that is kept: of a drawn world factors, of photographs a network such as FaceNet.
    """
    identity = cosine_similarity(embed(pictures), embed(plain), dim=1)
    found = {"rms": rms_change(pictures, plain), "ssim": ssim(pictures, plain), "identity": identity}
    found |= {"area": changed_area(pictures, plain), "tint_share": tint_share(pictures, plain)}
    return torch.stack([found[name] for name in MEASURES], dim=1)


class Rivals:
    """The comparison of methods on one drawn world. Raises ValueError for a model that is none."""

    def __init__(self, name, folder=FOLDER, plan=None, device=None):
        if name not in PASSING:
            raise ValueError(f"{name!r} is no drawn world: choose one of {', '.join(PASSING)}.")
        self.plan, self.reader = plan or RivalPlan(), world_reader(name)
        self.factors = list(WORLDS[name].factors)
        self.records = RivalRecords(name, folder, asdict(self.plan), self.factors, COLOURS)
        self.bench = Bench(name, self.plan, device)
        self.same = [place for place, factor in enumerate(self.factors) if factor not in PASSING[name]]
        self.matching, self.parts = None, (FLOORS, *METHODS)

    def left(self):
        """The parts that are not kept yet."""
        done = {row["method"] for row in self.records.rows}
        return [part for part in self.parts if (FLOORS.split(", ")[0] if part == FLOORS else part) not in done]

    def passes(self, part):
        """About how many forward passes a part takes, or what takes as long."""
        plan = self.plan
        if part == FLOORS:
            return 2 * plan.latents * plan.steps
        first = 2 * COARSE + FINE + plan.latents
        others = FINE + 2 * plan.latents
        edits = plan.directions * first + min(plan.others, plan.directions) * others
        return self.bench.to_find(part)[1] + edits * self.bench.passes_of(part)

    def read(self, pictures):
        """Readings of pictures (batch, channels, height, width): (batch, readings), in standard deviations."""
        return torch.stack(list(self.reader(pictures).values()), dim=1)

    def identity(self, pictures):
        """Factors of identity, in standard deviations from their mean."""
        return self.read(pictures)[:, self.same] - 0.5 / UNIFORM_DEVIATION

    def run(self, part):
        """Measure a part and keep what was found."""
        if self.matching is None:
            self.matching = EqualChange(self.bench, self.bench.latents("test", self.plan.latents))
        start = time.time()
        found, costs = self.floors() if part == FLOORS else self.of_method(part)
        rows, changes, measures = (list(column) for column in zip(*found, strict=True))
        device = self.bench.model.device
        costs["device"] = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
        facts = {"targets": self.bench.targets, "identity": [self.factors[place] for place in self.same]}
        facts |= {"costs": {**self.records.facts.get("costs", {}), part: costs}}
        facts |= {"passes": self.records.facts["passes"] + self.passes(part)}
        facts |= {"seconds": round(self.records.facts["seconds"] + time.time() - start, 1)}
        self.records.add(rows, torch.stack(changes), torch.stack(measures), **facts)

    def row(self, case, direction, alpha, pictures, plain):
        """(row, changes (latents, readings), measures (latents, `MEASURES`)) of one edit."""
        measures, changes = measured(pictures, plain, self.identity), self.read(pictures) - self.read(plain)
        means = dict(zip(MEASURES, measures.nanmean(0).tolist(), strict=True))
        reached = case.wanted == 0 or abs(means["rms"] / case.wanted - 1) <= TOLERANCE
        row = {**asdict(case), "direction": direction, "sign": 1, "alpha": alpha, "reached": float(reached)}
        return {**means, **row, "likeness": math.nan}, changes, measures

    def floors(self):
        """Rows of pictures without an edit, of other pictures, and of perfect edits, which the world draws."""
        plain, count, steps = self.matching.plain(None), self.plan.latents, self.plan.steps
        others = sample(self.bench.model, self.bench.latents("another", count), None, steps)
        names, found = FLOORS.split(", "), []
        for name, pictures in zip(names, (plain.clone(), (plain * 255).round() / 255, others)):
            found.append(self.row(Case("none", name, "none", 0.0, steps), "1", 0.0, pictures, plain))
        for wanted in CHANGES:
            drawn = perfect_edits(self.bench.name, wanted, count, SEEDS["renderer"])
            for factor, step, before, after in zip(self.factors, *drawn, strict=True):
                if factor in self.bench.targets:
                    found.append(
                        self.row(Case("none", names[-1], "none", wanted, steps), factor, step.item(), after, before)
                    )
        return found, {}

    def of_method(self, method):
        """Rows of a method: its directions at the first size, and the first few at the others; and what it costs."""
        start = time.time()
        edits, passes, vectors = self.bench.find(method)
        costs = {"pictures": self.bench.to_find(method)[0], **vars(passes), "seconds": round(time.time() - start, 2)}
        if vectors is not None:
            self.records.vectors[method] = vectors.cpu()
        place, steps, plain = METHODS[method], self.plan.steps, self.matching.plain(None)
        case, places = Case(place.layer, method, place.injection, CHANGES[0], steps), torch.arange(len(edits))
        alphas, pictures = self.matching.matched(edits, case, places)
        found = [self.row(case, str(i + 1), alphas[i].item(), pictures[i], plain) for i in places.tolist()]
        some, less, more = places[: self.plan.others], replace(case, wanted=CHANGES[1]), replace(case, wanted=TWICE)
        smaller = self.matching.matched(edits, less, some, alphas[some] * CHANGES[1] / CHANGES[0])
        twice = 2 * alphas[some], self.matching.measure(edits, more, some, 2 * alphas[some])
        for other, (strengths, pictures) in ((less, smaller), (more, twice)):
            found += [self.row(other, str(i + 1), strengths[i].item(), pictures[i], plain) for i in some.tolist()]
        return found, {**costs, **self.cost_of_edit(*edits[0], alphas[0].item())}

    def cost_of_edit(self, found, direction, alpha):
        """Passes and seconds of one edited picture, from its latent on."""
        if len(getattr(found, "vectors", [])) > 1:
            found = replace(found, vectors=found.vectors[:1])
        seconds = []
        with counted_passes(self.bench.model) as passes:
            for _ in range(3):
                start = time.time()
                found.edit(self.matching.latents[:1], alpha, self.plan.steps, direction)
                seconds.append(time.time() - start)
        return {"edit_passes": passes.forward // 3, "edit_seconds": round(statistics.median(seconds), 3)}


if __name__ == "__main__":
    command(Rivals, PASSING)
