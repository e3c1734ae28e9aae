"""hide.py: half of the face goes, the same half whoever asks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lineament.data.sample import Sample
from lineament.evaluation.evaluate import evaluate
from lineament.evaluation.occlude import hide_half
from lineament.evaluation.protocols import protocol
from lineament.face import Face, Faces
from lineament.schemes import scheme

LANDMARKS = scheme("ibug68").mean_shape * 100 + [120.0, 100.0]
SAMPLE = Sample(Path("a.png"), LANDMARKS, "ibug68", "a.png", subset="helen/testset")
NOISE = np.random.default_rng(0).integers(0, 255, (200, 240, 3), dtype=np.uint8)


def hidden_part(sample, image=NOISE):
    return (hide_half(image, sample) != image).any(-1)


@pytest.mark.parametrize("name", ["a.png", "b.png", "c.png", "d.png"])
def test_half_of_the_face_is_hidden_and_nothing_far_from_it(name):
    part = hidden_part(replace(SAMPLE, name=name))
    x0, y0, x1, y1 = SAMPLE.face_box()
    rows, columns = np.mgrid[0:200, 0:240]
    inside = (rows >= y0) & (rows <= y1) & (columns >= x0) & (columns <= x1)
    # the line goes through the centre of the square that is 1.1 times the box, whose sides are nearly equal
    assert part[inside].mean() == pytest.approx(0.5, abs=0.03)
    assert part.sum() == pytest.approx(0.5 * 110**2, rel=0.04)


def test_a_copy_of_the_set_in_another_format_has_the_same_half_hidden():
    for names in (
        ("lfpw/testset/image_0001.jpg", "lfpw/testset/image_0001.png"),
        ("v.webm#00012", "v.mp4#00012"),
    ):
        one, other = (hidden_part(replace(SAMPLE, name=name)) for name in names)
        assert np.array_equal(one, other)
    assert not np.array_equal(one, hidden_part(replace(SAMPLE, name="v.webm#00013")))


def test_the_half_depends_on_the_name_alone():
    assert np.array_equal(hidden_part(SAMPLE), hidden_part(SAMPLE))
    assert not np.array_equal(hidden_part(SAMPLE), hidden_part(replace(SAMPLE, name="b.png")))


def test_the_picture_given_stays_as_it_is():
    before = NOISE.copy()
    hide_half(NOISE, SAMPLE)
    assert np.array_equal(NOISE, before)


def test_the_masked_protocol_shows_the_model_a_hidden_half_and_differs_in_nothing_else():
    seen = []

    def predict(image, boxes):
        seen.append(image)
        face = Face(LANDMARKS, np.ones(68), np.ones(68), boxes[0], 1.0, "ibug68")
        return Faces((face,), "ibug68", 68, (240, 200))

    for which in ("300w-common", "300w-common-masked"):
        assert evaluate(predict, which, [SAMPLE], read=lambda sample: NOISE).nme == pytest.approx(
            0, abs=1e-9
        )
    assert np.array_equal(seen[0], NOISE)
    assert np.array_equal(seen[1], hide_half(NOISE, SAMPLE))
    plain, masked = (
        protocol(which).model_dump() for which in ("300w-common", "300w-common-masked")
    )
    assert {key for key in plain if plain[key] != masked[key]} == {"id", "title", "hidden"}
    assert any("half of every face" in line for line in protocol("300w-val-masked").describe())
