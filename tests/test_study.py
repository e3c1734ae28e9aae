"""Studies: rows are planned, trained once, resumed, limited by a budget, and measured."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from commands import call
from faces import write_faces
from lineament.data.crop_cache import CropCache
from lineament.errors import RecipeError, TrainError
from lineament.recipe.file import make_recipe
from lineament.study import protocol_figures, prune_sweep, tracked_clips
from lineament.study.columns import COLUMNS, Column, column, each
from lineament.study.finished_run import FinishedRun
from lineament.study.plan import below, fit_budget, is_done, plan_runs
from lineament.study.run import StudyOptions, run_study
from lineament.study.settings import read_study
from lineament.study.table import Table, shown, write_page
from lineament.study.task_accuracy import trains_task
from lineament.study.tracked_clips import long_occluded, track_clips
from lineament.study.train_minutes import logged_minutes

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[1]
RECIPE = """
name = "small"
losses = { cross_entropy = 1.0 }
model = { backbone = "tiny", imagenet = false, channels = 16, size = 64 }
[train]
steps = 3
batch = 4
warmup = 1
bf16 = false
threads = 1
num_workers = 0
validate_every = 3

[[data]]
reader = "folder"
folder = "faces"
"""
STUDY = """
name = "losses"
title = "What a further loss adds"
recipe = "small.toml"
seeds = [1, 2]
columns = ["steps", "validation"]
final = []
plot = { column = "validation", x_label = "weight" }
notes = "Drawn faces."

[[needs]]
name = "first"
recipe = "small.toml"
out = "first"
set = { "train.steps" = 2 }
minutes = 2.0

[[rows]]
name = "alone"
x = 0.0
minutes = 5.0

[[rows]]
name = "from first"
x = 1.0
needs = ["first"]
set = { init_from = "runs/first/checkpoint.pt", losses = { cross_entropy = 1.0, smooth_l1 = 1.0 } }
minutes = 7.0

