"""Image and video files: one table of suffixes for all; a .gif is a video if it moves."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import FakePredictor, call
from lineament import VideoReader
from lineament.data.readers.registry import read_data
from lineament.data.sample import data_root as find_data_root
from lineament.errors import DataError, ImageError
from lineament.io.media_files import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    find_images,
    find_videos,
    image_next_to,
    images_by_stem,
    is_video,
)
from lineament.io.pts import format_pts
from lineament.labeling.pseudo_labels import find_media, iter_frames
from odd_images import PICTURE, encoded, write

PIXELS = np.full((24, 32, 3), 200, np.uint8)
POINTS = np.column_stack([np.linspace(5, 25, 68), np.linspace(5, 20, 68)])


def write_gif(path, frames):
    """Write a .gif whose frame k is gray of value 40 k."""
    images = [
        Image.fromarray(np.full((24, 32), 40 * k, np.uint8)) for k in range(frames)
    ]
    images[0].save(path, save_all=True, append_images=images[1:], duration=40)
    return path


def test_no_suffix_is_for_both_images_and_videos():
    assert set(IMAGE_SUFFIXES) & set(VIDEO_SUFFIXES) == set()
    assert len(set(IMAGE_SUFFIXES)) == len(IMAGE_SUFFIXES)
    assert all(suffix == suffix.lower() for suffix in IMAGE_SUFFIXES + VIDEO_SUFFIXES)


def test_images_of_a_stem_are_found_in_suffix_order_ignoring_case(
    tmp_path,
):
    for name in ("a/One.PGM", "b/one.jpg", "b/one.raw", "two.raw", "three.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert images_by_stem(tmp_path) == {"one": tmp_path / "b/one.jpg"}
    assert images_by_stem(tmp_path, (".raw", ".jpg")) == {
        "one": tmp_path / "b/one.raw",
        "two": tmp_path / "two.raw",
    }
    assert images_by_stem(tmp_path / "none") == {}


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_image_suffix_is_found_in_folders_and_next_to_points(suffix, tmp_path):
    for name in (f"a{suffix}", f"b{suffix.upper()}"):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / name).with_suffix(".pts").write_text("")
        assert image_next_to((tmp_path / name).with_suffix(".pts")) == tmp_path / name
    assert [path.name for path in find_images(tmp_path)] == [
        f"a{suffix}",
        f"b{suffix.upper()}",
    ]
    (tmp_path / "c.pts").write_text("")
    assert image_next_to(tmp_path / "c.pts") is None


def test_a_ppm_image_next_to_its_points_is_read(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.ppm")
    (tmp_path / "a.pts").write_text(format_pts(POINTS))
    (sample,) = read_data("folder", tmp_path, "all")
    assert sample.image == tmp_path / "a.ppm"
    assert np.array_equal(sample.read(), PIXELS)


def test_a_gif_is_a_video_if_it_has_more_than_one_frame(tmp_path):
    still, moving = (
        write_gif(tmp_path / "still.gif", 1),
        write_gif(tmp_path / "moving.GIF", 3),
    )
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    (tmp_path / "clip.webm").write_bytes(b"")
    assert (is_video(still), is_video(moving), is_video(tmp_path / "broken.gif")) == (
        False,
        True,
        False,
    )
    assert [path.name for path in find_videos(tmp_path)] == ["clip.webm", "moving.GIF"]


@pytest.mark.parametrize("with_av", [True, False])
def test_label_takes_every_nth_frame_of_a_moving_gif_and_the_image_of_a_still_one(
    with_av, tmp_path, monkeypatch
):
    if with_av:
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    still, moving = (
        write_gif(tmp_path / "still.gif", 1),
        write_gif(tmp_path / "moving.gif", 5),
    )
    assert list(find_media([tmp_path])) == [moving, still]
    assert [name for name, _ in iter_frames(still, 2)] == [""]
    found = [(name, int(image[0, 0, 0])) for name, image in iter_frames(moving, 2)]
    assert found == [("000000_", 0), ("000002_", 80), ("000004_", 160)]


def test_detect_takes_the_first_frame_of_a_gif_and_track_all(tmp_path, monkeypatch):
    pytest.importorskip("av")
    import lineament.inference.predictor

    path = write_gif(tmp_path / "moving.gif", 3)
    assert [int(frame.image[0, 0, 0]) for frame in VideoReader(path)] == [0, 40, 80]
    assert len(call("track", path)[1].splitlines()) == 3
    monkeypatch.setattr(lineament.inference.predictor, "Predictor", FakePredictor)
    code, out, _ = call("detect", path)
    # the first frame is black, where the fake finds no face
    assert (code, len(out.splitlines()), '"faces": []' in out) == (0, 1, True)


def test_the_data_root_is_the_option_the_variable_or_the_folder_data(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LINEAMENT_DATA", raising=False)
    with pytest.raises(
        DataError, match=r"no data folder at data; expected .* set LINEAMENT_DATA"
    ):
        find_data_root()
    for name in ("data", "variable", "option"):
        (tmp_path / name).mkdir()
    assert find_data_root().resolve() == tmp_path / "data"
    monkeypatch.setenv("LINEAMENT_DATA", str(tmp_path / "variable"))
    assert find_data_root() == tmp_path / "variable"
    assert find_data_root(tmp_path / "option") == tmp_path / "option"


def test_help_names_no_folder_of_this_repository():
    for command in (
        "train",
        "distill",
        "slim",
        "refine",
        "export",
        "evaluate",
        "score",
    ):
        text = " ".join(call(command, "--help")[1].split())
        assert "shared/data" not in text
        assert "$LINEAMENT_DATA, else ./data" in text


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.PNG",
        "a.jpg",
        "sub/c.webp",
        "sub/deep/d.tiff",
        ".hidden.png",
        ".cache/e.png",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path, name, encoded(PICTURE, "PNG"))
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    return tmp_path


def test_a_folder_gives_its_images_sorted_without_dot_files_or_endless_links(
    tree: Path,
) -> None:
    names = [p.relative_to(tree).as_posix() for p in find_images(tree)]
    assert names == ["a.jpg", "b.PNG", "sub/c.webp", "sub/deep/d.tiff"]


def test_files_folders_and_patterns_mix_and_each_image_comes_once(tree: Path) -> None:
    found = find_images(
        [tree / "sub/deep/d.tiff", str(tree / "*.jpg"), tree, tree / "notes.txt"]
    )
    names = [p.relative_to(tree).as_posix() for p in found]
    assert names == ["sub/deep/d.tiff", "a.jpg", "b.PNG", "sub/c.webp", "notes.txt"]


def test_patterns_reach_below_and_leave_out_dot_names(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {p.name for p in find_images(tree / "**" / "*.[tw][ie]*")} == {
        "c.webp",
        "d.tiff",
    }
    with pytest.raises(ImageError, match="no file matches this pattern"):
        find_images(str(tree / "*.png"))  # only the hidden one would
    monkeypatch.chdir(tree / "sub")
    assert find_images("../*.jpg") == [Path("../a.jpg")]
    assert [p.name for p in find_images(tree / ".cache" / "*")] == ["e.png"]


def test_a_file_named_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a[1].png", encoded(PICTURE, "PNG"))
    assert find_images(path) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jpg", r"none\.jpg: no such file or folder; check the path"),
        ("*.xyz", r"\*\.xyz: no file matches this pattern; check it"),
        ("void", "void: no image in this folder or below it; expected JPEG"),
        ("x\0y", "not a path|no such file"),
    ],
)
def test_a_path_that_names_no_image_is_an_error(
    name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "void").mkdir()
    with pytest.raises(ImageError, match=message) as caught:
        find_images(str(tmp_path / name))
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_may_not_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(
        ImageError,
        match=r"cannot be listed \(Permission denied\); check its permissions",
    ):
        find_images(tmp_path)


def test_a_file_in_a_folder_without_permission_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os.path, "lexists", deny)
    with pytest.raises(
        ImageError, match=r"a\.jpg: permission denied; check the permissions"
    ):
        find_images(tmp_path / "a.jpg")


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(ImageError, match="'': no such file or folder"):
        find_images("")
