"""Draw docs/pictures/drawn.jpg, the image of the README: two free portraits with their landmarks.

Usage: python docs/_site/draw_readme_picture.py
"""

from pathlib import Path

import cv2
import numpy as np

import lineament

PICTURES = Path(__file__).parents[1] / "pictures"
HEIGHT = 420


def main() -> None:
    panels = []
    for name in ("astronaut.jpg", "grace_hopper.jpg"):
        image = lineament.read_image(PICTURES / name)
        scale = 2 * HEIGHT / image.shape[0]
        boxes = (lineament.detect(image).boxes + 0.5) * scale - 0.5
        image = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC
        )
        drawn = lineament.draw_faces(image, lineament.detect(image, boxes=boxes))
        panels.append(
            cv2.resize(drawn, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        )
    lineament.save_image(
        PICTURES / "drawn.jpg", np.hstack([panel[:HEIGHT] for panel in panels])
    )


if __name__ == "__main__":
    main()
