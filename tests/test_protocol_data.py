"""Reading the faces of a protocol: its part, its scheme, its count, and what is missing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.data.readers.registry import data_set, read_data
from lineament.data.readers.wflw import ATTRIBUTES
from lineament.errors import ProtocolError
from lineament.evaluation.protocol_data import read_protocol
from lineament.evaluation.protocol_faces import count_note
from lineament.evaluation.protocols import PROTOCOLS, protocol


def write_face(folder: Path, name: str, points: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), np.full((120, 120, 3), 90, np.uint8))
    (folder / f"{name}.pts").write_text(
        "\n".join(f"{x + 1} {y + 1}" for x, y in points)
    )


def shape(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(10, 100, (count, 2))


def test_a_protocol_reads_its_own_part_in_the_official_folders(tmp_path: Path) -> None:
    for folder in ("helen/testset", "lfpw/testset", "helen/trainset"):
        write_face(tmp_path / "300w" / folder, "a_1", shape(68))
    data = read_protocol("300w-common", tmp_path, allow_missing=True)
    assert data.protocol == protocol("300w-common")
    assert [s.subset for s in data.samples] == ["helen/testset", "lfpw/testset"]
    assert data.missing == ()


def test_the_folder_protocol_takes_its_scheme_from_the_points_or_as_given(
    tmp_path: Path,
) -> None:
    write_face(tmp_path / "mine", "a", shape(98))
    data = read_protocol("folder", tmp_path)
    assert (data.protocol.scheme, data.samples[0].scheme) == ("wflw98", "wflw98")
    assert len(data.samples) == 1
    write_face(tmp_path / "theirs", "a", shape(68))
    for given, found in ((None, "ibug68"), ("fgnet68", "fgnet68")):
        data = read_protocol("folder", tmp_path / "theirs", given)
        assert (data.protocol.scheme, data.samples[0].scheme) == (found, found)


def test_a_scheme_with_another_number_of_points_is_rejected(tmp_path: Path) -> None:
    write_face(tmp_path, "a", shape(68))
    with pytest.raises(
        ProtocolError,
        match=r"a.png has ibug68 points, protocol 'folder' is scored on wflw98",
    ):
        read_protocol("folder", tmp_path, "wflw98")


def test_a_protocol_without_faces_names_the_data_it_needs(tmp_path: Path) -> None:
    with pytest.raises(
        ProtocolError,
        match=r"'folder' has no data of its own; .* or another protocol",
    ):
        read_protocol("folder")


def test_a_protocol_without_faces_names_the_folders_that_were_searched(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        ProtocolError,
        match=r"'300w-test' found no faces of the data set '300w' in "
        rf"{tmp_path}/300W/01_Indoor or {tmp_path}/300W/02_Outdoor; give its folder",
    ):
        read_protocol("300w-test", tmp_path)
    (tmp_path / "300vw").mkdir()
    with pytest.raises(
        ProtocolError, match=rf"in {tmp_path}/300vw/\*\*/.*vid.avi; give"
    ):
        read_protocol("300vw-1", tmp_path)


def test_a_missing_official_folder_is_named_and_needs_allow_missing(
    tmp_path: Path,
) -> None:
    for folder in ("helen/testset", "lfpw/testset"):
        write_face(tmp_path / "300w" / folder, "a_1", shape(68))
    with pytest.raises(
        ProtocolError,
        match=r"'300w-full': 2 of the official 689 faces are here; "
        rf"missing: {tmp_path}/300w/ibug; get them, or score the rest with --allow-missing",
    ):
        read_protocol("300w-full", tmp_path)
    data = read_protocol("300w-full", tmp_path, allow_missing=True)
    assert len(data.samples) == 2
    assert data.notes() == [f"missing: {tmp_path}/300w/ibug"]


def test_missing_images_are_listed_all_at_once_and_completely_in_a_file(
    tmp_path: Path,
) -> None:
    for number in range(14):
        write_face(tmp_path / "faces", f"{number:02d}", shape(68, number))
        if number > 1:
            (tmp_path / "faces" / f"{number:02d}.png").unlink()
    names = [f"faces/{number:02d}.jpg" for number in range(2, 14)]
    ten = ", ".join(names[:10])
    short = rf"'folder': 2 of 14 faces have their image; missing: {ten} and 2 more"
    with pytest.raises(
        ProtocolError, match=rf"{short}; --report FOLDER writes the complete list"
    ):
        read_protocol("folder", tmp_path)
    file = tmp_path / "out" / "missing.txt"
    with pytest.raises(
        ProtocolError, match=rf"{short}; the complete list: {file}; get them"
    ):
        read_protocol("folder", tmp_path, missing_file=file)
    assert file.read_text().splitlines() == names
    data = read_protocol("folder", tmp_path, allow_missing=True)
    assert [s.name for s in data.samples] == ["faces/00.png", "faces/01.png"]
    assert data.missing == tuple(names)
    for name in names:
        (tmp_path / name).with_suffix(".pts").unlink()
    read_protocol("folder", tmp_path, missing_file=file)
    assert not file.exists()  # no image is missing now


def test_data_without_a_single_image_are_rejected_even_if_missing_ones_are_allowed(
    tmp_path: Path,
) -> None:
    write_face(tmp_path, "a", shape(68))
    (tmp_path / "a.png").unlink()
    with pytest.raises(
        ProtocolError, match=r"0 of 1 faces .* missing: a.jpg; get them, or give"
    ):
        read_protocol("folder", tmp_path, allow_missing=True)


def test_images_that_a_list_names_but_are_absent_are_missing(tmp_path: Path) -> None:
    lists = tmp_path / "WFLW_annotations/list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    points = " ".join(f"{v:.1f}" for v in shape(98).ravel())
    rows = [f"{points} 0 0 120 120 0 0 0 0 0 0 {name}.jpg" for name in "ab"]
    (lists / "list_98pt_rect_attr_test.txt").write_text("\n".join(rows))
    (tmp_path / "WFLW_images").mkdir()
    cv2.imwrite(
        str(tmp_path / "WFLW_images/b.jpg"), np.full((120, 120, 3), 90, np.uint8)
    )
    with pytest.raises(
        ProtocolError, match=r"1 of the official 2500 faces .* missing: a.jpg; get"
    ):
        read_protocol("wflw", tmp_path)
    data = read_protocol("wflw", tmp_path, allow_missing=True)
    assert ([s.name for s in data.samples], data.missing) == (["b.jpg"], ("a.jpg",))


def test_every_protocol_names_a_reader_and_a_part_of_it_with_the_same_count() -> None:
    for name in PROTOCOLS:
        found = protocol(name)
        counts = data_set(found.data).parts
        assert found.part in counts
        if found.select == "all":
            assert counts[found.part] == (
                found.videos if found.videos else found.faces
            ), name


def test_the_subsets_of_wflw_are_attributes_that_its_reader_gives() -> None:
    assert {subset.attribute for subset in protocol("wflw").subsets} == set(ATTRIBUTES)


@pytest.mark.data
def test_300w_common_is_complete_locally(data_root: Path) -> None:
    data = read_protocol("300w-common", data_root)
    assert count_note(data.protocol, data.samples) == ""
    for subset, count in zip(data.protocol.subsets, (330, 224), strict=True):
        assert sum(subset.contains(sample) for sample in data.samples) == count


@pytest.mark.data
def test_validation_is_about_a_tenth_and_shares_no_photo_with_the_rest(
    data_root: Path,
) -> None:
    faces = 1960 + 804 + 337  # HELEN, LFPW and AFW, by the data README
    tenth = read_protocol("300w-val", data_root).samples
    assert 0.07 * faces < len(tenth) < 0.13 * faces
    rest = [s for s in read_data("300w", data_root, "train") if not s.is_validation()]
    assert len(tenth) + len(rest) == faces
    # helen and afw number the faces of a photo
    photos = [
        {f"{s.subset}/{s.group or s.image.stem}" for s in part}
        for part in (tenth, rest)
    ]
    assert not photos[0] & photos[1]
    assert not {s.subset for s in tenth} & {"helen/testset", "lfpw/testset"}


@pytest.mark.data
def test_talking_face_is_complete_locally(data_root: Path) -> None:
    data = read_protocol("talking-face-7", data_root)
    assert count_note(data.protocol, data.samples) == ""


@pytest.mark.data
def test_profiles_are_validated_on_separate_identities(data_root: Path) -> None:
    profiles = read_protocol("cfp30-val", data_root).samples
    rest = [s for s in read_data("cfp30", data_root, "train") if not s.is_validation()]
    persons = [
        {Path(s.name).stem.partition("_")[0] for s in part} for part in (profiles, rest)
    ]
    assert not persons[0] & persons[1]
    # 450 persons, by the data README
    assert 0.07 * 450 < len(persons[0]) < 0.13 * 450
    assert all(s.attributes["profile"] and s.box is not None for s in profiles)


@pytest.mark.data
def test_dense_validation_faces_are_helen_faces_of_300w_val(data_root: Path) -> None:
    dense = {s.name for s in read_protocol("helen194-val", data_root).samples}
    sparse = read_protocol("300w-val", data_root).samples
    assert dense == {s.name for s in sparse if s.subset == "helen/trainset"}
