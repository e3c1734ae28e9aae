"""MediaPipe's face mesh as its users run it on a video: its own detector, tracking and smoothing.

python mediapipe_video.py VIDEO OUT.npy: writes the points (T, 478, 2) of the first face, nan where there is none, and
prints the seconds taken, decoding left out.
"""

import sys
import time

import cv2
import mediapipe
import numpy as np


def main() -> None:
    """Track, write, print."""
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
                # its unit square covers the pixel areas; ours counts from the first pixel's centre
                points[:] = np.array([(p.x, p.y) for p in found[0].landmark]) * size - 0.5
            rows.append(points)
    np.save(out, np.stack(rows))
    print(seconds)


if __name__ == "__main__":
    main()
