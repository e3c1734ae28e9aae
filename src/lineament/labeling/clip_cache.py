"""Clips of faces -> windows to train on: each frame cut as a tracker would cut it, kept on disk, in runs by seed.

Clips are made of stills, or labelled by a tracker in unlabelled videos.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_path
from ..crop import scale_and_shift, warp
from ..data.crop_cache import CropCache
from ..data.synthetic_clips import ClipSettings, make_clip
from ..errors import DataError
from ..geometry import Array, apply_affine, box_side, compose, crop_affine, flip_affine, upright_box
from ..inference.model_files import find_model
from ..schemes import scheme
from ..tracking.filters import zero_phase
from ..tracking.tracker import Tracker
from .pseudo_labels import Limits, frames_of, moved

SIZE, CONTEXT = 192, 1.75
"""Side of a cached frame in pixels, and in sides of the face as it was in the frame before."""
SHIFT, SCALE, TURN_DEG = 0.012, 0.012, 1.0
"""Deviations of what a tracker's own errors do to a cut: along x and y in sides, in scale, in degrees."""
TREMBLE = 0.2
"""The part of them that differs from frame to frame; the rest stays: a tracker errs alike in frames that are alike."""
LARGEST = 720
"""Longer side in pixels to which frames of videos are shrunk: those of one video are held in memory."""
LABEL_FRAMES = 1.0
"""Deviation in frames of the Gaussian that smooths a video's labels; it looks ahead as far as back."""


class Shot(NamedTuple):
    """One frame of a clip of one face."""

    image: NDArray[np.uint8]
    """RGB (H, W, 3)."""
    landmarks: Array
    """(N, 2), pixels of the image, all finite."""
    known: NDArray[np.bool_]
    """(N,): points to learn from."""


@dataclass(frozen=True, eq=False)
class Clips:
    """Cached frames of several clips, one clip after the other."""

    cache: CropCache
    """The frames, cut around where the face was in the frame before; the boxes are those of that frame."""
    clip: NDArray[np.int64]
    """(M,): the number of the clip of each frame."""
    affines: Array
    """(M, 2, 3): from the pixels of the clip's own pictures to those of the cached frames."""

    def starts(self, frames: int) -> NDArray[np.int64]:
        """The frames at which so many frames of one clip begin."""
        first = np.arange(max(len(self.clip) - frames + 1, 0))
        return np.asarray(first[self.clip[first] == self.clip[first + frames - 1]])


def made_clips(
    stills: Sequence[CropCache],
    name: str,
    folder: Path,
    count: int,
    settings: ClipSettings,
    seed: int,
) -> Clips:
    """`count` clips made of `stills`, of the scheme called `name`, spread evenly over them; cached below `folder`.

    Raises: DataError where no still has all its landmarks.
    """
    complete = [
        (cache, k)
        for cache in stills
        for k in np.flatnonzero(np.isfinite(cache.landmarks).all((1, 2)))
    ]
    if not complete:
        raise DataError(
            "no still has all its landmarks, as clips are made of; add a data set that has"
        )
    chosen = [complete[k] for k in np.linspace(0, len(complete) - 1, count).round().astype(int)]

    def shots(number: int, cache: CropCache, face: int) -> Iterator[Shot]:
        picture = np.ascontiguousarray(cache.crops[face])
        for frame in make_clip(picture, cache.landmarks[face], name, seed + number, settings):
            yield Shot(frame.image, frame.landmarks, np.ones(len(frame.landmarks), bool))

    points = b"".join(cache.landmarks[face].tobytes() for cache, face in chosen)
    stamp = _stamp([name, seed, asdict(settings), hashlib.sha256(points).hexdigest()])
    return _cached(
        (shots(i, cache, face) for i, (cache, face) in enumerate(chosen)),
        name,
        folder / f"made-{stamp}",
    )


