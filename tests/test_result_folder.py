"""Result folders: one record per image, kept between runs, written in other formats."""

import json
import os
from pathlib import Path

import pytest

from lineament.errors import DataError
from lineament.io.input_images import find_inputs
from lineament.io.result_folder import ResultFolder
from small_faces import face, faces_of, write_pictures

SETTINGS = {"model": "fast", "scheme": "five", "boxes": "detected"}


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "a")


def test_the_record_of_another_image_is_an_error(pictures, tmp_path):
    (image,), _ = find_inputs([pictures / "0.png"])
    folder = ResultFolder(tmp_path / "out", SETTINGS)
    folder.write(image, faces_of(face()))
    other = tmp_path / "other" / "0.png"
    other.parent.mkdir()
    other.write_bytes(image.path.read_bytes())
    with pytest.raises(
        DataError,
        match=r"0\.json is the result of .*a/0\.png, not of .*other/0\.png; choose another --out",
    ):
        folder.has(find_inputs([other])[0][0])
    folder.path(image).write_text('{"mine": 1}')
    with pytest.raises(
        DataError,
        match=r"0\.json is not a result of .*0\.png; choose another --out, or add --overwrite",
    ):
        folder.has(image)


def test_other_boxes_make_another_result(pictures, tmp_path):
    (image,), _ = find_inputs([pictures / "0.png"])
    for boxes, known in (
        ([[1, 1, 9, 9]], False),
        ([[1, 1, 9, 9]], True),
        ([[3, 3, 9, 9]], False),
    ):
        folder = ResultFolder(tmp_path / "out", SETTINGS, boxes={"0.png": boxes})
        assert folder.has(image) is known
        folder.write(image, faces_of(face()))


def test_foreign_pts_files_are_kept_and_outdated_own_ones_are_deleted(
    pictures, tmp_path
):
    (image,), _ = find_inputs([pictures / "0.png"])
    out = tmp_path / "out"
    out.mkdir()
    (out / "0.pts").write_text("mine")
    folder = ResultFolder(out, SETTINGS)
    folder.write(image, faces_of(face()))
    with pytest.raises(
        DataError,
        match=r"0\.pts is not a result of this folder; choose another --out, or add --overwrite",
    ):
        folder.export([image], "pts", "five")
    assert (out / "0.pts").read_text() == "mine"
    (out / "0.pts").unlink()
    for found, names in (
        ((face(), face(9)), ["0_1.pts", "0_2.pts"]),
        ((face(),), ["0.pts"]),
    ):
        folder.write(image, faces_of(*found))
        folder.export([image], "pts", "five")
        assert sorted(path.name for path in out.glob("*.pts")) == names


def test_a_record_reads_back_with_the_size_of_the_image(pictures, tmp_path):
    images, _ = find_inputs([pictures / "0.png"])
    folder = ResultFolder(tmp_path / "out", SETTINGS)
    assert not folder.has(images[0])
    folder.write(images[0], faces_of(face(0.25)))
    assert folder.has(images[0])
    assert not folder.has(images[0], drawn=True)
    image, faces = folder.read(images[0])
    assert image == str(pictures / "0.png")
    assert faces.image_size == (40, 30)
    assert (faces[0].landmarks == face(0.25).landmarks).all()
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_record_of_other_bytes_of_its_image_does_not_count(pictures, tmp_path):
    (image,), _ = find_inputs([pictures / "0.png"])
    folder = ResultFolder(tmp_path / "out", SETTINGS)
    folder.write(image, faces_of(face()))
    before = image.path.stat().st_mtime_ns
    image.path.write_bytes((pictures / "b" / "1.png").read_bytes())
    os.utime(image.path, ns=(before, before))  # as `cp --preserve` leaves it
    assert not folder.has(image)
    folder.write(image, faces_of(face()))
    assert folder.has(image)
    assert not ResultFolder(tmp_path / "out", SETTINGS, overwrite=True).has(image)


def test_touched_files_are_not_recomputed_but_changed_settings_recompute_all(
    pictures, tmp_path
):
    images, _ = find_inputs([pictures / "0.png", pictures / "b" / "1.png"])
    out = tmp_path / "out"
    folder = ResultFolder(out, SETTINGS)
    for image in images:
        folder.write(image, faces_of(face()))
    folder.export(images, "pts", "five")
    for path in (out / "lineament.json", images[0].path):
        for when in (1, 2**32):
            os.utime(path, (when, when))
            again = ResultFolder(out, SETTINGS)
            assert all(again.has(image) for image in images)
            again.export(images, "pts", "five")
    (out / "lineament.json").unlink()
    assert all(ResultFolder(out, SETTINGS).has(image) for image in images)
    # a run of other settings that was interrupted has replaced one result of two
    other = ResultFolder(out, {**SETTINGS, "model": "x"}, overwrite=True, images=images)
    other.write(images[0], faces_of(face()))
    other = ResultFolder(out, {**SETTINGS, "model": "x"})
    assert [other.has(image) for image in images] == [True, False]


