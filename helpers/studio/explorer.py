"""Pictures in HTML: original, edit and difference side by side, and an explorer of precomputed edits.

The explorer needs no kernel: choose a direction and a picture, drag alpha. `helpers.studio.Studio` computes any alpha.
"""

import base64
import hashlib
import html
import io
import json
from pathlib import Path
from string import Template

import torch
from PIL import Image

from helpers.sweep import edit_grid

DIFFERENCE_GAIN = 4
STATIC_PAGE = Template(Path(__file__).with_name("explorer.html").read_text())


def explore(
    model,
    latents,
    directions,
    alphas,
    names=None,
    window=(0.5, 0.8),
    num_inference_steps=50,
    injection="symmetric",
):
    """Compute a grid of edits (directions x strengths x pictures) and return it as an `Explorer`.

    latents: (pictures, channels, height, width); directions: `Directions`; alphas: ascending strengths, with 0.
    names: one label per direction; by default its number and eigenvalue. window, injection: as for `Edit`.
    """
    if names is None:
        values = [None] * len(directions) if directions.values is None else directions.values.tolist()
        names = [f"{i + 1}" if v is None else f"{i + 1} (eigenvalue {v:.2f})" for i, v in enumerate(values)]
    frames = edit_grid(
        model, latents, directions, alphas, window, num_inference_steps=num_inference_steps, injection=injection
    )
    return Explorer(frames, alphas, names)


class Explorer:
    """A grid of edited pictures that shows itself as a page with controls, for which no kernel is needed.

    frames: (directions, strengths, pictures, 3, height, width) in [0, 1]; alphas: the strengths, ascending, with 0;
    names: one per direction.
    """

    def __init__(self, frames, alphas, names):
        if frames.shape[:2] != (len(names), len(alphas)):
            raise ValueError(f"frames has shape {tuple(frames.shape)}: it must be (names, alphas, pictures, 3, h, w).")
        if len(alphas) < 2 or 0 not in alphas or sorted(set(alphas)) != list(alphas):
            raise ValueError(f"alphas is {list(alphas)}: give ascending strengths, at least two, one of them 0.")
        self.frames, self.alphas, self.names = frames, [float(a) for a in alphas], list(names)
        self.zero = self.alphas.index(0.0)

    def _repr_mimebundle_(self, include=None, exclude=None):
        counts = f"{len(self.names)} directions, {len(self.alphas)} strengths, {self.frames.shape[2]} pictures"
        return {"text/plain": f"Explorer of {counts}", "text/html": self.page()}

    def page(self):
        """Self-contained HTML: one JPEG per direction, its columns the strengths and its rows the pictures."""
        sheets = [_jpeg_url(_sheet(frames)) for frames in self.frames]
        height, width = self.frames.shape[-2:]
        data = {
            "names": self.names,
            "alphas": self.alphas,
            "zero": self.zero,
            "pictures": self.frames.shape[2],
            "height": height,
            "width": width,
            "gain": DIFFERENCE_GAIN,
            "sheets": sheets,
        }
        text = json.dumps(data).replace("<", "\\u003c")
        options = "".join(f'<option value="{i}">{html.escape(name)}</option>' for i, name in enumerate(self.names))
        pictures = "".join(f'<option value="{i}">{i + 1}</option>' for i in range(self.frames.shape[2]))
        marker = "explorer-" + hashlib.sha256(text.encode()).hexdigest()[:8]
        return STATIC_PAGE.substitute(
            marker=marker,
            data=text,
            direction_options=options,
            picture_options=pictures,
            last=len(self.alphas) - 1,
            first_sheet=sheets[0],
            names=html.escape(", ".join(self.names)),
            gain=DIFFERENCE_GAIN,
        )


def triptych(original, edited, what, name, mask=None):
    """Original, edit and amplified difference side by side, as HTML. Pictures: (3, height, width) in [0, 1].

    mask: None, or (side, side) weights over the tokens; then a fourth picture shows where the edit is applied.
    """
    difference = ((edited - original).abs() * DIFFERENCE_GAIN).clamp(0, 1)
    gained = f"difference times {DIFFERENCE_GAIN}"
    images = [
        (original, f"original, {name}", f"original, {name}"),
        (edited, f"edit: {what}", f"edit: {what}"),
        (difference, f"{gained}: {what}", gained),
    ]
    if mask is not None:
        weights = torch.nn.functional.interpolate(mask[None, None], original.shape[-2:])[0]
        words = "region: tokens that are shifted are bright"
        images.append((original * (0.25 + 0.75 * weights), words, words))
    least = 100 if mask is None else 150  # on a phone three stand in a row, four in two
    figures = "".join(
        f'<figure style="margin:0 6px 0 0;flex:1 1 {least}px;max-width:260px"><img alt="{html.escape(alt)}" '
        f'src="{_jpeg_url(image)}" style="width:100%;image-rendering:pixelated">'
        f'<figcaption style="line-height:1.3;min-height:4em">{html.escape(caption)}</figcaption></figure>'
        for image, alt, caption in images  # a caption that grows must not move the sliders below it
    )
    return f'<div style="display:flex;flex-wrap:wrap">{figures}</div>'


def _sheet(frames):
    """(strengths, pictures, 3, h, w) -> (3, pictures * h, strengths * w): columns are strengths, rows are pictures."""
    return torch.cat([torch.cat(list(column), dim=-2) for column in frames], dim=-1)


def download_link(data, name, kind):
    """HTML of a link under which the browser saves the given bytes; kind: their media type."""
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return f'<a download="{html.escape(name)}" href="{url}">download {html.escape(name)}</a>'


def png_bytes(picture):
    """A picture (3, height, width) in [0, 1] as a PNG file."""
    return _encode(picture, "PNG")


def _jpeg_url(picture):
    data = _encode(picture, "JPEG", quality=95, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def _encode(picture, kind, **options):
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
