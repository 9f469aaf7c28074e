"""Photographs of clothes as what a model is trained on and judged by: their classifier, measurements and bars."""

import torch
import torch.nn.functional as F

from helpers.metrics import rms_change
from helpers.toyworld.clothes import CLASSES, FOLDER, SOURCE, load_photographs
from helpers.toyworld.denoiser import Unconditional
from helpers.toyworld.model_card import SAMPLES, distances_to, table
from helpers.toyworld.regressor import Classifier, read_photographs, train_reader
from helpers.toyworld.training_loop import SEED

CLASSIFIER_STEPS = 5_000
CLASSIFIER_WIDTH = 16
REFERENCE = 2_000  # test pictures to which the Fréchet distance is taken; others are compared with them


class Photographs(Unconditional):
    """Fashion-MNIST: 60,000 pictures to learn, and 10,000 to judge by, which neither network has seen."""

    name, what, reader = "clothes", "photographs", Classifier
    unet = dict(  # attention at a half and a quarter of the side, and in the middle
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=16,
        attention_head_dim=None,
    )
    about = f"""\
An unconditional DDPM of photographs of clothes, shoes and bags, 32 x 32, with a classifier of what they show.
It is a teaching model. It learned Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 28 x 28 grey pixels, a black margin,
three equal channels; copyright 2017 Zalando SE, MIT licence, {SOURCE}."""

    def __init__(self, folder=FOLDER):
        self.folder = folder

    def load(self):
        """Pictures (60000, 3, 32, 32) uint8 to learn, and their classes."""
        return load_photographs("train", self.folder)

    def train_reader(self, pictures, classes, folder):
        """Train the classifier and save it with its accuracy on the test pictures, and what is read off them.

        deviations, accuracy: standard deviation over test pictures of each reading of `read_photographs`, and share of
        each class that is recognised.
        """
        torch.manual_seed(SEED)
        classifier = Classifier(CLASSES, CLASSIFIER_WIDTH).to(pictures.device)
        seconds = train_reader(classifier, F.cross_entropy, pictures, classes, CLASSIFIER_STEPS, folder)
        unseen, truth = load_photographs("t10k", self.folder)
        read = read_photographs(classifier, unseen.float() / 255)
        right = (most_probable(read) == truth).float()
        classifier.save(
            folder,
            test_accuracy=round(right.mean().item(), 4),
            accuracy={name: round(right[truth == i].mean().item(), 3) for i, name in enumerate(CLASSES)},
            deviations={name: round(values.std().item(), 4) for name, values in read.items()},
            steps=CLASSIFIER_STEPS,
            seconds=seconds,
        )
        print("accuracy on test pictures:", round(right.mean().item(), 4), flush=True)

    def measure(self, pictures, folder):
        """Compare samples (count, 3, 32, 32) in [0, 1] with test pictures, and with the pictures that were learned."""
        classifier = Classifier.load(folder)
        test, classes = load_photographs("t10k", self.folder)
        test = test.float() / 255
        reference, others, classes = test[:REFERENCE], test[REFERENCE:], classes[REFERENCE:]
        fresh, blurred = others[:SAMPLES], F.avg_pool2d(others[:SAMPLES], 2)
        candidates = {
            f"{SAMPLES} samples of the model": pictures,
            f"{SAMPLES} other test pictures (the floor)": fresh,
            "those at half the resolution": F.interpolate(blurred, scale_factor=2, mode="bilinear"),
        }
        without = {f"test pictures without {c}": others[classes != i][:SAMPLES] for i, c in enumerate(CLASSES)}
        read, truth = read_photographs(classifier, pictures), read_photographs(classifier, test)
        shares = [most_probable(r).bincount(minlength=len(CLASSES)) / len(most_probable(r)) for r in (read, truth)]
        learned = self.load()[0][:, :1].float() / 255
        nearest = {of: nearest_distance(p, learned) for of, p in (("samples", pictures), ("test pictures", fresh))}
        colour = rms_change(pictures, pictures.mean(1, keepdim=True))
        return {
            "test_accuracy": Classifier.facts(folder)["test_accuracy"],
            "class_share": dict(zip(CLASSES, (round(share, 3) for share in (shares[0] / shares[1]).tolist()))),
            "spread": {
                name: round((values.std() / truth[name].std()).item(), 3)
                for name, values in read.items()
                if name not in CLASSES
            },
            "frechet_distance": distances_to(reference, candidates, classifier),
            "frechet_distance_without": distances_to(reference, without, classifier),
            "nearest_learned": {
                of: {"smallest": round(d.min().item(), 4), "median": round(d.median().item(), 4)}
                for of, d in nearest.items()
            },
            "colour": {"median": round(colour.median().item(), 4), "largest": round(colour.max().item(), 4)},
        }

    def bars(self, measured):
        """What classifier and model must meet to be called trained: rows (bar, met, measured) of a table in words.

        Without a class pictures are further off than with one frozen factor of eighteen, so the class is the one of
        the ten whose lack costs least.
        """
        accuracy, shares, spreads = (measured[name] for name in ("test_accuracy", "class_share", "spread"))
        rare = [f"{name} {share:.2f}" for name, share in shares.items() if not 0.5 <= share <= 1.5]
        outside = [f"{name} {share:.2f}" for name, share in spreads.items() if not 0.75 <= share <= 1.25]
        distance, without = next(iter(measured["frechet_distance"].values())), measured["frechet_distance_without"]
        least = min(without, key=without.get)
        return [
            ("the classifier recognises 0.90 of the test pictures", accuracy >= 0.9, f"{accuracy:.3f}"),
            ("share of every class within 0.5 to 1.5 of the real one", not rare, ", ".join(rare) or "all of them"),
            ("spread of every reading within 0.75 to 1.25", not outside, ", ".join(outside) or "all of them"),
            (
                "Fréchet distance below that of real pictures without the class that is missed least",
                distance < without[least],
                f"{distance:.3f} against {without[least]:.3f}, {least}",
            ),
        ]

    def card(self, measured, folder):
        """The sections of the model card that are about photographs."""
        accuracy = Classifier.facts(folder)["accuracy"]
        classes = [(name, f"{accuracy[name]:.2f}", f"{measured['class_share'][name]:.2f}") for name in CLASSES]
        spreads = [(name, f"{share:.2f}") for name, share in measured["spread"].items()]
        distances = {**measured["frechet_distance"], **measured["frechet_distance_without"]}
        distances = [(label, f"{value:.3f}") for label, value in distances.items()]
        nearest = [(of, f"{d['smallest']:.3f}", f"{d['median']:.3f}") for of, d in measured["nearest_learned"].items()]
        return f"""## Classes

Accuracy: share of the test pictures of a class that the classifier, trained on other pictures, recognises. Share: how
many of {SAMPLES} samples it gives to the class, over how many of as many test pictures; 0: the class is never drawn.

{table(("class", "accuracy", "share"), classes)}

## Shape

Standard deviation of a reading (`helpers.toyworld.clothes.read_shape`) over the samples, as a share of that over test
pictures; 1 means that the model varies it fully.

{table(("reading", "spread"), spreads)}

## Fréchet distance to {REFERENCE} test pictures, in the classifier's features (lower is better)

{table(("pictures", "distance"), distances)}

## Distance of a picture to the nearest of those that were learned (RMS of the grey)

Samples that were copies would be much nearer than test pictures are.

{table(("pictures", "smallest", "median"), nearest)}

## Colour

The photographs are grey. The channels of a sample differ from their mean by {measured["colour"]["median"]:.3f} (RMS of
the pixels, median over the samples), by {measured["colour"]["largest"]:.3f} at most.
"""


def most_probable(read):
    """Which class is the most probable one: what `read_photographs` gave -> (batch,)."""
    return torch.stack([read[name] for name in CLASSES]).argmax(0)


def nearest_distance(pictures, learned):
    """Of each picture the root mean squared difference to the nearest of the learned ones, in grey: (batch,)."""
    pictures, learned = pictures.mean(1).flatten(1), learned.mean(1).flatten(1)
    return torch.cdist(pictures, learned).amin(1) / pictures.shape[1] ** 0.5
