"""`lineament scheme` makes a scheme from a COCO category, prints inferences, and draws it."""

import json

import numpy as np
import pytest

from commands import call
from lineament.analysis.draw_scheme import draw_scheme
from lineament.data.label_files import write_label_files
from lineament.data.readers.coco_scheme import scheme_from_coco
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.labeling.mean_shape import learn_mean_shape
from lineament.schemes import check_scheme, read_scheme, scheme
from test_audit_sets import FACE, MIRROR, moved, scheme_of
from tiny_sets import picture, text

NAMES = ["l_eye", "r_eye", "nose"]


def table(names, faces=(), skeleton=()):
    annotations = []
    for number, points in enumerate(faces):
        keypoints = [v for x, y in points for v in (x, y, 2)]
        annotations.append(
            {"id": number, "image_id": 1, "category_id": 1, "keypoints": keypoints}
        )
    category = {"id": 1, "name": "face", "keypoints": names, "skeleton": skeleton}
    return {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": annotations,
        "categories": [category, {"id": 2, "name": "car"}],
    }


def test_a_file_with_only_categories_is_enough(tmp_path):
    path = tmp_path / "a.json"
    text(path, json.dumps(table(NAMES, skeleton=[[1, 3], [2, 3]])))
    code, shown, noted = call("scheme", path, "--out", tmp_path / "mine.toml")
    assert code == 0
    made = read_scheme(tmp_path / "mine.toml")
    assert made.name == "mine"
    assert made.points == tuple(NAMES)
    assert made.mirror.tolist() == [1, 0, 2]
    assert made.edges == ((0, 2), (1, 2))  # COCO counts from 1
    assert "1 r_eye" in shown  # the mirror image of l_eye
    assert (
        "no mean shape and no drawing; give the folder of the images with --pictures"
        in noted
    )
    assert not (tmp_path / "mine.png").exists()


def test_out_must_be_a_toml_file(tmp_path):
    path = text(tmp_path / "a.json", json.dumps(table(NAMES)))
    code, _, noted = call("scheme", path, "--out", tmp_path / "mine.json")
    assert code == 2
    assert "expected a .toml file" in noted


def test_a_corrected_file_is_not_overwritten(tmp_path):
    path = text(tmp_path / "a.json", json.dumps(table(NAMES)))
    out = text(tmp_path / "mine.toml", "corrected")
    code, _, noted = call("scheme", path, "--out", out)
    assert code == 2
    assert "--overwrite" in noted
    assert out.read_text() == "corrected"
    assert call("scheme", path, "--out", out, "--overwrite")[0] == 0
    assert out.read_text() != "corrected"


def test_a_broken_skeleton_gives_a_one_line_error(tmp_path):
    path = text(tmp_path / "a.json", json.dumps(table(NAMES, skeleton=["0-2"])))
    with pytest.raises(DataError, match="not a list of pairs of point numbers"):
        scheme_from_coco(path, "mine")


def test_a_skeleton_that_counts_from_0_is_noted(tmp_path):
    path = text(tmp_path / "a.json", json.dumps(table(NAMES, skeleton=[[0, 2]])))
    lines = []
    assert scheme_from_coco(path, "mine", note=lines.append).edges == ((0, 2),)
    assert "counts points from 0" in lines[0]


def test_numbered_points_take_their_mirror_from_the_faces(tmp_path):
    names = [str(i) for i in range(7)]
    faces = [moved(seed).tolist() for seed in range(6)]
    path = text(tmp_path / "a.json", json.dumps(table(names, faces)))
    lines = []
    assert scheme_from_coco(path, "x", note=lines.append).mirror.tolist() == MIRROR
    assert "the mirror is inferred from the mean of the annotated faces" in lines[0]
    text(path, json.dumps(table(names)))
    with pytest.raises(DataError, match="do not tell left from right, and no face has"):
        scheme_from_coco(path, "x")


@pytest.mark.parametrize(
    ("content", "category", "message"),
    [
        ("[]", "", "not COCO keypoints"),
        (json.dumps({"categories": []}), "", "0 categories list keypoints"),
        (json.dumps(table(NAMES)), "hand", "no category 'hand'; choose one of face"),
    ],
)
def test_a_file_without_the_category_gives_a_one_line_error(
    content, category, message, tmp_path
):
    path = text(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=message):
        scheme_from_coco(path, "x", category)


