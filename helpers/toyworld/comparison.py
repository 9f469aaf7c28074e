"""The comparison of directions on an embedded model: `python -m helpers.toyworld.comparison toy-faces clothes`.

It follows the page "The protocol of the comparison", which was written before its numbers, and keeps them in the folder
results/comparison beside this module. Interrupt it at any time and start it again: it goes on with the next part. Two
hours a drawn world on two CPU cores, a few minutes on a large GPU.
"""

import math
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace

import torch
from torch.nn.functional import cosine_similarity, normalize

from helpers.attention import find_layers
from helpers.clock import equal_noise_window
from helpers.models import embedded_models, load_model
from helpers.toyworld.contestants import RANDOM_SEEDS, contestants, oracle, seeds_of
from helpers.toyworld.many_edits import ManyEdits, constant_of
from helpers.toyworld.matching import COARSE, FINE, TOLERANCE, Matching
from helpers.toyworld.records import CASE, FOLDER, Records
from helpers.toyworld.regressor import world_reader

CHANGES = (0.064, 0.0376)  # root mean squared change of the pixels: for all directions, and for the first of each kind
METHODS = ("C", "refined", "agree", "pca")  # that are compared, with both signs; all else is a control
CONSTANTS = {"constant of C": "C", "constant of refined": "refined"}  # the value term of their edits, alone


@dataclass(frozen=True)
class Plan:
    """How much is measured; the defaults are the protocol's."""

    steps: int = 25
    probe_steps: int = 10  # of the first guesses at a strength, and of what the oracle learns from
    fine_steps: int = 50
    latents: int = 16
    directions: int = 16  # of each method, and at most of the oracle
    random: int = 64
    few: int = 8  # of the bottom ones, and of C with the other injection
    constants: int = 6
    smaller: int = 4  # of each method, at the smaller change
    smaller_random: int = 16
    responses: int = 16  # pictures whose responses shall agree
    token_pictures: int = 64
    oracle_directions: int = 256


@dataclass(frozen=True)
class Part:
    """What is measured and kept at once: directions of one method in one layer, at their places; the first is 0."""

    layer: str
    method: str
    injection: str
    wanted: float
    steps: int
    places: tuple
    signs: tuple = (1,)

    @property
    def case(self):
        """The columns that tell the part's rows from others."""
        return {name: getattr(self, name) for name in CASE}


