"""Unusual and broken image files, made in memory, with the expected result of reading each."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def lopsided(height: int = 24, width: int = 40) -> np.ndarray:
    """Return an asymmetric image: red top left, green top right, blue bottom left, gray."""
    picture = np.full((height, width, 3), 90, dtype=np.uint8)
    picture[: height // 2, : width // 2] = (250, 10, 10)
    picture[: height // 2, width // 2 :] = (10, 240, 10)
    picture[height // 2 :, : width // 2] = (10, 10, 230)
    return picture


def encoded(picture: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    """Return the bytes of an image file of `picture`."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return (
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
    )


def png(
    width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b""
) -> bytes:
    """Return a PNG built by hand, so that its header can have any values."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = (
        chunk(b"IHDR", head)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# -- unusual but valid files: name, bytes, expected pixels, tolerance in gray levels


def cmyk_jpeg() -> bytes:
    # Pillow writes CMYK inverted with an Adobe marker, as Photoshop does.
    # Cyan 0, magenta and yellow full: red.
    return encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)


def ycck_jpeg() -> bytes:
    # The Adobe segment's last byte is the transform: 2 is YCCK. Inks are stored as 255 - ink, and
    # Y'CbCr = 0, 128, 128 decodes to R'G'B' = 0, that is to stored C'M'Y' = 255: no ink, white.
    data = bytearray(
        encoded(Image.new("CMYK", (16, 16), (255, 127, 127, 0)), "JPEG", quality=100)
    )
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
    return encoded(
        frames[0], form, save_all=True, append_images=frames[1:], duration=50, loop=0
    )


def solid(color: tuple[int, int, int], height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), color, dtype=np.uint8)


def palette_pixels(first: tuple[int, int, int]) -> np.ndarray:
    pixels = solid(RED, 2, 4)
    pixels[0, 0] = first
    return pixels


def lab_rgb() -> np.ndarray:
    return solid((7, 8, 9), 3, 5)


# 16-bit gray: 0 -> 0, 257 -> 1, 32768 -> 127.5 -> 128 (32768 / 257 = 127.502), 65535 -> 255
DEEP = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
DEEP_RGB = np.repeat(
    np.array([[0, 1, 128, 255]], dtype=np.uint8)[:, :, None], 3, axis=2
)
PICTURE = lopsided()
ALPHA = np.dstack(
    [np.zeros((2, 3, 3), np.uint8), np.array([[0, 128, 255], [0, 128, 255]], np.uint8)]
)
# black of alpha 0, 128, 255 on white: 255, 255 - 128 = 127, 0
ALPHA_RGB = np.repeat(
    np.array([[255, 127, 0], [255, 127, 0]], np.uint8)[:, :, None], 3, axis=2
)

SOUND = {
    "jpeg": (
        "a.jpg",
        lambda: encoded(PICTURE, "JPEG", quality=95, subsampling=0),
        PICTURE,
        12,
    ),
    "progressive jpeg": (
        "a.jpg",
        lambda: encoded(PICTURE, "JPEG", quality=95, progressive=True, subsampling=0),
        PICTURE,
        12,
    ),
    "upper-case suffix": (
        "A.JPEG",
        lambda: encoded(PICTURE, "JPEG", quality=95, subsampling=0),
        PICTURE,
        12,
    ),
    "png named jpg": ("png.jpg", lambda: encoded(PICTURE, "PNG"), PICTURE, 0),
    "png without suffix": ("picture", lambda: encoded(PICTURE, "PNG"), PICTURE, 0),
    "webp lossless": (
        "a.webp",
        lambda: encoded(PICTURE, "WEBP", lossless=True),
        PICTURE,
        0,
    ),
    "bmp": ("a.bmp", lambda: encoded(PICTURE, "BMP"), PICTURE, 0),
    "tiff": (
        "a.tiff",
        lambda: encoded(PICTURE, "TIFF", compression="tiff_lzw"),
        PICTURE,
        0,
    ),
    "ppm": ("a.ppm", lambda: encoded(PICTURE, "PPM"), PICTURE, 0),
    "jpeg 2000": ("a.jp2", lambda: encoded(PICTURE, "JPEG2000"), PICTURE, 0),
    "ico": (
        "a.ico",
        lambda: encoded(Image.new("RGB", (32, 32), RED), "ICO", sizes=[(32, 32)]),
        solid(RED, 32, 32),
        0,
    ),
    "grey jpeg": (
        "g.jpg",
        lambda: encoded(Image.new("L", (9, 8), 77), "JPEG"),
        solid((77, 77, 77), 8, 9),
        2,
    ),
    "one bit": (
        "1.png",
        lambda: encoded(Image.new("1", (5, 3), 1), "PNG"),
        solid(WHITE, 3, 5),
        0,
    ),
    "one pixel": (
        "1x1.png",
        lambda: encoded(solid(RED, 1, 1), "PNG"),
        solid(RED, 1, 1),
        0,
    ),
    "one row": ("1xn.png", lambda: encoded(PICTURE[:1], "PNG"), PICTURE[:1], 0),
    "one column": (
        "nx1.png",
        lambda: encoded(PICTURE[:, :1], "PNG"),
        PICTURE[:, :1],
        0,
    ),
    "rgba over white": ("rgba.png", lambda: encoded(ALPHA, "PNG"), ALPHA_RGB, 0),
    "grey with alpha over white": (
        "la.png",
        lambda: encoded(Image.fromarray(ALPHA).convert("LA"), "PNG"),
        ALPHA_RGB,
        0,
    ),
    "webp with alpha": (
        "a.webp",
        lambda: encoded(ALPHA, "WEBP", lossless=True, exact=True),
        ALPHA_RGB,
        0,
    ),
    "palette": ("p.png", palette_png, palette_pixels((0, 0, 255)), 0),
    "palette with one clear entry": (
        "p.png",
        lambda: palette_png(transparency=0),
        palette_pixels(WHITE),
        0,
    ),
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
        lambda: encoded(
            Image.frombytes("I;16B", (4, 1), DEEP.astype(">u2").tobytes()), "TIFF"
        ),
        DEEP_RGB,
        0,
    ),
    "16-bit rgb png": (
        "48.png",
        lambda: png(
            1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 0, 32896)
        ),  # 32896 = 128 x 257
        solid((255, 0, 128), 1, 1),
        0,
    ),
    "32-bit integer tiff": (
        "32.tif",
        lambda: encoded(
            Image.fromarray(np.array([[-5, 257, 32768, 99999]], np.int32)), "TIFF"
        ),
        DEEP_RGB,  # values below 0 or above 65535 are clipped
        0,
    ),
    "float tiff": (
        "f.tif",
        lambda: encoded(
            Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF"
        ),
        np.repeat(np.array([[0, 128, 255]], np.uint8)[:, :, None], 3, axis=2),
        0,
    ),
    "cmyk jpeg with Adobe marker": ("cmyk.jpg", cmyk_jpeg, solid(RED, 16, 16), 4),
    "ycck jpeg": ("ycck.jpg", ycck_jpeg, solid(WHITE, 16, 16), 4),
    "cmyk tiff": (
        "c.tif",
        lambda: encoded(Image.new("CMYK", (3, 2), (0, 0, 0, 255)), "TIFF"),
        solid(BLACK, 2, 3),
        0,
    ),
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
    "bytes after the end": (
        "tail.png",
        lambda: encoded(PICTURE, "PNG") + b"x" * 5000,
        PICTURE,
        0,
    ),
    "broken exif": (
        "x.jpg",
        lambda: encoded(
            PICTURE, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0MM\0*\xff\xff"
        ),
        PICTURE,
        12,
    ),
    "exif orientation 9": (
        "x.png",
        lambda: encoded(PICTURE, "PNG", exif=oriented(9)),
        PICTURE,
        0,
    ),
    "line break in the name": (
        "two\nlines.png",
        lambda: encoded(PICTURE, "PNG"),
        PICTURE,
        0,
    ),
    "odd letters in the name": (
        "ñ 顔 🙂 \u202e#%.png",
        lambda: encoded(PICTURE, "PNG"),
        PICTURE,
        0,
    ),
    "pattern signs in the name": (
        "a[1]*.png",
        lambda: encoded(PICTURE, "PNG"),
        PICTURE,
        0,
    ),
}


def oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def jpeg_cut(share: float) -> bytes:
    data = encoded(
        np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), "JPEG"
    )
    return data[: int(len(data) * share)]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("photo.jpg", b"x")
    return out.getvalue()


def lab_tiff() -> bytes:
    change = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return encoded(ImageCms.applyTransform(Image.fromarray(lab_rgb()), change), "TIFF")


def inflating(kind: bytes, start: bytes) -> bytes:
    # 200 MB of zeros in 200 KB of a side chunk.
    packer = zlib.compressobj(9)
    packed = (
        b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    )
    return png(1, 1, 8, 2, b"\0\1\2\3", chunk(kind, start + packed))


BMP_HUGE = b"BM" + struct.pack(
    "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0
)
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
    "empty": ("e.jpg", lambda: b"", r"e\.jpg: empty; expected JPEG"),
    "text named jpg": (
        "t.jpg",
        lambda: b"this is no picture\n",
        r"not an image but text; expected JPEG",
    ),
    "web page": (
        "h.jpg",
        lambda: b"<!DOCTYPE html><html>404</html>",
        "not an image but a web page",
    ),
    "svg": (
        "s.png",
        lambda: b'<?xml version="1.0"?>\n<svg xmlns="x"/>',
        "not an image but an SVG drawing",
    ),
    "pdf": ("d.png", lambda: b"%PDF-1.7\n\xe2\xe3", "not an image but a PDF document"),
    "mp4": ("v.jpg", lambda: b"\0\0\0\x18ftypmp42\0\0\0\0", "not an image but a video"),
    "webm": ("v.png", lambda: b"\x1aE\xdf\xa3\x01\0\0", "not an image but a video"),
    "heic": (
        "p.jpg",
        lambda: b"\0\0\0\x18ftypheic\0\0\0\0",
        "not an image but a HEIC photo; save it as JPEG",
    ),
    "zip": ("z.jpg", zipped, "not an image but an archive; unpack it"),
    "gzip": ("z.png", lambda: b"\x1f\x8b\x08\0\0", "not an image but an archive"),
    "postscript": (
        "p.jpg",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "a PostScript document",
    ),
    "photoshop": ("p.jpg", lambda: b"8BPS\0\1" + bytes(20), "a Photoshop document"),
    "git lfs pointer": (
        "l.jpg",
        lambda: b"version https://git-lfs.github.com/spec/v1\n",
        "a Git LFS pointer",
    ),
    "zeros": ("0.jpg", lambda: bytes(3000), "not an image but zeros"),
    "random bytes": (
        "r.jpg",
        lambda: np.random.default_rng(1).bytes(3000),
        "not an image but a file of unknown format",
    ),
    "one byte": ("b.jpg", lambda: b"\xff", "not an image but a file of unknown format"),
    "jpeg start alone": ("c.jpg", lambda: b"\xff\xd8\xff", "broken or truncated"),
    "jpeg cut in its header": ("c.jpg", lambda: jpeg_cut(0.05), "broken or truncated"),
    "jpeg cut at a fifth": ("c.jpg", lambda: jpeg_cut(0.2), CUT),
    "jpeg cut at half": ("c.jpg", lambda: jpeg_cut(0.5), CUT),
    "jpeg cut near its end": ("c.jpg", lambda: jpeg_cut(0.95), CUT),
    "png start alone": (
        "c.png",
        lambda: encoded(PICTURE, "PNG")[:8],
        "broken or truncated",
    ),
    "png cut at half": ("c.png", lambda: encoded(PICTURE, "PNG")[:90], CUT),
    "png with a wrong checksum": (
        "k.png",
        lambda: encoded(PICTURE, "PNG").replace(b"IHDR\0\0\0\x28", b"IHDR\0\0\0\x29"),
        "broken or truncated",
    ),
    "png of zero width": (
        "w.png",
        lambda: png(0, 5, 8, 2, b""),
        "not a picture|broken or truncated|0 x 5 pixels",
    ),
    "gif cut": ("c.gif", lambda: animation("GIF")[:30], "broken or truncated"),
    "bmp cut": ("c.bmp", lambda: encoded(PICTURE, "BMP")[:400], CUT),
    "tiff cut": (
        "c.tif",
        lambda: encoded(PICTURE, "TIFF")[:100],
        "broken or truncated",
    ),
    "webp cut": (
        "c.webp",
        lambda: encoded(PICTURE, "WEBP", lossless=True)[:40],
        "broken or truncated",
    ),
    "ppm cut": ("c.ppm", lambda: b"P6 9 9 255\nabc", CUT),
    "png that claims 50000 x 50000": (
        "bomb.png",
        lambda: png(50000, 50000, 8, 2, b"\0"),
        r"claims 2,500,000,000 pixels, more than the limit of 128,000,000; shrink it first",
    ),
    "png just over the limit": (
        "big.png",
        lambda: png(12801, 10000, 1, 0, b"\0"),
        "claims 128,010,000 pixels",
    ),
    "bmp that claims 60000 x 60000": (
        "bomb.bmp",
        lambda: BMP_HUGE,
        "claims 3,600,000,000 pixels",
    ),
    "gif that claims 65535 x 65535": (
        "bomb.gif",
        lambda: GIF_HUGE,
        "claims 4,294,836,225 pixels",
    ),
    "png whose profile inflates": (
        "iccp.png",
        lambda: inflating(b"iCCP", b"p\0\0"),
        CUT,
    ),
    "png whose text inflates": ("ztxt.png", lambda: inflating(b"zTXt", b"t\0\0"), CUT),
    "float tiff over one": (
        "f.tif",
        lambda: encoded(Image.fromarray(np.full((2, 2), 200, np.float32)), "TIFF"),
        r"floats from 200 to 200; expected \[0, 1\]",
    ),
    "float tiff with nan": (
        "n.tif",
        lambda: encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"),
        "nan",
    ),
    "lab tiff": (
        "lab.tif",
        lab_tiff,
        "colors are CIE Lab, which is not supported; save it as RGB",
    ),
    "line break in the name": (
        "two\nlines.jpg",
        lambda: b"",
        r"two\\nlines\.jpg'?: empty",
    ),
}