def test_the_case_of_a_category_is_ignored(tmp_path):
    path = text(tmp_path / "a.json", json.dumps(table(NAMES)))
    assert scheme_from_coco(path, "x", "FACE").points == tuple(NAMES)


def red_pixels(image):
    """Count pixels in the color of mirrored pairs, including antialiased ones."""
    return int((image[..., 0].astype(int) - image[..., 1] > 100).sum())


def test_the_drawing_shows_points_and_pairs(tmp_path):
    made = scheme(scheme_of(tmp_path, "clean7", MIRROR))
    drawn = draw_scheme(np.zeros((120, 120, 3), np.uint8), FACE, made)
    assert max(drawn.shape) == pytest.approx(1000, abs=1)
    # only mirrored pairs are drawn, as the scheme has no edges
    assert red_pixels(drawn) > 500
    alone = np.full_like(FACE, np.nan)
    alone[0], alone[4] = FACE[0], FACE[4]
    few = draw_scheme(np.zeros((120, 120, 3), np.uint8), alone, made)
    assert red_pixels(few) == 0


def test_a_mean_shape_is_learned_in_the_frame_of_68_points(tmp_path):
    from lineament.face import Face, Faces

    mean = scheme("ibug68").mean_shape
    path = picture(tmp_path / "face.png", size=(120, 120))
    name = scheme_of(tmp_path, "clean7", MIRROR)
    points = mean[[36, 39, 42, 45, 30, 48, 54]] * 50 + 60
    face = Sample(path, points, name, "a")

    def predict(image):
        ones = np.ones(68)
        box = np.array([30.0, 30, 90, 90])
        found = Face(mean * 50 + 60, ones, ones, box, 1.0, "ibug68")
        other = Face(mean * 5 + 10, ones, ones, box, 1.0, "ibug68")
        # overlaps by more than a fifth, but less than the face itself
        near = Face(mean * 50 + 71, ones, ones, box, 1.0, "ibug68")
        return Faces((other, near, found), "ibug68", 68)

    learned, count = learn_mean_shape([face], predict)
    assert count == 1
    assert np.allclose(learned, mean[[36, 39, 42, 45, 30, 48, 54]], atol=1e-9)
    assert learn_mean_shape([face], lambda image: Faces((), "ibug68", 68)) == (None, 0)


@pytest.mark.parametrize("kind", ["cvat", "label-studio", "csv", "yolo"])
def test_a_scheme_is_made_from_labels_in_any_format(kind, tmp_path):
    points = text(tmp_path / "eyes.toml", f"points = {json.dumps(NAMES)}")
    own = check_scheme(str(points))
    faces = []
    for number in range(3):
        image = picture(tmp_path / f"{number}.png", size=(60, 60))
        landmarks = np.array([[40.0, 20], [20, 20], [30, 40]]) + number
        faces.append(Sample(image, landmarks, own, image.name))
    write_label_files(faces, kind, tmp_path, tmp_path)
    if kind == "csv":
        # Lineament's own tables have numbers instead of names
        header = ",".join(f"{name}_{axis}" for name in NAMES for axis in "xy")
        rows = [",".join(map(str, face.landmarks.ravel())) for face in faces]
        lines = [f"image,{header}", *(f"{i}.png,{row}" for i, row in enumerate(rows))]
        text(tmp_path / "faces.csv", "\n".join(lines))
    out = tmp_path / f"from-{kind}.toml"
    code, shown, _ = call("scheme", tmp_path, "--out", out, "--pictures", tmp_path)
    assert code == 0
    made = read_scheme(out)
    assert made.points == tuple(NAMES)
    assert made.mirror.tolist() == [1, 0, 2]
    assert out.with_suffix(".png").is_file()
    assert f"scheme from-{kind} of 3 points" in shown


def test_points_of_the_package_need_no_scheme(tmp_path):
    picture(tmp_path / "a.png", size=(60, 60))
    header = ",".join(f"x_{i},y_{i}" for i in range(5))
    cells = "20,20,40,20,30,30,22,45,38,45"
    text(tmp_path / "a.csv", f"image,{header}\na.png,{cells}\n")
    code, _, noted = call("scheme", tmp_path / "a.csv", "--out", tmp_path / "b.toml")
    assert code == 1
    assert "its points are those of the scheme five; use this name" in noted
