"""Split of a data set into training and validation faces, without dividing photos or people."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from .sample import Sample, group_digest, in_validation

SMALL = 1000
"""Below this number of faces, at least one in TENTH is used for validation."""
TENTH = 10
SHOWN = 12
"""Maximum number of names listed in a message."""

Split = tuple[list[Sample], list[Sample]]
"""Training and validation faces."""


def split_faces(
    samples: Sequence[Sample],
    validation: bool | None,
    fill: bool,
    earlier: Mapping[str, bool] | None = None,
) -> Split:
    """Split faces into a training and a validation set.

    Args:
        samples: The faces of a data set.
        validation: True: all faces are for validation, False: none; None: groups whose digest is 0
            modulo 10.
        fill: If there are fewer than SMALL faces, add the groups with the smallest digests until
            one face in ten is for validation. A set with a single group is not split.
        earlier: Whether a group is for validation, for groups of data sets that were split before.
    """
    before = earlier or {}
    if validation is not None:
        return ([], list(samples)) if validation else (list(samples), [])
    sizes = Counter(sample.split_group() for sample in samples)
    chosen = {group for group in sizes if before.get(group, in_validation(group))}
    if fill and len(samples) < SMALL:
        _fill(chosen, sizes, before)
    training: list[Sample] = []
    validation_faces: list[Sample] = []
    for sample in samples:
        (validation_faces if sample.split_group() in chosen else training).append(
            sample
        )
    return training, validation_faces


def _fill(chosen: set[str], sizes: Counter[str], decided: Collection[str]) -> None:
    """Add the groups with the smallest digests to `chosen`, in place, leaving at least one.

    Groups in `decided` are not added.
    """
    target = math.ceil(sizes.total() / TENTH)
    total = sum(sizes[group] for group in chosen)
    for group in sorted(sizes.keys() - chosen - set(decided), key=group_digest):
        if total >= target or len(chosen) + 1 >= len(sizes):
            return
        chosen.add(group)
        total += sizes[group]


class SharedSplits:
    """Splits of a user's data sets, which may contain the same photos, videos or people.

    File names alone do not identify them: two folders may contain different photos "1.jpg".
    """

    def __init__(self) -> None:
        self.for_validation: dict[str, bool] = {}
        """Side of each photo or named group."""

    def split(self, samples: Sequence[Sample], validation: bool | None) -> Split:
        """Split a data set; what an earlier one contains too stays on its side."""
        earlier = {}
        for sample in samples:
            side = self.for_validation.get(_identity(sample))
            if side is not None:
                earlier[sample.split_group()] = side
        split = split_faces(samples, validation, True, earlier)
        for number, faces in enumerate(split):
            for sample in faces:
                self.for_validation.setdefault(_identity(sample), number == 1)
        return split


def _identity(sample: Sample) -> str:
    """Return the name of the person, video or photo that a user states, or the image's path."""
    return sample.group or str(sample.image.absolute())


def describe_split(
    label: str, training: Sequence[Sample], kept: Sequence[Sample]
) -> str:
    """Return a one-line summary of a split, with the names of the validation faces."""
    text = f"{label}: {len(training)} faces to train on, {len(kept)} for validation"
    if not kept:
        return text
    names = [sample.name for sample in kept[:SHOWN]]
    more = f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
    return f"{text}: {', '.join(names)}{more}"
