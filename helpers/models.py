"""Load a diffusion model: one of this book's own, a diffusers folder, or a model from the Hugging Face hub."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import DDIMScheduler

from helpers.checkpoints import read_checkpoint

EMBEDDED_FOLDER = Path(__file__).parent / "models"
#: public models that the book names, each with the revision it was written for
PUBLIC_MODELS = {
    "google/ddpm-celebahq-256": "cd5c944777ea2668051904ead6cc120739b86c4d",
    "google/ddpm-ema-celebahq-256": "4cb6117472e6e4f45c5afe606b101858c27c3802",
}


@dataclass
class DiffusionModel:
    """A noise predictor and its schedule.

    unet: `UNet2DModel` or `UNet2DConditionModel`, in eval mode, without gradients
    scheduler: `DDIMScheduler` with the betas that the model was trained with
    unet_inputs: further inputs of every network pass, such as `encoder_hidden_states` of a conditional U-Net;
        one row, used for every latent
    autoencoder: between the latents of a latent model and pictures, None where they are the same
    lock: held while the model samples, so that a second thread waits instead of mixing its edits in
    """

    name: str
    unet: torch.nn.Module
    scheduler: DDIMScheduler
    revision: str | None = None
    unet_inputs: dict = field(default_factory=dict)
    autoencoder: torch.nn.Module | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    @property
    def device(self):
        return self.unet.device

    @property
    def dtype(self):
        return self.unet.dtype

    @property
    def sample_shape(self):
        """(channels, height, width) of the latents."""
        size = self.unet.config.sample_size
        if size is None:
            raise ValueError(f"{self.name} names no sample_size: give latents of the height and width you want.")
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.config.in_channels, height, width

    @property
    def picture_shape(self):
        """(channels, height, width) of the pictures that `sample_shape` stands for."""
        channels, height, width = self.sample_shape
        if self.autoencoder is not None:
            channels = self.autoencoder.config.out_channels
        return channels, self.pixels_per_latent * height, self.pixels_per_latent * width

    @property
    def pixels_per_latent(self):
        """Along one side: 1 where the latents are the pictures."""
        return 1 if self.autoencoder is None else 2 ** (len(self.autoencoder.config.block_out_channels) - 1)

    @property
    def train_timesteps(self):
        """T, the number of noise levels of the training schedule."""
        return self.scheduler.config.num_train_timesteps

    @torch.no_grad()
    def decode(self, latents):
        """Pictures in [0, 1], on the CPU, of latents at t = 0: decoded where the model works on latents."""
        if self.autoencoder is not None:
            config = self.autoencoder.config
            latents = latents / config.scaling_factor + (config.get("shift_factor") or 0)
            latents = self.autoencoder.decode(latents.to(self.dtype)).sample
        return (latents.float() / 2 + 0.5).clamp(0, 1).cpu()

    @torch.no_grad()
    def encode(self, pictures):
        """Latents at t = 0 of pictures in [0, 1], (batch, *picture_shape): what `decode` turns back, more or less."""
        latents = (2 * pictures - 1).to(self.device, self.dtype)
        if self.autoencoder is None:
            return latents
        config, encoded = self.autoencoder.config, self.autoencoder.encode(latents)
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return (latents - (config.get("shift_factor") or 0)) * config.scaling_factor


def embedded_models():
    """Names of the unconditional models that come with the book.

    >>> embedded_models()
    ['clothes', 'toy-cars', 'toy-cats', 'toy-faces', 'toy-rooms']
    """
    indices = sorted(EMBEDDED_FOLDER.glob("*/model_index.json"))
    return [path.parent.name for path in indices if json.loads(path.read_text())["_class_name"] == "DDPMPipeline"]


def load_model(name, device=None, dtype=torch.float32, revision=None, variant=None):
    """Load a model by its embedded name, the path of a diffusers folder, or its id on the Hugging Face hub.

    device: torch device; None takes a GPU where there is one. dtype: of weights and latents.
    revision: commit of a hub model; needed for models that are not in `PUBLIC_MODELS`. variant: of the weights, such as
    "fp16", where their files have it in their names. A folder with an autoencoder is a latent model, see `decode`.
    Weights are read from .safetensors, or from .bin with `weights_only=True`: a file that would run code is refused.
    Raises ValueError for an unknown name or a model that DDIM cannot run, OSError for files that are missing, damaged
    or out of reach.

    >>> load_model("toy-faces").sample_shape
    (3, 64, 64)
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name in embedded_models():
        source = EMBEDDED_FOLDER / name
        _check_weights(source)
    elif Path(name).is_dir():
        source = Path(name)
    elif str(name).count("/") == 1 and not str(name).startswith((".", "/", "~")):
        source, revision = str(name), revision or PUBLIC_MODELS.get(name)
        if revision is None:
            raise ValueError(f"{name!r} is no folder here; if it is a hub id, pass revision= with a commit of it.")
    else:
        known = ", ".join(embedded_models() + sorted(PUBLIC_MODELS))
        raise ValueError(f"unknown model {name!r}: give one of {known}, a diffusers folder, or a hub id owner/name.")
    unet, scheduler, autoencoder = read_checkpoint(source, revision, dtype, variant)
    unet = unet.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    if autoencoder is not None:
        autoencoder = autoencoder.to(device).eval().requires_grad_(False)
    return DiffusionModel(str(name), unet, scheduler, revision, autoencoder=autoencoder)


def _check_weights(folder):
    """Compare an embedded model's weights with the checksum that its training wrote."""
    expected = json.loads((folder / "training.json").read_text())["sha256"]
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    if hashlib.sha256(weights.read_bytes()).hexdigest() != expected:
        raise OSError(f"{weights} is damaged (its checksum differs from training.json): restore it with git checkout.")
