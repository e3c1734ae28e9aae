"""Limits of the server: options and variables, memory of bodies and frames, slow readers."""

import json
import re
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")

from websockets.exceptions import ConnectionClosed

from commands import call
from lineament.io.image import MAX_PIXELS
from lineament.serving import server
from lineament.serving.settings import ServerSettings
from live_server import ASTRONAUT, form, running, wait_until
from test_serve import Blocker

PHOTO = ASTRONAUT.read_bytes()
GUIDE = Path(__file__).parents[1] / "docs" / "serve.md"

# (option, value, setting, its value)
LIMITS = [
    ("wait-s", "3.5", "wait_s", 3.5),
    ("max-mb", "2", "max_bytes", 2_000_000),
    ("max-mpx", "3", "max_pixels", 3_000_000),
    ("max-files", "4", "max_files", 4),
    ("max-boxes", "5", "max_boxes", 5),
    ("max-pending-mb", "60", "max_pending_bytes", 60_000_000),
    ("max-tracks", "7", "max_tracks", 7),
    ("max-connections", "8", "max_connections", 8),
    ("max-batch", "9", "max_batch", 9),
    ("body-timeout-s", "10.5", "body_timeout_s", 10.5),
    ("header-timeout-s", "11.5", "header_timeout_s", 11.5),
    ("send-timeout-s", "12.5", "send_timeout_s", 12.5),
    ("drain-timeout-s", "13.5", "drain_timeout_s", 13.5),
]
NOT_LIMITS = {"models", "device", "workers", "token", "page"}


def variable(option):
    return "LINEAMENT_" + option.upper().replace("-", "_")


@pytest.fixture
def given(monkeypatch):
    """Settings with which the command would run servers."""
    settings = []
    command = sys.modules["lineament.cli.serve"]
    monkeypatch.setattr(command, "_log_to_stderr", lambda: None)
    monkeypatch.setattr(server, "serve", lambda each, *_: settings.append(each))
    return settings


def test_every_limit_has_an_option():
    named = {setting for _, _, setting, _ in LIMITS}
    assert named | NOT_LIMITS == set(ServerSettings.model_fields)


@pytest.mark.parametrize(
    ("option", "value", "setting", "wanted"), LIMITS, ids=[each[0] for each in LIMITS]
)
def test_a_limit_is_set_by_option_or_variable(
    given, monkeypatch, option, value, setting, wanted
):
    call("serve", f"--{option}", value)
    monkeypatch.setenv(variable(option), value)
    call("serve")
    assert [getattr(each, setting) for each in given] == [wanted, wanted]


def test_the_defaults_of_the_command_are_those_of_the_settings(given):
    call("serve")
    assert given[0].model_copy(update={"workers": 1}) == ServerSettings()


@pytest.mark.parametrize("option", [each[0] for each in LIMITS])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "many"])
def test_a_limit_out_of_range_is_rejected(given, option, value):
    code, _, error = call("serve", f"--{option}", value)
    assert code == 2
    assert f"--{option}" in error
    assert not given


def test_the_largest_image_is_one_that_can_be_decoded(given):
    call("serve", "--max-mpx", f"{MAX_PIXELS / 1e6:g}")
    assert given[0].max_pixels == MAX_PIXELS
    assert call("serve", "--max-mpx", f"{MAX_PIXELS / 1e6 + 1:g}")[0] == 2


def test_memory_for_less_than_one_body_is_rejected(given):
    code, _, error = call("serve", "--max-pending-mb", "5")
    assert code == 2
    assert "--max-pending-mb is 5, less than --max-mb 10" in " ".join(error.split())
    assert not given


def test_an_empty_variable_for_the_token_is_rejected(given, monkeypatch):
    # the server would be open
    monkeypatch.setenv("LINEAMENT_TOKEN", "")
    code, _, error = call("serve")
    assert code == 2
    assert "LINEAMENT_TOKEN is empty" in error
    assert not given


