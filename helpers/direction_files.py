"""Keep editing directions in files, with what is needed to use them rightly and to refuse them elsewhere."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from helpers.attention import get_layer
from helpers.directions import Directions, combined_matrix
from helpers.editing import INJECTIONS

FORMAT = "editing directions 1"
#: what the metadata of a file must hold, and of which kind
FIELDS = {"model": str, "layer": str, "method": str, "names": list, "window": list, "trace": float}


def save_directions(
    path,
    directions,
    network,
    model,
    revision=None,
    names=None,
    window=(0.5, 0.8),
    injection="symmetric",
):
    """Write directions to a .safetensors file, with what is needed to refuse them where they do not belong.

    directions: `Directions` of one of the network's layers; model, revision: what the network was loaded from.
    names: one per direction, such as "smile"; by default their numbers. The sign of a direction is that of its vector.
    window, injection: with which the directions were found good, see `Edit`.
    Raises ValueError for a path without the ending .safetensors, another number of names, an unknown injection, or
    vectors that are not of unit length.
    """
    names = [str(i + 1) for i in range(len(directions))] if names is None else list(names)
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path is {str(path)!r}: give it the ending .safetensors.")
    if len(names) != len(directions):
        raise ValueError(f"{len(names)} names for {len(directions)} directions: give one name each.")
    if injection not in INJECTIONS:
        raise ValueError(f"injection is {injection!r}: it must be one of {', '.join(INJECTIONS)}.")
    _check_vectors(path, directions.vectors)
    about = {
        "format": FORMAT,
        "model": model,
        "revision": revision,
        "layer": directions.layer,
        "method": directions.method,
        "names": names,
        "window": list(window),
        "injection": injection,
        "trace": combined_matrix(get_layer(network, directions.layer)).trace().item(),
    }
    tensors = {"vectors": directions.vectors.detach().float().cpu().contiguous()}
    if directions.values is not None:
        tensors["values"] = directions.values.detach().float().cpu().contiguous()
    save_file(tensors, str(path), metadata={"about": json.dumps(about)})


def load_directions(path, network):
    """Read a file of `save_directions` for a network: returns (`Directions`, what the file says of them, as a dict).

    Raises OSError for a file that cannot be read, ValueError for one that is no file of directions, or that was made
    for another model: another layer, width, or other weights (the trace of C must agree within 1 %).
    """
    about, tensors = _read(path)
    layer, vectors = get_layer(network, about["layer"]), tensors["vectors"]
    if len(about["names"]) != len(vectors):
        raise ValueError(f"{path} is damaged ({len(about['names'])} names, {len(vectors)} vectors): make it again.")
    _check_vectors(path, vectors)
    origin = f"{path} was made for {about['model']}"
    if vectors.shape[1] != layer.channels:
        raise ValueError(f"{origin}, where {layer.name} has {vectors.shape[1]} channels: here it has {layer.channels}.")
    trace = combined_matrix(layer).trace().item()
    if not abs(trace / about["trace"] - 1) <= 0.01:
        raise ValueError(
            f"{origin}: the weights of {layer.name} differ (trace of C {about['trace']:.1f}, here {trace:.1f})."
        )
    return Directions(vectors, tensors.get("values"), layer.name, about["method"]), about


def _read(path):
    """Metadata (a dict with at least `FIELDS`) and tensors of a file, of which nothing but their kinds is known."""
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get("about", "null")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise OSError(f"{path} could not be read as .safetensors ({str(error).splitlines()[0]}).") from error
    try:
        about = json.loads(text)
    except ValueError:
        about = None
    if not isinstance(about, dict) or about.get("format") != FORMAT or "vectors" not in tensors:
        raise ValueError(f"{path} holds no editing directions: make such a file with save_directions.")
    missing = sorted(name for name, kind in FIELDS.items() if not isinstance(about.get(name), kind))
    if missing or tensors["vectors"].ndim != 2:
        raise ValueError(f"{path} is incomplete (no {', '.join(missing) or 'list of vectors'}): make it again.")
    return {"injection": "symmetric", **about}, tensors  # older files know no other


def _check_vectors(path, vectors):
    if not torch.isfinite(vectors).all():
        raise ValueError(f"{path} is damaged (it holds numbers that are not finite): make it again.")
    length = max(vectors.double().norm(dim=1).tolist(), key=lambda length: abs(length - 1), default=1)
    if abs(length - 1) > 0.01:
        raise ValueError(f"{path}: a vector has length {length:.3g}: it must be 1, the unit of alpha.")
