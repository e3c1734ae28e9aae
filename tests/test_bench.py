"""Parts of bench/ that need no peer: the protocol, scores on shared points, the table, verdicts."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import install, machine, memory, size, speed
from bench.peers import contract, roi
from bench.process import PeerError, PeerProcess, parse_answer
from bench.score import (
    face_errors,
    score_peers,
    shared_points,
    to_target,
    without_offsets,
)
from bench.table import COLUMNS, markdown, markdown_table, spans

from lineament.schemes import scheme


class Still:
    """A peer that returns two fixed points, or a miss if the box starts at negative x."""

    scheme, version, batching = "ibug68", "still 1", "none"

    def points(self, image, box):
        return None if box[0] < 0 else np.array([[1.0, 2.0], [3.0, 4.0]])

    def network(self, image, box):
        return lambda: None

    def batch(self, images, boxes):
        assert len(images) == len(boxes)


@pytest.fixture
def face(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 3), np.uint8))
    return {"image": str(tmp_path / "a.npy"), "box": [1, 1, 5, 5]}


def mean_face(shift=(0.0, 0.0), scale=100.0):
    return scheme("ibug68").mean_shape * scale + np.array([200.0, 150.0]) + shift


def test_the_reply_has_points_or_none_for_a_miss(face):
    assert contract.answer(Still(), {"do": "predict", **face})["points"] == [
        [1.0, 2.0],
        [3.0, 4.0],
    ]
    missed = contract.answer(
        Still(), {"do": "predict", "image": face["image"], "box": [-1, 1, 5, 5]}
    )
    assert missed["points"] is None
    assert missed["ms"] >= 0


def test_timing_returns_one_time_per_face_and_one_per_batch(face):
    timed = contract.answer(Still(), {"do": "time", "faces": [face] * 4})
    assert [len(timed[key]) for key in ("ms", "cpu_ms", "net_ms")] == [4, 4, 4]
    assert isinstance(
        contract.answer(Still(), {"do": "batch", "faces": [face] * 3})["ms"], float
    )
    assert contract.answer(Still(), {"do": "memory"})["peak_mb"] > 1


def test_an_unknown_request_is_an_error_that_lists_the_known_ones():
    with pytest.raises(
        ValueError, match="request 'fly'; expected predict, time, batch, memory or stop"
    ):
        contract.answer(Still(), {"do": "fly"})


def test_an_answer_is_one_json_object_and_an_error_is_raised_with_the_name():
    assert parse_answer('{"ready": true}', "x") == {"ready": True}
    with pytest.raises(
        PeerError, match="x: 'Hello' is not an answer; expected one JSON object"
    ):
        parse_answer("Hello\n", "x")
    with pytest.raises(PeerError, match=r"x: '\[1\]' is not an answer"):
        parse_answer("[1]", "x")
    with pytest.raises(PeerError, match="x: no model"):
        parse_answer('{"error": "no model"}', "x")


def test_a_process_replies_over_pipes_despite_other_output(tmp_path, face):
    code = f"""
import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from bench.peers.contract import serve
import numpy as np
class P:
    scheme, version, batching = "ibug68", "1", "none"
    def points(self, image, box):
        print("noise"); return np.zeros((1, 2)) + image.shape[0]
