"""What edits do on many faces: `python -m helpers.toyworld.evidence` measures it and keeps the numbers as small tables.

The rules below were fixed before the numbers that are kept. One table per case (layer, window, injection) in the folder
results beside this module, one row per direction and face. A run that was interrupted goes on where it stopped.
"""

import csv
import math
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import normalize

from helpers.agreement import agreeing_directions
from helpers.attention import get_layer
from helpers.clock import equal_noise_window
from helpers.directions import Directions, eigenvectors, find_directions, random_directions, refined_matrix
from helpers.metrics import rms_change, tint_share
from helpers.models import EMBEDDED_FOLDER, load_model
from helpers.sampling import random_latents
from helpers.sweep import edit_grid
from helpers.toyworld.regressor import FactorRegressor, read_factors
from helpers.toyworld.tables import RESULTS, checksum

MODEL = "toy-faces"
LAYERS = {"encoder": "down_blocks.2.attentions.0", "decoder": "up_blocks.1.attentions.1"}
WINDOWS = {"paper": (0.5, 0.8), "unshifted": None}  # None: where the paper's numbers fall on a clock without the shift
CASES = [
    (layer, *how)
    for how in (("paper", "asymmetric"), ("paper", "symmetric"), ("unshifted", "symmetric"))
    for layer in LAYERS
]
FACES = range(32)  # seeds of the faces that are measured
STRENGTH_FACES, CORRECTION_FACES = (700,), range(702, 706)  # on which the strength of a direction is found
RESPONSE_FACES = range(600, 604)  # on whose responses the oracle is computed
CHANGE = 0.064  # root mean squared change of the pixels to which every direction is brought
LADDER = {"asymmetric": (1.0, 4.0, 16.0), "symmetric": (4.0, 16.0, 64.0)}
SMALL = {"asymmetric": 0.7, "symmetric": 3.0}  # strength at which responses are taken
STEPS, BATCH = 10, 16
COUNTS = dict.fromkeys(("paper", "refined", "agree", "random"), 4)
MANY_CASE, MANY, MANY_FACES = CASES[0], 64, 8  # as many random directions in one case, on the first faces
SPAN = 32  # refined directions that the oracle combines
WANTED = ("mouth_open", "hair_length", "glasses", "smile", "nose_size")  # factors that it is asked for
TEXT = ("weights", "method", "direction")  # columns; weights: checksum of those that were measured
COLUMNS = (*TEXT, "alpha", "seed", "rms_plus", "rms_minus", "tint", "even_energy")  # before the factors


