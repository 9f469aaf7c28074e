"""Keep editing directions in files, and use them with any diffusers pipeline."""

import json
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from helpers.attention import get_layer
from helpers.directions import Directions, combined_matrix
from helpers.editing import Edit, collect_shifts, shifted_tokens

FORMAT = "editing directions 1"


def save_directions(
    path,
    directions,
    unet,
    model,
    revision=None,
    names=None,
    window=(0.5, 0.8),
    injection="symmetric",
):
    """Write directions to a .safetensors file, with what is needed to refuse them where they do not belong.

    directions: `Directions` of one of the U-Net's layers; model, revision: what the U-Net was loaded from.
    names: one per direction, such as "smile"; by default their numbers. The sign of a direction is that of its vector.
    window, injection: with which the directions were found good, see `Edit`.
    Raises ValueError for a path without the ending .safetensors, or another number of names.
    """
    names = [str(i + 1) for i in range(len(directions))] if names is None else list(names)
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path is {str(path)!r}: give it the ending .safetensors.")
    if len(names) != len(directions):
        raise ValueError(f"{len(names)} names for {len(directions)} directions: give one name each.")
    about = {
        "format": FORMAT,
        "model": model,
        "revision": revision,
        "layer": directions.layer,
        "method": directions.method,
        "names": names,
        "window": list(window),
        "injection": injection,
        "trace": combined_matrix(get_layer(unet, directions.layer)).trace().item(),
    }
    tensors = {"vectors": directions.vectors.detach().float().cpu().contiguous()}
    if directions.values is not None:
        tensors["values"] = directions.values.detach().float().cpu().contiguous()
    save_file(tensors, str(path), metadata={"about": json.dumps(about)})


def load_directions(path, unet):
    """Read a file of `save_directions` for a U-Net: returns (`Directions`, what the file says of them, as a dict).

    Raises OSError for a file that cannot be read, ValueError for one that is no file of directions, or that was made
    for another model: another layer, width, or other weights (the trace of C must agree within 1 %).
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise OSError(f"{path} could not be read as .safetensors ({str(error).splitlines()[0]}).") from error
    if about.get("format") != FORMAT or "vectors" not in tensors:
        raise ValueError(f"{path} holds no editing directions: make such a file with save_directions.")
    missing = {"model", "layer", "method", "trace", "names"} - set(about)
    if missing or tensors["vectors"].ndim != 2:
        raise ValueError(f"{path} is incomplete (no {', '.join(sorted(missing)) or 'list of vectors'}): make it again.")
    layer, vectors = get_layer(unet, about["layer"]), tensors["vectors"]
    if len(about["names"]) != len(vectors):
        raise ValueError(f"{path} is damaged ({len(about['names'])} names, {len(vectors)} vectors): make it again.")
    if not torch.isfinite(vectors).all():
        raise ValueError(f"{path} is damaged (it holds numbers that are not finite): make it again.")
    origin = f"{path} was made for {about['model']}"
    if vectors.shape[1] != layer.channels:
        raise ValueError(f"{origin}, where {layer.name} has {vectors.shape[1]} channels: here it has {layer.channels}.")
    trace = combined_matrix(layer).trace().item()
    if not abs(trace / about["trace"] - 1) <= 0.01:
        raise ValueError(
            f"{origin}: the weights of {layer.name} differ (trace of C {about['trace']:.1f}, here {trace:.1f})."
        )
    return Directions(vectors, tensors.get("values"), layer.name, about["method"]), about


@contextmanager
def applied(edits, unet, train_timesteps=1000):
    """Inside this context every pass of a U-Net is edited, each edit in its window: for any diffusers pipeline.

    edits: a list of `Edit`, for all rows of a batch, which share one timestep. One thread at a time. The hooks are gone
    afterwards, also after an exception.
    Raises ValueError for edits that do not fit the U-Net.
    """
    edits = [edits] if isinstance(edits, Edit) else list(edits)
    shifts = collect_shifts(unet, [edits])
    now = {}

    def open_windows(_, inputs, named):
        t = float(torch.as_tensor(named["timestep"] if "timestep" in named else inputs[1]).flatten()[0])
        now["open"] = ExitStack()
        for layer, (start, end), site, shift in shifts:
            if start * train_timesteps < t < end * train_timesteps:
                now["open"].enter_context(shifted_tokens(layer, shift, site))

    handles = [
        unet.register_forward_pre_hook(open_windows, with_kwargs=True),
        unet.register_forward_hook(lambda *_: now.pop("open").close(), always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        if "open" in now:
            now.pop("open").close()
