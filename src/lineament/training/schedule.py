"""Learning rate by step: a linear warm-up, then a half cosine or steps."""

import math

from ..recipe import TrainSettings


def learning_rate(train: TrainSettings, step: int) -> float:
    """Return the rate at `step`, counted from 0.

    Source: Loshchilov and Hutter 2017, eq. 5, without restarts.
    """
    warm = min(1.0, (step + 1) / train.warmup) if train.warmup else 1.0
    progress = step / train.steps
    if train.schedule == "cosine":
        return train.lr * warm * 0.5 * (1 + math.cos(math.pi * progress))
    return (
        train.lr
        * warm
        * 0.1 ** sum(progress >= milestone for milestone in train.milestones)
    )
