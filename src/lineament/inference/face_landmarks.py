"""FaceLandmarks: predictions for the faces of a call, mapped back to their images."""

from typing import NamedTuple

from ..geometry import Array
from .recurrent_state import RecurrentState


class FaceLandmarks(NamedTuple):
    """Landmarks of F faces in the model's scheme."""

    landmarks: Array
    """(F, N, 2), pixels of each face's image."""
    scores: Array
    """(F, N) in [0, 1]."""
    sigma_px: Array
    """(F, N), pixels of the image."""
    recurrent_state: RecurrentState | None = None
    """State for the next frame; None if the model is not recurrent."""

    def replace_row(self, row: int, other: "FaceLandmarks", k: int) -> None:
        """Overwrite face `row` with face `k` of `other`, in place."""
        self.landmarks[row] = other.landmarks[k]
        self.scores[row], self.sigma_px[row] = other.scores[k], other.sigma_px[k]
        if self.recurrent_state is not None and other.recurrent_state is not None:
            self.recurrent_state.maps[row] = other.recurrent_state.maps[k]
            maps = other.recurrent_state.image_to_crop
            self.recurrent_state.image_to_crop[row] = maps[k]
