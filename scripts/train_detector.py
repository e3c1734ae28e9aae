"""Train the face detector: python scripts/train_detector.py recipes/detector.toml --out runs/detector"""

import argparse
from pathlib import Path

import cv2

from lineament.data.sample import data_root
from lineament.training.detector.trainer import read_detector_recipe, train_detector

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("recipe", type=Path)
parser.add_argument(
    "--out", type=Path, required=True, help="folder of checkpoints and log; a run there is resumed"
)
parser.add_argument(
    "--data", type=Path, help="the data folder; default: $LINEAMENT_DATA, else data"
)
parser.add_argument(
    "--cache", type=Path, default=Path("cache/detector"), help="folder for decoded pictures, 2 GB"
)
args = parser.parse_args()
cv2.setNumThreads(1)
train_detector(read_detector_recipe(args.recipe), data_root(args.data), args.cache, args.out)
