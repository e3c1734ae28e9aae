"""The models offered by a server, each loaded once, and predictors that use them."""

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, ModelError, did_you_mean
from ..estimator import LandmarkModel
from ..geometry import Image
from ..inference.device import CPU
from ..inference.face_detector import FaceDetector, packaged_detector
from ..inference.min_face import parse_min_face
from ..inference.model_files import read_card
from ..inference.predictor import Predictor
from ..schemes import scheme_names

KEPT_PREDICTORS = 64
"""Maximum number of cached predictors; they share models and detectors, so each is small."""


class ServedModels:
    """Landmark models by name. Thread-safe.

    Args:
        names: Names of packaged models, or files; the first one is the default.
        max_pixels: Maximum number of pixels processed in a search for small faces.
        device: Device to run the models on.

    Raises:
        ModelError: If one cannot be loaded, or two have the same name.
    """

    def __init__(
        self, names: Sequence[str], max_pixels: int, device: str = CPU
    ) -> None:
        # imported here so that importing the server does not import the inference code
        from ..inference.registry import load_model

        self.max_pixels, self.device = max_pixels, device
        self._models: dict[str, LandmarkModel] = {}
        for name in names:
            model = load_model(name, threads=1, device=device)
            if self._models.setdefault(model.name, model) is not model:
                raise ModelError(
                    f"two models are called {model.name!r}; rename one, as requests "
                    "choose models by name"
                )
        if not self._models:
            raise ModelError("no model is given; expected at least one, such as fast")
        self.default = next(iter(self._models))
        self.predictor = lru_cache(KEPT_PREDICTORS)(self._predictor)

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def get(self, name: str | None) -> LandmarkModel:
        """Return the model with the given name, or the default one.

        Raises:
            InputError: If there is no such model.
        """
        model = self._models.get(name or self.default)
        if model is None:
            hint = did_you_mean(str(name), self._models)
            raise InputError(f"unknown model {name!r}; {hint}")
        return model

    def _predictor(
        self, name: str | None, scheme: str | None, min_face: str | None
    ) -> Predictor:
        """Return a predictor; `scheme` must be a name, not a file path.

        Raises:
            InputError: If a name is unknown, or `min_face` is not a valid size.
            SchemeError: If the model's landmarks cannot be converted to the scheme.
        """
        model = self.get(name)
        if scheme is not None and scheme not in scheme_names():
            hint = did_you_mean(scheme, scheme_names())
            raise InputError(f"unknown scheme {scheme!r}; {hint}")
        if min_face is None:
            return Predictor(model, scheme=scheme, threads=1, device=self.device)
        detector = self._detector(model, parse_min_face(min_face))
        return Predictor(model, scheme=scheme, threads=1, detector=detector)

    def _detector(self, model: LandmarkModel, min_face: float) -> "LimitedDetector":
        proposals = bool(getattr(model, "predicts_presence", False))
        # a copy shares the network, so any number of sizes can be requested
        detector = copy(packaged_detector(1, None, proposals, self.device))
        detector.min_face = min_face
        return LimitedDetector(detector, self.max_pixels)

    def describe(self, model: LandmarkModel) -> dict[str, Any]:
        """Return the properties of a model listed by /v1/models."""
        path = getattr(model, "path", None)
        card = read_card(Path(path)) if path is not None else {}
        return {
            "name": model.name,
            "default": model.name == self.default,
            "scheme": str(model.scheme),
            "points": model.points,
            "crop_px": model.size,
            "license": card.get("license"),
        }

    def warm_up(self) -> None:
        """Run every model once, with and without the detector, on a gray image."""
        image = np.full((480, 640, 3), 127, np.uint8)
        for name in self._models:
            predictor = self.predictor(name, None, None)
            predictor(image)
            predictor(image, [[200.0, 120.0, 440.0, 360.0]])


class LimitedDetector:
    """A detector with `min_face` that rejects searches over too many pixels."""

    def __init__(self, detector: FaceDetector, max_pixels: int) -> None:
        self.detector, self.max_pixels = detector, max_pixels

    def __call__(self, image: Image) -> Any:
        """Detect the faces in an RGB image.

        Raises:
            InputError: If `min_face` is too small for the image.
        """
        plan = self.detector.plan(image.shape)
        pixels = image.shape[0] * image.shape[1]
        searched = sum(scale**2 for scale in (plan.entire, *plan.tiled)) * pixels
        if searched > self.max_pixels:
            raise InputError(
                f"min_face would search {searched / 1e6:.0f} million pixels, more than "
                f"{self.max_pixels / 1e6:.0f}; give a larger min_face or a smaller image"
            )
        return self.detector(image)
