"""Occluding half of a face: the right half of the area, and the same one in every run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lineament.data.sample import Sample
from lineament.evaluation.evaluate import evaluate
from lineament.evaluation.occlude import occlude_half
from lineament.evaluation.protocols import protocol
from lineament.face import Face, Faces
from lineament.schemes import scheme

LANDMARKS = scheme("ibug68").mean_shape * 100 + [120.0, 100.0]
SAMPLE = Sample(Path("a.png"), LANDMARKS, "ibug68", "a.png", subset="helen/testset")
NOISE = np.random.default_rng(0).integers(0, 255, (200, 240, 3), dtype=np.uint8)


def occluded_part(sample, image=NOISE):
    return (occlude_half(image, sample)[0] != image).any(-1)


@pytest.mark.parametrize("name", ["a.png", "b.png", "c.png", "d.png"])
def test_half_of_the_face_is_occluded_and_its_surroundings_are_not(name):
    part = occluded_part(replace(SAMPLE, name=name))
    x0, y0, x1, y1 = SAMPLE.face_box()
    rows, columns = np.mgrid[0:200, 0:240]
    inside = (rows >= y0) & (rows <= y1) & (columns >= x0) & (columns <= x1)
    # The line passes through the center of a square of 1.1 box sides; the box is nearly square.
    assert part[inside].mean() == pytest.approx(0.5, abs=0.03)
    assert part.sum() == pytest.approx(0.5 * 110**2, rel=0.04)


def test_the_occluded_half_does_not_depend_on_the_image_format():
    for names in (
        ("lfpw/testset/image_0001.jpg", "lfpw/testset/image_0001.png"),
        ("v.webm#00012", "v.mp4#00012"),
    ):
        one, other = (occluded_part(replace(SAMPLE, name=name)) for name in names)
        assert np.array_equal(one, other)
    assert not np.array_equal(one, occluded_part(replace(SAMPLE, name="v.webm#00013")))


def test_the_half_depends_only_on_the_name():
    assert np.array_equal(occluded_part(SAMPLE), occluded_part(SAMPLE))
    assert not np.array_equal(
        occluded_part(SAMPLE), occluded_part(replace(SAMPLE, name="b.png"))
    )


@pytest.mark.parametrize("name", ["a.png", "b.png"])
def test_occluded_landmarks_are_not_visible(name):
    sample = replace(SAMPLE, name=name)
    part = occluded_part(sample)
    _, face = occlude_half(NOISE, sample)
    x, y = LANDMARKS.round().astype(int).T
    # noise may equal the color at single pixels, which no landmark of these has
    assert np.array_equal(face.visible, ~part[y, x])
    assert 10 < face.visible.sum() < 58
    turned = replace(sample, visible=np.arange(68) > 30)
    _, face = occlude_half(NOISE, turned)
    assert np.array_equal(face.visible, ~part[y, x] & turned.visible)


def test_a_landmark_that_is_unknown_or_outside_the_image_is_not_occluded():
    landmarks = LANDMARKS.copy()
    landmarks[3], landmarks[4] = np.nan, (-50, 100)
    _, face = occlude_half(
        NOISE, replace(SAMPLE, landmarks=landmarks, box=SAMPLE.face_box())
    )
    assert face.visible[3]
    assert face.visible[4]


def test_predicted_visibility_is_measured_on_occluded_faces():
    def predict(image, boxes):
        _, truth = occlude_half(NOISE, SAMPLE)
        face = Face(LANDMARKS, np.ones(68), np.ones(68), boxes[0], 1.0, "ibug68")
        face = replace(face, visible=np.where(truth.visible, 0.9, 0.2))
        return Faces((face,), "ibug68", 68, (240, 200))

    for which, expected in (("300w-common", None), ("300w-common-masked", 1.0)):
        report = evaluate(predict, which, [SAMPLE], read=lambda sample: NOISE)
        assert report.visibility_auc == expected


def test_the_given_image_is_not_changed():
    before = NOISE.copy()
    occlude_half(NOISE, SAMPLE)
    assert np.array_equal(NOISE, before)


def test_the_masked_protocol_shows_an_occluded_half_and_differs_in_nothing_else():
    seen = []

    def predict(image, boxes):
        seen.append(image)
        face = Face(LANDMARKS, np.ones(68), np.ones(68), boxes[0], 1.0, "ibug68")
        return Faces((face,), "ibug68", 68, (240, 200))

    for which in ("300w-common", "300w-common-masked"):
        assert evaluate(
            predict, which, [SAMPLE], read=lambda sample: NOISE
        ).nme == pytest.approx(0, abs=1e-9)
    assert np.array_equal(seen[0], NOISE)
    assert np.array_equal(seen[1], occlude_half(NOISE, SAMPLE)[0])
    plain, masked = (
        protocol(which).model_dump() for which in ("300w-common", "300w-common-masked")
    )
    assert {key for key in plain if plain[key] != masked[key]} == {
        "id",
        "title",
        "occluded",
    }
    assert any(
        "half of every face" in line for line in protocol("300w-val-masked").describe()
    )
