"""Write a recipe for a user's annotated faces from the contents of their folder.

Depends on the readers, on the predictor for a user's own points, and on torch's backbones.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..atomic import write_text
from ..data.readers.find_annotations import Annotations, find_annotations
from ..data.readers.own_data import DEFAULT_OWN_DATA, Note, OwnData, ignore, once
from ..data.sample import Sample
from ..data.split import SharedSplits
from ..errors import DataError, ExtraError, RecipeError
from ..geometry import box_side
from ..labeling.own_scheme import (
    read_more_faces,
    read_own_faces,
    save_drawing,
    with_annotated_norms,
    with_mean_shape,
)
from ..models.backbones.registry import imagenet_file
from ..recipe.stored_weights import find_weights
from ..scheme_file.table import Scheme, scheme_text
from ..schemes import NAMES
from ..schemes import scheme as scheme_called

FINE_TUNED_BELOW = 2000
"""Number of training faces below which a trained model is fine-tuned."""
WEIGHTS = "fast"
"""Name of the trained model's weights in teachers/."""
BACKBONE = "mobilenetv2-160"
STEPS = ((60, 600), (200, 900), (600, 1200), (2000, 2000), (10_000, 6000))
"""Pairs of the largest number of training faces and the steps for it."""
MAX_STEPS = 12_000
FINE_TUNE_LR, IMAGENET_LR = 5e-4, 1.5e-3
MEAN_FACE_MODEL = "accurate"
"""Model used to compute the mean face of user-defined points."""
RECIPE = "recipe.toml"


@dataclass(frozen=True)
class OwnRecipe:
    """A written recipe."""

    path: Path
    """File of the recipe; the scheme is next to it if the points are user-defined."""
    text: str
    """Content of the recipe."""
    training: int
    """Number of training faces."""
    drawing: Path | None = None
    """Image of a face with the points of the new scheme."""


def write_own_recipe(
    location: Path,
    folder: Path,
    name: str,
    note: Note = ignore,
    own: OwnData = DEFAULT_OWN_DATA,
) -> OwnRecipe:
    """Write a recipe for training on the faces at `location`.

    Args:
        location: A folder of annotated images, or a file of annotations.
        folder: Folder of the run, for the recipe and the scheme.
        name: Name of the run.
        note: Receives lines about the files and the choices made.
        own: User-provided information about the data.

    Raises:
        DataError: If the annotations are absent or broken, or no face is left for training.
        RecipeError: If there are no weights to start from.
    """
    # the files are read several times
    note, own = once(note), replace(own, note=once(own.note))
    annotations = _without_test_sets(find_annotations(location), note)
    own_name = f"{name}-points"
    first, new_scheme = read_own_faces(annotations[0], own_name, note, own)
    samples = list(first)
    splits = SharedSplits()
    training = len(splits.split(first, _validation(annotations[0], annotations))[0])
    for other in annotations[1:]:
        faces = read_more_faces(other, new_scheme, own)
        samples += faces
        training += len(splits.split(faces, _validation(other, annotations))[0])
    if not training:
        raise DataError(
            f"{location}: {len(samples)} faces, but none for training; add training faces"
        )
    # may raise, so before anything is written
    start = _start(folder / RECIPE, training, note)
    folder.mkdir(parents=True, exist_ok=True)
    scheme = Counter(face.scheme for face in samples).most_common(1)[0][0]
    drawing = None
    if new_scheme is not None:
        new_scheme = with_annotated_norms(new_scheme, first, note)
        new_scheme = with_mean_shape(new_scheme, first, MEAN_FACE_MODEL, note)
        drawing = save_drawing(new_scheme, first, folder / f"{new_scheme.name}.png")
        scheme = _write_scheme(new_scheme, folder, note)
    else:
        # files of lineament review carry their own scheme
        scheme = own.scheme or scheme
        if scheme not in NAMES:
            scheme = _write_scheme(scheme_called(scheme), folder, note)
    states_scheme = new_scheme is not None or bool(own.scheme)
    keys = {"scheme": scheme if states_scheme else "", "category": own.category}
    keys["pictures"] = own.pictures.resolve().as_posix() if own.pictures else ""
    keys["group"] = own.group
    text = _recipe_text(name, scheme, annotations, samples, training, start, keys)
    path = folder / RECIPE
    _replace_text(path, text, note)
    return OwnRecipe(path, text, training, drawing)