class Comparison:
    """The comparison of one embedded model. Raises ValueError for a model that is unknown or that nothing reads."""

    def __init__(self, name, folder=FOLDER, plan=None, device=None):
        if name not in embedded_models():
            raise ValueError(f"unknown model {name!r}: choose one of {', '.join(embedded_models())}.")
        self.reader, self.plan = world_reader(name), plan or Plan()
        if self.reader is None:
            raise ValueError(f"{name} has no network that reads its pictures: nothing can be measured.")
        model = load_model(name, device)
        self.factors = list(self.reader(torch.zeros(1, *model.picture_shape)))
        self.records = Records(name, folder, asdict(self.plan), self.factors)
        self.edits = ManyEdits(model, equal_noise_window(model.scheduler, model.sample_shape[-1]))
        self.edits.passes = self.records.facts["passes"]
        found = find_layers(model.unet)
        self.layers = {"encoder": found[0], "decoder": found[-1]}
        self.matching = Matching(self.edits, seeds_of("test", self.plan.latents), self.plan.probe_steps)

    def parts(self):
        """All that is to be measured, what matters most first."""
        plan, (first, second), usual = self.plan, CHANGES, "asymmetric"
        counts = {"random": plan.random} | dict.fromkeys(METHODS, plan.directions)
        counts["oracle"] = min(plan.directions, len(self.factors))
        cases = [(method, usual, first, count) for method, count in counts.items()]
        cases += [("bottom", usual, first, plan.few), ("C", "symmetric", first, plan.few)]
        constants = [(method, usual, first, plan.constants) for method in CONSTANTS]
        smaller = {"random": plan.smaller_random} | dict.fromkeys((*METHODS, "oracle"), plan.smaller)
        smaller = [(m, usual, second, min(count, counts[m])) for m, count in smaller.items()]

        def in_both_layers(cases):
            for method, injection, wanted, count in cases:
                signs = (1, -1) if method in METHODS and wanted == first else (1,)  # of controls, one
                for layer in self.layers:
                    yield Part(layer, method, injection, wanted, plan.steps, tuple(range(count)), signs)

        main, rest = list(in_both_layers(cases)), list(in_both_layers([*constants, *smaller]))
        return [Part("none", "unedited", usual, 0.0, plan.steps, (0,)), *main, *rest, *self._with_more_steps(main)]

    def _with_more_steps(self, parts):
        """A tenth of the directions, drawn by the checksum of the weights, with plus signs."""
        items = [(part, place) for part in parts for place in part.places]
        drawn = random.Random(self.records.facts["sha256"]).sample(items, math.ceil(len(items) / 10))
        for part in parts:
            places = tuple(sorted(place for other, place in drawn if other is part))
            if places:
                yield replace(part, steps=self.plan.fine_steps, places=places, signs=(1,))

    def passes(self, part):
        """About how many network passes a part takes: to find the strengths, and to measure."""
        plan, of = self.plan, self.edits.passes_of
        each = len(part.signs) * plan.latents * of(part.steps, part.injection)
        if part.method in CONSTANTS:
            each *= 3
        elif part.steps == plan.steps and part.wanted:
            each += len(part.signs) * FINE * of(part.steps, part.injection)
            guesses = 2 * COARSE * of(plan.probe_steps, part.injection)
            each += len(part.signs) * guesses if part.wanted == CHANGES[0] else 0
        learns = part.method == "oracle" and part.wanted == CHANGES[0] and part.steps == plan.steps
        return len(part.places) * each + learns * 2 * plan.oracle_directions * of(plan.probe_steps, "asymmetric")

    def directions(self, part):
        """All directions (count, d) of a part's method in its layer: found once, then kept with the records."""
        method, layer, kept = CONSTANTS.get(part.method, part.method), self.layers[part.layer], self.records.vectors
        if method == "random":
            return contestants(self.edits, layer, method, self.plan)
        key = f"{part.layer} {method}"
        if key not in kept and method == "oracle":
            case = {**part.case, "method": "random", "reached": None}
            alpha = statistics.median(self.records.rows[i]["alpha"] for i in self.records.select(**case))
            kept[key] = oracle(self.edits, layer, self.read, alpha, self.plan)[: len(part.places)]
        elif key not in kept:
            kept[key] = contestants(self.edits, layer, method, self.plan)
        return kept[key]

    def read(self, pictures):
        """Readings of pictures (..., channels, height, width): (..., factors), in standard deviations."""
        readings = self.reader(pictures.flatten(0, -4)).values()
        return torch.stack(list(readings), dim=1).unflatten(0, pictures.shape[:-3])

    def label(self, part, place):
        """What the directions of a part are called: the oracle's by their factors, others by their places from 1 on."""
        return self.factors[place] if part.method == "oracle" else str(place + 1)

    def known(self, part):
        """Strengths (directions,) of a part's directions at the first change with the usual steps, None without."""
        case = {**part.case, "method": CONSTANTS.get(part.method, part.method), "wanted": CHANGES[0]}
        case |= {"steps": self.plan.steps, "sign": 1, "reached": None}
        found = {self.records.rows[i]["direction"]: self.records.rows[i]["alpha"] for i in self.records.select(**case)}
        return torch.tensor([found[self.label(part, place)] for place in part.places]) if found else None

    def run(self, part):
        """Measure a part and keep what was found."""
        start = time.time()
        rows, pictures = self.unedited(part) if part.layer == "none" else self.edited(part)
        plain = self.read(self.matching.plain(part.steps))
        device = torch.cuda.get_device_name() if self.edits.model.device.type == "cuda" else "CPU"
        facts = {"devices": sorted({*self.records.facts.get("devices", []), device})}
        seconds = round(self.records.facts["seconds"] + time.time() - start, 1)
        self.records.add(rows, self.read(pictures) - plain, passes=self.edits.passes, seconds=seconds, **facts)

    def edited(self, part):
        """(rows, pictures (rows, latents, ...)) of a part."""
        layer, vectors, known = self.layers[part.layer], self.directions(part)[list(part.places)], self.known(part)
        if part.method in CONSTANTS:
            return self.constants(part, layer, vectors, known)
        if part.steps == self.plan.fine_steps:
            return self.rows(part, known, pictures := self.matching.measure(layer, part, vectors, known)), pictures
        signed = torch.stack([sign * vectors for sign in part.signs], dim=1).flatten(0, 1)
        guess = None if known is None else known * part.wanted / CHANGES[0]
        alphas, pictures = self.matching.matched(layer, part, signed, guess)
        return self.rows(part, alphas, pictures), pictures

    def rows(self, part, alphas, pictures):
        """Rows of a part, direction by direction and sign by sign: alphas (rows,), pictures (rows, latents, ...)."""
        sizes, rows = self.matching.sizes(pictures, part.steps).tolist(), []
        which = [(self.label(part, place), sign) for place in part.places for sign in part.signs]
        for (direction, sign), alpha, size in zip(which, alphas.tolist(), sizes, strict=True):
            reached = part.wanted == 0 or abs(size / part.wanted - 1) <= TOLERANCE
            row = {**part.case, "direction": direction, "sign": sign, "alpha": alpha, "rms": size}
            rows.append({**row, "reached": float(reached), "likeness": math.nan})
        return rows

    def constants(self, part, layer, vectors, alphas):
        """As `edited`: what edits add through the value term alone, n^T W_V W_O, and as long random vectors.

        likeness: cosine between the change that the vector makes and that of the whole edit, mean over latents.
        """
        plain = self.matching.plain(part.steps)
        whole = self.matching.measure(layer, part, vectors, alphas) - plain
        added = constant_of(layer, vectors)
        generator = torch.Generator().manual_seed(RANDOM_SEEDS["constants"])
        chance = normalize(torch.randn(added.shape, generator=generator), dim=1) * added.norm(dim=1, keepdim=True)
        rows, pictures = [], []
        for method, output in ((part.method, added), (f"random {part.method}", chance)):
            found = self.matching.measure(layer, part, output, alphas, place="output")
            likeness = cosine_similarity((found - plain).flatten(2), whole.flatten(2), dim=2).mean(1).tolist()
            some = self.rows(replace(part, method=method), alphas, found)
            rows += [{**row, "likeness": value} for row, value in zip(some, likeness, strict=True)]
            pictures.append(found)
        return rows, torch.cat(pictures)

    def unedited(self, part):
        """As `edited`: the floors. Edits of strength 0, pictures rounded to 8 bits, and each picture's neighbour."""
        layer, plain = self.layers["encoder"], self.matching.plain(part.steps)
        nothing = torch.zeros(1, layer.channels)
        again = self.matching.measure(layer, part, nothing, torch.zeros(1))
        pictures = torch.cat([again, (plain * 255).round()[None] / 255, plain.roll(-1, 0)[None]])
        rows = []
        for place, method in enumerate(("unedited", "rounded to 8 bits", "another picture")):
            one = replace(part, method=method)
            rows += self.rows(one, torch.zeros(1), pictures[place][None])
        return rows, pictures


