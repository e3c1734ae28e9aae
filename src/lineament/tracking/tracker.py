"""Frames of a video, in order -> Faces with track ids: found once, then followed by their own landmarks, smoothed.

Nothing here knows files or clocks: video.py brings the frames, and a tracker given the same frames says the same.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from numbers import Real
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..estimator import LandmarkModel
from ..face import Face, Faces
from ..geometry import Array, box_center, box_side, iou
from ..inference.predictor import DEFAULT_RECROP, FaceLandmarks, Predictor, first_crops
from ..inference.recurrent_state import Memory
from ..io.image import read_image
from ..schemes import scheme
from .filters import DEFAULT, Smoother
from .tracked_face import BORDER, Followed, Seen, look_of

FOLLOW = replace(DEFAULT_RECROP, min_score=0.0)
"""A face that is followed is cut again where it moved far, but no other angles are tried: it was upright before."""
THUMB = (24, 18)
"""Width and height of the small picture in which cuts are seen."""
PLAIN = 0.02
"""The least deviation of its colors, in parts of their range: what changes in a plain picture is noise."""


@dataclass(frozen=True)
class TrackRules:
    """When a face is followed, lost and found again. Lengths are in sides of its landmark box."""

    every: int = 15
    """Frames between two looks of the detector while all goes well."""
    search: int = 2
    """Frames between two looks while there is no face, or one was lost."""
    keep_s: float = 2.0
    """Seconds for which a lost face keeps its number."""
    jump: float = 0.6
    """No face moves farther between two frames."""
    grow: float = 1.4
    """No face changes its size by more between two frames."""
    apart: float = 0.25
    """Two faces whose landmarks are nearer in the mean are one face seen twice."""
    sure: float = 0.7
    """A new face of a lower score of the detector is doubtful: but in the first frame, not told until seen again."""
    proofs: int = 3
    """So many looks of the detector in a row, with landmarks of a mean score of `proof`, make a doubtful face sure."""
    proof: float = 0.8
    confirm: float = 0.7
    """A face that the detector no longer sees needs this mean score to stay."""
    missed: int = 2
    """So many looks of the detector without a face of a lower score end it."""
    alike: float = 0.85
    """Correlation of two small pictures from which they may show the same face wherever it is."""
    alike_near: float = 0.6
    """The same for a face near where it was lost; of different people's, 95 in 100 are below."""
    suspect: float = 0.12
    """Sudden mean change of a frame's colors, in parts of their deviation, at which faces have to look as before."""
    cut: float = 0.5
    """The same at which it is another scene: where faces were lost says nothing of where they are."""


RULES = TrackRules()


