"""Live tracks over WebSocket: one tracker per connection, only the newest frame is processed."""

import json

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")

from websockets.exceptions import ConnectionClosed, InvalidStatus

from lineament import Predictor
from live_server import ASTRONAUT, PICTURES, running, wait_until
from test_serve import Blocker

PHOTO = ASTRONAUT.read_bytes()
HOPPER = (PICTURES / "grace_hopper.jpg").read_bytes()


@pytest.fixture(scope="module")
def live():
    with running(max_tracks=3, max_bytes=200_000) as server:
        yield server


def connect(live, query="", **options):
    address = f"ws://127.0.0.1:{live.port}/v1/track{query}"
    return client.connect(address, open_timeout=60, proxy=None, **options)


def ask(track, data):
    track.send(data)
    return json.loads(track.recv(60))


def test_frames_are_answered_with_track_ids_and_times(live):
    with connect(live) as track:
        first, second = ask(track, PHOTO), ask(track, PHOTO)
    assert (first["frame"], second["frame"]) == (0, 1)
    assert second["time"] > first["time"] >= 0
    assert first["dropped"] == second["dropped"] == 0
    assert [face["track_id"] for face in second["faces"]] == [1]
    assert first["image_size"] == [512, 512]
    expected = Predictor("fast", threads=1)(PHOTO)
    found = first["faces"][0]["landmarks"]
    assert found == expected[0].landmarks.round(4).tolist()


def test_a_track_adds_head_poses_on_request(live):
    with connect(live, "?head_pose=true") as track:
        (face,) = ask(track, PHOTO)["faces"]
    assert abs(face["head_pose"]["yaw_deg"]) < 45
    with connect(live) as track:
        assert "head_pose" not in ask(track, PHOTO)["faces"][0]


def test_each_connection_has_its_own_tracker(live):
    with connect(live) as one, connect(live) as other:
        assert ask(one, PHOTO)["faces"][0]["track_id"] == 1
        assert ask(other, HOPPER)["faces"][0]["track_id"] == 1
        assert ask(one, PHOTO)["faces"][0]["track_id"] == 1
        assert live.service.lifecycle.tracks == 2
    wait_until(lambda: live.service.lifecycle.tracks == 0)


def test_only_the_newest_frame_is_processed_and_dropped_ones_are_counted(live):
    figures = live.service.metrics.registry

    def dropped():
        labels = {"outcome": "dropped"}
        return figures.get_sample_value("lineament_track_frames_total", labels) or 0

    before = dropped()
    with connect(live) as track, Blocker(live) as blocker:
        for data in (PHOTO, PHOTO, PHOTO, HOPPER):
            track.send(data)
        wait_until(lambda: dropped() == before + 3)
        blocker.opened.set()
        answer = json.loads(track.recv(60))
        assert answer["image_size"] == [512, 600]  # that of the last
        assert (answer["frame"], answer["dropped"]) == (3, 3)
        assert ask(track, HOPPER)["frame"] == 4


def test_options_choose_the_scheme_and_the_number_of_faces(live):
    with connect(live, "?scheme=five&max_faces=1&smooth=false") as track:
        answer = ask(track, PHOTO)
    assert answer["scheme"] == "five"
    assert len(answer["faces"][0]["landmarks"]) == 5


def test_a_broken_frame_is_an_error_and_the_track_continues(live):
    with connect(live) as track:
        assert ask(track, PHOTO)["faces"]
        broken = ask(track, b"no image")
        assert (broken["frame"], broken["error"]["code"]) == (
            1,
            "unsupported_media_type",
        )
        assert ask(track, PHOTO)["faces"][0]["track_id"] == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [("?model=nobody", 422), ("?smooth=perhaps", 422), ("?fps=3", 422)],
)
def test_wrong_options_are_rejected_before_the_connection_opens(live, query, status):
    with pytest.raises(InvalidStatus) as refused, connect(live, query):
        pass
    assert refused.value.response.status_code == status
    assert set(json.loads(refused.value.response.body)) == {"error"}


def test_tracks_beyond_the_limit_are_rejected(live):
    with connect(live), connect(live), connect(live):
        with pytest.raises(InvalidStatus) as refused, connect(live):
            pass
        assert refused.value.response.status_code == 503
    wait_until(lambda: live.service.lifecycle.tracks == 0)
    with connect(live) as track:
        assert ask(track, PHOTO)["faces"]


@pytest.mark.parametrize(("message", "code"), [("text", 1003), (bytes(200_001), 1009)])
def test_text_and_frames_that_are_too_large_end_the_connection(live, message, code):
    with connect(live) as track:
        track.send(message)
        with pytest.raises(ConnectionClosed):
            track.recv(60)
        assert track.protocol.close_code == code
    wait_until(lambda: live.service.lifecycle.tracks == 0)


def test_a_client_that_leaves_frees_its_track(live):
    with Blocker(live):
        with connect(live) as track:
            track.send(PHOTO)
            wait_until(lambda: len(live.service.queue) == 2)
        wait_until(lambda: len(live.service.queue) == 1)
    assert live.service.lifecycle.tracks == 0


def test_a_token_is_accepted_in_header_or_query():
    with running(token="opens") as live:
        with pytest.raises(InvalidStatus) as refused, connect(live):
            pass
        assert refused.value.response.status_code == 401
        with connect(live, "?token=opens") as track:
            assert ask(track, PHOTO)["faces"]
        header = {"Authorization": "Bearer opens"}
        with connect(live, additional_headers=header) as track:
            assert ask(track, PHOTO)["faces"]


def test_draining_closes_tracks():
    with running() as live, connect(live) as track:
        assert ask(track, PHOTO)["faces"]
        live.server._loop.call_soon_threadsafe(live.server.drain)
        with pytest.raises(ConnectionClosed):
            track.recv(60)
        assert track.protocol.close_code == 1012