def test_a_folder_of_other_settings_is_rejected_unless_overwritten(tmp_path):
    ResultFolder(tmp_path, SETTINGS)
    ResultFolder(tmp_path, SETTINGS)
    with pytest.raises(
        DataError,
        match=r"contains results with model fast \(this run: accurate\); .*--overwrite",
    ):
        ResultFolder(tmp_path, {**SETTINGS, "model": "accurate"})
    with pytest.raises(
        DataError, match=r"results with min_face not set \(this run: 40px\); choose"
    ):
        ResultFolder(tmp_path, {**SETTINGS, "min_face": "40px"})
    ResultFolder(tmp_path, {**SETTINGS, "model": "accurate"}, overwrite=True)
    (tmp_path / "lineament.json").write_text("broken")
    with pytest.raises(DataError, match="contains results with unknown settings"):
        ResultFolder(tmp_path, SETTINGS)


def test_results_of_different_settings_are_not_mixed_in_one_folder(pictures, tmp_path):
    images, _ = find_inputs([pictures / "0.png", pictures / "b" / "1.png"])
    old = ResultFolder(tmp_path / "out", SETTINGS)
    for image in images:
        old.write(image, faces_of(face()))
    other = {**SETTINGS, "model": "accurate"}
    with pytest.raises(
        DataError,
        match=r"contains 1\.json, a result of other settings for an image that is not among",
    ):
        ResultFolder(tmp_path / "out", other, overwrite=True, images=images[:1])
    # equal settings or all images, so results are not mixed
    ResultFolder(tmp_path / "out", SETTINGS, overwrite=True, images=images[:1])
    ResultFolder(tmp_path / "out", other, overwrite=True, images=images)


def test_a_new_record_deletes_an_older_drawing(pictures, tmp_path):
    images, _ = find_inputs([pictures / "0.png"])
    folder = ResultFolder(tmp_path / "out", SETTINGS, overwrite=True)
    folder.drawn_path(images[0]).write_bytes(b"old")
    folder.write(images[0], faces_of(face()), drawn=True)
    assert folder.drawn_path(images[0]).exists()
    folder.write(images[0], faces_of(face()))
    assert not folder.drawn_path(images[0]).exists()


def test_a_broken_record_and_an_unwritable_path_are_errors(pictures, tmp_path):
    images, _ = find_inputs([pictures / "0.png"])
    folder = ResultFolder(tmp_path / "out", SETTINGS)
    folder.path(images[0]).write_text("{")
    with pytest.raises(
        DataError, match=r"0\.json: a broken record .* delete it and run again"
    ):
        folder.read(images[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is a file; give --out a folder"):
        ResultFolder(tmp_path / "file", SETTINGS)


def test_a_folder_is_listed_once_for_all_pts_files(pictures, tmp_path, monkeypatch):
    images, _ = find_inputs([pictures])
    folders = {(tmp_path / "out" / image.name).parent for image in images}
    assert len(images) > len(folders)
    folder = ResultFolder(tmp_path / "out", SETTINGS)
    for image in images:
        folder.write(image, faces_of(face(), face(9)))
    listed = []
    glob = Path.glob

    def counted(path, pattern, **options):
        listed.append(path)
        return glob(path, pattern, **options)

    monkeypatch.setattr(Path, "glob", counted)
    for count in (1, 2):
        folder.export(images, "pts", "five")
        assert len(listed) == count * len(folders)


def test_records_are_exported_as_csv_coco_and_pts(pictures, tmp_path):
    images, _ = find_inputs([pictures / "0.png", pictures / "b" / "1.png"])
    folder = ResultFolder(tmp_path / "out", SETTINGS)
    folder.write(images[0], faces_of(face(), face(1.0)))
    folder.write(images[1], faces_of())
    rows = folder.export(images, "csv", "five").read_text().splitlines()
    assert len(rows) == 1 + 2
    coco = json.loads(folder.export(images, "coco", "five").read_text())
    assert [(image["width"], image["height"]) for image in coco["images"]] == [
        (40, 30),
        (40, 30),
    ]
    assert len(coco["annotations"]) == 2
    assert (
        folder.export(images, "pts", "five")
        == folder.export(images, "json", "five")
        == tmp_path / "out"
    )
    assert sorted(path.name for path in (tmp_path / "out").glob("*.pts")) == [
        "0_1.pts",
        "0_2.pts",
    ]
    # .pts counts from 1
    assert (tmp_path / "out" / "0_1.pts").read_text().splitlines()[3] == "11.000 11.000"


def test_records_are_exported_as_parquet(pictures, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    images, _ = find_inputs([pictures / "0.png"])
    folder = ResultFolder(tmp_path / "out", SETTINGS)
    folder.write(images[0], faces_of(face()))
    assert parquet.read_table(folder.export(images, "parquet", "five")).num_rows == 1


def test_files_of_all_formats_may_be_replaced(pictures, tmp_path):
    images, _ = find_inputs([pictures / "0.png"])
    out = tmp_path / "out"
    folder = ResultFolder(out, SETTINGS)
    folder.write(images[0], faces_of(face()))
    for kind in ("coco", "label-studio"):
        folder.export(images, kind, "five")
        assert (out / f"faces.{kind}.json").is_file()
    ResultFolder(out, SETTINGS | {"model": "other"}, overwrite=True, images=images)
