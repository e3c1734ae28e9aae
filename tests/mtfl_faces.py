"""Drawn faces in the layout of MTFL, for tests of attributes."""

import cv2

from faces import draw_face
from lineament.schemes import convert


def write_mtfl(root, seeds):
    """Write drawn faces in MTFL's layout; every second one smiles, by a bright mouth."""
    lines = []
    for seed in seeds:
        image, landmarks = draw_face(seed, 80)
        if seed % 2:
            mouth = landmarks[48:].mean(0).round().astype(int)
            cv2.circle(image, mouth.tolist(), 9, (255, 255, 255), -1)
        cv2.imwrite(str(root / f"{seed}.png"), image[..., ::-1])
        five = convert(landmarks, "ibug68", "five").points.T.ravel()
        numbers = " ".join(f"{value:.2f}" for value in five)
        # gender, smile, glasses, pose
        lines.append(f"{seed}.png {numbers} 1 {1 if seed % 2 else 2} 2 3")
    (root / "training.txt").write_text("\n".join(lines))
    (root / "testing.txt").write_text("")
