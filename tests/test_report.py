"""Reports: JSON round trips, tables, comparisons, and refusal of incompatible ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from lineament.errors import ProtocolError
from lineament.evaluation.accumulator import ErrorAccumulator
from lineament.evaluation.protocols import protocol
from lineament.evaluation.report import (
    Perturbed,
    Report,
    compare,
    format_report,
    read_report,
    write_report,
)

N = 68


def shape(seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0, 100, (N, 2))
    points[36], points[45] = (20, 30), (70, 30)  # interocular: 50
    return points


def report(
    shifts: tuple[float | None, ...] = (1, 2, 6),
    name: str = "folder",
    sigma: float | None = 2,
    **facts: object,
) -> Report:
    """Return the report of faces whose points are all moved by `shifts` pixels; None: missed."""
    errors = ErrorAccumulator(protocol(name))
    for seed, shift in enumerate(shifts):
        truth = shape(seed)
        pred = None if shift is None else truth + np.array([shift, 0])
        errors.add(
            f"{seed}.jpg",
            truth,
            pred,
            sigma_px=None if sigma is None else np.full(N, sigma),
        )
    return errors.report(**({"boxes": "truth", "model": "mine"} | facts))  # type: ignore[arg-type]


def test_a_report_written_and_read_is_the_same(tmp_path: Path) -> None:
    whole = report((1, None, 6), ms_per_face=1.5, notes=("short",)).model_copy(
        update={
            "perturbation": (
                Perturbed(kind="roll", amount=-15.0, nme=None, failure_rate=1.0),
            )
        }
    )
    path = write_report(whole, tmp_path / "deep" / "r.json")
    assert read_report(path) == whole
    assert [p.name for p in path.parent.iterdir()] == ["r.json"]


def test_a_report_of_contours_and_convention_written_and_read_is_the_same(
    tmp_path: Path,
) -> None:
    made = report((1, 2), "300w-val")
    path = write_report(made, tmp_path / "r.json")
    assert read_report(path) == made
    raw = json.loads(path.read_text())
    assert raw["nme_in_convention"] == made.nme_in_convention
    assert set(raw["per_contour"]["jaw"]) == {"along", "across"}


def test_the_json_has_the_promised_fields_as_fractions(tmp_path: Path) -> None:
    found = json.loads(write_report(report(), tmp_path / "r.json").read_text())
    # shifts of 1, 2 and 6 px over 50 px: 0.02, 0.04, 0.12
    assert found["protocol"] == "folder"
    assert (found["images"], found["misses"]) == (3, 0)
    assert found["nme"] == pytest.approx(0.06)
    assert found["failure_rate"] == pytest.approx(1 / 3)
    assert found["auc"] == pytest.approx(1 - (0.02 + 0.04 + 0.08) / 3 / 0.08)
    assert found["per_part"] == {
        part: pytest.approx(0.06) for part in protocol("folder").parts()
    }
    assert found["ms_per_face"] is None
    assert found["settings"]["norm_points"]["interocular"] == [[36], [45]]


def test_a_report_without_a_found_face_is_still_json(tmp_path: Path) -> None:
    path = write_report(report((None, None)), tmp_path / "r.json")
    assert read_report(path).nme is None
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()


def test_a_failed_write_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report(report(), tmp_path / "r.json")
    before = path.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_report(report((9,)), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            r"r.json: not a report \(Invalid JSON.*\); "
            r"expected the JSON file written by evaluate or score",
        ),
        ("{}", r"r.json: not a report \(threshold: Field required\)"),
        ("[]", r"r.json: not a report \(Input should be an object\)"),
    ],
)
def test_a_file_that_is_not_a_report_raises_a_clear_error(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ProtocolError, match=message):
        read_report(tmp_path / "r.json")


def test_a_missing_report_raises_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        ProtocolError,
        match=r"r.json: cannot be read \(.*\); expected a report written by evaluate",
    ):
        read_report(tmp_path / "r.json")


def test_the_table_has_the_protocol_and_percentages() -> None:
    lines = format_report(
        report(ms_per_face=1.234, notes=("a part is absent",))
    ).splitlines()
    assert lines[: len(protocol("folder").describe())] == protocol("folder").describe()
    assert "mine, boxes: truth" in lines
    assert "NOTE: a part is absent" in lines
    assert next(line for line in lines if line.startswith("faces")).split() == [
        *("faces", "images", "misses", "NME", "%", "FR@8", "AUC@8", "FR@10", "AUC@10")
    ]
    # 1 - (0.02 + 0.04 + 0.1) / 3 / 0.1 = 0.4667
    assert next(line for line in lines if line.startswith("all ")).split() == [
        *("all", "3", "0", "6.000", "33.333", "41.67", "33.333", "46.67")
    ]
    assert next(line for line in lines if line.startswith("mouth")).split() == [
        "mouth",
        "6.000",
    ]
    assert lines[-1] == "1.23 ms per face (median of complete calls)"


def test_the_table_of_a_protocol_with_a_convention_has_both_means_plain_first() -> None:
    made = report((1, 2, 6), "300w-common")
    lines = format_report(made).splitlines()
    assert next(line for line in lines if line.startswith("faces")).split()[3:7] == [
        *("NME", "%", "shift-corrected", "%")
    ]
    # 1, 2 and 6 px of 50 to the right; moved on by 0.75 % to the right and 0.08 % up
    means = [f"{100 * value:.3f}" for value in (made.nme, made.nme_in_convention)]
    assert next(line for line in lines if line.startswith("all ")).split()[3:5] == means
    assert means[0] == "6.000"
    expected = np.hypot(np.array([2, 4, 12]) + 0.75, 0.08).mean()
    assert float(means[1]) == pytest.approx(expected, abs=1e-3)
    head, jaw = (
        next(line for line in lines if line.startswith(start)).split()
        for start in ("part ", "jaw ")
    )
    assert head == ["part", "NME", "%", "along", "%", "across", "%"]
    assert len(jaw) == 4
    nose = next(line for line in lines if line.startswith("nose "))
    assert len(nose.split()) == 2
    assert not any(line.startswith("all contours") for line in lines)
    assert any(line.startswith("shift     (0.75, -0.08) %") for line in lines)


def test_dense_contours_have_a_row_for_all_of_them() -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (194, 2))
    truth[144], truth[124] = (20, 30), (70, 30)
    errors = ErrorAccumulator(protocol("helen194-val"))
    errors.add("a.jpg", truth, truth + np.array([3, 4]))
    made = errors.report(boxes="truth")
    assert made.contours is not None
    row = next(
        line
        for line in format_report(made).splitlines()
        if line.startswith("all contours")
    )
    assert row.split()[2:] == [
        f"{100 * made.contours.along:.3f}",
        f"{100 * made.contours.across:.3f}",
    ]


def test_a_report_states_the_auc_of_visibility_if_there_is_one() -> None:
    assert "visibility" not in format_report(report())
    made = report().model_copy(update={"visibility_auc": 0.9625})
    assert "AUC of visibility 96.25 %" in format_report(made).splitlines()


def test_the_table_of_a_report_without_sigma_or_found_faces_has_dashes() -> None:
    text = format_report(report((None,), sigma=None))
    assert (
        next(line for line in text.splitlines() if line.startswith("all ")).split()[3]
        == "-"
    )
    assert "sigma" not in text


def test_the_table_has_the_reliability_and_the_perturbed_boxes() -> None:
    changed = (Perturbed(kind="shift_x", amount=0.1, nme=0.035, failure_rate=0.0),)
    text = format_report(report(sigma=2.5).model_copy(update={"perturbation": changed}))
    # Errors of 1, 2 and 6 px, sigma 2.5: two thirds are within 1 sigma, all within 2.5
    assert (
        next(
            line for line in text.splitlines() if line.startswith("within 1 sigma")
        ).split()[3]
        == "66.7"
    )
    assert (
        next(
            line for line in text.splitlines() if line.startswith("within 2.5 sigma")
        ).split()[3]
        == "100.0"
    )
    assert next(
        line for line in text.splitlines() if line.startswith("shift_x")
    ).split() == [*("shift_x", "0.1", "3.500", "0.000")]


# -- side by side


def test_reports_under_the_same_protocol_are_put_side_by_side() -> None:
    table = compare(
        [report((1, 1, 1), model="a"), report((2, 2, 2), model="b")]
    ).table()
    rows = [line.split() for line in table.splitlines()]
    assert next(row for row in rows if row[:1] == ["a"])[:5] == [
        "a",
        "truth",
        "3",
        "0",
        "2.000",
    ]
    assert next(row for row in rows if row[:1] == ["b"])[:5] == [
        "b",
        "truth",
        "3",
        "0",
        "4.000",
    ]
    assert "NOTE" not in table
    assert "failure" in table


def test_a_comparison_has_both_means_and_the_contours() -> None:
    made = [report((1, 2), "300w-val", model=name) for name in ("a", "b")]
    lines = compare(made).table().splitlines()
    head = next(line for line in lines if line.startswith("model "))
    assert "NME %  shift-corrected %" in head
    assert head.endswith("jaw along  jaw across")
    row = next(line for line in lines if line.startswith("a ")).split()
    jaw = made[0].per_contour["jaw"]
    assert row[4:6] == [
        f"{100 * value:.3f}" for value in (made[0].nme, made[0].nme_in_convention)
    ]
    assert row[-2:] == [f"{100 * value:.2f}" for value in (jaw.along, jaw.across)]


def test_differences_that_limit_a_comparison_are_noted() -> None:
    a, b = (
        report(boxes="truth"),
        report(boxes="detected", notes=("3 points are interpolated",)),
    )
    notes = compare([a, b], ["a", "b"]).notes
    assert notes == (
        "b: 3 points are interpolated",
        "the boxes differ: ground-truth boxes give lower errors",
    )


def test_the_same_faces_in_other_pixels_compare_with_a_note() -> None:
    a = report(name="300w-common")
    b = a.model_copy(update={"fingerprint": "0" * 32})
    assert compare([a, b]).notes == (
        "the true points differ (other copies of the images?)",
    )


def test_reports_of_different_protocols_are_rejected() -> None:
    with pytest.raises(
        ProtocolError,
        match=r"'a' is of protocol '300w-common', 'b' of '300w-challenging'; "
        r"results of different protocols cannot",
    ):
        compare(
            [report(name="300w-common"), report(name="300w-challenging")], ["a", "b"]
        )


def test_one_protocol_in_two_versions_is_rejected() -> None:
    a = report()
    b = a.model_copy(
        update={"settings": a.settings.model_copy(update={"thresholds": (0.05,)})}
    )
    with pytest.raises(
        ProtocolError,
        match="but their thresholds differ; evaluate both again with one version of the protocol",
    ):
        compare([a, b], ["a", "b"])


def test_shapes_unlike_a_face_are_rejected() -> None:
    with pytest.raises(
        ProtocolError,
        match="'a' has 3 faces, 'b' has 2; results on different faces cannot be compared",
    ):
        compare([report(), report((1, 2))], ["a", "b"])
    other = report().model_copy(update={"fingerprint": "0" * 32})
    with pytest.raises(
        ProtocolError,
        match="are of protocol 'folder' on different faces; evaluate both",
    ):
        compare([report(), other], ["a", "b"])


def test_a_comparison_needs_two_reports_and_a_name_for_each() -> None:
    with pytest.raises(
        ProtocolError,
        match="1 reports and 1 names; expected two reports or more, each with one name",
    ):
        compare([report()])
    with pytest.raises(ProtocolError, match="2 reports and 1 names"):
        compare([report(), report()], ["a"])
