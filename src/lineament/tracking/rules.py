"""Rules of the tracker: when a face is followed, lost, confirmed and reacquired."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackRules:
    """Rules of following, losing and finding faces. Lengths are in box sides."""

    detect_every: int = 15
    """Frames between two runs of the detector while every face is followed."""
    detect_every_when_lost: int = 2
    """The same while there is no face, or one is lost or doubtful."""
    max_lost_s: float = 2.0
    """Seconds for which a lost face keeps its track id."""
    max_step: float = 0.6
    """Distance that a face moves between two frames, at most."""
    max_scale_change: float = 1.4
    """Factor by which the size of a face changes between two frames, at most."""
    max_turn_deg_per_s: float = 500.0
    """Speed at which a face turns in the image plane, at most, 17 degrees between frames
    at 30 Hz; heads turn far more slowly, landmarks that flip over turn faster."""
    max_nested_area: float = 0.5
    """Area of a track within a better one, as a part of that, up to which it ends: an
    eye or half a face. Larger ones are persons that pass each other."""
    duplicate_distance: float = 0.25
    """Mean landmark distance below which two tracks follow the same face."""
    new_face_score: float = 0.6
    """Detector score below which a new face is doubtful, except in the first frame;
    doubtful faces are not reported until they are confirmed. At this score the packaged
    detector has few false positives."""
    new_face_presence: float = 0.95
    """The same of its presence, if the model predicts it, in place of the score."""
    min_hits: int = 3
    """Consecutive detections that confirm a doubtful face."""
    confirm_score: float = 0.8
    """Mean landmark score that confirming a doubtful face also needs."""
    keep_score: float = 0.7
    """Mean landmark score that keeps a face which the detector no longer finds."""
    keep_presence: float = 0.3
    """Presence that a followed face needs in every frame, if the model predicts it; then
    the predictor's `min_presence` takes the place of the two scores above."""
    max_misses: int = 2
    """Consecutive misses that end the track of a face of a lower score."""
    reid_similarity: float = 0.85
    """Correlation of appearances above which a face may have returned anywhere."""
    reid_similarity_nearby: float = 0.6
    """The same near where it was lost, where another person is less likely."""
    reid_similarity_cut: float = 0.4
    """The same there for a face that the image border still cuts."""
    flash_change: float = 0.12
    """Sudden color change, in standard deviations, after which faces are checked."""
    cut_change: float = 0.5
    """The same of a new scene, in which earlier positions no longer count."""


RULES = TrackRules()
