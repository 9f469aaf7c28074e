"""Drawings of a world as what a model is trained on and judged by: their regressor, their measurements, their bars."""

import torch
import torch.nn.functional as F

from helpers.metrics import rms_change
from helpers.toyworld import WORLDS, draw_dataset, sample_factors
from helpers.toyworld.denoiser import Unconditional
from helpers.toyworld.model_card import SAMPLES, distances_to, table
from helpers.toyworld.regressor import FactorRegressor, r2_score, read_factors, train_reader
from helpers.toyworld.training_loop import SEED

COUNT = 20_000
REGRESSOR_STEPS = 5_000
REFERENCE_DRAWINGS = 2_000


class Drawings(Unconditional):
    """20,000 drawings of a world. `helpers.toyworld.photographs.Photographs` is used in the same way."""

    what, reader = "drawings", FactorRegressor
    unet = dict(  # attention at a quarter of the side, and in the middle
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64, 128, 128),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=16,
        attention_head_dim=None,
    )
    about = """\
An unconditional DDPM of drawn 64 x 64 pictures, with a regressor that reads a drawing's factors off it.
It is a teaching model: the pictures are drawings with known factors, made by `helpers/toyworld`, and show nobody."""

    def __init__(self, name):
        self.name = name

    def load(self):
        """Pictures (count, 3, 64, 64) uint8 to learn, and their factors."""
        return draw_dataset(self.name, COUNT, seed=SEED)

    def train_reader(self, pictures, factors, folder):
        """Train the factor regressor and save it with the R2 of every factor on drawings it has not seen."""
        torch.manual_seed(SEED)
        regressor = FactorRegressor(WORLDS[self.name].factors).to(pictures.device)
        seconds = train_reader(regressor, _mean_square, pictures, factors, REGRESSOR_STEPS, folder)
        unseen, truth = draw_dataset(self.name, 2_000, seed=SEED + 1)
        r2 = r2_score(truth, read_factors(regressor, unseen.float() / 255))
        r2 = {factor: round(value.item(), 4) for factor, value in zip(regressor.factors, r2)}
        regressor.save(folder, r2=r2, steps=REGRESSOR_STEPS, seconds=seconds)
        print("R2 on unseen drawings:", r2, flush=True)

    def measure(self, pictures, folder):
        """Compare samples (count, 3, 64, 64) in [0, 1] with drawings."""
        regressor = FactorRegressor.load(folder)
        drawings = draw_dataset(self.name, REFERENCE_DRAWINGS, seed=10)[0].float() / 255
        fresh = draw_dataset(self.name, SAMPLES, seed=11)[0].float() / 255
        fixed = sample_factors(self.name, SAMPLES, seed=12)
        fixed[:, 0] = 0.5
        blurred = F.avg_pool2d(fresh, 2)
        candidates = {
            f"{SAMPLES} samples of the model": pictures,
            f"{SAMPLES} fresh drawings (the floor)": fresh,
            "fresh drawings at half the resolution": F.interpolate(blurred, scale_factor=2, mode="bilinear"),
            f"fresh drawings whose {regressor.factors[0]} never changes": WORLDS[self.name].draw(fixed),
        }
        distances = distances_to(drawings, candidates, regressor)
        shares = spread(regressor, pictures, drawings).tolist()
        errors = {"samples": pictures, "drawings": fresh}
        errors = {of: redrawing_error(self.name, regressor, compared) for of, compared in errors.items()}
        return {
            "spread": {factor: round(share, 3) for factor, share in zip(regressor.factors, shares)},
            "frechet_distance": distances,
            "redrawing_error": {
                of: {"median": round(e.median().item(), 4), "largest": round(e.max().item(), 4)}
                for of, e in errors.items()
            },
            "worst_seeds": errors["samples"].topk(8).indices.tolist(),
        }

    def bars(self, measured):
        """What a model must meet to be called trained: rows (bar, met, measured) of a table in words."""
        shares = measured["spread"]
        outside = [f"{factor} {share:.2f}" for factor, share in shares.items() if not 0.75 <= share <= 1.25]
        distances = list(measured["frechet_distance"].values())
        return [
            ("spread of every factor within 0.75 to 1.25", not outside, ", ".join(outside) or "all of them"),
            (
                "Fréchet distance below that of drawings with one factor frozen",
                distances[0] < distances[3],
                f"{distances[0]:.3f} against {distances[3]:.3f}",
            ),
        ]

    def card(self, measured, folder):
        """The sections of the model card that are about drawings."""
        r2 = FactorRegressor.facts(folder)["r2"]
        factors = [(name, f"{r2[name]:.3f}", f"{measured['spread'][name]:.2f}") for name in r2]
        distances = [(label, f"{value:.3f}") for label, value in measured["frechet_distance"].items()]
        errors = [(of, f"{e['median']:.3f}", f"{e['largest']:.3f}") for of, e in measured["redrawing_error"].items()]
        return f"""## Factors

R2: how well the regressor reads the factor off drawings that it has not seen. Spread: standard deviation of the factor
over {SAMPLES} samples of the model, as a share of that over drawings; 1 means that the model varies it fully.

{table(("factor", "R2", "spread"), factors)}

## Fréchet distance to {REFERENCE_DRAWINGS} drawings, in the regressor's features (lower is better)

{table(("pictures", "distance"), distances)}

## Distance of a picture to the drawing of the factors read off it (RMS of the pixels)

{table(("pictures", "median", "largest"), errors)}
"""


def _mean_square(found, wanted):
    return (found - wanted).square().mean()


def spread(regressor, pictures, drawings):
    """Standard deviation of each factor over pictures, as a share of that over drawings: (factors,)."""
    return read_factors(regressor, pictures).std(0) / read_factors(regressor, drawings).std(0)


def redrawing_error(name, regressor, pictures):
    """How far each picture is from the drawing of the factors that are read off it: RMS of the pixels, (batch,).

    A picture that shows something else than a drawing of its world, a torn face, is far from it.
    """
    read = read_factors(regressor, pictures).clamp(0, 1)
    return torch.cat([rms_change(p, WORLDS[name].draw(f)) for p, f in zip(pictures.split(64), read.split(64))])
