"""Write faces as YOLO pose labels: one text file of fractions per image, and a data.yaml."""

import json
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from ..errors import DataError
from ..schemes import scheme as scheme_called
from .labels import Drawn, DrawnFace, annotated_points, require_scheme

DECIMALS = 8
"""Decimals of a fraction: precise to a thousandth of a pixel even in very large images."""


def faces_to_yolo(results: Iterable[tuple[str, Drawn]], scheme: str) -> dict[str, str]:
    """Return the text files of a YOLO pose data set by name: labels/*.txt and data.yaml.

    The images belong in `images`, under the same names. A point has v = 1 if it is probably not
    visible, otherwise v = 2; an unannotated point is 0 0 0. An image without a face has an empty
    file.

    Raises:
        SchemeError: If faces have another scheme.
        DataError: If the size of an image is unknown, two images have the same name, or a
            name leads out of the folder.
    """
    files: dict[str, str] = {}
    for image, faces in require_scheme(results, scheme):
        if faces.image_size is None and len(faces):
            raise DataError(
                f"the size of {image!r} is unknown, but YOLO needs fractions of it; "
                "give faces with their image_size"
            )
        if ".." in PurePosixPath(image).parts:
            raise DataError(
                f"{image!r} is outside the folder of images, so its labels would be "
                "outside the output folder; give the folder that contains all images"
            )
        size = faces.image_size or (1, 1)
        lines = [_line(face, size) for face in faces]
        name = f"labels/{PurePosixPath(image).with_suffix('.txt')}"
        if name in files:
            raise DataError(
                f"two images would share the label file {name}; rename one of them"
            )
        files[name] = "".join(f"{line}\n" for line in lines)
    files["data.yaml"] = _data_yaml(scheme)
    return files


def _line(face: DrawnFace, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = face.box.tolist()
    width, height = size
    numbers = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height]
    numbers += [(x1 - x0) / width, (y1 - y0) / height]
    cells = ["0", *(f"{number:.{DECIMALS}f}" for number in numbers)]
    fractions = face.landmarks / np.array(size)
    rows = zip(
        fractions.tolist(),
        face.occluded.tolist(),
        annotated_points(face).tolist(),
        strict=True,
    )
    for (x, y), occluded, known in rows:
        if not known:
            cells += ["0", "0", "0"]
            continue
        cells += [f"{x:.{DECIMALS}f}", f"{y:.{DECIMALS}f}", "1" if occluded else "2"]
    return " ".join(cells)


def _data_yaml(scheme: str) -> str:
    """Return the data set description; JSON values are valid YAML."""
    landmark_scheme = scheme_called(scheme)
    lines = [
        "path: .",
        "train: images",
        "val: images",
        f"kpt_shape: [{len(landmark_scheme)}, 3]",
        f"flip_idx: {json.dumps(landmark_scheme.mirror.tolist())}",
        "names: {0: face}",
        f"kpt_names: {{0: {json.dumps(list(landmark_scheme.points))}}}",
    ]
    return "\n".join(lines) + "\n"
