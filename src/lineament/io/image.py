"""Path, bytes, file object, PIL image, array -> RGB uint8 (H, W, 3), EXIF orientation applied; Pillow is the codec.

Every picture that cannot be used ends in one ImageError of one line, so that a batch can list it and go on.
"""

import io
import os
import re
import stat
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError

Picture = NDArray[np.uint8]
Source = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | NDArray[Any]
)

MAX_PIXELS = 128_000_000
"""The largest picture opened: width x height. 12,000 x 9,000 of a telephone fits; decoded it takes 384 MB."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")
"""Pillow's formats that are opened. Others run programs (EPS) or accept any bytes (TGA)."""

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .pnm .ico .jp2 .j2k .avif".split()  # noqa: SIM905
)
"""The suffixes, in lower case, by which a folder's pictures are known. A file named by itself may have any."""

WANTED = "wanted JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, ICO, JPEG 2000 or AVIF"
ORIENTATION_TAG = 0x0112
KNOWN_STARTS = rb"\xff\xd8\xff|\x89PNG|GIF8|BM|RIFF....WEBP|II\*\0|MM\0\*|P[1-6]\s|\x00\x00\x01\x00"
SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (rb"%PDF", "a PDF document"),
    (
        rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg",
        "an SVG drawing",
    ),
    (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", "a web page"),
    (rb"....ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", "a HEIC photo; save it as JPEG"),
    (rb"....ftyp", "a video"),
    (rb"\x1aE\xdf\xa3|RIFF....AVI |\x00\x00\x01\xba", "a video"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "an archive; unpack it"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document"),
    (rb"8BPS", "a Photoshop document"),
    (rb"version https://git-lfs", "a Git LFS pointer; fetch the file itself"),
    (rb"[\t\n\r\x20-\x7e]+$", "text"),
    (rb"\x00+$", "zeros"),
)


def read_image(source: Source, order: str = "rgb") -> Picture:
    """The picture: RGB uint8 (H, W, 3), upright as its EXIF orientation says; of an animation, the first frame.

    source: a path, the bytes of a file, a file open for reading bytes (read from where it stands), a PIL image or an
    array. Transparent parts are laid on white; 16-bit values v become v / 257, rounded; 32-bit integer pictures count
    as 16-bit; floats are in [0, 1].
    An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bool, uint8, uint16 or float; it is shared, not copied,
    where it is RGB uint8 already.    order: "rgb" or "bgr", the channels of an array (with alpha: RGBA or BGRA).
    Raises: ImageError, of one line, whatever is wrong.
    """
    if order not in ("rgb", "bgr"):
        raise ImageError(
            f"order is {order!r}; wanted 'rgb' or 'bgr', how the channels of an array are sorted"
        )
    if isinstance(source, np.ndarray):
        return _from_array(source, order, "array")
    if isinstance(source, Image.Image):
        with _pillow_quiet():
            return _from_picture(source, "PIL image")
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), f"{len(source)} bytes")
    if isinstance(source, str | os.PathLike):
        return _from_path(source)
    if hasattr(source, "read"):
        return _from_file(source)
    raise ImageError(
        f"cannot read a picture from {type(source).__name__}; wanted a path, bytes, file, PIL image or array"
    )


