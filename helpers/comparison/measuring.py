"""What a comparison measures on one embedded model."""

import math
import statistics
import time
from dataclasses import asdict, replace

import torch
from torch.nn.functional import cosine_similarity, normalize

from helpers.attention import find_layers
from helpers.clock import equal_noise_window
from helpers.comparison.ceiling import perfect_edits
from helpers.comparison.contestants import RANDOM_SEEDS, SEEDS, contestants, oracle, seeds_of
from helpers.comparison.many_edits import ManyEdits, constant_of
from helpers.comparison.matching import COARSE, FINE, TOLERANCE, Matching
from helpers.comparison.plan import CHANGES, CONSTANTS, LAYERS, Plan
from helpers.comparison.records import FOLDER, Records, checksum
from helpers.metrics import COLOURS, changed_area, rms_change, tint_share
from helpers.models import embedded_models, load_model
from helpers.toyworld.regressor import world_reader


class Comparison:
    """The comparison of one model.

    model: the name of an embedded one, or any `DiffusionModel` with a reader of your own, a function of pictures
    (batch, 3, height, width) in [0, 1] that gives {name: (batch,)} in standard deviations (`helpers.comparison.clip`).
    Raises ValueError for a model that is unknown or that nothing reads.
    """

    def __init__(self, model, folder=FOLDER, plan=None, device=None, reader=None):
        name, known = getattr(model, "name", model), embedded_models()
        if reader is None and name not in known:
            raise ValueError(f"unknown model {name!r}: choose one of {', '.join(known)}, or give a reader.")
        self.reader, self.plan = reader or world_reader(name), plan or Plan()
        if self.reader is None:
            raise ValueError(f"{name} has no network that reads its pictures: nothing can be measured.")
        model = load_model(name, device) if name == model else model
        readings = list(self.reader(torch.zeros(1, *model.picture_shape)))
        self.factors = [reading for reading in readings if reading not in COLOURS]  # and then the tint
        tint, weights = readings[len(self.factors) :], None if name in known else checksum(model)
        self.records = Records(name, folder, asdict(self.plan), self.factors, tint, weights)
        self.edits = ManyEdits(model, equal_noise_window(model.scheduler, model.sample_shape[-1]))
        self.edits.passes = self.records.facts["passes"]
        found = find_layers(model.unet)
        self.layers = dict(zip(LAYERS, (found[0], found[-1])))
        self.records.facts["widths"] = {name: layer.channels for name, layer in self.layers.items()}
        self.matching = Matching(self.edits, seeds_of("test", self.plan.latents), self.plan.probe_steps)

    @property
    def parts(self):
        """All parts of the plan, what matters most first."""
        return self.records.parts

    def left(self):
        """The parts that are not kept yet."""
        return self.records.missing()

    def passes(self, part):
        """About how many network passes a part takes: to find the strengths, and to measure."""
        if part.method == "renderer":
            return 0
        plan, of = self.plan, self.edits.passes_of
        each = len(part.signs) * plan.latents * of(part.steps, part.injection)
        if part.method in CONSTANTS:
            each *= 3
        elif part.steps == plan.steps and part.wanted:
            each += len(part.signs) * FINE * of(part.steps, part.injection)
            guesses = 2 * COARSE * of(plan.probe_steps, part.injection)
            each += len(part.signs) * guesses if part.wanted == CHANGES[0] else 0
        learns = part.method == "oracle" and part.wanted == CHANGES[0] and part.steps == plan.steps
        return len(part.places) * each + learns * 2 * plan.oracle_directions * of(plan.steps, "asymmetric")

    def directions(self, part):
        """All directions (count, d) of a part's method in its layer: found once, then kept with the records."""
        method, layer, kept = CONSTANTS.get(part.method, part.method), self.layers[part.layer], self.records.vectors
        if method == "random":
            return contestants(self.edits, layer, method, self.plan)
        key = f"{part.layer} {method}"
        if key not in kept and method == "oracle":
            alphas = [self.records.rows[i]["alpha"] for i in self.records.select(**{**part.case, "method": "random"})]
            if not alphas:
                raise ValueError(
                    f"no random direction of the {part.layer} meets the change: the oracle has no strength."
                )
            alpha = statistics.median(alphas)
            kept[key] = oracle(self.edits, layer, self.read_factors, alpha, self.plan)
        elif key not in kept:
            kept[key] = contestants(self.edits, layer, method, self.plan)
        return kept[key]

    def read(self, pictures):
        """Readings of pictures (..., channels, height, width): (..., readings), in standard deviations."""
        readings = self.reader(pictures.flatten(0, -4)).values()
        return torch.stack(list(readings), dim=1).unflatten(0, pictures.shape[:-3])

    def read_factors(self, pictures):
        """The readings without the tint: pictures (batch, channels, height, width) -> (batch, factors)."""
        return self.read(pictures)[:, : len(self.factors)]

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
        rows, changes = self.floors(part) if part.layer == "none" else self.edited(part)
        device = torch.cuda.get_device_name() if self.edits.model.device.type == "cuda" else "CPU"
        facts = {"devices": sorted({*self.records.facts.get("devices", []), device})}
        seconds = round(self.records.facts["seconds"] + time.time() - start, 1)
        self.records.add(rows, changes, passes=self.edits.passes, seconds=seconds, **facts)

    def edited(self, part):
        """(rows, changes (rows, latents, readings)) of a part."""
        layer, vectors, known = self.layers[part.layer], self.directions(part)[list(part.places)], self.known(part)
        if part.method in CONSTANTS:
            return self.constants(part, layer, vectors, known)
        if part.steps == self.plan.fine_steps:
            return self.rows(part, known, self.matching.measure(layer, part, vectors, known))
        signed = torch.stack([sign * vectors for sign in part.signs], dim=1).flatten(0, 1)
        guess = None if known is None else known * part.wanted / CHANGES[0]
        return self.rows(part, *self.matching.matched(layer, part, signed, guess))

    def rows(self, part, alphas, pictures):
        """(rows, changes) of a part, direction by direction and sign by sign.

        alphas: (rows,); pictures: (rows, latents, channels, height, width).
        """
        which = [(self.label(part, place), sign) for place in part.places for sign in part.signs]
        plain = self.matching.plain(part.steps)
        measures = self._measures(pictures, plain.expand_as(pictures))
        return self._rows(part, which, alphas, measures), self.read(pictures) - self.read(plain)

    @staticmethod
    def _measures(pictures, plain):
        """{column: (rows,)}, means over latents, of pictures and plain (rows, latents, channels, height, width)."""
        found = {}
        for name, measure in {"rms": rms_change, "area": changed_area, "tint_share": tint_share}.items():
            values = [measure(one, other).nanmean() for one, other in zip(pictures, plain)]
            found[name] = torch.stack(values)
        return found

    @staticmethod
    def _rows(part, which, alphas, measures):
        """A dict per (direction, sign); alphas: (rows,); measures: {column: (rows,)}."""
        rows = []
        for i, ((direction, sign), alpha) in enumerate(zip(which, alphas.tolist(), strict=True)):
            row = {**part.case, "direction": direction, "sign": sign, "alpha": alpha}
            row |= {name: values[i].item() for name, values in measures.items()}
            reached = part.wanted == 0 or abs(row["rms"] / part.wanted - 1) <= TOLERANCE
            rows.append({**row, "reached": float(reached), "likeness": math.nan})
        return rows

    def constants(self, part, layer, vectors, alphas):
        """As `edited`: what edits add through the value term alone, n^T W_V W_O, and as long random vectors.

        likeness: cosine between the change that the vector makes and that of the whole edit, mean over latents.
        """
        plain = self.matching.plain(part.steps)
        whole = self.matching.measure(layer, part, vectors, alphas) - plain
        added = constant_of(layer, vectors)
        seed = RANDOM_SEEDS["constants"] + 100 * (2 * LAYERS.index(part.layer) + list(CONSTANTS).index(part.method))
        generator = torch.Generator().manual_seed(seed)
        chance = normalize(torch.randn(added.shape, generator=generator), dim=1) * added.norm(dim=1, keepdim=True)
        rows, changes = [], []
        for method, output in ((part.method, added), (f"random {part.method}", chance)):
            found = self.matching.measure(layer, part, output, alphas, place="output")
            likeness = cosine_similarity((found - plain).flatten(2), whole.flatten(2), dim=2).mean(1).tolist()
            some, changed = self.rows(replace(part, method=method), alphas, found)
            rows += [{**row, "likeness": value} for row, value in zip(some, likeness, strict=True)]
            changes.append(changed)
        return rows, torch.cat(changes)

    def floors(self, part):
        """As `edited`, without a layer: edits of strength 0, pictures rounded to 8 bits, other pictures.

        Or perfect edits, which the world draws.
        """
        if part.method == "renderer":
            name, count = self.records.name, self.plan.latents
            steps, before, after = perfect_edits(name, part.wanted, count, SEEDS["renderer"])
            which, measures = [(factor, 1) for factor in self.factors], self._measures(after, before)
            return self._rows(part, which, steps, measures), self.read(after) - self.read(before)
        layer, plain = self.layers["encoder"], self.matching.plain(part.steps)
        again = self.matching.measure(layer, part, torch.zeros(1, layer.channels), torch.zeros(1))
        others = self.edits.unedited(seeds_of("oracle", self.plan.latents), part.steps)
        pictures = torch.cat([again, (plain * 255).round()[None] / 255, others[None]])
        found = []
        for place, method in enumerate(("unedited", "rounded to 8 bits", "another picture")):
            found.append(self.rows(replace(part, method=method), torch.zeros(1), pictures[place][None]))
        return [row for rows, _ in found for row in rows], torch.cat([changes for _, changes in found])
