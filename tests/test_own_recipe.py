"""Annotated photos to a working model in one command: formats, points, recipe, training, export."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from commands import call
from faces import draw_face, write_faces
from lineament.data.readers.find_annotations import find_annotations
from lineament.data.readers.own_data import OwnData
from lineament.data.sample import in_validation
from lineament.errors import DataError, RecipeError
from lineament.labeling.own_scheme import read_own_faces
from lineament.recipe.file import make_recipe, read_recipe, read_values
from lineament.schemes import check_scheme, scheme
from tiny_sets import picture, shape, text

pytest.importorskip("torch")
from lineament.training.own_recipe import default_steps, write_own_recipe

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[1]
EIGHT = [36, 39, 42, 45, 30, 48, 54, 8]
NAMES = [
    *("reye_outer", "reye_inner", "leye_inner", "leye_outer"),
    *("nose", "rmouth", "lmouth", "chin"),
]
MIRROR = [3, 2, 1, 0, 4, 6, 5, 7]
FEW_STEPS = (
    *("--set", "train.steps=2", "--set", "train.batch=4", "--set", "train.warmup=1"),
    *("--set", "train.num_workers=0", "--set", "train.bf16=false"),
)
TINY = ("--set", "model.backbone=tiny", "--set", "model.channels=16")


def coco_file(path, points, names, count=2):
    """Write a COCO file of `count` faces, and the images next to it."""
    images, faces = [], []
    for number in range(1, count + 1):
        picture(path.parent / f"{path.stem}{number}.png", size=(60, 80))
        images.append({"id": number, "file_name": f"{path.stem}{number}.png"})
        keypoints = [v for x, y in points.tolist() for v in (x, y, 2)]
        faces.append({"id": number, "image_id": number, "category_id": 1})
        faces[-1]["keypoints"] = keypoints
    category = {"id": 1, "name": "face", "keypoints": names}
    table = {"images": images, "annotations": faces, "categories": [category]}
    return text(path, json.dumps(table))


def cvat_xml(folder, names):
    """Turn a folder of drawn faces into an export of CVAT for images 1.1."""
    skeletons = []
    for path in sorted(folder.glob("*.pts")):
        rows = np.loadtxt(path) - 1
        parts = "".join(
            f'<points label="{name}" outside="0" occluded="0" points="{x},{y}"/>'
            for name, (x, y) in zip(names, rows.tolist(), strict=True)
        )
        face = f'<skeleton label="face">{parts}</skeleton>'
        skeletons.append(f'<image name="{path.stem}.png">{face}</image>')
        path.unlink()
    return text(
        folder / "annotations.xml", f"<annotations>{''.join(skeletons)}</annotations>"
    )


def test_formats_are_found_in_folders(tmp_path):
    coco_file(tmp_path / "coco/annotations/person_keypoints_default.json", shape(4), [])
    text(tmp_path / "coco/annotations/instances_default.json", '{"images": []}')
    text(tmp_path / "xml/annotations.xml", "<annotations><image name='a'/>")
    text(tmp_path / "csv/deep/faces.csv", "image,x_0,y_0\n")
    text(tmp_path / "pts/a.pts", "")
    text(tmp_path / "yolo/labels/a.txt", "0 .5 .5 .2 .2 .4 .4 .6 .6\n")
    readers = {}
    for name in ("coco", "xml", "csv", "pts", "yolo"):
        found = find_annotations(tmp_path / name)
        assert len(found) == 1
        readers[name] = found[0].reader
    assert readers == {
        **{"coco": "coco", "xml": "cvat", "csv": "csv"},
        **{"pts": "folder", "yolo": "yolo"},
    }
    one = find_annotations(tmp_path / "csv/deep/faces.csv")
    assert [each.reader for each in one] == ["csv"]


def test_splits_are_known_by_the_names_of_files_and_folders(tmp_path):
    for name in ("train", "valid", "test"):
        coco_file(tmp_path / name / "_annotations.coco.json", shape(4), [])
    splits = {each.split for each in find_annotations(tmp_path)}
    assert splits == {"train", "validation", "test"}
    coco_file(tmp_path / "train2/_annotations.coco.json", shape(4), [])
    with pytest.raises(DataError, match="4 annotation files"):
        find_annotations(tmp_path)


def test_splits_of_label_files_are_the_names_of_their_folders(tmp_path):
    for name in ("train", "val", "test"):
        text(tmp_path / f"yolo/labels/{name}/a.txt", "0 .5 .5 .2 .2 .4 .4 .6 .6\n")
        text(tmp_path / f"pts/{name}/a.pts", "")
    for folder, reader in (("yolo", "yolo"), ("pts", "folder")):
        found = find_annotations(tmp_path / folder)
        assert {each.reader for each in found} == {reader}
        splits = {each.path.name: each.split for each in found}
        assert splits == {"train": "train", "val": "validation", "test": "test"}
    # label files outside of the splits
    text(tmp_path / "pts/b.pts", "")
    assert [each.split for each in find_annotations(tmp_path / "pts")] == [""]


@pytest.mark.parametrize("name", ["absent", "empty", "a.tiff"])
def test_a_place_without_annotations_raises_a_clear_error(name, tmp_path):
    (tmp_path / "empty").mkdir()
    text(tmp_path / "a.tiff", "")
    with pytest.raises(DataError, match="expected"):
        find_annotations(tmp_path / name)
    code, _, noted = call("train", tmp_path / name, "--out", tmp_path / "run")
    assert code == 1
    assert noted.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "advice"),
    [("faces.zip", "unpack it"), ("a.json.gz", "unpack it"), ("a.xlsx", "as CSV")],
)
def test_an_archive_or_a_spreadsheet_is_named_with_its_remedy(name, advice, tmp_path):
    path = tmp_path / "export" / name
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04\x81\x8d")
    out = tmp_path / "out"
    for place in (path, path.parent):
        with pytest.raises(
            DataError, match=f"{name}: not an annotation file;.*{advice}"
        ):
            find_annotations(place)
    for command in (("audit",), ("annotations", "write", "--format", "coco")):
        code, _, noted = call(*command, path, "--out", out)
        assert code == 1
        assert advice in noted
    assert not out.exists()


def test_names_of_cvats_xml_make_a_scheme(tmp_path):
    write_faces(tmp_path, 6, lambda landmarks: landmarks[EIGHT])
    cvat_xml(tmp_path, NAMES)
    lines = []
    faces, made = read_own_faces(find_annotations(tmp_path)[0], "eight", lines.append)
    assert [face.scheme for face in faces] == ["eight"] * 6
    assert made.mirror.tolist() == MIRROR
    assert made.norm_points["interocular"] == ((0,), (3,))
    assert lines == []


def test_the_mirror_of_unnamed_points_is_inferred_from_positions(tmp_path):
    write_faces(tmp_path, 12, lambda landmarks: landmarks[EIGHT])
    lines = []
    faces, made = read_own_faces(find_annotations(tmp_path)[0], "unnamed", lines.append)
    assert made.mirror.tolist() == MIRROR
    assert len(faces) == 12
    assert len(lines) == 1
    assert "inferred from the mean of the annotated faces: check it" in lines[0]


def test_21_other_points_are_not_mistaken_for_aflw21(tmp_path):
    # in AFLW's order the first is the left end of the right brow, here the right eye
    chosen = [*range(36, 48), 30, 31, 35, 48, 51, 54, 57, 8, 27]
    write_faces(tmp_path, 12, lambda landmarks: landmarks[chosen])
    lines = []
    _, made = read_own_faces(find_annotations(tmp_path)[0], "other21", lines.append)
    assert made.mirror[0] == 9
    assert "as many points (21) as aflw21" in lines[0]


def test_68_points_are_recognized_as_ibug68(tmp_path):
    write_faces(tmp_path, 6)
    faces, made = read_own_faces(find_annotations(tmp_path)[0], "mine")
    assert made is None
    assert faces[0].scheme == "ibug68"


def test_more_faces_take_more_steps():
    steps = [default_steps(faces) for faces in (10, 36, 90, 360, 1999, 5000, 10**5)]
    assert steps == sorted(steps)
    assert steps[1] == 600  # 19,200 crops: minutes on two cores
    assert len(set(steps)) == 6


def test_the_network_is_that_of_the_recipe_for_fine_tuning():
    path = ROOT / "src/lineament/tables/own-recipe.toml"
    own = tomllib.loads(path.read_text(encoding="utf-8"))
    kept = read_values(ROOT / "recipes/fine-tune.toml")
    train = {"train": {"steps": 1}}
    data = {"data": [{"reader": "folder", "folder": "a"}], "name": "a"}
    ours = make_recipe(own | train | data)
    theirs = make_recipe(
        {key: kept[key] for key in ("model", "losses", "augment")} | train | data
    )
    assert ours == theirs


def test_a_recipe_is_written_next_to_its_scheme(tmp_path):
    write_faces(tmp_path / "faces", 12, lambda landmarks: landmarks[EIGHT])
    cvat_xml(tmp_path / "faces", NAMES)
    made = write_own_recipe(tmp_path / "faces", tmp_path / "run", "mine")
    assert made.training == 10
    assert made.text.startswith("# 10 faces to train on, 2 for validation, ")
    assert "fine-tunes fast" in made.text
    assert made.drawing == tmp_path / "run/mine-points.png"
    recipe = read_recipe(made.path)
    assert scheme(recipe.scheme).points == tuple(NAMES)
    assert Path(recipe.init_from).name == "fast.safetensors"
    assert recipe.train.steps == 600
    assert recipe.data[0].reader == "cvat"


def test_a_recipe_or_scheme_edited_by_hand_is_kept_as_a_copy(tmp_path):
    write_faces(tmp_path / "faces", 12, lambda landmarks: landmarks[EIGHT])
    cvat_xml(tmp_path / "faces", NAMES)
    arguments = (tmp_path / "faces", tmp_path / "run", "mine")
    written = write_own_recipe(*arguments)
    lines = []
    write_own_recipe(*arguments, lines.append)
    assert not list((tmp_path / "run").glob("*.previous.*"))
    for name in ("recipe", "mine-points"):
        path = tmp_path / f"run/{name}.toml"
        path.write_text(path.read_text() + "# edited", encoding="utf-8")
    again = write_own_recipe(*arguments, lines.append)
    assert again.path.read_text() == written.text
    for name in ("recipe", "mine-points"):
        kept = tmp_path / f"run/{name}.previous.toml"
        assert kept.read_text().endswith("# edited")
        assert any(f"kept as {kept.name}" in line for line in lines)


def test_user_provided_settings_are_used_and_written(tmp_path):
    points = np.array([[20.0, 20], [30, 20], [50, 20], [60, 20], [40, 40], [40, 55]])
    names = ["reye_outer", "reye_inner", "leye_inner", "leye_outer", "nose", "chin"]
    path = coco_file(tmp_path / "set/a.json", points, names, 6)
    table = json.loads(path.read_text())
    other = {"id": 2, "name": "dog", "keypoints": names[:3]}
    table["categories"].append(other)
    table["annotations"].append(
        {"id": 9, "image_id": 1, "category_id": 2, "keypoints": [1, 1, 2] * 3}
    )
    text(path, json.dumps(table))
    for image in (tmp_path / "set").glob("*.png"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.move(image, tmp_path / "photos" / f"p1_{image.name}")
    for image in table["images"]:
        image["file_name"] = f"p1_{image['file_name']}"
    text(path, json.dumps(table))
    own = text(tmp_path / "six.toml", f'points = {json.dumps(names)}\nname = "six"')
    places = {"category": "face", "pictures": tmp_path / "photos", "group": "(p1)_"}
    with pytest.raises(DataError, match="category ="):
        write_own_recipe(path, tmp_path / "run", "stated")
    stated = OwnData(**places)
    made = write_own_recipe(path, tmp_path / "run", "stated", own=stated)
    (part,) = read_recipe(made.path).data
    assert (part.category, part.group) == ("face", "(p1)_")
    assert Path(part.pictures) == tmp_path / "photos"
    stated = OwnData(check_scheme(str(own)), **places)
    made = write_own_recipe(path, tmp_path / "two", "stated", own=stated)
    recipe = read_recipe(made.path)
    assert recipe.scheme == recipe.data[0].scheme == "six"
    assert (tmp_path / "two/six.toml").is_file()
    assert made.drawing is None
    code, _, noted = call("train", tmp_path / "recipe.toml", "--category", "face")
    assert code == 2
    assert "set these keys of [[data]]" in " ".join(noted.split())


def test_corrected_faces_become_a_recipe_with_the_scheme_they_carry(tmp_path):
    points = np.array([[20.0, 20], [30, 20], [50, 20], [60, 20], [40, 40], [40, 55]])
    names = ["reye_outer", "reye_inner", "leye_inner", "leye_outer", "nose", "chin"]
    path = coco_file(tmp_path / "set/a.json", points, names, 6)
    own = text(tmp_path / "kept6.toml", f"points = {json.dumps(names)}")
    review = tmp_path / "review"
    code, _, _ = call("annotations", "read", path, "--scheme", own, "--out", review)
    assert code == 0
    assert [each.reader for each in find_annotations(review)] == ["review"]
    made = write_own_recipe(review, tmp_path / "run", "reviewed")
    recipe = read_recipe(made.path)
    assert (recipe.scheme, recipe.data[0].reader) == ("kept6", "review")
    assert (tmp_path / "run/kept6.toml").is_file()
    code, shown, _ = call("audit", review, "--out", tmp_path / "a.html")
    assert "6 faces on 6 images" in shown


def test_annotations_are_used_if_all_are_of_test_sets(tmp_path):
    for site in "ab":
        write_faces(tmp_path / site / "test", 3)
    made = write_own_recipe(tmp_path, tmp_path / "run", "mine")
    assert len(read_recipe(made.path).data) == 2


def test_annotations_of_a_test_set_are_left_out(tmp_path):
    for name in ("train", "valid", "test"):
        write_faces(tmp_path / name, 3)
        table = tmp_path / name / f"{name}.csv"
        columns = [f"{axis}_{i}" for i in range(68) for axis in "xy"]
        rows = [",".join(["image", *columns])]
        for path in sorted((tmp_path / name).glob("*.pts")):
            values = (np.loadtxt(path) - 1).ravel()
            rows.append(",".join([f"{path.stem}.png", *map(str, values)]))
            path.unlink()
        text(table, "\n".join(rows))
    lines = []
    made = write_own_recipe(tmp_path, tmp_path / "run", "mine", lines.append)
    parts = read_recipe(made.path).data
    assert [Path(part.folder).name for part in parts] == ["train.csv", "valid.csv"]
    assert [part.validation for part in parts] == [False, True]
    assert any("test.csv: skipped" in line for line in lines)


def test_official_names_of_folders_are_those_of_splits(tmp_path):
    write_faces(tmp_path / "helen/trainset", 6)
    write_faces(tmp_path / "helen/testset", 2)
    lines = []
    made = write_own_recipe(tmp_path / "helen", tmp_path / "run", "mine", lines.append)
    kept = sum(in_validation(f"face{i}") for i in range(6))
    assert made.text.startswith(f"# {6 - kept} faces to train on, {kept} for valid")
    assert lines == [f"{tmp_path}/helen/testset: skipped, because it is a test set"]


def test_lists_of_images_become_parts_of_a_recipe(tmp_path):
    folder = tmp_path / "faces \U0001f600"
    names = {"train": (0, 1, 2), "val": (3,)}
    for split, numbers in names.items():
        lines = [f"./images/{number}.png" for number in numbers]
        text(folder / f"{split}.txt", "\n".join(lines))
    for number in range(4):
        picture(folder / f"images/{number}.png", size=(120, 120))
        points = draw_face(number)[1] / 120
        cells = " ".join(f"{x:.5f} {y:.5f}" for x, y in points)
        text(folder / f"labels/{number}.txt", f"0 0.5 0.5 0.5 0.5 {cells}\n")
    yaml = "train: train.txt\nval: val.txt\nkpt_shape: [68, 2]\n"
    path = text(folder / "data.yaml", yaml)
    made = write_own_recipe(path, tmp_path / "run", "mine")
    assert made.training == 3
    data = read_recipe(made.path).data
    assert [part.part for part in data] == ["train.txt", "val.txt"]
    assert [part.validation for part in data] == [False, True]
    assert {Path(part.folder) for part in data} == {folder}


def test_without_weights_the_initialization_is_noted_or_rejected(tmp_path, monkeypatch):
    from lineament.errors import ExtraError
    from lineament.training import own_recipe

    def no_weights(name, recipe):
        raise RecipeError("absent")

    def no_package(name):
        raise ExtraError("x is not installed; type: pip install x")

    lines = []
    path = tmp_path / "recipe.toml"
    monkeypatch.setattr(own_recipe, "imagenet_file", no_package)
    assert own_recipe._start(path, 5000, lines.append) == "fast"
    assert "x is not installed" in lines[0]
    monkeypatch.setattr(own_recipe, "find_weights", no_weights)
    with pytest.raises(RecipeError, match="no weights to start from"):
        own_recipe._start(path, 40, lines.append)
    monkeypatch.setattr(own_recipe, "imagenet_file", lambda name: tmp_path)
    assert own_recipe._start(path, 40, lines.append) == ""
    assert "the error will be larger" in lines[1]


def test_photos_become_a_model_in_one_command(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LINEAMENT_DATA", raising=False)
    write_faces(tmp_path / "faces", 24, lambda landmarks: landmarks[EIGHT])
    cvat_xml(tmp_path / "faces", NAMES)
    given = ("--cache", "cache", *FEW_STEPS, *TINY, "--set", "init_from=")
    given += ("--set", "model.imagenet=false", "--set", "model.size=64")
    code, shown, noted = call("train", "faces", *given)
    assert code == 0, noted
    assert shown == f"{Path('runs/faces/faces.onnx')}\n"
    assert 'reader = "cvat"' in noted  # the recipe is shown
    assert "21 faces to train on, 3 for validation" in noted
    # the model carries its scheme, so that annotations of the same names are understood
    measured = ("--data", "faces", "--model", "runs/faces/faces.onnx")
    code, shown, noted = call("evaluate", *measured, "--format", "json")
    assert code == 0, noted
    assert json.loads(shown)["settings"]["scheme"] == "faces-points"
    shutil.rmtree("faces")
    picture(tmp_path / "photo.png", size=(120, 120))
    run = ("detect", "photo.png", "--model", "runs/faces/faces.onnx")
    code, shown, noted = call(*run, "--boxes", "20,20,100,100")
    assert code == 0, noted
    found = json.loads(shown)
    assert "leye_outer" in json.dumps(found)
    code, _, noted = call("train", "faces", *given)
    assert code == 1
    assert "already contains a run" in noted or "no such folder" in noted


def test_fine_tuning_keeps_the_trunk_of_fast_and_draws_the_head(tmp_path):
    import torch

    from lineament.training.build import (
        build_model,
        load_initial_weights,
        read_initial_weights,
    )

    table = {"name": "mine8", "points": NAMES}
    own = text(
        tmp_path / "mine8.toml", "\n".join(f"{k} = {v!r}" for k, v in table.items())
    )
    values = tomllib.loads(
        (ROOT / "src/lineament/tables/own-recipe.toml").read_text(encoding="utf-8")
    )
    weights = ROOT / "teachers/fast.safetensors"
    recipe = make_recipe(
        values
        | {"name": "a", "scheme": str(own), "init_from": str(weights)}
        | {"data": [{"reader": "folder", "folder": "a"}], "train": {"steps": 1}}
    )
    drawn = build_model(recipe)
    model = build_model(recipe)
    load_initial_weights(model, recipe)
    given, _ = read_initial_weights(weights)
    before, after = drawn.state_dict(), model.state_dict()
    kept = {
        key for key in after if torch.equal(after[key], given.get(key, torch.empty(0)))
    }
    new = {key for key in after if torch.equal(after[key], before[key])} - kept
    assert {key.split(".")[0] for key in new} == {"head"}
    assert {"backbone", "pyramid"} <= {key.split(".")[0] for key in kept}
    assert kept | new == after.keys()


def test_splits_of_user_defined_points_share_a_scheme(tmp_path):
    points = np.array([[20.0, 20], [30, 20], [50, 20], [60, 20], [40, 40], [40, 55]])
    names = ["reye_outer", "reye_inner", "leye_inner", "leye_outer", "nose", "chin"]
    coco_file(tmp_path / "train/train.json", points, names, 6)
    # turned by a half: fewer faces, of which another mirror might be inferred
    coco_file(tmp_path / "valid/valid.json", [80, 60] - points, names)
    made = write_own_recipe(tmp_path, tmp_path / "run", "splits")
    assert made.training == 6
    recipe = read_recipe(made.path)
    assert [part.validation for part in recipe.data] == [False, True]
    assert scheme(recipe.scheme).mirror.tolist() == [3, 2, 1, 0, 4, 5]
