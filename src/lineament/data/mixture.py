"""The data sets of a training run, converted to the model's scheme."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DataError, RecipeError
from ..io.unique_names import unique_name
from ..recipe.data import DataPart
from .crop_cache import CropCache, cache_crops, cached_size
from .label_checks import check_faces
from .mirror import mirror_warning
from .readers.own_data import DEFAULT_OWN_DATA, Note, OwnData, ignore
from .readers.registry import DataSet, data_set
from .readers.talking_face import FOLDER, is_talking_face
from .sample import Sample, bare_name, to_scheme
from .split import SharedSplits, Split, describe_split, split_faces
from .training_crops import Source

REPORTED_CACHE_MB = 1000.0
"""Size of the cached crops in MB above which it is reported."""
Mixture = tuple[list[Source], dict[str, CropCache]]
"""The training sources, and the validation faces by data set."""


def read_mixture(
    parts: Sequence[DataPart],
    scheme_name: str,
    root: Path,
    cache: Path,
    note: Note = ignore,
    crop: tuple[int, float] = (128, 1.3),
) -> Mixture:
    """Read and cache the training faces, and the validation tenth by data set.

    Args:
        parts: Data sets of the recipe.
        scheme_name: Landmark scheme of the model.
        root: The data root.
        cache: Folder of cached crops.
        note: Called with one line per part that lacks faces.
        crop: Side of the model's crops, pixels, and as a multiple of the longer landmark box side.

    Raises:
        DataError: If a part cannot be read or has no training faces.
        SchemeError: If a part's points do not convert to the scheme.
        RecipeError: If no data set is used until the end, or a part is test data.
    """
    trained_on = [part for part in parts if part.validation is not True]
    if trained_on and all(part.use_until < 1 for part in trained_on):
        last = max(part.use_until for part in trained_on)
        problem = f"every data set ends at use_until = {last}"
        raise RecipeError(f"{problem}; remove use_until from one of them")
    size = cached_size(*crop)
    sources: list[Source] = []
    validation_faces: dict[str, CropCache] = {}
    own_splits = SharedSplits()
    for part in parts:
        samples = read_recipe_part(part, root, scheme_name, note)
        if any(is_talking_face(path) for path in {sample.image for sample in samples}):
            raise RecipeError(
                f"{part.reader} contains frames of {FOLDER}, which is test data; "
                "remove it"
            )
        if fault := mirror_warning(samples, scheme_name):
            note(f"{part.reader}: {fault}")
        label = _label(part, parts)
        training, validation = _split_part(part, samples, label, note, own_splits)
        if training:
            faces = _cache_faces(training, cache, size)
            if not part.annotated:
                nothing = np.full_like(faces.landmarks, np.nan)
                faces = replace(faces, landmarks=nothing, visible=None)
            sources.append(Source(faces, part.repeat, part.use_until))
        if validation and part.annotated:
            unique_label = unique_name(
                [label], lambda name: name not in validation_faces
            )
            validation_faces[unique_label] = _cache_faces(validation, cache, size)
    if not sources:
        raise DataError("every [[data]] is for validation; add one to train on")
    _note_size(sources, validation_faces, cache, note)
    return sources, validation_faces


def _note_size(
    sources: Sequence[Source], validation: dict[str, CropCache], cache: Path, note: Note
) -> None:
    """Report the size of the cached crops if it is large."""
    caches = [*(source.cache for source in sources), *validation.values()]
    size_mb = sum(faces.crops.nbytes for faces in caches) / 1e6
    if size_mb >= REPORTED_CACHE_MB:
        note(
            f"crops of {sum(map(len, caches))} faces: {size_mb:.0f} MB in {cache}; lineament cache "
            "lists and removes them"
        )


def _split_part(
    part: DataPart,
    samples: Sequence[Sample],
    label: str,
    note: Note,
    own_splits: SharedSplits,
) -> Split:
    """Split a part into training and validation faces, and report their numbers."""
    is_own = data_set(part.reader).is_format
    if is_own:
        training, validation = own_splits.split(samples, part.validation)
        if shared := own_splits.on_both_sides:
            note(
                f"{label}: {len(shared)} faces are on photos that are used for both "
                f"training and validation, e.g. {shared[0]}, so the validation error "
                "is too small; remove them from one"
            )
    else:
        training, validation = split_faces(samples, part.validation, fill=False)
    if is_own or part.validation is not None:
        note(describe_split(label, training, validation))
    if not training and not part.validation:
        count = f"all {len(samples)} faces are for validation"
        raise DataError(f"{part.reader}: {count}; expected at least one for training")
    return training, validation


def read_recipe_part(
    part: DataPart, root: Path, scheme_name: str, note: Note = ignore
) -> list[Sample]:
    """Read the faces of a recipe part in `scheme_name`, without excluded faces.

    Raises:
        RecipeError: If an excluded face does not exist; further errors as in `read_part`.
    """
    pictures = _first_existing(part.pictures, root) if part.pictures else None
    if pictures is not None and not pictures.is_dir():
        raise DataError(
            f"pictures = {part.pictures!r} is a file; give the folder of the images"
        )
    own = OwnData(
        scheme=part.scheme,
        wanted=scheme_name,
        category=part.category,
        pictures=pictures,
        group=part.group,
        first_pixel=part.first_pixel,
        needs_images=True,
        note=note,
    )
    samples = read_part(
        part.reader, root, part.part, scheme_name, part.folder, note, own
    )
    return exclude_faces(samples, part.exclude)


def _cache_faces(samples: Sequence[Sample], cache: Path, size: int) -> CropCache:
    boxes = [
        sample.face_box() if sample.box is None else sample.box for sample in samples
    ]
    return cache_crops(samples, cache, size, boxes)


def _label(part: DataPart, parts: Sequence[DataPart]) -> str:
    """Return the name of a part's validation faces in logs."""
    if [other.reader for other in parts].count(part.reader) == 1:
        return part.reader
    words = " ".join((part.reader, part.part, Path(part.folder).name))
    # without spaces, which separate the results in a log
    return "-".join(words.split())