[[rows]]
name = "first itself"
run = "first"
"""


@pytest.fixture
def place(tmp_path):
    write_faces(tmp_path / "faces", 30)
    (tmp_path / "small.toml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def read(place, text=STUDY):
    path = place / "study.toml"
    path.write_text(text, encoding="utf-8")
    return read_study(path), path


def options(place, **more):
    return StudyOptions(place, place / "cache", place / "runs", **more)


def planned(place, **more):
    return plan_runs(*read(place), place / "runs", **more)


def test_prerequisites_come_first_and_seeds_one_after_the_other(place):
    plan = planned(place)
    assert [run.name for run in plan.runs] == [
        "first",
        "alone, seed 1",
        "from first, seed 1",
        "alone, seed 2",
        "from first, seed 2",
    ]
    assert len({run.folder for run in plan.runs}) == 5
    assert [run.recipe.train.seed for run in plan.runs[1:]] == [1, 1, 2, 2]


def test_a_row_changes_the_recipe_and_names_runs_below_the_folder_of_runs(place):
    row = planned(place).runs[2].recipe
    assert row.losses == {"cross_entropy": 1.0, "smooth_l1": 1.0}
    assert Path(row.init_from) == place / "runs" / "first" / "checkpoint.pt"


def test_only_limits_training_to_named_rows_and_their_prerequisites(place):
    assert [run.name for run in planned(place, only=["alone"], seeds=[3]).runs] == [
        "alone, seed 3"
    ]
    names = [run.name for run in planned(place, only=["from first"], seeds=[3]).runs]
    assert names == ["first", "from first, seed 3"]


def test_an_unknown_row_is_rejected_with_the_nearest_name(place):
    with pytest.raises(RecipeError, match="no row 'alon'; did you mean 'alone'"):
        planned(place, only=["alon"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('needs = ["first"]', 'needs = ["frist"]', "did you mean 'first'"),
        ('run = "first"', 'run = "third"', "not listed before it"),
        ('name = "alone"', 'name = "from first"', "two rows have the same name"),
        ("x = 0.0", "why = 0.0", "Extra inputs are not permitted"),
        ('name = "losses"', 'name = "../up"', "name"),
    ],
)
def test_a_wrong_study_is_rejected(place, old, new, message):
    with pytest.raises(RecipeError, match=message):
        read(place, STUDY.replace(old, new, 1))


def test_a_study_that_cannot_be_read_is_rejected(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read as a study"):
        read_study(tmp_path / "none.toml")


def test_a_budget_excludes_runs_that_do_not_fit_and_their_dependents(place):
    runs = planned(place, seeds=[1]).runs  # minutes: 2, 5, 7
    fitting, rest = fit_budget(runs, 7.5)
    assert [run.name for run in fitting] == ["first", "alone, seed 1"]
    assert [run.name for run in rest] == ["from first, seed 1"]
    fitting, rest = fit_budget(runs, 1.0)
    assert fitting == []
    assert len(rest) == 3
    # a run that fits is excluded if its prerequisite does not fit
    fitting, rest = fit_budget([runs[0], runs[2]], 1.5)
    assert [run.name for run in rest] == ["first", "from first, seed 1"]


def test_a_run_of_unknown_duration_fits_no_budget(place):
    plan = plan_runs(*read(place, STUDY.replace("minutes = 5.0", "")), place / "runs")
    with pytest.raises(TrainError, match="alone, seed 1: its duration is unknown"):
        fit_budget(plan.runs, 100)


def test_a_budget_is_reported_before_training(place, tiny):
    notes = []
    study, path = read(place)
    run_study(study, path, options(place, budget_minutes=1.0), notes.append)
    assert notes[0] == "5 training runs, 0 done"
    assert "does not fit 1 minutes: first (2)" in notes
    assert not (place / "runs" / "first").exists()


def test_a_study_trains_every_row_once_and_measures_it(place, tiny):
    notes = []
    study, path = read(place)
    values = run_study(study, path, options(place), notes.append)
    assert sum(line.startswith("training ") for line in notes) == 5
    assert values["alone"]["steps"] == [3.0, 3.0]
    assert values["first itself"]["steps"] == [2.0]
    errors = values["from first"]["validation"]
    assert len(errors) == 2
    assert errors[0] != errors[1]
    assert all(math.isfinite(error) for error in errors)
    minutes = json.loads((place / "runs" / "losses" / "minutes.json").read_text())
    assert set(minutes) == {"first", "alone", "from first"}

    again: list[str] = []
    same = run_study(study, path, options(place), again.append)
    assert again[0] == "5 training runs, 5 done"
    assert not any(line.startswith("training ") for line in again)
    assert same == values


def test_a_killed_row_is_resumed_without_measuring_other_rows(place, tiny):
    study, path = read(place)
    from lineament.training.checkpoint import load_checkpoint, save_checkpoint

    run_study(study, path, options(place, seeds=[1], only=["alone"]))
    run = planned(place, seeds=[1], only=["alone"]).runs[0]
    whole = load_checkpoint(run.checkpoint)
    shorter = options(
        place, seeds=[1], only=["alone"], changes={"train.checkpoint_minutes": 0.0}
    )
    state = dict(whole, step=2)
    save_checkpoint(run.checkpoint, state)
    assert not is_done(run)
    notes: list[str] = []
    values = run_study(study, path, shorter, notes.append)
    assert any(line.startswith("training alone, seed 1") for line in notes)
    assert values["alone"]["steps"] == [3.0]


def test_a_trained_row_is_pruned_again_only_by_other_amounts(place, tiny, monkeypatch):
    swept = []

    def nothing_pruned(net, slim, recipe):
        swept.append(slim.pruning_ratios)
        return iter(())

    monkeypatch.setattr(prune_sweep, "_channels", nothing_pruned)
    monkeypatch.setattr(prune_sweep, "draw_pareto", lambda curves, path: None)
    path = place / "small.toml"
    notes: list[str] = []
    for ratios in ("[0.5]", "[0.5]", "[0.5, 0.75]"):
        path.write_text(
            f"{RECIPE}\n[slim]\npruning_ratios = {ratios}\n", encoding="utf-8"
        )
        study, study_path = read(place)
        chosen = options(place, seeds=[1], only=["alone"])
        run_study(study, study_path, chosen, notes.append)
    assert swept == [(0.5,), (0.5, 0.75)]
    counts = [line for line in notes if line.startswith("1 training runs")]
    assert counts == [f"1 training runs, {done} done" for done in (0, 1, 0)]


def test_a_folder_with_another_training_is_rejected(place, tiny):
    study, path = read(place)
    run_study(study, path, options(place, seeds=[1], only=["alone"]))
    other, path = read(
        place, STUDY.replace("x = 0.0", 'x = 0.0\nset = { "train.lr" = 0.1 }')
    )
    with pytest.raises(
        TrainError, match=r"trained with another recipe \(train.lr differ\)"
    ):
        run_study(other, path, options(place, seeds=[1], only=["alone"]))


def test_dependents_of_a_failed_run_are_skipped_and_others_are_trained(place, tiny):
    broken = STUDY.replace(
        '"train.steps" = 2', '"train.steps" = 2, "init_from" = "none.pt"'
    )
    study, path = read(place, broken)
    notes: list[str] = []
    values = run_study(study, path, options(place, seeds=[1]), notes.append)
    assert any(line.startswith("failed: first: ") for line in notes)
    assert "skipped: from first, seed 1, which needs first" in notes
    assert values["alone"]["steps"] == [3.0]
    assert values["from first"] == {}
    assert "from first" not in Table(study, study.columns, values).markdown()


def test_every_run_that_needs_a_failed_one_is_reported(place, tiny):
    second = """
