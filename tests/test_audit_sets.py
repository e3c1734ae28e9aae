"""The audit finds faults in user data: units, resized copies, placeholders, order, identities."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import call
from lineament.data.audit.audit import audit
from lineament.data.audit.set_checks import check_all_outside, check_set
from lineament.data.mirror import better_mirror, infer_mirror_from_shapes
from lineament.data.readers.own_data import OwnData
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.geometry import apply_affine, similarity
from lineament.io.pts import format_pts
from lineament.schemes import check_scheme
from tiny_sets import text

NAMES = ["r_eye_a", "r_eye_b", "l_eye_a", "l_eye_b", "nose", "r_mouth", "l_mouth"]
# eyes from left to right of the image: a is outside in the right eye, inside in the left one
FACE = np.array(
    [[20, 30], [40, 30], [60, 30], [80, 30], [50, 60], [32, 85], [68, 85]], float
)
MIRROR = [3, 2, 1, 0, 4, 6, 5]


def scheme_of(tmp_path: Path, name: str, mirror: list[int] | None = None) -> str:
    lines = [f"points = {json.dumps(NAMES)}", f'name = "{name}"']
    lines += [] if mirror is None else [f"mirror = {mirror}"]
    return check_scheme(str(text(tmp_path / f"{name}.toml", "\n".join(lines))))


def moved(seed: int) -> np.ndarray:
    """Return the face with a random similarity from `seed` and a pixel of noise."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(50, 60, 2)
    turn = similarity(rng.uniform(0.8, 1.2), rng.normal(0, 8), FACE.mean(0), center)
    return apply_affine(turn, FACE) + rng.normal(0, 0.5, FACE.shape)


def samples(name: str, count: int = 8) -> list[Sample]:
    made = []
    for i in range(count):
        place = Path(f"face{i}.png")
        made.append(Sample(place, moved(i), name, place.name, subset="train"))
    return made


def kinds(found) -> list[tuple[str, str]]:
    return [(finding.severity, finding.kind) for finding in found]


def test_a_clean_set_of_own_points_has_no_finding(tmp_path):
    name = scheme_of(tmp_path, "clean7", MIRROR)
    assert kinds(check_set(samples(name), grouped=True)) == []


def test_a_point_with_one_placeholder_coordinate_is_an_error(tmp_path):
    faces = samples(scheme_of(tmp_path, "clean7", MIRROR))
    faces[2].landmarks[4, 0] = -1
    (finding,) = check_set(faces, grouped=False)
    assert (finding.severity, finding.kind, finding.file) == (
        "error",
        "mark",
        "face2.png",
    )
    assert "e.g. point 4" in finding.message


def test_a_face_of_another_scale_is_an_error(tmp_path):
    faces = samples(scheme_of(tmp_path, "clean7", MIRROR))
    faces[3] = replace(faces[3], landmarks=faces[3].landmarks / 25)
    (finding,) = check_set(faces, grouped=False)
    assert (finding.kind, finding.file) == ("scale", "face3.png")
    assert "times smaller than usual" in finding.message


def test_persons_in_two_splits_are_an_error_if_groups_are_stated(tmp_path):
    faces = samples(scheme_of(tmp_path, "clean7", MIRROR))
    faces[0] = replace(faces[0], group="ann")
    faces[1] = replace(faces[1], group="ann", subset="test")
    assert kinds(check_set(faces, grouped=False)) == []
    (finding,) = check_set(faces, grouped=True)
    assert finding.kind == "person"
    assert "'ann' is in the splits test, train" in finding.message


def test_a_mirror_by_names_that_contradicts_the_positions_is_an_error(tmp_path):
    name = scheme_of(tmp_path, "wrong7")  # by names r_eye_a mirrors l_eye_a
    (finding,) = check_set(samples(name), grouped=False)
    assert finding.severity == "error"
    assert "r_eye_a - l_eye_b, r_eye_b - l_eye_a" in finding.message
    assert "set mirror in its file" in finding.message