def main():
    """Measure what is missing of the named models, one after the other."""
    if len(sys.argv) < 2:
        sys.exit(f"name a model, or several: {', '.join(embedded_models())}.")
    try:
        for name in sys.argv[1:]:
            finish(Comparison(name))
    except KeyboardInterrupt:
        sys.exit("stopped: start it again and it goes on with the part that was cut off.")
    except (ValueError, OSError) as error:
        sys.exit(str(error))


def finish(comparison):
    """Run every part that is not kept yet, and say how far it is."""
    records, name = comparison.records, comparison.records.name
    parts = comparison.parts()
    total = sum(map(comparison.passes, parts))
    left = [part for part in parts if not records.select(reached=None, **part.case)]
    to_go = sum(map(comparison.passes, left))
    print(f"{name}: {len(parts)} parts, about {total:,} network passes; {len(left)} parts to go", flush=True)
    start, first = time.time(), to_go
    for part in left:
        comparison.run(part)
        to_go -= comparison.passes(part)
        seconds = (time.time() - start) * to_go / max(first - to_go, 1)
        what = f"{part.layer}, {part.method}, {part.injection}, change {part.wanted}, {part.steps} steps"
        print(f"{name}: {what}; {1 - to_go / total:.0%} done, about {seconds / 60:.1f} minutes left", flush=True)


if __name__ == "__main__":
    main()
