"""The image cache of the detector returns every pixel and refuses a broken file."""

import cv2
import pytest

from detector_photos import write_photos
from lineament.data.detection.image_cache import ImageCache
from lineament.errors import DataError


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


def test_a_cache_returns_every_pixel_and_rejects_a_broken_file(photos, tmp_path):
    cache = ImageCache(tmp_path, photos)
    assert len(cache) == len(photos)
    for i, photo in enumerate(photos):
        assert (cache[i] == cv2.imread(str(photo.image))[..., ::-1]).all()
    (pixels,) = tmp_path.glob("*.npy")
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"a broken cache .*; delete it and run again"):
        ImageCache(tmp_path, photos)
    with pytest.raises(DataError, match="no images to cache"):
        ImageCache(tmp_path, [])
