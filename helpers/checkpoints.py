"""Read a U-Net, its schedule and its autoencoder from a diffusers folder or the hub, and refuse what would mislead."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError

UNETS = {"UNet2DModel": UNet2DModel, "UNet2DConditionModel": UNet2DConditionModel}
AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny, "VQModel": VQModel}
PREDICTIONS = ("epsilon", "sample", "v_prediction")


def read_checkpoint(source, revision=None, dtype=torch.float32, variant=None):
    """U-Net, DDIM scheduler, and autoencoder or None, from a diffusers folder (a `Path`) or a hub id (a string).

    They lie in subfolders or, in old models, side by side; weights are read from .safetensors, or from a .bin that
    holds nothing but tensors. Raises ValueError for a model that DDIM cannot run, OSError for files that are missing,
    damaged or out of reach.
    """
    layouts = [("unet", "scheduler"), (None, None)]
    if isinstance(source, Path):
        layouts = layouts[:1] if (source / "unet").is_dir() else layouts[1:]
    failure = None
    for unet_folder, scheduler_folder in layouts:
        try:
            config = UNet2DModel.load_config(source, subfolder=unet_folder, revision=revision)
            schedule = DDIMScheduler.load_config(source, subfolder=scheduler_folder, revision=revision)
        except OSError as error:
            failure = failure or error
            continue
        _check_schedule(source, schedule)
        options = dict(revision=revision, torch_dtype=dtype, variant=variant)
        unet = _read_weights(_kind(UNETS, config, source), source, unet_folder, options)
        autoencoder = _read_autoencoder(source, options) if unet_folder else None
        return unet, DDIMScheduler.from_config(schedule), autoencoder
    raise OSError(
        f"no diffusers model could be read from {source}: check the path, or the network if it is a hub id "
        f"({_first_line(failure)})"
    ) from failure


def _kind(known, config, source):
    name = config.get("_class_name")
    if name not in known:
        raise ValueError(f"{source} holds a {name!r}: known here are {', '.join(known)}.")
    return known[name]


def _check_schedule(source, schedule):
    """Raises ValueError for noise levels that no betas give: DDIM would silently put its own in their place."""
    has_betas = {"beta_schedule", "beta_start", "trained_betas"} & set(schedule)
    if not has_betas or schedule.get("timestep_type") == "continuous":
        name = schedule.get("_class_name")
        raise ValueError(
            f"{source} has the schedule of {name}, whose noise levels are not those of betas: not for DDIM."
        )
    prediction = schedule.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise ValueError(f"{source} predicts {prediction!r}: DDIM needs one of {', '.join(PREDICTIONS)}.")


def _read_autoencoder(source, options):
    """The autoencoder that a pipeline's index names, None for a model of pixels or without an index."""
    try:
        index = DiffusionPipeline.load_config(source, revision=options["revision"])
    except OSError:
        index = {}
    for folder in sorted({"vae", "vqvae", "movq"} & set(index)):
        config = AutoencoderKL.load_config(source, subfolder=folder, revision=options["revision"])
        return _read_weights(_kind(AUTOENCODERS, config, source), source, folder, options)
    return None


def _read_weights(kind, source, folder, options):
    """Safetensors where there are any, else a .bin that holds nothing but tensors (diffusers reads it weights_only)."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)  # what goes wrong is raised below, in one line
    options = dict(options, subfolder=folder, low_cpu_mem_usage=False, output_loading_info=True)
    variant = f".{options['variant']}" if options["variant"] else ""
    names = f"diffusion_pytorch_model{variant}.safetensors", f"diffusion_pytorch_model.safetensors.index{variant}.json"
    try:
        if isinstance(source, Path):
            has_safetensors = any((source / (folder or "") / name).is_file() for name in names)
            network, report = kind.from_pretrained(source, use_safetensors=has_safetensors, **options)
        else:
            try:
                network, report = kind.from_pretrained(source, use_safetensors=True, **options)
            except OSError:  # old hub models have none
                network, report = kind.from_pretrained(source, use_safetensors=False, **options)
        if report["missing_keys"]:  # diffusers would leave them random
            raise OSError(f"{len(report['missing_keys'])} weights are not in the file")
        return network
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise OSError(
            f"the weights of {source} could not be read ({_first_line(error)}): the file is missing, damaged, or "
            "a pickle that would run code, which is refused. Get it again, as .safetensors if there is one."
        ) from error
    finally:
        diffusers_logging.set_verbosity(verbosity)


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
