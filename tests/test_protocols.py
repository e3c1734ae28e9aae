"""Protocols: every table loads, agrees with its scheme and describes its figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from lineament.data.sample import Sample
from lineament.errors import ProtocolError, SchemeError
from lineament.evaluation.metrics import POINT_NORMS
from lineament.evaluation.protocol_faces import count_note, select_samples
from lineament.evaluation.protocols import (
    MISS_RULE,
    PROTOCOLS,
    Subset,
    make_protocol,
    protocol,
)
from lineament.schemes import scheme

TABLES = Path(__file__).parents[1] / "src/lineament/tables/protocols"


def sample(subset: str = "", image: str = "a.jpg", **attributes: bool) -> Sample:
    return Sample(
        Path(image),
        np.zeros((68, 2)),
        "ibug68",
        image,
        subset=subset,
        attributes=attributes,
    )


def table(**changes: object) -> dict[str, object]:
    return {
        "id": "x",
        "title": "x",
        "data": "folder",
        "part": "all",
        "scheme": "ibug68",
        "norm": "box",
    } | {
        "thresholds": [0.08],
        **changes,
    }


def test_every_table_is_listed_and_every_listed_name_has_its_table() -> None:
    assert sorted(path.stem for path in TABLES.glob("*.toml")) == sorted(PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_named_for_its_file_and_has_the_norm_points_of_its_scheme(
    name: str,
) -> None:
    found = protocol(name)
    assert found.id == name
    for rule, groups in found.norm_points.items():
        assert rule in POINT_NORMS
        assert groups == scheme(found.scheme).norm_points[rule]
    assert found.miss_rule == MISS_RULE


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_parts_of_a_protocol_hold_only_points_that_count_and_all_of_them(
    name: str,
) -> None:
    found = protocol(name)
    assert sorted(point for part in found.parts().values() for point in part) == sorted(
        found.indices()
    )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_printed_lines_state_data_points_norm_thresholds_and_missed(
    name: str,
) -> None:
    found = protocol(name)
    text = "\n".join(found.describe())
    limits = ", ".join(f"{100 * t:g} %" for t in found.thresholds)
    for stated in (
        found.id,
        found.data,
        found.scheme,
        found.norm,
        found.visibility,
        limits,
        found.miss_rule,
    ):
        assert stated in text


@pytest.mark.parametrize(
    ("name", "faces"),
    [
        ("300w-common", 554),
        ("300w-common-five", 554),
        ("mtfl-aflw", 2995),
        ("300w-challenging", 135),
        ("300w-full", 554 + 135),
        ("300w-test", 600),
        ("300w-test-indoor", 300),
        ("300w-test-outdoor", 300),
        ("wflw", 2500),
        ("cofw29-corner", 507),
        ("cofw29-pupil", 507),
        ("cofw68", 507),
        ("aflw19-full", 4386),
        ("aflw19-frontal", 1314),
        (
            "talking-face-7",
            5000 - 2 - 1,
        ),  # the video holds 4,998 frames, one annotation is broken
    ],
)
def test_the_official_counts_are_fixed(name: str, faces: int) -> None:
    assert protocol(name).faces == faces


def test_the_300vw_protocols_fix_the_64_test_videos() -> None:
    assert [protocol(f"300vw-{n}").videos for n in (1, 2, 3)] == [31, 19, 14]


def test_the_subsets_of_wflw_have_their_published_counts() -> None:
    counts = {subset.name: subset.faces for subset in protocol("wflw").subsets}
    assert counts == {
        "pose": 326,
        "expression": 314,
        "illumination": 698,
        "make-up": 206,
        "occlusion": 736,
        "blur": 773,
    }


def test_the_two_conventions_of_cofw_differ_only_in_their_norm() -> None:
    corner, pupil = (
        protocol("cofw29-corner").model_dump(),
        protocol("cofw29-pupil").model_dump(),
    )
    assert {key for key in corner if corner[key] != pupil[key]} == {
        "id",
        "title",
        "norm",
        "norm_points",
    }
    assert corner["norm_points"] == {"interocular": ((8,), (9,))}
    assert pupil["norm_points"] == {"interpupil": ((16,), (17,))}


def test_validation_is_on_training_faces_and_never_on_common() -> None:
    found = protocol("300w-val")
    assert (found.part, found.select) == ("train", "validation")
    assert not {folder for subset in found.subsets for folder in subset.folders} & {
        "helen/testset",
        "lfpw/testset",
    }


def test_every_300w_protocol_has_one_convention_and_splits_the_jaw() -> None:
    every = [protocol(name) for name in PROTOCOLS if name.startswith("300w-")]
    found = [each for each in every if each.scheme == "ibug68"]
    assert len(found) == 9
    assert len({p.convention for p in found}) == 1
    assert found[0].convention is not None
    assert "bench.fit_convention" in found[0].convention.fitted_by
    # to the right of the image, by about a hundredth of the eye distance
    x, y = found[0].convention.shift
    assert 0.005 < x < 0.01
    assert abs(y) < 0.002
    assert {p.contours for p in found} == {("jaw",)}
    others = [protocol(name) for name in PROTOCOLS if not name.startswith("300w-")]
    # in distances of the eye centers, 1.39 times shorter than those of the outer corners
    fives = [each.convention for each in every if each.scheme == "five"]
    assert len(fives) == 2
    assert fives[0] == fives[1]
    assert fives[0].shift[0] == pytest.approx(1.39 * x, abs=0.001)
    assert not any(p.convention for p in others)


def test_five_points_of_300w_are_derived_from_its_68_and_keep_their_box() -> None:
    fixed = protocol("300w-common-five")
    points = np.random.default_rng(0).uniform(10, 90, (68, 2))
    given = replace(sample("helen/testset"), landmarks=points)
    found = select_samples(fixed, [given])[0]
    assert found.scheme == "five"
    # centers of the eyes, tip of the nose, corners of the mouth
    assert found.landmarks[0] == pytest.approx(points[36:42].mean(0))
    assert found.landmarks[1] == pytest.approx(points[42:48].mean(0))
    assert found.landmarks[2:] == pytest.approx(points[[30, 48, 54]])
    assert found.box == pytest.approx(np.r_[points.min(0), points.max(0)])
    again = select_samples(fixed, [found])[0]
    assert again is found
    assert "points    five derived from ibug68, all points" in "\n".join(
        fixed.describe()
    )


def test_five_points_of_300w_are_measured_by_the_eye_centers() -> None:
    for name in ("300w-common-five", "300w-val-five", "mtfl-aflw"):
        fixed = protocol(name)
        assert (fixed.norm, fixed.norm_points["interpupil"]) == (
            "interpupil",
            ((0,), (1,)),
        )
    whole, five = protocol("300w-val"), protocol("300w-val-five")
    assert (five.data, five.part, five.select) == (whole.data, whole.part, whole.select)
    assert [each.folders for each in five.subsets] == [
        each.folders for each in whole.subsets
    ]


def test_profiles_are_measured_in_the_box_of_their_annotated_points() -> None:
    found = protocol("cfp30-val")
    assert (found.norm, found.truth_box, found.select) == (
        "side",
        "given",
        "validation",
    )
    assert "boxes     of true faces: the data set's own" in found.describe()


def test_a_subset_is_a_set_of_folders_or_an_attribute() -> None:
    assert Subset(name="ibug", folders=("ibug",)).contains(sample("ibug"))
    assert not Subset(name="ibug", folders=("ibug",)).contains(sample("afw"))
    assert Subset(name="blur", attribute="blur").contains(sample(blur=True))
    assert not Subset(name="blur", attribute="blur").contains(sample(blur=False))
    assert not Subset(name="blur", attribute="blur").contains(sample("blur"))


def test_a_protocol_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        protocol("wflw").norm = "box"  # type: ignore[misc]


def test_a_short_set_has_a_note_of_one_line() -> None:
    assert (
        count_note(protocol("300w-full"), [sample()] * 554)
        == "554 of the official 689 faces are here"
    )
    assert count_note(protocol("300w-common"), [sample()] * 554) == ""
    assert count_note(protocol("folder"), [sample()]) == ""
    frames = [sample(image=f"{video}.avi") for video in "ab" for _ in range(9)]
    assert (
        count_note(protocol("300vw-3"), frames)
        == "2 of the official 14 videos are here"
    )


def test_the_folder_protocol_takes_the_scheme_of_its_data() -> None:
    found = protocol("folder").for_scheme("wflw98")
    assert (found.scheme, found.norm, found.norm_points["interocular"]) == (
        "wflw98",
        "interocular",
        ((60,), (72,)),
    )
    assert len(found.indices()) == 98
    assert protocol("folder").for_scheme("ibug68") == protocol("folder")


def test_a_scheme_without_eye_corners_is_divided_by_its_box() -> None:
    without = [
        name
        for name in ("five", "aflw19", "cofw29")
        if "interocular" not in scheme(name).norm_points
    ]
    for name in without:
        assert protocol("folder").for_scheme(name).norm == "box"
    assert "five" in without


def test_a_fixed_scheme_cannot_be_changed() -> None:
    with pytest.raises(
        ProtocolError,
        match="is scored on ibug68, not on wflw98; predictions are converted",
    ):
        protocol("300w-common").for_scheme("wflw98")
    with pytest.raises(SchemeError, match="unknown scheme 'wflw'"):
        protocol("folder").for_scheme("wflw")


def test_an_unknown_protocol_is_offered_the_nearest() -> None:
    with pytest.raises(
        ProtocolError,
        match=r"unknown protocol '300w-comon'; did you mean '300w-common'",
    ):
        protocol("300w-comon")


def test_a_users_own_protocol_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "inner.toml"
    path.write_text(
        (TABLES / "folder.toml")
        .read_text()
        .replace('points = "all"', "points = [30, 36, 45, 48, 54]")
    )
    found = protocol(str(path))
    assert (found.id, found.indices()) == ("inner", (30, 36, 45, 48, 54))
    assert found.parts() == {
        "nose": (30,),
        "right_eye": (36,),
        "left_eye": (45,),
        "mouth": (48, 54),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"treshold": 0.1},
            r"x.toml: unknown key 'treshold'; did you mean 'thresholds'",
        ),
        (
            {"subsets": [{"name": "a", "folder": ["b"]}]},
            r"x.toml: unknown key 'subsets.0.folder'; did you mean 'folders'",
        ),
        (
            {"points": [3, 68]},
            r"point 68 is not in ibug68, whose points are 0 to 67; correct the protocol",
        ),
        (
            {"norm": "interocular"},
            r"norm_points has no 'interocular', which the protocol divides by",
        ),
        (
            {"norm": "pupil"},
            r"x.toml: norm: Input should be 'interocular', 'interpupil', 'box'",
        ),
        (
            {"contours": ["jaw", "chin"]},
            r"'chin' is not a contour of ibug68; its parts are jaw, right_brow",
        ),
        (
            {"convention": {"shift": [0.1, 0.0], "fited_by": "x"}},
            r"x.toml: convention.fitted_by: Field required",
        ),
        ({"thresholds": []}, r"x.toml: thresholds: Tuple should have at least 1 item"),
        ({"thresholds": [0.0]}, r"thresholds are \[0.0\]; expected fractions above 0"),
        ({"scheme": "ibug86"}, r"unknown scheme 'ibug86'; .* did you mean 'ibug68'"),
    ],
)
def test_a_broken_protocol_names_the_key_and_the_wanted_value(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        make_protocol(table(**changes), "x.toml")


def test_a_protocol_file_that_cannot_be_read_raises_a_clear_error(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.toml").write_text("title = ")
    for name in ("x.toml", "absent.toml"):
        with pytest.raises(
            ProtocolError,
            match=rf"{name}: cannot be read as a protocol \(.*\); expected a TOML file",
        ):
            protocol(str(tmp_path / name))


def test_a_protocol_may_name_the_file_of_a_scheme_next_to_it(tmp_path: Path) -> None:
    scheme_file = 'points = ["l_eye", "r_eye", "chin"]\nname = "protocol3"\n'
    (tmp_path / "mine.toml").write_text(scheme_file)
    own = {"scheme": "mine.toml", "norm": "box", "norm_points": {}}
    found = make_protocol(table(**own), str(tmp_path / "x.toml"))
    assert found.scheme == "protocol3"
    assert found.indices() == (0, 1, 2)
    with pytest.raises(
        ProtocolError, match=r"x\.toml: none\.toml: cannot be read as a"
    ):
        make_protocol(table(scheme="none.toml"), "x.toml")