serve(lambda arguments: P())
"""
    process = PeerProcess(
        "p", [sys.executable, "-c", code], tmp_path / "log", timeout_s=60
    )
    try:
        assert process.hello["scheme"] == "ibug68"
        assert process.ask(do="predict", **face)["points"] == [[8.0, 8.0]]
        with pytest.raises(PeerError, match="p: FileNotFoundError"):
            process.ask(do="predict", image="gone.npy", box=[0, 0, 1, 1])
        with pytest.raises(PeerError, match="p: AttributeError"):
            process.ask(do="batch", faces=[face])
        assert process.ask(do="predict", **face)["points"] == [[8.0, 8.0]]
    finally:
        process.close()
    assert process.process.returncode == 0


def test_a_process_that_fails_to_start_reports_its_last_line(tmp_path):
    with pytest.raises(
        PeerError, match=r"p: it ended without an answer \(ModuleNotFoundError.*nosuch"
    ):
        PeerProcess(
            "p", [sys.executable, "-c", "import nosuch"], tmp_path / "log", timeout_s=60
        )
    with pytest.raises(PeerError, match=r"p: no answer in 0\.2 s; it was ended"):
        PeerProcess(
            "p",
            [sys.executable, "-c", "import time; time.sleep(60)"],
            tmp_path / "log",
            timeout_s=0.2,
        )


def test_a_peer_that_cannot_be_created_reports_the_reason(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from bench.peers.contract import serve
def make(arguments):
    raise OSError("no weights")
serve(make)
"""
    with pytest.raises(PeerError, match="p: OSError: no weights"):
        PeerProcess("p", [sys.executable, "-c", code], tmp_path / "log", timeout_s=60)


def test_shared_points_are_those_of_all_peers():
    a = np.array(["exact", "exact", "interpolated", "missing"])
    b = np.array(["exact", "interpolated", "interpolated", "exact"])
    shared = shared_points([a, b])
    assert shared.exact.tolist() == [0]
    assert shared.any.tolist() == [0, 1, 2]


def test_mesh_points_without_irises_still_convert_and_share_the_corners():
    mesh = np.zeros((478, 2))
    mesh[468:] = np.nan
    points, status = to_target([None, mesh], "mediapipe478")
    assert points[0] is None
    assert {36, 39, 42, 45, 48, 54} <= set(np.flatnonzero(status == "exact"))
    assert np.isfinite(points[1]).all()


def test_the_error_is_divided_by_the_distance_of_the_outer_eye_corners():
    truth = mean_face()
    eyes = np.hypot(*(truth[45] - truth[36]))
    pred = truth + np.array(
        [0.05 * eyes, 0.0]
    )  # every point off by 5 % of the eye distance
    assert face_errors([pred, None], [truth, truth], np.arange(68)) == pytest.approx(
        [0.05, np.inf]
    )


def test_a_constant_offset_is_removed_at_any_angle_and_size():
    # every point is off by 0.1 eye distances along the eye line: another definition, no error
    truths, found = [], []
    for k in range(6):
        angle, scale = 0.3 * k, 80.0 + 20 * k
        turn = np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        truth = scheme("ibug68").mean_shape * scale @ turn + 200
        truths.append(truth)
        found.append(truth + 0.1 * (truth[45] - truth[36]))
    moved = without_offsets(found, truths)
    assert face_errors(found, truths, np.arange(68)) == pytest.approx([0.1] * 6)
    assert face_errors(moved, truths, np.arange(68)) == pytest.approx(
        [0.0] * 6, abs=1e-12
    )


def test_an_error_that_is_not_an_offset_is_not_removed():
    # even faces are off to one side, odd ones to the other, so an offset fitted on one half
    # doubles the error on the other
    truths = [mean_face()] * 4
    found = [mean_face((5.0 * (-1) ** k, 0.0)) for k in range(4)]
    before = face_errors(found, truths, np.arange(68))
    after = face_errors(without_offsets(found, truths), truths, np.arange(68))
    assert after == pytest.approx(2 * before)


def test_a_miss_is_a_failure_and_is_left_out_of_the_mean():
    truth = mean_face()
    eyes = np.hypot(*(truth[45] - truth[36]))
    found = {"a": [truth + np.array([0.09 * eyes, 0.0]), None], "b": [truth, truth]}
    shared, rows = score_peers(found, {"a": "ibug68", "b": "ibug68"}, [truth, truth])
    assert len(shared.exact) == 68
    assert rows["a"]["misses"] == 1
    assert rows["a"]["nme_exact"] == pytest.approx(0.09)
    assert rows["a"]["failure_rate_exact_8"] == 1.0  # 0.09 > 0.08, plus the miss
    assert rows["a"]["failure_rate_exact_10"] == 0.5  # only the miss
    assert rows["b"]["nme_exact"] == 0


