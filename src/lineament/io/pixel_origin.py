"""The coordinate of the center of the first pixel, by format of landmark files.

Landmarks in this package count from 0; a pixel that spans 0 to 1 has its center at 0.5.
"""

FIRST_PIXEL: dict[str, float] = {
    "pts": 1.0,
    "coco": 0.0,
    "cvat": 0.5,
    "label-studio": 0.5,
    "yolo": 0.0,
    "dlib": 0.0,
    "csv": 0.0,
}
"""The files of CVAT and Label Studio count from the corner of the first pixel."""
