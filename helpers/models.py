"""Load a diffusion model: one of this book's own, a diffusers folder, or a model from the Hugging Face hub."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel, UNet2DModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError

EMBEDDED_FOLDER = Path(__file__).parent / "models"
#: public models that the book names, each with the revision it was written for
PUBLIC_MODELS = {
    "google/ddpm-celebahq-256": "cd5c944777ea2668051904ead6cc120739b86c4d",
    "google/ddpm-ema-celebahq-256": "4cb6117472e6e4f45c5afe606b101858c27c3802",
}
UNETS = {"UNet2DModel": UNet2DModel, "UNet2DConditionModel": UNet2DConditionModel}


@dataclass
class DiffusionModel:
    """A noise predictor and its schedule.

    unet: `UNet2DModel` or `UNet2DConditionModel`, in eval mode, without gradients
    scheduler: `DDIMScheduler` with the betas that the model was trained with
    unet_inputs: further inputs of every network pass, such as `encoder_hidden_states` of a conditional U-Net;
        one row, used for every latent
    lock: held while the model samples, so that a second thread waits instead of mixing its edits in
    """

    name: str
    unet: torch.nn.Module
    scheduler: DDIMScheduler
    revision: str | None = None
    unet_inputs: dict = field(default_factory=dict)
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
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.config.in_channels, height, width

    @property
    def train_timesteps(self):
        """T, the number of noise levels of the training schedule."""
        return self.scheduler.config.num_train_timesteps


def embedded_models():
    """Names of the models that come with the book.

    >>> "toy-faces" in embedded_models()
    True
    """
    return sorted(path.parent.name for path in EMBEDDED_FOLDER.glob("*/model_index.json"))


def load_model(name, device=None, dtype=torch.float32, revision=None):
    """Load a model by its embedded name, the path of a diffusers folder, or its id on the Hugging Face hub.

    device: torch device; None takes a GPU where there is one. dtype: of weights and latents.
    revision: commit of a hub model; needed for models that are not in `PUBLIC_MODELS`.
    Weights are read from .safetensors, or from .bin with `weights_only=True`: a file that would run code is refused.
    Raises ValueError for an unknown name, OSError for files that are missing, damaged or out of reach.

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
    unet, scheduler = _read(source, revision, dtype)
    unet = unet.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    return DiffusionModel(str(name), unet, scheduler, revision)


def _read(source, revision, dtype):
    """U-Net and DDIM scheduler of a folder or hub id, which lie in subfolders or, as in old models, side by side."""
    layouts = [("unet", "scheduler"), (None, None)]
    if isinstance(source, Path):
        layouts = layouts[:1] if (source / "unet").is_dir() else layouts[1:]
    failure = None
    for unet_folder, scheduler_folder in layouts:
        try:
            config = UNet2DModel.load_config(source, subfolder=unet_folder, revision=revision)
            scheduler = DDIMScheduler.from_pretrained(source, subfolder=scheduler_folder, revision=revision)
        except OSError as error:
            failure = failure or error
            continue
        kind = UNETS.get(config.get("_class_name"))
        if kind is None:
            known = " and ".join(UNETS)
            raise ValueError(f"{source} holds a {config.get('_class_name')!r}, not a U-Net known here: {known}.")
        options = dict(subfolder=unet_folder, revision=revision, torch_dtype=dtype, low_cpu_mem_usage=False)
        options["output_loading_info"] = True
        return _read_weights(kind, source, options), scheduler
    raise OSError(
        f"no diffusers model could be read from {source}: check the path, or the network if it is a hub id "
        f"({_first_line(failure)})"
    ) from failure


def _read_weights(kind, source, options):
    """Safetensors where there are any, else a .bin that holds nothing but tensors (diffusers reads it weights_only)."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)  # what goes wrong is raised below, in one line
    try:
        if isinstance(source, Path):
            has_safetensors = any((source / (options["subfolder"] or "")).glob("*.safetensors"))
            unet, report = kind.from_pretrained(source, use_safetensors=has_safetensors, **options)
        else:
            try:
                unet, report = kind.from_pretrained(source, use_safetensors=True, **options)
            except OSError:  # old hub models have none
                unet, report = kind.from_pretrained(source, use_safetensors=False, **options)
        if report["missing_keys"]:  # diffusers would leave them random
            raise OSError(f"{len(report['missing_keys'])} weights are not in the file")
        return unet
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise OSError(
            f"the weights of {source} could not be read ({_first_line(error)}): the file is missing, damaged, or "
            "a pickle that would run code, which is refused. Get it again, as .safetensors if there is one."
        ) from error
    finally:
        diffusers_logging.set_verbosity(verbosity)


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_weights(folder):
    """Compare an embedded model's weights with the checksum that its training wrote."""
    expected = json.loads((folder / "training.json").read_text())["sha256"]
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    if hashlib.sha256(weights.read_bytes()).hexdigest() != expected:
        raise OSError(f"{weights} is damaged (its checksum differs from training.json): restore it with git checkout.")
