"""Command `anonymize`: cover the faces in images and videos."""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, progress_bar, show
from .images import each_image, names_file
from .options import DetectorName, Device, ModelName, make_predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ..face import Faces
    from ..inference.predictor import Predictor
    from ..io.input_images import InputImage
    from .images import Save

MIN_FACE = "8px"
"""Smallest face to search for."""
MARGIN, HOLD_S, MIN_PRESENCE = 0.1, 0.3, 0.1


class Method(StrEnum):
    """Methods of covering a face."""

    blur = "blur"
    pixelate = "pixelate"
    fill = "fill"


Inputs = Annotated[
    list[str],
    typer.Argument(
        help="Images, folders of images, patterns, and video files.", metavar="PATH"
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Folder for the results; for a single input, a folder or a file."
    ),
]
MethodOption = Annotated[
    Method,
    typer.Option(
        help=(
            "blur and pixelate keep the mean colors of four cells per side of the face; "
            "fill keeps nothing."
        )
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        min=0,
        max=2,
        help="Distance to cover beyond the face, as a fraction of its box side.",
    ),
]
Presence = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Cover detections with at least this probability of being a face, or "
        "five times as much if they are far smaller than all clear faces; 0: "
        "cover every detection.",
    ),
]
FaceSize = Annotated[
    str | None,
    typer.Option(
        metavar="8px|0.05",
        show_default=MIN_FACE,
        help="Smallest face to search for: its side in pixels, or as a fraction of the "
        "image's longer side. Other detectors have their own defaults.",
    ),
]
Hold = Annotated[
    float,
    typer.Option(
        min=0,
        max=5,
        help="In a video, also cover the region of a face for this many seconds before "
        "and after it is found.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing videos.")
]


@app.command()
def anonymize(
    paths: Inputs,
    out: Out,
    method: MethodOption = Method.blur,
    margin: Margin = MARGIN,
    min_presence: Presence = MIN_PRESENCE,
    min_face: FaceSize = None,
    hold: Hold = HOLD_S,
    model: ModelName = "accurate",
    detector: DetectorName = "default",
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Blur, pixelate or fill the faces in images and videos.

    A face is covered from the chin to the hairline, with a margin. Uncertain detections are
    covered, too, and in a video the region of a face is also covered shortly before and
    after it is found. Metadata and sound are not copied. No method finds every face: check
    the results.
    """
    from ..io.media_files import is_video

    videos = [path for path in paths if Path(path).is_file() and is_video(Path(path))]
    images = [path for path in paths if path not in videos]
    is_file = names_file(out)
    if len(paths) > 1 and is_file:
        raise typer.BadParameter(
            f"--out {out} is one file for {len(paths)} inputs; give a folder"
        )
    if min_face is None and detector == "default":
        min_face = MIN_FACE

    @cache
    def predictor() -> "Predictor":
        return _predictor(model, detector, min_face, min_presence, device)

    targets = {videos[0]: out} if videos and is_file else _video_targets(videos, out)
    _refuse_existing(targets, overwrite)
    for video, target in targets.items():
        _cover_video(
            video, target, predictor(), min_presence, method.value, margin, hold
        )
    if images:
        _note_videos_in_folders(images, out)
        _cover_images(
            images, out, is_file, predictor, min_presence, method.value, margin
        )


def _predictor(
    model: str, detector: str, min_face: str | None, min_presence: float, device: str
) -> "Predictor":
    """Create the predictor; without presence, keep all faces of the detector."""
    predictor = make_predictor(
        model,
        detector=detector,
        min_face=min_face,
        min_presence=min_presence,
        device=device,
    )
    if not predictor.predicts_presence:
        predictor.min_landmark_score = 0.0
        note(
            f"model {model} predicts no presence, so --min-presence has no effect and only "
            "confident detections are covered; a packaged model misses fewer faces"
        )
    return predictor


def _video_targets(videos: list[str], folder: Path) -> dict[str, Path]:
    """Return the path to write for each video; the suffix or a number is added if taken."""
    from ..io.unique_names import UsedNames, unique_name

    used_names = UsedNames()
    targets = {}
    for video in dict.fromkeys(videos):
        path = Path(video)
        name = unique_name((path.stem, path.name), used_names.is_free)
        used_names.add(name)
        targets[video] = folder / f"{name}.mp4"
    return targets


def _note_videos_in_folders(paths: list[str], out: Path) -> None:
    """Print the number of videos in each folder, since only its images are covered."""
    from ..io.media_files import find_videos

    for folder in map(Path, paths):
        if not folder.is_dir():
            continue
        videos = [video for video in find_videos(folder) if out not in video.parents]
        if videos:
            note(
                f"{folder}: its videos are not covered ({len(videos)}, such as {videos[0]}); "
                "give their paths"
            )


def _refuse_existing(targets: dict[str, Path], overwrite: bool) -> None:
    """Raise BadParameter if a target exists and must not be replaced, or is an input."""
    for target in targets.values():
        if not target.exists():
            continue
        is_input = any(target.samefile(source) for source in targets)
        if is_input or not overwrite:
            raise typer.BadParameter(
                f"{target} exists; choose another --out, or add --overwrite"
            )


def _cover_images(
    paths: list[str],
    out: Path,
    is_file: bool,
    predictor: "Callable[[], Predictor]",
    min_presence: float,
    method: str,
    margin: float,
) -> None:
    from ..analysis.anonymize import anonymize_faces, likely_faces
    from ..analysis.draw import FORMATS
    from ..io.media_files import has_more_frames

    def each(
        image: "InputImage", pixels: "NDArray[np.uint8]", faces: "Faces", save: "Save"
    ) -> None:
        suffix = image.path.suffix if image.path.suffix.lower() in FORMATS else ".jpg"
        target = out if is_file else out / f"{image.name}{suffix}"
        faces = likely_faces(faces, min_presence)
        save(target, anonymize_faces(pixels, faces, method, margin))
        show(f"{image.path}: {_count(len(faces))} covered -> {target}")
        if has_more_frames(image.path):
            note(f"{image.path}: only its first frame or page is in {target}")

    each_image(paths, predictor, None, each, out, single_file=is_file)


def _count(faces: int) -> str:
    return "no face" if not faces else f"{faces} {'face' if faces == 1 else 'faces'}"


def _cover_video(
    source: str,
    target: Path,
    predictor: "Predictor",
    min_presence: float,
    method: str,
    margin: float,
    hold_s: float,
) -> None:
    from ..analysis.anonymize import likely_faces
    from ..analysis.anonymize_video import anonymize_frames
    from ..io.video_reader import VideoReader
    from ..io.video_writer import VideoWriter

    def find(image: "NDArray[np.uint8]") -> "Faces":
        return likely_faces(predictor(image), min_presence)

    start = None
    with (
        VideoReader(source) as reader,
        VideoWriter(target) as writer,
        progress_bar("frames", reader.frames, speed=True) as step,
    ):
        frames = ((frame.timestamp, frame.image) for frame in reader)
        for time, image in anonymize_frames(frames, find, method, margin, hold_s):
            if start is None:
                start, writer.pixel_aspect = time, reader.pixel_aspect
            writer.write(image, time - start)
            step()
    show(f"{source} -> {target}, without its sound")
    if reader.skipped_frames:
        note(
            f"{reader.skipped_frames} frames of {source} could not be decoded and are missing "
            f"from {target}"
        )
