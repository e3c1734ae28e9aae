"""Print NME and crops per face of several re-crop policies on the validation faces of 300W.

Usage: LINEAMENT_DATA=../shared/data python -m bench.choose_recrop [MODEL]
"""

import argparse
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from lineament.data.readers.w300 import read_300w
from lineament.data.sample import Sample, data_root
from lineament.estimator import CropLandmarks
from lineament.evaluation.metrics import nme, norm_length
from lineament.evaluation.protocols import MATCH_IOU
from lineament.geometry import Array, apply_affine, box_side, iou, landmark_box
from lineament.inference.face_detector import packaged_detector
from lineament.inference.predictor import Predictor, RecropPolicy
from lineament.inference.registry import load_model
from lineament.schemes import scheme

Case = tuple[np.ndarray, Array, Array]  # image, true landmarks, input box


class CountingModel:
    """A model that counts the crops it processes."""

    def __init__(self, name: str) -> None:
        self.inner, self.crops = load_model(name, threads=1), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def predict(self, crops: np.ndarray) -> CropLandmarks:
        self.crops += len(crops)
        return self.inner.predict(crops)


def plain(sample: Sample, rng: np.random.Generator) -> Case:
    return sample.read(), sample.landmarks, sample.face_box()


def shifted(sample: Sample, rng: np.random.Generator) -> Case:
    angle = rng.uniform(0, 2 * np.pi)
    offset = (
        0.1 * box_side(sample.face_box()) * np.array([np.cos(angle), np.sin(angle)])
    )
    return sample.read(), sample.landmarks, sample.face_box() + np.tile(offset, 2)


def scaled(sample: Sample, rng: np.random.Generator) -> Case:
    box = sample.face_box()
    center, half = (
        (box[:2] + box[2:]) / 2,
        (box[2:] - box[:2]) / 2 * rng.choice([0.8, 1.25]),
    )
    return (
        sample.read(),
        sample.landmarks,
        np.concatenate([center - half, center + half]),
    )


def rolled(sample: Sample, rng: np.random.Generator) -> Case:
    image = sample.read()
    height, width = image.shape[:2]
    affine = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), rng.uniform(-180, 180), 1.0
    )
    landmarks = apply_affine(affine, sample.landmarks)
    return (
        cv2.warpAffine(image, affine, (width, height)),
        landmarks,
        landmark_box(landmarks),
    )


def detected(sample: Sample, rng: np.random.Generator) -> Case:
    image, box = sample.read(), sample.face_box()
    detections = packaged_detector(1, None)(image).boxes
    overlaps = iou(box[None], detections)[0]
    if overlaps.max(initial=0.0) >= MATCH_IOU:
        box = detections[overlaps.argmax()]
    return image, sample.landmarks, box


CASES: dict[str, Callable[[Sample, np.random.Generator], Case]] = {
    "plain": plain,
    "detected": detected,
    "shift 10 %": shifted,
    "scale 0.8/1.25": scaled,
    "any roll": rolled,
}
POLICIES: dict[str, RecropPolicy | None] = {
    "never": None,
    "min_score 0.5, max_box_error 0.15": RecropPolicy(0.5, 25, 0.15),
    "min_score 0.7, max_box_error 0.15": RecropPolicy(0.7, 25, 0.15),
    "min_score 0.8, max_box_error 0.15": RecropPolicy(0.8, 25, 0.15),
    "min_score 0.7, max_box_error 0.1": RecropPolicy(0.7, 25, 0.1),
    "min_score 0.7, max_box_error 0.08": RecropPolicy(0.7, 25, 0.08),
    "min_score 0.7, max_box_error 0.06": RecropPolicy(0.7, 25, 0.06),
    "min_score 0.7, max_roll_deg 15": RecropPolicy(0.7, 15, 0.15),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="accurate")
    parser.add_argument("--data")
    options = parser.parse_args()
    samples = [
        s
        for s in read_300w(data_root(options.data) / "300w", "train")
        if s.is_validation()
    ]
    eyes = scheme("ibug68").norm_points["interocular"]
    print(f"{options.model}, {len(samples)} validation faces: NME % (crops per face)")
    print(f"{'policy':32s}" + "".join(f"{case:>20s}" for case in CASES))
    for name, policy in POLICIES.items():
        cells = []
        for case in CASES.values():
            model, rng = CountingModel(options.model), np.random.default_rng(7)
            predictor = Predictor(model, lambda image: np.zeros((0, 4)), recrop=policy)
            errors = []
            for sample in samples:
                image, truth, box = case(sample, rng)
                predicted = predictor(image, [box])[0].landmarks
                errors.append(
                    nme(predicted, truth, norm_length("interocular", truth, eyes))
                )
            cells.append(
                f"{100 * np.mean(errors):.3f} ({model.crops / len(samples):.2f})"
            )
        print(f"{name:32s}" + "".join(f"{cell:>20s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
