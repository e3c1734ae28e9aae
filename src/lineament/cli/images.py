"""Run a command's work on each image and its faces; shared by draw and align."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .app import progress_bar, report_failures
from .options import known_boxes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..face import Faces
    from ..inference.predictor import Predictor
    from ..io.input_images import InputImage

    Save = Callable[[Path, NDArray[np.uint8]], None]
    Each = Callable[[InputImage, NDArray[np.uint8], Faces, Save], None]


def each_image(
    paths: list[str],
    predictor: "Callable[[], Predictor]",
    boxes: Any,
    each: "Each",
    out: Path,
    single_file: bool,
) -> None:
    """Call `each` with every image, its faces and a saving function; report failures.

    Args:
        predictor: Makes the predictor; called if there is an image.
        single_file: Whether `out` names one file, not a folder.
    """
    from ..errors import InputError
    from ..io.input_images import FailedInput, find_inputs, predict_images

    images, failures = find_inputs(paths, out)
    total = len(images) + len(failures)
    if single_file and total > 1:
        raise typer.BadParameter(
            f"--out {out} is one file for {total} images; give a folder"
        )
    known = known_boxes(boxes, images)
    predict = predictor() if images else None
    save = _saver({image.path.resolve() for image in images})
    with progress_bar("images", len(images)) as step:
        for image, pixels, faces in (
            predict_images(predict, images, known) if predict else ()
        ):
            try:
                if isinstance(faces, InputError):
                    raise faces
                assert pixels is not None  # only an error comes without them
                each(image, pixels, faces, save)
            except (InputError, OSError) as error:
                failures.append(FailedInput(str(image.path), str(error)))
            step()
    report_failures(failures, total)


def _saver(inputs: set[Path]) -> "Save":
    """Return a function that saves an image and refuses to overwrite one of `inputs`."""
    from ..analysis.draw import save_image
    from ..errors import DataError

    def save(target: Path, image: "NDArray[np.uint8]") -> None:
        if target.resolve() in inputs:
            raise DataError(
                f"{target} is an input image and would be overwritten; choose another --out"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        save_image(target, image)

    return save
