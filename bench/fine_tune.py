"""Measure `lineament train FOLDER` on user-defined points, by the number of annotated photos.

Usage: LINEAMENT_DATA=../shared/data python -m bench.fine_tune [--photos 40] [--out PAGE.md]

For each number it writes a folder of photos in CVAT's export format, with 21 of Helen's 194 points,
which were not used to train `fast`. The command trains on each folder twice, from `fast` and from
ImageNet weights; the exported model is measured on 120 validation photos. The photos are training
photos of 300W, so `fast` was trained on them with other points.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from bench.machine import describe
from lineament.atomic import write_text
from lineament.data.readers.helen194 import read_helen194
from lineament.data.sample import Sample, data_root, group_digest
from lineament.inference.predictor import Predictor

POINTS = {
    **{"right_eye_inner": 134, "right_eye_upper_1": 137, "right_eye_upper_2": 141},
    **{"right_eye_outer": 144, "right_eye_lower_2": 147, "right_eye_lower_1": 151},
    **{"left_eye_inner": 114, "left_eye_upper_1": 117, "left_eye_upper_2": 121},
    **{"left_eye_outer": 124, "left_eye_lower_2": 127, "left_eye_lower_1": 131},
    **{"right_nose_wing": 45, "nose_base": 49, "left_nose_wing": 53},
    **{"right_mouth_corner": 58, "left_mouth_corner": 71},
    **{"right_mouth_top": 64, "left_mouth_top": 65, "mouth_inside": 107, "chin": 20},
}
"""User-defined points: index in helen194 by name."""
EYES = ("right_eye_outer", "left_eye_outer")
TESTED = 120
"""Number of validation photos on which models are measured."""
STARTS = {"fast": [], "ImageNet": ["--set", "init_from=", "--set", "train.lr=1.5e-3"]}
"""Options of lineament train by initial weights."""


@dataclass(frozen=True)
class Result:
    """One trained model."""

    photos: int
    start: str
    nme: float
    """Mean interocular NME over the test photos, a fraction."""
    minutes: float
    """Duration of the command: recipe, training and export."""


def faces_of(root: Path, validation: bool) -> list[Sample]:
    """Return Helen's faces of one split, in the order of their digests."""
    faces = [
        face
        for face in read_helen194(root / "300w", "helen194")
        if face.is_validation() == validation
    ]
    return sorted(faces, key=lambda face: group_digest(face.split_group()))


def points_of(face: Sample) -> np.ndarray:
    """Return the 21 points (N, 2)."""
    return face.landmarks[list(POINTS.values())]


def write_cvat(faces: Sequence[Sample], folder: Path) -> None:
    """Write faces in CVAT's COCO keypoint format; photos are links."""
    images, annotations = [], []
    pictures = folder / "images" / "default"
    pictures.mkdir(parents=True, exist_ok=True)
    for number, face in enumerate(faces, 1):
        name = face.image.name
        link = pictures / name
        if not link.exists():
            link.symlink_to(face.image.resolve())
        height, width = face.read().shape[:2]
        images.append(
            {"id": number, "file_name": name, "width": width, "height": height}
        )
        points = points_of(face)
        keypoints: list[float] = []
        for x, y in points.tolist():
            keypoints += [round(x, 3), round(y, 3), 2]
        x, y = points.min(0).tolist()
        w, h = np.ptp(points, axis=0).tolist()
        annotation = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        annotations.append(annotation | {"bbox": [x, y, w, h], "keypoints": keypoints})
    category = {"id": 1, "name": "face", "keypoints": list(POINTS), "skeleton": []}
    table = {"images": images, "annotations": annotations, "categories": [category]}
    path = folder / "annotations" / "person_keypoints_default.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table), encoding="utf-8")


def train(photos: Path, run: Path, options: Sequence[str]) -> float:
    """Run the command; return its duration in minutes."""
    command = [sys.executable, "-m", "lineament", "train", str(photos)]
    command += ["--out", str(run), "--cache", str(run.parent / "cache"), *options]
    start = perf_counter()
    subprocess.run(command, check=True, env=dict(os.environ))
    return (perf_counter() - start) / 60


def error_of(model: Path, faces: Sequence[Sample]) -> float:
    """Return the mean interocular NME of a model, a fraction, with boxes of the 68 points."""
    predictor = Predictor(model)
    right, left = (list(POINTS).index(eye) for eye in EYES)
    errors = []
    for face in faces:
        truth = points_of(face)
        predicted = predictor(face.read(), [face.face_box()])[0].landmarks
        norm = np.hypot(*(truth[right] - truth[left]))
        errors.append(np.hypot(*(predicted - truth).T).mean() / norm)
    return float(np.mean(errors))


def page_of(results: Sequence[Result], tested: int, command: str) -> str:
    """Return the table as Markdown."""
    starts = list(STARTS)
    lines = ["# Points of one's own, by the number of photos", ""]
    machine = describe()
    lines += [
        f"`{command}` on {machine['cpu']}, {machine['cores']} cores, load "
        f"{machine['load_before']:.1f} at the end.",
        "",
    ]
    lines += [
        f"Mean interocular error in percent on {tested} other photos of {len(POINTS)} points of "
        "Helen, and the minutes of the command.",
        "",
        "| photos | "
        + " | ".join(f"from {start} | minutes" for start in starts)
        + " |",
        "|---" * (2 * len(starts) + 1) + "|",
    ]
    for photos in sorted({result.photos for result in results}):
        cells = []
        for start in starts:
            for result in results:
                if (result.photos, result.start) == (photos, start):
                    cells += [f"{100 * result.nme:.2f}", f"{result.minutes:.1f}"]
        lines.append(f"| {photos} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[20, 40, 100, 400])
    parser.add_argument("--folder", type=Path, default=Path("runs/fine-tune"))
    parser.add_argument("--tested", type=int, default=TESTED)
    parser.add_argument(
        "--set", action="append", default=[], help="change a setting, repeatable"
    )
    parser.add_argument("--out", type=Path)
    known_args = parser.parse_args()
    root = data_root()
    tested = faces_of(root, True)[: known_args.tested]
    training = faces_of(root, False)
    further = [word for change in known_args.set for word in ("--set", change)]
    results = []
    for photos in known_args.photos:
        folder = known_args.folder / f"{photos}-photos"
        write_cvat(training[:photos], folder)
        for start, options in STARTS.items():
            run = known_args.folder / f"own{photos}-{start.lower()}"
            minutes = train(folder, run, [*options, *further])
            nme = error_of(run / f"{run.name}.onnx", tested)
            results.append(Result(photos, start, nme, minutes))
            print(results[-1], flush=True)
    page = page_of(results, len(tested), "python -m bench.fine_tune")
    print(page)
    if known_args.out:
        write_text(known_args.out, page)


if __name__ == "__main__":
    main()
