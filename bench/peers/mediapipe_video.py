"""Run MediaPipe's face mesh on a video as its users do: own detector, tracking and smoothing.

python mediapipe_video.py VIDEO OUT.npy writes the points (T, 478, 2) of the first face, nan without
one, and prints the seconds taken without decoding.
"""

import sys
import time

import cv2
import mediapipe
import numpy as np


def main() -> None:
    """Track, write and print."""
    video, out = sys.argv[1:]
    capture, rows, seconds = cv2.VideoCapture(video), [], 0.0
    with mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=False, refine_landmarks=True
    ) as mesh:
        while True:
            there, frame = capture.read()
            if not there:
                break
            image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            start = time.perf_counter()
            found = mesh.process(image).multi_face_landmarks
            seconds += time.perf_counter() - start
            points = np.full((478, 2), np.nan)
            if found:
                size = np.array([image.shape[1], image.shape[0]])
                # Its unit square covers pixel areas; our pixels count from the center of the first.
                points[:] = (
                    np.array([(p.x, p.y) for p in found[0].landmark]) * size - 0.5
                )
            rows.append(points)
    np.save(out, np.stack(rows))
    print(seconds)


if __name__ == "__main__":
    main()
