"""evaluate takes annotated images of any format directly; the keys of protocols are documented."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from commands import call
from faces import write_faces
from lineament.errors import DataError, ProtocolError
from lineament.evaluation.protocol_data import read_protocol
from lineament.evaluation.protocols import (
    Convention,
    OtherNorm,
    Protocol,
    Subset,
    make_protocol,
)
from tiny_sets import text

PAGE = Path(__file__).parents[1] / "docs/protocols.md"


def write_coco(folder, names=()):
    """Write drawn faces as a COCO file in a folder."""
    write_faces(folder, 3)
    images, found = [], []
    for number, path in enumerate(sorted(folder.glob("*.pts")), 1):
        images.append({"id": number, "file_name": f"{path.stem}.png"})
        keypoints = [v for x, y in (np.loadtxt(path) - 1).tolist() for v in (x, y, 2)]
        found.append({"id": number, "image_id": number, "keypoints": keypoints})
        path.unlink()
    table = {"images": images, "annotations": found, "categories": []}
    return text(folder / "faces.json", json.dumps(table))


def write_csv(folder):
    write_faces(folder, 3)
    rows = [",".join(["image", *(f"{a}_{i}" for i in range(68) for a in "xy")])]
    for path in sorted(folder.glob("*.pts")):
        values = (np.loadtxt(path) - 1).ravel().tolist()
        rows.append(",".join([f"{path.stem}.png", *map(str, values)]))
        path.unlink()
    return text(folder / "faces.csv", "\n".join(rows))


def write_dlib(folder):
    write_faces(folder, 3)
    images = []
    for path in sorted(folder.glob("*.pts")):
        parts = "".join(
            f"<part name='{i:02}' x='{x}' y='{y}'/>"
            for i, (x, y) in enumerate((np.loadtxt(path) - 1).tolist())
        )
        box = "<box top='10' left='10' width='90' height='90'>"
        images.append(f"<image file='{path.stem}.png'>{box}{parts}</box></image>")
        path.unlink()
    return text(
        folder / "faces.xml", f"<dataset><images>{''.join(images)}</images></dataset>"
    )


@pytest.mark.parametrize("write", [write_coco, write_csv, write_dlib])
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_or_its_folder_is_read(write, whole, tmp_path):
    path = write(tmp_path / "faces")
    data = read_protocol("folder", path.parent if whole else path)
    assert data.protocol.scheme == "ibug68"
    assert [face.image.is_file() for face in data.samples] == [True] * 3
    write_faces(tmp_path / "pts", 3)
    expected = read_protocol("folder", tmp_path / "pts").samples
    for face, wanted in zip(data.samples, expected, strict=True):
        np.testing.assert_allclose(face.landmarks, wanted.landmarks, atol=1e-6)


def test_the_command_takes_a_file_of_annotations(tmp_path):
    path = write_coco(tmp_path / "faces")
    given = ("--data", path, "--model", "fast", "--format", "json")
    code, shown, noted = call("evaluate", *given)
    assert code == 0, noted
    report = json.loads(shown)
    assert report["protocol"] == "folder"
    assert len(report["per_image"]) == 3
    assert any("because of their number" in note for note in report["notes"])


def test_the_folder_of_the_images_can_be_given(tmp_path):
    path = write_coco(tmp_path / "faces")
    (tmp_path / "photos").mkdir()
    for image in (tmp_path / "faces").glob("*.png"):
        shutil.move(image, tmp_path / "photos")
    given = ("--data", path, "--model", "fast", "--format", "json")
    assert call("evaluate", *given)[0] == 1
    more = ("--pictures", tmp_path / "photos")
    code, shown, noted = call("evaluate", *given, *more)
    assert code == 0, noted
    assert len(json.loads(shown)["per_image"]) == 3


def test_the_file_of_the_test_split_is_used_and_others_are_listed(tmp_path):
    for name in ("train", "test"):
        write_coco(tmp_path / name)
    assert len(read_protocol("folder", tmp_path).samples) == 3
    shutil.move(tmp_path / "test", tmp_path / "val")
    with pytest.raises(ProtocolError, match="2 annotation files"):
        read_protocol("folder", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no annotations"):
        read_protocol("folder", tmp_path / "empty")


def test_every_key_of_a_protocol_is_documented():
    page = PAGE.read_text(encoding="utf-8")
    for settings in (Protocol, Subset, OtherNorm, Convention):
        absent = [key for key in settings.model_fields if f"`{key}`" not in page]
        assert absent == []


def test_the_documented_protocol_is_valid():
    page = PAGE.read_text(encoding="utf-8")
    block = page.split("```toml\n")[1].split("```")[0]
    made = make_protocol({"id": "own", **tomllib.loads(block)}, "own.toml")
    assert made.indices() == tuple(range(36, 48))
