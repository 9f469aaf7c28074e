"""Draw the diagrams of the chapters: `python book/tools/draw_diagrams.py [FOLDER]`, by default into book/images."""

import json
import random
import re
import sys
from pathlib import Path

import numpy as np

from helpers.plots import COLOURS

ROOT = Path(__file__).parents[2]
WIDTH, SHOWN = 420, 460  # of a drawing, in its own units; of its picture on a page, in pixels
INK, GREY, PALE, BLUE, ORANGE = "#1F2328", "#6A737D", "#E3E6EA", COLOURS[0], COLOURS[5]
MULTIPLY = "\N{MULTIPLICATION SIGN}"


def text(x, y, content, size=14, anchor="middle", colour=INK, weight="normal"):
    """One line of text; in it *Z* is italic, _K and ^T are a subscript and a superscript of one character."""
    content = re.sub(r"\*(.+?)\*", r'<tspan font-style="italic">\1</tspan>', content)
    small = '<tspan dy="{}" font-size="11">{}</tspan><tspan dy="{}">\N{ZERO WIDTH SPACE}</tspan>'
    for mark, down in (("_", 4), (r"\^", -5)):
        content = re.sub(mark + r"(\w)", lambda found, by=down: small.format(by, found[1], -by), content)
    style = f'font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{content}</text>'


def rectangle(x, y, width, height, fill, stroke="none", radius=0):
    place = f'x="{x:g}" y="{y:.1f}" width="{width:g}" height="{height:.1f}"'
    return f'<rect {place} rx="{radius}" fill="{fill}" stroke="{stroke}"/>'


def box(x, y, width, height, lines, fill="#F4F6F8"):
    """A box with lines of text; x: its middle, y: its top."""
    first = y + height / 2 + 5 - 8 * (len(lines) - 1)
    words = [text(x, first + 16 * row, line) for row, line in enumerate(lines)]
    return "\n".join([rectangle(x - width / 2, y, width, height, fill, GREY, 6), *words])


def arrow(*points, colour=INK, width=1.6, dashes="none"):
    """A line through points, upright or level at its end, with a head there."""
    (x0, y0), (x, y) = points[-2:]
    dx, dy = np.sign(x - x0), np.sign(y - y0)
    back = [(x - 9 * dx + side * dy, y - 9 * dy + side * dx) for side in (-5, 5)]
    line = " ".join(f"{a:g},{b:g}" for a, b in [*points[:-1], (x - 6 * dx, y - 6 * dy)])
    head = " ".join(f"{a:g},{b:g}" for a, b in [(x, y), *back])
    style = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"'
    return f'<polyline points="{line}" {style}/>\n<polygon points="{head}" fill="{colour}"/>'


def plus(x, y):
    circle = f'<circle cx="{x}" cy="{y}" r="9" fill="#FFFFFF" stroke="{INK}" stroke-width="1.6"/>'
    return f'{circle}\n<path d="M{x - 5},{y}h10M{x},{y - 5}v10" stroke="{INK}" stroke-width="1.6"/>'


def drawing(title, description, height, shapes):
    """A whole SVG file, on a white panel of its own."""
    size = f'width="{SHOWN}" height="{SHOWN * height / WIDTH:.0f}" viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="Helvetica, Arial, sans-serif">'
    panel = rectangle(0, 0, WIDTH, height, "#FFFFFF", radius=8)
    return f"{head}\n<title>{title}</title>\n<desc>{description}</desc>\n" + "\n".join([panel, *shapes, "</svg>", ""])


