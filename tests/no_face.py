"""Drawn photos without a face or with a boxed face, in the layout of detection/."""

import json

import cv2
import numpy as np

from faces import draw_face


def write_detection(root, count=14, boxed=14):
    """Write `count` photos of objects and of pets, and `boxed` of wider with one face each."""
    entries = []
    rng = np.random.default_rng(0)
    for kind in ("objects", "pets", "wider"):
        (root / "detection" / kind).mkdir(parents=True)
        for number in range(boxed if kind == "wider" else count):
            image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
            boxes = []
            if kind == "wider":
                image, landmarks = draw_face(number)
                boxes = [[*landmarks.min(0), *landmarks.max(0)], [2.0, 2, 9, 9]]
            file = f"{kind}/{kind}{number}.png"
            cv2.imwrite(str(root / "detection" / file), image[..., ::-1])
            entries.append({"file": file, "boxes_xyxy": boxes})
    path = root / "detection" / "annotations.json"
    path.write_text(json.dumps({"images": entries}))
