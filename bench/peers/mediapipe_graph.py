"""Run MediaPipe's face mesh with its own graph: the wheel's FaceLandmarkCpu on a given square.

`plain` is face_landmark.tflite (468 points), `attention` face_landmark_with_attention.tflite (478,
with irises).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import mediapipe
import numpy as np
from contract import serve
from google.protobuf import text_format
from mediapipe.framework import calculator_pb2
from mediapipe.framework.formats import rect_pb2
from mediapipe.python.solution_base import SolutionBase
from roi import square, warp_square

GRAPH = """
input_stream: "image"
input_stream: "roi"
input_side_packet: "with_attention"
output_stream: "landmarks"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:roi"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""
SIZE = 192
SIDE, DOWN = 1.6, -0.05


class Mesh:
    """The mesh on a given box."""

    scheme = "mediapipe478"
    batching = "no batch; 2 graphs on 2 threads"

    def __init__(self, kind: str = "plain") -> None:
        if kind not in ("plain", "attention"):
            raise ValueError(f"mesh {kind!r}; expected plain or attention")
        self.version = f"mediapipe {mediapipe.__version__}"
        self.attention = kind == "attention"
        self.graphs = [self._graph()]

    def _graph(self) -> SolutionBase:
        config = text_format.Parse(GRAPH, calculator_pb2.CalculatorGraphConfig())
        return SolutionBase(
            graph_config=config,
            side_inputs={"with_attention": self.attention},
            outputs=["landmarks"],
        )

    def _run(
        self, graph: SolutionBase, image: np.ndarray, roi: rect_pb2.NormalizedRect
    ) -> np.ndarray | None:
        mesh_landmarks = graph.process({"image": image, "roi": roi}).landmarks
        if mesh_landmarks is None:  # the mesh's score is below its threshold
            return None
        height, width = image.shape[:2]
        # MediaPipe's unit square covers pixel areas; our origin is the center of the first pixel
        unit = np.array([(p.x, p.y) for p in mesh_landmarks.landmark])
        return unit * (width, height) - 0.5

    def points(
        self, image: np.ndarray, box: Sequence[float], graph: SolutionBase | None = None
    ) -> np.ndarray | None:
        points = self._run(
            graph or self.graphs[0], image, roi_of(image, square(box, SIDE, DOWN))
        )
        if points is None or len(points) == 478:
            return points
        return np.vstack([points, np.full((478 - len(points), 2), np.nan)])

    def network(self, image: np.ndarray, box: Sequence[float]) -> Callable[[], object]:
        """Return a function that runs the graph on a crop of the model's size, for timing."""
        crop = warp_square(image, *square(box, SIDE, DOWN), SIZE)
        full_crop = rect_pb2.NormalizedRect(
            x_center=0.5, y_center=0.5, width=1.0, height=1.0
        )
        return lambda: self.graphs[0].process({"image": crop, "roi": full_crop})

    def batch(
        self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]
    ) -> None:
        if len(self.graphs) < 2:
            self.graphs.append(self._graph())

        def half(k: int) -> None:
            for image, box in zip(images[k::2], boxes[k::2], strict=True):
                self.points(image, box, self.graphs[k])

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(half, range(2)))


def roi_of(
    image: np.ndarray, wanted: tuple[float, float, float]
) -> rect_pb2.NormalizedRect:
    """Convert a square in our pixels to MediaPipe's rectangle in its unit square."""
    height, width = image.shape[:2]
    x, y, side = wanted
    return rect_pb2.NormalizedRect(
        x_center=(x + 0.5) / width,
        y_center=(y + 0.5) / height,
        width=side / width,
        height=side / height,
    )


if __name__ == "__main__":
    serve(lambda arguments: Mesh(*arguments))
