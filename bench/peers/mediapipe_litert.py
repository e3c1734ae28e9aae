"""Run only MediaPipe's face mesh model: the wheel's face_landmark.tflite in LiteRT (XNNPACK)."""

from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from contract import serve
from roi import square, warp_square

SIZE = 192
SIDE, DOWN = 1.6, -0.05


class Mesh:
    """The model on a given box."""

    scheme = "mediapipe478"
    batching = "one call of 64, LiteRT with 2 threads"

    def __init__(self, model: str) -> None:
        self.version = (
            f"ai-edge-litert {version('ai-edge-litert')}, model of mediapipe 0.10.21"
        )
        self.model = model
        self.one = self._net(1, 1)
        self.many: Interpreter | None = None

    def _net(self, faces: int, threads: int) -> Interpreter:
        net = Interpreter(self.model, num_threads=threads)
        net.resize_tensor_input(
            net.get_input_details()[0]["index"], [faces, SIZE, SIZE, 3]
        )
        net.allocate_tensors()
        return net

    @staticmethod
    def _run(net: Interpreter, inputs: np.ndarray) -> np.ndarray:
        net.set_tensor(net.get_input_details()[0]["index"], inputs)
        net.invoke()
        mesh = max(net.get_output_details(), key=lambda d: int(np.prod(d["shape"])))
        return net.get_tensor(mesh["index"]).reshape(len(inputs), 468, 3)[..., :2]

    @staticmethod
    def _input(image: np.ndarray, where: tuple[float, float, float]) -> np.ndarray:
        return warp_square(image, *where, SIZE).astype(np.float32) / 255

    @staticmethod
    def _to_image(mesh: np.ndarray, where: tuple[float, float, float]) -> np.ndarray:
        x, y, side = where
        # the model's origin is the corner of the first pixel of its crop
        points = np.full((478, 2), np.nan)
        points[:468] = (mesh - SIZE / 2) * side / SIZE + (x, y)
        return points

    def points(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
        where = square(box, SIDE, DOWN)
        return self._to_image(
            self._run(self.one, self._input(image, where)[None])[0], where
        )

    def network(self, image: np.ndarray, box: Sequence[float]) -> Callable[[], object]:
        crop = self._input(image, square(box, SIDE, DOWN))[None]
        return lambda: self._run(self.one, crop)

    def batch(
        self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]
    ) -> None:
        if self.many is None:
            self.many = self._net(len(images), 2)
        where = [square(box, SIDE, DOWN) for box in boxes]
        inputs = np.stack(
            [self._input(image, w) for image, w in zip(images, where, strict=True)]
        )
        for mesh, w in zip(self._run(self.many, inputs), where, strict=True):
            self._to_image(mesh, w)


if __name__ == "__main__":
    serve(lambda arguments: Mesh(*arguments))