def test_percentages_appear_only_in_the_table_and_missing_figures_are_dashes():
    lines = markdown_table(
        [{"name": "x", "nme_exact": 0.0312, "ms_per_face": 1.234}]
    ).splitlines()
    assert len(lines) == 3
    cells = [c.strip() for c in lines[2].strip("|").split("|")]
    assert cells[0] == "x"
    assert cells[1] == "3.12 %"
    assert cells[7] == "1.23"
    assert cells.count("-") == len(COLUMNS) - 2
    assert all(line.count("|") == len(COLUMNS) + 2 for line in lines)


def test_spans_are_compact_and_an_empty_list_is_called_none():
    assert spans([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert spans([]) == "none"


def test_the_page_names_the_machine_and_the_peers_not_measured():
    marked = machine.describe() | {"load_after": 0.0, "bare_mb": 27.0, "busy": True}
    peer = {
        "name": "x",
        "version": "1",
        "batching": "none",
        "license": "MIT",
        "note": "",
        "nme_exact": 0.03,
    }
    report = {
        "protocol": "300w-val",
        "images": 3,
        "date": "2026-01-02",
        "machine": marked,
        "settings": {"rounds": 2, "timed_faces": 3, "batch": 64, "one_cpu": 1},
        "points": {"exact": [36, 45], "shared": list(range(68))},
        "peers": [peer],
        "skipped": ["y: no model"],
    }
    page = markdown(report)
    assert marked["cpu"] in page
    assert "not for the record" in page
    assert "36, 45" in page
    assert "0-67" in page
    assert "- y: no model" in page
    assert "not for the record" not in markdown(
        report | {"machine": marked | {"busy": False}}
    )


PARTS = (
    "aflw_labels",
    "bulk",
    "check_head_pose",
    "choose_filters",
    "choose_recrop",
    "compare",
    "detection",
    "fit_box_noise",
    "fit_convention",
    "install",
    "loader",
    "memory",
    "min_face",
    "page",
    "review_loop",
    "server",
    "size",
    "speed",
    "video",
)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_bench_can_be_imported(part):
    if part in ("choose_filters", "loader"):
        pytest.importorskip("torch")
    if part == "video":
        pytest.importorskip("av")
    assert callable(importlib.import_module(f"bench.{part}").main)


def test_squares_grow_and_move_with_the_box():
    # box 40 x 20 around (30, 20): its longer side is 40
    assert roi.square((10, 10, 50, 30), 1.5, -0.1) == (30.0, 16.0, 60.0)


def test_the_warp_of_a_square_treats_corners_as_centers_like_the_graph():
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30, 12:32] = 200
    # Pixels 12..31 and 10..29: the square of 20 pixels around (21.5, 19.5); scale 1 shifts nothing.
    assert (roi.warp_square(image, 21.5, 19.5, 20, 20) == 200).all()
    # A ramp of 5 per pixel, steps of 4 pixels with centers 13.5 + 4 j; the graph reads 12 + 4 j.
    ramp = np.repeat(np.arange(40, dtype=np.uint8)[None, :, None] * 5, 40, 0).repeat(
        3, 2
    )
    assert roi.warp_square(ramp, 21.5, 19.5, 20, 5)[0, :, 0].tolist() == [
        60,
        80,
        100,
        120,
        140,
    ]  # 5 * (12 + 4 j)


def test_speed_requirements_are_judged_per_stage_and_state_the_limit():
    times = {
        "lineament fast": {
            "ms_per_face": 1.2,
            "ms_model": 1.0,
            "faces_per_second": 1200.0,
        },
        "lineament accurate": {
            "ms_per_face": 4.8,
            "ms_model": 4.0,
            "faces_per_second": 400.0,
        },
        speed.MESH: {"ms_per_face": 1.25, "ms_model": 1.0, "faces_per_second": 700.0},
    }
    lines = speed.judge(times, 5.1)
    # 1.2 <= 1 x 1.25; 4.8 <= 4 x 1.25 = 5; 1200 >= 1000; 400 < 500; 5.1 > 5
    assert [line.split(":")[0] for line in lines] == [
        "holds",
        "holds",
        "holds",
        "MISSED",
        "MISSED",
    ]
    assert "wanted at least 500" in lines[3]
    assert speed.judge({}, None) == []


def test_a_rising_memory_curve_is_not_flat_and_a_constant_one_is():
    level = [(k, 300.0 + (k % 2)) for k in range(40)]
    rising = [(k, 300.0 + k) for k in range(40)]
    assert memory.judge(level, 320.0)[0]
    assert not memory.judge(rising, 340.0)[
        0
    ]  # second quarter 314.5, last 334.5: 20 MB more
    good, line = memory.judge(level, 700.0)
    assert not good
    assert "peak 700 MB (wanted under 600)" in line


def test_the_curve_is_drawn_in_a_few_lines():
    drawn = memory.draw([(k, 100.0) for k in range(100)], lines=10).splitlines()
    assert len(drawn) == 10
    assert drawn[0].endswith("#" * 10)


def test_every_peer_has_an_environment_a_script_and_a_license():
    names = {environment.name for environment in install.ENVIRONMENTS}
    for plan in install.PEERS:
        assert plan.environment in names
        assert (ROOT / "bench" / "peers" / plan.script).is_file()
        assert plan.license


def test_install_size_counts_separate_model_files_once(tmp_path):
    for name, kilobytes in (("bare", 10), ("p", 110), ("data", 50)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(bytes(1000 * kilobytes))
    plan = install.PeerPlan(
        "p", "p", "p.py", ("{cache}/data/f", "{cache}/p/f", "fast"), "MIT"
    )
    assert install.install_mb(plan, tmp_path) == pytest.approx(
        0.15
    )  # 110 - 10 + 50 kB; files inside the environment count once


def test_an_environment_that_cannot_be_created_reports_the_reason(
    tmp_path, monkeypatch
):
    done = install.subprocess.CompletedProcess(
        [], 1, "", "one\nno matching distribution"
    )
    monkeypatch.setattr(install.subprocess, "run", lambda *_, **__: done)
    reason = install.make_environment(install.Environment("p", ("x",), ()), tmp_path)
    assert (
        reason
        == "p: -m venv " + str(tmp_path / "p") + " failed: no matching distribution"
    )


def test_changed_dependencies_recreate_an_environment_but_changed_sources_do_not(
    tmp_path, monkeypatch
):
    def run(step, **_):
        folder = tmp_path / "p" / "bin"
        if "venv" in step:
            folder.mkdir(parents=True)
            (folder / "python").touch()
        return install.subprocess.CompletedProcess(step, 0, "", "")

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(install, "ROOT", tmp_path / "root")
    (tmp_path / "root" / "src").mkdir(parents=True)
    (tmp_path / "root" / "pyproject.toml").write_text("one")
    environment = install.Environment("p", ("x",), (), ours=True)
    assert install.make_environment(environment, tmp_path) == ""
    left = tmp_path / "p" / "dependency"
    left.touch()
    (tmp_path / "root" / "src" / "a.py").touch()
    assert install.make_environment(environment, tmp_path) == ""
    assert left.exists()
    (tmp_path / "root" / "pyproject.toml").write_text("two")
    assert install.make_environment(environment, tmp_path) == ""
    assert not left.exists()


def test_the_largest_parts_of_an_environment_come_first(tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "f").write_bytes(bytes(3000))
    (tmp_path / "small.py").write_bytes(bytes(1000))
    assert size.largest(tmp_path) == [("big", 0.003), ("small.py", 0.001)]
