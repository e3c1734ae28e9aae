"""Write annotated faces in the text files of each annotation format."""

import csv
import io
import json
from collections.abc import Callable, Iterable

from ..schemes import scheme as scheme_called
from .coco import labels_to_coco
from .cvat import faces_to_cvat
from .dlib import faces_to_dlib
from .label_studio import faces_to_label_studio, label_studio_config
from .labels import Labels, annotated_points, require_scheme
from .yolo import faces_to_yolo

Results = Iterable[tuple[str, Labels]]
"""Image names with their annotated faces."""
DECIMALS = 4


def _coco_files(results: Results, scheme: str) -> dict[str, str]:
    table = labels_to_coco(results, scheme)
    return {"annotations.coco.json": json.dumps(table) + "\n"}


def _cvat_files(results: Results, scheme: str) -> dict[str, str]:
    return {"annotations.xml": faces_to_cvat(results, scheme)}


def _cvat_points_files(results: Results, scheme: str) -> dict[str, str]:
    return {"annotations.xml": faces_to_cvat(results, scheme, skeletons=False)}


def _label_studio_files(results: Results, scheme: str) -> dict[str, str]:
    tasks = faces_to_label_studio(results, scheme)
    return {
        "tasks.label-studio.json": json.dumps(tasks) + "\n",
        "config.label-studio.txt": label_studio_config(scheme),
    }


def _dlib_files(results: Results, scheme: str) -> dict[str, str]:
    return {"faces.dlib.xml": faces_to_dlib(results, scheme)}


def _dlib_whole_files(results: Results, scheme: str) -> dict[str, str]:
    return {"faces.dlib.xml": faces_to_dlib(results, scheme, whole_pixels=True)}


def _csv_files(results: Results, scheme: str) -> dict[str, str]:
    return {"faces.csv": labels_to_csv(results, scheme)}


LABEL_FORMATS: dict[str, Callable[[Results, str], dict[str, str]]] = {
    "coco": _coco_files,
    "cvat": _cvat_files,
    "cvat-points": _cvat_points_files,
    "label-studio": _label_studio_files,
    "yolo": faces_to_yolo,
    "dlib": _dlib_files,
    "dlib-whole": _dlib_whole_files,
    "csv": _csv_files,
}
"""Writer of each format: maps faces and their scheme to file contents by file name."""


def labels_to_csv(results: Results, scheme: str) -> str:
    """Return a table with one row per face: image, face, scheme, box, and x, y, visible per point.

    Cells of unannotated points are empty.

    Raises:
        SchemeError: If faces have another scheme.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["image", "face", "scheme", "box_x0", "box_y0", "box_x1", "box_y1"]
    for index in range(len(scheme_called(scheme))):
        header += [f"x_{index}", f"y_{index}", f"visible_{index}"]
    writer.writerow(header)
    for image, faces in require_scheme(results, scheme):
        for number, face in enumerate(faces):
            cells: list[str] = [image, str(number), scheme]
            cells += [f"{value:.{DECIMALS}f}" for value in face.box.tolist()]
            known = annotated_points(face).tolist()
            rows = zip(
                face.landmarks.tolist(), face.occluded.tolist(), known, strict=True
            )
            for (x, y), occluded, annotated in rows:
                cells += (
                    [f"{x:.{DECIMALS}f}", f"{y:.{DECIMALS}f}"]
                    if annotated
                    else ["", ""]
                )
                cells.append(str(int(not occluded)) if annotated else "")
            writer.writerow(cells)
    return text.getvalue()
