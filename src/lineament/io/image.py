"""Read images of any kind as upright RGB uint8 (H, W, 3), decoded by Pillow.

An unusable image raises an ImageError with a one-line message, so that a batch can report it
and continue.
"""

import io
import os
import re
import stat
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError, short_reason, shown_path
from .foreign_images import frame_to_rgb, tensor_to_array
from .pixel_values import to_bytes

RGB = NDArray[np.uint8]

Source = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Image.Image
    | NDArray[Any]
)

MAX_PIXELS = 128_000_000
"""Maximum width x height, 384 MB when decoded; enough for a phone's 12,000 x 9,000."""

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "ICO",
    "JPEG2000",
    "AVIF",
)
"""Pillow formats that are opened; others run programs (EPS) or accept any bytes (TGA)."""

EXPECTED = "expected JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, ICO, JPEG 2000 or AVIF"
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


def read_image(
    source: Source | Any, order: str = "rgb", bits: int | None = None
) -> RGB:
    """Read an image as RGB uint8 (H, W, 3), rotated upright by its EXIF orientation.

    Transparent parts are composited over white. 16-bit values v become round(v / 257);
    32-bit integer images count as 16-bit. Values of 8 to 12 bits in uint16 then look
    nearly black, which causes a warning: pass their number of `bits`.

    Args:
        source: A path, the bytes of a file, a file open for reading bytes (read from
            its position), a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H,
            W, 4) of bool, uint8, uint16 or float in [0, 1]. An RGB uint8 array is
            returned unchanged. PyAV frames, and tensors with the channels first or
            last, are read like arrays.
        order: Channel order of an array, "rgb" or "bgr" (with alpha: RGBA or BGRA).
            OpenCV reads BGR.
        bits: Bits of the values of uint16, 8 to 16; None: 16.

    Raises:
        ImageError: If the source is not an image or is broken; the message is one line.
    """
    if order not in ("rgb", "bgr"):
        raise ImageError(
            f"order is {order!r}; expected 'rgb' or 'bgr', the channel order of an array"
        )
    if bits is not None and not 8 <= bits <= 16:
        raise ImageError(f"bits is {bits}; expected 8 to 16, those of a uint16 array")
    if isinstance(source, np.ndarray):
        return _array_to_rgb(source, order, "array", bits)
    if isinstance(source, Image.Image):
        with _pillow_quiet():
            return _from_image(source, "PIL image", bits)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), f"{len(source)} bytes", bits)
    if isinstance(source, str | os.PathLike):
        return _from_path(source, bits)
    if hasattr(source, "read"):
        return _from_file(source, bits)
    if hasattr(source, "to_ndarray"):
        return frame_to_rgb(source)
    if hasattr(source, "__array__"):
        return _array_to_rgb(tensor_to_array(source), order, "tensor", bits)
    raise ImageError(
        f"cannot read an image from {type(source).__name__}; "
        "expected a path, bytes, file, PIL image or array"
    )


def image_loader(source: Source | Any) -> Callable[[], RGB | None]:
    """Return a function that reads `source` again, without keeping an image in memory.

    It returns None if the source object no longer exists or cannot be weakly referenced.
    """
    if isinstance(source, str | os.PathLike):
        return lambda: read_image(source)
    try:
        reference = weakref.ref(source)
    except TypeError:  # cannot be weakly referenced, e.g. bytes
        return lambda: None

    def read_known() -> RGB | None:
        source_object = reference()
        return None if source_object is None else read_image(source_object)

    return read_known


def _from_path(path: str | os.PathLike[str], bits: int | None) -> RGB:
    name = shown_path(path)
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"{name}: a folder, not an image; give a file, or find_images(folder)"
            )
        if not stat.S_ISREG(status.st_mode):
            # reading from a pipe might never end
            raise ImageError(
                f"{name}: a pipe, socket or device, not a file; read its bytes and give those"
            )
        with Path(path).open("rb") as file:
            return _decode(file, name, bits)
    except FileNotFoundError as error:
        is_url = "://" in name
        hint = "this is a URL: download it first" if is_url else "check the path"
        raise ImageError(f"{name}: no such file; {hint}") from error
    except PermissionError as error:
        raise ImageError(f"{name}: permission denied; check its permissions") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"{name}: cannot be opened ({short_reason(error)}); expected an image path"
        ) from error


def _from_file(file: IO[bytes], bits: int | None) -> RGB:
    name = shown_path(getattr(file, "name", None) or f"{type(file).__name__} object")
    try:
        data = file.read()
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name}: cannot be read ({short_reason(error)}); "
            "expected a file open for reading bytes"
        ) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(
            f"{name}: reading it returns {type(data).__name__}, not bytes; open it with mode 'rb'"
        )
    is_seekable = hasattr(file, "seekable") and file.seekable()
    if not data and is_seekable and file.tell():
        raise ImageError(
            f"{name}: already at its end, after {file.tell()} bytes; call its seek(0) "
            "first"
        )
    return _decode(io.BytesIO(data), name, bits)


def image_size(data: bytes) -> tuple[int, int]:
    """Return the width and height stated in an image file's header, without decoding it.

    Raises:
        ImageError: If the bytes are not an image, or the header is broken.
    """
    with _opened(io.BytesIO(data), f"{len(data)} bytes") as image:
        return image.size


def _decode(file: IO[bytes], name: str, bits: int | None) -> RGB:
    with _opened(file, name) as image:
        return _from_image(image, name, bits)


