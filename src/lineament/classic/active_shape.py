"""Active shape model: a search per landmark, regularized by a shape model.

Source: Cootes, Taylor, Cooper, Graham 1995; Milborrow, Nicolls 2014 (gradient descriptors in two
dimensions).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..estimator import CropLandmarks
from .numpy_model import NumpyModel
from .profiles import Discriminant, LineProfiles, Mahalanobis, PatchProfiles, Profiles
from .pyramid import from_level, gray_crops, level_scale, shrink, to_level
from .shape_model import ShapeModel
from .shapes import Arrays, Shapes, from_complex, to_complex
from .uncertainty import Uncertainty

CHUNK = 8
"""Crops searched at once, to limit memory."""
DONE = 0.05
"""Convergence threshold: mean step of the landmarks, pixels of the level."""
PROFILE_ARRAYS = {"line": ("means", "whitening"), "patch": ("weights", "offsets")}
"""Arrays of a level by the setting `profile`."""


class ActiveShape(NumpyModel):
    """Move each landmark to the best-matching position nearby, level by level.

    Settings: profile ("line" or "patch"), levels, rounds, reach, cell, search, limit, noise.

    Arrays:
        start: (N, 2), initial shape, pixels of the crop.
        shape.*: Arrays of the shape model.
        t.*: PROFILE_ARRAYS of level t; 0 is the coarsest.
    """

    kind = "active-shape"

    def __init__(self, settings: dict[str, Any], arrays: Arrays) -> None:
        """Unpack the arrays.

        Raises:
            ModelError: If one is missing.
        """
        super().__init__(settings, arrays)
        self.matchers: list[Mahalanobis | Discriminant] = []
        try:
            self.start = to_complex(arrays["start"])
            self.shape_model = ShapeModel.read(arrays)
            self.levels: int = settings["levels"]
            names = PROFILE_ARRAYS[settings["profile"]]
            for level in range(settings["step"]):
                level_arrays = [arrays[f"{level}.{name}"] for name in names]
                is_line = settings["profile"] == "line"
                self.matchers.append(
                    Mahalanobis(*level_arrays)
                    if is_line
                    else Discriminant(*level_arrays)
                )
            self.profiles = self.make_profiles(settings["search"])
        except KeyError as error:
            raise ModelError(
                f"the active shape model {self.name!r} lacks {error}; train it again"
            ) from error
        self.uncertainty = Uncertainty.read(self.settings)

    def make_profiles(self, search: int) -> Profiles:
        """Return the model's profiles for a search of `search` pixels to each side."""
        if self.settings["profile"] == "line":
            return LineProfiles(self.scheme, self.settings["reach"], search)
        return PatchProfiles(self.settings["cell"], search)

    def predict_crops(self, crops: NDArray[np.uint8]) -> CropLandmarks:
        """Return the landmarks; sigma grows with the distance of matches from the shape model."""
        shapes, misfits, _ = self.search(gray_crops(crops))
        return self.uncertainty(from_complex(shapes), misfits**2)

    def count_rounds(self, crops: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the number of rounds (F,) over all levels until each crop's shape converges."""
        return self.search(gray_crops(crops))[2]

    def search(
        self, images: NDArray[np.uint8]
    ) -> tuple[Shapes, NDArray[np.float64], NDArray[np.intp]]:
        """Search in gray crops (F, S, S).

        Returns:
            Shapes (F, N); the distance (F, N) in pixels between each landmark and its best match;
            and the number of rounds (F,).
        """
        parts = []
        for start in range(0, len(images), CHUNK):
            parts.append(self._search(images[start : start + CHUNK]))
        shapes, misfits, rounds = zip(*parts, strict=True)
        return np.concatenate(shapes), np.concatenate(misfits), np.concatenate(rounds)

    def _search(
        self, images: NDArray[np.uint8]
    ) -> tuple[Shapes, NDArray[np.float64], NDArray[np.intp]]:
        shapes = np.tile(self.start, (len(images), 1))
        misfits = np.zeros(shapes.shape)
        rounds = np.zeros(len(images), np.intp)
        noise = self.settings.get("noise", 0.0)
        for level, matcher in enumerate(self.matchers):
            scale = level_scale(level, self.levels)
            small = shrink(images, scale)
            shapes = to_level(shapes, scale)
            moving = np.arange(len(images))
            for _ in range(self.settings["rounds"]):
                before = shapes[moving]
                matched = self._match(small[moving], before, matcher)
                after = self.shape_model.plausible(
                    matched, self.settings["limit"], noise / scale
                )
                shapes[moving] = after
                misfits[moving] = np.abs(after - matched) / scale
                rounds[moving] += 1
                moving = moving[np.abs(after - before).mean(1) > DONE]
                if not len(moving):
                    break
            shapes = from_level(shapes, scale)
        return shapes, misfits, rounds

    def _match(
        self,
        images: NDArray[np.uint8],
        shapes: Shapes,
        matcher: Mahalanobis | Discriminant,
    ) -> Shapes:
        """Return the best-matching position (F, N) of each landmark."""
        axes = self.profiles.axes(shapes, self.shape_model.mean)
        features = self.profiles.read(images, shapes, axes)
        best = matcher.distances(features).argmin(-1)
        return np.asarray(shapes + axes * self.profiles.candidates()[best])
