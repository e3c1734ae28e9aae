"""Rules of the tracker: when faces are tracked, lost, confirmed and reacquired."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackRules:
    """Rules for tracking, losing and reacquiring faces.

    Lengths are fractions of the longer side of the face's box.
    """

    detect_every: int = 15
    """Frames between two runs of the detector while every face is tracked."""
    detect_every_when_lost: int = 2
    """Frames between two runs while there is no face, or one is lost or unconfirmed."""
    max_lost_s: float = 2.0
    """Seconds for which a lost face keeps its track id."""
    max_step: float = 0.6
    """Maximum distance that a face moves between two frames."""
    max_scale_change: float = 1.4
    """Maximum factor by which the size of a face changes between two frames."""
    max_turn_deg_per_s: float = 500.0
    """Maximum rotation speed of a face in the image plane: 17 degrees between frames at
    30 Hz. Heads rotate far more slowly; landmarks that flip upside down rotate faster."""
    max_nested_area: float = 0.5
    """A track inside a better one ends if its area is at most this fraction of the other's,
    because it is an eye or half a face. A larger one is a person passing another."""
    duplicate_distance: float = 0.25
    """Mean landmark distance below which two tracks follow the same face."""
    new_face_score: float = 0.6
    """Detector score below which a new face is unconfirmed, except in the first frame.
    Unconfirmed faces are not reported. At this score the packaged detector has few false
    positives."""
    new_face_presence: float = 0.95
    """The same threshold for presence, used instead of the score if the model predicts it."""
    min_hits: int = 3
    """Consecutive detections needed to confirm a face."""
    confirm_score: float = 0.8
    """Mean landmark score that is also needed to confirm a face."""
    keep_score: float = 0.7
    """Mean landmark score above which a face is kept although it is no longer detected."""
    keep_presence: float = 0.3
    """Minimum presence of a tracked face in every frame, if the model predicts it; the
    predictor's `min_presence` then replaces `confirm_score` and `keep_score`."""
    max_misses: int = 2
    """Consecutive missed detections that end a track with a score below `keep_score`."""
    reid_similarity: float = 0.85
    """Appearance correlation above which a lost face is reacquired anywhere in the image."""
    reid_similarity_nearby: float = 0.6
    """The same near the place where it was lost, where another person is less likely."""
    reid_similarity_cut: float = 0.4
    """The same near that place, for a face that is still cut off by the image border."""
    flash_change: float = 0.12
    """Sudden color change, in standard deviations, after which tracked faces are verified."""
    cut_change: float = 0.5
    """Sudden color change that starts a new scene, which invalidates earlier positions."""


RULES = TrackRules()
