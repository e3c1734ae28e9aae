"""Run MediaPipe's face mesh on a video with its own detector, tracking and smoothing.

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
            has_frame, frame = capture.read()
            if not has_frame:
                break
            image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            start = time.perf_counter()
            mesh_landmarks = mesh.process(image).multi_face_landmarks
            seconds += time.perf_counter() - start
            points = np.full((478, 2), np.nan)
            if mesh_landmarks:
                size = np.array([image.shape[1], image.shape[0]])
                # MediaPipe's unit square covers pixel areas; our origin is a pixel center
                points[:] = (
                    np.array([(p.x, p.y) for p in mesh_landmarks[0].landmark]) * size
                    - 0.5
                )
            rows.append(points)
    np.save(out, np.stack(rows))
    print(seconds)


if __name__ == "__main__":
    main()
