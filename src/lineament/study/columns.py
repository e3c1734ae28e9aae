"""Columns of a study's table: measurements of finished training runs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from ..data.cifar10 import read_cifar10
from ..data.crop_cache import plain_crops
from ..data.training_crops import Source, TrainingCrops
from ..errors import ExportError, RecipeError, did_you_mean
from ..evaluation.conversion import can_score
from ..evaluation.protocols import PROTOCOLS, protocol
from ..export.registry import export_trained
from ..geometry import Array
from ..inference.speed import time_file
from ..models.profile import multiply_adds, parameters
from ..recipe import Augmentation
from ..training.classifier_task import measure_classifier
from ..training.run_files import read_progress
from ..training.validate import interocular_nmes
from .box_columns import errors_of_box, fraction_found, mean_error
from .finished_run import FinishedRun
from .head_memory import output_bytes, training_bytes
from .protocol_figures import FIGURES, Measure
from .task_accuracy import read_test_faces, task_accuracy, trains_task
from .tracked_clips import Which, mean_errors, track_clips

AUGMENTATION = Augmentation.model_validate(
    {
        "rotation_deg": 13,
        "large_rotation": 0.5,
        "large_rotation_deg": 45,
        "scale": 0.08,
        "shift": 0.04,
        "blur": 0.1,
        "jpeg": 0.1,
        "occlusion": 0.5,
    }
)
"""Augmentation of the validation faces in the column `augmented`."""
DRAWS = 3
"""Augmented copies of each validation face in the column `augmented`."""
NME_KEY = "validation_nme_onnx"


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    title: str
    measure: Callable[[Sequence[FinishedRun]], list[float]]
    """Measures all runs of a table at once, since some columns compare them on common frames."""
    scale: float = 1.0
    digits: int = 3
    unit: str = ""


def each(
    measure: Callable[[FinishedRun], float],
) -> Callable[[Sequence[FinishedRun]], list[float]]:
    """Return a function that measures each run separately."""
    return lambda runs: [measure(run) for run in runs]


@torch.no_grad()
def augmented_nme(run: FinishedRun) -> float:
    """Measure the mean NME on validation faces that are rotated, blurred and occluded."""
    net, recipe = run.trained
    faces = run.validation_faces
    padding = recipe.model.padding
    maker = TrainingCrops(
        [Source(faces)], recipe.scheme, net.size, padding, AUGMENTATION, 0
    )
    predictions, truth = [], []
    for draw, face in enumerate(list(range(len(faces))) * DRAWS):
        sample = maker.make(0, draw, 0, face)
        predictions.append(
            net(torch.from_numpy(sample["crops"][None])).landmarks[0].numpy()
        )
        truth.append(sample["landmarks"])
    return float(
        interocular_nmes(np.stack(predictions), np.stack(truth), recipe.scheme).mean()
    )


def exported(run: FinishedRun, int8: bool = False) -> Path:
    """Return the exported file of a run; export it if missing or older than the checkpoint."""
    name = "int8" if int8 else "final"
    suffix = ".onnx" if run.has_network else ".safetensors"
    path = run.checkpoint.with_name(name + suffix)
    if not path.exists() or path.stat().st_mtime < run.checkpoint.stat().st_mtime:
        folder = run.checkpoint.parent
        export_trained(run.checkpoint, folder, name, int8, run.data_root, run.cache)
    return path


def measure_on_clips(runs: Sequence[FinishedRun], which: Which) -> list[float]:
    """Measure the exported trackers on the same clips."""
    measured = []
    for run in runs:
        clips = run.validation_faces, run.recipe.scheme
        measured.append(track_clips(exported(run), *clips))
    return mean_errors(measured, which)


def exported_nme(run: FinishedRun, int8: bool = False) -> float:
    """Read the validation NME of the exported file; nan if the file fails the export gate."""
    try:
        card = exported(run, int8).with_suffix(".json")
    except ExportError:
        return float("nan")
    return float(json.loads(card.read_text(encoding="utf-8"))["gate"][NME_KEY])


def exported_ms(run: FinishedRun, int8: bool = False) -> float:
    """Time the exported file on one crop and one thread; nan if the file fails the export gate."""
    try:
        return time_file(exported(run, int8)).least_ms
    except ExportError:
        return float("nan")


def initial_nme(run: FinishedRun) -> float:
    """Measure the validation NME of the checkpoint that the run started from."""
    start = FinishedRun(run.name, Path(run.recipe.init_from), run.data_root, run.cache)
    return start.validation_nme()


def network_multiply_adds(run: FinishedRun) -> float:
    """Count the multiply-adds of the network for one crop; nan without a network."""
    if not run.has_network:
        return float("nan")
    net = run.trained[0]
    return multiply_adds(net, torch.zeros(1, net.size, net.size, 3, dtype=torch.uint8))


def head_parameters(run: FinishedRun) -> float:
    """Count the parameters of the head."""
    return parameters(run.trained[0].head)


def steps_done(run: FinishedRun) -> float:
    """Return the steps of the checkpoint."""
    return float(read_progress(run.checkpoint)[0])


def parameter_count(run: FinishedRun) -> float:
    """Count the parameters of a network, or the array elements of another model."""
    if run.has_network:
        return float(parameters(run.trained[0]))
    return float(sum(values.size for values in run.classic.arrays.values()))


def megabytes(run: FinishedRun) -> float:
    """Return the size of the exported file; nan if the file fails the export gate."""
    try:
        return exported(run).stat().st_size / 1e6
    except ExportError:
        return float("nan")


def task_accuracy_column(task: str) -> Callable[[FinishedRun], float]:
    """Return a function that measures the accuracy of a task on MTFL's test faces.

    The result is nan for a model that was not trained for the task.
    """

    def measure(run: FinishedRun) -> float:
        if not trains_task(run.recipe, task):
            return float("nan")
        faces = read_test_faces(run.recipe, run.data_root, run.cache)
        return task_accuracy(*run.trained, faces, task)

    return measure


def search_rounds(run: FinishedRun) -> float:
    """Measure the mean number of search iterations on validation faces; nan for a network."""
    if run.has_network:
        return float("nan")
    model, faces = run.classic, run.validation_faces
    rounds = []
    for crops, _ in plain_crops(faces, model.size, model.padding, 64):
        rounds.append(model.count_rounds(crops))
    return float(np.concatenate(rounds).mean())


def protocol_figure(run: FinishedRun, score: str, measure: Measure) -> float:
    """Measure the exported file under the protocol `score`.

    The result is nan if the model lacks points of the protocol or fails the export gate.
    """
    if not can_score(run.recipe.scheme, protocol(score)):
        return float("nan")
    try:
        return measure(exported(run), run.data_root, score)
    except ExportError:
        return float("nan")


def box_column(
    figure: Callable[[Array], float], box: str, norm: str = "interocular"
) -> Callable[[FinishedRun], float]:
    """Return a function that applies `figure` to the errors of a box of a part network."""

    def measure(run: FinishedRun) -> float:
        net, recipe = run.trained
        faces, padding = run.validation_faces, recipe.model.padding
        return figure(errors_of_box(net, faces, padding, box, norm))

    return measure


def class_accuracy(run: FinishedRun, part: str) -> float:
    """Measure the accuracy of a classifier on the images of a `part` of CIFAR-10."""
    return measure_classifier(run.trained[0], read_cifar10(run.data_root, part))[0]


def percent(title: str, measure: Callable[[FinishedRun], float]) -> Column:
    """Return a column for errors that are fractions, shown in percent."""
    return Column(title, each(measure), scale=100)


COLUMNS: dict[str, Column] = {
    "validation": percent("validation NME %", lambda run: run.validation_nme()),
    "validation_median": percent(
        "median", lambda run: float(median(run.validation_nmes().tolist()))
    ),
    "augmented": percent("rotated, blurred, occluded", augmented_nme),
    "expectation": percent(
        "expectation", lambda run: run.validation_nme("expectation")
    ),
    "argmax": percent("argmax", lambda run: run.validation_nme("argmax")),
    "dark": percent("DARK", lambda run: run.validation_nme("dark")),
    "initial": percent("NME % before training", initial_nme),
    "exported": percent("NME %", exported_nme),
    "exported_int8": percent("int8 NME %", lambda run: exported_nme(run, True)),
    "ms": Column("ms, one thread", each(exported_ms), digits=1),
    "ms_int8": Column("int8 ms", each(lambda run: exported_ms(run, True)), digits=1),
    "parameters": Column(
        "parameters",
        each(parameter_count),
        1e-6,
        unit=" M",
    ),
    "multiply_adds": Column(
        "multiply-adds", each(network_multiply_adds), 1e-6, 0, " M"
    ),
    "head_parameters": Column(
        "parameters of the head", each(head_parameters), 1e-6, unit=" M"
    ),
    "heatmap_memory": Column(
        "output per face", each(lambda run: output_bytes(run.recipe)), 1e-6, unit=" MB"
    ),
    "training_memory": Column(
        "head in training, per face",
        each(lambda run: training_bytes(run.recipe)),
        1e-6,
        1,
        " MB",
    ),
    "clips": Column(
        "clips, NME %", lambda runs: measure_on_clips(runs, "all"), scale=100
    ),
    "clips_masked": Column(
        "occluded points", lambda runs: measure_on_clips(runs, "occluded"), scale=100
    ),
    "clips_short": Column(
        "occluded for at most 3 frames",
        lambda runs: measure_on_clips(runs, "short"),
        scale=100,
    ),
    "clips_lost": Column(
        "frames lost", lambda runs: measure_on_clips(runs, "lost"), digits=0
    ),
    "megabytes": Column("file", each(megabytes), digits=2, unit=" MB"),
    "minutes": Column("minutes to train", each(lambda run: run.minutes), digits=0),
    "rounds": Column("search iterations", each(search_rounds), digits=1),
    "gender": percent("gender accuracy %", task_accuracy_column("male")),
    "smile": percent("smile accuracy %", task_accuracy_column("smiling")),
    "glasses": percent("glasses accuracy %", task_accuracy_column("glasses")),
    "pose": percent("pose accuracy %", task_accuracy_column("pose")),
    "accuracy": percent(
        "validation accuracy %", lambda run: class_accuracy(run, "validation")
    ),
    "test_accuracy": percent(
        "test accuracy %", lambda run: class_accuracy(run, "test")
    ),
    "face_box": percent("face box, error %", box_column(mean_error, "face")),
    "contour_box": percent("contour box, error %", box_column(mean_error, "contour")),
    "inner_box": percent("inner box, error %", box_column(mean_error, "inner")),
    "face_found": percent("face found %", box_column(fraction_found, "face")),
    "inner_found": percent("inner box found %", box_column(fraction_found, "inner")),
    "face_found_interpupil": percent(
        "face found %, interpupil", box_column(fraction_found, "face", "interpupil")
    ),
    "inner_found_interpupil": percent(
        "inner box found %, interpupil",
        box_column(fraction_found, "inner", "interpupil"),
    ),
    "steps": Column("steps", each(steps_done), digits=0),
}


def column(name: str) -> Column:
    """Return the column called `name`, from COLUMNS or for a protocol.

    "300w-common" is the NME under that protocol; "300w-common/median" is another of FIGURES.

    Raises:
        RecipeError: If there is no such column.
    """
    if name in COLUMNS:
        return COLUMNS[name]
    score, _, figure = name.partition("/")
    if score not in PROTOCOLS:
        names = [*COLUMNS, *PROTOCOLS]
        raise RecipeError(f"unknown column {name!r}; {did_you_mean(name, names)}")
    if figure not in FIGURES:
        raise RecipeError(
            f"the column {name!r} names the figure {figure!r} of the protocol {score}; "
            f"{did_you_mean(figure, FIGURES)}"
        )
    title, measure = FIGURES[figure]
    return percent(
        f"{score} {title} %", lambda run: protocol_figure(run, score, measure)
    )
