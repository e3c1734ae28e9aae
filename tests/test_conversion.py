"""The conversion of faces to the scheme of a protocol: landmarks, sigma and notes."""

from dataclasses import replace

import numpy as np
import pytest

from lineament.errors import ProtocolError
from lineament.evaluation.conversion import FaceConverter, can_score
from lineament.evaluation.protocols import protocol
from lineament.face import Face


def face(count: int, scheme: str) -> Face:
    points = np.random.default_rng(0).uniform(0, 100, (count, 2))
    return Face(
        points, np.ones(count), 1.0 + np.arange(count), (0, 0, 99, 99), 1.0, scheme
    )


def test_a_face_in_the_scheme_of_the_protocol_is_not_changed() -> None:
    convert, one = FaceConverter(protocol("300w-common")), face(68, "ibug68")
    landmarks, sigma = convert(one)
    assert np.array_equal(landmarks, one.landmarks)
    assert np.array_equal(sigma, one.sigma_px)
    assert (convert.source, convert.note) == ("", "")


def test_exact_points_keep_their_landmarks_and_sigma() -> None:
    convert, one = FaceConverter(protocol("talking-face-7")), face(68, "ibug68")
    landmarks, sigma = convert(one)
    # points of fgnet68 and the ibug68 points that are the same by definition
    pairs = ((27, 36), (29, 39), (34, 42), (32, 45), (67, 30), (48, 48), (54, 54))
    for target, source in pairs:
        assert np.array_equal(landmarks[target], one.landmarks[source])
        assert sigma[target] == one.sigma_px[source]
    assert (convert.source, convert.note) == ("ibug68", "")


def test_visibility_is_converted_like_sigma() -> None:
    seen = np.linspace(0, 1, 68)
    one = replace(face(68, "ibug68"), visible=seen)
    assert np.array_equal(FaceConverter(protocol("300w-common")).visible(one), seen)
    made = FaceConverter(protocol("talking-face-7")).visible(one)
    assert made[[27, 48]].tolist() == [seen[36], seen[48]]
    unknown = FaceConverter(protocol("talking-face-7")).visible(face(68, "ibug68"))
    assert np.isnan(unknown).all()


def test_a_scheme_that_lacks_points_of_the_protocol_is_rejected() -> None:
    with pytest.raises(
        ProtocolError, match=r"predicts 5 landmarks \(five\), from which .* cannot"
    ):
        FaceConverter(protocol("300w-common"))(face(5, "five"))


def test_a_model_is_scored_only_if_it_predicts_all_required_points() -> None:
    assert can_score("ibug68", protocol("300w-common"))
    assert can_score("ibug68", protocol("300w-common-five"))
    assert can_score("ibug68", protocol("mtfl-aflw"))
    # five points convert to five of the 68
    assert not can_score("five", protocol("300w-common"))
    assert not can_score("five", protocol("cfp30-val"))
    # no rule converts five points to 194
    assert not can_score("five", protocol("helen194-val"))
