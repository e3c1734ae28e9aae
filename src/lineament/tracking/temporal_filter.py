"""TemporalFilter: the interface of filters over time, with their stored state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

MIN_NOISE = 1e-6


class TemporalFilter(ABC):
    """Filter M values of D dimensions each, sample by sample."""

    arrays: ClassVar[tuple[str, ...]]
    """Names of the arrays kept from sample to sample; each is None before the first."""

    def __init__(self) -> None:
        self.restore(dict.fromkeys(self.arrays))

    @abstractmethod
    def __call__(
        self, values: NDArray[np.float64], noise: NDArray[np.float64], dt: float
    ) -> NDArray[np.float64]:
        """Filter the next sample.

        Args:
            values: (M, D).
            noise: Standard deviation of each value, (M,).
            dt: Seconds since the last sample.

        Returns:
            The filtered values, (M, D).
        """

    @abstractmethod
    def rescale(self, factors: NDArray[np.float64]) -> None:
        """Change the units: values become `factors` (M,) times as large."""

    def state(self) -> dict[str, Any]:
        """Return all that the next sample depends on, as JSON values."""
        kept = {name: getattr(self, name) for name in self.arrays}
        state: dict[str, Any] = {}
        for name, array in kept.items():
            state[name] = None if array is None else array.tolist()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        for name in self.arrays:
            kept = state[name]
            setattr(self, name, None if kept is None else np.array(kept, np.float64))
