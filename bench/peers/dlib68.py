"""Run dlib's regression trees (Kazemi and Sullivan 2014), 68 points, from Debian's libdlib-data.

Debian states CC0 for the file. Its author states that it was trained on 300W, whose terms exclude
commercial use, but not on which faces: its errors on 300W are a lower bound.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import dlib
import numpy as np
from contract import serve
from roi import square

SIDE, DOWN = 1.15, -0.1


def rectangle(box: Sequence[float]) -> dlib.rectangle:
    """Return the predictor's input square, in integer pixels."""
    x, y, side = square(box, SIDE, DOWN)
    return dlib.rectangle(
        *(round(v) for v in (x - side / 2, y - side / 2, x + side / 2, y + side / 2))
    )


class Dlib:
    """dlib's predictor on a given box."""

    scheme = "ibug68"
    batching = (
        "no batch; 2 Python threads, which take turns: "
        "the binding holds the interpreter lock"
    )

    def __init__(self, model: str) -> None:
        self.version = f"dlib {dlib.__version__}"
        self.predictor = dlib.shape_predictor(model)

    def points(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
        return np.array(
            [(p.x, p.y) for p in self.predictor(image, rectangle(box)).parts()],
            dtype=float,
        )

    def network(self, image: np.ndarray, box: Sequence[float]) -> Callable[[], object]:
        where = rectangle(box)
        return lambda: self.predictor(image, where)

    def batch(
        self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]
    ) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.points, images, boxes))


if __name__ == "__main__":
    serve(lambda arguments: Dlib(*arguments))
