"""Draw the mean face of each cluster of a TCNN, to show what its features distinguish.

python -m bench.cluster_faces runs/tcnn/checkpoint.pt --out clusters.png
Needs LINEAMENT_DATA. The training faces of the checkpoint's recipe are averaged as plain crops.
"""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from lineament.data.crop_cache import plain_crops
from lineament.data.mixture import read_mixture
from lineament.data.sample import cache_root, data_root
from lineament.errors import RecipeError
from lineament.models.shared_features import SharedFeatureNet
from lineament.training.attribute_task import features_of
from lineament.training.build import load_trained

SIDE, BATCH = 120, 64


def mean_faces(net, sources, padding):
    """Return the mean crop of each cluster, (K, SIDE, SIDE, 3), and its number of faces, (K,)."""
    sums = np.zeros((net.clusters, SIDE, SIDE, 3))
    counts = np.zeros(net.clusters, int)
    for source in sources:
        features = torch.from_numpy(features_of(net, source.cache, padding)).float()
        chosen = net.cluster(features).numpy()
        row = 0
        for crops, _ in plain_crops(source.cache, SIDE, padding, BATCH):
            for crop in crops:
                sums[chosen[row]] += crop
                counts[chosen[row]] += 1
                row += 1
    return sums / np.maximum(counts, 1)[:, None, None, None], counts


def grid(faces, counts):
    """Return one image of all mean faces, labeled with cluster sizes, the largest first."""
    columns = math.ceil(math.sqrt(len(faces)))
    rows = math.ceil(len(faces) / columns)
    image = np.full((rows * SIDE, columns * SIDE, 3), 255, np.uint8)
    for place, number in enumerate(np.argsort(-counts)):
        y, x = SIDE * (place // columns), SIDE * (place % columns)
        face = faces[number].round().astype(np.uint8)
        cv2.putText(
            face, str(counts[number]), (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
            (255, 255, 0), 1, cv2.LINE_AA,
        )  # fmt: skip
        image[y : y + SIDE, x : x + SIDE] = face
    return image


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=Path("clusters.png"))
    options = parser.parse_args()
    net, recipe = load_trained(options.checkpoint)
    if not isinstance(net, SharedFeatureNet) or net.clusters == 1:
        raise RecipeError(
            f"{options.checkpoint} has no clusters; give the checkpoint of a TCNN"
        )
    m = recipe.model
    crop = m.size, m.padding
    sources, _ = read_mixture(
        recipe.data, recipe.scheme, data_root(None), cache_root(None), crop=crop
    )
    faces, counts = mean_faces(net, sources, m.padding)
    Image.fromarray(grid(faces, counts)).save(options.out)
    print(f"{options.out}: faces per cluster {sorted(counts.tolist(), reverse=True)}")


if __name__ == "__main__":
    main()
