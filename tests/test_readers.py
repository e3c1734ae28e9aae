"""Every reader, on tiny files in the official layout and on the real data sets if present."""

import sqlite3
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.data.mixture import read_part
from lineament.data.readers import aflw, cofw, mtfl, scut86, talking_face, w300vw, wflw
from lineament.data.readers.registry import READERS, data_set, read_data
from lineament.data.sample import iter_images
from lineament.errors import DataError
from lineament.io.pts import format_pts
from lineament.schemes import scheme
from tiny_sets import picture, shape

NINE = (
    *("multipie", "xm2vts", "ar", "imm", "muct"),
    *("put", "bioid", "lfpw", "afw"),
)


def video(path: Path, frames: int) -> Path:
    """Return a video whose frame k is gray of value 10 + 20 k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 24))
    for k in range(frames):
        out.write(np.full((24, 32, 3), 10 + 20 * k, np.uint8))
    out.release()
    return path


def test_every_data_set_has_a_sentence_parts_and_a_reader() -> None:
    assert set(READERS) == {
        *(
            "300w",
            "wflw",
            "cofw",
            "aflw",
            "300vw",
            "talking-face",
            "infanface",
            "scut86",
            "mtfl",
        ),
        *("cfp30", "helen194"),
        *NINE,
        *("dlib", "coco", "csv", "folder"),
        *("cvat", "label-studio", "yolo", "review"),
    }
    for known in READERS.values():
        assert len(known.sentence) > 20
        assert known.parts
        assert callable(known.read)


def test_an_unknown_data_set_or_part_suggests_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown data set 'wflv'; did you mean 'wflw'"):
        data_set("wflv")
    for name in (
        "300w",
        "wflw",
        "cofw",
        "aflw",
        "300vw",
        "talking-face",
        "infanface",
        "scut86",
        "mtfl",
        "cfp30",
        "helen194",
        *NINE,
    ):
        with pytest.raises(
            DataError, match=r"has no part 'tset'; (did you mean|choose one of) "
        ):
            read_data(name, tmp_path, "tset")


def test_official_counts_match_the_papers() -> None:
    parts = ("train", "common", "challenging", "full", "test")
    assert {p: READERS["300w"].parts[p] for p in parts} == {
        "train": 3148, "common": 554, "challenging": 135, "full": 689, "test": 600
    }  # fmt: skip
    assert (wflw.PARTS["train"], wflw.PARTS["test"]) == (7500, 2500)
    assert [wflw.PARTS[f"test-{a}"] for a in wflw.ATTRIBUTES] == [
        326,
        314,
        698,
        206,
        736,
        773,
    ]
    assert cofw.PARTS == {"train": 1345, "test": 507, "test68": 507}
    assert (aflw.PARTS["train"], aflw.PARTS["full"], aflw.PARTS["frontal"]) == (
        20000,
        4386,
        1314,
    )
    assert [len(w300vw.CATEGORIES[c]) for c in "123"] == [31, 19, 14]
    assert (
        len({v for c in w300vw.CATEGORIES.values() for v in c})
        == 64
        == w300vw.PARTS["test"]
    )


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "part", "count", "message"),
    [
        # HELEN 1,960, LFPW 804 and AFW 337, by the data README
        ("300w", "train", 3101, "300W train: 3101 of the official 3148 faces are here"),
        ("300w", "common", 554, ""),
        (
            "300w",
            "challenging",
            0,
            "300W challenging: 0 of the official 135 faces are here",
        ),
        ("infanface", "train", 210, ""),
        (
            "helen194",
            "train",
            1960,
            "Helen train: 1960 of the official 2000 faces are here",
        ),
        (
            "helen194",
            "both",
            1960,
            "Helen both: 1960 of the official 2000 faces are here",
        ),
        ("talking-face", "all", 4998, ""),
        ("talking-face", "test", 4997, ""),
    ],
)
def test_the_real_sets_have_their_official_counts(
    name: str, part: str, count: int, message: str, data_root: Path
) -> None:
    samples = read_data(name, data_root, part)
    assert len(samples) == count
    assert data_set(name).missing(samples, part) == message
    assert len({sample.name for sample in samples}) == count
    assert all(np.isfinite(sample.landmarks).all() for sample in samples)


@pytest.mark.data
def test_cfp_has_its_counts_and_splits_by_person(data_root: Path) -> None:
    parts = {
        part: read_data("cfp30", data_root, part)
        for part in ("profile", "frontal", "train")
    }
    # by the data README
    assert {part: len(samples) for part, samples in parts.items()} == {
        "profile": 1782, "frontal": 334, "train": 1782 + 334
    }  # fmt: skip
    assert len({s.group for s in parts["train"]}) == 450
    assert all(np.isfinite(s.landmarks).all(1).sum() == 30 for s in parts["train"])
    held = {s.group for s in parts["train"] if s.is_validation()}
    assert held
    assert not held & {s.group for s in parts["train"] if not s.is_validation()}


@pytest.mark.data
def test_talking_face_points_fit_the_video(data_root: Path) -> None:
    samples = read_data("talking-face", data_root, "test")
    assert 3977 not in {sample.frame for sample in samples}
    ((sample, frame),) = iter_images(samples[1000:1001])
    assert frame.shape == (288, 360, 3)
    # the pupils (31 and 36 of FGNET's order) are darker than the cheeks below them
    for pupil in (31, 36):
        x, y = sample.landmarks[pupil].round().astype(int)
        assert frame[y, x].mean() < frame[y + 25, x].mean() - 30


@pytest.mark.data
def test_infanface_attributes_come_from_the_table(data_root: Path) -> None:
    samples = {s.image.stem: s for s in read_data("infanface", data_root, "train")}
    assert dict(samples["ads-1072.Still005"].attributes) == {
        "turned": True, "occluded": False, "expressive": True, "tilted": True
    }  # fmt: skip


def wflw_line(name: str, shift: float, attributes: str) -> str:
    points = " ".join(f"{v:.6f}" for v in shape(98, shift).ravel())
    return f"{points} 1 2 30 40 {attributes} {name}\n"


def make_wflw(root: Path) -> None:
    picture(root / "WFLW_images/0--Parade/a.jpg")
    picture(root / "WFLW_images/1--Dance/b.jpg")
    path = root / wflw.LISTS.format("test")
    path.parent.mkdir(parents=True)
    path.write_text(
        wflw_line("0--Parade/a.jpg", 0, "1 0 0 0 0 1")
        + wflw_line("0--Parade/a.jpg", 50, "0 0 0 1 1 0")
        + wflw_line("1--Dance/b.jpg", 7, "0 1 1 0 0 0")
        + wflw_line("9--Absent/c.jpg", 7, "0 0 0 0 0 0")
    )


def test_wflw_gives_points_box_attributes_and_two_faces_in_the_same_image(
    tmp_path: Path,
) -> None:
    make_wflw(tmp_path)
    samples = read_data("wflw", tmp_path, "test")
    assert [s.name for s in samples] == [
        "0--Parade/a.jpg",
        "0--Parade/a.jpg#2",
        "1--Dance/b.jpg",
    ]
    assert np.array_equal(
        samples[1].landmarks, shape(98, 50)
    )  # WFLW counts from 0, so points are not shifted
    assert samples[0].box is not None
    assert samples[0].box.tolist() == [1, 2, 30, 40]
    assert [k for k, v in samples[1].attributes.items() if v] == ["makeup", "occlusion"]
    assert [s.name for s in read_data("wflw", tmp_path, "test-pose")] == [
        "0--Parade/a.jpg"
    ]
    assert (
        data_set("wflw").missing(samples, "test")
        == "WFLW test: 3 of the official 2500 faces are here"
    )
    decoded = list(iter_images(samples))
    assert decoded[0][1] is decoded[1][1]  # one image, two faces: decoded once


def test_wflw_names_a_broken_line_and_an_absent_list(tmp_path: Path) -> None:
    make_wflw(tmp_path)
    path = tmp_path / wflw.LISTS.format("test")
    path.write_text(wflw_line("a.jpg", 0, "1 0 0 0 0 1") + "1 2 3 b.jpg\n")
    with pytest.raises(
        DataError,
        match=r"test\.txt:2: 4 columns; expected 196 coordinates, 4 of the box, 6 attributes",
    ):
        read_data("wflw", tmp_path, "test")
    with pytest.raises(
        DataError,
        match=r"train\.txt: not found; expected the official WFLW_annotations",
    ):
        read_data("wflw", tmp_path, "train")


def test_aflw_splits_by_ra_and_sorts_the_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    names = np.empty((4, 1), object)
    for i in range(4):
        names[i, 0] = f"0/image{i}.jpg"
        picture(tmp_path / "data/flickr" / names[i, 0])
    mask = np.ones((4, 19))
    mask[3, 5] = 0
    scipy_io.savemat(
        tmp_path / "AFLWinfo_release.mat",
        {
            "nameList": names,
            "bbox": np.array([[10.0, 50, 20, 80]] * 4),  # xmin, xmax, ymin, ymax
            "data": np.stack([shape(19, i).T.ravel() for i in range(4)]),
            "mask_new": mask,
            "ra": np.array([[2, 1, 4, 3]]),  # counted from 1
        },
    )
    monkeypatch.setattr(aflw, "TRAIN", 2)
    assert [s.group for s in read_data("aflw", tmp_path, "train")] == [
        "image1",
        "image0",
    ]
    full = read_data("aflw", tmp_path, "full")
    assert [s.group for s in full] == ["image3", "image2"]
    assert [s.group for s in read_data("aflw", tmp_path, "frontal")] == ["image2"]
    assert full[0].box is not None
    assert full[0].box.tolist() == [10, 20, 50, 80]
    assert np.array_equal(full[0].landmarks, shape(19, 3))
    assert full[0].visible is not None
    assert np.flatnonzero(~full[0].visible).tolist() == [5]
    assert (
        data_set("aflw").missing(full, "full")
        == "AFLW full: 2 of the official 4386 faces are here"
    )


def test_aflw_names_the_absent_file(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"AFLWinfo_release\.mat: not found; expected the annotations of Zhu",
    ):
        read_data("aflw", tmp_path, "full")
    with pytest.raises(
        DataError, match=r"no aflw\.sqlite; expected AFLW's own database"
    ):
        read_data("aflw", tmp_path, "all21")
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(tmp_path / "AFLWinfo_release.mat", {"bbox": np.zeros((1, 4))})
    with pytest.raises(
        DataError,
        match=r"no variable data, mask_new, nameList, ra; expected the official",
    ):
        read_data("aflw", tmp_path, "full")
    (tmp_path / "aflw.sqlite").write_bytes(b"not a data base, by far" * 50)
    with pytest.raises(
        DataError,
        match=r"aflw\.sqlite: file is not a database; expected AFLW's own database",
    ):
        read_data("aflw", tmp_path, "all21")


def test_aflw_21_points_without_coordinates_are_nan(tmp_path: Path) -> None:
    picture(tmp_path / "data/flickr/0/a.jpg")
    base = sqlite3.connect(tmp_path / "aflw.sqlite")
    base.executescript(
        "CREATE TABLE Faces (face_id INT, file_id TEXT);"
        "CREATE TABLE FaceImages (file_id TEXT, filepath TEXT);"
        "CREATE TABLE FaceRect (face_id INT, x INT, y INT, w INT, h INT);"
        "CREATE TABLE FeatureCoords (face_id INT, feature_id INT, x REAL, y REAL);"
        "INSERT INTO Faces VALUES (7, 'a.jpg'); INSERT INTO FaceImages VALUES ('a.jpg', '0/a.jpg');"
        "INSERT INTO FaceRect VALUES (7, 1, 2, 10, 20);"
        "INSERT INTO FeatureCoords VALUES (7, 1, 3.5, 4.5), (7, 21, 8, 9);"
    )
    base.close()
    (sample,) = read_data("aflw", tmp_path, "all21")
    assert sample.landmarks.shape == (21, 2)
    assert sample.landmarks[0].tolist() == [3.5, 4.5]
    assert sample.landmarks[20].tolist() == [8, 9]
    assert np.isnan(sample.landmarks[1:20]).all()
    assert sample.box is not None
    assert sample.box.tolist() == [1, 2, 11, 22]


def make_300vw(root: Path, number: str, frames: int) -> None:
    video(root / number / "vid.avi", frames)
    folder = root / number / "annot"
    folder.mkdir()
    for k in range(frames):
        (folder / f"{k + 1:06d}.pts").write_text(format_pts(shape(68, k)))


def test_300vw_frames_match_their_annotations_and_categories(tmp_path: Path) -> None:
    for number in ("114", "203", "410", "001"):
        make_300vw(tmp_path / w300vw.INNER, number, 3)
    for part, numbers in {
        "1": ["114"],
        "2": ["203"],
        "3": ["410"],
        "train": ["001"],
    }.items():
        samples = read_data("300vw", tmp_path, part)
        assert sorted({s.image.parent.name for s in samples}) == numbers
        assert [s.frame for s in samples] == [0, 1, 2]
    test = read_data("300vw", tmp_path, "test")
    assert len(test) == 9
    assert (
        data_set("300vw").missing(test, "test")
        == "300VW test: 3 of the official 64 videos are here"
    )
    for sample, frame in iter_images(test):
        assert sample.frame is not None
        # frame k is gray 10 + 20 k: file 000001.pts is frame 0
        assert abs(int(frame[12, 16, 0]) - (10 + 20 * sample.frame)) <= 3
        assert np.array_equal(sample.landmarks, shape(68, sample.frame))


def test_a_video_without_annotations_is_named_in_the_error(tmp_path: Path) -> None:
    video(tmp_path / "114" / "vid.avi", 2)
    with pytest.raises(
        DataError, match=r"114/annot: no \.pts files; expected one per frame"
    ):
        read_data("300vw", tmp_path, "1")


def test_talking_face_halves_and_moves_its_points(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"franck\.webm: not found; expected the video next to its folder points",
    ):
        read_data("talking-face", tmp_path, "test")
    (tmp_path / talking_face.VIDEO).write_bytes(b"")
    (tmp_path / "points").mkdir()
    for frame in (0, 3977, 4999):
        (tmp_path / "points" / f"franck_{frame:05d}.pts").write_text(
            "version: 1\nn_points: 1\n{\n100 50\n}\n"
        )
    assert [s.frame for s in read_data("talking-face", tmp_path, "test")] == [0]
    both = read_data("talking-face", tmp_path, "all")
    assert [s.frame for s in both] == [0, 3977]
    assert both[0].landmarks.tolist() == [
        [54.0, 25.0]
    ]  # 100 / 2 + 4, 50 / 2: the numbers of the file as they stand


def test_infanface_without_its_columns_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "train/a.jpg")
    (tmp_path / "train/a.pts").write_text(format_pts(shape(68)))
    assert dict(read_data("infanface", tmp_path, "train")[0].attributes) == {}
    (tmp_path / "train.csv").write_text("name,turned\na,1\n")
    with pytest.raises(
        DataError,
        match=r"no column expressive, occluded, tilted; expected name, turned",
    ):
        read_data("infanface", tmp_path, "train")


def test_faces_in_the_same_photo_are_one_group(tmp_path: Path) -> None:
    for name in ("107635070_1", "107635070_2"):
        picture(tmp_path / f"helen/trainset/{name}.jpg")
        (tmp_path / f"helen/trainset/{name}.pts").write_text(format_pts(shape(68)))
    assert {s.group for s in read_data("300w", tmp_path, "train")} == {"107635070"}


def test_cfp_points_become_those_of_the_shown_half(tmp_path: Path) -> None:
    for name in ("profile/007_01", "profile/007_02", "frontal/123_05"):
        picture(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.pts").write_text(format_pts(shape(30)))
    table = tmp_path / "faces.csv"
    rows = [
        "name,kind,side_shown",
        "profile/007_01,profile,right",
        "profile/007_02,profile,left",
    ]
    table.write_text("\n".join([*rows, "frontal/123_05,frontal,right"]))
    right, left, frontal = read_data("cfp30", tmp_path, "train")
    assert [s.group for s in (right, left, frontal)] == ["007", "007", "123"]
    assert [s.attributes["profile"] for s in (right, left, frontal)] == [
        True,
        True,
        False,
    ]
    mirror = scheme("ibug68").mirror
    assert np.array_equal(right.landmarks[mirror], left.landmarks, equal_nan=True)
    # the README of the set: the first point is jaw 0, the tenth the outer end of the brow,
    # the last the lower lip
    assert right.landmarks[[0, 17, 66]].tolist() == shape(30)[[0, 9, 29]].tolist()
    assert left.landmarks[[16, 26, 66]].tolist() == shape(30)[[0, 9, 29]].tolist()
    # the other half of a profile is turned away: 29 points, none of the annotated ones
    assert right.visible is not None
    assert left.visible is not None
    assert frontal.visible is not None
    assert np.array_equal(right.visible[mirror], left.visible)
    for sample in (right, left, frontal):
        assert sample.visible[np.isfinite(sample.landmarks[:, 0])].all()
    hidden = [p for p in scheme("ibug68").points if p.startswith("left_")]
    turned_away = [scheme("ibug68").points[i] for i in np.flatnonzero(~right.visible)]
    assert (turned_away, len(hidden)) == (hidden, 29)
    assert frontal.visible.all()
    # a profile's points span x 10..39, y 5..63; a mean face completes the frontal one
    assert right.box is not None
    assert right.box.tolist() == [10, 5, 39, 63]
    assert frontal.box is not None
    assert frontal.box.tolist() != [10, 5, 39, 63]
    assert [s.name for s in read_data("cfp30", tmp_path, "frontal")] == [
        "frontal/123_05.jpg"
    ]
    table.write_text("\n".join(rows))
    with pytest.raises(
        DataError,
        match=r"faces.csv: the visible side of frontal/123_05 is ''; expected right or left",
    ):
        read_data("cfp30", tmp_path, "train")
    table.write_text("name,kind\n")
    with pytest.raises(
        DataError, match=r"faces.csv: no column side_shown; expected name, side_shown"
    ):
        read_data("cfp30", tmp_path, "train")
    table.write_text("\n".join(rows))
    (tmp_path / "profile/007_01.pts").write_text(format_pts(shape(29)))
    with pytest.raises(DataError, match=r"007_01.jpg: 29 points; expected 30"):
        read_data("cfp30", tmp_path, "profile")


def test_a_mixture_keeps_a_set_s_own_boxes_of_68_points(tmp_path: Path) -> None:
    picture(tmp_path / "cfp30/profile/007_01.jpg")
    (tmp_path / "cfp30/profile/007_01.pts").write_text(format_pts(shape(30)))
    (tmp_path / "cfp30/faces.csv").write_text("name,side_shown\nprofile/007_01,right\n")
    (sample,) = read_part("cfp30", tmp_path, "profile", "ibug68_helen194")
    assert sample.box is not None
    assert sample.box.tolist() == [10, 5, 39, 63]
    assert np.isfinite(sample.landmarks).all(1).sum() == 30


def test_helen194_reads_its_points_alone_and_after_those_of_300w(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        DataError, match=r"helen194.npz: not found; expected Helen's 194 points"
    ):
        read_data("helen194", tmp_path, "train")
    for name in ("107635070_1", "107635070_2"):
        picture(tmp_path / f"helen/trainset/{name}.jpg")
        (tmp_path / f"helen/trainset/{name}.pts").write_text(format_pts(shape(68)))
    # 1/32 px, counting from 1
    points = np.stack([(shape(194, 0.25 * k) + 1) * 32 for k in range(2)]).astype(
        np.int16
    )
    path = tmp_path / "helen194.npz"
    np.savez(path, names=np.array(["107635070_1", "107635070_2"]), points=points)
    alone = read_data("helen194", tmp_path, "train")
    assert [s.scheme for s in alone] == ["helen194"] * 2
    assert {s.group for s in alone} == {"107635070"}
    assert np.array_equal(alone[1].landmarks, shape(194, 0.25))
    both = read_data("helen194", tmp_path, "both")
    assert [s.scheme for s in both] == ["ibug68_helen194"] * 2
    assert np.array_equal(
        both[1].landmarks, np.concatenate([shape(68), shape(194, 0.25)])
    )
    np.savez(path, names=np.array(["107635070_1", "gone"]), points=points)
    with pytest.raises(
        DataError, match=r"no image of 'gone'; expected helen/trainset/gone.jpg or .png"
    ):
        read_data("helen194", tmp_path, "train")
    np.savez(path, names=np.array(["107635070_1"]), points=points)
    with pytest.raises(
        DataError, match=r"points \(2, 194, 2\) for 1 names; expected \(F, 194, 2\)"
    ):
        read_data("helen194", tmp_path, "train")
    path.write_bytes(b"nothing")
    with pytest.raises(
        DataError,
        match=r"helen194.npz: cannot be read .*; expected the arrays names and points",
    ):
        read_data("helen194", tmp_path, "train")


def test_scut86_reads_binary_points_and_official_lists(tmp_path: Path) -> None:
    picture(tmp_path / "Images/AF1.jpg")
    picture(tmp_path / "Images/AF2.jpg")
    folder = tmp_path / "facial landmark"
    folder.mkdir()
    for name in ("AF1", "AF2"):
        (folder / f"{name}.pts").write_bytes(
            struct.pack("<i172f", 86, *shape(86).ravel())
        )
    samples = read_data("scut86", tmp_path, "all")
    assert [s.name for s in samples] == ["Images/AF1.jpg", "Images/AF2.jpg"]
    assert np.array_equal(samples[0].landmarks, shape(86))
    with pytest.raises(
        DataError,
        match=r"train\.txt: not found; expected the official lists, or the part 'all'",
    ):
        read_data("scut86", tmp_path, "train")
    path = tmp_path / scut86.LISTS.format("train")
    path.parent.mkdir(parents=True)
    path.write_text("AF2.jpg 3.5\n")
    assert [s.name for s in read_data("scut86", tmp_path, "train")] == [
        "Images/AF2.jpg"
    ]
    (folder / "AF1.pts").write_text("version: 1")
    with pytest.raises(
        DataError,
        match=r"AF1\.pts: 10 bytes; expected 692: the number 86, then 86 pairs",
    ):
        read_data("scut86", tmp_path, "all")


def test_mtfl_reads_windows_paths_points_and_attributes(tmp_path: Path) -> None:
    picture(tmp_path / "lfw_5590/Aaron_Eckhart_0001.jpg")
    line = (
        r"lfw_5590\Aaron_Eckhart_0001.jpg 106.25 146.75 125.25 110.25 142.75 107.75 112.75 "
        r"127.75 157.75 155.25 1 2 2 3"
    )
    (tmp_path / "training.txt").write_text(line + "\n \n")
    (sample,) = read_data("mtfl", tmp_path, "train")
    assert sample.landmarks[0].tolist() == [106.25, 107.75]
    assert sample.landmarks[4].tolist() == [142.75, 155.25]
    assert {k for k, v in sample.attributes.items() if v} == {"male", "frontal"}
    for broken in (line + " 9", line.replace(" 3", " 8"), line.replace("106.25", "x")):
        (tmp_path / "training.txt").write_text(broken)
        with pytest.raises(
            DataError, match=r"training\.txt:1: .*; expected a path, 5 x, 5 y, gender"
        ):
            read_data("mtfl", tmp_path, "train")
    with pytest.raises(
        DataError, match=r"testing\.txt: not found; expected training\.txt"
    ):
        read_data("mtfl", tmp_path, "test")
    assert (
        data_set("mtfl").missing([sample], "train")
        == "MTFL train: 1 of the official 10000 faces are here"
    )
    assert len(mtfl.POSES) == 5
