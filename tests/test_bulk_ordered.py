"""detect in several processes: the images, faces and errors of one, in order."""

import json
from pathlib import Path

import numpy as np

from bulk_jobs import MeanColor, write_images
from commands import call
from lineament.errors import InputError
from lineament.io.input_images import find_inputs, predict_images
from lineament.serving.bulk.ordered import predict_in_processes


def test_detect_with_several_processes_returns_images_in_order(tmp_path):
    folder = write_images(tmp_path / "in", 20, broken_every=20)
    images, _ = find_inputs([folder])
    here = list(predict_images(MeanColor(), images))
    there = list(predict_in_processes(MeanColor(), images, None, 2))
    assert [image for image, _, _ in there] == images
    for (_, _, faces), (_, pixels, found) in zip(here, there, strict=True):
        assert pixels is None
        if isinstance(faces, InputError):
            assert str(found) == str(faces)
        else:
            assert len(found) == len(faces)
            np.testing.assert_array_equal(found.landmarks, faces.landmarks)


def test_detect_prints_the_same_with_several_processes():
    pictures = Path(__file__).parents[1] / "docs" / "pictures"
    words = ("detect", pictures, "--model", "fast")
    code, text, _ = call(*words)
    assert code == 0
    one = [json.loads(line) for line in text.splitlines()]
    several = [
        json.loads(line) for line in call(*words, "--workers", 2)[1].splitlines()
    ]
    assert [found["image"] for found in one] == [found["image"] for found in several]
    for found, other in zip(one, several, strict=True):
        for face, same in zip(found["faces"], other["faces"], strict=True):
            assert np.allclose(face["landmarks"], same["landmarks"], atol=0.01)
