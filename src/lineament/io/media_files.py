"""Image and video files: table of their suffixes, and search by folder or pattern."""

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from PIL import Image

from ..errors import ImageError, shown_path

IMAGE_SUFFIXES = (
    *(
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
    ),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".jp2", ".j2k", ".avif"),
)
"""Lower-case suffixes of images, most common first; explicitly named files may have any suffix."""
VIDEO_SUFFIXES = (
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".avi",
        ".webm",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ts",
    ),
    *(".mts", ".3gp", ".ogv"),
)
"""Lower-case suffixes of videos. An image with more than one frame is also a video."""
ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".avif": "AVIF"}
"""Pillow formats of images that may have more than one frame, by suffix."""


def has_image_suffix(path: PurePath) -> bool:
    """Return True if `path` has the suffix of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_video(path: Path) -> bool:
    """Return True for a video: by its suffix, or for an image by its number of frames."""
    suffix = path.suffix.lower()
    if suffix in ANIMATED:  # servers also send WebP under names that end in .gif
        return bool(animated_format(path, list(ANIMATED.values())))
    return suffix in VIDEO_SUFFIXES


def has_more_frames(path: Path) -> bool:
    """Return True for an image file with frames or pages after the first, such as TIFF.

    Further images in photos of phones (MPO), such as previews, do not count.
    """
    with warnings.catch_warnings(action="ignore"):
        return animated_format(path) not in ("", "MPO")


def animated_format(path: Path, formats: list[str] | None = None) -> str:
    """Return Pillow's format of an image with several frames; empty for any other file.

    Args:
        formats: Formats to try; None: all.
    """
    try:
        with Image.open(path, formats=formats) as image:
            return str(image.format) if getattr(image, "is_animated", False) else ""
    except Exception:  # decoders raise almost any exception
        return ""


def image_next_to(path: Path) -> Path | None:
    """Return the image with the stem of `path` in the same folder; None if there is none.

    The image of photo.jpg.pts may also be photo.jpg.
    """
    bare = path.with_suffix("")
    if has_image_suffix(bare) and bare.exists():
        return bare
    for suffix in IMAGE_SUFFIXES:
        for spelled in (suffix, suffix.upper(), f".{suffix[1:].capitalize()}"):
            image = path.with_suffix(spelled)
            if image.exists():
                return image
    return None


def images_by_stem(
    folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> dict[str, Path]:
    """Return the images in a folder and its subfolders, by lower-case stem.

    Args:
        folder: Searched recursively; may be absent.
        suffixes: Lower-case image suffixes. If several images share a stem, the suffix listed
            first is preferred.
    """
    ranked = []
    for path in visible_files(folder, "**/*"):
        suffix = path.suffix.lower()
        if suffix in suffixes:
            ranked.append((suffixes.index(suffix), path))
    images: dict[str, Path] = {}
    for _, path in sorted(ranked):
        images.setdefault(path.stem.lower(), path)
    return images


def find_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[Path]:
    """Return the paths of images, each once, in the given order, sorted within a folder.

    Args:
        paths: Files with any suffix; folders, searched recursively for files with an
            image suffix, ignoring names that begin with a dot; patterns with *, ?, []
            and **.

    Raises:
        ImageError: If a path names no image.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[Path, None] = {}
    for path in paths:
        if not os.fspath(path):  # as a path, the current folder
            raise ImageError("'': no such file or folder; check the path")
        found.update(dict.fromkeys(_expand(Path(path))))
    return list(found)


def find_videos(folder: Path) -> list[Path]:
    """Return the videos in a folder and its subfolders, sorted."""
    return list(filter(is_video, visible_files(folder, "**/*")))


def visible_files(folder: Path, *patterns: str) -> list[Path]:
    """Return the paths in a folder that match any of the patterns and are not hidden, sorted."""
    return sorted({path for pattern in patterns for path in _visible(folder, pattern)})


def contains_visible(folder: Path, pattern: str) -> bool:
    """Return True if a path in a folder matches the pattern and is not hidden."""
    return next(_visible(folder, pattern), None) is not None


def _visible(folder: Path, pattern: str) -> Iterator[Path]:
    for path in folder.glob(_suffix_in_any_case(pattern)):
        if not is_hidden(path.relative_to(folder)):
            yield path


def _suffix_in_any_case(pattern: str) -> str:
    """Return a pattern that matches its suffix in lower, upper or mixed case.

    >>> _suffix_in_any_case("labels/*.pts")
    'labels/*.[pP][tT][sS]'
    """
    start, dot, suffix = pattern.rpartition("*.")
    if not dot:
        return pattern
    return start + dot + re.sub("[a-z]", lambda m: f"[{m[0]}{m[0].upper()}]", suffix)


def by_numbers(name: str) -> list[str | int]:
    """Return a sort key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() else part for part in parts]


def is_hidden(path: Path) -> bool:
    """Return True for a path below a folder with a name that begins with a dot, or __MACOSX.

    On disks of other systems, macOS writes a file ._NAME next to each file; archives of macOS
    contain these files in __MACOSX.
    """
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _expand(path: Path) -> list[Path]:
    try:
        exists, is_folder = os.path.lexists(path), path.is_dir()
    except PermissionError as error:
        raise _denied(path) from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{shown_path(path)}: not a path ({error}); "
            "expected a file, a folder or a pattern"
        ) from error
    if is_folder:
        if images := find_files(path, has_image_suffix):
            return images
        raise ImageError(
            f"{shown_path(path)}: no image in this folder or below it; "
            "expected JPEG, PNG, WebP, ..."
        )
    if exists:
        return [path]
    if any(sign in str(path) for sign in "*?["):
        return _matches(path)
    raise ImageError(f"{shown_path(path)}: no such file or folder; check the path")


def _matches(pattern: Path) -> list[Path]:
    base = Path(pattern.anchor)
    below = str(pattern.relative_to(base)) if pattern.anchor else str(pattern)
    try:
        matches = sorted(
            match for match in base.glob(below) if not _is_dotted(match, pattern)
        )
    except PermissionError as error:
        raise _denied(pattern) from error
    except (ValueError, OSError) as error:
        raise ImageError(
            f"{shown_path(pattern)}: not a pattern ({error}); "
            "expected *, ?, [] or ** in a path"
        ) from error
    if files := [match for match in matches if not match.is_dir()]:
        return files
    raise ImageError(
        f"{shown_path(pattern)}: no file matches this pattern; check it, or give a folder"
    )


def _denied(path: Path) -> ImageError:
    return ImageError(
        f"{shown_path(path)}: permission denied; check the permissions of its folder"
    )


def _is_dotted(match: Path, pattern: Path) -> bool:
    """Return True if a wildcard matched a file or folder whose name begins with a dot."""
    named = {part for part in pattern.parts if part.startswith(".")}
    if named - {"..", "."}:
        return False
    return any(part.startswith(".") and part not in named for part in match.parts)


def find_files(folder: Path, predicate: Callable[[Path], bool]) -> list[Path]:
    """Return the files in a folder and its subfolders for which `predicate` is True, sorted.

    Names that begin with a dot are skipped, and folders called __MACOSX.

    Raises:
        ImageError: If a folder cannot be listed.
    """

    def stop(error: OSError) -> None:
        raise ImageError(
            f"{shown_path(error.filename)}: cannot be listed ({error.strerror}); check its "
            "permissions"
        )

    found = []
    # os.walk does not follow linked folders, so cyclic links cause no infinite loop
    for at, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not is_hidden(Path(name))]
        for name in names:
            if not is_hidden(Path(name)) and predicate(Path(name)):
                found.append(Path(at, name))
    return sorted(found)