def exclude_faces(samples: list[Sample], exclude: Sequence[str]) -> list[Sample]:
    """Return `samples` without the faces named in `exclude`, ignoring file suffixes.

    Raises:
        RecipeError: If a name matches no sample.
    """
    names = {bare_name(name): name for name in exclude}
    absent = names.keys() - {bare_name(sample.name) for sample in samples}
    if absent:
        raise RecipeError(
            f"exclude names {names[min(absent)]!r}, but no face has that name; give "
            f"names such as {samples[0].name!r}"
        )
    return [sample for sample in samples if bare_name(sample.name) not in names]


def read_part(
    reader: str,
    root: Path,
    part: str,
    scheme_name: str,
    folder: str = "",
    note: Note = ignore,
    own: OwnData = DEFAULT_OWN_DATA,
) -> list[Sample]:
    """Read the faces in one part of a data set in `scheme_name`.

    Points that the data set lacks are nan. The box of each face is the tight box of its 68
    points, completed by a mean face, unless the data set's own boxes follow that rule. Faces with
    fewer than two points are skipped.

    Args:
        reader: Name of the data set.
        root: The data root.
        part: Name of the part; empty: the training part, or the only one.
        scheme_name: Target scheme.
        folder: Absolute path, or relative to the data root or current directory; empty: default.
        note: Called with one line if faces are missing.
        own: User-provided information about the data.

    Raises:
        DataError: If the reader, part or folder is unknown, or contains no faces.
        SchemeError: If the points do not convert to the scheme.
    """
    known = data_set(reader)
    part = part or _usual_part(reader, known)
    location = _find_folder(reader, known, root, folder)
    samples = known.read(location, part, own=own)
    if known.is_format:
        samples = _trainable(samples, f"{reader} {part}, in {location}", note)
    missing = known.missing(samples, part)
    if missing:
        note(f"{missing} (in {location})")
    kept = []
    for sample in samples:
        if np.isfinite(sample.landmarks).all(1).sum() >= 2:
            kept.append(to_scheme(sample, scheme_name, known.own_boxes))
    if not kept:
        raise DataError(
            f"{missing or f'{reader} {part}: no faces found'}, in {location}; "
            "put the data set there, set its folder in the recipe or remove it"
        )
    return kept


def _trainable(samples: Sequence[Sample], location: str, note: Note) -> list[Sample]:
    """Return the faces of a user's data set that have at least two points.

    Raises:
        DataError: If points cannot be right, or there is no such face.
    """
    kept, skipped = [], []
    for sample in check_faces(samples, location, note):
        points = sample.landmarks[np.isfinite(sample.landmarks).all(1)]
        if len(points) < 2:
            skipped.append(sample)
            continue
        if np.ptp(points, axis=0).max() == 0:
            raise DataError(
                f"{location}: all points of {sample.name} coincide; annotate the face "
                "again, or remove it"
            )
        kept.append(sample)
    if skipped:
        text = (
            f"{location}: {len(skipped)} of {len(samples)} faces have fewer than two "
            f"annotated points, e.g. {skipped[0].name}"
        )
        if not kept:
            raise DataError(f"{text}; at least two are needed")
        note(f"{text}; they are skipped")
    return kept


def _usual_part(reader: str, known: DataSet) -> str:
    if len(known.parts) == 1:
        return next(iter(known.parts))
    if "train" in known.parts:
        return "train"
    raise DataError(
        f"the data set {reader!r} needs a part; choose one of {', '.join(known.parts)}"
    )


def _find_folder(reader: str, known: DataSet, root: Path, folder: str) -> Path:
    if not folder:
        if not known.folder:
            problem = f"the data set {reader!r} has no default folder"
            raise DataError(f"{problem}; set one: folder = '/path/to/faces'")
        usual = root / known.folder
        return usual if usual.is_dir() or not root.is_dir() else root
    return _first_existing(folder, root)


def _first_existing(folder: str, root: Path) -> Path:
    """Return a folder, relative to the data root or the current directory."""
    # joining an absolute path with the root returns the absolute path
    candidates = [root / folder, Path(folder)]
    for path in candidates:
        if path.exists():
            return path
    tried = " or ".join(dict.fromkeys(str(path) for path in candidates))
    raise DataError(
        f"no folder {folder!r} at {tried}; give the path of your data in the recipe"
    )
