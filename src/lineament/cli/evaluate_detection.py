"""Evaluation of face detection in `lineament evaluate`: recall, false positives and roll."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .app import progress_bar, show, show_table

if TYPE_CHECKING:
    from ..evaluation.detection import DetectionResult
    from ..inference.predictor import Predictor

HEAD = (
    "system",
    "photos",
    "number",
    "faces",
    "found",
    "recall %",
    "false positives",
    "in photos",
    "roll error",
    "5 points %",
)


def evaluate_detection(
    protocol: str, predictor: "Predictor", model: str, data: Path | None, as_json: bool
) -> None:
    """Print the results of the predictor's detector, with and without its landmark model.

    The model rejects detections with low presence or, if unknown, low landmark scores, as in
    `lineament detect`.
    """
    from ..data.sample import data_root
    from ..evaluation.detection import (
        DETECTION_PROTOCOLS,
        evaluate_detector,
        faces_as_detections,
    )

    photos = DETECTION_PROTOCOLS[protocol](data_root(data))
    systems: dict[str, Any] = {
        "detector": predictor.detector,
        f"detector and {model}": partial(faces_as_detections, predictor),
    }
    results = {}
    with progress_bar("photos", len(systems) * len(photos)) as step:
        for name, detect in systems.items():
            results[name] = evaluate_detector(detect, photos, progress=step)
    if as_json:
        numbers: dict[str, dict[str, Any]] = {}
        for name, by_kind in results.items():
            numbers[name] = {kind: result.as_json() for kind, result in by_kind.items()}
        show(json.dumps(numbers, indent=1, allow_nan=False))
        return
    rows = []
    for name, by_kind in results.items():
        rows += [_row(name, kind, result) for kind, result in by_kind.items()]
    show_table(HEAD, rows)


def _row(name: str, kind: str, result: "DetectionResult") -> list[str]:
    recall = f"{100 * result.recall:.1f}" if result.faces else "-"
    roll = f"{result.roll_error_deg:.1f}".replace("nan", "-")
    counts = (result.photos, result.faces, result.found)
    false = (result.false_positives, result.false_photos)
    point = f"{100 * result.point_error:.1f}".replace("nan", "-")
    return [name, kind, *map(str, counts), recall, *map(str, false), roll, point]
