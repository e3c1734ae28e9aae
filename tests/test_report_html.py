"""Drawn reports: one self-contained page, one image, and a plain error without matplotlib."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.errors import ExtraError
from lineament.evaluation.accumulator import ErrorAccumulator
from lineament.evaluation.protocols import protocol
from lineament.evaluation.report import Perturbed, Report
from lineament.evaluation.worst import WorstFaces

pytest.importorskip("matplotlib")

from lineament.evaluation.report_html import draw_comparison, write_html, write_png

N = 68


def report(missed: bool = False, sigma: bool = True, name: str = "a<b>.jpg") -> Report:
    errors, worst = ErrorAccumulator(protocol("folder")), WorstFaces(2)
    for seed in range(3):
        truth = np.random.default_rng(seed).uniform(20, 120, (N, 2))
        pred = None if missed else truth + seed
        error = errors.add(
            f"{seed}{name}", truth, pred, sigma_px=np.full(N, 2.0) if sigma else None
        )
        worst.add(
            error, f"{seed}{name}", np.full((150, 150, 3), 120, np.uint8), truth, pred
        )
    kinds = [
        ("none", 0.0),
        ("shift_x", 0.1),
        ("shift_x", -0.1),
        ("scale", 1.1),
        ("roll", 30.0),
    ]
    changed = tuple(
        Perturbed(kind=k, amount=a, nme=0.03, failure_rate=0.0) for k, a in kinds
    )
    return errors.report(boxes="truth", model="m & n", worst=worst.faces()).model_copy(
        update={"perturbation": changed}
    )


def test_the_page_is_self_contained_and_escapes_names(tmp_path: Path) -> None:
    page = write_html(report(), tmp_path / "out" / "r.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^",]*)', page)) == {
        "data:image/png;base64",
        "data:image/jpeg;base64",
    }
    assert page.count('src="data:image/jpeg') == 2
    assert "2a&lt;b&gt;.jpg" in page
    assert "m &amp; n on folder, boxes: truth" in page
    assert "interocular: from the center of 36 to that of 45" in page
    assert "http" not in page


def test_the_page_leads_with_both_means_if_there_is_a_convention(
    tmp_path: Path,
) -> None:
    plain = write_html(report(), tmp_path / "plain.html").read_text()
    assert "shift-corrected" not in plain
    both = report().model_copy(update={"nme": 0.0321, "nme_in_convention": 0.0295})
    page = write_html(both, tmp_path / "both.html").read_text()
    assert "<b>3.21 %</b>NME</div><div><b>2.95 %</b>NME, shift-corrected</div>" in page


def test_the_image_is_one_png_with_charts_above_faces(tmp_path: Path) -> None:
    path = write_png(report(), tmp_path / "r.png")
    image = cv2.imread(str(path))
    without = cv2.imread(
        str(write_png(report().model_copy(update={"worst": ()}), tmp_path / "s.png"))
    )
    assert image.shape[0] > without.shape[0] > 1000
    assert image.shape[1] == without.shape[1]
    assert (image[: len(without)] == without).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.png", "s.png"]


def test_a_report_of_missed_faces_without_sigma_or_perturbed_boxes_is_drawn(
    tmp_path: Path,
) -> None:
    bare = report(missed=True, sigma=False).model_copy(update={"perturbation": ()})
    assert "missed" in write_html(bare, tmp_path / "r.html").read_text()
    assert write_png(bare, tmp_path / "r.png").stat().st_size > 1000


def test_a_comparison_draws_one_curve_per_report() -> None:
    figure = draw_comparison([report(), report()], ["one", "two"])
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [label.split(":")[0] for label in labels] == ["one", "two"]


def test_without_matplotlib_the_error_names_the_command_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        ExtraError,
        match=r"matplotlib is not installed; type: pip install 'lineament\[report\]'",
    ):
        write_html(report(), tmp_path / "r.html")
    assert not list(tmp_path.iterdir())
