"""Prediction of images in local processes, with results in input order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from ...errors import InputError
from ...face import Faces
from ...io.input_images import InputImage, Predict, Predicted, predict_images
from .processes import MAX_TRIES, process_tasks

IMAGES_AT_ONCE = 8
"""Images per task: some tenths of a second of work, which makes the overhead negligible."""


@dataclass(frozen=True)
class BatchWorker:
    """Predicts the faces in a few images. Picklable."""

    predict: Predict
    boxes: Mapping[str, ArrayLike] | None = None

    def __call__(self, images: tuple[InputImage, ...]) -> list[Faces | InputError]:
        """Return the faces in each image, or its error."""
        predicted = predict_images(self.predict, images, self.boxes)
        return [faces for _, _, faces in predicted]


def predict_in_processes(
    predict: Predict,
    images: Sequence[InputImage],
    boxes: Mapping[str, ArrayLike] | None,
    workers: int,
) -> Iterator[Predicted]:
    """Yield the same as `predict_images`, without pixels, using several processes.

    Args:
        predict: Picklable; each process has its own copy.
    """
    tasks = []
    for start in range(0, len(images), IMAGES_AT_ONCE):
        tasks.append(tuple(images[start : start + IMAGES_AT_ONCE]))
    early: dict[tuple[InputImage, ...], list[Faces | InputError]] = {}
    upcoming = iter(tasks)
    task = next(upcoming, ())
    for done, results in process_tasks(BatchWorker(predict, boxes), tasks, workers):
        early[done] = _process_died_errors(done) if results is None else results
        while task in early:
            for image, faces in zip(task, early.pop(task), strict=True):
                yield image, None, faces
            task = next(upcoming, ())


def _process_died_errors(images: tuple[InputImage, ...]) -> list[Faces | InputError]:
    message = (
        f"{MAX_TRIES} processes died while working on it or its neighbors; check the "
        "free memory"
    )
    return [InputError(f"{image.path}: {message}") for image in images]