class Case:
    """One layer, window and injection."""

    def __init__(self, model, layer, window, injection):
        self.model, self.layer, self.injection = model, get_layer(model.unet, LAYERS[layer]), injection
        self.window_name, self.window = window, WINDOWS[window] or equal_noise_window(model.scheduler, 256)
        self.path = RESULTS / f"{layer}-{window}-{injection}.csv"
        self.regressor = FactorRegressor.load(EMBEDDED_FOLDER / MODEL)
        self.weights = checksum(MODEL)

    def grid(self, vectors, alphas, seeds):
        """Pictures (directions, alphas, faces, 3, 64, 64) of `edit_grid`."""
        shifts, latents = Directions(vectors, None, self.layer.name, "evidence"), random_latents(self.model, seeds)
        return edit_grid(self.model, latents, shifts, alphas, self.window, STEPS, BATCH, injection=self.injection)

    def read(self, pictures):
        """Factors of pictures (directions, faces, 3, 64, 64): (directions, faces, factors)."""
        return read_factors(self.regressor, pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])

    def directions(self, method):
        """{label: vector} of a method, or of the oracle for each factor of `WANTED`."""
        if method == "oracle":
            return self.oracle()
        if method == "random":
            vectors = random_directions(self.layer, COUNTS[method], seed=0).vectors
        elif method == "many random":
            vectors = random_directions(self.layer, MANY, seed=1).vectors
        elif method == "agree":
            middle = 0.65 if self.window_name == "paper" else sum(self.window) / 2
            vectors = agreeing_directions(self.model, self.layer, COUNTS[method], share=middle).vectors
        else:
            vectors = find_directions(self.layer, COUNTS[method], method).vectors
        return {str(i + 1): vector for i, vector in enumerate(vectors)}

    def oracle(self):
        """For each wanted factor the shift that, by least squares on other faces' responses, moves it and no other."""
        basis = eigenvectors(refined_matrix(self.layer))[1][:SPAN].float()
        small = SMALL[self.injection]
        up, down = self.grid(basis, [small, -small], RESPONSE_FACES).unbind(1)
        responses = (self.read(up) - self.read(down)).transpose(0, 1) / (2 * small)  # (faces, span, factors)
        responses = responses / responses.square().mean((0, 1)).sqrt()
        moment = torch.einsum("ikf,ilf->kl", responses, responses) / len(responses)
        moment = moment + 0.05 * moment.trace() / SPAN * torch.eye(SPAN)
        wanted = responses.mean(0)[:, [self.regressor.factors.index(name) for name in WANTED]]
        return dict(zip(WANTED, normalize(torch.linalg.solve(moment, wanted).T, dim=1) @ basis))

    def strength(self, vector):
        """alpha of the change `CHANGE`, mean over signs: by a ladder on one face, then corrected on four others."""

        def size(seeds, logs):
            alphas = logs.exp().tolist()
            pictures = self.grid(vector[None], [0, *alphas, *(-alpha for alpha in alphas)], seeds)[0]
            changes = [rms_change(edited, pictures[0]).mean() for edited in pictures[1:]]
            return torch.stack(changes).view(2, -1).mean(0).log()

        x, wanted = torch.tensor(LADDER[self.injection]).log(), math.log(CHANGE)
        y, most = size(STRENGTH_FACES, x), x[-1] + math.log(2)
        place = int((y < wanted).sum().clamp(1, len(x) - 1))
        slope = ((y[place] - y[place - 1]) / (x[place] - x[place - 1])).clamp(0.5, 2)
        alpha = (x[place - 1] + (wanted - y[place - 1]) / slope).clamp(max=most)
        alpha = alpha + (wanted - size(CORRECTION_FACES, alpha[None])[0]) / slope
        return alpha.clamp(max=most).exp().item()

    def measure(self, vectors, alphas, faces):
        """One row per direction and face: (directions, faces, numbers), see `COLUMNS`."""
        scaled = torch.tensor(alphas).unsqueeze(1) * torch.stack(vectors)
        up, plain, down = self.grid(scaled, [1, 0, -1], faces).unbind(1)
        pairs = [(side.flatten(0, 1), plain.flatten(0, 1)) for side in (up, down)]
        sizes = [rms_change(*pair) for pair in pairs]
        tint = sum(tint_share(before, after) for after, before in pairs) / 2
        up, plain, down = (self.read(side) for side in (up, plain, down))
        even = ((up + down) / 2 - plain).square().sum(-1, keepdim=True)
        first = torch.stack([*sizes, tint], dim=1).unflatten(0, even.shape[:2])
        return torch.cat([first, even, (up - down) / 2], dim=-1)

    def methods(self):
        """What is to be measured, and what of it is missing."""
        wanted = [*COUNTS, "oracle", *(["many random"] if self.path.stem == "-".join(MANY_CASE) else [])]
        rows = read_table(self.path) if self.path.exists() else []
        if any(row["weights"] != self.weights for row in rows):
            raise ValueError(f"{self.path} was measured on other weights of {MODEL}: delete it to measure it again.")
        done = {row["method"] for row in rows}
        return [method for method in wanted if method not in done]

    def run(self):
        """Measure what is missing of this case, method by method."""
        for method in self.methods():
            found, faces = self.directions(method), FACES[:MANY_FACES] if method == "many random" else FACES
            vectors, start = list(found.values()), time.time()
            alphas = [self.strength(vector) for vector in vectors]
            table = self.measure(vectors, alphas, faces)
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                if not file.tell():
                    writer.writerow([*COLUMNS, *self.regressor.factors])
                for label, alpha, measured in zip(found, alphas, table):
                    for seed, numbers in zip(faces, measured.tolist()):
                        cells = (f"{number:.4f}" for number in numbers)
                        writer.writerow([self.weights, method, label, f"{alpha:.4g}", seed, *cells])
            yield method, time.time() - start


def read_table(path):
    """Rows of a table as dicts: text in the columns `TEXT`, numbers in the rest."""
    with Path(path).open(newline="") as file:
        return [{k: v if k in TEXT else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def main():
    """Measure all cases, or those whose names contain the first argument."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    RESULTS.mkdir(exist_ok=True)
    model = load_model(MODEL, device="cpu")
    cases = [case for case in (Case(model, *case) for case in CASES) if wanted in case.path.stem]
    left, spent, done = sum(len(case.methods()) for case in cases), 0.0, 0
    for case in cases:
        for method, seconds in case.run():
            left, spent, done = left - 1, spent + seconds, done + 1
            about = f"about {left * spent / done / 60:.0f} minutes left"
            print(f"{case.path.stem}, {method}: {seconds:.0f} s; {left} to go, {about}", flush=True)


if __name__ == "__main__":
    main()
