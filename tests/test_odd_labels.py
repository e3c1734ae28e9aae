"""Labels as tools and operating systems write them: odd orders, names, encodings, suffixes."""

import json
import unicodedata
from dataclasses import replace

import numpy as np
import pytest

from lineament.data.audit.audit import audit
from lineament.data.label_files import write_label_files
from lineament.data.readers.find_annotations import find_annotations
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.io.pts import format_pts
from lineament.scheme_file.table import scheme_text
from lineament.schemes import check_scheme, convert, read_scheme, scheme
from tiny_sets import picture, shape, text

READERS = {"cvat": "cvat", "label-studio": "label-studio", "dlib": "dlib"}
EXACT = [*range(12), -1]


@pytest.fixture
def numbered(tmp_path):
    """Return the name of a scheme of the points p0 to p12."""
    names = json.dumps([f"p{i}" for i in range(13)])
    lines = f'name = "numbered13"\npoints = {names}\nmirror = [["p0", "p12"]]\n'
    lines += f"[from.ibug68]\nexact = {EXACT}\n"
    return check_scheme(str(text(tmp_path / "numbered.toml", lines)))


def faces(folder, name):
    """Return a face with all points and one without the point in the middle."""
    landmarks = np.random.default_rng(0).uniform(20, 180, (13, 2))
    path = picture(folder / "a.jpg", size=(200, 200))
    whole = Sample(path, landmarks, name, "a", visible=np.ones(13, np.bool_))
    holed = landmarks.copy()
    holed[6] = np.nan
    return whole, replace(whole, landmarks=holed)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("complete", [True, False])
def test_numbered_points_return_in_their_order(kind, complete, numbered, tmp_path):
    given = faces(tmp_path / "photos", numbered)[0 if complete else 1]
    files = write_label_files([given], kind, tmp_path / "out", tmp_path / "photos")
    own = OwnData(scheme=numbered, pictures=tmp_path / "photos")
    (back,) = read_data(READERS[kind], files[0], "all", own)
    # rounding to four decimals
    assert np.allclose(back.landmarks, given.landmarks, atol=1e-3, equal_nan=True)


def test_numbers_of_an_unknown_start_are_rejected(numbered, tmp_path):
    given = faces(tmp_path / "photos", numbered)[0]
    landmarks = given.landmarks.copy()
    landmarks[[0, 12]] = np.nan
    lost = replace(given, landmarks=landmarks)
    for kind, reader in READERS.items():
        (path, *_) = write_label_files([lost], kind, tmp_path / kind)
        with pytest.raises(DataError, match="11 points, but numbered13 has 13"):
            read_data(reader, path, "all", OwnData(scheme=numbered))


def test_points_without_annotation_are_counted(numbered, tmp_path):
    given = faces(tmp_path / "photos", numbered)
    for kind, reader in {"coco": "coco", "yolo": "yolo", "cvat": "cvat"}.items():
        lines: list[str] = []
        out = tmp_path / kind
        write_label_files(given, kind, out, tmp_path / "photos")
        own = OwnData(scheme=numbered, pictures=tmp_path / "photos", note=lines.append)
        read_data(reader, out, "all", own)
        assert [
            line for line in lines if "1 points of 1 faces are not annotated" in line
        ]


def test_rules_of_a_scheme_survive_its_copy(numbered, tmp_path):
    copy = scheme_text(scheme(numbered)).replace("numbered13", "numbered13copy")
    again = read_scheme(text(tmp_path / "copy.toml", copy))
    assert again.rules["ibug68"]["exact"] == EXACT
    name = check_scheme(str(tmp_path / "copy.toml"))
    assert np.array_equal(
        convert(shape(68), "ibug68", name).points[:12], shape(68)[:12]
    )


# images


def yolo_line(x):
    points = " ".join(f"{x} {0.1 * i} 2" for i in range(1, 6))
    return f"0 .5 .5 .5 .5 {points}\n"


