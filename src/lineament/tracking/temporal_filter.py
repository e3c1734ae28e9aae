"""TemporalFilter: interface of filters over time, including their serialized state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

MIN_NOISE = 1e-6


class TemporalFilter(ABC):
    """A filter of M values with D dimensions each, applied sample by sample."""

    arrays: ClassVar[tuple[str, ...]]
    """Names of the arrays that hold the state; each is None before the first sample."""

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
        """Change the units: values are multiplied by `factors` (M,)."""

    def state(self) -> dict[str, Any]:
        """Return everything that the next output depends on, as JSON values."""
        arrays = {name: getattr(self, name) for name in self.arrays}
        state: dict[str, Any] = {}
        for name, array in arrays.items():
            state[name] = None if array is None else array.tolist()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a stored `state`."""
        for name in self.arrays:
            array = state[name]
            setattr(self, name, None if array is None else np.array(array, np.float64))
