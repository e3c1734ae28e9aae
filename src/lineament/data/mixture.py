"""Reading one part of a training mixture: its points brought to the scheme of the model, its boxes to one rule."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DataError, RecipeError
from ..recipe import DataPart
from ..schemes import convert
from .crop_cache import CropCache, Source, cache_crops, cached_size
from .readers.registry import data_set, missing_data
from .readers.talking_face import FOLDER, is_talking_face
from .sample import Sample, bare_name, tight_box


def _silent(line: str) -> None:
    """What is noted where nobody listens."""


def read_part(
    reader: str,
    root: Path,
    part: str,
    scheme_name: str,
    folder: str = "",
    note: Callable[[str], None] = _silent,
) -> list[Sample]:
    """The faces of `part` of the data set `reader`, in `scheme_name`, points that the set does not have being nan.

    The `box` of each is the tight box of its 68 points, as far as it has them, else of a mean face fitted to those it
    has, unless the set's own boxes are such; a face of fewer than two points is left out.
    root: the data root.    part: empty for the set's training part, or its only one.
    folder: absolute, or below the data root or the current directory; empty for the set's usual one.
    note: takes one plain line where faces are missing.
    Raises: DataError for an unknown reader, part or folder and where no face is there; SchemeError where the set's
    points cannot become the model's.
    """
    known = data_set(reader)
    part = part or _usual_part(reader)
    place = _place(reader, root, folder)
    samples = known.read(place, part)
    short = missing_data(reader, samples, part)
    if short:
        note(f"{short} (in {place})")
    known_two = [sample for sample in samples if np.isfinite(sample.landmarks).all(1).sum() >= 2]
    kept = [to_scheme(sample, scheme_name, known.own_boxes) for sample in known_two]
    if not kept:
        what = short or f"{reader} {part}: no face is here"
        raise DataError(
            f"{what}, in {place}; put the data set there, name its folder in the recipe or leave it out"
        )
    return kept


def _usual_part(reader: str) -> str:
    parts = data_set(reader).parts
    for usual in parts if len(parts) == 1 else ("train",):
        if usual in parts:
            return usual
    raise DataError(
        f"the data set {reader!r} was named without a part; choose one of {', '.join(parts)}"
    )


def _place(reader: str, root: Path, folder: str) -> Path:
    usual = data_set(reader).folder
    if not folder:
        if not usual:
            raise DataError(
                f"the data set {reader!r} has no folder of its own; give one: folder = '/path/to/faces'"
            )
        return root / usual if (root / usual).is_dir() or not root.is_dir() else root
    candidates = [root / folder, Path(folder)]  # an absolute folder is both
    for path in candidates:
        if path.exists():
            return path
    tried = " nor at ".join(dict.fromkeys(str(path) for path in candidates))
    raise DataError(
        f"no folder {folder!r}, neither at {tried}; give the path of your data in the recipe"
    )


def to_scheme(sample: Sample, scheme_name: str, own_box: bool = False) -> Sample:
    """`sample` with its points in `scheme_name` and the tight box of its 68 points.

    own_box: the box that the sample has is that one.
    """
    box = sample.box if own_box else tight_box(sample.landmarks, sample.scheme)
    if sample.scheme == scheme_name:
        return replace(sample, box=box)
    landmarks = convert(sample.landmarks, sample.scheme, scheme_name).points
    return replace(sample, landmarks=landmarks, scheme=scheme_name, visible=None, box=box)


def _label(part: DataPart, alone: bool) -> str:
    """How logs call the faces that `part` holds back."""
    more = [part.part, Path(part.folder).name if part.folder else ""]
    return part.reader if alone else "-".join([part.reader, *filter(None, more)])


Mixture = tuple[list[Source], dict[str, CropCache]]


def read_mixture(
    parts: Sequence[DataPart],
    scheme_name: str,
    root: Path,
    cache: Path,
    note: Callable[[str], None] = _silent,
    crop: tuple[int, float] = (128, 1.3),
) -> Mixture:
    """The training sources, without the validation tenth, and the validation faces by data set.

    root: the data root.    cache: where crop caches live.    note: takes a plain line on each part that is short.
    crop: side in pixels, and in longer sides of the landmark box, of the crops that are cut of the cached ones and lose
    nothing by it.
    Raises: DataError, SchemeError, RecipeError.
    """
    if all(part.use_until < 1 for part in parts):
        last = max(part.use_until for part in parts)
        raise RecipeError(
            f"every data set ends at use_until = {last}; leave one without use_until, to train on to the end"
        )
    size = cached_size(*crop)
    readers = Counter(part.reader for part in parts)
    sources: list[Source] = []
    validation_faces: dict[str, CropCache] = {}
    for part in parts:
        samples = without(
            read_part(part.reader, root, part.part, scheme_name, part.folder, note), part.exclude
        )
        if any(is_talking_face(path) for path in {s.image for s in samples}):
            raise RecipeError(
                f"{part.reader} holds frames of {FOLDER}, which is to test on; leave it out"
            )
        training = [s for s in samples if not s.is_validation()]
        if not training:
            raise DataError(
                f"{part.reader}: all {len(samples)} faces are of the validation tenth; wanted some to train on"
            )
        boxes = [s.box for s in training if s.box is not None]
        cached = cache_crops(training, cache, size, boxes)
        sources.append(
            Source(
                cached if part.annotated else without_points(cached), part.repeat, part.use_until
            )
        )
        validation = [s for s in samples if s.is_validation()]
        if validation and part.annotated:
            boxes = [s.box for s in validation if s.box is not None]
            label = _label(part, readers[part.reader] == 1)
            # two folders may be called alike
            while label in validation_faces:
                label += "-more"
            validation_faces[label] = cache_crops(validation, cache, size, boxes)
    return sources, validation_faces


def without_points(cache: CropCache) -> CropCache:
    """`cache` with its crops and boxes, no point annotated."""
    return replace(cache, landmarks=np.full_like(cache.landmarks, np.nan))


def without(samples: list[Sample], exclude: Sequence[str]) -> list[Sample]:
    """`samples` less those named in `exclude`, whose suffixes do not count: copies of a set are of other formats.

    Raises: RecipeError for a name that none of them has.
    """
    bare = {bare_name(name): name for name in exclude}
    absent = bare.keys() - {bare_name(sample.name) for sample in samples}
    if absent:
        raise RecipeError(
            f"exclude names {bare[min(absent)]!r}, which no face has; give names such as {samples[0].name!r}"
        )
    return [sample for sample in samples if bare_name(sample.name) not in bare]
