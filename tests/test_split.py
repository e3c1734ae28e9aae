"""A small set has at least one validation face in ten, and a person is in one split."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faces import write_faces
from lineament.data.mixture import read_mixture
from lineament.data.sample import Sample, group_digest, in_validation
from lineament.data.split import SMALL, SharedSplits, describe_split, split_faces
from lineament.errors import DataError, RecipeError
from lineament.recipe import DataPart


def sample(name, group=""):
    return Sample(Path(f"{name}.jpg"), np.zeros((5, 2)), "five", name, group=group)


def camera(count):
    """Return faces of photos with camera file names, none of which is in the validation tenth."""
    names = [f"DSC{i:05}" for i in range(1, 20 * count)]
    return [sample(name) for name in names if not in_validation(name)][:count]


@pytest.mark.parametrize("count", [2, 9, 10, 11, 25])
def test_a_small_set_has_one_validation_face_in_ten(count):
    faces = camera(count)
    training, kept = split_faces(faces, None, fill=True)
    assert len(kept) == -(-count // 10)  # rounded up
    assert len(training) == count - len(kept)
    smallest = min(faces, key=lambda face: group_digest(face.name))
    assert smallest in kept
    assert split_faces(faces, None, fill=False) == (faces, [])


def test_a_set_in_the_same_photo_is_used_for_training():
    assert split_faces(camera(1), None, fill=True)[1] == []


def test_a_large_set_is_split_only_by_file_names():
    faces = camera(SMALL)
    assert split_faces(faces, None, fill=True) == (faces, [])


def test_persons_are_in_one_split():
    faces = [sample(f"{i}", group=f"person{i % 3}") for i in range(12)]
    training, kept = split_faces(faces, None, fill=True)
    assert len(kept) == 4
    assert not {f.group for f in training} & {f.group for f in kept}


def test_a_whole_part_may_be_for_validation_or_training():
    faces = camera(3)
    assert split_faces(faces, True, fill=True) == ([], faces)
    assert split_faces(faces, False, fill=True) == (faces, [])


def test_the_validation_faces_are_listed():
    faces = camera(30)
    line = describe_split("own", faces[:2], faces[:1])
    assert line == f"own: 2 faces to train on, 1 for validation: {faces[0].name}"
    assert describe_split("own", faces, []).endswith("0 for validation")
    assert describe_split("own", [], faces).endswith("and 18 more")


def test_a_mixture_notes_its_split_before_training(tmp_path):
    write_faces(tmp_path / "a", 3)
    write_faces(tmp_path / "b", 2)
    parts = [
        DataPart(reader="folder", folder="a"),
        DataPart(reader="folder", folder="b", validation=True),
    ]
    lines = []
    sources, validation = read_mixture(
        parts, "ibug68", tmp_path, tmp_path / "cache", lines.append
    )
    kept = [f"face{i}.png" for i in range(3) if in_validation(f"face{i}")]
    assert sum(len(source.cache) for source in sources) == 3 - len(kept)
    assert sorted(map(len, validation.values())) == sorted([len(kept), 2])
    listed = f"{len(kept)} for validation: {', '.join(kept)}"
    assert f"folder-a: {3 - len(kept)} faces to train on, {listed}" in lines
    listed = "2 for validation: face0.png, face1.png"
    assert f"folder-b: 0 faces to train on, {listed}" in lines


def test_a_mixture_with_only_validation_data_is_rejected(tmp_path):
    write_faces(tmp_path / "a", 2)
    part = DataPart(reader="folder", folder="a", validation=True)
    with pytest.raises(DataError, match="is for validation; add one to train on"):
        read_mixture([part], "ibug68", tmp_path, tmp_path / "cache")


def test_names_that_are_not_utf_8_are_split_like_others():
    # as Python reads the Latin-1 file name caf\xe9
    assert group_digest("caf\udce9") != group_digest("caf\xe9")
    training, validation = split_faces(
        [sample("caf\udce9"), sample("a")], None, fill=False
    )
    assert len(training) + len(validation) == 2


def test_a_set_for_validation_need_not_be_used_until_the_end(tmp_path):
    write_faces(tmp_path / "a", 3)
    write_faces(tmp_path / "b", 2)
    parts = [
        DataPart(reader="folder", folder="a", use_until=0.5),
        DataPart(reader="folder", folder="b", validation=True),
    ]
    with pytest.raises(RecipeError, match=r"every data set ends at use_until = 0\.5"):
        read_mixture(parts, "ibug68", tmp_path, tmp_path / "cache")


def test_a_space_in_the_name_of_a_folder_does_not_split_a_result(tmp_path):
    write_faces(tmp_path / "my photos", 3)
    write_faces(tmp_path / "b", 3)
    parts = [
        DataPart(reader="folder", folder="my photos"),
        DataPart(reader="folder", folder="b", validation=True),
    ]
    _, validation = read_mixture(parts, "ibug68", tmp_path, tmp_path / "cache")
    assert set(validation) <= {"folder-my-photos", "folder-b"}
    assert "folder-b" in validation


def test_a_person_in_two_sets_is_in_one_split():
    splits = SharedSplits()
    one = [sample(f"{i}", group=f"person{i}") for i in range(20)]
    training, kept = splits.split(one, None)
    # without the first set, the second would need one of these people for validation
    people = [face.group for face in training][:5]
    two = [sample(f"other{group}", group=group) for group in people]
    assert split_faces(two, None, fill=True)[1]
    assert splits.split(two, None) == (two, [])
    again = [sample(f"third{face.group}", group=face.group) for face in kept]
    assert splits.split([*again, *camera(3)], None)[1][: len(kept)] == again


def test_equal_file_names_in_two_folders_are_different_photos():
    splits = SharedSplits()
    faces = camera(12)
    splits.split(faces, None)
    moved = []
    for face in faces[:4]:
        moved.append(replace(face, image=Path("other") / face.image))
    assert splits.split(moved, None) == split_faces(moved, None, fill=True)
    # annotated twice, in two files: the same photo
    both = splits.split(faces[:4], None)
    first = split_faces(faces, None, fill=True)
    assert all(face in first[0] for face in both[0])
    assert all(face in first[1] for face in both[1])


def test_photos_with_the_same_name_in_several_folders_are_different_photos():
    names = [f"{person}/front" for person in "abcdefghijkl"]
    faces = [sample(name) for name in names]
    training, kept = split_faces(faces, None, fill=True)
    assert (len(training), len(kept)) == (10, 2)
    # in a known data set, a name is a photo
    assert sorted(map(len, split_faces(faces, None, fill=False))) == [0, 12]
    # two faces of a photo stay together
    pairs = [sample(f"{name}__{i}") for name in names for i in (1, 2)]
    training, kept = split_faces(pairs, None, fill=True)
    assert len(kept) in (3, 4)
    assert not {f.image.parent for f in training} & {f.image.parent for f in kept}


def test_augmented_copies_by_roboflow_are_one_photo():
    copies = [f"{i}_jpg.rf.{k:032x}" for i in range(10) for k in range(3)]
    training, kept = split_faces([sample(name) for name in copies], None, fill=True)
    assert len(kept) == 3
    assert len({face.name[:2] for face in kept}) == 1
    assert len(training) == 27


def test_a_photo_for_training_and_validation_is_noted(tmp_path):
    write_faces(tmp_path / "a", 3)
    parts = [
        DataPart(reader="folder", folder="a", validation=False),
        DataPart(reader="folder", folder="a", validation=True),
    ]
    lines = []
    read_mixture(parts, "ibug68", tmp_path, tmp_path / "cache", lines.append)
    (line,) = [line for line in lines if "both training and validation" in line]
    assert "3 faces are on photos" in line
    assert "e.g. face0.png" in line