@pytest.mark.parametrize("reader", ["folder", "yolo"])
def test_images_with_the_same_name_in_two_folders_are_distinguished(reader, tmp_path):
    labels, photos = tmp_path / "labels", tmp_path / "photos"
    for number, folder in enumerate(("a", "b")):
        picture(photos / folder / "1.jpg")
        if reader == "folder":
            text(labels / folder / "1.pts", format_pts(shape(5) + number))
        else:
            text(labels / folder / "1.txt", yolo_line(0.1 * (1 + number)))
    own = OwnData(scheme="five", pictures=photos, needs_images=True)
    found = read_data(reader, labels, "all", own)
    assert [face.image for face in found] == [photos / "a/1.jpg", photos / "b/1.jpg"]


def test_a_label_that_two_images_fit_equally_is_rejected(tmp_path):
    text(tmp_path / "labels/1.pts", format_pts(shape(5)))
    for folder in ("a", "b"):
        picture(tmp_path / "photos" / folder / "1.jpg")
    own = OwnData(scheme="five", pictures=tmp_path / "photos")
    with pytest.raises(DataError, match=r"1\.jpg have its name"):
        read_data("folder", tmp_path / "labels", "all", own)


def coco(*names):
    """Return a COCO table of one face of five points in each image."""
    keypoints = [v for x, y in shape(5) for v in (float(x), float(y), 2)]
    images, annotations = [], []
    for number, name in enumerate(names):
        images.append({"id": number, "file_name": name})
        annotations.append({"id": number, "image_id": number, "keypoints": keypoints})
    return json.dumps({"images": images, "annotations": annotations})


def needing():
    return OwnData(scheme="five", needs_images=True)


def test_one_file_for_two_images_is_rejected(tmp_path):
    picture(tmp_path / "images/val/1.jpg")
    path = text(tmp_path / "a.json", coco("train/1.jpg", "val/1.jpg"))
    with pytest.raises(DataError, match=r"'val/1\.jpg' are different images, but only"):
        read_data("coco", path, "all", needing())


def test_a_coco_file_from_cvat_is_noticed(tmp_path):
    picture(tmp_path / "a.jpg")
    table = json.loads(coco("a.jpg"))
    names = ["contributor", "date_created", "description", "url", "version", "year"]
    table["info"] = dict.fromkeys(names, "")
    path, lines = text(tmp_path / "a.json", json.dumps(table)), []
    read_data("coco", path, "all", OwnData(note=lines.append))
    assert "first_pixel = 0.5" in " ".join(lines)
    # not if the user has stated the origin, nor for other files
    for info, first in ((table["info"], 0.0), ({"year": 2026}, None)):
        text(path, json.dumps(table | {"info": info}))
        lines.clear()
        read_data("coco", path, "all", OwnData(first_pixel=first, note=lines.append))
        assert "first_pixel" not in " ".join(lines)


@pytest.mark.parametrize(
    "names",
    [
        ("images/1.jpg", "1.jpg", "IMAGES\\1.jpg", "./images/1.jpg"),
        ("/home/ann/photos/1.jpg", "C:\\Users\\bob\\photos\\1.jpg"),
        ("/data/upload/1/0a1b2c3d-1.jpg", "/data/upload/1/1a2b3c4d-1.jpg"),
    ],
)
def test_several_spellings_in_the_same_image_are_accepted(names, tmp_path):
    image = picture(tmp_path / "images/1.jpg")
    path = text(tmp_path / "a.json", coco(*names))
    found = read_data("coco", path, "all", needing())
    assert {face.image for face in found} == {image}


def test_accents_may_be_decomposed_as_on_macos(tmp_path):
    image = tmp_path / unicodedata.normalize("NFD", "é.jpg")
    picture(tmp_path / "plain.jpg").rename(image)
    path = text(tmp_path / "a.json", coco(unicodedata.normalize("NFC", "é.jpg")))
    (face,) = read_data("coco", path, "all", needing())
    assert face.image == image


