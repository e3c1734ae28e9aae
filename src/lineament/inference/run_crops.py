"""Run a landmark model on crops of faces and map the results back to the images."""

from collections.abc import Sequence

import numpy as np

from ..crop import warp_all
from ..estimator import CropRequest, LandmarkModel
from ..geometry import Image, affine_scale, apply_affine, crop_affine, invert_affine
from .box_shape import replace_unlearned
from .face_landmarks import FaceLandmarks
from .flip import PredictCallable
from .processors import usable_cores
from .recurrent_state import RecurrentState


def run_crops(
    model: LandmarkModel,
    predict_crops: PredictCallable,
    images: Sequence[Image],
    requests: Sequence[CropRequest],
    never_learned: Sequence[int] = (),
    threads: int = 0,
    state: RecurrentState | None = None,
) -> FaceLandmarks:
    """Run a model once per face, without re-cropping.

    Args:
        model: The model, which defines size and padding of crops.
        predict_crops: Its `predict`, or a version with flip averaging; used without `state`.
        images: RGB images, (H, W, 3) each.
        requests: One crop request per face.
        never_learned: Indices of points without training examples.
        threads: Threads that make crops; 0: one per core.
        state: State of the same faces after the previous frame.
    """
    if not requests:
        none = np.zeros((0, model.points))
        landmarks = np.zeros((0, model.points, 2))
        return FaceLandmarks(landmarks, none, none, np.zeros(0), none)
    affines = np.empty((len(requests), 2, 3))
    for k, r in enumerate(requests):
        affines[k] = crop_affine(r.box, model.size, model.padding, r.roll_deg)
    crop_images = [images[request.image] for request in requests]
    crops = warp_all(crop_images, list(affines), model.size, threads or usable_cores())
    if state is None:
        predicted = predict_crops(crops)
    else:
        predicted = model.predict(crops, state.moved_to(affines, model.size))
    landmarks = np.empty(predicted.landmarks_crop.shape)
    scales = np.empty((len(requests), 1))
    for k, affine in enumerate(affines):
        landmarks[k] = apply_affine(invert_affine(affine), predicted.landmarks_crop[k])
        scales[k] = affine_scale(affine)
    kept = (
        None if predicted.memory is None else RecurrentState(predicted.memory, affines)
    )
    scores = predicted.scores.astype(np.float64)
    presence, visible = np.full(len(scores), np.nan), np.full_like(scores, np.nan)
    if predicted.presence is not None:
        presence[:] = predicted.presence
    if predicted.visible is not None:
        visible[:] = predicted.visible
    sigma_px = predicted.sigma_px / scales
    replace_unlearned(landmarks, scores, never_learned)
    states = presence, visible, kept
    attributes = {}
    for name, values in predicted.attributes.items():
        attributes[name] = values.astype(np.float64)
    return FaceLandmarks(landmarks, scores, sigma_px, *states, attributes)
