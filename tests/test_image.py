"""read_image: every kind of source is read; broken and hostile ones give a clear error."""

import io
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lineament.errors import ImageError
from lineament.io.image import MAX_PIXELS, read_image
from lineament.io.input_images import read_images
from odd_images import (
    BROKEN,
    PICTURE,
    SOUND,
    encoded,
    oriented,
    palette_png,
    png,
    write,
)


def test_missing_folder_pipe_device_and_odd_paths_give_a_one_line_error(
    tmp_path: Path,
) -> None:
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    dangling = tmp_path / "dangling.jpg"
    dangling.symlink_to(tmp_path / "nowhere.jpg")
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    cases = {
        tmp_path / "none.jpg": r"none\.jpg: no such file; check the path",
        dangling: "no such file",
        "https://example.org/a.jpg": "no such file; this is a URL: download it first",
        tmp_path: "a folder, not an image; give a file",
        pipe: "a pipe, socket or device, not a file",
        Path("/dev/zero"): "a pipe, socket or device",
        loop: "cannot be opened",
        tmp_path / ("x" * 4000): "cannot be opened",
        "a\0b.jpg": "cannot be opened",
        "": "a folder, not an image|no such file",
    }
    for path, message in cases.items():
        with pytest.raises(ImageError, match=message) as caught:
            read_image(path)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 400


def test_a_file_without_permission_raises_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "secret.jpg", encoded(PICTURE, "JPEG"))
    path.chmod(0)
    if os.geteuid() == 0:  # root ignores permissions, so deny access explicitly

        def deny(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(
        ImageError, match=r"secret\.jpg: permission denied; check its permissions"
    ):
        read_image(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "cannot read an image from NoneType; expected a path, bytes"),
        (3, "cannot read an image from int"),
        ([[1, 2]], "cannot read an image from list"),
        (b"", "0 bytes: empty"),
        (io.BytesIO(b""), "BytesIO object: empty"),
        (
            io.StringIO("text"),
            "reading it returns str, not bytes; open it with mode 'rb'",
        ),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\); expected at least 1"),
        (np.zeros((5, 0), np.uint8), r"shape \(5, 0\); expected at least 1"),
        (
            np.zeros((3, 8, 9), np.uint8),
            r"shape \(3, 8, 9\); expected .* move the channels to the end",
        ),
        (np.zeros((2, 8, 9, 3), np.uint8), r"shape \(2, 8, 9, 3\); expected"),
        (np.zeros((8, 9, 2), np.uint8), r"shape \(8, 9, 2\); expected"),
        (np.zeros(7, np.uint8), r"shape \(7,\); expected"),
        (
            np.zeros((4, 4, 3), np.int64),
            r"dtype int64; expected uint8, uint16, bool, or float",
        ),
        (np.zeros((4, 4, 3), complex), "dtype complex128"),
        (np.full((4, 4), "x"), "dtype <U1"),
        (np.full((4, 4), None), "dtype object"),
        (np.full((4, 4, 3), np.nan), "contains nan or infinity"),
        (np.full((4, 4, 3), np.inf, np.float32), "contains nan or infinity"),
        (
            np.full((4, 4, 3), 128.0),
            r"floats from 128 to 128; expected \[0, 1\]: scale it, or cast it to uint8",
        ),
        (np.full((4, 4, 3), -0.5), r"floats from -0\.5"),
        (Image.new("RGB", (0, 3)), "0 x 3 pixels; expected at least 1 x 1"),
    ],
    # id by type, since reprs contain addresses that differ between test processes
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_source_of_the_wrong_kind_raises_a_clear_error(
    source: object, message: str
) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_image(source)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_a_closed_file_object_raises_a_clear_error(tmp_path: Path) -> None:
    path = write(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    with path.open("rb") as file:
        pass
    with pytest.raises(
        ImageError,
        match=r"a\.png: cannot be read \(.*closed.*\); expected a file open for reading bytes",
    ):
        read_image(file)


def test_an_unknown_order_is_named_in_the_error() -> None:
    with pytest.raises(ImageError, match="order is 'gbr'; expected 'rgb' or 'bgr'"):
        read_image(PICTURE, order="gbr")


def test_path_string_bytes_file_and_pil_image_give_equal_pixels(tmp_path: Path) -> None:
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


def test_exif_rotation_also_applies_to_pil_images() -> None:
    with Image.open(
        io.BytesIO(
            encoded(np.ascontiguousarray(np.rot90(PICTURE)), "PNG", exif=oriented(6))
        )
    ) as opened:
        assert np.array_equal(read_image(opened), PICTURE)


def test_the_channel_order_of_an_array_is_not_guessed() -> None:
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
        (np.full((2, 3), 32768, ">u2"), (128, 128, 128)),
        (np.full((2, 3, 3), 0.5, np.float32), (128, 128, 128)),  # 127.5 rounds up
        (np.full((2, 3, 3), 1.0), (255, 255, 255)),
        (
            np.broadcast_to(np.array([0, 0, 0, 128], np.uint8), (2, 3, 4)),
            (127, 127, 127),
        ),
        (np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (2, 3, 4)), (255, 255, 255)),
    ],
)
def test_arrays_of_every_allowed_kind_become_rgb_bytes(
    array: np.ndarray, expected: tuple[int, int, int]
) -> None:
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


def test_a_file_object_is_read_from_its_position() -> None:
    file = io.BytesIO(b"12345" + encoded(PICTURE, "PNG"))
    file.seek(5)
    assert np.array_equal(read_image(file), PICTURE)


