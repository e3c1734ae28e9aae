"""Frames come upright, with their own times, from files, cameras, addresses and folders."""

import math
import socket
import struct
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from drawn_video import picture, write
from lineament import VideoReader, VideoWriter, save_image
from lineament.errors import ExtraError, ImageError
from lineament.io.media_files import is_video
from lineament.io.video_decoders import AVDecoder, open_camera

av = pytest.importorskip("av")


def turned(path, matrix):
    """Replace the display matrix in the track header of the video at `path`."""
    data = bytearray(path.read_bytes())
    at = (
        data.index(b"tkhd") + 4 + 4 + 20 + 8 + 4 + 4
    )  # version 0: times and ids, reserved, layer and volume
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


def test_frames_are_upright_by_the_rotation_that_the_file_states(tmp_path):
    one, whole = 1 << 16, 1 << 30
    # display x' = H - y, y' = x: rotated clockwise by 90 degrees, so the left part is on top
    path = turned(
        write(tmp_path / "a.mp4", 3), (0, one, 0, -one, 0, 0, 48 * one, 0, whole)
    )
    image = next(iter(VideoReader(path))).image
    assert image.shape == (64, 48, 3)
    assert image[4, 24, 0] > 150  # the former left part
    assert image[60, 10, 0] < 80
    assert (
        image[60, 40, 2] > 150
    )  # the former top right part is now at the bottom right


@pytest.mark.parametrize("mirrored", [1, -1])
@pytest.mark.parametrize("turn", range(4))
def test_every_rotation_and_mirroring_is_applied(turn, mirrored, tmp_path):
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn]
    a, b, c, d = (
        mirrored * cos,
        mirrored * sin,
        -sin,
        cos,
    )  # x' = a x + c y, y' = b x + d y
    matrix = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    plain = next(iter(VideoReader(write(tmp_path / "plain.mp4", 1)))).image
    shown = next(iter(VideoReader(turned(write(tmp_path / "a.mp4", 1), matrix)))).image
    height, width = plain.shape[:2]
    y, x = np.mgrid[:height, :width]
    x, y = a * x + c * y, b * x + d * y
    wanted = np.zeros_like(shown)
    wanted[y - y.min(), x - x.min()] = plain
    assert np.abs(shown.astype(int) - wanted).max() <= 2


def test_the_pixel_aspect_ratio_rotates_with_the_image(tmp_path):
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.pixel_aspect = Fraction(4, 3)
        writer.write(picture(0), 0)
    one, whole = 1 << 16, 1 << 30
    reader = VideoReader(
        turned(tmp_path / "a.mp4", (0, one, 0, -one, 0, 0, 48 * one, 0, whole))
    )
    assert next(iter(reader)).image.shape == (64, 48, 3)
    assert reader.pixel_aspect == Fraction(3, 4)


def test_odd_names_and_titles_are_read(tmp_path, monkeypatch):
    write(tmp_path / "12.mp4", 2)
    monkeypatch.chdir(tmp_path)
    write(Path("talk:1.mp4"), 2)
    assert len(list(VideoReader("talk:1.mp4"))) == 2
    title = write(tmp_path / "a.mp4", 2).read_bytes()
    at = title.index(b"Lavf")  # the program title in the file
    (tmp_path / "b.mp4").write_bytes(title[:at] + b"\xe9\xe8\xe7\xe6" + title[at + 4 :])
    assert len(list(VideoReader(tmp_path / "b.mp4"))) == 2
    (tmp_path / "12").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "12" / "0.png")
    assert len(list(VideoReader("12"))) == 1


