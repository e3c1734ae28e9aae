"""Make a peer's square crop from the tight box of 68 landmarks; NumPy and OpenCV only.

Each peer's square was fitted to minimize its error on 200 training faces outside validation.
"""

from collections.abc import Sequence

import numpy as np


def square(
    box: Sequence[float], side: float, down: float
) -> tuple[float, float, float]:
    """Return center x, center y and side of a square around `box`.

    Its side is `side` times the longer box side; it is shifted down by `down` times that side.
    """
    x0, y0, x1, y1 = box
    longer = max(x1 - x0, y1 - y0)
    return (x0 + x1) / 2, (y0 + y1) / 2 + down * longer, side * longer


def warp_square(
    image: np.ndarray, center_x: float, center_y: float, side: float, size: int
) -> np.ndarray:
    """Return a square of `image`, (size, size, 3) uint8, sampled as in MediaPipe's graph.

    On the CPU, the graph treats pixel corners as centers, repeats border pixels and does not
    smooth. The mesh's error on 200 training faces is 3.40 % both with this function and with the
    graph, and 3.47 % with the half-pixel offset corrected.
    """
    import cv2

    scale = size / side
    offset = (size - scale) / 2
    matrix = np.array(
        [[scale, 0, offset - scale * center_x], [0, scale, offset - scale * center_y]]
    )
    return cv2.warpAffine(
        image,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