class Tracker:
    """Frames of one video, in order -> Faces with stable ids. Each video needs its own; models are shared.

    model: as for Predictor, or a Predictor.    faces: at most so many are followed, the most certain; None: all.
    smooth: a filter by name, one-euro or kalman; None: landmarks as measured.    rules: when faces are lost and found.
    options: detector, scheme, threads, workers, floor, recrop and flip of Predictor. By default one thread sees a face,
    as more are slower from frame to frame, and every core has its share of several faces.
    What it holds does not grow with the number of frames.    Raises: ModelError, SchemeError, InputError.
    """

    def __init__(
        self,
        model: str | Path | LandmarkModel | Predictor = "fast",
        faces: int | None = None,
        smooth: str | None = DEFAULT,
        rules: TrackRules = RULES,
        **options: Any,
    ) -> None:
        if faces is not None and faces < 1:
            raise InputError(f"faces is {faces}; wanted at least 1, or None for all")
        if rules.every < 1 or rules.search < 1:
            raise InputError(
                f"every is {rules.every} and search {rules.search}; wanted at least 1 frame each"
            )
        if isinstance(model, Predictor) and options:
            raise InputError(
                f"the options {', '.join(options)} are a Predictor's, and one was given; make it with them"
            )
        own = {} if "threads" in options else {"threads": 1, "workers": 0}
        self.predictor = (
            model if isinstance(model, Predictor) else Predictor(model, **{**own, **options})
        )
        self.faces, self.smooth, self.rules = faces, smooth, rules
        self._smoother()  # an unknown filter is refused here
        self.reset()

    def reset(self) -> None:
        """Forgets every face: the next frame is the first of a video."""
        self._tracks: list[Followed] = []
        self._next = 1
        self._since_look = 0
        self._look_now = True
        self._first = True
        self._time: float | None = None
        self._size: tuple[int, int] | None = None
        self._thumb: Array | None = None
        self._change = 0.0

    def __call__(self, frame: Any, timestamp: float | None = None) -> Faces:
        """The faces of the next frame, by track_id. Of the first frame they are those that the Predictor finds.

        frame: whatever `read_image` takes.    timestamp: in seconds, later than the last; None: 1/30 s later.
        A frame of another size starts anew.    Raises: InputError where time does not go on, ImageError.
        """
        image = read_image(frame)
        dt = self._step(timestamp)
        size = (image.shape[1], image.shape[0])
        if self._size != size:
            self._tracks, self._look_now, self._first = [], True, True
        self._size = size
        for track in self._tracks:
            track.go_on(dt, size)
        seen = self._follow(image)
        change = self._sudden_change(image)
        if change > self.rules.suspect:
            self._doubt(image, seen, change > self.rules.cut)
        if self._wants_look():
            self._look(image, seen)
        self._first = False
        for track in self._tracks:
            if track not in seen:
                track.miss(dt)
        self._tracks = [
            t for t in self._tracks if t.lost_s <= (self.rules.keep_s if t.number else 0)
        ]
        for track in self._tracks:
            if track in seen:
                seen[track] = track.take_in(seen[track], image, dt)
        told = sorted(
            (track for track in seen if track.number), key=lambda track: track.number or 0
        )
        faces = [self._face(track, seen[track]) for track in told]
        return Faces(tuple(faces), self.predictor.scheme, len(scheme(self.predictor.scheme)), size)

    def state(self) -> dict[str, Any]:
        """All that the next frame depends on, fit for JSON."""
        return {
            "tracks": [track.state() for track in self._tracks],
            "next": self._next,
            "since_look": self._since_look,
            "look_now": self._look_now,
            "first": self._first,
            "time": self._time,
            "size": self._size,
            "thumb": None if self._thumb is None else self._thumb.tolist(),
            "change": self._change,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave; model and settings have to be the same."""
        self._tracks = [Followed.restored(track, self._smoother()) for track in state["tracks"]]
        self._next, self._since_look, self._look_now = (
            state["next"],
            state["since_look"],
            state["look_now"],
        )
        self._first, self._time, self._change = state["first"], state["time"], state["change"]
        self._size = None if state["size"] is None else (state["size"][0], state["size"][1])
        self._thumb = None if state["thumb"] is None else np.array(state["thumb"], np.float64)

    def _smoother(self) -> Smoother | None:
        return Smoother(self.smooth, self.predictor.model.scheme) if self.smooth else None

    def _step(self, timestamp: float | None) -> float:
        """Seconds since the last frame."""
        last = self._time
        if timestamp is None:
            time = 0.0 if last is None else last + 1 / 30
        elif isinstance(timestamp, Real) and math.isfinite(timestamp):
            time = float(timestamp)
        else:
            raise InputError(f"the timestamp is {timestamp!r}; wanted seconds, as a number")
        if last is not None and time <= last:
            raise InputError(
                f"the timestamp {time} does not come after {last}; give frames in order, or call reset()"
            )
        self._time = time
        return 1 / 30 if last is None else time - last

    def _sudden_change(self, image: NDArray[np.uint8]) -> float:
        """How much of the picture changed, if far more than from frame to frame before, else 0."""
        step = max(
            min(image.shape[:2]) // 96, 1
        )  # averaging all pixels would take longer than the model
        small = cv2.resize(
            np.ascontiguousarray(image[::step, ::step]), THUMB, interpolation=cv2.INTER_AREA
        )
        thumb = np.asarray(small, np.float64) / 255
        # a change of exposure is no cut
        thumb -= thumb.mean((0, 1))
        thumb /= max(float(thumb.std()), PLAIN)
        change = 0.0 if self._thumb is None else float(np.abs(thumb - self._thumb).mean())
        sudden = change > 4 * self._change
        self._thumb = thumb
        self._change = 0.8 * self._change + 0.2 * change
        return change if sudden else 0.0

    def _doubt(self, image: NDArray[np.uint8], seen: dict[Followed, Seen], cut: bool) -> None:
        """Loses the faces that do not look the same after a sudden change; a flash or a fast pan changes no face."""
        for track in list(seen):
            if not track.number or track.alike(seen[track], image, BORDER) < self.rules.alike:
                del seen[track]
                track.cut_off = True
        for track in self._tracks:
            track.cut_off |= cut and track not in seen
        self._look_now, self._first = True, self._first or (cut and not seen)

    def _follow(self, image: NDArray[np.uint8]) -> dict[Followed, Seen]:
        """What the model says of each face that was there in the last frame, where it goes on."""
        followed = [track for track in self._tracks if not track.lost_s]
        cuts = [self.predictor.crop_around(0, track.landmarks) for track in followed]
        found = self.predictor.predict_boxes([image], cuts, FOLLOW, self._remembered(followed))
        seen = dict(zip(followed, Seen.all_of(found), strict=True))
        gone = [track for track in followed if not self._goes_on(track, seen[track])]
        for one, other in combinations([track for track in followed if track not in gone], 2):
            away = float(np.linalg.norm(seen[one].landmarks - seen[other].landmarks, axis=1).mean())
            if away < self.rules.apart * min(one.side, other.side):
                # both landed on the face in front: it keeps the number it fits better
                gone.append(
                    max((one, other), key=lambda track: track.strangeness(seen[track], image))
                )
        self._look_now |= bool(gone)
        return {track: points for track, points in seen.items() if track not in gone}

    @staticmethod
    def _remembered(followed: list[Followed]) -> Memory | None:
        """What the model remembers of the faces; None where it remembers nothing."""
        memories = [track.memory for track in followed if track.memory is not None]
        return (
            Memory(*(np.concatenate(part) for part in zip(*memories, strict=True)))
            if memories
            else None
        )

    def _goes_on(self, track: Followed, points: Seen) -> bool:
        """Whether `points` may be the face of `track` one frame later."""
        center, side = box_center(points.box), box_side(points.box)
        moved = np.hypot(*(center - box_center(track.box))) / track.side
        grown = max(side / track.side, track.side / side)
        assert self._size is not None
        inside = bool((center > 0).all() and (center < np.array(self._size)).all())
        score = float(points.scores.mean())
        return (
            inside
            and score >= self.predictor.floor
            and moved <= self.rules.jump
            and grown <= self.rules.grow
        )

    def _wants_look(self) -> bool:
        """Whether the detector looks at this frame."""
        self._since_look += 1
        searching = not self._tracks or any(
            track.lost_s or not track.number for track in self._tracks
        )
        pause = min(self.rules.search, self.rules.every) if searching else self.rules.every
        wanted = self._look_now or self._since_look >= pause
        if wanted:
            self._since_look, self._look_now = 0, False
        return wanted

    def _look(self, image: NDArray[np.uint8], seen: dict[Followed, Seen]) -> None:
        """Lets the detector find faces that are new or came back, and end those it no longer sees."""
        detections = self.predictor.detector(image)
        boxes = {track: points.box for track, points in seen.items()}
        same = np.array(
            [[_overlap(box, known) for known in boxes.values()] for box in detections.boxes], bool
        )
        same = same.reshape(len(detections.boxes), len(boxes))
        for k, track in enumerate(boxes):
            self._judge(track, seen, detections.scores[same[:, k]])
        unknown = [k for k in range(len(same)) if not same[k].any()]
        cuts = [first_crops(detections)[k] for k in unknown]
        found = self.predictor.predict_boxes([image], cuts)
        rows = self.predictor.keep_confident(found, list(range(len(cuts))))
        seen_now = Seen.all_of(found)
        rows = [
            row
            for row in rows
            if not any(_overlap(seen_now[row].box, box) for box in boxes.values())
        ]
        points = [seen_now[row] for row in rows]
        self._name(image, points, [float(detections.scores[unknown[row]]) for row in rows], seen)

    def _judge(self, track: Followed, seen: dict[Followed, Seen], scores: Array) -> None:
        """Believes in a face more or less by the detector's `scores` (K,) of it, and ends it where it may not stay."""
        rules, landmarks_score = self.rules, float(seen[track].scores.mean())
        if not len(scores):
            track.looks = min(track.looks, 0) - 1
            if not track.number or (
                track.looks <= -rules.missed and landmarks_score < rules.confirm
            ):
                del seen[track]
            return
        track.score, track.looks = float(scores.max()), max(track.looks, 0) + 1
        proved = track.looks >= rules.proofs and landmarks_score >= rules.proof
        if not track.number and (track.score >= rules.sure or proved) and not self._full(seen):
            self._number(track)

    def _full(self, seen: dict[Followed, Seen]) -> bool:
        """Whether as many faces are followed as are wanted; those in doubt do not count."""
        return (
            self.faces is not None and sum(track.number is not None for track in seen) >= self.faces
        )

    def _number(self, track: Followed) -> None:
        track.number = self._next
        self._next += 1

    def _name(
        self,
        image: NDArray[np.uint8],
        found: list[Seen],
        scores: list[float],
        seen: dict[Followed, Seen],
    ) -> None:
        """Follows the faces `found`, under their old numbers or new ones."""
        lost = [track for track in self._tracks if track not in seen and track.number]
        fits = {
            (t, k): self._fits(t, points, image) for t in lost for k, points in enumerate(found)
        }
        back: dict[int, Followed] = {}
        for track, k in sorted(fits, key=lambda pair: fits[pair]):
            if math.isfinite(fits[track, k]) and k not in back and track not in back.values():
                back[k] = track
        for k, (points, score) in enumerate(zip(found, scores, strict=True)):
            if self._full(seen):
                return
            track = back.get(k) or Followed(
                None, points.landmarks, score, look_of(image, points.box), None
            )
            track.come_back(points, score, self._smoother())
            if track not in self._tracks:
                self._tracks.append(track)
                if score >= self.rules.sure or self._first:
                    self._number(track)
            seen[track] = points

    def _fits(self, track: Followed, points: Seen, image: NDArray[np.uint8]) -> float:
        """How little a face found looks like a lost one; inf where it cannot be it."""
        near = not track.cut_off and track.away(points) < 0.5 + track.lost_s
        if track.alike(points, image) <= (self.rules.alike_near if near else self.rules.alike):
            return math.inf
        return track.strangeness(points, image)

    def _face(self, track: Followed, points: Seen) -> Face:
        one = FaceLandmarks(points.landmarks[None], points.scores[None], points.sigma_px[None])
        return self.predictor.to_face(one, 0, points.box, track.score, track.number)


def _overlap(box: Array, known: Array) -> bool:
    """Whether two boxes are of one face."""
    center = box_center(box)
    inside = bool((center > known[:2]).all() and (center < known[2:]).all())
    return inside or float(iou(box, known)[0, 0]) > 0.3
