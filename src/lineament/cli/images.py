"""Loop over images and their faces, shared by the commands `draw` and `align`."""

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


def names_file(out: Path) -> bool:
    """Return True if `out` names a file to write, not a folder."""
    return bool(out.suffix) and not out.is_dir()


def each_image(
    paths: list[str],
    predictor: "Callable[[], Predictor]",
    boxes: Any,
    each: "Each",
    out: Path,
    single_file: bool,
) -> None:
    """Call `each` with every image, its faces and a function to save with; report failures.

    Args:
        predictor: Creates the predictor; called if there is at least one image.
        single_file: Whether `out` is a file instead of a folder.
    """
    from ..errors import InputError
    from ..io.input_images import FailedInput, find_inputs, predict_images

    images, failures = find_inputs(paths, out)
    total = len(images) + len(failures)
    if single_file and total > 1:
        raise typer.BadParameter(
            f"--out {out} is one file for {total} images; give a folder"
        )
    image_boxes = known_boxes(boxes, images) if images else None
    predict = predictor() if images else None
    save = _saver({image.path.resolve() for image in images})
    with progress_bar("images", len(images)) as step:
        for image, pixels, faces in (
            predict_images(predict, images, image_boxes) if predict else ()
        ):
            try:
                if isinstance(faces, InputError):
                    raise faces
                assert pixels is not None  # missing only with an error
                each(image, pixels, faces, save)
            except (InputError, OSError) as error:
                failures.append(FailedInput(str(image.path), str(error)))
            step()
    report_failures(failures, total)


def _saver(inputs: set[Path]) -> "Save":
    """Return a function that saves an image but refuses to overwrite any of `inputs`."""
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
