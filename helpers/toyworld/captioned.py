"""Drawings with captions, as what the text-conditioned model is trained on and judged by."""

import functools
import tempfile

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from helpers.toyworld.caption_reader import CaptionReader, by_group, by_word, shown_in
from helpers.toyworld.captions import LONGEST, MODEL, captions_of, write_tokenizer
from helpers.toyworld.denoiser import Unconditional, stages
from helpers.toyworld.model_card import SAMPLES, distances_to, table
from helpers.toyworld.regressor import train_reader
from helpers.toyworld.text_pipeline import (
    GUIDANCE,
    draw_captions,
    load_pipeline,
    passing_autoencoder,
    quietly,
    tokens_of,
)
from helpers.toyworld.things import FACTORS, GROUPS, draw_things, labels
from helpers.toyworld.training_loop import SEED

COUNT = 60_000
CAPTIONS = 4  # different ones of every drawing
READER_STEPS = 8_000
WITHOUT_CAPTION = 0.1  # share of the pictures that are learned with an empty one, for classifier-free guidance
REFERENCE_DRAWINGS = 2_000


class TextConditioned(nn.Module):
    """U-Net and text encoder, which are trained together: noisy pictures, timesteps and tokens in, noise out."""

    def __init__(self, unet, text_encoder):
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, noisy, timesteps, tokens):
        states = self.text_encoder(tokens).last_hidden_state
        return self.unet(noisy, timesteps, states).sample


