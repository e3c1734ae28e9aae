"""Images predicted by processes of this machine, in the order given."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from ...errors import InputError
from ...face import Faces
from ...io.input_images import InputImage, Predict, Predicted, predict_images
from .processes import MAX_TRIES, process_tasks

IMAGES_AT_ONCE = 8
"""Images per task: some tenths of a second, against which handing it over is nothing."""


@dataclass(frozen=True)
class BatchWorker:
    """Predicts the faces of a few images. Can be pickled."""

    predict: Predict
    boxes: Mapping[str, ArrayLike] | None = None

    def __call__(self, images: tuple[InputImage, ...]) -> list[Faces | InputError]:
        """Return the faces of each image, or its error."""
        predicted = predict_images(self.predict, images, self.boxes)
        return [faces for _, _, faces in predicted]


def predict_in_processes(
    predict: Predict,
    images: Sequence[InputImage],
    boxes: Mapping[str, ArrayLike] | None,
    workers: int,
) -> Iterator[Predicted]:
    """Yield what `predict_images` does, without pixels, by a number of processes.

    Args:
        predict: Can be pickled; each process has its own copy.
    """
    tasks = []
    for start in range(0, len(images), IMAGES_AT_ONCE):
        tasks.append(tuple(images[start : start + IMAGES_AT_ONCE]))
    early: dict[tuple[InputImage, ...], list[Faces | InputError]] = {}
    upcoming = iter(tasks)
    task = next(upcoming, ())
    for done, results in process_tasks(BatchWorker(predict, boxes), tasks, workers):
        early[done] = _died(done) if results is None else results
        while task in early:
            for image, faces in zip(task, early.pop(task), strict=True):
                yield image, None, faces
            task = next(upcoming, ())


def _died(images: tuple[InputImage, ...]) -> list[Faces | InputError]:
    why = (
        f"{MAX_TRIES} processes died while working on it or its neighbors; check the "
        "free memory"
    )
    return [InputError(f"{image.path}: {why}") for image in images]
