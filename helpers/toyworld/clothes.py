"""Photographs of clothes, shoes and bags: the files of Fashion-MNIST, and the shape of what a picture shows.

Fashion-MNIST (Xiao, Rasul and Vollgraf 2017) is 70,000 grey product photographs of 28 x 28 pixels, light on black, in
ten classes; 10,000 of them are kept for tests. Zalando SE gives them under the MIT licence.
"""

import gzip
import hashlib
import math
from pathlib import Path

import torch
import torch.nn.functional as F

SOURCE = "https://github.com/zalandoresearch/fashion-mnist"
PACKAGE = "dataset-fashion-mnist"  # of Debian and Ubuntu
FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where that package puts the files
SIDE = 32
#: in the order of the labels 0 to 9
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
#: files and the SHA-256 of what is in them once unpacked, which does not depend on who packed them
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def load_photographs(part, folder=FOLDER):
    """Pictures (count, 3, 32, 32) uint8 and labels (count,) of a part, "train" or "t10k", of the files in a folder.

    The pictures have a black margin of two pixels and three equal channels. Raises OSError, in one line, for a file
    that is missing or whose checksum differs.
    """
    images, labels = (_read_file(Path(folder) / name) for name in CHECKSUMS if name.startswith(part))
    margin = (SIDE - images.shape[-1]) // 2
    return F.pad(images, (margin,) * 4).unsqueeze(1).repeat(1, 3, 1, 1), labels.long()


def _read_file(path):
    try:
        data = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        where = f"install Debian's package {PACKAGE}, or get the four .gz files from {SOURCE} and name their folder"
        raise OSError(f"{path} is missing: {where} with --data.") from None
    except (OSError, EOFError) as error:
        raise OSError(f"{path} cannot be read ({error}): get it again from {SOURCE}.") from error
    if hashlib.sha256(data).hexdigest() != CHECKSUMS[path.name]:
        raise OSError(f"{path} is not the file of Fashion-MNIST, its checksum differs: get it again from {SOURCE}.")
    return read_idx(data)


def read_idx(data):
    """The uint8 tensor in an IDX file: two zeros, 8 for bytes, the number of sizes, the sizes, and the numbers.

    Raises ValueError for other bytes.

    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    tensor([7, 8, 9], dtype=torch.uint8)
    """
    head = 4 + 4 * data[3] if len(data) > 3 else 4
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, head, 4)]
    if data[:3] != b"\0\0\x08" or len(data) != head + math.prod(shape):
        raise ValueError(f"{len(data)} bytes are no IDX file of bytes: a size or the type in its head is wrong.")
    return torch.frombuffer(bytearray(data[head:]), dtype=torch.uint8).view(shape)


def read_shape(pictures):
    """Five readings of what is light on black: {name: (batch,)}, from pictures (batch, 3, side, side) in [0, 1].

    brightness: mean grey of the pixels that are covered, 0 to 1. width, length: of the columns and of the rows, the
    share in which something is covered. sleeves: the share of the rows that is covered in the outer quarters of the
    picture, mean over their columns. symmetry: of what is covered, the share that is covered in the mirror, too.
    A pixel is covered where its grey is over 0.15, not below 0.05, and partly between, so that gradients exist.

    >>> picture = torch.zeros(1, 3, 32, 32)
    >>> picture[..., 8:24, 4:28] = 0.5
    >>> {name: round(value.item(), 2) for name, value in read_shape(picture).items()}
    {'brightness': 0.5, 'width': 0.75, 'length': 0.5, 'sleeves': 0.25, 'symmetry': 1.0}
    """
    grey = pictures.mean(1)
    covered, side = ((grey - 0.05) / 0.10).clamp(0, 1), grey.shape[-1]
    outer = torch.cat([covered[..., : side // 4], covered[..., -(side // 4) :]], dim=-1)
    area = covered.sum((1, 2)).clamp(min=1e-6)
    return {
        "brightness": (grey * covered).sum((1, 2)) / area,
        "width": covered.amax(1).mean(1),
        "length": covered.amax(2).mean(1),
        "sleeves": outer.mean((1, 2)),
        "symmetry": torch.minimum(covered, covered.flip(2)).sum((1, 2)) / area,
    }
