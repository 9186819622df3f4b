"""Which images go to training and which to evaluation."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...report import counted

TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class SplitRules:
    """How images are split.

    Attributes:
        val_fraction: share of the images that goes to val, in [0, 1), drawn at random; at least one
            if above 0. None: a quarter, or as the annotations say where they have splits.
        group_by: regular expression; images in whose names it finds the same stay together: what
            its first group finds, or all of it where it has none. None: each image by itself.
        seed: of the draw.
    """

    val_fraction: float | None = None
    group_by: str | None = None
    seed: int = 0

    def __post_init__(self):
        if self.val_fraction is not None and not 0 <= self.val_fraction < 1:
            raise ValueError(f"--val-fraction is in [0, 1), got {self.val_fraction}")
        try:
            re.compile(self.group_by or "")
        except re.error as error:
            raise ValueError(
                f"--group-by {self.group_by!r} is no regular expression: {error}"
            ) from error


def split_of_each(
    names: Sequence[str], given: Sequence[str], rules: SplitRules
) -> tuple[list[str], str]:
    """The split of each image.

    Args:
        names: of the images.
        given: the split that the annotations put each in; empty: none.
        rules: what a user says.

    Returns:
        The split of each, and what was done, in a few words.

    Raises:
        ValueError: for a name without a group, and where nothing is left to train on.
    """
    if all(given) and rules == SplitRules(seed=rules.seed):
        return list(given), "splits as the annotations have them"
    fraction = 0.25 if rules.val_fraction is None else rules.val_fraction
    groups = [_group(name, rules.group_by) for name in names]
    in_val = _drawn(groups, fraction, rules.seed)
    splits = [VAL if group in in_val else TRAIN for group in groups]
    if rules.group_by is None:
        return splits, ""
    count = len(set(groups))
    return splits, f"{counted(count - len(in_val), 'group')} in train, {len(in_val)} in val"


def _group(name: str, pattern: str | None) -> str:
    if pattern is None:
        return name
    found = re.search(pattern, name)
    if found is None or found[1 if found.re.groups else 0] is None:
        raise ValueError(
            f"--group-by {pattern!r} finds nothing in {name}: give one that fits the names of all "
            "images"
        )
    return found[1 if found.re.groups else 0]


def _drawn(groups: Sequence[str], fraction: float, seed: int) -> set[str]:
    """Groups drawn at random until they have about the share of the images that goes to val."""
    wanted = round(fraction * len(groups)) or int(fraction > 0)
    sizes = Counter(groups)
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    drawn: set[str] = set()
    count = 0
    for group in order:
        if count < wanted and count + sizes[group] / 2 <= wanted:  # else farther than before
            drawn.add(group)
            count += sizes[group]
    if wanted and not drawn:
        drawn.add(min(order, key=sizes.__getitem__))
    if len(drawn) == len(order):
        is_grouped = len(order) < len(groups)
        if len(order) == 1:
            what = "1 group of images leaves" if is_grouped else "1 image leaves"
            cure = "cut it into tiles"
        else:
            what = f"{len(order)} {'groups of images' if is_grouped else 'images'} leave"
            cure = "lower --val-fraction"
        raise ValueError(f"{what} none to train on beside val; {cure}, or use --val-fraction 0")
    return drawn