@contextmanager
def _opened(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """Yield the image in `file`, not yet decoded; any error becomes an ImageError."""
    start = file.read(4096)
    if not start:
        raise ImageError(f"{name}: empty; {EXPECTED}")
    file.seek(0)
    with _pillow_quiet():
        Image.init()
        try:
            known = [name for name in FORMATS if name in Image.OPEN]
            with Image.open(file, formats=known) as image:
                yield image
        except UnidentifiedImageError as error:
            if re.match(KNOWN_STARTS, start, re.DOTALL):
                raise ImageError(
                    f"{name}: broken or truncated (invalid header); get the file again"
                ) from error
            raise ImageError(
                f"{name}: not an image but {_kind(start)}; {EXPECTED}"
            ) from error
        except Image.DecompressionBombError as error:
            count = re.search(r"\d+", str(error))
            raise _too_large(name, int(count[0]) if count else 0) from error
        except ImageError:
            raise
        except Exception as error:
            # hostile bytes make decoders raise almost any exception; this is the boundary
            raise ImageError(
                f"{name}: broken or truncated ({short_reason(error)}); get the file again"
            ) from error


def _kind(start: bytes) -> str:
    """Describe the kind of file that begins with the bytes `start`."""
    for pattern, kind in SIGNATURES:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return kind
    return "a file of unknown format"


def _from_image(image: Image.Image, name: str, bits: int | None) -> RGB:
    width, height = image.size
    if width == 0 or height == 0:
        raise ImageError(f"{name}: {width} x {height} pixels; expected at least 1 x 1")
    if width * height > MAX_PIXELS:
        raise _too_large(name, width * height)
    try:
        image.load()
        rgb = _image_to_rgb(image, name, bits)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"{name}: broken or truncated ({short_reason(error)}); get the file again"
        ) from error
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        # broken EXIF data in an intact image is common; keep the stored orientation
        orientation = 1
    return _upright(rgb, orientation)


def _too_large(name: str, pixels: int) -> ImageError:
    limit = MAX_PIXELS
    if Image.MAX_IMAGE_PIXELS:
        limit = min(limit, 2 * Image.MAX_IMAGE_PIXELS)
    return ImageError(
        f"{name}: claims {pixels:,} pixels, more than the limit of {limit:,}; shrink it first"
    )


def _array_to_rgb(array: NDArray[Any], order: str, name: str, bits: int | None) -> RGB:
    """Convert an array to RGB uint8 (H, W, 3); an array that already is one is returned as it is.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bool, uint8, uint16 or float
            in [0, 1].
        order: "rgb" or "bgr".
        name: Name of the array in error messages.
        bits: Bits of uint16 values; None: 16.

    Raises:
        ImageError: If the shape, type or value range is not supported.
    """
    shape = array.shape
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))):
        hint = ""
        if len(shape) == 3 and shape[0] in (1, 3, 4):
            hint = "; move the channels to the end"
        raise ImageError(
            f"{name} has shape {shape}; expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4){hint}"
        )
    if array.size == 0:
        raise ImageError(f"{name} has shape {shape}; expected at least 1 x 1 pixels")
    pixels = to_bytes(array, name, bits)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if order == "bgr":
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    if pixels.shape[2] == 4:
        return _over_white(Image.fromarray(np.ascontiguousarray(pixels)))
    return np.ascontiguousarray(pixels)


def _image_to_rgb(image: Image.Image, name: str, bits: int | None) -> RGB:
    """Convert a decoded Pillow image to RGB uint8 (H, W, 3), composited over white."""
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return np.array(image)
    if mode.startswith("I;16"):
        return _array_to_rgb(np.asarray(image).astype(np.uint16), "rgb", name, bits)
    if mode == "I":
        levels = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        return _array_to_rgb(levels, "rgb", name, bits)
    if mode == "F":
        return _array_to_rgb(np.asarray(image), "rgb", name, bits)
    if mode == "LAB":
        raise ImageError(
            f"{name}: its colors are CIE Lab, which is not supported; save it as RGB"
        )
    # a palette (P) may contain alpha itself, which only RGBA preserves
    if "transparency" in image.info or mode in ("RGBA", "LA", "PA", "RGBa", "La", "P"):
        return _over_white(image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _over_white(image: Image.Image) -> RGB:
    """Composite an RGBA image over white."""
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return np.array(Image.alpha_composite(white, image).convert("RGB"))


def _upright(rgb: RGB, orientation: object) -> RGB:
    """Rotate and mirror `rgb` by EXIF orientation 1-8; ignore any other value."""
    transposed = {
        2: lambda: rgb[:, ::-1],
        3: lambda: rgb[::-1, ::-1],
        4: lambda: rgb[::-1],
        5: lambda: rgb.transpose(1, 0, 2),
        6: lambda: np.rot90(rgb, -1),
        7: lambda: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: lambda: np.rot90(rgb, 1),
    }
    if not isinstance(orientation, int) or orientation not in transposed:
        return np.ascontiguousarray(rgb)
    return np.ascontiguousarray(transposed[orientation]())


class _Readers:
    """Number of threads currently reading, and the warning filters to restore after the last."""

    lock = threading.Lock()
    count = 0
    saved: "warnings.catch_warnings[Any] | None" = None


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Silence Pillow's warnings while an image is read; errors are still raised.

    Warning filters are global to the process, so overlapping threads share one change and the
    last thread reverts it.
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
