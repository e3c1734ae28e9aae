"""Users' schemes: read from TOML, mirrored by their names, carried by what is written."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from lineament.errors import DataError, RecipeError, SchemeError
from lineament.face import Face, Faces
from lineament.io.formats import faces_from_json, faces_to_json
from lineament.recipe.file import make_recipe, read_recipe
from lineament.scheme_file.names import (
    infer_mirror_from_names,
    is_numbered,
    split_words,
)
from lineament.scheme_file.table import (
    scheme_from_table,
    scheme_text,
    scheme_to_table,
)
from lineament.schemes import (
    add_scheme,
    check_scheme,
    convert,
    load_stored_scheme,
    read_scheme,
    scheme,
    scheme_entries,
)

NAMES21 = [
    *("reye_outer", "reye_top1", "reye_top2", "reye_inner", "reye_bottom2"),
    *("reye_bottom1", "leye_inner", "leye_top1", "leye_top2", "leye_outer"),
    *("leye_bottom2", "leye_bottom1", "nose_tip", "rwing", "lwing", "rmouth"),
    *("mouth_top", "lmouth", "mouth_bottom", "chin", "nose_bridge"),
]


def write(path, **keys):
    """Write a scheme; values are JSON, which is TOML for texts, numbers and lists."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def face_of(name):
    count = len(scheme(name))
    points = np.column_stack([np.arange(count), np.arange(count) * 2.0])
    ones = np.ones(count)
    return Face(points, ones, ones, np.array([0.0, 0, 40, 40]), 1.0, name)


def test_the_mirror_is_inferred_from_names_in_many_spellings():
    # reye_top1 mirrors leye_top1, although they are at opposite ends of the eye
    mirror = [9, 7, 8, 6, 10, 11, 3, 1, 2, 0, 4, 5, 12, 14, 13, 17, 16, 15, 18, 19, 20]
    assert infer_mirror_from_names(NAMES21) == mirror
    assert infer_mirror_from_names(["left_eye_center", "right_eye_center"]) == [1, 0]
    assert infer_mirror_from_names(["LeftEye", "RightEye", "Nose"]) == [1, 0, 2]
    assert infer_mirror_from_names(["eye_l", "lip", "eye_r"]) == [2, 1, 0]
    assert split_words("mouthCorner-R2") == ["mouth", "corner", "r", "2"]
    assert split_words("Œil gauche_1") == ["œil", "gauche", "1"]


def test_numbers_are_not_treated_as_names():
    assert is_numbered(["0", "1", "12"])
    assert is_numbered(["kp_1", "kp_2"])
    assert not is_numbered(["chin", "nose"])


def test_a_file_with_names_alone_gives_mirror_parts_and_norms(tmp_path):
    own = read_scheme(write(tmp_path / "own21.toml", points=NAMES21))
    assert own.name == "own21"
    assert own.mirror.tolist() == infer_mirror_from_names(NAMES21)
    assert own.parts["right_eye"] == (0, 1, 2, 3, 4, 5)
    assert own.parts["left_eye"] == (6, 7, 8, 9, 10, 11)
    assert own.parts["nose"] == (12, 13, 14, 20)
    assert own.parts["jaw"] == (19,)
    assert own.norm_points["interocular"] == ((0,), (9,))


def test_parts_do_not_depend_on_the_mirror(tmp_path):
    # as written by lineament scheme if positions contradict the names
    mirror = [9, 8, 7, 6, 11, 10, 3, 2, 1, 0, 5, 4, 12, 14, 13, 17, 16, 15, 18, 19, 20]
    path = write(tmp_path / "placed.toml", points=NAMES21, mirror=mirror)
    assert read_scheme(path).parts["left_eye"] == (6, 7, 8, 9, 10, 11)