def video_clips(
    videos: Sequence[Path], model: str, name: str, folder: Path, frames: int, shortest: int
) -> Clips:
    """The faces that a tracker of the model called `model` follows in the first `frames` of each of `videos`.

    name: of the scheme wanted. The labels are the tracker's landmarks, smoothed without a shift in time; points it is
    not sure of are not known. A face that is lost and comes back is two clips; clips under `shortest` frames are left
    out.
    Raises: ImageError for a file that is no video; DataError where no face is followed for so long; ModelError;
    SchemeError where the model's points do not make the scheme's.
    """
    weights = hashlib.sha256(find_model(model).read_bytes()).hexdigest()
    files = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in videos]
    stamp = _stamp([weights, name, frames, shortest, LARGEST, asdict(Limits()), files])
    tracker = Tracker(model, smooth=None, scheme=name)
    clips = (clip for path in videos for clip in followed(path, tracker, frames, shortest))
    return _cached(clips, name, folder / f"videos-{stamp}")


def followed(path: Path, tracker: Tracker, frames: int, shortest: int) -> Iterator[list[Shot]]:
    """The clips of one video, as for `video_clips`."""
    tracker.reset()
    limits, open_, images = (
        Limits(),
        dict[int, list[tuple[int, Array, NDArray[np.bool_]]]](),
        list[NDArray[np.uint8]](),
    )
    for number, (_, image) in enumerate(frames_of(path, 1)):
        if number == frames:
            break
        images.append(_shrunk(image))
        for face in tracker(images[-1]):
            side = box_side(face.box)
            if face.scores.mean() >= limits.least_score and side >= limits.smallest_px:
                row = number, face.landmarks, face.sigma_px < limits.sigma * side
                open_.setdefault(face.track_id or 0, []).append(row)
    for seen in open_.values():
        numbers = np.array([number for number, _, _ in seen])
        for run in np.split(np.arange(len(seen)), np.flatnonzero(np.diff(numbers) > 1) + 1):
            if len(run) < shortest:
                continue
            path_ = zero_phase(np.stack([seen[k][1] for k in run]), LABEL_FRAMES)
            yield [
                Shot(images[seen[k][0]], points, seen[k][2])
                for k, points in zip(run, path_, strict=True)
            ]


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    factor = LARGEST / max(height, width)
    if factor >= 1:
        return image
    size = round(width * factor), round(height * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _stamp(parts: list[object]) -> str:
    """What changes with any change of what is cached, or of how."""
    return hashlib.sha256(
        json.dumps(["affines", SIZE, CONTEXT, LABEL_FRAMES, *parts]).encode()
    ).hexdigest()[:16]


def _cached(clips: Iterable[Iterable[Shot]], name: str, stem: Path) -> Clips:
    """The frames of `clips`, of the scheme called `name`; those kept at `stem` where they are."""
    crops, rest = stem.with_suffix(".crops"), stem.with_suffix(".npz")
    if not rest.exists():
        _write(clips, name, crops, rest)
    with np.load(rest, allow_pickle=False) as kept:
        landmarks, clip, affines = kept["landmarks"], kept["clip"], kept["affines"]
    half = SIZE / CONTEXT / 2
    box = (SIZE - 1) / 2 + np.array([-half, -half, half, half])
    frames = np.memmap(crops, np.uint8, "r").reshape(-1, SIZE, SIZE, 3)
    return Clips(CropCache(frames, landmarks, np.tile(box, (len(frames), 1))), clip, affines)


def _write(clips: Iterable[Iterable[Shot]], name: str, crops: Path, rest: Path) -> None:
    crops.parent.mkdir(parents=True, exist_ok=True)
    mean = scheme(name).mean_shape
    landmarks, numbers, affines = [], [], []
    with atomic_path(crops) as beside:
        with beside.open("wb") as file:
            for number, shots in enumerate(clips):
                before = None
                for shot in shots:
                    before = shot.landmarks if before is None else before
                    box, roll = upright_box(before, mean)
                    affine = crop_affine(box, SIZE, CONTEXT, roll)
                    file.write(warp(shot.image, affine, SIZE).tobytes())
                    landmarks.append(
                        np.where(shot.known[:, None], apply_affine(affine, shot.landmarks), np.nan)
                    )
                    numbers.append(number)
                    affines.append(affine)
                    before = shot.landmarks
        if not landmarks:
            raise DataError(
                "no face is followed long enough in the videos; give longer ones, or other videos"
            )
    # written last: without it the frames are made anew
    with atomic_path(rest) as beside, beside.open("wb") as file:
        np.savez(
            file, landmarks=np.stack(landmarks), clip=np.array(numbers), affines=np.stack(affines)
        )


class TrainingWindows:
    """Runs of frames by epoch and position; the same for the same seed, whoever asks and in whatever order.

    Frames are cropped with errors such as a tracker makes; half of the windows are mirrored.
    """

    def __init__(
        self,
        sources: Sequence[Clips],
        scheme_name: str,
        frames: int,
        size: int,
        padding: float,
        seed: int,
    ) -> None:
        """Raises: DataError where no clip has so many frames."""
        self.sources, self.frames, self.size, self.padding, self.seed = (
            tuple(sources),
            frames,
            size,
            padding,
            seed,
        )
        self.mirror = scheme(scheme_name).mirror
        self.starts = [clips.starts(frames) for clips in self.sources]
        if not sum(map(len, self.starts)):
            raise DataError(f"no clip has {frames} frames in a row; lower refine.window")

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """The (source, first frame) pairs (M, 2) of one epoch, shuffled."""
        pairs = np.concatenate(
            [np.column_stack([np.full(len(s), i), s]) for i, s in enumerate(self.starts)]
        )
        return pairs[np.random.default_rng([self.seed, epoch]).permutation(len(pairs))]

    def key(self) -> object:
        """Return a value that differs from that of any other windows."""
        return id(self)

    def make(self, epoch: int, position: int, source: int, first: int) -> dict[str, Any]:
        """Return a window by the names of a Batch.

        crops: (T, S, S, 3). landmarks: (T, N, 2), pixels of each crop. crop_motion: (T, 3), the
        scale and shift by which a point of the crop before appears in this one, about its middle.
        """
        rng = np.random.default_rng([self.seed, epoch, position])
        clips, mirrored = self.sources[source], rng.random() < 0.5
        cache, lasting = clips.cache, rng.standard_normal(4)
        crops, landmarks, motion = [], [], []
        before: Array | None = None
        for k in range(first, first + self.frames):
            affine = self._cut(lasting + TREMBLE * rng.standard_normal(4), cache.boxes[k])
            crop = warp(np.ascontiguousarray(cache.crops[k]), affine, self.size)
            points = apply_affine(affine, cache.landmarks[k])
            to_crop = compose(affine, clips.affines[k])  # from the clip's own images
            if mirrored:
                crop, points = crop[:, ::-1], points[self.mirror]
                points[:, 0] = self.size - 1 - points[:, 0]
                to_crop = compose(flip_affine(self.size), to_crop)
            crops.append(crop)
            landmarks.append(points)
            if before is None:
                motion.append([1.0, 0.0, 0.0])
            else:
                scale, shift = scale_and_shift(before, to_crop, self.size)
                motion.append([scale, *shift])
            before = to_crop
        return {
            "crops": np.stack(crops),
            "landmarks": np.stack(landmarks).astype(np.float32),
            "crop_motion": np.array(motion, np.float32),
        }

    def _cut(self, errors: Array, box: Array) -> Array:
        """The cut (2, 3) around `box` (4,) with `errors` (4,) in deviations."""
        x, y, scale, turn = errors * (SHIFT, SHIFT, SCALE, TURN_DEG)
        return crop_affine(
            moved(box, x, y, float(np.exp(scale))), self.size, self.padding, float(turn)
        )