def read_images(sources: Iterable[Source]) -> Iterator[tuple[Any, Picture | ImageError]]:
    """Each source with its picture, or with the ImageError that says why there is none: a batch goes on.

    Paths are widened as in `find_images`: of a folder or a pattern, each file comes by itself.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    for source in sources:
        try:
            found: list[Any] = (
                find_images([source]) if isinstance(source, str | os.PathLike) else [source]
            )
        except ImageError as error:
            yield source, error
            continue
        for each in found:
            try:
                yield each, read_image(each)
            except ImageError as error:
                yield each, error


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The pictures named by `paths`, each once, in the order given and sorted within a folder or a pattern.

    A file is taken by its name, whatever its suffix. A folder gives the pictures in it and below it, known by SUFFIXES;
    names that begin with a dot are left out. A pattern may hold *, ?, [] and **.
    Raises: ImageError for a path that gives nothing.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_expand(Path(path))))
    return list(found)


def _expand(path: Path) -> list[Path]:
    try:
        exists, is_folder = os.path.lexists(path), path.is_dir()
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{_shown(path)}: not a path ({error}); wanted a file, a folder or a pattern"
        ) from error
    if is_folder:
        if pictures := _folder_images(path):
            return pictures
        raise ImageError(f"{_shown(path)}: no picture in this folder or below it; {WANTED}")
    if exists:
        return [path]
    if any(sign in str(path) for sign in "*?["):
        base = Path(path.anchor)
        pattern = str(path.relative_to(base)) if path.anchor else str(path)
        try:
            matches = sorted(m for m in base.glob(pattern) if not _hidden_below(m, path))
        except (ValueError, OSError) as error:
            raise ImageError(
                f"{_shown(path)}: not a pattern ({error}); wanted *, ?, [] or ** in a path"
            ) from error
        pictures = [m for m in matches if not m.is_dir()]
        if pictures:
            return pictures
        raise ImageError(
            f"{_shown(path)}: no file matches this pattern; check it, or give a folder"
        )
    raise ImageError(f"{_shown(path)}: no such file or folder; check the path")


def _hidden_below(match: Path, pattern: Path) -> bool:
    """Whether a wildcard, not the user, named a hidden file or folder."""
    dotted = {part for part in pattern.parts if part.startswith(".")}
    if dotted - {"..", "."}:
        return False
    return any(part.startswith(".") and part not in dotted for part in match.parts)


def _folder_images(folder: Path) -> list[Path]:
    def stop(error: OSError) -> None:
        raise ImageError(
            f"{_shown(error.filename)}: cannot be listed ({error.strerror}); check its permissions"
        )

    pictures = []
    # os.walk does not follow linked folders, so a loop of links ends.
    for at, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        pictures += [
            Path(at, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(pictures)


def _from_path(path: str | os.PathLike[str]) -> Picture:
    name = _shown(path)
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"{name}: a folder, not a picture; give a file, or find_images(folder)"
            )
        if not stat.S_ISREG(status.st_mode):
            # A pipe would be waited for without end.
            raise ImageError(
                f"{name}: a pipe, socket or device, not a file; read its bytes and give those"
            )
        with Path(path).open("rb") as file:
            return _decode(file, name)
    except FileNotFoundError as error:
        hint = "this is an address: download it first" if "://" in name else "check the path"
        raise ImageError(f"{name}: no such file; {hint}") from error
    except PermissionError as error:
        raise ImageError(f"{name}: may not be read; check its permissions") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"{name}: cannot be opened ({_reason(error)}); wanted the path of a picture"
        ) from error


def _from_file(file: IO[bytes]) -> Picture:
    name = _shown(getattr(file, "name", None) or f"{type(file).__name__} object")
    try:
        data = file.read()
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name}: cannot be read ({_reason(error)}); wanted a file open for reading bytes"
        ) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(f"{name}: gives {type(data).__name__}, not bytes; open it with mode 'rb'")
    return _decode(io.BytesIO(data), name)


def _decode(file: IO[bytes], name: str) -> Picture:
    start = file.read(4096)
    if not start:
        raise ImageError(f"{name}: empty; {WANTED}")
    file.seek(0)
    with _pillow_quiet():
        Image.init()
        try:
            with Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN]) as picture:
                return _from_picture(picture, name)
        except UnidentifiedImageError as error:
            if re.match(KNOWN_STARTS, start, re.DOTALL):
                raise ImageError(
                    f"{name}: broken or truncated (its header does not hold); get the file again"
                ) from error
            kind = next(
                (k for p, k in SIGNATURES if re.match(p, start, re.DOTALL | re.IGNORECASE)),
                "unknown bytes",
            )
            raise ImageError(f"{name}: not a picture but {kind}; {WANTED}") from error
        except Image.DecompressionBombError as error:
            count = re.search(r"\d+", str(error))
            raise _too_large(name, int(count[0]) if count else 0) from error
        except ImageError:
            raise
        except Exception as error:
            # Decoders of hostile bytes raise nearly every class there is; this is the border.
            raise ImageError(
                f"{name}: broken or truncated ({_reason(error)}); get the file again"
            ) from error


def _from_picture(picture: Image.Image, name: str) -> Picture:
    width, height = picture.size
    if width == 0 or height == 0:
        raise ImageError(f"{name}: {width} x {height} pixels; wanted at least 1 x 1")
    if width * height > MAX_PIXELS:
        raise _too_large(name, width * height)
    try:
        picture.load()
        rgb = _to_rgb(picture, name)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"{name}: broken or truncated ({_reason(error)}); get the file again"
        ) from error
    try:
        orientation = picture.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        # Broken EXIF beside a sound picture is common: the picture stays as it is stored.
        orientation = 1
    return _upright(rgb, orientation)


def _to_rgb(picture: Image.Image, name: str) -> Picture:
    mode = picture.mode
    if mode == "RGB" and "transparency" not in picture.info:
        return np.array(picture)
    if mode.startswith("I;16"):
        return _from_array(np.asarray(picture).astype(np.uint16), "rgb", name)
    if mode == "I":
        return _from_array(np.clip(np.asarray(picture), 0, 65535).astype(np.uint16), "rgb", name)
    if mode == "F":
        return _from_array(np.asarray(picture), "rgb", name)
    if mode == "LAB":
        raise ImageError(f"{name}: its colors are CIE Lab, which is not read; save it as RGB")
    if "transparency" in picture.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _over_white(picture.convert("RGBA"))
    if mode == "P":
        # A palette may itself hold alpha; by way of RGBA none is lost.
        return _over_white(picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def _over_white(picture: Image.Image) -> Picture:
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return np.array(Image.alpha_composite(white, picture).convert("RGB"))


def _upright(rgb: Picture, orientation: object) -> Picture:
    """`rgb` turned and mirrored as EXIF orientation 1-8 says; any other value leaves it."""
    turned = {
        2: lambda: rgb[:, ::-1],
        3: lambda: rgb[::-1, ::-1],
        4: lambda: rgb[::-1],
        5: lambda: rgb.transpose(1, 0, 2),
        6: lambda: np.rot90(rgb, -1),
        7: lambda: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: lambda: np.rot90(rgb, 1),
    }
    return np.ascontiguousarray(
        turned[orientation]() if isinstance(orientation, int) and orientation in turned else rgb
    )


def _from_array(array: NDArray[Any], order: str, name: str) -> Picture:
    shape = array.shape
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))):
        hint = "; move the channels to the end" if len(shape) == 3 and shape[0] in (1, 3, 4) else ""
        raise ImageError(
            f"{name} has shape {shape}; wanted (H, W), (H, W, 1), (H, W, 3) or (H, W, 4){hint}"
        )
    if array.size == 0:
        raise ImageError(f"{name} has shape {shape}, no pixels; wanted at least 1 x 1")
    pixels = _to_bytes(array, name)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if order == "bgr":
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    if pixels.shape[2] == 4:
        return _over_white(Image.fromarray(np.ascontiguousarray(pixels)))
    return np.ascontiguousarray(pixels)


def _to_bytes(array: NDArray[Any], name: str) -> Picture:
    if array.dtype == np.uint8:
        return np.asarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind != "f":
        raise ImageError(
            f"{name} has dtype {array.dtype}; wanted uint8, uint16, bool, or float in [0, 1]"
        )
    if not np.isfinite(array).all():
        raise ImageError(f"{name} holds nan or infinity; wanted finite values in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"{name} holds floats from {low:g} to {high:g}; wanted [0, 1]: scale it, or cast it to uint8"
        )
    return (array * 255 + 0.5).astype(np.uint8)


def _too_large(name: str, pixels: int) -> ImageError:
    limit = min(MAX_PIXELS, 2 * Image.MAX_IMAGE_PIXELS) if Image.MAX_IMAGE_PIXELS else MAX_PIXELS
    return ImageError(
        f"{name}: claims {pixels:,} pixels, more than the {limit:,} that are opened; shrink it first"
    )


def _shown(path: object) -> str:
    """A path in one printable line of at most 200 characters, whatever its name holds."""
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        text = str(path)
    text = text if text.isprintable() and text else ascii(text)
    return text if len(text) <= 200 else "..." + text[-197:]


def _reason(error: BaseException) -> str:
    """What `error` says, in one short line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = " ".join(str(text).split())
    return (line if line.isprintable() else ascii(line))[:120]


class _Readers:
    """How many threads read at this moment, and the warning filters to restore after the last."""

    lock = threading.Lock()
    count = 0
    saved: "warnings.catch_warnings[Any] | None" = None


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Pillow's warnings off while a picture is read: what matters is raised, the rest is no one's business.

    Warning filters belong to the process, so overlapping threads share one change of them and the last undoes it.
    """
    if getattr(sys.flags, "context_aware_warnings", False):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\b")
            yield
        return
    with _Readers.lock:
        if _Readers.count == 0:
            _Readers.saved = warnings.catch_warnings()
            _Readers.saved.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\b")
        _Readers.count += 1
    try:
        yield
    finally:
        with _Readers.lock:
            _Readers.count -= 1
            if _Readers.count == 0 and _Readers.saved is not None:
                _Readers.saved.__exit__(None, None, None)
                _Readers.saved = None