def test_a_file_object_at_its_end_is_named_with_the_remedy() -> None:
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    message = rf"BytesIO object: already at its end, after {file.tell()} bytes; call its seek\(0\)"
    with pytest.raises(ImageError, match=message):
        read_image(file)


def deep(bits: int) -> np.ndarray:
    """Return PICTURE as uint16 with `largest` as maximum; value / maximum is unchanged."""
    return np.round(PICTURE.astype(float) * (2**bits - 1) / 255).astype(np.uint16)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_values_of_lower_bit_depth_are_read_if_it_is_stated(bits: int) -> None:
    # rounded to a grid at least four times as fine, a value comes back
    assert np.array_equal(read_image(deep(bits), bits=bits), PICTURE)
    png_file = encoded(Image.fromarray(deep(bits)[..., 0]), "PNG")
    assert np.array_equal(read_image(png_file, bits=bits)[..., 0], PICTURE[..., 0])


def test_values_of_lower_bit_depth_cause_a_warning_otherwise() -> None:
    highest = deep(10).max()
    message = (
        rf"array is uint16 with values up to {highest}, .* read_image\(image, bits=12\)"
    )
    with pytest.warns(UserWarning, match=message):
        read_image(deep(10))
    for array in (np.zeros((2, 3), np.uint16), np.full((2, 3), 4096, np.uint16)):
        read_image(array)  # black or full depth: a warning would be an error


def test_bits_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ImageError, match=r"array has values up to 4096, more than 12"):
        read_image(np.full((2, 3), 4096, np.uint16), bits=12)
    with pytest.raises(ImageError, match="bits is 20; expected 8 to 16"):
        read_image(deep(12), bits=20)


def test_tensors_are_read_with_channels_first_or_last() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(PICTURE)
    first = tensor.permute(2, 0, 1)
    for given in (tensor, first, first / 255, (first / 255).requires_grad_()):
        assert np.array_equal(read_image(given), PICTURE)
    assert np.array_equal(read_image(first.flip(0), order="bgr"), PICTURE)
    with pytest.raises(ImageError, match=r"Tensor cannot be read as an array .* uint8"):
        read_image((first / 255).bfloat16())
    with pytest.raises(ImageError, match=r"tensor has shape \(1, 3, .*expected"):
        read_image(first[None])
    with pytest.raises(ImageError, match="tensor contains floats from"):
        read_image(first / 255 - 0.5)


def test_a_frame_of_pyav_is_read_upright() -> None:
    av = pytest.importorskip("av")
    frame = av.VideoFrame.from_ndarray(PICTURE, format="rgb24")
    assert np.array_equal(read_image(frame), PICTURE)


def test_the_size_limit_is_checked_before_decoding_and_allows_phone_photos() -> None:
    assert MAX_PIXELS >= 12000 * 9000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = Image.open(io.BytesIO(png(12801, 10000, 1, 0, b"\0")))
    with pytest.raises(ImageError, match="claims 128,010,000 pixels"):
        read_image(lazy)


def test_pillow_warnings_do_not_leak_and_filters_are_as_before() -> None:
    # 100 million pixels: Pillow warns from 89 million on; decoding fails since rows are missing
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


def test_a_text_chunk_of_ordinary_size_is_accepted() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "x" * 10000, zip=True)
    assert np.array_equal(read_image(encoded(PICTURE, "PNG", pnginfo=info)), PICTURE)


@pytest.mark.parametrize("kind", SOUND)
def test_an_unusual_valid_file_gives_the_expected_pixels(
    kind: str, tmp_path: Path
) -> None:
    name, make, expected, tolerance = SOUND[kind]
    pixels = read_image(write(tmp_path, name, make()))
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_exif_orientation_comes_out_upright(value: int, form: str) -> None:
    # The stored image is the upright one rotated the other way (EXIF 2.3, table of tag 0x0112).
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
    quality = {
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True},
    }.get(form, {})
    pixels = read_image(
        encoded(np.ascontiguousarray(stored), form, exif=oriented(value), **quality)
    )
    assert pixels.shape == PICTURE.shape
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(int) - PICTURE).max() <= 12


# -- files that cannot be read: name, bytes, pattern of the message


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_raises_a_clear_error(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, make, message = BROKEN[kind]
    with pytest.raises(ImageError, match=message) as caught:
        read_image(write(tmp_path, name, make()))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 420
    assert capfd.readouterr() == ("", "")


def test_there_are_at_least_forty_kinds_of_broken_and_odd_files() -> None:
    assert len(BROKEN) >= 40
    assert len(SOUND) >= 40


def test_a_truncated_jpeg_is_an_image_or_an_image_error() -> None:
    whole = encoded(PICTURE, "JPEG", quality=95, subsampling=0)
    expected = read_image(whole)
    refused = 0
    for end in range(1, len(whole), 7):
        try:
            assert np.array_equal(
                read_image(whole[:end]), expected
            )  # only the end marker may be absent
        except ImageError:
            refused += 1
    assert refused >= len(range(1, len(whole), 7)) - 1


def test_a_png_with_flipped_bytes_is_an_image_or_an_image_error() -> None:
    whole = bytearray(encoded(PICTURE, "PNG"))
    for at in range(len(whole)):
        damaged = whole.copy()
        damaged[at] ^= 0x55
        ((_, result),) = read_images([bytes(damaged)])
        assert (
            "\n" not in str(result)
            if isinstance(result, ImageError)
            else result.dtype == np.uint8
        )
