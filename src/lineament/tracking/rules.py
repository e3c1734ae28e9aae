"""Rules of the tracker: when faces are tracked, lost, confirmed and reacquired."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackRules:
    """Rules for tracking, losing and reacquiring faces. Lengths are in box sides."""

    detect_every: int = 15
    """Frames between two runs of the detector while every face is tracked."""
    detect_every_when_lost: int = 2
    """Frames between two runs while there is no face, or while one is lost or doubtful."""
    max_lost_s: float = 2.0
    """Seconds for which a lost face keeps its track id."""
    max_step: float = 0.6
    """Largest distance that a face moves between two frames."""
    max_scale_change: float = 1.4
    """Largest factor by which the size of a face changes between two frames."""
    max_turn_deg_per_s: float = 500.0
    """Highest speed at which a face turns in the image plane: 17 degrees between frames
    at 30 Hz. Heads turn far more slowly, landmarks that flip over turn faster."""
    max_nested_area: float = 0.5
    """A track inside a better one ends if its area is at most this fraction of the
    better one's: it is an eye or half a face. Larger ones are people passing each other."""
    duplicate_distance: float = 0.25
    """Mean landmark distance below which two tracks follow the same face."""
    new_face_score: float = 0.6
    """Detector score below which a new face is doubtful, except in the first frame;
    doubtful faces are not reported until they are confirmed. At this score the packaged
    detector has few false positives."""
    new_face_presence: float = 0.95
    """The same threshold for presence, which replaces the score if the model predicts it."""
    min_hits: int = 3
    """Consecutive detections that confirm a doubtful face."""
    confirm_score: float = 0.8
    """Mean landmark score that is also needed to confirm a doubtful face."""
    keep_score: float = 0.7
    """Mean landmark score above which a face is kept that the detector no longer finds."""
    keep_presence: float = 0.3
    """Presence that a tracked face needs in every frame, if the model predicts it; then
    the predictor's `min_presence` replaces the two scores above."""
    max_misses: int = 2
    """Consecutive misses after which the track of a face with a lower score ends."""
    reid_similarity: float = 0.85
    """Correlation of appearances above which a lost face is reacquired anywhere."""
    reid_similarity_nearby: float = 0.6
    """The same near the place where it was lost, where another person is less likely."""
    reid_similarity_cut: float = 0.4
    """The same near that place, for a face that is still cut off by the image border."""
    flash_change: float = 0.12
    """Sudden color change, in standard deviations, after which faces are checked."""
    cut_change: float = 0.5
    """Sudden color change that starts a new scene, in which earlier positions do not count."""


RULES = TrackRules()
