"""The pipeline of the text-conditioned model: its autoencoder, its tokens, its samples."""

import contextlib

import torch
from diffusers import AutoencoderTiny
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers.utils import logging as transformers_logging

from helpers.toyworld.captions import LONGEST

GUIDANCE = 3.0


def passing_autoencoder(channels=3, scaling_factor=64.0):
    """An autoencoder that changes nothing: latents are pictures. Pipelines of latent diffusion ask for one.

    Its tanh is a line for numbers as small as a latent over the scaling factor, up to a part in 10,000.
    """
    one = (channels,)
    autoencoder = AutoencoderTiny(
        channels, channels, one, one, latent_channels=channels, num_encoder_blocks=(0,), num_decoder_blocks=(0,),
        scaling_factor=scaling_factor,
    ).requires_grad_(False)  # fmt: skip
    layers = [part for part in autoencoder.modules() if isinstance(part, nn.Conv2d)]
    shares = ((1, 0), (2 / scaling_factor, -1 / scaling_factor), (scaling_factor / 2, 0.5), (1, 0))
    for layer, (weight, bias) in zip(layers, shares, strict=True):
        nn.init.dirac_(layer.weight).mul_(weight)
        layer.bias.fill_(bias)
    return autoencoder


def tokens_of(tokenizer, sentences):
    """Token numbers of sentences, (sentences, `LONGEST`)."""
    found = tokenizer(sentences, padding="max_length", max_length=LONGEST, truncation=True, return_tensors="pt")
    return found.input_ids


@contextlib.contextmanager
def quietly():
    """Keep the two libraries from warning that an autoencoder is of another kind, and from showing bars."""
    both = diffusers_logging, transformers_logging
    before = [library.get_verbosity() for library in both]
    for library in both:
        library.set_verbosity_error()
        library.disable_progress_bar()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)
    try:
        yield
    finally:
        for library, verbosity in zip(both, before):
            library.set_verbosity(verbosity)
            library.enable_progress_bar()


def load_pipeline(folder):
    """The text-conditioned model in a folder, on a GPU where there is one, in float32."""
    with quietly():
        from diffusers import StableDiffusionPipeline  # warns of preprocessors that are not used here

        pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def draw_captions(pipeline, sentences, seeds, guidance=GUIDANCE, num_inference_steps=50, batch_size=64):
    """Pictures (sentences, 3, side, side) in [0, 1], one seed each."""
    pictures, seeds = [], list(seeds)
    for start in range(0, len(sentences), batch_size):
        part = slice(start, start + batch_size)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[part]]
        drawn = pipeline(
            sentences[part], num_inference_steps=num_inference_steps, guidance_scale=guidance, generator=generators,
            output_type="pt",
        )  # fmt: skip
        pictures.append(drawn.images.float().cpu())
        print(f"drawn {min(start + batch_size, len(sentences))} of {len(sentences)}", flush=True)
    return torch.cat(pictures)
