"""Train an embedded model: `python -m helpers.toyworld.train toy-faces` is the whole recipe.

It draws a data set, or reads the photographs of clothes, trains a network that reads its pictures and then a DDPM (Ho
et al. 2020), and writes both with a model card into helpers/models/NAME. Interrupt it at any time and start it again:
it goes on from its last checkpoint. It takes minutes on a large GPU; on two CPU cores clothes take eight
hours, a drawn world a day or more.
"""

import argparse
import sys
from pathlib import Path

import torch

from helpers.models import EMBEDDED_FOLDER
from helpers.toyworld import WORLDS, clothes, model_card
from helpers.toyworld.captions import MODEL
from helpers.toyworld.denoiser import train_denoiser
from helpers.toyworld.drawings import Drawings
from helpers.toyworld.photographs import Photographs


def train(data_set, folder, device):
    """The whole recipe, into a folder. data_set: `Drawings`, `Photographs` or `Captioned`."""
    print(f"{data_set.name}, {data_set.what}: training on {device}; writing to {folder}", flush=True)
    pictures, wanted = (tensor.to(device) for tensor in data_set.load())
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{data_set.reader.file}.safetensors"
    if weights.exists():
        print(f"{weights.name} is there already and is kept; delete it to train it again", flush=True)
    else:
        data_set.train_reader(pictures, wanted, folder)
    train_denoiser(data_set, pictures, folder, device)
    model_card.write(data_set, folder)
    print(f"done: {folder / 'README.md'} describes the model; delete the *_state.pt files when you are content")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [*sorted(WORLDS), Photographs.name, MODEL]
    parser.add_argument("name", choices=names, help="which embedded model to train")
    parser.add_argument("--data", type=Path, default=clothes.FOLDER, help="folder of the photographs (%(default)s)")
    arguments = parser.parse_args()
    if arguments.name == MODEL:
        from helpers.toyworld.captioned import Captioned  # needs transformers, as the others do not

        data_set = Captioned()
    else:
        data_set = Drawings(arguments.name) if arguments.name in WORLDS else Photographs(arguments.data)
    try:
        train(data_set, EMBEDDED_FOLDER / arguments.name, "cuda" if torch.cuda.is_available() else "cpu")
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
