"""The command line for tests, in this process or another, and a fake predictor."""

import subprocess
import sys

import numpy as np
from typer.testing import CliRunner

from lineament.cli import app
from lineament.errors import ModelError
from lineament.face import Face, Faces
from lineament.schemes import scheme as scheme_called

chosen = {}  # arguments of the last FakePredictor


class FakePredictor:
    """A fake Predictor: one face in every image that is not black, or one per given box."""

    def __init__(
        self,
        model="accurate",
        detector="default",
        scheme=None,
        threads=0,
        flip=False,
        **others,
    ):
        chosen.clear()
        chosen.update(detector=detector, flip=flip, **others)
        if model == "broken":
            raise ModelError("unknown model 'broken'; choose one of accurate,\nfast")
        self.scheme = scheme or "ibug68"

    def __call__(self, images, boxes=None):
        if not isinstance(images, list):
            return self([images], None if boxes is None else [boxes])[0]
        return [
            self.find(image, None if boxes is None else boxes[i])
            for i, image in enumerate(images)
        ]

    def find(self, image, boxes):
        count = len(scheme_called(self.scheme))
        if boxes is None:
            boxes = [[10, 10, 40, 40]] if image.any() else []
        made = []
        for box in np.asarray(boxes, dtype=float).reshape(-1, 4):
            points = np.column_stack(
                [np.linspace(box[0], box[2], count), np.linspace(box[1], box[3], count)]
            )
            made.append(
                Face(
                    points,
                    np.full(count, 0.9),
                    np.full(count, 1.5),
                    box,
                    0.75,
                    self.scheme,
                )
            )
        return Faces(tuple(made), self.scheme, count, (image.shape[1], image.shape[0]))


def call(*words):
    """Run `lineament words...` in this process; return exit code, standard output and error."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def run(*words, **options):
    """Run `lineament words...` in another process; return the completed process."""
    command = [sys.executable, "-m", "lineament", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, **options
    )
