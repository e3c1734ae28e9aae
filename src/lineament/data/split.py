"""Split of a data set into training and validation faces, without dividing photos or people."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from .sample import Sample, group_digest, in_validation

SMALL = 1000
"""Below this number of faces, at least one in VALIDATION_DIVISOR is used for validation."""
VALIDATION_DIVISOR = 10
ROBOFLOW_COPY = re.compile(r"\.rf\.[0-9A-Za-z]{16,}$")
"""End of the stems of images exported by Roboflow; copies of a photo differ only in it."""
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
        fill: The faces are a user's: images of one name in several folders are different photos,
            and if there are fewer than SMALL faces, the groups with the smallest digests are added
            until one face in ten is for validation. A set with a single group is not split.
        earlier: Whether a group is for validation, for groups of data sets that were split before.
    """
    before = earlier or {}
    if validation is not None:
        return ([], list(samples)) if validation else (list(samples), [])
    groups = split_groups(samples) if fill else [s.split_group() for s in samples]
    sizes = Counter(groups)
    chosen = {group for group in sizes if before.get(group, in_validation(group))}
    if fill and len(samples) < SMALL:
        _fill(chosen, sizes, before)
    training: list[Sample] = []
    validation_faces: list[Sample] = []
    for sample, group in zip(samples, groups, strict=True):
        (validation_faces if group in chosen else training).append(sample)
    return training, validation_faces


def split_groups(samples: Sequence[Sample]) -> list[str]:
    """Return the name of each face's photo, person or video in a user's data set.

    If images in several folders have the same name, the folder is part of it. Augmented copies by
    Roboflow are the same photo.
    """
    names = [ROBOFLOW_COPY.sub("", sample.split_group()) for sample in samples]
    folders: dict[str, set[Path]] = defaultdict(set)
    for sample, name in zip(samples, names, strict=True):
        if not sample.group:
            folders[name].add(sample.image.parent)
    groups = []
    for sample, group in zip(samples, names, strict=True):
        if not sample.group and len(folders[group]) > 1:
            # a digest must not depend on the place of the data set
            group = f"{PurePosixPath(sample.name).parent.as_posix()}/{group}"
        groups.append(group)
    return groups


def _fill(chosen: set[str], sizes: Counter[str], decided: Collection[str]) -> None:
    """Add the groups with the smallest digests to `chosen`, in place, leaving at least one.

    Groups in `decided` are not added.
    """
    target = math.ceil(sizes.total() / VALIDATION_DIVISOR)
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
        self.on_both_sides: list[str] = []
        """Names of faces in the last set whose photo is also on the other side."""

    def split(self, samples: Sequence[Sample], validation: bool | None) -> Split:
        """Split a data set; what an earlier one contains too stays on its side."""
        earlier = {}
        for sample, group in zip(samples, split_groups(samples), strict=True):
            side = self.for_validation.get(_identity(sample))
            if side is not None:
                earlier[group] = side
        split = split_faces(samples, validation, True, earlier)
        self.on_both_sides = []
        for number, faces in enumerate(split):
            for sample in faces:
                side = self.for_validation.setdefault(_identity(sample), number == 1)
                if side != (number == 1):
                    self.on_both_sides.append(sample.name)
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