def _without_test_sets(annotations: list[Annotations], note: Note) -> list[Annotations]:
    """Return the annotations without test sets, training sets first; all if they are test sets."""
    used = [item for item in annotations if item.split != "test"] or annotations
    for item in annotations:
        if item not in used:
            note(f"{item.location}: skipped, because it is a test set")
    return sorted(used, key=lambda item: item.split == "validation")


def _validation(part: Annotations, annotations: Sequence[Annotations]) -> bool | None:
    """Return the key `validation` of a part; None: use a tenth of it for validation."""
    if part.split == "validation":
        return True
    return False if any(item.split == "validation" for item in annotations) else None


def _write_scheme(new_scheme: Scheme, folder: Path, note: Note) -> str:
    """Write the file of a scheme; return the file's name."""
    path = folder / f"{new_scheme.name}.toml"
    _replace_text(path, scheme_text(new_scheme), note)
    return path.name


def _replace_text(path: Path, text: str, note: Note) -> None:
    """Write a text file; keep a file with other text, which may be edited by hand, as a copy."""
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        previous = path.with_name(f"{path.stem}.previous{path.suffix}")
        path.replace(previous)
        note(f"{path} is written again; the previous file is kept as {previous.name}")
    write_text(path, text)


def _start(recipe: Path, training: int, note: Note) -> str:
    """Return the initial weights: a name in teachers/, or empty for ImageNet weights.

    Raises:
        RecipeError: If neither is available.
    """
    try:
        find_weights(WEIGHTS, recipe)
        has_weights = True
    except RecipeError:
        has_weights = False
    try:
        imagenet_file(BACKBONE)
        imagenet_error = ""
    except ExtraError as error:
        imagenet_error = str(error)
    is_small_set = training < FINE_TUNED_BELOW
    if not has_weights and imagenet_error:
        raise RecipeError(
            f"no weights to start from: no teachers/{WEIGHTS}.safetensors (part of the "
            f"repository) in {recipe.parent}, in a folder above it or in {Path.cwd()}, "
            f"and {imagenet_error}"
        )
    if is_small_set and not has_weights:
        note(
            f"no teachers/{WEIGHTS}.safetensors (part of the repository), so the "
            "training starts from ImageNet weights; with few faces, the error will be "
            "larger"
        )
    elif not is_small_set and imagenet_error:
        note(
            f"the training starts from the weights of {WEIGHTS}, because {imagenet_error}"
        )
    return WEIGHTS if has_weights and (is_small_set or imagenet_error) else ""


def _toml(text: str) -> str:
    """Return a text as TOML, which does not accept the surrogates that JSON writes."""
    return json.dumps(text, ensure_ascii=False)


def default_steps(training: int) -> int:
    """Return the number of training steps for this number of faces."""
    for faces, steps in STEPS:
        if training <= faces:
            return steps
    return MAX_STEPS


def _recipe_text(
    name: str,
    scheme: str,
    annotations: Sequence[Annotations],
    samples: Sequence[Sample],
    training: int,
    start: str,
    keys: Mapping[str, str],
) -> str:
    """Return the recipe as TOML; `keys` are added to each data part unless they are empty."""
    side = float(np.median([box_side(face.face_box()) for face in samples]))
    start_text = f"fine-tunes {start}" if start else "starts from ImageNet weights"
    lines = [
        f"# {training} faces to train on, {len(samples) - training} for validation, {side:.0f} "
        f"pixels in the median: {start_text}",
        f"name = {_toml(name)}",
        f"scheme = {_toml(scheme)}",
    ]
    if start:
        lines += [
            f"# weights of {start} are for research only, and so are those trained from them",
            f"init_from = {_toml(start)}",
        ]
    for item in annotations:
        lines += ["", "[[data]]", f"reader = {_toml(item.reader)}"]
        lines.append(f"folder = {_toml(item.path.resolve().as_posix())}")
        lines += [] if item.part == "all" else [f"part = {_toml(item.part)}"]
        for key, value in keys.items():
            lines += [f"{key} = {_toml(value)}"] if value else []
        validation = _validation(item, annotations)
        if validation is not None:
            lines.append(f"validation = {str(validation).lower()}")
    steps = default_steps(training)
    network = files("lineament").joinpath("tables/own-recipe.toml")
    lines += [
        "",
        network.read_text(encoding="utf-8").rstrip(),
        "",
        "[train]",
        f"steps = {steps}",
        f"lr = {FINE_TUNE_LR if start else IMAGENET_LR}",
        f"warmup = {min(200, steps // 6)}",
        f"validate_every = {max(1, steps // 4)}",
    ]
    return "\n".join(lines) + "\n"