class Captioned(Unconditional):
    """60,000 drawings of one thing each, with sentences about them."""

    name, what, reader, batch_size = MODEL, "drawings", CaptionReader, 512
    text = dict(hidden_size=96, intermediate_size=384, num_hidden_layers=2, num_attention_heads=4)
    unet = dict(  # self- and cross-attention at a half, a quarter and an eighth of the side: ten layers of each
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64, 96, 112),
        down_block_types=("DownBlock2D", *3 * ("CrossAttnDownBlock2D",)),
        up_block_types=(*3 * ("CrossAttnUpBlock2D",), "UpBlock2D"),
        norm_num_groups=16,
        attention_head_dim=4,  # the number of heads, in spite of its name
        cross_attention_dim=text["hidden_size"],
    )
    about = """\
A DDPM of drawn 64 x 64 pictures that is told in a sentence what to draw, with a network that reads what it shows.
It is a teaching model: the pictures are drawings, made by `helpers/toyworld/things.py`, and show nobody."""
    how_to_load = """\
Load it with `diffusers.StableDiffusionPipeline.from_pretrained` on this folder. Its latents are the pictures, from -1
to 1; its autoencoder passes them on as they are."""
    remembered = ""
    how_sampled = f"DDIM with 50 steps, guidance {GUIDANCE:g}, captions of drawings that were not learned"

    @staticmethod
    def stages(side):
        """As of the other models, with fewer steps of larger batches."""
        return stages(side, steps=(4_000, 300, 1_200))

    def load(self):
        """Pictures (count, 3, 64, 64) uint8 to learn, and what they show, see `helpers.toyworld.things.labels`."""
        factors, pictures = _factors(COUNT, SEED), []
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.device(device):
            for part in factors.to(device).split(1_000):
                pictures.append((draw_things(part) * 255).round().byte())
        return torch.cat(pictures), labels(factors)

    def train_reader(self, pictures, shown, folder):
        """Train the reader and save it with its accuracy by word on drawings that it has not seen."""
        torch.manual_seed(SEED)
        words = [word for group in GROUPS.values() for word in group]
        reader = CaptionReader(words).to(pictures.device)

        def loss(found, wanted):
            parts = zip(reader.groups(found).values(), wanted.unbind(1))
            return sum(F.cross_entropy(logits, truth, reduction="sum") for logits, truth in parts) / len(wanted)

        seconds = train_reader(reader, loss, pictures, shown, READER_STEPS, folder)
        unseen = _factors(REFERENCE_DRAWINGS, SEED + 1)
        right = shown_in(reader, draw_things(unseen), labels(unseen))
        facts = dict(accuracy=by_group(right), accuracy_by_word=by_word(right, labels(unseen)))
        reader.save(folder, **facts, steps=READER_STEPS, seconds=seconds)
        print("accuracy on unseen drawings:", facts["accuracy"], flush=True)

    @functools.cached_property
    def tokenizer(self):
        with tempfile.TemporaryDirectory() as folder:
            return write_tokenizer(folder)

    @functools.cached_property
    def tokens(self):
        """Of the captions to be learned, (count, `CAPTIONS`, `LONGEST`)."""
        sentences = [captions_of(labels(_factors(COUNT, SEED)), seed)[0] for seed in range(CAPTIONS)]
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.stack([tokens_of(self.tokenizer, some) for some in sentences], dim=1).to(device)

    @functools.cached_property
    def empty(self):
        """Of the empty caption, (1, `LONGEST`)."""
        return tokens_of(self.tokenizer, [""]).to(self.tokens.device)

    def network(self, side):
        """A new U-Net with its text encoder."""
        numbers = {f"{name}_token_id": getattr(self.tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        config = CLIPTextConfig(vocab_size=len(self.tokenizer), max_position_embeddings=LONGEST, **self.text, **numbers)
        return TextConditioned(UNet2DConditionModel(sample_size=side, **self.unet), CLIPTextModel(config))

    def predict(self, network, noisy, timesteps, rows, generator):
        """The noise in noisy pictures, given one of their captions, or for a tenth of them an empty one."""
        which = torch.randint(CAPTIONS, rows.shape, generator=generator, device=rows.device)
        without = torch.rand(rows.shape, generator=generator, device=rows.device) < WITHOUT_CAPTION
        return network(noisy, timesteps, torch.where(without[:, None], self.empty, self.tokens[rows, which]))

    def record(self, step, network, pictures, scheduler, folder):
        """Nothing is remembered along this training."""

    def save(self, network, scheduler, folder):
        """Write a `StableDiffusionPipeline`, in fp16, into a folder."""
        network.half().cpu()
        parts = dict(unet=network.unet, text_encoder=network.text_encoder, tokenizer=self.tokenizer)
        as_expected = dict(clip_sample=False, steps_offset=1)  # what this pipeline would set, with a warning
        scheduler = DDIMScheduler.from_config(scheduler.config, **as_expected)
        parts |= dict(vae=passing_autoencoder().half(), scheduler=scheduler)
        parts |= dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        with quietly():
            StableDiffusionPipeline(**parts).save_pretrained(folder)

    def samples(self, folder):
        """Pictures (`SAMPLES`, 3, 64, 64) in [0, 1] of the captions of as many drawings, seeds from 0."""
        sentences = self.judged()[1]
        return draw_captions(load_pipeline(folder), sentences, range(SAMPLES))

    def judged(self):
        """Drawings that were not learned: what they show, sentences about them, and what the sentences speak of."""
        shown = labels(_factors(SAMPLES, seed=12))
        sentences, said = captions_of(shown, seed=12)
        return shown, sentences, torch.tensor([[name in some for name in GROUPS] for some in said])

    def measure(self, pictures, folder):
        """Compare samples (count, 3, 64, 64) in [0, 1] with their captions, and plain ones with drawings."""
        reader = CaptionReader.load(folder)
        shown, sentences, said = self.judged()
        wanted = torch.where(said, shown, -100)
        plain = draw_captions(load_pipeline(folder), sentences, range(SAMPLES), guidance=1.0)
        other = wanted.roll(1, 0)
        reference, fresh, frozen = (_factors(n, s) for n, s in ((REFERENCE_DRAWINGS, 10), (SAMPLES, 11), (SAMPLES, 13)))
        frozen[:, list(FACTORS).index("scene")] = 0.1
        candidates = {
            f"{SAMPLES} samples without guidance": plain,
            f"{SAMPLES} samples with guidance {GUIDANCE:g}": pictures,
            f"{SAMPLES} fresh drawings (the floor)": draw_things(fresh),
            "fresh drawings that are all in the park": draw_things(frozen),
        }
        return {
            "accuracy": by_group(shown_in(reader, pictures, wanted)),
            "accuracy_without_guidance": by_group(shown_in(reader, plain, wanted)),
            "accuracy_of_other_captions": by_group(shown_in(reader, pictures, other)),
            "accuracy_by_word": by_word(shown_in(reader, pictures, wanted), wanted),
            "frechet_distance": distances_to(draw_things(reference), candidates, reader),
        }

    def bars(self, measured):
        """What a model must meet to be called trained: rows (bar, met, measured) of a table in words."""
        accuracy, distances = measured["accuracy"], list(measured["frechet_distance"].values())
        low = [f"{group} {share:.2f}" for group, share in accuracy.items() if share < 0.9]
        return [
            ("the picture shows what its caption says, in nine of ten, for every group of words", not low,
             ", ".join(low) or "all of them"),
            ("Fréchet distance without guidance below that of drawings in one scene", distances[0] < distances[3],
             f"{distances[0]:.3f} against {distances[3]:.3f}"),
        ]  # fmt: skip

    def card(self, measured, folder):
        """The sections of the model card that are about captions."""
        facts = CaptionReader.facts(folder)
        kinds = (
            facts["accuracy"],
            *(measured[f"accuracy{end}"] for end in ("", "_without_guidance", "_of_other_captions")),
        )
        groups = [(group, *(f"{kind[group]:.3f}" for kind in kinds)) for group in GROUPS]
        words = [
            (f"`{w}`", f"{facts['accuracy_by_word'][w]:.2f}", f"{share:.2f}")
            for w, share in measured["accuracy_by_word"].items()
        ]
        distances = [(label, f"{value:.3f}") for label, value in measured["frechet_distance"].items()]
        return f"""## Does the picture show what its caption says?

Share of the pictures in which the reader finds the word of each group; of samples, only where the caption names it.
Drawings: unseen ones, which shows how well the reader reads. Other captions: the samples against the caption of
another, the share that chance gives.

{table(("group", "drawings", f"samples, guidance {GUIDANCE:g}", "without guidance", "other captions"), groups)}

## By word

{table(("word", "drawings", f"samples, guidance {GUIDANCE:g}"), words)}

## Fréchet distance to {REFERENCE_DRAWINGS} drawings, in the reader's features (lower is better)

{table(("pictures", "distance"), distances)}
"""


def _factors(count, seed):
    return torch.rand(count, len(FACTORS), generator=torch.Generator().manual_seed(seed))
