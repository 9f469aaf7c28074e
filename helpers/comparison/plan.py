"""What a comparison measures, part by part, as the page "The protocol of the comparison" fixes it."""

import math
import random
from dataclasses import dataclass, replace

CHANGES = (0.064, 0.0376)  # root mean squared change of the pixels: for all directions, and for the first of each kind
METHODS = ("C", "refined", "agree", "pca")  # that are compared, with both signs; all else is a control
CONSTANTS = {"constant of C": "C", "constant of refined": "refined"}  # the value term of their edits, alone
LAYERS = ("encoder", "decoder")


@dataclass(frozen=True)
class Plan:
    """How much is measured; the defaults are the protocol's."""

    steps: int = 25
    probe_steps: int = 10  # of the first guesses at a strength
    fine_steps: int = 50
    latents: int = 16
    directions: int = 16  # of each method
    random: int = 64
    few: int = 8  # of the bottom ones, of those between, and of C with the other injection
    few_random: int = 16  # with the other injection, and at the smaller change
    constants: int = 6
    smaller: int = 4  # of each method, at the smaller change
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

    def __str__(self):
        return f"{self.layer}, {self.method}, {self.injection}, change {self.wanted}, {self.steps} steps"

    @property
    def case(self):
        """The columns that tell the part's rows from others."""
        return {name: getattr(self, name) for name in ("layer", "method", "injection", "wanted", "steps")}


def spaced(first, last, count):
    """Whole numbers at even distances, both ends among them.

    >>> spaced(16, 55, 4)
    [16, 29, 42, 55]
    """
    return [round(first + (last - first) * i / max(count - 1, 1)) for i in range(count)]


def parts(plan, factors, drawn, seed):
    """All that is to be measured of a model, what matters most first.

    factors: how many the oracle is asked for; drawn: whether a world of drawings can show perfect edits of them; seed:
    by which a tenth is drawn to be repeated with more steps.
    """
    usual, (first, second) = "asymmetric", CHANGES
    counts = {"random": plan.random} | dict.fromkeys(METHODS, plan.directions) | {"oracle": factors}
    cases = [(method, usual, first, count) for method, count in counts.items()]
    cases += [("between", usual, first, plan.few), ("bottom", usual, first, plan.few)]
    cases += [("random", "symmetric", first, plan.few_random), ("C", "symmetric", first, plan.few)]
    constants = [(method, usual, first, plan.constants) for method in CONSTANTS]
    counts["bottom"] = plan.few
    smaller = {"random": plan.few_random} | dict.fromkeys((*METHODS, "oracle", "bottom"), plan.smaller)
    smaller = [(m, usual, second, min(count, counts[m])) for m, count in smaller.items()]

    def in_both_layers(cases):
        for method, injection, wanted, count in cases:
            both = method in METHODS and injection == usual and wanted == first
            for layer in LAYERS:
                signs = (1, -1) if both else (1,)
                yield Part(layer, method, injection, wanted, plan.steps, tuple(range(count)), signs)

    floors = [Part("none", "unedited", usual, 0.0, plan.steps, (0,))]
    if drawn:
        floors += [Part("none", "renderer", usual, wanted, plan.steps, tuple(range(factors))) for wanted in CHANGES]
    main, rest = list(in_both_layers(cases)), list(in_both_layers([*constants, *smaller]))
    return [*floors, *main, *rest, *_with_more_steps(main, plan.fine_steps, seed)]


def _with_more_steps(parts, steps, seed):
    """A tenth of the directions of the parts, with plus signs."""
    items = [(part, place) for part in parts for place in part.places]
    drawn = random.Random(seed).sample(items, math.ceil(len(items) / 10))
    for part in parts:
        places = tuple(sorted(place for other, place in drawn if other is part))
        if places:
            yield replace(part, steps=steps, places=places, signs=(1,))
