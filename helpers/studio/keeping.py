"""What a reader takes away from the studio: a direction as a file, a strip of pictures, each as a link to save it."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from helpers.attention import get_layer
from helpers.direction_files import load_directions, save_directions
from helpers.directions import Directions
from helpers.studio.explorer import download_link, png_bytes

STRIP = (-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1)  # of the strengths in the settings


def direction_link(engine, settings, layer_name, name, step=lambda done, total: None):
    """The sum of one layer's shifts as a file with one direction of unit length: (link as HTML, its alpha).

    Raises ValueError for a name that is no file name, or when the layer is not shifted.
    """
    check_name(name)
    alphas = dict(settings.strengths).get(layer_name)
    if alphas is None:
        raise ValueError(f"nothing to save: move a slider of {layer_name} first.")
    model, window, injection = engine.model, settings.window, settings.injection
    vectors = engine.directions(get_layer(model.unet, layer_name), settings.method, step).vectors
    shift = sum(alpha * vector for alpha, vector in zip(alphas, vectors))
    direction = Directions(shift.unsqueeze(0) / shift.norm(), None, layer_name, settings.method)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.safetensors"
        save_directions(path, direction, model.unet, model.name, model.revision, [name], window, injection)
        return download_link(path.read_bytes(), path.name, "application/octet-stream"), shift.norm().item()


def strip_link(engine, settings, name, step=lambda done, total: None):
    """Seven pictures side by side, from minus to plus the strengths of the settings, as a link to a PNG (HTML).

    Raises ValueError for a name that is no file name, or for settings without a strength.
    """
    check_name(name)
    if not settings.strengths:
        raise ValueError("nothing to export: move a slider first.")
    steps = [
        replace(
            settings, strengths={layer: [share * alpha for alpha in alphas] for layer, alphas in settings.strengths}
        )
        for share in STRIP
    ]
    picture = torch.cat(list(engine.edits(steps, step)), dim=-1)
    return download_link(png_bytes(picture), f"{name}.png", "image/png")


def uploaded_directions(data, unet):
    """`load_directions` for the bytes of a file; the errors call it "the upload"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(data)
        try:
            return load_directions(path, unet)
        except (OSError, ValueError) as error:
            raise ValueError(str(error).replace(str(path), "the upload")) from error


def check_name(name):
    """Raises ValueError for a name that is not made of letters, digits, - and _."""
    if not re.fullmatch(r"[\w-]{1,60}", name):
        raise ValueError(f"name is {name!r}: use letters, digits, - and _, at most 60.")
