"""read_image, read_images, find_images: odd files give the right pixels, broken and hostile ones one clear line."""

import io
import os
import re
import struct
import threading
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from lineament.errors import ImageError
from lineament.image import MAX_PIXELS, find_images, read_image, read_images

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def lopsided(height: int = 24, width: int = 40) -> np.ndarray:
    """A picture that no turn or mirror maps to itself: red top left, green top right, blue bottom left, grey."""
    picture = np.full((height, width, 3), 90, dtype=np.uint8)
    picture[: height // 2, : width // 2] = (250, 10, 10)
    picture[: height // 2, width // 2 :] = (10, 240, 10)
    picture[height // 2 :, : width // 2] = (10, 10, 230)
    return picture


def encoded(picture: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    """The bytes of a file of `picture`."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG made by hand, so that its header may claim anything."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# -- odd files that are sound: name, bytes, expected pixels, tolerance in grey levels


def cmyk_jpeg() -> bytes:
    # Pillow writes CMYK inverted with an Adobe marker, as Photoshop does. Cyan 0, magenta and yellow full: red.
    return encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)


def ycck_jpeg() -> bytes:
    # The Adobe segment's last byte is the transform: 2 says YCCK. Inks are stored as 255 - ink, and
    # Y'CbCr = 0, 128, 128 decodes to R'G'B' = 0, that is to stored C'M'Y' = 255: no ink, white.
    data = bytearray(encoded(Image.new("CMYK", (16, 16), (255, 127, 127, 0)), "JPEG", quality=100))
    at = data.index(b"Adobe")
    data[at + 11] = 2
    return bytes(data)


def palette_png(**options: object) -> bytes:
    image = Image.new("P", (4, 2), 1)
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.putpixel((0, 0), 0)
    return encoded(image, "PNG", **options)


def animation(form: str) -> bytes:
    frames = [Image.new("RGB", (6, 4), color) for color in (RED, BLACK, WHITE)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50, loop=0)


def solid(color: tuple[int, int, int], height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), color, dtype=np.uint8)


def palette_pixels(first: tuple[int, int, int]) -> np.ndarray:
    pixels = solid(RED, 2, 4)
    pixels[0, 0] = first
    return pixels


def lab_rgb() -> np.ndarray:
    return solid((7, 8, 9), 3, 5)


# 16-bit grey: 0 -> 0, 257 -> 1, 32768 -> 127.5 -> 128 (32768 / 257 = 127.502), 65535 -> 255
DEEP = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
DEEP_RGB = np.repeat(np.array([[0, 1, 128, 255]], dtype=np.uint8)[:, :, None], 3, axis=2)
PICTURE = lopsided()
ALPHA = np.dstack([np.zeros((2, 3, 3), np.uint8), np.array([[0, 128, 255], [0, 128, 255]], np.uint8)])
# black of alpha 0, 128, 255 on white: 255, 255 - 128 = 127, 0
ALPHA_RGB = np.repeat(np.array([[255, 127, 0], [255, 127, 0]], np.uint8)[:, :, None], 3, axis=2)

SOUND = {
    "jpeg": ("a.jpg", lambda: encoded(PICTURE, "JPEG", quality=95, subsampling=0), PICTURE, 12),
    "progressive jpeg": (
        "a.jpg",
        lambda: encoded(PICTURE, "JPEG", quality=95, progressive=True, subsampling=0),
        PICTURE,
        12,
    ),
    "upper-case suffix": ("A.JPEG", lambda: encoded(PICTURE, "JPEG", quality=95, subsampling=0), PICTURE, 12),
    "png named jpg": ("png.jpg", lambda: encoded(PICTURE, "PNG"), PICTURE, 0),
    "png without suffix": ("picture", lambda: encoded(PICTURE, "PNG"), PICTURE, 0),
    "webp lossless": ("a.webp", lambda: encoded(PICTURE, "WEBP", lossless=True), PICTURE, 0),
    "bmp": ("a.bmp", lambda: encoded(PICTURE, "BMP"), PICTURE, 0),
    "tiff": ("a.tiff", lambda: encoded(PICTURE, "TIFF", compression="tiff_lzw"), PICTURE, 0),
    "ppm": ("a.ppm", lambda: encoded(PICTURE, "PPM"), PICTURE, 0),
    "jpeg 2000": ("a.jp2", lambda: encoded(PICTURE, "JPEG2000"), PICTURE, 0),
    "ico": ("a.ico", lambda: encoded(Image.new("RGB", (32, 32), RED), "ICO", sizes=[(32, 32)]), solid(RED, 32, 32), 0),
    "grey jpeg": ("g.jpg", lambda: encoded(Image.new("L", (9, 8), 77), "JPEG"), solid((77, 77, 77), 8, 9), 2),
    "one bit": ("1.png", lambda: encoded(Image.new("1", (5, 3), 1), "PNG"), solid(WHITE, 3, 5), 0),
    "one pixel": ("1x1.png", lambda: encoded(solid(RED, 1, 1), "PNG"), solid(RED, 1, 1), 0),
    "one row": ("1xn.png", lambda: encoded(PICTURE[:1], "PNG"), PICTURE[:1], 0),
    "one column": ("nx1.png", lambda: encoded(PICTURE[:, :1], "PNG"), PICTURE[:, :1], 0),
    "rgba over white": ("rgba.png", lambda: encoded(ALPHA, "PNG"), ALPHA_RGB, 0),
    "grey with alpha over white": (
        "la.png",
        lambda: encoded(Image.fromarray(ALPHA).convert("LA"), "PNG"),
        ALPHA_RGB,
        0,
    ),
    "webp with alpha": ("a.webp", lambda: encoded(ALPHA, "WEBP", lossless=True, exact=True), ALPHA_RGB, 0),
    "palette": ("p.png", palette_png, palette_pixels((0, 0, 255)), 0),
    "palette with one clear entry": ("p.png", lambda: palette_png(transparency=0), palette_pixels(WHITE), 0),
    "palette with alpha bytes": (
        "p.png",
        lambda: palette_png(transparency=bytes([128, 255])),
        palette_pixels((127, 127, 255)),  # blue of alpha 128 on white
        0,
    ),
    "rgb with a clear color": (
        "t.png",
        lambda: encoded(Image.new("RGB", (4, 3), RED), "PNG", transparency=RED),
        solid(WHITE, 3, 4),
        0,
    ),
    "16-bit png": ("16.png", lambda: encoded(DEEP, "PNG"), DEEP_RGB, 0),
    "16-bit tiff": ("16.tif", lambda: encoded(DEEP, "TIFF"), DEEP_RGB, 0),
    "16-bit big-endian tiff": (
        "16b.tif",
        lambda: encoded(Image.frombytes("I;16B", (4, 1), DEEP.astype(">u2").tobytes()), "TIFF"),
        DEEP_RGB,
        0,
    ),
    "16-bit rgb png": (
        "48.png",
        lambda: png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 0, 32896)),  # 32896 = 128 x 257
        solid((255, 0, 128), 1, 1),
        0,
    ),
    "32-bit integer tiff": (
        "32.tif",
        lambda: encoded(Image.fromarray(np.array([[-5, 257, 32768, 99999]], np.int32)), "TIFF"),
        DEEP_RGB,  # what is under 0 or over 65535 is clipped
        0,
    ),
    "float tiff": (
        "f.tif",
        lambda: encoded(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF"),
        np.repeat(np.array([[0, 128, 255]], np.uint8)[:, :, None], 3, axis=2),
        0,
    ),
    "cmyk jpeg with Adobe marker": ("cmyk.jpg", cmyk_jpeg, solid(RED, 16, 16), 4),
    "ycck jpeg": ("ycck.jpg", ycck_jpeg, solid(WHITE, 16, 16), 4),
    "cmyk tiff": ("c.tif", lambda: encoded(Image.new("CMYK", (3, 2), (0, 0, 0, 255)), "TIFF"), solid(BLACK, 2, 3), 0),
    "ycbcr tiff": (
        "y.tif",
        lambda: encoded(Image.new("YCbCr", (3, 2), (255, 128, 128)), "TIFF"),
        solid(WHITE, 2, 3),
        1,
    ),
    "animated gif": ("a.gif", lambda: animation("GIF"), solid(RED, 4, 6), 0),
    "animated png": ("a.png", lambda: animation("PNG"), solid(RED, 4, 6), 0),
    "animated webp": ("a.webp", lambda: animation("WEBP"), solid(RED, 4, 6), 8),
    "multi-page tiff": ("m.tif", lambda: animation("TIFF"), solid(RED, 4, 6), 0),
    "jpeg of two pictures": ("a.mpo", lambda: animation("MPO"), solid(RED, 4, 6), 4),
    "bytes after the end": ("tail.png", lambda: encoded(PICTURE, "PNG") + b"x" * 5000, PICTURE, 0),
    "broken exif": (
        "x.jpg",
        lambda: encoded(PICTURE, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0MM\0*\xff\xff"),
        PICTURE,
        12,
    ),
    "exif orientation 9": ("x.png", lambda: encoded(PICTURE, "PNG", exif=oriented(9)), PICTURE, 0),
    "line break in the name": ("two\nlines.png", lambda: encoded(PICTURE, "PNG"), PICTURE, 0),
    "odd letters in the name": ("ñ 顔 🙂 \u202e#%.png", lambda: encoded(PICTURE, "PNG"), PICTURE, 0),
    "pattern signs in the name": ("a[1]*.png", lambda: encoded(PICTURE, "PNG"), PICTURE, 0),
}


def oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_file_gives_its_pixels(kind: str, tmp_path: Path) -> None:
    name, make, expected, tolerance = SOUND[kind]
    pixels = read_image(write(tmp_path, name, make()))
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_exif_orientation_comes_out_upright(value: int, form: str) -> None:
    # The stored picture is the upright one turned the other way (EXIF 2.3, table of tag 0x0112).
    stored = {
        1: PICTURE,
        2: PICTURE[:, ::-1],
        3: PICTURE[::-1, ::-1],
        4: PICTURE[::-1],
        5: PICTURE.transpose(1, 0, 2),
        6: np.rot90(PICTURE, 1),
        7: PICTURE[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PICTURE, -1),
    }[value]
    quality = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    pixels = read_image(encoded(np.ascontiguousarray(stored), form, exif=oriented(value), **quality))
    assert pixels.shape == PICTURE.shape
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(int) - PICTURE).max() <= 12


# -- files that cannot be read: name, bytes, pattern of the message


def jpeg_cut(share: float) -> bytes:
    data = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), "JPEG")
    return data[: int(len(data) * share)]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("photo.jpg", b"x")
    return out.getvalue()


def lab_tiff() -> bytes:
    change = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return encoded(ImageCms.applyTransform(Image.fromarray(lab_rgb()), change), "TIFF")


def inflating(kind: bytes, start: bytes) -> bytes:
    # 200 MB of zeros in 200 KB of a side chunk.
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    return png(1, 1, 8, 2, b"\0\1\2\3", chunk(kind, start + packed))


BMP_HUGE = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
GIF_HUGE = (
    b"GIF89a"
    + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0)
    + bytes(6)
    + b","
    + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    + b"\x02\x02\x44\x01\x00;"
)
CUT = r"broken or truncated \(.+\); get the file again"

BROKEN = {
    "empty": ("e.jpg", lambda: b"", r"e\.jpg: empty; wanted JPEG"),
    "text named jpg": ("t.jpg", lambda: b"this is no picture\n", r"not a picture but text; wanted JPEG"),
    "web page": ("h.jpg", lambda: b"<!DOCTYPE html><html>404</html>", "not a picture but a web page"),
    "svg": ("s.png", lambda: b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "not a picture but an SVG drawing"),
    "pdf": ("d.png", lambda: b"%PDF-1.7\n\xe2\xe3", "not a picture but a PDF document"),
    "mp4": ("v.jpg", lambda: b"\0\0\0\x18ftypmp42\0\0\0\0", "not a picture but a video"),
    "webm": ("v.png", lambda: b"\x1aE\xdf\xa3\x01\0\0", "not a picture but a video"),
    "heic": ("p.jpg", lambda: b"\0\0\0\x18ftypheic\0\0\0\0", "not a picture but a HEIC photo; save it as JPEG"),
    "zip": ("z.jpg", zipped, "not a picture but an archive; unpack it"),
    "gzip": ("z.png", lambda: b"\x1f\x8b\x08\0\0", "not a picture but an archive"),
    "postscript": ("p.jpg", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript document"),
    "photoshop": ("p.jpg", lambda: b"8BPS\0\1" + bytes(20), "a Photoshop document"),
    "git lfs pointer": ("l.jpg", lambda: b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "zeros": ("0.jpg", lambda: bytes(3000), "not a picture but zeros"),
    "random bytes": ("r.jpg", lambda: np.random.default_rng(1).bytes(3000), "not a picture but unknown bytes"),
    "one byte": ("b.jpg", lambda: b"\xff", "not a picture but unknown bytes"),
    "jpeg start alone": ("c.jpg", lambda: b"\xff\xd8\xff", "broken or truncated"),
    "jpeg cut in its header": ("c.jpg", lambda: jpeg_cut(0.05), "broken or truncated"),
    "jpeg cut at a fifth": ("c.jpg", lambda: jpeg_cut(0.2), CUT),
    "jpeg cut at half": ("c.jpg", lambda: jpeg_cut(0.5), CUT),
    "jpeg cut near its end": ("c.jpg", lambda: jpeg_cut(0.95), CUT),
    "png start alone": ("c.png", lambda: encoded(PICTURE, "PNG")[:8], "broken or truncated"),
    "png cut at half": ("c.png", lambda: encoded(PICTURE, "PNG")[:90], CUT),
    "png with a wrong checksum": (
        "k.png",
        lambda: encoded(PICTURE, "PNG").replace(b"IHDR\0\0\0\x28", b"IHDR\0\0\0\x29"),
        "broken or truncated",
    ),
    "png of zero width": ("w.png", lambda: png(0, 5, 8, 2, b""), "not a picture|broken or truncated|0 x 5 pixels"),
    "gif cut": ("c.gif", lambda: animation("GIF")[:30], "broken or truncated"),
    "bmp cut": ("c.bmp", lambda: encoded(PICTURE, "BMP")[:400], CUT),
    "tiff cut": ("c.tif", lambda: encoded(PICTURE, "TIFF")[:100], "broken or truncated"),
    "webp cut": ("c.webp", lambda: encoded(PICTURE, "WEBP", lossless=True)[:40], "broken or truncated"),
    "ppm cut": ("c.ppm", lambda: b"P6 9 9 255\nabc", CUT),
    "png that claims 50000 x 50000": (
        "bomb.png",
        lambda: png(50000, 50000, 8, 2, b"\0"),
        r"claims 2,500,000,000 pixels, more than the 128,000,000 that are opened; shrink it first",
    ),
    "png just over the limit": ("big.png", lambda: png(12801, 10000, 1, 0, b"\0"), "claims 128,010,000 pixels"),
    "bmp that claims 60000 x 60000": ("bomb.bmp", lambda: BMP_HUGE, "claims 3,600,000,000 pixels"),
    "gif that claims 65535 x 65535": ("bomb.gif", lambda: GIF_HUGE, "claims 4,294,836,225 pixels"),
    "png whose profile inflates": ("iccp.png", lambda: inflating(b"iCCP", b"p\0\0"), CUT),
    "png whose text inflates": ("ztxt.png", lambda: inflating(b"zTXt", b"t\0\0"), CUT),
    "float tiff over one": (
        "f.tif",
        lambda: encoded(Image.fromarray(np.full((2, 2), 200, np.float32)), "TIFF"),
        r"floats from 200 to 200; wanted \[0, 1\]",
    ),
    "float tiff with nan": (
        "n.tif",
        lambda: encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"),
        "nan",
    ),
    "lab tiff": ("lab.tif", lab_tiff, "colors are CIE Lab, which is not read; save it as RGB"),
    "line break in the name": ("two\nlines.jpg", lambda: b"", r"two\\nlines\.jpg'?: empty"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_one_clear_line(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name, make, message = BROKEN[kind]
    with pytest.raises(ImageError, match=message) as caught:
        read_image(write(tmp_path, name, make()))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 420
    assert capfd.readouterr() == ("", "")


def test_there_are_at_least_forty_kinds_of_broken_and_odd_files() -> None:
    assert len(BROKEN) >= 40
    assert len(SOUND) >= 40


def test_a_jpeg_cut_anywhere_is_an_error_or_whole_but_never_another_exception() -> None:
    whole = encoded(PICTURE, "JPEG", quality=95, subsampling=0)
    expected = read_image(whole)
    refused = 0
    for end in range(1, len(whole), 7):
        try:
            assert np.array_equal(read_image(whole[:end]), expected)  # only the end marker may be absent
        except ImageError:
            refused += 1
    assert refused >= len(range(1, len(whole), 7)) - 1


def test_a_png_with_flipped_bytes_never_raises_anything_else() -> None:
    whole = bytearray(encoded(PICTURE, "PNG"))
    for at in range(len(whole)):
        damaged = whole.copy()
        damaged[at] ^= 0x55
        ((_, result),) = read_images([bytes(damaged)])
        assert "\n" not in str(result) if isinstance(result, ImageError) else result.dtype == np.uint8


# -- things that are not files of pictures


def test_missing_folder_pipe_device_and_odd_paths_are_one_line(tmp_path: Path) -> None:
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    dangling = tmp_path / "dangling.jpg"
    dangling.symlink_to(tmp_path / "nowhere.jpg")
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    cases = {
        tmp_path / "none.jpg": r"none\.jpg: no such file; check the path",
        dangling: "no such file",
        "https://example.org/a.jpg": "no such file; this is an address: download it first",
        tmp_path: "a folder, not a picture; give a file",
        pipe: "a pipe, socket or device, not a file",
        Path("/dev/zero"): "a pipe, socket or device",
        loop: "cannot be opened",
        tmp_path / ("x" * 4000): "cannot be opened",
        "a\0b.jpg": "cannot be opened",
        "": "a folder, not a picture|no such file",
    }
    for path, message in cases.items():
        with pytest.raises(ImageError, match=message) as caught:
            read_image(path)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 400


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "secret.jpg", encoded(PICTURE, "JPEG"))
    path.chmod(0)
    if os.geteuid() == 0:  # permissions do not bind the superuser: deny by hand

        def deny(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(ImageError, match=r"secret\.jpg: may not be read; check its permissions"):
        read_image(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "cannot read a picture from NoneType; wanted a path, bytes"),
        (3, "cannot read a picture from int"),
        ([[1, 2]], "cannot read a picture from list"),
        (b"", "0 bytes: empty"),
        (io.BytesIO(b""), "BytesIO object: empty"),
        (io.StringIO("text"), "gives str, not bytes; open it with mode 'rb'"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\), no pixels"),
        (np.zeros((5, 0), np.uint8), r"shape \(5, 0\), no pixels"),
        (np.zeros((3, 8, 9), np.uint8), r"shape \(3, 8, 9\); wanted .* move the channels to the end"),
        (np.zeros((2, 8, 9, 3), np.uint8), r"shape \(2, 8, 9, 3\); wanted"),
        (np.zeros((8, 9, 2), np.uint8), r"shape \(8, 9, 2\); wanted"),
        (np.zeros(7, np.uint8), r"shape \(7,\); wanted"),
        (np.zeros((4, 4, 3), np.int64), r"dtype int64; wanted uint8, uint16, bool, or float"),
        (np.zeros((4, 4, 3), complex), "dtype complex128"),
        (np.full((4, 4), "x"), "dtype <U1"),
        (np.full((4, 4), None), "dtype object"),
        (np.full((4, 4, 3), np.nan), "holds nan or infinity"),
        (np.full((4, 4, 3), np.inf, np.float32), "holds nan or infinity"),
        (np.full((4, 4, 3), 128.0), r"floats from 128 to 128; wanted \[0, 1\]: scale it, or cast it to uint8"),
        (np.full((4, 4, 3), -0.5), r"floats from -0\.5"),
        (Image.new("RGB", (0, 3)), "0 x 3 pixels; wanted at least 1 x 1"),
    ],
    # by type: an object's text holds its address, which differs between the processes that share the tests
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_source_of_the_wrong_kind_is_one_clear_line(source: object, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_image(source)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_a_closed_file_object_is_one_clear_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    with path.open("rb") as file:
        pass
    with pytest.raises(
        ImageError, match=r"a\.png: cannot be read \(.*closed.*\); wanted a file open for reading bytes"
    ):
        read_image(file)


def test_an_unknown_order_is_named() -> None:
    with pytest.raises(ImageError, match="order is 'gbr'; wanted 'rgb' or 'bgr'"):
        read_image(PICTURE, order="gbr")


# -- every kind of source, one result


def test_path_text_bytes_file_and_pil_image_give_the_same(tmp_path: Path) -> None:
    data = encoded(PICTURE, "PNG")
    path = write(tmp_path, "a.png", data)
    with path.open("rb") as file:
        from_file = read_image(file)
    with Image.open(path) as opened:
        from_open = read_image(opened)
    sources = [
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        Image.fromarray(PICTURE),
        PICTURE,
    ]
    for pixels in [from_file, from_open, *(read_image(source) for source in sources)]:
        assert np.array_equal(pixels, PICTURE)


def test_a_pil_image_is_turned_by_its_exif_too() -> None:
    with Image.open(io.BytesIO(encoded(np.ascontiguousarray(np.rot90(PICTURE)), "PNG", exif=oriented(6)))) as opened:
        assert np.array_equal(read_image(opened), PICTURE)


def test_the_order_of_an_array_is_said_not_guessed() -> None:
    assert np.array_equal(read_image(PICTURE[:, :, ::-1], order="bgr"), PICTURE)
    assert np.array_equal(read_image(PICTURE), PICTURE)
    blue = np.zeros((1, 1, 4), np.uint8)
    blue[0, 0] = (255, 0, 0, 255)
    assert read_image(blue, order="bgr")[0, 0].tolist() == [0, 0, 255]
    assert read_image(blue)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 3, 1), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 3), True), (255, 255, 255)),
        (np.full((2, 3), 32768, np.uint16), (128, 128, 128)),
        (np.full((2, 3, 3), 0.5, np.float32), (128, 128, 128)),  # 127.5 rounds up
        (np.full((2, 3, 3), 1.0), (255, 255, 255)),
        (np.broadcast_to(np.array([0, 0, 0, 128], np.uint8), (2, 3, 4)), (127, 127, 127)),
        (np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (2, 3, 4)), (255, 255, 255)),
    ],
)
def test_arrays_of_every_allowed_kind_become_rgb_bytes(array: np.ndarray, expected: tuple[int, int, int]) -> None:
    pixels = read_image(array)
    assert pixels.shape == (2, 3, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == expected).all()


def test_an_rgb_array_is_shared_and_never_written_to() -> None:
    assert np.shares_memory(read_image(PICTURE), PICTURE)
    frozen = PICTURE[:, ::-1]
    before = frozen.copy()
    assert read_image(frozen).flags.c_contiguous
    assert np.array_equal(frozen, before)


def test_a_file_object_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"12345" + encoded(PICTURE, "PNG"))
    file.seek(5)
    assert np.array_equal(read_image(file), PICTURE)


def test_the_limit_is_checked_before_decoding_and_holds_the_largest_telephone() -> None:
    assert MAX_PIXELS >= 12000 * 9000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = Image.open(io.BytesIO(png(12801, 10000, 1, 0, b"\0")))
    with pytest.raises(ImageError, match="claims 128,010,000 pixels"):
        read_image(lazy)


def test_pillow_warnings_do_not_leak_and_filters_are_as_before() -> None:
    # 100 million pixels: Pillow warns from 89 million on. Here the decoding then fails for want of rows.
    data = png(10000, 10000, 1, 0, b"\0")
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        inside = list(warnings.filters)
        with pytest.raises(ImageError, match="broken or truncated"):
            read_image(data)
        read_image(palette_png(transparency=bytes([128, 255])))
        assert list(warnings.filters) == inside
    assert seen == []
    assert list(warnings.filters) == before


def test_many_threads_read_at_once_and_leave_the_filters_as_before() -> None:
    data, before, wrong = encoded(PICTURE, "PNG"), list(warnings.filters), []

    def work() -> None:
        for _ in range(30):
            if not np.array_equal(read_image(data), PICTURE):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert list(warnings.filters) == before


def test_a_text_chunk_of_ordinary_size_is_no_bomb() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "x" * 10000, zip=True)
    assert np.array_equal(read_image(encoded(PICTURE, "PNG", pnginfo=info)), PICTURE)


# -- folders, patterns, batches


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.PNG", "a.jpg", "sub/c.webp", "sub/deep/d.tiff", ".hidden.png", ".cache/e.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path, name, encoded(PICTURE, "PNG"))
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    return tmp_path


def test_a_folder_gives_its_pictures_sorted_without_hidden_ones_or_endless_links(tree: Path) -> None:
    names = [p.relative_to(tree).as_posix() for p in find_images(tree)]
    assert names == ["a.jpg", "b.PNG", "sub/c.webp", "sub/deep/d.tiff"]


def test_files_folders_and_patterns_mix_and_each_picture_comes_once(tree: Path) -> None:
    found = find_images([tree / "sub/deep/d.tiff", str(tree / "*.jpg"), tree, tree / "notes.txt"])
    names = [p.relative_to(tree).as_posix() for p in found]
    assert names == ["sub/deep/d.tiff", "a.jpg", "b.PNG", "sub/c.webp", "notes.txt"]


def test_patterns_reach_below_and_leave_out_hidden_names(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {p.name for p in find_images(tree / "**" / "*.[tw][ie]*")} == {"c.webp", "d.tiff"}
    with pytest.raises(ImageError, match="no file matches this pattern"):
        find_images(str(tree / "*.png"))  # only the hidden one would
    monkeypatch.chdir(tree / "sub")
    assert find_images("../*.jpg") == [Path("../a.jpg")]
    assert [p.name for p in find_images(tree / ".cache" / "*")] == ["e.png"]


def test_a_file_named_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a[1].png", encoded(PICTURE, "PNG"))
    assert find_images(path) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jpg", r"none\.jpg: no such file or folder; check the path"),
        ("*.xyz", r"\*\.xyz: no file matches this pattern; check it"),
        ("void", "void: no picture in this folder or below it; wanted JPEG"),
        ("x\0y", "not a path|no such file"),
    ],
)
def test_a_path_that_gives_nothing_is_an_error(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    with pytest.raises(ImageError, match=message) as caught:
        find_images(str(tmp_path / name))
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_may_not_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(ImageError, match=r"cannot be listed \(Permission denied\); check its permissions"):
        find_images(tmp_path)


def test_a_batch_lists_what_failed_and_goes_on(tmp_path: Path) -> None:
    good, bad = write(tmp_path, "1.png", encoded(PICTURE, "PNG")), write(tmp_path, "2.png", b"")
    last = write(tmp_path, "3.png", encoded(PICTURE, "PNG"))
    results = list(read_images([tmp_path, tmp_path / "absent.png", PICTURE]))
    assert [source for source, _ in results[:4]] == [good, bad, last, tmp_path / "absent.png"]
    kinds = [isinstance(result, ImageError) for _, result in results]
    assert kinds == [False, True, False, True, False]
    assert re.search("empty", str(results[1][1]))
    assert np.array_equal(results[4][1], PICTURE)


def test_no_sources_is_an_empty_batch() -> None:
    assert list(read_images([])) == []
    assert find_images([]) == []
