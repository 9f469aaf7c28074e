"""Sentences that say what a drawn thing is, and the tokenizer that knows their words."""

import json
import random
from pathlib import Path

from helpers.toyworld.things import COLOURS, GROUPS, PEOPLE, SCENES

MODEL = "toy-text"  # which learned these captions
#: what stands before the thing; {a} becomes "a" or "an"
OPENINGS = (
    "{a}",
    "{a}",
    "{a}",
    "the",
    "one",
    "a photo of {a}",
    "the photo of {a}",
    "a picture of {a}",
    "a painting of {a}",
    "a drawing of {a}",
    "a rendition of {a}",
    "a good photo of the",
    "a close-up photo of the",
    "a cool painting of {a}",
)
PLACES = dict(zip(SCENES, ("in the park", "on the beach", "in the snow", "at night")))
LONGEST = 24  # tokens of a caption, the two ends included


def caption(labels, chance):
    """A sentence about a picture. Returns it and the names of the groups that it speaks of.

    labels: one row of `helpers.toyworld.things.labels`; chance: a `random.Random`, which decides what is said and how.
    """
    word = {name: GROUPS[name][place] for name, place in zip(GROUPS, labels.tolist()) if place >= 0}
    kind, said = word["kind"], {"kind"}

    def say(group, likely, *unless):
        if group in word and word[group] not in unless and chance.random() < likely:
            said.add(group)
            return True
        return False

    before, after = [], ""
    if kind in PEOPLE:
        before += [word["age"]] if say("age", 0.8, "middle-aged") else []
        after += f" with {word['colour']} hair" if say("colour", 0.85) else ""
        after += f", {word['mood']}" if say("mood", 0.8, "calm") else ""
        after += f", {word['glasses']}" if say("glasses", 0.8 if word["glasses"] == "glasses" else 0.3) else ""
    else:
        before += [word["size"]] if say("size", 0.4, "middling") else []
        posed = say("pose", 0.6)
        first = posed and chance.random() < 0.4
        before += [word["pose"]] if first else []
        before += [word["colour"]] if say("colour", 0.9) else []
        after += f" {word['pose']}" if posed and not first else ""
        after += f" facing {word['facing']}" if say("facing", 0.2) else ""
        after += f" {PLACES[word['scene']]}" if say("scene", 0.6) else ""
    thing = " ".join([*before, kind])
    opening = chance.choice(OPENINGS).format(a="an" if thing[0] in "aeiou" else "a")
    return f"{opening} {thing}{after}", said


def write_tokenizer(folder):
    """Write the files of a `CLIPTokenizer` to whom every word of the captions is one token, and return it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    phrases = [*OPENINGS, *PLACES.values(), *COLOURS, *(word for words in GROUPS.values() for word in words)]
    words = " ".join([*phrases, "a an with hair , facing"]).replace("{a}", "").split()
    letters = "abcdefghijklmnopqrstuvwxyz-,."
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    trainer = trainers.BpeTrainer(
        vocab_size=2_000,
        min_frequency=1,
        initial_alphabet=list(letters),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(sorted(set(words)))] * 2 + [" ".join(letters)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    names = [*sorted(model["vocab"], key=model["vocab"].get), "<|startoftext|>", "<|endoftext|>"]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": LONGEST, "pad_token": "<|endoftext|>"})
    )
    return CLIPTokenizer.from_pretrained(folder)


def captions_of(labels, seed):
    """One sentence for every row of labels, and the groups that it speaks of: two lists, equal for equal seeds."""
    chance = random.Random(seed)
    sentences, said = zip(*(caption(row, chance) for row in labels))
    return list(sentences), list(said)
