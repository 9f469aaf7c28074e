"""Read a picture of one's own, whatever it comes as, into the square that a model works on."""

import io
import warnings
from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
LARGEST = 50_000_000  # pixels; a picture of more is refused before it is decoded
SMALLEST = 16  # pixels along the shorter side


def read_picture(source, size):
    """Read a PNG, JPEG or WebP: returns a picture (3, size, size) in [0, 1] and a list of what was done to it.

    source: a path, or the bytes of a file. size: side in pixels. The picture is turned as its EXIF data say, put on
    white where it is transparent, made RGB, cropped to its centre and resized.
    Raises ValueError, in one line, for a file that is empty, no picture, damaged, too large or too small.
    """
    name = "the upload" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} could not be read: {error.strerror or error}.") from error
    if not data:
        raise ValueError(f"{name} is empty (0 bytes): choose another file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        if isinstance(error, Image.DecompressionBombError):
            raise ValueError(f"{name} is too large: at most {LARGEST // 10**6} million pixels.") from error
        raise ValueError(f"{name} is no PNG, JPEG or WebP: convert it to one of these.") from error
    width, height = image.size
    if width * height > LARGEST:
        raise ValueError(f"{name} has {width} x {height} pixels: at most {LARGEST // 10**6} million, make it smaller.")
    if min(width, height) < SMALLEST:
        raise ValueError(f"{name} has {width} x {height} pixels: at least {SMALLEST} are needed along each side.")
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name} is damaged and cannot be decoded ({error}).") from error
    image, notes = _to_rgb(image)
    side = min(image.size)
    if image.size != (side, side):
        notes.append(f"cropped from {image.width} x {image.height} to the {side} x {side} in its centre")
    if side != size:
        notes.append(f"resized from {side} to {size} pixels")
    image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(size, size, 3)
    return pixels.permute(2, 0, 1) / 255, notes


def _to_rgb(image):
    """An upright RGB picture without transparency, and what that took."""
    notes = []
    upright = ImageOps.exif_transpose(image)
    if image.getexif().get(0x0112, 1) != 1:
        notes.append("turned upright, as its EXIF data say")
    if upright.mode.startswith("I"):  # 16 bits a channel
        notes.append("16 bits reduced to 8")
        upright = upright.convert("I").point(lambda value: value / 256).convert("L")
    if upright.has_transparency_data:
        notes.append("transparency put on white")
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    elif upright.mode != "RGB":
        notes.append(f"converted from {upright.mode} to RGB")
    return upright.convert("RGB"), notes
