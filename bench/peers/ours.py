"""Run Lineament's landmark stage in a given box: crop, model, mapping back to the image."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from lineament.crop import crop_boxes, warp_all
from lineament.geometry import apply_affine, crop_affine, invert_affine
from lineament.inference.registry import load_model

sys.path.insert(0, str(Path(__file__).parent))
from contract import serve


class Ours:
    """The model `name` on a given box, without re-cropping."""

    batching = "one call of 64, crops warped by 2 threads, ONNX Runtime with 2 threads"

    def __init__(self, name: str) -> None:
        cv2.setNumThreads(1)
        self.name = name
        self.one = load_model(name, threads=1)
        self.version = f"lineament {version('lineament')}"
        self.scheme = self.one.scheme

    def points(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
        crops, affines = crop_boxes(image, [box], self.one.size, self.one.padding)
        return apply_affine(
            invert_affine(affines[0]), self.one.predict(crops).landmarks_crop[0]
        )

    def network(self, image: np.ndarray, box: Sequence[float]) -> Callable[[], object]:
        crops, _ = crop_boxes(image, [box], self.one.size, self.one.padding)
        return lambda: self.one.predict(crops)

    def batch(
        self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]
    ) -> None:
        model = load_model(self.name, threads=2)
        affines = [crop_affine(box, model.size, model.padding) for box in boxes]
        crops = warp_all(images, affines, model.size, threads=2)
        for affine, landmarks in zip(
            affines, model.predict(crops).landmarks_crop, strict=True
        ):
            apply_affine(invert_affine(affine), landmarks)


if __name__ == "__main__":
    serve(lambda arguments: Ours(*arguments))
