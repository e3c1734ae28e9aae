"""Fit the annotation shift of 300W on training faces, and measure it on validation faces.

Usage: LINEAMENT_DATA=../shared/data python -m bench.fit_convention [--model accurate] [--draw DIR]

The shift is the median over faces of the mean of annotation minus prediction, in interocular
distances. Faces with a refitted annotation (helen/refitted.csv) are excluded from the fit.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lineament.data.readers.helen194 import read_helen194
from lineament.data.readers.w300 import read_300w
from lineament.data.sample import Sample, data_root
from lineament.geometry import Array, apply_affine, landmark_box
from lineament.inference.predictor import Predictor
from lineament.schemes import convert, scheme

EVERY = 5
"""Every N-th training face is used."""
EYES = slice(36, 48)
OUTER_CORNERS = (36, 45)
DRAWN_FACES = 10
DRAWN_WIDTH = 1200
TRUTH, PREDICTION = (60, 220, 60), (60, 60, 240)  # BGR


class Faces:
    """Predicted and true landmarks of faces, (F, 68, 2), and their interocular distances."""

    def __init__(self, predictor: Predictor, samples: Sequence[Sample]) -> None:
        predictions = []
        for sample in samples:
            face = predictor(sample.read(), [sample.face_box()])[0]
            predictions.append(face.landmarks)
        self.samples, self.pred = samples, np.stack(predictions)
        self.truth = np.stack([sample.landmarks for sample in samples])
        first, second = OUTER_CORNERS
        eyes = self.truth[:, second] - self.truth[:, first]
        self.norm = np.hypot(*eyes.T)[:, None]
        axis = self.pred[:, second] - self.pred[:, first]
        x = axis / np.hypot(*axis.T)[:, None]
        y = np.stack([-x[:, 1], x[:, 0]], axis=1)
        self.upright = np.stack([x, y], axis=1)  # (F, 2, 2), rows are the face's axes
        self.gap = (self.truth - self.pred).mean(1) / self.norm

    def image_shift(self) -> Array:
        """Return the shift (2,) along the axes of the image."""
        return np.asarray(np.median(self.gap, axis=0))

    def face_shift(self) -> Array:
        """Return the shift (2,) along the axes of the upright face."""
        turned = np.einsum("fij,fj->fi", self.upright, self.gap)
        return np.asarray(np.median(turned, axis=0))

    def nme(
        self, image_shift: Array | None = None, face_shift: Array | None = None
    ) -> float:
        """Return the NME in percent of predictions moved by a shift."""
        offset = np.zeros_like(self.norm * [0, 0])
        if image_shift is not None:
            offset = self.norm * image_shift
        if face_shift is not None:
            offset = self.norm * np.einsum("fij,i->fj", self.upright, face_shift)
        away = self.pred + offset[:, None] - self.truth
        lengths = np.hypot(away[..., 0], away[..., 1])
        return float(100 * (lengths.mean(1) / self.norm[:, 0]).mean())


def five_gaps(predictor: Predictor, samples: Sequence[Sample]) -> Array:
    """Return label minus prediction (F, 5, 2) of five points, in distances of the eye centers."""
    gaps = []
    for sample in samples:
        face = predictor(sample.read(), [sample.face_box()])[0]
        truth = convert(sample.landmarks, sample.scheme, "five").points
        norm = np.hypot(*(truth[1] - truth[0]))
        gaps.append((truth - face.landmarks) / norm)
    return np.stack(gaps)


def refitted_names(root: Path) -> set[str]:
    """Return the file stems of the Helen faces whose annotation was refitted."""
    path = root / "helen" / "refitted.csv"
    if not path.is_file():
        return set()
    with path.open(encoding="utf-8") as file:
        return {row["name"] for row in csv.DictReader(file)}


def print_errors(
    label: str, faces: Faces, image_shift: Array, face_shift: Array
) -> None:
    """Print the errors of faces without and with the shift, and the shift fitted to them."""
    fitted_shift = 100 * faces.image_shift()
    right = 100 * (faces.gap[:, 0] > 0).mean()
    print(
        f"{label:34s}{len(faces.samples):6d}{faces.nme():8.3f}"
        f"{faces.nme(image_shift=image_shift):10.3f}{faces.nme(face_shift=face_shift):10.3f}"
        f"   ({fitted_shift[0]:5.2f}, {fitted_shift[1]:5.2f})  {right:3.0f} %"
    )


def print_helen(samples: Sequence[Sample], label: str) -> None:
    """Print the distance between the eyes in Helen's and 300W's annotation of the same photos."""
    helen, joined = scheme("helen194"), scheme("ibug68_helen194")
    gaps = []
    for sample in samples:
        ibug, dense = sample.landmarks[:68], sample.landmarks[68:]
        first, second = OUTER_CORNERS
        norm = np.hypot(*(ibug[second] - ibug[first]))
        gap = eye_center(dense, helen.norm_points["interpupil"])
        gap = gap - eye_center(ibug, joined.norm_points["interpupil"])
        gaps.append(gap / norm)
    x, y = 100 * np.median(gaps, axis=0)
    left = 100 * (np.array(gaps)[:, 0] < 0).mean()
    print(
        f"{label:34s}{len(samples):6d}   ({x:5.2f}, {y:5.2f})  {left:3.0f} % to the left"
    )


def eye_center(landmarks: Array, groups: tuple[tuple[int, ...], ...]) -> Array:
    """Return the midpoint between the mean points of both eyes."""
    centers = [landmarks[list(group)].mean(0) for group in groups]
    return np.asarray(np.mean(centers, axis=0))


def draw_eyes(faces: Faces, folder: Path) -> None:
    """Draw enlarged eyes of some faces: annotation green, prediction red."""
    folder.mkdir(parents=True, exist_ok=True)
    step = len(faces.samples) // DRAWN_FACES
    for number in range(DRAWN_FACES):
        face = number * step
        image = faces.samples[face].read()
        box = landmark_box(faces.truth[face, EYES])
        margin = 0.15 * (box[2] - box[0])
        scale = DRAWN_WIDTH / (box[2] - box[0] + 2 * margin)
        origin = box[:2] - margin
        affine = np.column_stack([scale * np.eye(2), -scale * origin])
        height = round(scale * (box[3] - box[1] + 2 * margin))
        canvas = cv2.warpAffine(
            image[..., ::-1], affine, (DRAWN_WIDTH, height), flags=cv2.INTER_CUBIC
        )
        for landmarks, color in ((faces.truth, TRUTH), (faces.pred, PREDICTION)):
            for point in apply_affine(affine, landmarks[face, EYES]):
                place = (int(point[0]), int(point[1]))
                cv2.drawMarker(canvas, place, color, cv2.MARKER_CROSS, 18, 2)
        cv2.imwrite(str(folder / f"{number}.png"), canvas)
    print(f"eyes of {DRAWN_FACES} validation faces -> {folder}")


def main() -> None:
    """Print the shift and its effect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="accurate")
    parser.add_argument("--flip", action="store_true")
    parser.add_argument(
        "--draw", type=Path, help="folder for images of ten enlarged pairs of eyes"
    )
    options = parser.parse_args()
    root = data_root() / "300w"
    names = refitted_names(root)
    samples = read_300w(root, "train")
    kept = [
        s for s in samples if not (s.subset[:5] == "helen" and s.image.stem in names)
    ]
    predictor = Predictor(options.model, threads=1, flip=options.flip)
    training = Faces(predictor, [s for s in kept if not s.is_validation()][::EVERY])
    shift, face_shift = training.image_shift(), training.face_shift()
    x, y = 100 * shift
    print(
        f"shift in % of the eye distance: ({x:.3f}, {y:.3f}) along x and y of the image,"
    )
    x, y = 100 * face_shift
    print(f"({x:.3f}, {y:.3f}) along the axes of the upright face")
    five = Predictor(options.model, scheme="five", threads=1, flip=options.flip)
    x, y = 100 * np.median(five_gaps(five, training.samples).mean(1), axis=0)
    print(f"five points, % of the distance of the eye centers: ({x:.3f}, {y:.3f})\n")
    print(
        f"{'NME %':34s} faces   plain     image      face   own shift      to the right"
    )
    print_errors("training faces of the fit", training, shift, face_shift)
    old = Faces(predictor, [s for s in kept if s.is_validation()])
    print_errors("validation, not refitted", old, shift, face_shift)
    every = Faces(predictor, [s for s in samples if s.is_validation()])
    print_errors("validation, all", every, shift, face_shift)
    print(
        "\nHelen's own 194 points, its eyes less those of 300W, % of the eye distance"
    )
    dense = [s for s in read_helen194(root, "both") if not s.is_validation()]
    print_helen(dense, "training faces")
    original = [s for s in dense if s.image.stem not in names]
    print_helen(original, "of these, not refitted")
    if options.draw:
        draw_eyes(old, options.draw)


if __name__ == "__main__":
    main()