def test_suffixes_may_be_upper_case(tmp_path):
    picture(tmp_path / "a.jpg").rename(tmp_path / "IMG_1.JPG")
    text(tmp_path / "IMG_1.PTS", "\ufeff" + format_pts(shape(5)))
    (face,) = read_data("folder", tmp_path, "all", needing())
    assert np.allclose(face.landmarks, shape(5))
    text(tmp_path / "json/A.JSON", coco("../IMG_1.JPG"))
    assert len(read_data("coco", tmp_path / "json", "all", needing())) == 1


def test_the_audit_finds_images_of_pts_files_elsewhere(tmp_path):
    picture(tmp_path / "photos/a.jpg", size=(100, 100))
    text(tmp_path / "labels/a.pts", format_pts(shape(5)))
    own = OwnData(scheme="five", pictures=tmp_path / "photos")
    assert audit(tmp_path / "labels", own=own).images == 1


# tables


def label_studio(data, **more):
    results = []
    for number, (x, y) in enumerate(shape(5)):
        value = {"x": float(x), "y": float(y), "keypointlabels": [str(number)]}
        size = {"original_width": 100, "original_height": 100}
        results.append({"type": "keypointlabels", "value": value, **size, **more})
    return json.dumps([{"id": 1, "data": data, "annotations": [{"result": results}]}])


def test_the_image_of_a_task_is_the_text_that_names_one(tmp_path):
    picture(tmp_path / "a.jpg")
    data = {"person": "A. Miller", "image": "/data/upload/1/0a1b2c3d-a.jpg"}
    path = text(tmp_path / "a.json", label_studio(data))
    (face,) = read_data("label-studio", path, "all", needing())
    assert face.image == tmp_path / "a.jpg"


def test_an_image_rotated_in_label_studio_is_rejected(tmp_path):
    path = text(
        tmp_path / "a.json", label_studio({"image": "a.jpg"}, image_rotation=90)
    )
    with pytest.raises(DataError, match="was rotated in Label Studio by 90 degrees"):
        read_data("label-studio", path, "all", needing())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_spreadsheet_may_have_any_usual_encoding_and_blank_rows(encoding, tmp_path):
    picture(tmp_path / "a.jpg").rename(tmp_path / "é.jpg")
    header = ";".join(["image", *(f"{axis}{i}" for i in range(5) for axis in "xy")])
    cells = ";".join(str(v).replace(".", ",") for v in shape(5).ravel())
    table = f"{header}\n é.jpg;{cells}\n{';' * 10}\n"
    (tmp_path / "a.csv").write_bytes(table.encode(encoding))
    (face,) = read_data("csv", tmp_path, "all", needing())
    assert face.image == tmp_path / "é.jpg"
    assert np.array_equal(face.landmarks, shape(5))


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_names_in_imglabs_files_may_have_accents(encoding, tmp_path):
    picture(tmp_path / "a.jpg").rename(tmp_path / "é.jpg")
    parts = "".join(f"<part name='{i}' x='{i}' y='{2 * i + 1}'/>" for i in range(5))
    box = f"<box top='0' left='0' width='9' height='9'>{parts}</box>"
    table = "<?xml version='1.0' encoding='ISO-8859-1'?>\n"
    table += f"<dataset><images><image file='é.jpg'>{box}</image></images></dataset>"
    (tmp_path / "a.xml").write_bytes(table.encode(encoding))
    (face,) = read_data("dlib", tmp_path, "all", needing())
    assert face.image == tmp_path / "é.jpg"


def test_a_scheme_that_a_table_states_must_be_known(tmp_path):
    header = ",".join(["image,scheme", *(f"x{i},y{i}" for i in range(5))])
    cells = ",".join(str(v) for v in shape(5).ravel())
    path = text(tmp_path / "a.csv", f"{header}\na.jpg,unheard5,{cells}\n")
    with pytest.raises(
        DataError, match="'unheard5', which is not a known scheme; give"
    ):
        read_data("csv", path, "all")


def test_the_nearest_description_of_yolo_labels_counts(tmp_path):
    text(tmp_path / "other.yaml", "kpt_shape: [17, 3]\n")
    text(tmp_path / "set/data.yaml", "kpt_shape: [5, 3]\n")
    picture(tmp_path / "set/images/1.jpg")
    text(tmp_path / "set/labels/1.txt", yolo_line(0.5))
    (face,) = read_data("yolo", tmp_path / "set", "all", needing())
    assert len(face.landmarks) == 5


