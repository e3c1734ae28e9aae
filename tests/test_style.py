"""Style of the source: widths, words, one home per job. `python tests/style.py` lists all."""

import re

import pytest

import style


def test_lines_are_short():
    lines = len(style.source_lines())
    assert style.wide_lines(style.WIDTH) == []
    assert len(style.wide_lines(style.SOFT_WIDTH)) <= 0.04 * lines


def test_comprehensions_are_few():
    lines = sum(
        len(path.read_text(encoding="utf-8").splitlines())
        for path in style.python_files()
    )
    assert style.comprehensions() <= 0.022 * lines


def test_docstrings_start_with_a_verb_or_a_noun():
    assert style.bad_openings() == []


def test_source_help_and_docs_use_plain_words():
    assert style.banned_words() == []


def test_the_root_of_the_package_stays_small():
    assert len(style.root_modules()) <= 10


def test_scripts_stay_small():
    assert style.script_lines() <= 700


def test_recipes_list_only_what_differs():
    distinct, every = style.recipe_lines()
    assert distinct >= 0.85 * every


@pytest.mark.parametrize(
    "pattern",
    [
        r"optimizer\.step\(",  # a training loop
        r"torch\.onnx\.export\(",  # an exporter
        r"VideoCapture\(|\.open\(.*format=",  # a video reader
        r"clip_grad_norm_\(",
        r"torch\.save\(",
    ],
)
def test_one_job_has_one_home(pattern):
    homes = []
    for path in style.python_files():
        if re.search(pattern, path.read_text(encoding="utf-8")):
            homes.append(style.at(path))
    assert len(homes) == 1, homes


@pytest.mark.parametrize(
    ("question", "file", "word"),
    [
        ("where is the Kalman filter", "tracking/kalman.py", "class Kalman"),
        ("where is the ONNX gate", "export/gate.py", "class Gate"),
        ("where are channels pruned", "training/prune/channels.py", "def "),
        ("how is a COCO file read", "data/readers/coco.py", "def read_coco"),
        (
            "which rule drops a doubtful face",
            "inference/acceptance.py",
            "min_landmark_score",
        ),
    ],
)
def test_each_contributor_question_is_answered_by_the_named_file(question, file, word):
    assert word in (style.SOURCE / file).read_text(encoding="utf-8"), question
