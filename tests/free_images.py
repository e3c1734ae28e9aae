"""20 test images derived from the freely licensed photos in docs/pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from lineament import read_image

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"


def free_images():
    """Return RGB images: original, rotated, resized, mirrored, dark, cropped, two side by side."""
    images = []
    for name in ("astronaut", "grace_hopper"):
        image = read_image(FOLDER / f"{name}.jpg")
        pillow = Image.fromarray(image)
        width, height = pillow.size
        images += [image, image[:, ::-1], image // 2, image[:, 60:260]]
        for angle in (20, -50, 90, 180):
            images.append(np.array(pillow.rotate(angle, expand=True)))
        images.append(np.array(pillow.resize((2 * width, 2 * height))))
    halves = [np.array(Image.fromarray(images[k]).resize((300, 300))) for k in (0, 9)]
    images.append(np.concatenate(halves, axis=1))
    images.append(np.array(Image.fromarray(images[0]).resize((170, 170))))
    return [np.ascontiguousarray(image) for image in images]
