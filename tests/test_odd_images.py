"""read_image: odd files give the right pixels, broken and hostile ones one clear line."""

from pathlib import Path

import numpy as np
import pytest

from lineament.errors import ImageError
from lineament.io.image import read_image
from lineament.io.input_images import read_images
from odd_images import BROKEN, PICTURE, SOUND, encoded, oriented, write


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
def test_a_broken_file_is_one_clear_line(
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