def test_a_stalled_stream_is_an_error_after_its_frames(tmp_path):
    data = write(tmp_path / "a.mkv", 60).read_bytes()
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            client.recv(4096)
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: video/x-matroska\r\n"
                f"Content-Length: {len(data)}\r\n\r\n"
            )
            client.sendall(head.encode() + data[: len(data) // 2])
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    frames = []
    reader = VideoReader(f"http://127.0.0.1:{server.getsockname()[1]}/a.mkv")
    with pytest.raises(
        ImageError,
        match=r"a\.mkv: the frames stopped \(.+\); resume when it is available again",
    ):
        frames.extend(reader)
    server.close()
    assert 5 < len(frames) < 60


class Camera:
    """A fake PyAV container of a camera that has a frame at every second request."""

    duration = None

    def __init__(self, path):
        self.file = av.open(str(path))
        self.streams, self.asked = self.file.streams, 0
        self.packets = self.file.demux(self.streams.video[0])

    def demux(self, stream):
        while True:
            self.asked += 1
            if self.asked % 2:
                raise av.error.BlockingIOError(11, "Resource temporarily unavailable")
            packet = next(self.packets, None)
            if packet is None:
                return
            yield packet

    def close(self):
        self.file.close()


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_camera_that_has_no_frame_yet_is_polled(platform, tmp_path, monkeypatch):
    camera, opened = Camera(write(tmp_path / "a.mp4", 5)), []
    monkeypatch.setattr("lineament.io.video_decoders.sys.platform", platform)
    monkeypatch.setattr(
        av, "open", lambda where, **options: opened.append((where, options)) or camera
    )
    reader = VideoReader(0)
    assert reader.live
    assert len(list(reader)) == 5
    assert opened[0][0] == {"linux": "/dev/video0", "darwin": "0:none"}[platform]
    assert (
        opened[0][1].get("options")
        == {"linux": {}, "darwin": {"framerate": "30"}}[platform]
    )


def test_a_folder_without_a_readable_image_is_an_error(tmp_path):
    (tmp_path / "0.png").write_bytes(b"not an image")
    with pytest.raises(ImageError, match="no frames can be decoded"):
        list(VideoReader(tmp_path))
    with pytest.raises(
        ImageError, match="fps is inf; expected frames per second, above 0"
    ):
        VideoReader(tmp_path, fps=math.inf)


def test_a_folder_of_images_is_a_video_in_the_order_of_its_numbers(tmp_path):
    for k in (10, 2, 1):
        save_image(tmp_path / f"frame{k}.png", picture(k))
    (tmp_path / "frame3.png").write_bytes(b"not an image")
    with VideoReader(tmp_path, fps=10) as reader:
        frames = list(reader)
    assert reader.skipped_frames == 1
    assert reader.frames == 4
    assert [frame.timestamp for frame in frames] == pytest.approx([0, 0.1, 0.3])
    assert [int(frame.image[0, -1, 1]) for frame in frames] == [10, 20, 100]


def test_timestamps_increase_even_if_the_clock_restarts_or_repeats(
    tmp_path, monkeypatch
):
    path = write(tmp_path / "a.mp4", 3)
    times = [5.0, 5.04, 5.04, 5.08, 0.0, 0.04, 0.5]
    monkeypatch.setattr(
        AVDecoder,
        "decode",
        lambda self: iter([(time, lambda: picture(0)) for time in times]),
    )
    with VideoReader(path) as reader:
        step = 1 / reader.fps
        found = [frame.timestamp for frame in reader]
    assert found[:4] == pytest.approx([5.0, 5.04, 5.04 + step / 100, 5.08])
    assert found[4:] == pytest.approx([5.08 + step, 5.12 + step, 5.58 + step])


def test_frames_that_cannot_be_decoded_are_skipped_and_counted(tmp_path):
    path = write(tmp_path / "a.mp4", 90)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert 30 <= len(frames) < 90
    assert reader.skipped_frames > 0
    times = [frame.timestamp for frame in frames]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: p / "none.mp4",
            "no such video; expected a file, a folder of images, a URL or a camera",
        ),
        (lambda p: text(p / "a.mp4"), r"a\.mp4: cannot be opened as a video"),
        (lambda p: sound(p / "a.wav"), r"a\.wav: contains no video"),
        (lambda p: p, "no image in this folder"),
        (lambda p: "", "'': no such video; expected a file"),
    ],
)
def test_a_source_that_is_not_a_video_raises_a_clear_error(make, message, tmp_path):
    with pytest.raises(ImageError, match=message) as error:
        list(VideoReader(make(tmp_path)))
    assert "\n" not in str(error.value)


