"""Coordinate of the center of the first pixel, by landmark file format.

Landmarks in this package start at 0; if a pixel spans 0 to 1, its center is at 0.5.
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
"""CVAT and Label Studio measure from the corner of the first pixel."""
