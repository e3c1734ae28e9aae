"""Match found boxes with true boxes by their overlap, each at most once; depends on geometry."""

import numpy as np
from numpy.typing import ArrayLike

from ..geometry import iou


def match_boxes(
    truth: ArrayLike, found: ArrayLike, min_iou: float, scores: ArrayLike | None = None
) -> list[tuple[int, int]]:
    """Return pairs (index in `truth`, index in `found`), each box in at most one pair.

    Greedy: the pair of greatest IoU first. With scores, found boxes choose in descending score,
    each the free true box it overlaps most, as detection benchmarks do. Ties keep the order given.

    Args:
        truth: Annotated boxes, (F, 4), pixels.
        found: Predicted boxes, (G, 4), pixels, same image.
        min_iou: Least IoU of a pair, > 0.
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
