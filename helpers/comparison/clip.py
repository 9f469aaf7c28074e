"""What CLIP reads off photographs, for models whose pictures have no factors that are known."""

import torch
from torch.nn.functional import interpolate, normalize

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's training
#: pairs of descriptions of a face, fixed in advance; a reading is how much better the first one fits
FACES = {
    "smile": ("a photo of a smiling face", "a photo of a serious face"),
    "mouth_open": ("a photo of a face with an open mouth", "a photo of a face with a closed mouth"),
    "age": ("a photo of an old person", "a photo of a young person"),
    "gender": ("a photo of a woman", "a photo of a man"),
    "glasses": ("a photo of a person with glasses", "a photo of a person without glasses"),
    "beard": ("a photo of a person with a beard", "a photo of a clean-shaven person"),
    "hair_length": ("a photo of a person with long hair", "a photo of a person with short hair"),
    "hair_colour": ("a photo of a person with blond hair", "a photo of a person with black hair"),
    "curls": ("a photo of a person with curly hair", "a photo of a person with straight hair"),
    "skin": ("a photo of a person with pale skin", "a photo of a person with dark skin"),
    "pose": ("a photo of a face seen from the side", "a photo of a face seen from the front"),
    "make_up": ("a photo of a person with heavy make-up", "a photo of a person without make-up"),
    "light": ("a brightly lit photo of a face", "a dark photo of a face"),
    "background": ("a photo of a face, plain background", "a photo of a face, cluttered background"),
}


def clip_reader(clip, tokenizer, pairs=FACES):
    """A function pictures (batch, 3, height, width) in [0, 1] -> {name: (batch,)}, in cosines.

    clip, tokenizer: a `CLIPModel` of transformers and its `CLIPTokenizer`; pairs: {name: (text, other text)}. A reading
    is the cosine of the picture's code with the difference of the two texts' codes, as in the directional score of
    Gal and others 2022, of which only differences between an edited and an unedited picture are used. Raises ValueError
    where both texts of a pair have the same code.
    """
    texts = [text for pair in pairs.values() for text in pair]
    with torch.no_grad():
        tokens = tokenizer(texts, padding=True, return_tensors="pt").to(clip.device)
        codes = normalize(_features(clip.get_text_features(**tokens)), dim=1)
    apart = codes[0::2] - codes[1::2]
    for name, size in zip(pairs, apart.norm(dim=1)):
        if size < 1e-4:
            raise ValueError(f"both texts of {name} have one code: take other words, or the tokenizer of this CLIP.")
    directions = normalize(apart, dim=1)
    side = clip.config.vision_config.image_size
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))

    @torch.no_grad()
    def read(pictures):
        found = []
        for part in pictures.split(64):
            part = interpolate(part, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
            pixels = ((part - mean) / deviation).to(clip.device)
            found.append(normalize(_features(clip.get_image_features(pixel_values=pixels)), dim=1) @ directions.T)
        return dict(zip(pairs, torch.cat(found).T.float().cpu(), strict=True))

    return read


def in_deviations(read, pictures):
    """A reader like `read`, in standard deviations of what it reads off some pictures, unedited samples say.

    Raises ValueError for fewer than eight pictures, or a reading that is the same for all of them.
    """
    if len(pictures) < 8:
        raise ValueError(f"{len(pictures)} pictures: standard deviations need eight or more.")
    deviations = {name: values.std() for name, values in read(pictures).items()}
    for name, value in deviations.items():
        if not value > 0:
            raise ValueError(f"{name} reads the same on all {len(pictures)} pictures: leave it out.")
    return lambda some: {name: values / deviations[name] for name, values in read(some).items()}


def _features(output):
    """transformers 4 returns codes, transformers 5 an output that holds them."""
    return getattr(output, "pooler_output", output)
