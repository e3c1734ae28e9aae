"""Tracker: follows faces over video frames, with track ids and smoothed landmarks.

Independent of files and clocks: the same frames and times give the same faces.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..estimator import LandmarkModel
from ..face import Face, Faces
from ..geometry import Array, Image
from ..inference.acceptance import is_face
from ..inference.color_order import warn_of_bgr
from ..inference.face_landmarks import make_face
from ..inference.predictor import Predictor
from ..inference.recrop import first_crops
from ..inference.recurrent_state import RecurrentState
from ..io.image import image_loader, read_image
from ..schemes import scheme
from .association import (
    find_duplicates,
    is_plausible,
    is_same_box,
    match_lost,
    rotated_too_far,
)
from .filters import DEFAULT, Smoother
from .rules import RULES, TrackRules
from .scene_change import SceneChange
from .tracked_face import (
    BORDER,
    FaceObservation,
    TrackedFace,
    face_thumbnail,
    make_observations,
)

FRAME_S = 1 / 30
"""Time between frames without timestamps, seconds."""
Observations = dict[TrackedFace, FaceObservation]


class Tracker:
    """Track the faces in one video, frame by frame, with constant memory use.

    Each video needs its own tracker; trackers can share models. By default a single face is
    processed on one thread, because more would be slower, and several faces run in parallel
    on all cores.

    Args:
        model: Model as in Predictor, or a Predictor, whose rules the tracker follows.
        max_faces: Maximum number of faces to track; None: all.
        smooth: Temporal filter, "one-euro" or "kalman"; None: unfiltered landmarks.
        rules: Rules for detecting, confirming, losing and reacquiring faces.
        options: Other options of Predictor: detector, scheme, threads, workers, recrop,
            min_presence, min_landmark_score, flip, min_face, device.

    Raises:
        InputError: If a setting is out of range or options come with a Predictor.
        ModelError: If the model or detector cannot be used.
        SchemeError: If the scheme is unknown, or the landmarks cannot be converted to it.
    """

    def __init__(
        self,
        model: str | Path | LandmarkModel | Predictor = "fast",
        max_faces: int | None = None,
        smooth: str | None = DEFAULT,
        rules: TrackRules = RULES,
        **options: Any,
    ) -> None:
        if max_faces is not None and max_faces < 1:
            raise InputError(
                f"max_faces is {max_faces}; expected at least 1, or None for all"
            )
        if rules.detect_every < 1 or rules.detect_every_when_lost < 1:
            raise InputError(
                f"detect_every is {rules.detect_every} and detect_every_when_lost "
                f"{rules.detect_every_when_lost}; expected at least 1 frame each"
            )
        if not isinstance(model, Predictor):
            one_thread = {} if "threads" in options else {"threads": 1, "workers": 0}
            self.predictor = Predictor(model, **{**one_thread, **options})
        elif options:
            raise InputError(
                f"the options {', '.join(options)} belong to the Predictor, which is "
                "given; pass them to its constructor"
            )
        else:
            self.predictor = model
        self.max_faces, self.smooth, self.rules = max_faces, smooth, rules
        self._model_scheme = self.predictor.model.scheme
        # a tracked face already is upright: it is re-cropped if it moved far, but other angles are
        # not searched
        recrop = self.predictor.recrop
        self._recrop = None if recrop is None else replace(recrop, min_score=0.0)
        self._new_smoother()  # rejects an unknown filter early
        self.reset()

    def reset(self) -> None:
        """Forget all faces; the next frame is treated as the first of a video."""
        self._tracks: list[TrackedFace] = []
        self._next_id = 1
        self._since_detection = 0
        self._detect_now = True
        self._first = True
        self._time: float | None = None
        self._size: tuple[int, int] | None = None
        self._scene = SceneChange()

    def __call__(self, frame: Any, timestamp: float | None = None) -> Faces:
        """Track the faces in the next frame.

        Args:
            frame: Anything that `read_image` accepts. A frame of a different size starts a
                new scene.
            timestamp: Time of the frame in seconds, later than the last one; None: 1/30 s
                later.

        Returns:
            The faces, sorted by track id; in the first frame, all that the Predictor finds.

        Raises:
            InputError: If the timestamp is not after the last one.
            ImageError: If the frame cannot be read.
        """
        image = read_image(frame)
        dt = self._advance(timestamp)
        size = (image.shape[1], image.shape[0])
        if self._size != size:
            self._tracks, self._detect_now, self._first = [], True, True
        self._size = size
        for face in self._tracks:
            face.predict(dt, size)
        seen = self._follow(image, size)
        change = self._scene(image)
        if change > self.rules.flash_change:
            self._check_appearance(image, seen, is_cut=change > self.rules.cut_change)
        if self._is_detection_due():
            self._detect(image, seen)
        self._first = False
        self._update(image, seen, dt)
        confirmed = [face for face in seen if face.track_id]
        confirmed.sort(key=lambda face: face.track_id or 0)
        faces = tuple(self._to_face(face, seen[face]) for face in confirmed)
        scheme_name = self.predictor.scheme
        found = Faces(faces, scheme_name, len(scheme(scheme_name)), size)
        return warn_of_bgr(frame, image, found).with_image(image_loader(frame))

    def state(self) -> dict[str, Any]:
        """Return everything that the next frame depends on, as JSON values."""
        return {
            "tracks": [face.state() for face in self._tracks],
            "next_id": self._next_id,
            "since_detection": self._since_detection,
            "detect_now": self._detect_now,
            "first": self._first,
            "time": self._time,
            "size": self._size,
            "scene": self._scene.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the `state` of a tracker with the same model and settings."""
        self._tracks = [
            TrackedFace.restored(face, self._new_smoother()) for face in state["tracks"]
        ]
        self._next_id = state["next_id"]
        self._since_detection = state["since_detection"]
        self._detect_now = state["detect_now"]
        self._first, self._time = state["first"], state["time"]
        size = state["size"]
        self._size = None if size is None else (size[0], size[1])
        self._scene.restore(state["scene"])

    def _new_smoother(self) -> Smoother | None:
        return Smoother(self.smooth, self._model_scheme) if self.smooth else None

    def _advance(self, timestamp: float | None) -> float:
        """Update the time and return the seconds since the last frame."""
        last = self._time
        if timestamp is None:
            time = 0.0 if last is None else last + FRAME_S
        elif isinstance(timestamp, Real) and math.isfinite(timestamp):
            time = float(timestamp)
        else:
            raise InputError(
                f"the timestamp is {timestamp!r}; expected a finite number of seconds"
            )
        if last is not None and time <= last:
            raise InputError(
                f"the timestamp {time} does not come after {last}; give frames in order, "
                "or call reset()"
            )
        self._time = time
        return FRAME_S if last is None else time - last

    def _follow(self, image: Image, size: tuple[int, int]) -> Observations:
        """Run the model on each face at its predicted position, and drop implausible results."""
        followed = [face for face in self._tracks if not face.lost_s]
        requests = [self.predictor.crop_around(0, face.landmarks) for face in followed]
        state = self._recurrent_state(followed)
        found = self.predictor.predict_boxes([image], requests, self._recrop, state)
        # the threshold for a tracked face must not exceed that for a new one
        min_presence = min(self.rules.keep_presence, self.predictor.min_presence)
        min_score, seen = self.predictor.min_landmark_score, {}
        for face, observation in zip(followed, make_observations(found), strict=True):
            measured = (observation.presence, observation.score)
            present = is_face(*measured, min_presence, min_score)
            if present and is_plausible(face, observation, size, self.rules):
                seen[face] = observation
        for face in find_duplicates(seen, image, self.rules):
            seen.pop(face, None)
        self._detect_now |= len(seen) < len(followed)
        return seen

    @staticmethod
    def _recurrent_state(followed: list[TrackedFace]) -> RecurrentState | None:
        """Return the recurrent states of all faces; None if the model is not recurrent."""
        states = []
        for face in followed:
            if face.recurrent_state is not None:
                states.append(face.recurrent_state)
        if not states:
            return None
        maps = np.concatenate([state.maps for state in states])
        affines = np.concatenate([state.image_to_crop for state in states])
        return RecurrentState(maps, affines)

    def _check_appearance(self, image: Image, seen: Observations, is_cut: bool) -> None:
        """After a sudden change, lose the faces that look different, unless it is a flash."""
        for face, observation in list(seen.items()):
            if (
                not face.track_id
                or face.similarity(observation, image, BORDER)
                < self.rules.reid_similarity
            ):
                del seen[face]
                face.lost_at_cut = True
        for face in self._tracks:
            face.lost_at_cut |= is_cut and face not in seen
        self._detect_now, self._first = True, self._first or (is_cut and not seen)

    def _is_detection_due(self) -> bool:
        """Return True if the detector is due on this frame, and count the frame."""
        self._since_detection += 1
        every = self.rules.detect_every
        has_unsure = any(face.lost_s or not face.track_id for face in self._tracks)
        if not self._tracks or has_unsure:
            every = min(self.rules.detect_every_when_lost, every)
        due = self._detect_now or self._since_detection >= every
        if due:
            self._since_detection, self._detect_now = 0, False
        return due

    def _detect(self, image: Image, seen: Observations) -> None:
        """Run the detector: add new faces, and end tracks that it contradicts."""
        detections = self.predictor.detector(image)
        boxes = {face: observation.box for face, observation in seen.items()}
        same = np.zeros((len(detections), len(boxes)), bool)
        for row, box in enumerate(detections.boxes):
            same[row] = [is_same_box(box, known) for known in boxes.values()]
        for k, face in enumerate(boxes):
            self._judge(face, image, seen, detections.scores[same[:, k]])
        unknown = detections.take(~same.any(1))
        requests = first_crops(unknown, self.predictor.recrop, image.shape)
        found = self.predictor.predict_boxes([image], requests, self.predictor.recrop)
        observations = make_observations(found)
        new: list[FaceObservation] = []
        scores: list[float] = []
        for row in self.predictor.accepted_rows(found):
            box = observations[row].box
            is_known = any(is_same_box(box, known) for known in boxes.values())
            if not is_known and not self._has_rotated_too_far(observations[row], seen):
                new.append(observations[row])
                scores.append(float(unknown.scores[row]))
        self._add(image, new, scores, seen)

    def _has_rotated_too_far(
        self, observation: FaceObservation, seen: Observations
    ) -> bool:
        """Return True for a lost face at its position, rotated further than a head can."""
        for face in self._tracks:
            if face in seen or face.lost_at_cut:
                continue
            is_here = is_same_box(observation.box, face.box)
            if is_here and rotated_too_far(face, observation, self.rules):
                return True
        return False

    def _judge(
        self, face: TrackedFace, image: Image, seen: Observations, scores: Array
    ) -> None:
        """Confirm or end a track based on the scores (K,) of its detections."""
        rules = self.rules
        if not len(scores):
            face.hits = min(face.hits, 0) - 1
            kept = self._is_confident(seen[face], rules.keep_score)
            ended = face.hits <= -rules.max_misses and not kept
            if ended or not face.track_id:
                del seen[face]
            return
        face.score, face.hits = float(scores.max()), max(face.hits, 0) + 1
        passes = face.hits >= rules.min_hits and self._is_confident(
            seen[face], rules.confirm_score
        )
        is_confirmed = passes or self._is_accepted_at_once(seen[face], face.score)
        if is_confirmed and not face.track_id and not self._is_full(seen):
            returned = match_lost(self._lost(seen), [seen[face]], image, rules)
            if returned:
                face.track_id = returned[0].track_id
                self._tracks.remove(returned[0])
            else:
                self._assign_id(face)

    def _lost(self, seen: Observations) -> list[TrackedFace]:
        """Return the faces with a track id that are not in the current frame."""
        return [face for face in self._tracks if face not in seen and face.track_id]

    def _is_confident(self, seen: FaceObservation, min_score: float) -> bool:
        """Return True for a face with enough presence or, if unknown, mean landmark score."""
        limits = (self.predictor.min_presence, min_score)
        return is_face(seen.presence, seen.score, *limits)

    def _is_accepted_at_once(self, seen: FaceObservation, score: float) -> bool:
        """Return True if a new face needs no confirmation, by presence or, if unknown, score."""
        rules = self.rules
        return is_face(
            seen.presence, score, rules.new_face_presence, rules.new_face_score
        )

    def _is_full(self, seen: Observations) -> bool:
        """Return True if the maximum number of confirmed faces is tracked."""
        if self.max_faces is None:
            return False
        return sum(face.track_id is not None for face in seen) >= self.max_faces

    def _assign_id(self, face: TrackedFace) -> None:
        face.track_id = self._next_id
        self._next_id += 1

    def _add(
        self,
        image: Image,
        new: list[FaceObservation],
        scores: list[float],
        seen: Observations,
    ) -> None:
        """Start tracking newly detected faces, under their old track ids if they returned."""
        returned = match_lost(self._lost(seen), new, image, self.rules)
        for k, (observation, score) in enumerate(zip(new, scores, strict=True)):
            if self._is_full(seen):
                return
            face = returned.get(k)
            if face is None:
                appearance = face_thumbnail(image, observation.box)
                face = TrackedFace(None, observation.landmarks, score, appearance, None)
                self._tracks.append(face)
                if self._first or self._is_accepted_at_once(observation, score):
                    self._assign_id(face)
            face.reacquire(observation, score, self._new_smoother())
            seen[face] = observation

    def _update(self, image: Image, seen: Observations, dt: float) -> None:
        """Update the tracks, smooth the observations, and remove tracks lost for too long."""
        kept = []
        for face in self._tracks:
            if face in seen:
                seen[face] = face.update(seen[face], image, dt)
            else:
                face.miss(dt)
            if face.lost_s <= (self.rules.max_lost_s if face.track_id else 0):
                kept.append(face)
        self._tracks = kept

    def _to_face(self, face: TrackedFace, seen: FaceObservation) -> Face:
        return make_face(
            self._model_scheme,
            self.predictor.scheme,
            landmarks=seen.landmarks,
            scores=seen.scores,
            sigma_px=seen.sigma_px,
            presence=seen.presence,
            visible=seen.visible,
            box=seen.box,
            score=face.score,
            track_id=face.track_id,
            attributes=seen.attributes,
            never_learned=self.predictor.never_learned,
        )
