"""Predictor: detects the faces in images, crops them, and predicts their landmarks.

The faces of all images of a call share batches; results are independent of each other.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ModelError, ShapeError
from ..estimator import CropRequest, LandmarkModel
from ..face import Faces
from ..geometry import Array, Image
from ..io.image import Source, image_loader, read_image
from ..schemes import check_scheme
from ..schemes import scheme as load_scheme
from .acceptance import MIN_PRESENCE, keep_faces, min_score_for
from .box_shape import BoxShape
from .callable_detector import given_boxes, own_detector, scheme_of_detector
from .color_order import warn_of_bgr
from .crop_search import CropSearch
from .detections import Detections, Detector
from .device import CPU, check_device
from .face_detector import packaged_detector
from .face_landmarks import FaceLandmarks, check_conversion, make_face
from .flip import PredictCallable, flipped
from .min_face import parse_min_face
from .pretrained import find_folder, model_file, read_folder, save_folder
from .recrop import DEFAULT_RECROP, RecropPolicy, crop_around, first_crops
from .recurrent_state import RecurrentState
from .registry import load_model
from .run_crops import run_crops


class Predictor:
    """Find faces in images and predict their landmarks. Thread-safe and deterministic.

    Args:
        model: Name of a packaged model ("tiny", "fast", "accurate", ...), a file as in
            `load_model`, or any LandmarkModel. None: return the detector's own landmarks,
            each with the score of its detection and a sigma of nan.
        detector: "default", or any callable from an RGB image to boxes (F, 4), boxes with
            scores (F, 5), or Detections. Boxes must be tight, from the brows to the chin.
        scheme: Landmark scheme of the results; None: the model's own.
        threads: Threads of ONNX Runtime; 0: its default.
        recrop: When to re-crop faces, around their landmarks or at other angles; None: never.
        min_presence: Drop detections with a lower presence, if the model predicts it;
            faces in given boxes are always kept.
        min_landmark_score: Minimum mean landmark score, used instead if the model does
            not predict presence; None: 0.4, or the model's `low_score` if that is lower.
        flip: Average the predictions for each crop and its mirror image; doubles the work.
        workers: Parts of a batch to run in parallel, with `threads` each, for a model given
            by name or file; 0: one per core.
        min_face: Side of the smallest face to search for, with the default detector: 40 or
            "40px" in pixels, 0.05 as a fraction of the image's longer side; None: its default.
        device: Device of the default detector and of a model given by name or file: "cpu",
            "cuda", "coreml", "openvino", "directml", or "auto", the first one that the
            installed ONNX Runtime supports.

    Raises:
        InputError: If `min_face` is not a size.
        ModelError: If the model, the detector or their combination is unusable, or a number
            is out of range.
        SchemeError: If the scheme is unknown, or the landmarks cannot be converted to it.
    """

    def __init__(
        self,
        model: str | Path | LandmarkModel | None = "accurate",
        detector: Literal["default"] | Callable[[Image], Any] = "default",
        scheme: str | None = None,
        threads: int = 0,
        recrop: RecropPolicy | None = DEFAULT_RECROP,
        min_presence: float = MIN_PRESENCE,
        min_landmark_score: float | None = None,
        flip: bool = False,
        workers: int = 1,
        min_face: float | str | None = None,
        device: str = CPU,
    ) -> None:
        for name, value in (("threads", threads), ("workers", workers)):
            if value < 0:
                raise ModelError(f"{name} is {value}; expected 0 or more")
        for name, limit in (
            ("min_presence", min_presence),
            ("min_landmark_score", min_landmark_score),
        ):
            if limit is not None and not 0 <= limit <= 1:
                raise ModelError(f"{name} is {limit}; expected 0 to 1")
        self.threads, self.recrop = threads, recrop
        self.device = check_device(device)
        self.min_presence, self.flip = min_presence, flip
        self.min_face = None if min_face is None else parse_min_face(min_face)
        self.detector: Detector = self._default_detector
        self._has_own_detector = detector != "default"
        if detector != "default":
            self.detector = own_detector(detector, min_face)
        elif model is None:  # its scheme is needed now
            self.detector = packaged_detector(
                threads, self.min_face, device=self.device
            )
        self._file: str | Path | None = getattr(model, "path", None)
        if isinstance(model, str | Path):
            self._file = model
            model = load_model(model, threads, workers, self.device)
        self._model = model
        self.min_landmark_score = min_score_for(model, min_landmark_score)
        if self._model is None:
            self._source = scheme_of_detector(self.detector, flip)
            origin, points = "the detector", len(load_scheme(self._source))
        else:
            self._source, points = self._model.scheme, self._model.points
            origin = f"model {self._model.name!r}"
            self.predict_crops: PredictCallable = self._model.predict
            if flip:
                self.predict_crops = flipped(self._model)
        self.scheme = check_scheme(scheme) if scheme else self._source
        self.never_learned: tuple[int, ...] = getattr(self._model, "never_learned", ())
        """Indices in the model's scheme of points without training examples."""
        self.box_shape = BoxShape(self._source, self.never_learned)
        check_conversion(origin, points, self._source, self.scheme)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, revision: str | None = None, **options: Any
    ) -> "Predictor":
        """Load a predictor saved by `save_pretrained`.

        Args:
            source: Its folder, or OWNER/NAME on the Hugging Face Hub (extra `hub`).
            revision: Branch, tag or commit on the Hub.
            options: Options of Predictor that replace the saved ones, or that are not
                saved: detector, threads, workers.

        Raises:
            ExtraError: If the source is on the Hub and the extra `hub` is not installed.
            ModelError: If the folder does not exist or cannot be used.
        """
        return cls(**{**read_folder(find_folder(source, revision)), **options})

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model, its card and the settings in the layout of the Hugging Face Hub.

        The folder holds config.json, model.onnx or model.safetensors, model.json and
        README.md, which is the model card. Threads and workers are not saved.

        Args:
            folder: Created if missing; an earlier predictor in it is replaced.

        Raises:
            ModelError: If the detector is not the default one, or the model has no file.
        """
        if self._has_own_detector:
            raise ModelError(
                "only the default detector can be saved; save a predictor without yours, and "
                "pass it when loading: from_pretrained(folder, detector=...)"
            )
        file = model_file(self._model, self._file)
        options = {
            "min_presence": self.min_presence,
            "min_landmark_score": self.min_landmark_score,
            "min_face": self.min_face,
            "flip": self.flip,
        }
        save_folder(Path(folder), file, self.scheme, self.recrop, options)

    @property
    def model(self) -> LandmarkModel:
        """The landmark model.

        Raises:
            ModelError: If the predictor has none.
        """
        if self._model is None:
            raise ModelError(
                "this predictor has no landmark model; give it one, e.g. 'fast'"
            )
        return self._model

    @property
    def predicts_presence(self) -> bool:
        """True if the model predicts whether a crop shows a face."""
        return bool(getattr(self._model, "predicts_presence", False))

    def _default_detector(self, image: Image) -> Detections:
        # opened at the first image without boxes, since known boxes need no detector
        detector = packaged_detector(
            self.threads, self.min_face, self.predicts_presence, self.device
        )
        return detector(image)

    @overload
    def __call__(self, images: Source, boxes: ArrayLike | None = None) -> Faces: ...
    @overload
    def __call__(
        self,
        images: list[Any] | tuple[Any, ...],
        boxes: Sequence[ArrayLike] | None = None,
    ) -> list[Faces]: ...
    def __call__(self, images: Any, boxes: Any = None) -> Faces | list[Faces]:
        """Find the faces in one image, or in each image of a list, and their landmarks.

        Args:
            images: Anything that `read_image` takes, or a list or tuple of such images.
            boxes: Tight boxes (F, 4) of one image, or one such array per image of a list,
                image pixels; then no detector runs.

        Returns:
            Faces, or a list of Faces: best first, or in the order of the given boxes.

        Raises:
            ImageError: If an image cannot be read.
            ShapeError: If a box is not finite, has no area or is outside its image.
            ModelError: If boxes are given to a predictor without a model.
        """
        if isinstance(images, list | tuple):
            if boxes is not None and len(boxes) != len(images):
                raise ShapeError(
                    f"{len(boxes)} sets of boxes for {len(images)} images; "
                    "expected one set per image"
                )
            return self._predict(images, boxes)
        return self._predict([images], None if boxes is None else [boxes])[0]

    def _predict(
        self, sources: Sequence[Any], boxes: Sequence[ArrayLike] | None
    ) -> list[Faces]:
        images = [read_image(source) for source in sources]
        results = []
        found = self._predict_images(images, boxes)
        for source, image, faces in zip(sources, images, found, strict=True):
            warn_of_bgr(source, image, faces, stacklevel=4)
            results.append(faces.with_image(image_loader(source)))
        return results

    def _predict_images(
        self, images: list[Image], boxes: Sequence[ArrayLike] | None
    ) -> list[Faces]:
        if self._model is None and boxes is None:
            return [self._detector_faces(image) for image in images]
        detections: list[Detections] = []
        requests: list[CropRequest] = []
        for index, image in enumerate(images):
            faces = self._detect(image, None if boxes is None else boxes[index])
            detections.append(faces)
            requests += first_crops(faces, self.recrop, image.shape, index)
        predicted = self.predict_boxes(images, requests, self.recrop)
        results, start = [], 0
        for image, faces in zip(images, detections, strict=True):
            part = predicted.take(slice(start, start + len(faces)))
            rows = self.accepted_rows(part) if boxes is None else range(len(faces))
            results.append(self._faces(image, faces, part, rows))
            start += len(faces)
        return results

    def accepted_rows(self, predicted: FaceLandmarks) -> list[int]:
        """Return the rows of one image that pass the predictor's thresholds."""
        return keep_faces(predicted, self.min_presence, self.min_landmark_score)

    def _detect(self, image: Image, boxes: ArrayLike | None) -> Detections:
        return self.detector(image) if boxes is None else given_boxes(boxes, image)

    def _detector_faces(self, image: Image) -> Faces:
        result = self.detector(image)
        assert result.landmarks is not None  # ensured by the scheme of the detector
        scores = np.repeat(result.scores[:, None], result.landmarks.shape[1], 1)
        unknown = np.full_like(scores, np.nan)
        arrays = (result.landmarks, scores, unknown, unknown[:, 0], unknown)
        return self._faces(image, result, FaceLandmarks(*arrays), range(len(result)))

    def _faces(
        self,
        image: Image,
        found: Detections,
        predicted: FaceLandmarks,
        rows: Sequence[int],
    ) -> Faces:
        """Return `rows` of the detections of one image as Faces."""
        faces = []
        for row in rows:
            face = make_face(
                self._source,
                self.scheme,
                landmarks=predicted.landmarks[row],
                scores=predicted.scores[row],
                sigma_px=predicted.sigma_px[row],
                presence=float(predicted.presence[row]),
                visible=predicted.visible[row],
                box=found.boxes[row],
                score=float(found.scores[row]),
                attributes=predicted.attributes_of(row),
                never_learned=self.never_learned,
            )
            faces.append(face)
        size = (image.shape[1], image.shape[0])
        return Faces(tuple(faces), self.scheme, len(load_scheme(self.scheme)), size)

    def predict_boxes(
        self,
        images: list[Image],
        requests: list[CropRequest],
        recrop: RecropPolicy | None,
        state: RecurrentState | None = None,
    ) -> FaceLandmarks:
        """Predict landmarks in the model's scheme, re-cropping some of the faces.

        Args:
            images: RGB images, (H, W, 3) each.
            requests: First crop of each face.
            recrop: When to re-crop; None: never.
            state: State of the same faces after the previous frame; re-crops start
                without it.
        """
        best = self.run_model(images, requests, state)
        if recrop is None:
            return best
        CropSearch(
            lambda crops: self.run_model(images, crops),
            requests,
            best,
            recrop.for_model(self.model),
            self.box_shape,
            [image.shape for image in images],
        ).run()
        return best

    def run_model(
        self,
        images: list[Image],
        requests: list[CropRequest],
        state: RecurrentState | None = None,
    ) -> FaceLandmarks:
        """Run the model once per face, without re-cropping; see `predict_boxes`."""
        return run_crops(
            self.model,
            self.predict_crops,
            images,
            requests,
            self.never_learned,
            self.threads,
            state,
        )

    def crop_around(self, image: int, landmarks: Array) -> CropRequest:
        """Return the upright crop around `landmarks`, (N, 2), image pixels, model's scheme."""
        points = self.box_shape.points(landmarks)
        return crop_around(image, points, self.box_shape.mean)


@cache
def _shared_predictor(model: str, scheme_name: str | None) -> Predictor:
    return Predictor(model, scheme=scheme_name)


def detect(
    image: Source,
    model: str = "accurate",
    scheme: str | None = None,
    boxes: ArrayLike | None = None,
) -> Faces:
    """Find the faces in one image and predict their landmarks; models are loaded once.

    Args:
        image: A path, bytes, a file object, a PIL image or an RGB array.
        model: Name of a packaged model, or a file as in `load_model`.
        scheme: Landmark scheme of the results; None: the model's own.
        boxes: Tight boxes (F, 4) of known faces, image pixels; then no detector runs.

    Returns:
        The faces, best first, or in the order of `boxes`.

    Raises:
        ImageError: If the image cannot be read.
        ModelError: If the model cannot be used.
        SchemeError: If the scheme is unknown, or the landmarks cannot be converted to it.
        ShapeError: If a box is not finite, has no area or is outside the image.
    """
    known = None if boxes is None else [boxes]
    return _shared_predictor(model, scheme)._predict([image], known)[0]
