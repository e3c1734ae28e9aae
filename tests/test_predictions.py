"""Predictions of other systems: published figures, and one clear error per malformed file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.data.sample import Sample
from lineament.errors import ProtocolError
from lineament.evaluation.predictions import needs_samples, score_predictions

N = 68


def shape(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(20, 200, (N, 2))


def sample(name: str, seed: int = 0) -> Sample:
    return Sample(
        Path("/nowhere") / name,
        shape(seed),
        "ibug68",
        name,
        subset=name.rpartition("/")[0],
    )


def write(folder: Path, rows: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return path


def row(image: str = "a.jpg", seed: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "image": image,
        "pred": shape(seed).tolist(),
        "truth": shape(seed).tolist(),
    } | changes


def test_predictions_equal_to_the_truth_have_no_error(tmp_path: Path) -> None:
    report = score_predictions(
        "folder", write(tmp_path, [row("a.jpg"), row("b.jpg", 1)])
    )
    assert (
        report.images,
        report.misses,
        report.nme,
        report.failure_rate,
        report.auc,
    ) == (
        2,
        0,
        0,
        0,
        1,
    )
    assert (report.boxes, report.model, report.ms_per_face) == ("file", "mine", None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_may_have_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path, [row()])
    path.write_text(path.read_text(), encoding=encoding)
    assert score_predictions("folder", path).images == 1


def test_null_is_a_missed_face_and_fails(tmp_path: Path) -> None:
    report = score_predictions(
        "folder", write(tmp_path, [row("a.jpg"), row("b.jpg", 1, pred=None)])
    )
    assert (report.misses, report.nme, report.failure_rate, report.auc) == (
        1,
        0,
        0.5,
        0.5,
    )
    assert [face.nme for face in report.per_image] == [0, None]


def test_truth_missing_in_the_file_is_read_from_the_data(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "pred": (shape() + np.array([0, 5])).tolist()}]
    path = write(tmp_path, rows)
    assert needs_samples("folder", path)
    report = score_predictions("folder", path, [sample("set/a.jpg")])
    gap = np.hypot(*(shape()[36] - shape()[45]))
    assert report.nme == pytest.approx(5 / gap)
    assert not needs_samples("folder", write(tmp_path, [row()]))


@pytest.mark.parametrize(
    "name", ["set/a.jpg", "a.jpg", "images/test/a.jpg", "C:\\photos\\set\\a.jpg"]
)
def test_an_image_is_found_by_its_name_or_by_its_end(tmp_path: Path, name: str) -> None:
    rows = [{"image": name, "pred": shape().tolist()}]
    report = score_predictions("folder", write(tmp_path, rows), [sample("set/a.jpg")])
    assert report.nme == 0
    assert report.per_image[0].image == "set/a.jpg"


def test_a_file_name_that_two_faces_share_needs_its_folder(tmp_path: Path) -> None:
    samples = [sample("one/a.jpg", 1), sample("two/a.jpg", 2)]
    rows = [{"image": f"x/{s.name}", "pred": s.landmarks.tolist()} for s in samples]
    assert score_predictions("folder", write(tmp_path, rows), samples).nme == 0
    with pytest.raises(
        ProtocolError,
        match=r"'a.jpg' is unknown to protocol 'folder'; expected names like 'one/a.jpg'",
    ):
        score_predictions(
            "folder",
            write(tmp_path, [{"image": "a.jpg", "pred": shape().tolist()}]),
            samples,
        )


def test_points_null_in_the_truth_do_not_count(tmp_path: Path) -> None:
    truth = shape().tolist()
    truth[0], pred = None, shape()
    pred[0] += 100
    report = score_predictions(
        "folder", write(tmp_path, [row(truth=truth, pred=pred.tolist())])
    )
    assert report.nme == 0
    assert report.per_landmark[0] is None


def test_sigma_in_the_file_is_compared_with_the_error(tmp_path: Path) -> None:
    pred = (shape() + np.array([3, 4])).tolist()
    report = score_predictions(
        "folder", write(tmp_path, [row(pred=pred, sigma_px=[4.0] * N)])
    )
    assert report.reliability is not None
    # every error is 5 px: above 1 sigma (4 px), under 1.5 sigma (6 px)
    assert (report.reliability.under[1.0], report.reliability.under[1.5]) == (0, 1)
    assert report.reliability.ece_relative == pytest.approx(0.2)


# -- the set as a whole


def test_a_file_that_lacks_a_face_is_rejected_or_noted(tmp_path: Path) -> None:
    path = write(tmp_path, [{"image": "a.jpg", "pred": shape().tolist()}])
    samples = [sample("a.jpg"), sample("b.jpg")]
    with pytest.raises(
        ProtocolError,
        match=r"'b.jpg' is missing from the 2 faces of protocol 'folder'; predict",
    ):
        score_predictions("folder", path, samples)
    report = score_predictions("folder", path, samples, allow_missing=True)
    assert report.images == 1
    assert report.notes == ("1 faces of the data are not in the file",)


def test_a_file_with_another_number_of_faces_than_the_protocol_is_rejected(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, [row()])
    with pytest.raises(
        ProtocolError,
        match=r"mine.json: 1 faces, but protocol '300w-common' has 554; predict each",
    ):
        score_predictions("300w-common", path)
    report = score_predictions("300w-common", path, allow_missing=True)
    assert report.notes == ("1 of the official 554 faces are in the file",)
    many = write(tmp_path, [row(f"{i}.jpg") for i in range(136)])
    with pytest.raises(
        ProtocolError, match=r"136 faces, but protocol '300w-challenging' has 135"
    ):
        score_predictions("300w-challenging", many, allow_missing=True)


def test_an_image_named_twice_is_rejected_under_two_spellings_too(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        ProtocolError,
        match=r"'a.jpg' is named more than once; expected one row per face",
    ):
        score_predictions("folder", write(tmp_path, [row("a.jpg"), row("a.jpg")]))
    with pytest.raises(ProtocolError, match=r"'set/a.jpg' is named more than once"):
        score_predictions(
            "folder",
            write(tmp_path, [row("a.jpg"), row("set/a.jpg")]),
            [sample("set/a.jpg")],
        )


def test_faces_in_the_same_image_are_distinguished_by_their_truth(
    tmp_path: Path,
) -> None:
    report = score_predictions(
        "folder", write(tmp_path, [row("a.jpg"), row("b.jpg"), row("a.jpg", 1)])
    )
    assert [face.image for face in report.per_image] == ["a.jpg", "b.jpg", "a.jpg#2"]


def test_rows_that_the_protocol_does_not_select_are_rejected(tmp_path: Path) -> None:
    path = write(tmp_path, [row("a.jpg"), row("z.jpg")])
    with pytest.raises(ProtocolError, match=r"'z.jpg' is unknown to protocol 'folder'"):
        score_predictions("folder", path, [sample("set/a.jpg")])
    assert needs_samples(
        "300w-val", path
    )  # with or without truth: only the data give the validation tenth
    report = score_predictions("300vw-1", path, allow_missing=True)
    assert (
        "not checked, without the data: whether these are the 31 videos of the protocol"
        in report.notes[0]
    )


def test_an_unknown_image_without_truth_is_rejected(tmp_path: Path) -> None:
    path = write(
        tmp_path, [{"image": f"{i}.jpg", "pred": shape().tolist()} for i in range(5)]
    )
    with pytest.raises(
        ProtocolError,
        match=r"'0.jpg', '1.jpg', '2.jpg' and 2 more are unknown to protocol 'folder'",
    ):
        score_predictions("folder", path, [sample("z.jpg")])
    with pytest.raises(
        ProtocolError,
        match=r"'0.jpg' has no truth; give it in the file, or the data of protocol",
    ):
        score_predictions("folder", path)


def test_a_face_whose_eyes_coincide_has_no_norm(tmp_path: Path) -> None:
    truth = shape()
    truth[45] = truth[36]
    with pytest.raises(
        ValueError,
        match=r"the interocular norm of a.jpg is 0 px; expected a finite length above 0",
    ):
        score_predictions("folder", write(tmp_path, [row(truth=truth.tolist())]))


# -- broken files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"cannot be read as JSON \(.*\); expected a JSON list of"),
        ("{", r"cannot be read as JSON"),
        ("[" * 100_000, r"cannot be read as JSON"),
        ("{}", r"contains a value of type dict; expected a JSON list"),
        ("3", r"contains a value of type int; expected a JSON list"),
        ("[]", r"contains an empty list; expected a JSON list"),
        ("[7]", r"row 0 is of type int; expected a JSON list"),
        ('[{"pred": []}]', r'row 0 has no "image"; expected a JSON list'),
        ('[{"image": 3, "pred": []}]', r'row 0 has no "image"'),
        (
            '[{"image": "a.jpg"}]',
            r'row 0 \(a.jpg\) has no "pred"; expected the predicted points, or null for a missed',
        ),
    ],
)
def test_a_file_that_is_not_a_list_of_predictions_raises_a_clear_error(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        score_predictions("folder", write(tmp_path, text))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pred": [[1, 2]] * 98},
            r"row 0 \(a.jpg\): pred has shape \(98, 2\); "
            r"protocol 'folder' expects \(68, 2\), one row",
        ),
        (
            {"pred": [1] * 136},
            r"pred has shape \(136,\); protocol 'folder' expects \(68, 2\)",
        ),
        (
            {"pred": [[1, 2]] * 67 + [[3]]},
            r"pred is not an array of numbers \(.*\); expected \(68, 2\)",
        ),
        ({"pred": "68 points"}, r"pred is not an array of numbers"),
        (
            {"pred": [[1, float("nan")]] * 68},
            r"pred has 68 values that are not finite; expected numbers in pixels",
        ),
        ({"pred": [[1, float("inf")]] * 68}, r"pred has 68 values that are not finite"),
        ({"pred": [[1, None]] * 68}, r"pred has 68 values that are not finite"),
        ({"pred": {"x": 1}}, r"pred is not an array of numbers"),
        (
            {"truth": [[1, 2]] * 5},
            r"truth has shape \(5, 2\); protocol 'folder' expects \(68, 2\)",
        ),
        (
            {"truth": [[1, float("inf")]] * 68},
            r"truth has 68 values that are not finite",
        ),
        (
            {"truth": [None] * 68},
            r"a.jpg: none of the points that count is annotated; remove this face",
        ),
        (
            {"sigma_px": [1.0]},
            r"sigma_px has shape \(1,\); protocol 'folder' expects \(68,\)",
        ),
        (
            {"box": [0, 0, 0, 0]},
            r"row 0 \(a.jpg\): box: box 0 is .*; expected finite x0 < x1",
        ),
        ({"box": "here"}, r"row 0 \(a.jpg\): box: "),
        ({"box": []}, r"row 0 \(a.jpg\): box: "),
    ],
)
def test_the_error_for_a_malformed_row_states_the_expected_value(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        score_predictions("folder", write(tmp_path, [row(**changes)]))


def test_a_missing_file_raises_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        ProtocolError, match=r"absent.json: cannot be read as JSON \(.*No such file"
    ):
        score_predictions("folder", tmp_path / "absent.json")


# -- published figures


def golden(data_root: Path, name: str) -> Path:
    path = data_root.parent / "golden" / name
    if not path.exists():
        pytest.skip(f"needs the published predictions: no file {path}")
    return path


@pytest.mark.data
def test_300w_full_reproduces_the_published_figures(data_root: Path) -> None:
    report = score_predictions("300w-full", golden(data_root, "300w_public.json"))
    assert report.nme is not None
    assert (report.images, report.misses) == (689, 0)
    assert f"{100 * report.nme:.3f}" == "2.994"
    assert f"{100 * report.failure_rate:.3f}" == "0.726"
    assert f"{100 * report.auc:.2f}" == "62.72"


@pytest.mark.data
@pytest.mark.parametrize(
    ("protocol", "rows", "figure"),
    [
        ("300w-common", slice(0, 554), "2.587"),
        ("300w-challenging", slice(554, 689), "4.662"),
    ],
)
def test_the_parts_of_300w_reproduce_their_figures(
    data_root: Path, tmp_path: Path, protocol: str, rows: slice, figure: str
) -> None:
    part = json.loads(golden(data_root, "300w_public.json").read_text())[rows]
    report = score_predictions(protocol, write(tmp_path, part))
    assert report.nme is not None
    assert f"{100 * report.nme:.3f}" == figure


@pytest.mark.data
def test_cofw68_reproduces_both_of_its_published_norms(data_root: Path) -> None:
    report = score_predictions("cofw68", golden(data_root, "cofw68.json"))
    assert report.nme is not None
    assert report.other_norms["box"].nme is not None
    assert f"{100 * report.nme:.3f}" == "3.935"
    assert f"{100 * report.other_norms['box'].nme:.3f}" == "2.517"
