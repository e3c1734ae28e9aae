"""Written videos read back with timestamps and pixel aspect ratio, even incomplete ones."""

import errno
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from drawn_video import picture, write
from lineament import VideoReader, VideoWriter
from lineament.errors import ImageError
from lineament.io.video_writer import ENCODERS

av = pytest.importorskip("av")


@pytest.mark.parametrize("suffix", sorted(ENCODERS))
def test_written_values_survive_a_round_trip(suffix, tmp_path):
    if ENCODERS[suffix] not in av.codecs_available:
        pytest.skip(f"this PyAV has no {ENCODERS[suffix]}")
    path = write(tmp_path / f"a{suffix}")
    frames = list(VideoReader(path))
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.timestamp for frame in frames] == pytest.approx(
        [k / 25 for k in range(12)], abs=1e-3
    )
    for k, frame in enumerate(frames):
        # compression loss is small in uniform areas
        assert np.abs(frame.image.astype(int) - picture(k)).mean() < 6
    assert not path.with_name(path.name + ".part").exists()


@pytest.mark.parametrize("suffix", sorted(ENCODERS))
def test_the_same_frames_give_the_same_file(suffix, tmp_path):
    """Encoders with threads within a frame, and containers with random ids, would differ."""
    if ENCODERS[suffix] not in av.codecs_available:
        pytest.skip(f"this PyAV has no {ENCODERS[suffix]}")
    random = np.random.default_rng(0)
    written = set()
    for _ in range(6):
        other = [
            random.bytes(int(size)) for size in random.integers(1_000, 400_000, 20)
        ]
        del other[
            ::2
        ]  # an encoder that reads beyond its input would see previous memory contents
        written.add(
            write(tmp_path / f"a{suffix}", 24, width=320, height=240).read_bytes()
        )
    assert len(written) == 1


def test_uneven_times_are_kept_to_the_millisecond(tmp_path):
    times = [0, 0.04, 0.05, 0.2, 0.2111, 1.5]
    path = write(tmp_path / "a.mp4", len(times), lambda k: times[k])
    assert [frame.timestamp for frame in VideoReader(path)] == pytest.approx(
        times, abs=1e-3
    )


def test_odd_sides_are_made_even_by_repeating_the_border(tmp_path):
    frames = list(VideoReader(write(tmp_path / "a.mp4", 3, width=63, height=47)))
    assert frames[0].image.shape == (48, 64, 3)
    assert np.abs(frames[0].image[-1].astype(int) - frames[0].image[-2]).max() < 12


def test_an_unfinished_file_contains_the_frames_written_so_far(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4")
    for k in range(120):
        writer.write(picture(k % 25), k / 25)
    part = tmp_path / "a.mp4.part"
    copied = tmp_path / "copy.mp4"
    copied.write_bytes(part.read_bytes())  # as left by a killed program
    assert 60 < len(list(VideoReader(copied))) <= 120
    assert not (tmp_path / "a.mp4").exists()
    writer.discard()


def test_an_error_leaves_no_file_under_the_name(tmp_path):
    def fails():
        with VideoWriter(tmp_path / "a.mp4") as writer:
            writer.write(picture(0), 0)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize(
    "suffix", sorted(suffix for suffix in ENCODERS if suffix != ".webm")
)
def test_the_pixel_aspect_ratio_is_kept(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    with VideoWriter(path) as writer:
        writer.pixel_aspect = Fraction(4, 3)
        writer.write(picture(0), 0)
    reader = VideoReader(path)
    assert reader.pixel_aspect == 1
    image = next(iter(reader)).image
    assert image.shape == (48, 64, 3)
    assert reader.pixel_aspect == Fraction(4, 3)


def test_a_frame_of_another_size_is_fitted_into_the_first(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", quality=5) as writer:
        writer.write(np.full((48, 64, 3), 90, np.uint8), 0.0)
        writer.write(np.full((64, 32, 3), 200, np.uint8), 0.1)
    images = [frame.image for frame in VideoReader(tmp_path / "a.mp4")]
    assert [image.shape for image in images] == [(48, 64, 3)] * 2
    assert images[1][24, 32].min() > 180  # 24 wide in the middle
    assert images[1][24, 8].max() < 20


def test_an_unknown_video_suffix_is_rejected(tmp_path):
    with pytest.raises(
        ImageError, match=r"unsupported video suffix '\.txt'; expected \.mp4"
    ):
        VideoWriter(tmp_path / "a.txt")


def test_frames_that_the_encoder_refuses_are_one_error(tmp_path):
    with (
        pytest.raises(
            ImageError, match=r"a\.mp4: frames of 33000 x 2 pixels; expected"
        ),
        VideoWriter(tmp_path / "a.mp4") as writer,
    ):
        writer.write(np.zeros((2, 33000, 3), np.uint8), 0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_error_that_names_the_file(tmp_path, monkeypatch):
    writer = VideoWriter(tmp_path / "a.mp4")
    writer.write(picture(0), 0)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "_stream", SimpleNamespace(encode=full))
    for act in (writer.close, lambda: writer.write(picture(1), 1)):
        with pytest.raises(ImageError, match=r"a\.mp4: cannot be written \(No space"):
            act()
