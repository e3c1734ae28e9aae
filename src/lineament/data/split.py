"""Split of a data set into training and validation faces, each photo or person in one of them."""

import math
from collections import Counter
from collections.abc import Sequence

from .sample import Sample, group_digest, in_validation

SMALL = 1000
"""Faces below which at least one in TENTH is for validation, whatever the names."""
TENTH = 10
SHOWN = 12
"""Names that a note lists."""

Split = tuple[list[Sample], list[Sample]]
"""Training and validation faces."""


def split_faces(
    samples: Sequence[Sample], validation: bool | None, fill: bool
) -> Split:
    """Return the training and the validation faces.

    Args:
        samples: The faces of a data set.
        validation: True: all are for validation, False: none; None: the groups whose digest is 0
            modulo 10.
        fill: Of fewer than SMALL faces, take further groups of the smallest digests until one face
            in ten is for validation. A set of one group is not split.
    """
    if validation is not None:
        return ([], list(samples)) if validation else (list(samples), [])
    sizes = Counter(sample.split_group() for sample in samples)
    chosen = {group for group in sizes if in_validation(group)}
    if fill and len(samples) < SMALL:
        _fill(chosen, sizes)
    training: list[Sample] = []
    kept: list[Sample] = []
    for sample in samples:
        (kept if sample.split_group() in chosen else training).append(sample)
    return training, kept


def _fill(chosen: set[str], sizes: Counter[str]) -> None:
    """Add the groups of the smallest digests to `chosen`, in place; one group is left."""
    wanted = math.ceil(sizes.total() / TENTH)
    found = sum(sizes[group] for group in chosen)
    for group in sorted(sizes.keys() - chosen, key=group_digest):
        if found >= wanted or len(chosen) + 1 >= len(sizes):
            return
        chosen.add(group)
        found += sizes[group]


def describe_split(
    label: str, training: Sequence[Sample], kept: Sequence[Sample]
) -> str:
    """Return a line on the split of a data set, with the names of the validation faces."""
    text = f"{label}: {len(training)} faces to train on, {len(kept)} for validation"
    if not kept:
        return text
    names = [sample.name for sample in kept[:SHOWN]]
    rest = f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
    return f"{text}: {', '.join(names)}{rest}"
