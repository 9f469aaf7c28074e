"""Other methods of editing, on the same U-Nets: Pullback, LOCO, Asyrp, NoiseCLR, principal components of h, and SeFa.

Each function finds what its method needs and returns an object with

    edit(latents, strength, num_inference_steps=50, direction=0)  pictures on the CPU, (batch, channels, height, width)
    count                                                         how many directions it holds
    passes                                                        what finding them took, see `Passes`

so that methods can be compared at equal change of the pictures. A strength of 0 gives what `sample` draws, up to
rounding; what a strength of 1 means is each method's own. All are deterministic (eta = 0) and written for an
unconditional `UNet2DModel` that predicts noise; h is the output of its middle block.
"""

from helpers.baselines.edits import TokenEdit, counted_passes
from helpers.baselines.jacobians import loco, pullback
from helpers.baselines.learned import asyrp, directional_loss, factor_loss, noiseclr
from helpers.baselines.spectra import pca, sefa

__all__ = [
    "TokenEdit",
    "asyrp",
    "counted_passes",
    "directional_loss",
    "factor_loss",
    "loco",
    "noiseclr",
    "pca",
    "pullback",
    "sefa",
]