def unet_and_shift():
    """The U-Net of toy-faces, from its configuration."""
    config = json.loads((ROOT / "helpers/models/toy-faces/unet/config.json").read_text())
    channels, shapes = config["block_out_channels"], []
    middle, width, height, top, step = 236, 114, 60, 64, 86

    def block(x, y, level, layers):
        side = config["sample_size"] >> level
        lines = [f"{side} {MULTIPLY} {side}", f"{channels[level]} channels"]
        lines += [[], ["attention"], [f"2 {MULTIPLY} attention"]][layers]
        return box(x, y, width, height, lines, ORANGE if layers else "#F4F6F8")

    for level in range(len(channels)):
        y, left, right = top + step * level, 116 + 8 * level, 356 - 8 * level
        down, up = (config[f"{way}_block_types"] for way in ("down", "up"))
        shapes.append(block(left, y, level, int("Attn" in down[level])))
        shapes.append(block(right, y, level, 2 * ("Attn" in up[3 - level])))  # the decoder has one layer more per block
        shapes.append(arrow((left + width / 2, y + 30), (right - width / 2, y + 30), colour=GREY, dashes="5 4"))
        if level < 3:
            shapes.append(arrow((left + 4, y + height), (left + 4, y + step)))
            shapes.append(arrow((right - 4, y + step), (right - 4, y + height)))
    bottom = top + 4 * step
    shapes.append(block(middle, bottom, 3, 1))
    shapes.append(arrow((140, bottom - step + height), (140, bottom + 30), (middle - width / 2, bottom + 30)))
    shapes.append(arrow((middle + width / 2, bottom + 30), (332, bottom + 30), (332, bottom - step + height)))
    names = {"encoder": (116, 22), "decoder": (356, 22), "middle block": (middle, bottom + height + 20)}
    shapes += [text(*place, name, weight="bold") for name, place in names.items()]
    shapes += [text(106, 48, "noisy picture", 13, "end"), arrow((116, 32), (116, top))]
    shapes += [arrow((356, top), (356, 32)), text(346, 48, "predicted noise", 13, "end")]
    shapes += [text(middle, top + 23, "skip"), text(middle, top + 47, "connections")]
    shapes += [text(36, top + 2 * step + 20, "+ *\u03b1 n*", 17, colour=BLUE, weight="bold")]
    shapes += [arrow((14, top + 2 * step + 30), (75, top + 2 * step + 30), colour=BLUE, width=3)]
    description = "Encoder blocks from 64 by 64 down to 8 by 8, the middle block, and decoder blocks back up."
    return drawing("The U-Net of toy-faces, and where a shift enters", description, bottom + height + 34, shapes)


def one_attention_layer():
    """What happens inside one self-attention layer, and the two sites of a shift."""
    x, side = 215, 396
    columns = {"Q": x - 80, "K": x, "V": x + 80}
    shapes = [arrow((x, top), (x, bottom)) for top, bottom in ((50, 73), (91, 128), (164, 190), (226, 249))]
    shapes += [arrow((x, 110), (side, 110), (side, 602), (x + 9, 602), colour=GREY)]
    shapes += [box(x, 14, 262, 36, [f"feature map: 16 {MULTIPLY} 16, 128 channels"]), plus(x, 82)]
    shapes += [box(x, 128, 140, 36, ["group norm"]), plus(x, 258), arrow((x, 267), (x, 306))]
    shapes += [box(x, 190, 190, 36, [f"tokens *Z*: 256 {MULTIPLY} 128"])]
    for name, column in columns.items():
        if column != x:
            shapes.append(arrow((x, 284), (column, 284), (column, 306)))
        shapes += [box(column, 306, 62, 36, [f"*W*_{name}"]), text(column + 7, 362, f"*{name}*", 14, "start")]
        shapes.append(arrow((column, 342), (column, 490 if name == "V" else 374)))
    half = x - 40
    shapes += [box(half, 374, 158, 36, ["scores *P* = *QK*^T / \u221a*d*_h"]), arrow((half, 410), (half, 432))]
    shapes += [box(half, 432, 158, 36, ["*A* = softmax(*P*)"], ORANGE), arrow((half, 468), (half, 490))]
    shapes += [box(x, 490, 222, 32, ["*A V*"]), arrow((x, 522), (x, 542)), box(x, 542, 62, 32, ["*W*_O"])]
    shapes += [arrow((x, 574), (x, 593)), plus(x, 602), arrow((x, 611), (x, 635))]
    shapes += [text(x, 652, "feature map of the same size"), text(side, 620, "residual connection", 14, "end", GREY)]
    for y, name, dashes in ((82, "residual", "6 4"), (258, "projections", "none")):
        shapes.append(arrow((14, y), (x - 9, y), colour=BLUE, width=3, dashes=dashes))
        shapes.append(text(14, y - 9, "+ *\u03b1 n*", 17, "start", BLUE, "bold"))
        shapes.append(text(14, y + 20, f"site: {name}", 14, "start", BLUE))
    description = "From the feature map through norm, projections, scores and softmax back to the feature map."
    return drawing("One self-attention layer and the two sites of a shift", description, 666, shapes)


def softmax(scores):
    return np.exp(scores) / np.exp(scores).sum()