def written(tmp_path, kind, encoding):
    """Write five points of `a.jpg` in a format as UTF-8, then convert the file."""
    image = picture(tmp_path / "a.jpg", size=(40, 60))
    given = Sample(image, shape(5), "five", "a")
    if kind == "folder":
        path = text(tmp_path / "a.pts", format_pts(shape(5)))
    elif kind == "yolo":
        # their images may be next to them
        write_label_files([given], kind, tmp_path, tmp_path)
        path = tmp_path / "labels/a.txt"
    else:
        path = write_label_files([given], kind, tmp_path, tmp_path)[0]
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "kind", ["coco", "label-studio", "cvat", "dlib", "csv", "yolo", "folder"]
)
def test_every_format_may_have_a_byte_order_mark(kind, encoding, tmp_path):
    written(tmp_path, kind, encoding)
    found = find_annotations(tmp_path)
    assert [each.reader for each in found] == [kind]
    own = OwnData("five", pictures=tmp_path, needs_images=True)
    (face,) = read_data(kind, found[0].path, "all", own)
    assert np.allclose(face.landmarks, shape(5), atol=1e-3)


def test_images_of_pts_files_are_found_below_the_folder(tmp_path):
    for number in range(2):
        text(tmp_path / f"points/a/{number}.pts", format_pts(shape(5) + number))
        picture(tmp_path / f"images/a/{number}.Jpg")
    faces = read_data("folder", tmp_path, "all", OwnData("five"))
    found = [face.image.relative_to(tmp_path).as_posix() for face in faces]
    assert found == ["images/a/0.Jpg", "images/a/1.Jpg"]
    report = audit(tmp_path, own=OwnData("five"))
    assert (report.faces, report.images) == (2, 2)
    (tmp_path / "images/a/1.Jpg").unlink()
    with pytest.raises(DataError, match=r"1\.pts: no image next to it.*--pictures"):
        read_data("folder", tmp_path, "all", OwnData("five"))


def test_a_pts_file_may_have_the_whole_name_of_its_image(tmp_path):
    picture(tmp_path / "a.jpg")
    text(tmp_path / "a.jpg.pts", format_pts(shape(5)))
    (face,) = read_data("folder", tmp_path, "all", OwnData("five"))
    assert face.image == tmp_path / "a.jpg"
    assert audit(tmp_path, own=OwnData("five")).count("note") == 0


def test_an_audit_that_reads_no_face_does_not_pass(tmp_path):
    text(tmp_path / "a.pts", format_pts(shape(5)))
    report = audit(tmp_path, own=OwnData("five"))
    assert report.faces == 0
    assert report.count("error") == 1


def test_names_of_images_may_lack_their_suffix(tmp_path):
    picture(tmp_path / "images/17.png")
    header = ",".join(["image_id", *(f"x{i},y{i}" for i in range(5))])
    cells = ",".join(map(str, shape(5).ravel()))
    path = text(tmp_path / "a.csv", f"{header}\n17,{cells}\n")
    (face,) = read_data("csv", path, "all", OwnData("five", needs_images=True))
    assert face.image == tmp_path / "images/17.png"


def test_points_listed_as_1_10_2_are_read_by_their_numbers(tmp_path):
    order = sorted(range(68), key=str)
    keypoints = [v for x, y in shape(68)[order] for v in (float(x), float(y), 2)]
    face = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints}
    category = {"id": 1, "name": "face", "keypoints": [str(i) for i in order]}
    images = [{"id": 1, "file_name": "a.jpg"}]
    table = {"images": images, "annotations": [face], "categories": [category]}
    path = text(tmp_path / "a.json", json.dumps(table))
    (read,) = read_data("coco", path, "all")
    assert read.scheme == "ibug68"
    assert np.array_equal(read.landmarks, shape(68))
