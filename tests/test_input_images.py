"""Input images: found, named uniquely, read in batches, predicted in order."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineament.errors import DataError, ImageError, InputError, ShapeError
from lineament.io.image import read_image
from lineament.io.input_images import (
    find_inputs,
    predict_images,
    read_boxes,
    read_images,
)
from lineament.io.media_files import find_images
from odd_images import PICTURE, encoded, write
from small_faces import face, faces_of, write_pictures


class Counting:
    """A fake predictor: one face per image, at its first red value; records batch sizes."""

    def __init__(self):
        self.batches = []

    def __call__(self, images, boxes=None):
        self.batches.append(len(images))
        self.boxes = boxes
        return [faces_of(face(float(image[0, 0, 0]))) for image in images]


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "a")


def test_images_keep_their_relative_path_and_have_unique_names(pictures):
    images, failures = find_inputs([pictures])
    assert [image.name for image in images] == ["0", "b/1", "b/1.png", "broken"]
    assert failures == []


def test_files_with_the_same_name_from_two_folders_get_different_names(pictures):
    other = pictures.parent / "0.png"
    other.write_bytes((pictures / "0.png").read_bytes())
    third = pictures / "b" / "0.png"
    third.write_bytes((pictures / "0.png").read_bytes())
    images, _ = find_inputs([pictures / "0.png", other, third, pictures / "0.png"])
    assert [image.name for image in images] == ["0", "0.png", "0.png-2"]


@pytest.mark.parametrize("order", [("IMG", "IMG_1"), ("IMG_1", "IMG")])
def test_names_of_images_do_not_collide_with_names_of_faces(order, tmp_path):
    paths = [tmp_path / f"{name}.png" for name in order]
    for path in paths:
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path)
    assert [image.name for image in find_inputs(paths)[0]] == [
        order[0],
        f"{order[1]}.png",
    ]


def test_results_below_a_folder_are_no_inputs(pictures):
    drawn = pictures / "b" / "0.drawn.jpg"
    drawn.write_bytes((pictures / "b" / "1.jpg").read_bytes())
    names = [image.name for image in find_inputs([pictures], pictures / "b")[0]]
    assert names == ["0", "broken"]
    assert "b/0.drawn" not in [
        image.name for image in find_inputs([pictures], pictures)[0]
    ]
    assert "b/1" in [image.name for image in find_inputs([pictures], pictures)[0]]
    assert (
        len(find_inputs([drawn], pictures / "b")[0]) == 1
    )  # unless it is named explicitly


def test_one_bad_box_of_a_batch_fails_its_image_only(pictures):
    def predict(images, boxes):
        if any(np.min(box) > 100 for box in boxes):
            raise ShapeError("box 0 is outside the picture")
        return [faces_of(face()) for _ in images]

    images, _ = find_inputs([pictures / "0.png", pictures / "b"])
    boxes = {
        "0.png": [[1, 2, 3, 4]],
        "1.png": [[500, 500, 520, 520]],
        "1.jpg": [[1, 2, 3, 4]],
    }
    results = {
        image.path.name: found
        for image, _, found in predict_images(predict, images, boxes)
    }
    assert "outside the picture" in str(results["1.png"])
    assert len(results["0.png"]) == len(results["1.jpg"]) == 1


def test_a_pattern_keeps_places_below_its_fixed_part(pictures):
    images, _ = find_inputs([str(pictures / "*" / "1.*")])
    assert [image.name for image in images] == ["b/1", "b/1.png"]


def test_a_path_without_images_is_listed_as_a_failure(pictures):
    images, failures = find_inputs([pictures / "absent.jpg", pictures / "0.png"])
    assert len(images) == 1
    assert "absent.jpg: no such file or folder" in failures[0].reason


def test_names_of_images_do_not_collide_with_the_settings_file(pictures):
    (pictures / "lineament.png").write_bytes((pictures / "0.png").read_bytes())
    names = [image.name for image in find_inputs([pictures / "lineament.png"])[0]]
    assert names == ["lineament.png"]


def test_images_are_returned_in_order_with_faces_or_an_error(pictures):
    images, _ = find_inputs([pictures])
    results = list(predict_images(Counting(), images))
    assert [image.name for image, _, _ in results] == ["0", "b/1", "b/1.png", "broken"]
    assert isinstance(results[3][2], InputError)
    assert results[3][1] is None
    # a/0.png is all 0, a/b/1.png all 1, a/b/1.jpg all 2; .jpg sorts first
    assert [result[2][0].landmarks[0, 0] for result in results[:3]] == [10, 12, 11]


def test_images_are_predicted_in_small_batches(tmp_path):
    for number in range(19):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(
            tmp_path / f"{number:02}.png"
        )
    predict = Counting()
    assert len(list(predict_images(predict, find_inputs([tmp_path])[0]))) == 19
    assert predict.batches == [8, 8, 3]


def test_boxes_are_given_per_image_and_an_image_without_is_an_error(pictures):
    predict = Counting()
    images, _ = find_inputs([pictures / "0.png", pictures / "b"])
    boxes = {"0.png": [[1, 2, 3, 4]], "1.png": [[5, 6, 7, 8]]}
    results = list(predict_images(predict, images, boxes))
    assert predict.boxes == [[[5, 6, 7, 8]]]
    assert [isinstance(found, InputError) for _, _, found in results] == [
        False,
        True,
        False,
    ]
    assert "1.jpg: no boxes given for this image; add it to the file of boxes" in str(
        results[1][2]
    )


def test_a_file_of_boxes_is_an_object_per_image(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text('{"a.jpg": [[1, 2, 3, 4]]}')
    assert read_boxes(path) == {"a.jpg": [[1, 2, 3, 4]]}
    path.write_text("[1]")
    with pytest.raises(DataError, match="of type list; expected an object"):
        read_boxes(path)
    with pytest.raises(DataError, match="cannot be read as boxes"):
        read_boxes(tmp_path / "absent.json")


def test_a_batch_lists_what_failed_and_continues(tmp_path: Path) -> None:
    good, bad = (
        write(tmp_path, "1.png", encoded(PICTURE, "PNG")),
        write(tmp_path, "2.png", b""),
    )
    last = write(tmp_path, "3.png", encoded(PICTURE, "PNG"))
    results = list(read_images([tmp_path, tmp_path / "absent.png", PICTURE]))
    assert [source for source, _ in results[:4]] == [
        good,
        bad,
        last,
        tmp_path / "absent.png",
    ]
    kinds = [isinstance(result, ImageError) for _, result in results]
    assert kinds == [False, True, False, True, False]
    assert re.search("empty", str(results[1][1]))
    assert np.array_equal(results[4][1], PICTURE)


def test_without_sources_the_batch_is_empty() -> None:
    assert list(read_images([])) == []
    assert find_images([]) == []


def test_no_two_names_differ_only_in_case(tmp_path):
    paths = [tmp_path / name for name in ("a/IMG.png", "b/img.png", "c/Lineament.png")]
    for path in paths:
        path.parent.mkdir()
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path)
    names = [image.name for image in find_inputs(paths)[0]]
    assert names == ["IMG", "img.png", "Lineament.png"]


def test_an_empty_stream_without_seek_raises_one_clear_error():
    class Stream:
        def read(self):
            return b""

    with pytest.raises(ImageError, match="Stream object: empty"):
        read_image(Stream())
