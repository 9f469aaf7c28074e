"""The network that says what a drawn thing is, and how often it finds what it should."""

import torch

from helpers.toyworld.regressor import Reader
from helpers.toyworld.things import GROUPS


class CaptionReader(Reader):
    """Says what a picture shows: (batch, 3, 64, 64) in [0, 1] -> (batch, words), logits, `GROUPS` one after another."""

    file, named, side = "reader", "words", 64

    def groups(self, logits):
        """Logits of each group: {name: (batch, words of the group)}."""
        return dict(zip(GROUPS, logits.split([len(words) for words in GROUPS.values()], dim=1)))


@torch.no_grad()
def shown_in(reader, pictures, wanted):
    """Whether pictures show what they should: (batch, groups) of 1 and 0, NaN where `wanted` is -100.

    pictures: (batch, 3, side, side) in [0, 1]; wanted: see `helpers.toyworld.things.labels`.
    """
    found = torch.cat([reader(part) for part in pictures.split(128)])
    right = torch.stack([logits.argmax(1) for logits in reader.groups(found).values()], dim=1) == wanted
    return torch.where(wanted >= 0, right.float(), torch.nan)


def by_group(right):
    """{group: share of the pictures in which it is right}, of what `shown_in` gave."""
    return {group: round(share, 4) for group, share in zip(GROUPS, right.nanmean(0).tolist())}


def by_word(right, wanted):
    """{word: share of the pictures that should show it and do}, without the words that none should show."""
    shares = {}
    for column, words in enumerate(GROUPS.values()):
        for place, word in enumerate(words):
            rows = right[wanted[:, column] == place, column]
            if len(rows):
                shares[word] = round(rows.mean().item(), 3)
    return shares
