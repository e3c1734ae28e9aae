"""Reading the faces of a protocol: its own part, its own scheme, the counts of its reader."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.data.readers.registry import data_set, read_data
from lineament.data.readers.wflw import ATTRIBUTES
from lineament.errors import ProtocolError
from lineament.evaluation.protocol_data import read_protocol
from lineament.evaluation.protocols import PROTOCOLS, count_note, protocol


def write_face(folder: Path, name: str, points: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), np.full((120, 120, 3), 90, np.uint8))
    (folder / f"{name}.pts").write_text("\n".join(f"{x + 1} {y + 1}" for x, y in points))


def shape(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(10, 100, (count, 2))


def test_a_protocol_reads_its_own_part_in_the_official_folders(tmp_path: Path) -> None:
    for folder in ("helen/testset", "lfpw/testset", "helen/trainset"):
        write_face(tmp_path / "300w" / folder, "a_1", shape(68))
    fixed, samples = read_protocol("300w-common", tmp_path)
    assert fixed == protocol("300w-common")
    assert [s.subset for s in samples] == ["helen/testset", "lfpw/testset"]


def test_the_folder_protocol_takes_its_scheme_from_the_points_or_as_said(tmp_path: Path) -> None:
    write_face(tmp_path / "mine", "a", shape(98))
    fixed, samples = read_protocol("folder", tmp_path)
    assert (fixed.scheme, samples[0].scheme, len(samples)) == ("wflw98", "wflw98", 1)
    write_face(tmp_path / "theirs", "a", shape(68))
    for said, found in ((None, "ibug68"), ("fgnet68", "fgnet68")):
        fixed, samples = read_protocol("folder", tmp_path / "theirs", said)
        assert (fixed.scheme, samples[0].scheme) == (found, found)


def test_a_scheme_that_the_points_are_not_is_refused(tmp_path: Path) -> None:
    write_face(tmp_path, "a", shape(68))
    with pytest.raises(
        ProtocolError, match=r"a.png has ibug68 points, protocol 'folder' is scored on wflw98"
    ):
        read_protocol("folder", tmp_path, "wflw98")


def test_a_protocol_without_faces_says_which_data_to_give(tmp_path: Path) -> None:
    with pytest.raises(
        ProtocolError, match="protocol 'folder' has no data of its own; give a folder"
    ):
        read_protocol("folder")
    with pytest.raises(
        ProtocolError, match="selects none of the 0 faces given; give the 'common' part of"
    ):
        read_protocol("300w-common", tmp_path)


def test_every_protocol_names_a_reader_and_a_part_of_it_with_the_same_count() -> None:
    for name in PROTOCOLS:
        found = protocol(name)
        counts = data_set(found.data).parts
        assert found.part in counts
        if found.select == "all":
            assert counts[found.part] == (found.videos if found.videos else found.faces), name


def test_the_subsets_of_wflw_are_attributes_that_its_reader_gives() -> None:
    assert {subset.attribute for subset in protocol("wflw").subsets} == set(ATTRIBUTES)


@pytest.mark.data
def test_300w_common_is_complete_here(data_root: Path) -> None:
    fixed, samples = read_protocol("300w-common", data_root)
    assert count_note(fixed, samples) == ""
    assert [sum(subset.has(s) for s in samples) for subset in fixed.subsets] == [330, 224]


@pytest.mark.data
def test_validation_is_about_a_tenth_and_shares_no_photo_with_the_rest(data_root: Path) -> None:
    faces = 1960 + 804 + 337  # HELEN, LFPW and AFW, by the data README
    _, tenth = read_protocol("300w-val", data_root)
    assert 0.07 * faces < len(tenth) < 0.13 * faces
    rest = [s for s in read_data("300w", data_root, "train") if not s.is_validation()]
    assert len(tenth) + len(rest) == faces
    # helen and afw number the faces of a photo
    photos = [{f"{s.subset}/{s.group or s.image.stem}" for s in part} for part in (tenth, rest)]
    assert not photos[0] & photos[1]
    assert not {s.subset for s in tenth} & {"helen/testset", "lfpw/testset"}


@pytest.mark.data
def test_talking_face_is_complete_here(data_root: Path) -> None:
    fixed, samples = read_protocol("talking-face-7", data_root)
    assert count_note(fixed, samples) == ""