def test_a_file_may_state_pairs_edges_parts_and_norms_by_name_or_number(tmp_path):
    own = read_scheme(
        write(
            tmp_path / "a.toml",
            name="mine",
            points=["p", "q", "r"],
            mirror=[["p", 2]],
            edges=[["p", "q"], [1, 2]],
            norm_points={},
        )
    )
    assert own.name == "mine"
    assert own.mirror.tolist() == [2, 1, 0]
    assert own.edges == ((0, 1), (1, 2))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "points is None; expected a list of names"),
        ({"points": ["a"]}, "1 points; expected 2 or more"),
        ({"points": ["l_a", "r_a", "l_a"]}, "two points are called 'l_a'; rename one"),
        ({"points": ["a", "b"]}, "no point's name tells left from right"),
        ({"points": ["left_a", "b_r", "b_l"]}, "'left_a' has no partner on the other"),
        ({"points": ["l_a", "r_a"], "mirror": [1, 1]}, "does not swap points in pairs"),
        ({"points": ["l_a", "r_a"], "mirror": [["l_a", "r_b"]]}, "did you mean 'r_a'"),
        ({"points": ["l_a", "r_a"], "edges": [[0, 2]]}, "edges has 2; expected a name"),
        ({"points": ["l_a", "r_a"], "mean_shape": [[0, 1]]}, "expected x, y of each"),
        ({"points": ["l_a", "r_a"], "mirrors": []}, "unknown key 'mirrors'; did you"),
        (
            {"points": ["l_a", "r_a"], "name": "a b"},
            "expected letters, .*rename the file",
        ),
        ({"points": ["l_a", "r_a"], "edges": 5}, "a value of the wrong kind"),
        (
            {"points": ["l_a", "r_a"], "parts": 3},
            r"parts is 3; expected a table \[parts\]",
        ),
    ],
)
def test_a_wrong_scheme_gives_a_one_line_error(keys, message, tmp_path):
    with pytest.raises(SchemeError, match=message):
        read_scheme(write(tmp_path / "wrong.toml", **keys))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("from.five = 3", "from.five needs exact"),
        ("norm_points.interocula = [[0], [1]]", "unknown norm 'interocula'; did you"),
    ],
)
def test_a_wrong_key_of_a_table_gives_a_one_line_error(keys, message, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(f'points = ["l_a", "r_a"]\n{keys}\n')
    with pytest.raises(SchemeError, match=message):
        read_scheme(path)


@pytest.mark.parametrize(
    ("exact", "message"),
    [
        ("[1]", "from.ibug68 needs exact"),
        ("[1, 68]", "from.ibug68 has 68; expected indices below 68"),
    ],
)
def test_a_wrong_rule_gives_a_one_line_error(exact, message, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(f'points = ["l_a", "r_a"]\n[from.ibug68]\nexact = {exact}\n')
    with pytest.raises(SchemeError, match=message):
        read_scheme(path)


def test_a_scheme_without_sides_has_an_explicit_empty_mirror(tmp_path):
    own = read_scheme(write(tmp_path / "a.toml", points=["a", "b"], mirror=[]))
    assert own.mirror.tolist() == [0, 1]


def test_the_text_of_a_scheme_survives_a_round_trip(tmp_path):
    own = read_scheme(
        write(tmp_path / "text.toml", points=NAMES21, edges=[[0, 1], [1, 2]])
    )
    (tmp_path / "again.toml").write_text(scheme_text(own), encoding="utf-8")
    assert scheme_to_table(read_scheme(tmp_path / "again.toml")) == scheme_to_table(own)


def test_a_path_is_accepted_instead_of_a_name(tmp_path):
    path = write(tmp_path / "by_path.toml", points=NAMES21)
    assert check_scheme(str(path)) == "by_path"
    assert len(scheme("by_path")) == len(scheme(str(path))) == 21
    assert convert(np.zeros((21, 2)), "by_path", str(path)).target == "by_path"


def test_two_schemes_with_the_same_name_are_rejected(tmp_path):
    add_scheme(read_scheme(write(tmp_path / "twice.toml", points=["l_a", "r_a"])))
    (tmp_path / "b").mkdir()
    other = read_scheme(write(tmp_path / "b/twice.toml", points=["l_b", "r_b"]))
    with pytest.raises(SchemeError, match=r"called 'twice' .*; rename one"):
        add_scheme(other)
    with pytest.raises(SchemeError, match=r"called 'five' .* one is a packaged scheme"):
        add_scheme(read_scheme(write(tmp_path / "five.toml", points=["l_b", "r_b"])))


def test_a_rule_from_68_points_converts_both_ways(tmp_path):
    path = tmp_path / "ruled.toml"
    write(path, points=["reye", "leye", "chin"])
    path.write_text(path.read_text() + "\n[from.ibug68]\nexact = [36, 45, 8]\n")
    name = check_scheme(str(path))
    points = np.random.default_rng(0).normal(size=(68, 2))
    got = convert(points, "ibug68", name)
    assert np.array_equal(got.points, points[[36, 45, 8]])
    back = convert(got.points, name, "ibug68")
    assert back.indices_with("exact").tolist() == [8, 36, 45]


def test_json_of_faces_carries_the_scheme_to_another_process(tmp_path):
    name = check_scheme(str(write(tmp_path / "carried.toml", points=NAMES21)))
    faces = Faces((face_of(name),), name, 21)
    text = faces_to_json(faces)
    code = (
        "import sys; from lineament import faces_from_json, scheme\n"
        "faces = faces_from_json(sys.stdin.read())[1]\n"
        "print(scheme(faces.scheme).points[19], len(faces[0]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True
    )
    assert done.stdout.split() == ["chin", "21"], done.stderr
    assert faces_from_json(text)[1].scheme == "carried"
    assert "own_scheme" not in faces_to_json(Faces((), "ibug68", 68))


def test_a_pickled_face_carries_the_scheme(tmp_path):
    name = check_scheme(str(write(tmp_path / "pickled.toml", points=NAMES21)))
    stored = tmp_path / "face.pickle"
    stored.write_bytes(pickle.dumps(face_of(name)))
    code = (
        "import pickle, sys; face = pickle.load(open(sys.argv[1], 'rb'))\n"
        "from lineament import scheme; print(len(scheme(face.scheme)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(stored)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "21", done.stderr


def test_the_scheme_stated_in_a_file_is_used(tmp_path):
    name = check_scheme(str(write(tmp_path / "stated.toml", points=NAMES21)))
    assert load_stored_scheme(json.loads(json.dumps(scheme_entries(name)))) == "stated"
    assert scheme_entries("five") == {"scheme": "five"}


def test_a_recipe_finds_its_scheme_next_to_it_and_carries_it(tmp_path):
    write(tmp_path / "near.toml", points=NAMES21)
    (tmp_path / "recipe.toml").write_text(
        'name = "a"\nscheme = "near.toml"\n[[data]]\nreader = "csv"\nfolder = "x"\n'
        'scheme = "near.toml"\n[train]\nsteps = 1\nbatch = 1\n'
    )
    recipe = read_recipe(tmp_path / "recipe.toml")
    assert recipe.scheme == "near"
    assert recipe.data[0].scheme == "near"
    assert recipe.own_schemes["near"]["points"] == NAMES21
    assert make_recipe(json.loads(recipe.model_dump_json())) == recipe


def test_a_recipe_with_a_wrong_scheme_gives_a_one_line_error(tmp_path):
    path = write(tmp_path / "none.toml", points=["a", "b"])
    values = {"name": "a", "scheme": str(path), "train": {"steps": 1, "batch": 1}}
    with pytest.raises(RecipeError, match=r"recipe: .*none\.toml: no point's name"):
        make_recipe(values)
    with pytest.raises(RecipeError, match=r"unknown scheme 'ibug86'; .* did you mean"):
        make_recipe(values | {"scheme": "ibug86"})


def test_a_rule_of_names_instead_of_indices_is_rejected(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(
        'points = ["left_eye", "right_eye"]\n'
        '[from.ibug68]\nexact = ["nose_tip", "chin"]\n'
    )
    with pytest.raises(SchemeError, match="the index of each of the 2"):
        read_scheme(path)


@pytest.mark.parametrize(
    "entry", ['"scheme": ["five"]', '"scheme": "a", "own_scheme": 5']
)
def test_a_scheme_of_the_wrong_type_in_a_file_raises_one_clear_error(entry):
    with pytest.raises(DataError, match="the scheme of the faces"):
        faces_from_json(f'{{"faces": [], {entry}}}')


def test_a_users_combined_scheme_keeps_its_heads_in_files(tmp_path):
    path = tmp_path / "joined.toml"
    path.write_text(
        'points = ["left_eye", "right_eye", "chin"]\n[heads]\none = [0, 1]\ntwo = [2]\n'
    )
    own = read_scheme(path)
    assert scheme_from_table(scheme_to_table(own), "", "").heads == own.heads


@pytest.mark.parametrize(
    ("right", "left"),
    [
        ("righteye", "lefteye"),
        ("EyeRight", "EyeLeft"),
        ("eye.R", "eye.L"),
        ("REYE", "LEYE"),
        ("eyeR", "eyeL"),
        ("02_right_eye", "01_left_eye"),
        ("Auge rechts", "Auge links"),
        ("oeil_droit", "oeil_gauche"),
        ("ojo_derecho", "ojo_izquierdo"),
        ("occhio_destro", "occhio_sinistro"),
        ("olho_direito", "olho_esquerdo"),
    ],
)
def test_sides_are_known_in_many_spellings_and_languages(right, left, tmp_path):
    nose = "03_nose" if right[0] == "0" else "nose"
    own = read_scheme(write(tmp_path / "eyes.toml", points=[nose, left, right]))
    assert own.mirror.tolist() == [0, 2, 1]
    assert own.parts == {"nose": (0,), "left_eye": (1,), "right_eye": (2,)}
    assert own.norm_points["interpupil"] == ((2,), (1,))


def test_words_that_contain_a_side_are_not_sides():
    assert infer_mirror_from_names(["bright", "cleft", "chin"]) == [0, 1, 2]
