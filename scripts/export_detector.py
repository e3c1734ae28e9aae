"""Export a trained face detector: python scripts/export_detector.py checkpoint.pt OUT.onnx --threshold T"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import torch

from lineament.data.detection.photos import read_detector_photos
from lineament.data.sample import data_root
from lineament.export.detector import export_detector
from lineament.inference.face_detector import shrink_or_enlarge
from lineament.io.image import read_image
from lineament.models.profile import multiply_adds, parameters
from lineament.training.checkpoint import load_checkpoint
from lineament.training.detector.trainer import load_detector

LIMITS = (
    "Faces under about 12 pixels are mostly missed. The roll was learnt from 2,000 faces with landmarks and turned "
    "photos. Trained on few photos (about 1,300 with boxes, 2,000 with landmarks): expect misses on unusual pictures. "
    "It finds faces and nothing else: it says nothing of who somebody is."
)
LICENCE = (
    "weights: research only, as the data; 300W, InfAnFace and WIDER FACE allow non-commercial research only; train on "
    "your own data with recipes/detector.toml for other uses"
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument(
    "--threshold",
    type=float,
    default=0.5,
    help="least score of a face, chosen on validation photos",
)
parser.add_argument("--support", type=int, default=1, help="cells a look whose mean scores a face")
parser.add_argument("--int8", action="store_true", help="quantize, calibrated on training photos")
parser.add_argument("--data", type=Path, help="the folder of the data sets, for --int8")
parser.add_argument(
    "--history", default="", help="a sentence on how the run departed from its recipe"
)
args = parser.parse_args()


def calibration_pictures(root, count=64, side=512):
    """Training photos of every kind, spread evenly, shrunk into squares."""
    photos = [photo for photo in read_detector_photos(root) if not photo.is_validation()]
    pictures = []
    for photo in photos[:: max(1, len(photos) // count)]:
        image = read_image(photo.image)
        scale = side / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        square = np.zeros((1, side, side, 3), np.uint8)
        square[0, : size[1], : size[0]] = shrink_or_enlarge(image, size)
        pictures.append(square)
    return pictures


net = load_detector(args.checkpoint)
state = load_checkpoint(args.checkpoint)
commit = subprocess.run(
    ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
).stdout.strip()
card = {
    "name": "detector",
    "kind": "face detector: scores, tight landmark boxes (brows to chin) and roll, strides 8-64",
    "input": "image: uint8 RGB (1, H, W, 3), H and W multiples of 32",
    "outputs": "scores (1, P), boxes (1, P, 4) x0 y0 x1 y1 in pixels, directions (1, P, 2) cosine and sine of the roll",
    "threshold": args.threshold,
    "support": args.support,
    "threshold_rule": "the least score with at most 1 false face in the held-back background pictures, rounded up",
    "parameters": parameters(net),
    "multiply_adds": multiply_adds(
        net, torch.zeros((1, 480, 640, 3), dtype=torch.uint8)
    ),  # at 640 x 480
    "data": "detection/wider, detection/masks, detection/background, 300W train, infanface/train, "
    "without the held-back tenth (SHA-1 of the photo's name 0 modulo 10)",
    "licence": LICENCE,
    "recipe": state["recipe"],
    "steps": state["step"],
    "history": args.history,
    "commit": commit,
    "limits": LIMITS,
}
export_detector(
    net, args.out, card, calibration_pictures(data_root(args.data)) if args.int8 else ()
)
