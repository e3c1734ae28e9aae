"""One-to-one matching of predicted and true boxes by IoU; depends on geometry."""

import numpy as np
from numpy.typing import ArrayLike

from ..geometry import iou


def match_boxes(
    truth: ArrayLike, found: ArrayLike, min_iou: float, scores: ArrayLike | None = None
) -> list[tuple[int, int]]:
    """Return pairs (index in `truth`, index in `found`), each box in at most one pair.

    Greedy, highest IoU first. With scores, predicted boxes are matched in descending order of score
    to the free true box with the highest IoU, as in detection benchmarks. Ties keep their order.

    Args:
        truth: Annotated boxes, (F, 4), pixels.
        found: Predicted boxes, (G, 4), pixels, same image.
        min_iou: Minimum IoU of a pair, > 0.
        scores: Scores of `found`, (G,), or None.
    """
    overlap = iou(truth, found)
    turn = np.zeros(overlap.shape[1], np.intp)
    if scores is not None:
        turn[np.argsort(-np.asarray(scores), kind="stable")] = np.arange(len(turn))
    rows, columns = np.nonzero(overlap >= min_iou)
    order = np.lexsort((-overlap[rows, columns], turn[columns]))
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in matched and column not in taken:
            matched[row] = column
            taken.add(column)
    return list(matched.items())