def test_a_mirror_is_inferred_from_faces_without_names():
    shapes = [moved(seed) for seed in range(8)]
    assert infer_mirror_from_shapes(shapes, "x") == MIRROR
    assert better_mirror(shapes, MIRROR) is None
    assert better_mirror(shapes, [2, 3, 0, 1, 4, 6, 5]) == MIRROR
    lopsided = [np.random.default_rng(0).uniform(0, 100, (9, 2))]
    with pytest.raises(DataError, match="the mean of the faces is not symmetric"):
        infer_mirror_from_shapes(lopsided, "x")


def folder_of(tmp_path: Path, faces: list[Sample]) -> Path:
    """Write faces as .pts files next to images of noise."""
    root = tmp_path / "faces"
    root.mkdir()
    for number, face in enumerate(faces):
        noise = np.random.default_rng(number).integers(0, 255, (120, 120, 3))
        Image.fromarray(noise.astype(np.uint8)).save(root / face.name)
        text(root / f"{face.image.stem}.pts", format_pts(face.landmarks))
    return root


def test_two_exchanged_points_are_an_error(tmp_path):
    name = scheme_of(tmp_path, "clean7", MIRROR)
    faces = samples(name)
    faces[5].landmarks[[4, 5]] = faces[5].landmarks[[5, 4]]
    root = folder_of(tmp_path, faces)
    found = audit(root, own=OwnData(scheme=name)).findings
    errors = [f for f in found if f.severity == "error"]
    assert [(f.kind, f.file) for f in errors] == [("swapped", "face5.png")]
    assert "points 4 (nose) and 5 (r_mouth)" in errors[0].message


def test_points_of_a_larger_copy_are_an_error(tmp_path):
    name = scheme_of(tmp_path, "clean7", MIRROR)
    faces = [replace(s, landmarks=4 * s.landmarks) for s in samples(name, 3)]
    found = audit(folder_of(tmp_path, faces), own=OwnData(scheme=name)).findings
    errors = [f for f in found if f.kind == "resized"]
    assert len(errors) == 1
    assert "3 of 3 faces have points outside their images" in errors[0].message
    assert list(check_all_outside(errors, 9)) == []  # one of nine is below the limit


def test_an_image_of_another_size_than_annotated_is_an_error(tmp_path):
    Image.new("RGB", (60, 40), (9, 90, 50)).save(tmp_path / "a.png")
    keypoints = [v for x, y in FACE[:5] / 4 for v in (x, y, 2)]
    table = {
        "images": [{"id": 1, "file_name": "a.png", "width": 120, "height": 80}],
        "annotations": [{"id": 1, "image_id": 1, "keypoints": keypoints}],
    }
    text(tmp_path / "a.json", json.dumps(table))
    lines: list[str] = []
    found = audit(tmp_path, own=OwnData(note=lines.append)).findings
    (error,) = [f for f in found if f.kind == "resized"]
    assert "of 120 x 80 pixels, but this one has 60 x 40" in error.message
    assert "multiply x by 0.5 and y by 0.5" in error.message
    assert any("5 points without names, assumed to be five" in line for line in lines)


def test_placeholders_of_missing_points_are_noted(tmp_path):
    name = scheme_of(tmp_path, "clean7", MIRROR)
    faces = samples(name, 2)
    faces[0].landmarks[4] = -2  # -1 in the file, which counts from 1
    lines: list[str] = []
    audit(folder_of(tmp_path, faces), own=OwnData(scheme=name, note=lines.append))
    assert any("1 points of 1 faces are at (-1, -1), which" in line for line in lines)


def test_the_command_takes_a_scheme(tmp_path):
    name = scheme_of(tmp_path, "clean7", MIRROR)
    root = folder_of(tmp_path, samples(name, 2))
    file = tmp_path / "clean7.toml"
    out = tmp_path / "a.html"
    code, shown, _ = call("audit", root, "--scheme", file, "--out", out)
    assert code == 0
    assert "2 faces on 2 images" in shown


def test_a_mirror_that_is_mostly_wrong_is_replaced():
    # both eyes and both mouth corners mirror themselves
    shapes = [moved(seed)[[0, 3, 4, 5, 6]] for seed in range(8)]
    assert better_mirror(shapes, [0, 1, 2, 3, 4]) == [1, 0, 2, 4, 3]
    assert better_mirror(shapes, [1, 0, 2, 3, 4]) == [1, 0, 2, 4, 3]
    assert better_mirror(shapes, [1, 0, 2, 4, 3]) is None
