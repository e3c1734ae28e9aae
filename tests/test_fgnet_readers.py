"""AR, BioID and XM2VTS: .pts files and images that need not be next to each other."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from lineament.data.readers.registry import data_set, read_data
from lineament.errors import DataError, ImageError
from lineament.io.pts import format_pts
from tiny_sets import picture, shape, text


def fgnet(count: int, shift: float = 0.0) -> str:
    """Return the text of a .pts file that counts pixels from 0."""
    return format_pts(shape(count, shift) - 1)


def test_bioid_finds_images_whatever_the_case_and_does_not_shift_points(
    tmp_path: Path,
) -> None:
    picture(tmp_path / "BioID-FaceDatabase-V1.2/BioID_0007.pgm")
    for name in ("bioid_0007", "bioid_0008"):  # the second has no image
        text(tmp_path / f"points_20/{name}.pts", fgnet(20))
    (sample,) = read_data("bioid", tmp_path, "all")
    assert sample.name == "BioID-FaceDatabase-V1.2/BioID_0007.pgm"
    assert sample.scheme == "fgnet20"
    assert np.allclose(sample.landmarks, shape(20), atol=1e-9)
    assert sample.read().shape == (12, 16, 3)
    missing = data_set("bioid").missing([sample], "all")
    assert missing == "BioID all: 1 of the official 1521 faces are here"


def test_a_wrong_number_of_points_or_a_missing_file_gives_a_one_line_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        DataError, match=r"no \.pts file below it; expected one for each"
    ):
        read_data("bioid", tmp_path, "all")
    picture(tmp_path / "bioid_0000.pgm")
    path = text(tmp_path / "bioid_0000.pts", fgnet(22))
    with pytest.raises(
        DataError,
        match=r"0000\.pts: 22 points; expected the 20 points of fgnet20: check",
    ):
        read_data("bioid", tmp_path, "all")
    path.write_text("version: 1\nn_points: 20\n{\n1 2 3\n}\n")
    with pytest.raises(DataError, match=r"0000\.pts:4: '1 2 3'; expected two numbers"):
        read_data("bioid", tmp_path, "all")


def make_ar(root: Path, name: str, suffix: str) -> None:
    folder = name.rpartition("-")[0]
    text(root / f"points_22/{folder}/{name}.pts", fgnet(22))
    if suffix != ".raw":
        picture(root / f"images/{name}{suffix}")
        return
    path = root / f"images/{name}.raw"
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.zeros((3, 576, 768), np.uint8)
    # red at the top left, green at the top right, blue at the bottom left
    planes[0, 0, 0], planes[1, 0, -1], planes[2, -1, 0] = 200, 210, 220
    planes.tofile(path)


def test_ar_reads_points_attributes_and_persons(tmp_path: Path) -> None:
    for name in ("m-001-01", "m-001-02", "w-002-19"):
        make_ar(tmp_path, name, ".bmp")
    samples = read_data("ar", tmp_path, "all")
    assert [s.group for s in samples] == ["ar_m-001", "ar_m-001", "ar_w-002"]
    assert {s.scheme for s in samples} == {"fgnet22"}
    assert np.allclose(samples[0].landmarks, shape(22), atol=1e-9)
    kinds = [[k for k, v in s.attributes.items() if v] for s in samples]
    # 19 is number 6 of the second session: light from a side
    assert kinds == [["male"], ["male", "smiling"], ["spotlight"]]
    assert len({s.is_validation() for s in samples[:2]}) == 1


def test_a_raw_image_of_ar_is_three_planes(tmp_path: Path) -> None:
    make_ar(tmp_path, "m-001-01", ".raw")
    (sample,) = read_data("ar", tmp_path, "all")
    image = pickle.loads(pickle.dumps(sample)).read()
    assert image.shape == (576, 768, 3)
    assert image[0, 0].tolist() == [200, 0, 0]
    assert image[0, -1].tolist() == [0, 210, 0]
    assert image[-1, 0].tolist() == [0, 0, 220]
    # another format is preferred
    picture(tmp_path / "converted/m-001-01.png")
    assert read_data("ar", tmp_path, "all")[0].image.suffix == ".png"
    sample.image.write_bytes(b"short")
    with pytest.raises(
        ImageError, match="5 bytes; expected 1327104, three planes of 768"
    ):
        sample.read()


def test_a_file_name_that_does_not_follow_ar_is_an_error(tmp_path: Path) -> None:
    make_ar(tmp_path, "photo-1", ".png")
    with pytest.raises(
        DataError, match=r"photo-1\.png: not named like m-001-01, by sex"
    ):
        read_data("ar", tmp_path, "all")


def test_xm2vts_reads_ibug_and_fgnet_points_separately(tmp_path: Path) -> None:
    for name in ("000_1_1", "000_4_2", "371_1_1"):
        picture(tmp_path / f"imgs/{name[:3]}/{name}.ppm")
        text(tmp_path / f"landmarks/{name}.pts", format_pts(shape(68)))
        text(tmp_path / f"markup/{name}.pts", fgnet(68, 5))
    for part, scheme, shift in (("ibug", "ibug68", 0), ("fgnet", "fgnet68", 5)):
        samples = read_data("xm2vts", tmp_path, part)
        assert [s.name for s in samples] == [
            "imgs/000/000_1_1.ppm",
            "imgs/000/000_4_2.ppm",
            "imgs/371/371_1_1.ppm",
        ]
        assert [s.group for s in samples] == ["xm2vts_000"] * 2 + ["xm2vts_371"]
        assert {s.scheme for s in samples} == {scheme}
        assert np.allclose(samples[0].landmarks, shape(68, shift), atol=1e-9)


def test_xm2vts_points_may_be_next_to_their_images(tmp_path: Path) -> None:
    picture(tmp_path / "000_1_1.png")
    text(tmp_path / "000_1_1.pts", format_pts(shape(68)))
    assert [s.name for s in read_data("xm2vts", tmp_path, "ibug")] == ["000_1_1.png"]
    with pytest.raises(DataError, match=r"no \.pts file below it"):
        read_data("xm2vts", tmp_path, "fgnet")
