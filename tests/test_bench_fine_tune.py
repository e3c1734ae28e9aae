"""The measurement of fine-tuning by the number of photos: its folders and its page."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import eye_openness, fine_tune
from bench.fine_tune import POINTS, Result, page_of, write_cvat

from lineament.data.readers.find_annotations import find_annotations
from lineament.data.sample import Sample
from lineament.labeling.own_scheme import read_own_faces
from lineament.schemes import scheme
from tiny_sets import picture

pytestmark = pytest.mark.torch
MEAN = scheme("helen194").mean_shape


def face(folder, number):
    image = picture(folder / f"photo{number}.png", size=(200, 200))
    points = 100 + (80 + number) * (MEAN if MEAN is not None else shape_of_194())
    return Sample(image, points, "helen194", image.name)


def shape_of_194():
    """Return points (194, 2) that are their own mirror image."""
    helen = scheme("helen194")
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (194, 2))
    return (points + points[helen.mirror] * [-1, 1]) / 2


def test_photos_are_written_as_cvat_exports_them(tmp_path):
    faces = [face(tmp_path / "photos", number) for number in range(3)]
    write_cvat(faces, tmp_path / "export")
    found = find_annotations(tmp_path / "export")
    assert [each.reader for each in found] == ["coco"]
    read, made = read_own_faces(found[0], "twenty-one")
    assert made.points == tuple(POINTS)
    assert len(POINTS) == 21
    for ours, theirs in zip(read, faces, strict=True):
        wanted = theirs.landmarks[list(POINTS.values())]
        np.testing.assert_allclose(ours.landmarks, wanted, atol=1e-3)
        assert ours.image.is_file()


def test_the_page_has_a_row_for_each_number_of_photos():
    results = [
        Result(photos, start, nme, 5.0)
        for photos, start, nme in [
            (20, "fast", 0.05),
            (20, "ImageNet", 0.08),
            (40, "fast", 0.04),
            (40, "ImageNet", 0.06),
        ]
    ]
    rows = page_of(results, 120, "command").splitlines()[-2:]
    assert rows == [
        "| 20 | 5.00 | 5.0 | 8.00 | 5.0 |",
        "| 40 | 4.00 | 5.0 | 6.00 | 5.0 |",
    ]
    assert set(fine_tune.STARTS) == {"fast", "ImageNet"}


def test_the_threshold_of_eyes_has_the_lowest_sum_of_errors():
    # annotated and predicted: closed eyes read 0.12 to 0.20, open ones 0.24 and above
    closed = [[0.02, read] for read in (0.12, 0.15, 0.20)]
    opened = [[0.30, read] for read in (0.24, 0.30, 0.35)]
    half = [[0.12, 0.29]]
    eyes = np.array([*closed, *opened, *half])
    # every hundredth from 0.21 to 0.24 separates them
    assert eye_openness.best_threshold(eyes) in (0.22, 0.23)
    assert eye_openness.errors_at(eyes, 0.22) == (0, 0)
    assert eye_openness.errors_at(eyes, 0.13) == (2 / 3, 0)
    assert eye_openness.errors_at(eyes, 0.31) == (0, 2 / 3)