[[needs]]
name = "second"
recipe = "small.toml"
out = "second"
needs = ["first"]

[[rows]]
name = "alone"
needs = ["second"]
"""
    chain = STUDY.replace('\n[[rows]]\nname = "alone"\n', second)
    chain = chain.replace('"train.steps" = 2', '"init_from" = "none.pt"')
    study, path = read(place, chain)
    notes: list[str] = []
    run_study(study, path, options(place, seeds=[1]), notes.append)
    assert [line for line in notes if line.startswith("skipped: ")] == [
        "skipped: second, which needs first",
        "skipped: alone, seed 1, which needs second",
        "skipped: from first, seed 1, which needs first",
    ]
    assert [line.split(" in ")[0] for line in notes if "training " in line[:9]] == [
        "training first"
    ]


def test_every_checkpoint_that_a_recipe_names_is_below_the_folder_of_runs():
    values = {
        "name": "small",
        "init_from": "runs/a/checkpoint.pt",
        "init_parts": {"head": "runs/b/checkpoint.pt", "backbone": "other.pt"},
        "model": {"pruned_from": "runs/c/checkpoint.pt"},
        "detector": {"mine_from": "runs/d/checkpoint.pt"},
        "distill": {"teacher": "runs/e/checkpoint.pt"},
        "train": {"steps": 1},
    }
    placed = below(make_recipe(values), Path("all"))
    assert placed.detector is not None
    assert placed.distill is not None
    named = [
        placed.init_from,
        placed.init_parts["head"],
        placed.model.pruned_from,
        placed.detector.mine_from,
        placed.distill.teacher,
    ]
    assert named == [str(Path("all", letter, "checkpoint.pt")) for letter in "abcde"]
    assert placed.init_parts["backbone"] == "other.pt"


def test_an_unknown_column_ends_a_study_before_it_trains(place, tiny):
    study, path = read(place, STUDY.replace('"validation"]', '"validaton"]'))
    with pytest.raises(RecipeError, match="did you mean 'validation'"):
        run_study(study, path, options(place))
    assert not (place / "runs").exists()


def test_a_protocol_is_a_column():
    assert column("300w-common").title == "300w-common NME %"
    assert column("300w-common/median").title == "300w-common median %"
    with pytest.raises(RecipeError, match="did you mean 'median'"):
        column("300w-common/medan")


CLASSIC = """
[[rows]]
name = "mean shape"
recipe = "mean.toml"
facts = { year = "1995" }
"""


def test_a_model_without_a_network_is_a_row_with_facts(place, tiny):
    (place / "mean.toml").write_text(
        'name = "mean"\nmodel.kind = "mean-shape"\nmodel.size = 64\ntrain.steps = 1\n'
        'data = [{ reader = "folder", folder = "faces" }]\n',
        encoding="utf-8",
    )
    columns = (
        '["steps", "validation", "parameters", "megabytes", "ms", "minutes", "rounds"]'
    )
    study, path = read(
        place, STUDY.replace('["steps", "validation"]', columns) + CLASSIC
    )
    chosen = options(place, seeds=[1], only=["mean shape"])
    values = run_study(study, path, chosen)
    found = values["mean shape"]
    assert found["steps"] == [1.0]
    assert 0 < found["validation"][0] < 0.5
    # two coordinates and a variance per point
    assert found["parameters"] == [68 * 3]
    assert 0 < found["megabytes"][0] < 0.01
    assert found["ms"][0] > 0
    assert found["minutes"][0] >= 0
    # this model does not search
    assert found["rounds"] == [0.0]
    lines = Table(study, study.columns, values).markdown().splitlines()
    assert lines[0].startswith("| | year | steps |")
    assert lines[2].startswith("| mean shape | 1995 | 1 |")
    assert is_done(plan_runs(study, path, place / "runs", [1], ["mean shape"]).runs[0])
    with pytest.raises(RecipeError, match="a model without a network"):
        run_study(
            read(place, STUDY.replace('"validation"]', '"augmented"]') + CLASSIC)[0],
            path,
            chosen,
        )


def test_a_model_of_five_points_has_no_figure_under_a_protocol_of_68(place, tiny):
    (place / "five.toml").write_text(
        'name = "five"\nscheme = "five"\ntrain.steps = 1\n'
        'model = { kind = "cascade", regressor = "ferns", trees = 2, pixels = 8 }\n'
        'data = [{ reader = "folder", folder = "faces" }]\n',
        encoding="utf-8",
    )
    columns = '["steps", "300w-common", "300w-common/shifted", "cfp30-val"]'
    row = '[[rows]]\nname = "five points"\nrecipe = "five.toml"\n'
    study, path = read(place, STUDY.replace('["steps", "validation"]', columns) + row)
    chosen = options(place, seeds=[1], only=["five points"])
    # these protocols must not be read, since their data are missing
    notes: list[str] = []
    values = run_study(study, path, chosen, notes.append)
    assert not [line for line in notes if line.startswith("failed")]
    assert values["five points"]["steps"] == [1.0]
    line = Table(study, study.columns, values).markdown().splitlines()[-1]
    assert line == "| five points | 1 | - | - | - |"


def test_the_prerequisites_of_a_row_are_trained_before_it(place):
    plan = planned(place, seeds=[1])
    first = place / "runs" / "first" / "checkpoint.pt"
    wanted = {"alone": (), "from first": (first,), "first itself": ()}
    assert plan.needs == wanted


def write_log(folder, rows):
    folder.mkdir(parents=True)
    lines = ["step,loss_total,lr,faces_per_second,validation"]
    lines += [f"{step},1.0,0.001,{speed}," for step, speed in rows]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")


def test_the_minutes_of_a_training_are_those_of_the_steps_in_its_log(tmp_path):
    # 50 steps of 12 faces at 10 per second are a minute, then 10 steps at 2 per second one more
    write_log(tmp_path / "run", [(50, 10.0), (60, 2.0)])
    assert logged_minutes(tmp_path / "run", 12) == pytest.approx(2.0)
    assert math.isnan(logged_minutes(tmp_path / "none", 12))


def test_the_minutes_of_a_row_include_its_prerequisites(tmp_path, monkeypatch):
    write_log(tmp_path / "need", [(60, 6.0)])
    write_log(tmp_path / "row", [(30, 6.0), (60, 6.0)])
    monkeypatch.setattr(FinishedRun, "faces_per_step", 6)
    need = tmp_path / "need" / "checkpoint.pt"
    places = tmp_path / "row" / "checkpoint.pt", Path(), Path()
    assert column("minutes").measure([FinishedRun("a", *places, (need,))]) == [2.0]
    # the duration of a prerequisite is unknown
    lost = (tmp_path / "lost" / "checkpoint.pt",)
    found = column("minutes").measure([FinishedRun("a", *places, lost)])
    assert math.isnan(found[0])


def test_tasks_are_measured_only_if_they_were_learned():
    tasks = {"groups": {"smiling": ["smiling"], "male": ["male"]}}
    tasks["weights"] = {"male": 0.0}
    model = {"kind": "shared-features"}
    base = {"name": "a", "scheme": "five", "model": model, "train": {"steps": 1}}
    base["data"] = [{"reader": "mtfl"}]
    recipe = make_recipe({**base, "tasks": tasks}, "test")
    assert trains_task(recipe, "smiling")
    assert not trains_task(recipe, "male")
    assert not trains_task(recipe, "glasses")
    assert not trains_task(make_recipe(base, "test"), "smiling")
    for name in ("gender", "smile", "glasses", "pose"):
        assert column(name).title == f"{name} accuracy %"


def test_cells_hold_mean_and_standard_deviation_of_the_seeds():
    # 4 and 6 %: mean 5, standard deviation sqrt(2)
    assert shown("validation", [0.04, 0.06]) == "5.000 ± 1.414"
    assert shown("validation", [0.04]) == "4.000"
    assert shown("validation", [float("nan")]) == "-"
    assert shown("parameters", [2_500_000.0]) == "2.500 M"


def test_the_page_has_title_command_table_plot_and_notes(place):
    study, _ = read(place)
    values = {
        "alone": {"validation": [0.04, 0.06]},
        "from first": {"validation": [0.03, 0.03]},
    }
    table = Table(study, ("validation",), values)
    place /= "new"  # made for the page and its plot
    write_page(table, place / "page.md", "lineament study x", ["Seeds 1, 2."])
    page = (place / "page.md").read_text(encoding="utf-8")
    assert page.startswith(
        "# What a further loss adds\n\n`lineament study x`\n\nSeeds 1, 2.\n"
    )
    assert "| alone | 5.000 ± 1.414 |" in page
    assert "(page.png)" in page
    assert page.endswith("Drawn faces.\n")
    kept = json.loads((place / "page.json").read_text(encoding="utf-8"))
    assert kept["rows"]["alone"] == {"validation": [0.04, 0.06]}
    assert (place / "page.png").stat().st_size > 1000


def test_columns_measure_each_run(monkeypatch):
    monkeypatch.setitem(
        COLUMNS, "length", Column("length", each(lambda run: len(run.name)))
    )
    runs = [FinishedRun(name, Path(), Path(), Path()) for name in ("a", "bcd")]
    assert column("length").measure(runs) == [1, 3]


def test_errors_on_clips_are_divided_by_the_eye_distance_of_the_scheme(monkeypatch):
    truth = np.array([[10.0, 20.0], [50.0, 20.0], [30.0, 40.0], [20.0, 60], [40, 60]])
    frame = SimpleNamespace(
        image=None, timestamp=0.0, landmarks=truth, occluded=np.zeros(5, bool)
    )
    found = [SimpleNamespace(landmarks=truth + np.array([4.0, 0.0]))]
    monkeypatch.setattr(tracked_clips, "make_clip", lambda *given: [frame])
    monkeypatch.setattr(
        tracked_clips, "Tracker", lambda *given, **options: lambda *given: found
    )
    faces = CropCache(np.zeros((1, 8, 8, 3), np.uint8), truth[None], np.zeros((1, 4)))
    measured = track_clips(Path("model.onnx"), faces, "five")
    # 4 px of the 40 px between the pupils
    np.testing.assert_allclose(measured.errors, 0.1)


def test_an_occlusion_is_long_from_its_fourth_frame_within_a_clip():
    occluded = np.array([1, 1, 1, 1, 1, 0, 1, 1], bool)[
        :, None
    ]  # clips of 6 and 2 frames
    longer = long_occluded(np.concatenate([occluded, occluded[:4]]), 6)
    assert longer[:6, 0].tolist() == [False, False, False, True, True, False]
    assert longer[6:12, 0].tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda p: p.stem
)
def test_every_study_of_the_repository_can_be_planned(path, tmp_path):
    study = read_study(path)
    assert study.name == path.stem
    plan = plan_runs(study, path, tmp_path)
    assert all(column(name) for name in (*study.columns, *study.final))
    for run in plan.runs:
        for named in filter(
            None, (run.recipe.init_from, getattr(run.recipe.distill, "teacher", ""))
        ):
            if Path(named).parent.name == "teachers":
                assert Path(named).is_file()  # weights in the repository
                continue
            # all other initial weights and teachers are trained by the study itself
            homes = [other.folder for other in plan.runs if other.name in run.needs]
            assert any(Path(named).is_relative_to(home) for home in homes), (
                run.name,
                named,
            )


def test_the_page_states_the_options_that_change_its_figures(place):
    from lineament.cli.study import _command

    more = {"seeds": [1, 2], "only": ["+ both"], "final": True}
    command = _command(
        Path("a.toml"), options(place, changes={"train.steps": 6}, **more)
    )
    assert command == ("lineament study a.toml --seeds 1,2 --set train.steps=6 --final")


def test_figures_of_parts_are_the_means_of_their_points(monkeypatch):
    errors = [float(point) for point in range(68)]
    errors[36] = None  # never annotated
    found = SimpleNamespace(per_landmark=tuple(errors))
    monkeypatch.setattr(protocol_figures, "report", lambda *given: found)

    def measure(name, protocol="300w-val"):
        figure = protocol_figures.FIGURES[name][1]
        return figure(Path("model.onnx"), Path("data"), protocol)

    assert measure("outer") == 8  # of 0 to 16
    assert measure("brows") == 21.5  # of 17 to 26
    assert measure("nose") == 31  # of 27 to 35
    assert measure("eyes") == 42  # of 37 to 47
    assert measure("mouth") == 57.5  # of 48 to 67
    # five points have no jaw
    assert np.isnan(measure("outer", "mtfl-aflw"))


def test_a_missing_study_is_reported_before_the_data_is_looked_for(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("LINEAMENT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    code, _, err = call("study", "absent.toml")
    assert code == 1
    assert "absent.toml: cannot be read as a study (No such file" in err
    assert len(err.strip().splitlines()) == 1
