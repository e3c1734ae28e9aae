"""The audit finds each planted fault, none in a clean set, and reports the worst in HTML."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from commands import call
from lineament.data.audit.audit import audit
from lineament.data.audit.checks import (
    Finding,
    check_against,
    check_points,
    find_duplicates,
    summarize,
)
from lineament.data.audit.files import DISJOINT_PARTS, MARKS
from lineament.data.audit.report_html import (
    MAX_SHOWN_OF_KIND,
    audit_html,
    choose_worst,
    write_audit_html,
)
from lineament.data.mean_face import mean_face
from lineament.data.readers.folder import read_folder
from lineament.data.readers.registry import READERS
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.io.pts import format_pts
from lineament.schemes import convert, scheme

FACE = scheme("ibug68")


def face(side: float = 100.0, center: tuple[float, float] = (80.0, 80.0)) -> np.ndarray:
    """Return the mean face in pixels."""
    assert FACE.mean_shape is not None
    return FACE.mean_shape * side + center


def picture(seed: int, size: int = 160) -> np.ndarray:
    """Return blurred noise that differs between seeds."""
    noise = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC))


def put(
    root: Path, name: str, landmarks: np.ndarray | str, image: np.ndarray | None = None
) -> Path:
    """Write an image and its .pts below `root`."""
    path = root / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = picture(len(list(root.rglob("*.png")))) if image is None else image
    Image.fromarray(shown).save(path)
    text = landmarks if isinstance(landmarks, str) else format_pts(landmarks)
    path.with_suffix(".pts").write_text(text)
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    for i in range(3):
        put(tmp_path, f"train/{i}", face(90 + 5 * i))
        put(tmp_path, f"test/{i}", face(80 + 5 * i))
    return tmp_path


def only(root: Path) -> Finding:
    """Return the only finding of an audit."""
    findings = audit(root).findings
    assert len(findings) == 1, [f.message for f in findings]
    return findings[0]


def test_a_clean_set_has_no_findings(clean: Path) -> None:
    report = audit(clean)
    assert report.findings == ()
    assert (report.faces, report.images) == (6, 6)
    assert report.splits == {"test": 3, "train": 3}
    assert report.summary().endswith(
        "6 faces on 6 images in 2 splits; 0 errors, 0 warnings, 0 notes"
    )


def test_swapped_sides_are_found(clean: Path) -> None:
    put(clean, "train/9", face()[FACE.mirror])
    found = only(clean)
    assert (found.severity, found.kind, found.file) == (
        "error",
        "swapped",
        "train/9.png",
    )
    assert "left and right are swapped" in found.message


def test_swapped_eyes_alone_are_found_and_named(clean: Path) -> None:
    landmarks = face()
    eyes = [*FACE.parts["right_eye"], *FACE.parts["left_eye"]]
    landmarks[eyes] = face()[FACE.mirror[eyes]]
    put(clean, "train/9", landmarks)
    found = only(clean)
    assert (found.severity, found.kind) == ("error", "swapped")
    assert (
        "the eyes are swapped: exchange the subject's left and right" in found.message
    )


@pytest.mark.parametrize("turn", [0, 45, 90, 180, -120])
def test_a_rotated_face_is_not_a_swapped_one(turn: int) -> None:
    a = np.deg2rad(turn)
    landmarks = face() @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]).T
    assert list(check_points(Sample(Path("a"), landmarks, "ibug68", "a"))) == []


@pytest.mark.parametrize("name", ["five", "ibug51", "wflw98", "aflw19", "cofw29"])
def test_swapped_sides_are_found_in_other_schemes(name: str) -> None:
    mean = mean_face(name)
    assert mean is not None
    kept = Sample(Path("a"), mean * 100, name, "a")
    swapped = Sample(Path("a"), mean[scheme(name).mirror] * 100, name, "a")
    assert list(check_points(kept)) == []
    assert [f.kind for f in check_points(swapped)] == ["swapped"]
    assert np.array_equal(
        mean, convert(FACE.mean_shape, "ibug68", name).points, equal_nan=True
    )


def test_points_outside_the_image_are_counted_and_measured(clean: Path) -> None:
    # the face of side 100 is centered on x = 130 of an image that ends at 159.5;
    # the jaw's last point is at x = 180
    put(clean, "train/9", face(100, (130, 80)))
    found = only(clean)
    assert (found.severity, found.kind) == ("warning", "outside")
    assert re.search(
        r"\d+ of 68 points outside the 160 x 160 image, by up to 20\.5 px; check",
        found.message,
    )


def test_a_face_completely_outside_is_an_error(clean: Path) -> None:
    put(clean, "train/9", face(100, (500, 80)))
    assert only(clean).severity == "error"


def test_zero_based_coordinates_are_detected_at_the_left_edge(clean: Path) -> None:
    # counted from 0, the leftmost point at 0.3 is read as -0.7: outside by 0.2 px
    landmarks = face(100, (50.3, 80))
    landmarks -= 1
    put(clean, "train/9", landmarks)
    found = only(clean)
    assert (found.severity, found.kind) == ("warning", "offset")
    assert "the file seems to count from 0, not from 1" in found.message


def test_one_based_coordinates_are_detected_at_the_right_edge(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(picture(0)).save(image)
    sample = Sample(
        image, face(100, (109.8, 80)), "ibug68", "a"
    )  # the last point at 159.8 of 159.5
    (found,) = audit([sample]).findings
    assert (found.severity, found.kind) == ("warning", "offset")
    assert "seem to count from 1, not from 0" in found.message


def test_a_copy_moved_by_one_pixel_is_found(clean: Path) -> None:
    put(clean, "test/9", face(), picture(50))
    put(clean, "train/9", face() - 1, picture(50))
    found = {f.kind: f for f in audit(clean).findings}
    assert set(found) == {"duplicate", "offset"}
    assert found["offset"].severity == "error"
    assert (
        "the points equal those of test/9.png shifted by (-1, -1) px"
        in found["offset"].message
    )


def test_two_annotations_in_the_same_image_one_pixel_apart_are_found(
    tmp_path: Path,
) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(picture(0)).save(image)
    one = Sample(image, face(), "ibug68", "a.pts")
    (found,) = audit([one, Sample(image, face() + 1, "ibug68", "a.json")]).findings
    assert (found.kind, found.file) == ("offset", "a.json")
    assert (
        "shifted by (+1, +1) px: one of the two counts from 0, the other from 1"
        in found.message
    )


def test_a_face_that_is_annotated_twice_is_a_warning(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(picture(0)).save(image)
    one = Sample(image, face(), "ibug68", "a.png")
    (found,) = audit([one, Sample(image, face(), "ibug68", "a.png#2")]).findings
    assert (found.severity, found.kind, found.file) == (
        "warning",
        "duplicate",
        "a.png#2",
    )
    assert "the same points as a.png" in found.message


def test_a_wrong_origin_is_detected_by_a_mirrored_copy(tmp_path: Path) -> None:
    flipped = face()[FACE.mirror] * [-1, 1] + [159, 0]
    for shift, kinds in ((0.0, {"duplicate"}), (1.0, {"duplicate", "offset"})):
        root = tmp_path / f"{shift}"
        put(root, "train/a", face() + shift, picture(3))
        put(root, "train/b", flipped + shift, np.ascontiguousarray(picture(3)[:, ::-1]))
        findings = audit(root).findings
        assert {f.kind for f in findings} == kinds
        assert any(
            "the same pixels, mirrored as train/a.png; keep one" in f.message
            for f in findings
        )
    assert any(
        "+2.0 px off: both seem to count from 1, not from 0" in f.message
        for f in findings
    )


def test_a_split_one_pixel_off_the_model_is_found(clean: Path) -> None:
    def predict(_: object, sample: Sample) -> np.ndarray:
        return sample.landmarks - (1.0 if sample.subset == "train" else 0.0)

    for i in range(40):
        put(clean, f"train/x{i}", face(), picture(100 + i))
        put(clean, f"test/x{i}", face(), picture(200 + i))
    (found,) = audit(clean, predict).findings
    assert (found.kind, found.file) == ("offset", "train")
    assert (
        "over 43 faces the points are (+1.00, +1.00) px off the model's: they seem to count from 1"
        in found.message
    )
    assert list(check_against({"few": [np.ones(2)] * 5})) == []


def test_images_in_two_splits_are_an_error_even_if_encoded_differently(
    clean: Path,
) -> None:
    put(clean, "test/same", face(), picture(60))
    put(clean, "train/same", face(), picture(60))
    put(clean, "test/again", face(90), picture(70))
    again = cv2.imdecode(
        cv2.imencode(".jpg", picture(70), [cv2.IMWRITE_JPEG_QUALITY, 85])[1],
        cv2.IMREAD_COLOR,
    )
    put(clean, "train/again", face(95), np.asarray(again))
    found = {f.file: f for f in audit(clean).findings}
    assert set(found) == {"train/same.png", "train/again.png"}
    assert all((f.severity, f.kind) == ("error", "duplicate") for f in found.values())
    assert found["train/same.png"].message == (
        "the same pixels as test/same.png, in another split (test and train); remove one"
    )
    assert found["train/again.png"].message.startswith(
        "nearly the same image as test/again.png"
    )
    assert len(found["train/same.png"].samples) == 2


def test_one_photo_stored_for_two_faces_is_a_note(clean: Path) -> None:
    put(clean, "train/p_1", face(50, (40, 60)), picture(80))
    put(clean, "train/p_2", face(50, (120, 60)), picture(80))
    found = only(clean)
    assert (found.severity, found.kind) == ("note", "duplicate")
    assert "with another face annotated; split by photo, not by face" in found.message


def test_the_same_face_twice_in_a_split_is_a_warning(clean: Path) -> None:
    put(clean, "train/a", face(), picture(80))
    put(clean, "train/b", face(), picture(80))
    found = only(clean)
    assert (found.severity, found.message) == (
        "warning",
        "the same pixels as train/a.png; keep one",
    )


def test_different_images_are_not_duplicates() -> None:
    sample = Sample(Path("a"), face(), "ibug68", "a")
    assert (
        list(find_duplicates([summarize(sample, picture(i)) for i in range(300)])) == []
    )


def test_an_exif_rotation_is_reported_and_points_of_the_stored_image_are_an_error(
    clean: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.ascontiguousarray(
        picture(90, 240)[:160]
    )  # stored 240 x 160, upright 160 x 240
    for name, landmarks in (
        ("upright", face(100, (80, 120))),
        ("stored", face(100, (180, 80))),
    ):
        path = clean / f"train/{name}.png"
        Image.fromarray(wide if name == "stored" else wide[:, ::-1]).save(
            path, exif=exif
        )
        path.with_suffix(".pts").write_text(format_pts(landmarks))
    found = {f.file: f for f in audit(clean).findings if f.kind == "exif"}
    assert found["train/upright.png"].severity == "warning"
    assert (
        "EXIF orientation 6: applied here, but maybe not by other tools"
        in found["train/upright.png"].message
    )
    assert found["train/stored.png"].severity == "error"
    assert (
        "the points fit the image as stored, not upright; rotate them"
        in found["train/stored.png"].message
    )


def test_headerless_files_are_counted_by_folder(clean: Path) -> None:
    for i in range(2):
        put(clean, f"train/h{i}", "\n".join(format_pts(face()).splitlines()[3:-1]))
    found = only(clean)
    assert (found.severity, found.kind, found.file) == ("note", "header", "train")
    assert (
        found.message
        == "2 of 5 .pts files have no header, e.g. h0.pts; they are read anyway"
    )


def test_wrong_numbers_of_points_are_found_in_the_header_and_in_the_set(
    clean: Path,
) -> None:
    put(clean, "train/8", format_pts(face()).replace("n_points: 68", "n_points: 70"))
    put(clean, "train/9", format_pts(face()[:67]))
    found = {f.file: f for f in audit(clean).findings}
    assert found["train/8.pts"].kind == "file"
    assert "the header says 70 points, 68 follow" in found["train/8.pts"].message
    assert (found["train/9.png"].severity, found["train/9.png"].kind) == (
        "error",
        "count",
    )
    assert (
        found["train/9.png"].message
        == "67 points, but 6 other files have 68; correct the file"
    )


def test_samples_whose_point_count_differs_from_the_scheme_are_an_error() -> None:
    (found,) = check_points(Sample(Path("a"), face()[:60], "ibug68", "a"))
    assert (
        found.message == "60 points; ibug68 has 68: correct the file or name its scheme"
    )


def test_broken_and_unpaired_files_are_findings_and_the_rest_is_read(
    clean: Path,
) -> None:
    put(clean, "train/7", "version: 1\n1 x\n")
    (clean / "train/8.pts").write_text(format_pts(face()))
    put(clean, "train/9", face()).write_bytes(b"no picture")
    Image.fromarray(picture(99)).save(clean / "test/bare.png")
    report = audit(clean)
    found = {f.file: f.message for f in report.findings}
    assert "expected two numbers, x and y" in found["train/7.pts"]
    assert found["train"].startswith(
        "1 of 6 .pts files have no image next to them, e.g. 8.pts"
    )
    assert "not an image but text" in found["train/9.png"]
    assert (
        found["test"]
        == "1 images have no .pts file, e.g. bare.png; annotate or remove them"
    )
    assert report.faces == 7


def test_coinciding_points_and_shapes_unlike_a_face_are_found(clean: Path) -> None:
    put(clean, "train/8", np.full((68, 2), 50.0))
    put(clean, "train/9", np.random.default_rng(0).uniform(20, 140, (68, 2)))
    found = {f.file: f for f in audit(clean).findings}
    assert "68 points coincide; expected a face" in found["train/8.png"].message
    assert (found["train/9.png"].severity, found["train/9.png"].kind) == (
        "warning",
        "shape",
    )
    assert (
        "box sides from the mean face, usually under 0.2"
        in found["train/9.png"].message
    )


def test_official_counts_of_a_known_layout_are_checked(tmp_path: Path) -> None:
    put(tmp_path, "lfpw/testset/image_0001", face())
    report = audit(tmp_path)
    assert report.data == "300w"
    counts = {
        f.file: (f.severity, f.message) for f in report.findings if f.kind == "count"
    }
    assert counts["common"] == (
        "warning",
        "300W common: 1 of the official 554 faces are here; get the rest, or report this with your "
        "results",
    )  # fmt: skip
    assert counts["challenging"][0] == "note"


def test_a_set_read_from_lists_reports_what_its_reader_cannot_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "training.txt").write_text("a.jpg 1 2 3\n")
    report = audit(tmp_path)
    assert report.data == "mtfl"
    assert {f.file: f.kind for f in report.findings} == {
        "train": "file",
        "test": "file",
    }


def test_every_known_layout_has_disjoint_parts_of_its_reader() -> None:
    assert set(MARKS) == set(DISJOINT_PARTS)
    for name, parts in DISJOINT_PARTS.items():
        assert set(parts) <= set(READERS[name].parts)


def test_a_set_with_points_in_another_folder_than_images_is_recognized(
    tmp_path: Path,
) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "BioID_0000.pgm")
    points = convert(face(), "ibug68", "fgnet20").points
    (tmp_path / "points_20").mkdir()
    (tmp_path / "points_20/bioid_0000.pts").write_text(
        format_pts(np.nan_to_num(points, nan=80.0))
    )
    report = audit(tmp_path)
    assert (report.data, report.faces) == ("bioid", 1)


def test_one_table_of_a_folder_is_audited(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    header = ",".join(["image", *(f"x_{i},y_{i}" for i in range(68))])
    row = ",".join(["a.png", *(f"{v}" for v in face()[FACE.mirror].ravel())])
    (tmp_path / "train.csv").write_text(f"{header}\n{row}\n")
    assert only(tmp_path).kind == "swapped"


def test_a_file_and_the_splits_of_a_folder_are_audited(tmp_path: Path) -> None:
    header = ",".join(["image", *(f"x_{i},y_{i}" for i in range(68))])
    row = ",".join(["a.png", *(f"{v}" for v in face()[FACE.mirror].ravel())])
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.fromarray(picture(0)).save(tmp_path / split / "a.png")
        (tmp_path / split / "faces.csv").write_text(f"{header}\n{row}\n")
    assert audit(tmp_path / "train" / "faces.csv").faces == 1
    report = audit(tmp_path)
    assert report.faces == 2
    # the same photo in both splits
    kinds = {(found.severity, found.kind) for found in report.findings}
    assert ("error", "duplicate") in kinds or ("error", "split") in kinds


def test_a_set_in_which_nothing_could_be_read_is_an_error(tmp_path: Path) -> None:
    names = [f"p{i}" for i in range(7)]
    header = ",".join(["image", *(f"{name}_x,{name}_y" for name in names)])
    (tmp_path / "a.csv").write_text(f"{header}\na.png,{','.join('1' * 14)}\n")
    report = audit(tmp_path)
    assert report.faces == 0
    assert {found.severity for found in report.findings} == {"error"}


def test_a_folder_without_annotations_or_none_at_all_is_an_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        DataError, match=r"no annotations; expected \.pts files next to images"
    ):
        audit(tmp_path)
    with pytest.raises(
        DataError, match="no such folder; expected the root of a data set"
    ):
        audit(tmp_path / "none")


def test_the_worst_come_first_and_progress_is_reported(clean: Path) -> None:
    put(clean, "train/8", face(100, (130, 80)))
    put(clean, "train/9", face()[FACE.mirror])
    calls: list[tuple[int, int]] = []
    report = audit(clean, progress=lambda done, total: calls.append((done, total)))
    assert [f.severity for f in report.findings] == ["error", "warning"]
    assert calls == [(i, 8) for i in range(1, 9)]
    assert report.rows()[0][:3] == ("error", "swapped", "train/9.png")
    assert json.loads(json.dumps(report.to_dict()))["findings"][0]["kind"] == "swapped"


def test_the_report_has_every_finding_and_images_and_escapes_names(
    clean: Path, tmp_path: Path
) -> None:
    put(clean, "train/<b>&9", face()[FACE.mirror])
    report = audit(clean)
    path = tmp_path / "sheet.html"
    write_audit_html(report, path)
    text = path.read_text(encoding="utf-8")
    assert "train/&lt;b&gt;&amp;9.png" in text
    assert "<b>" not in text
    assert text.count("data:image/jpeg;base64,") == 1
    assert "http" not in text
    assert list(tmp_path.glob("*.part")) == []
    assert "Nothing to show." in audit_html(audit([]))


def test_the_report_shows_a_few_findings_per_kind_and_skips_unreadable_images() -> None:
    gone = Sample(Path("gone.png"), face(), "ibug68", "gone")
    many = tuple(Finding("error", "swapped", f"{i}", "x", (gone,)) for i in range(40))
    one = (
        Finding("note", "duplicate", "a", "y", (gone, gone)),
        Finding("note", "header", "b", "z"),
    )
    chosen = choose_worst(many + one)
    assert len(chosen) == MAX_SHOWN_OF_KIND + 1
    assert chosen[-1].kind == "duplicate"


@pytest.mark.data
@pytest.mark.slow
def test_300w_has_two_photos_in_both_splits_and_no_annotation_fault(
    data_root: Path, tmp_path: Path
) -> None:
    report = audit(data_root / "300w")
    # the data README: 3,101 training faces and the 554 of 300W common
    assert report.faces == 3101 + 554
    errors = [f for f in report.findings if f.severity == "error"]
    # inspected by hand: both pairs are the same photo, encoded twice
    assert {(f.kind, f.file, f.samples[1].name) for f in errors} == {
        ("duplicate", "lfpw/trainset/image_0828.jpg", "lfpw/testset/image_0096.jpg"),
        ("duplicate", "lfpw/trainset/image_0862.jpg", "lfpw/testset/image_0007.jpg"),
    }
    # refitted annotations of some small photos reach about a pixel beyond the edge
    with (data_root / "300w/helen/refitted.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        refitted = {f"helen/trainset/{row['name']}.jpg" for row in csv.DictReader(file)}
    assert len(refitted) == 1088
    assert {f.kind for f in report.findings} == {
        "duplicate",
        "count",
        "outside",
        "offset",
    }
    beyond = [f for f in report.findings if f.kind in ("outside", "offset")]
    assert all(f.severity == "warning" and f.file in refitted for f in beyond)
    write_audit_html(report, tmp_path / "sheet.html")
    assert (tmp_path / "sheet.html").stat().st_size > 100_000


def test_a_single_face_far_from_the_model_is_found(clean):
    first = min(sample.name for sample in read_folder(clean))

    def predict(_: object, sample: Sample) -> np.ndarray:
        side = np.ptp(sample.landmarks, axis=0).max()
        return sample.landmarks + (
            0.2 * side if sample.name == first else 0.02 * side
        ) * np.array([0.6, 0.8])

    (found,) = audit(clean, predict).findings
    assert (found.severity, found.kind, found.file) == ("warning", "far", first)
    assert "20 % of the box side away from the model's" in found.message


def test_a_part_without_its_data_set_is_refused(tmp_path: Path) -> None:
    code, _, noted = call("audit", tmp_path, "--part", "test")
    assert code == 2
    assert "--part needs --reader" in " ".join(noted.split())