def test_the_guide_lists_every_limit_with_its_default(given):
    call("serve")
    rows = re.findall(r"^\| `--([a-z-]+) ([\d.]+)` \|", GUIDE.read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == {each[0] for each in LIMITS}
    for name, default in rows:
        call("serve", f"--{name}", default)
        assert given[-1] == given[0]


def connect(live, query=""):
    address = f"ws://127.0.0.1:{live.port}/v1/track{query}"
    return client.connect(address, open_timeout=60, proxy=None)


def test_frames_of_tracks_count_as_held_bytes_until_they_are_answered():
    with running() as live, connect(live) as track:
        held = live.service.bodies.held
        with Blocker(live):
            track.send(PHOTO)
            wait_until(lambda: held.count == len(PHOTO))
            track.send(PHOTO[:1000])  # replaces the first
            wait_until(lambda: held.count == 1000)
        track.recv(60)
        assert held.count == 0


def test_a_frame_beyond_the_memory_is_rejected_and_the_track_continues():
    half = len(PHOTO) // 2
    with running(max_pending_bytes=len(PHOTO) + half) as live:
        held = live.service.bodies.held
        with connect(live) as track, connect(live) as other:
            with Blocker(live):
                track.send(PHOTO)
                wait_until(lambda: held.count == len(PHOTO))
                other.send(PHOTO)
                wait_until(lambda: len(live.service.queue) == 3)
                assert held.count == len(PHOTO)
                body = live.post("/v1/detect", PHOTO)
            assert len(json.loads(track.recv(60))["faces"]) == 1
            refused = json.loads(other.recv(60))
            assert (refused["frame"], refused["error"]["code"]) == (0, "busy")
            assert refused["error"] == body.json["error"]
            assert body.status == 503
            wait_until(lambda: held.count == 0)
            other.send(PHOTO)
            assert len(json.loads(other.recv(60))["faces"]) == 1


def test_a_client_that_leaves_releases_its_waiting_frame():
    with running() as live, Blocker(live):
        with connect(live) as track:
            track.send(PHOTO)
            wait_until(lambda: live.service.bodies.held.count)
        wait_until(lambda: live.service.bodies.held.count == 0)


def test_incomplete_frames_count_as_held_bytes():
    with running() as live:
        held = live.service.bodies.held

        def half():
            yield PHOTO[:30_000]
            wait_until(lambda: held.count > 30_000)
            raise InterruptedError  # the rest is never sent

        with pytest.raises(InterruptedError), connect(live) as track:
            track.send(half())
        wait_until(lambda: held.count == 0)


def closing(track, fragments):
    """Send the start of a message; return code and reason of the server's close."""

    def start():
        yield from fragments
        wait_until(lambda: track.protocol.close_rcvd)

    with suppress(ConnectionClosed):
        track.send(start())
    return track.protocol.close_code, track.protocol.close_reason


def test_incomplete_frames_beyond_the_memory_end_their_connection():
    with running(max_bytes=40_000, max_pending_bytes=20_000) as live:
        held, closed = live.service.bodies.held, []

        def half():
            yield bytes(35_000)
            wait_until(lambda: held.count > 35_000)
            with connect(live) as other:
                closed.append(closing(other, [bytes(35_000)]))
            yield b""

        with connect(live) as track:
            track.send(half())
            # the frame itself is larger than the memory
            assert json.loads(track.recv(60))["error"]["code"] == "busy"
        ((code, reason),) = closed
        assert code == 1013
        assert "0.02 MB of images" in reason
        wait_until(lambda: held.count == 0)
        wait_until(lambda: live.service.lifecycle.tracks == 0)


def test_a_frame_of_endless_fragments_ends_the_connection():
    with running(max_bytes=1000) as live:
        with connect(live) as track:
            code, _ = closing(track, [b""] * 334)  # of 6 bytes each
        assert code == 1009
        wait_until(lambda: live.service.bodies.held.count == 0)


def test_a_client_that_reads_no_response_is_disconnected(tmp_path):
    (tmp_path / "index.html").write_text("page")
    # larger than the buffers of a connection
    (tmp_path / "large.bin").write_bytes(bytes(30_000_000))
    with running(page=tmp_path, send_timeout_s=0.3) as live, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", live.port))
        reader.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        connections = live.server.server_state.connections
        wait_until(lambda: connections)
        wait_until(lambda: not connections, 20)
        assert live.get("/health/live").status == 200


def test_more_boxes_than_fields_may_be_allowed():
    boxes = [("boxes", None, b"no numbers")] * 1200
    with running(max_boxes=1200) as live:
        found = live.post("/v1/detect", *form(("file", "a", PHOTO), *boxes))
        assert "expected four numbers" in found.json["error"]["message"]