def text(path):
    path.write_text("hello")
    return path


def sound(path):
    samples = np.zeros(800, "<i2").tobytes()
    head = (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    )
    path.write_bytes(head + b"data" + struct.pack("<I", len(samples)) + samples)
    return path


def test_exact_timestamps_require_the_extra(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(
        ExtraError,
        match=r"PyAV is not installed; type: pip install 'lineament\[video\]'",
    ):
        VideoReader(tmp_path / "a.mp4")


def write_streams(path, *streams):
    """Write a video with streams of (frames, width, height); frame k is gray of value 20 k."""
    with av.open(str(path), "w") as file:
        opened = []
        for count, width, height in streams:
            stream = file.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            opened.append((stream, count))
        for stream, count in opened:
            for k in range(count):
                gray = np.full((stream.height, stream.width, 3), 20 * k, np.uint8)
                frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 25)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_thumbnail_stream_in_first_position_is_skipped(tmp_path, suffix):
    path = write_streams(tmp_path / f"a{suffix}", (1, 320, 240), (8, 64, 48))
    shapes = [frame.image.shape for frame in VideoReader(path)]
    assert shapes == [(48, 64, 3)] * 8


def test_the_default_stream_of_two_videos_is_used(tmp_path):
    # the container marks its first stream as the default
    path = write_streams(tmp_path / "a.mp4", (5, 64, 48), (8, 320, 240))
    assert len(list(VideoReader(path))) == 5


def test_a_file_with_only_a_still_image_gives_its_frame(tmp_path):
    path = write_streams(tmp_path / "a.mp4", (1, 64, 48))
    assert len(list(VideoReader(path))) == 1


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_an_animated_image_is_a_video_with_its_own_times(tmp_path, suffix):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    path = tmp_path / f"a{suffix}"
    images = []
    for k in range(4):
        images.append(Image.fromarray(np.full((48, 64, 3), 60 * k, np.uint8)))
    times_ms = [40, 80, 40, 40]
    images[0].save(path, save_all=True, append_images=images[1:], duration=times_ms)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert (reader.frames, reader.fps) == (4, 25)
    assert [frame.timestamp for frame in frames] == pytest.approx([0, 0.04, 0.12, 0.16])
    for k, frame in enumerate(frames):
        # within what lossy coding changes of one color
        assert abs(int(frame.image.mean()) - 60 * k) < 4
    assert abs(int(VideoReader(path).read(2).mean()) - 120) < 4


def test_an_animated_webp_is_read_whatever_its_suffix(tmp_path):
    shades = [Image.new("RGB", (64, 48), (60 * k,) * 3) for k in range(4)]
    shades[0].save(tmp_path / "a.webp", save_all=True, append_images=shades[1:])
    for suffix in (".gif", ".mp4", ""):
        path = (tmp_path / "a.webp").rename(tmp_path / f"a{suffix}")
        assert is_video(path) == bool(suffix)
        assert len(list(VideoReader(path))) == 4
        path.rename(tmp_path / "a.webp")


def test_a_broken_animated_image_ends_with_the_frames_before(tmp_path):
    path = tmp_path / "a.webp"
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    first, *others = map(Image.fromarray, noise)
    first.save(path, save_all=True, append_images=others, lossless=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match=r"a\.webp: (cannot be opened|no frame)"):
        list(VideoReader(path))


def test_a_camera_that_cannot_be_opened_is_called_a_camera(monkeypatch):
    def refuse(*_, **__):
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(ImageError, match=r"^camera 0: cannot be opened as a video"):
        open_camera(0, 1)