def key_shift():
    """One row of scores and of attention, before and after a shift of all keys, and of all queries: five tokens."""
    Z = np.array([[2, 0], [2, 2], [-1, 3], [2, 1], [1, 1]])
    W_Q, W_K = np.array([[-0.5, -0.5], [0, 1]]), np.array([[0, -0.5], [-1, 0]])
    shift = 1.0 * np.array([0.6, 0.8])  # alpha n
    query, keys = Z[0] @ W_Q, Z @ W_K
    before = keys @ query / 2**0.5
    panels = {"keys": (keys + shift @ W_K) @ query / 2**0.5, "queries": keys @ (query + shift @ W_Q) / 2**0.5}
    shapes = []
    for (name, after), x in zip(panels.items(), (14, 220)):
        shapes += [text(x + 93, 26, f"all {name} shifted", 15, weight="bold"), text(x, 52, "scores", 14, "start")]
        verdict = "the same" if np.allclose(softmax(after), softmax(before)) else "changed"
        shapes += [text(x, 252, f"attention: {verdict}", 14, "start"), arrow((x + 93, 208), (x + 93, 236))]
        shapes += [text(x + 102, 226, "softmax", 14, "start")]
        for values, base, scale in (((before, after), 184, 36), ((softmax(before), softmax(after)), 372, 215)):
            for j, (old, new) in enumerate(zip(*values)):
                left = x + 4 + 37 * j
                shapes.append(rectangle(left, base - scale * old, 14, scale * old, "#A9B1BA"))
                shapes.append(rectangle(left + 14, base - scale * new, 14, scale * new, BLUE))
                if base == 184:
                    moved = f"{new - old:+.1f}".replace("-", "\N{MINUS SIGN}")
                    shapes.append(text(left + 14, base - scale * max(old, new) - 6, moved, 13))
            shapes.append(rectangle(x, base, 186, 1, INK))
    shapes += [rectangle(126, 392, 14, 14, "#A9B1BA"), text(146, 404, "before", 14, "start")]
    shapes += [rectangle(226, 392, 14, 14, BLUE), text(246, 404, "after", 14, "start")]
    description = "Bars of five scores and five attention weights, before and after either shift."
    return drawing("A shift of all keys moves no attention, a shift of all queries does", description, 420, shapes)


def the_clock():
    """Time from noise to picture, with the paper's window and the moments at which chapters look."""
    rows = {"640: chapters 3, 5": [640], "650: chapters 2, 7, 8": [650]}
    rows |= {"520, 640, 760: chapter 6": [520, 640, 760], "7 of 25 steps: chapter 4": range(520, 761, 40)}

    def place(t):
        return 24 + 372 * (1 - t / 1000)

    shapes = [rectangle(place(800), 48, place(500) - place(800), 190, PALE)]
    shapes += [text(place(650), 40, "the paper's window", 14, weight="bold")]
    shapes += [arrow((76, 66), (344, 66), colour=BLUE, width=3), text(218, 86, "sampling", 14, "start", BLUE, "bold")]
    grain = random.Random(0)
    for i in range(36):
        level = grain.randrange(40, 230)
        shapes.append(rectangle(24 + 6 * (i % 6), 48 + 6 * (i // 6), 6, 6, f"rgb({level},{level},{level})"))
    shapes += [rectangle(360, 48, 36, 36, "#BFD9E8"), '<ellipse cx="378" cy="64" rx="13" ry="14" fill="#5B3A29"/>']
    shapes += ['<ellipse cx="378" cy="69" rx="10.5" ry="13" fill="#F0C8A0"/>']
    shapes += [f'<path d="M374,65v3M382,65v3M374,74q4,4 8,0" fill="none" stroke="{INK}" stroke-width="1.5"/>']
    shapes += [text(24, 42, "noise", 14, "start"), text(396, 42, "picture", 14, "end"), rectangle(24, 112, 372, 2, INK)]
    for t, label in ((1000, "*t* = *T*"), (800, "0.8 *T*"), (500, "0.5 *T*"), (0, "*t* = 0")):
        anchor = {1000: "start", 0: "end"}.get(t, "middle")
        shapes += [rectangle(place(t) - 1, 106, 2, 14, INK), text(place(t), 136, label, 14, anchor)]
    for row, (label, moments) in enumerate(rows.items()):
        y = 156 + 20 * row
        shapes += [rectangle(place(t) - 1.25, y, 2.5, 14, BLUE) for t in moments]
        shapes.append(text(place(500) + 8, y + 12, label, 14, "start"))
    description = "A line from noise at t = T to the picture at t = 0, with the window from 0.8 T to 0.5 T shaded."
    return drawing("The clock of sampling", description, 250, shapes)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "book" / "images"
    for draw in (unet_and_shift, one_attention_layer, key_shift, the_clock):
        (folder / f"{draw.__name__.replace('_', '-')}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
