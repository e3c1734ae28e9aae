"""Hostile WebSockets: each ends with its close code, and the next request is served."""

import json
import struct

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from live_server import running, wait_until
from test_serve_hostile import SMALL, png, refused, served

LIMIT = 200_000
HANDSHAKE = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@pytest.fixture(scope="module")
def live():
    with running(max_bytes=LIMIT) as server:
        yield server


def frame(kind, data=b"", end=True, masked=True, reserved=0, size=None):
    """Return a frame with a mask of zeros; `size` states another size than that of the data."""
    size = len(data) if size is None else size
    mask = 128 if masked else 0
    if size < 126:
        length = bytes([mask | size])
    elif size < 65_536:
        length = struct.pack(">BH", mask | 126, size)
    else:
        length = struct.pack(">BQ", mask | 127, size)
    first = bytes([(128 if end else 0) | reserved << 4 | kind])
    return first + length + (bytes(4) if masked else b"") + data


def close(code):
    return frame(CLOSE, struct.pack(">H", code))


def read_exact(client, count):
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        assert part, "the connection was closed"
        data += part
    return data


def next_frame(client):
    """Return kind and data of the next frame of the server."""
    kind, size = read_exact(client, 2)
    if size == 126:
        (size,) = struct.unpack(">H", read_exact(client, 2))
    return kind & 15, read_exact(client, size)


def open_track(live, client, path="/v1/track", **headers):
    """Send a handshake; return the head of the response."""
    lines = [f"{name}: {value}" for name, value in (HANDSHAKE | headers).items()]
    head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""])
    client.sendall(head.encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += read_exact(client, 1)
    return answer.decode()


# (what, close code or None for an empty close, frames)
ENDED = [
    ("text", 1003, [frame(TEXT, b"hello")]),
    ("empty text", 1003, [frame(TEXT)]),
    ("text that is not UTF-8", 1007, [frame(TEXT, b"\xff\xfe")]),
    ("a frame of 2^62 bytes", 1009, [frame(BINARY, b"abc", size=2**62)]),
    ("a frame one byte too large", 1009, [frame(BINARY, size=LIMIT + 1)]),
    (
        "fragments that are too large",
        1009,
        [
            frame(BINARY, bytes(90_000), end=False),
            frame(CONTINUED, bytes(90_000), end=False),
            frame(CONTINUED, size=90_000),
        ],
    ),
    ("no mask", 1002, [frame(BINARY, SMALL, masked=False)]),
    ("a reserved bit", 1002, [frame(BINARY, SMALL, reserved=4)]),
    ("an unknown kind", 1002, [frame(3, b"x")]),
    ("a continuation of nothing", 1002, [frame(CONTINUED, b"x")]),
    ("two starts", 1002, [frame(BINARY, b"a", end=False), frame(BINARY, b"b")]),
    ("a long ping", 1002, [frame(PING, bytes(126))]),
    ("a ping in fragments", 1002, [frame(PING, b"a", end=False)]),
    ("HTTP", 1002, [b"GET / HTTP/1.1\r\n\r\n"]),
    ("a close", 1000, [close(1000)]),
    ("a close without a code", None, [frame(CLOSE)]),
    ("a close with half a code", 1002, [frame(CLOSE, b"\x03")]),
    ("a close with an invalid code", 1002, [close(999)]),
    ("a close with a code for libraries", 1002, [close(1005)]),
    ("a close with its own code", 4999, [close(4999)]),
]


@pytest.mark.parametrize(
    ("code", "frames"), [case[1:] for case in ENDED], ids=[case[0] for case in ENDED]
)
def test_a_hostile_message_ends_the_connection_with_its_code(live, code, frames):
    with live.connect() as client:
        assert " 101 " in open_track(live, client)
        client.sendall(b"".join(frames))
        kind, data = next_frame(client)
    assert kind == CLOSE
    assert data[:2] == (b"" if code is None else struct.pack(">H", code))
    wait_until(lambda: live.service.lifecycle.tracks == 0)
    wait_until(lambda: live.service.bodies.held.count == 0)
    served(live)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_request"),
        (b"PK\x03\x04", "unsupported_media_type"),
        (png(60_000, 60_000), "too_large"),
        (SMALL[:300], "bad_request"),
    ],
    ids=["nothing", "a zip archive", "a bomb", "a truncated image"],
)
def test_a_hostile_frame_is_an_error_and_the_track_continues(live, data, code):
    with live.connect() as client:
        open_track(live, client)
        for number in range(2):
            client.sendall(frame(BINARY, data))
            answer = json.loads(next_frame(client)[1])
            assert (answer["frame"], answer["error"]["code"]) == (number, code)
    served(live)


def test_a_frame_in_fragments_between_pings_is_tracked(live):
    with live.connect() as client:
        open_track(live, client)
        client.sendall(frame(BINARY, SMALL[:300], end=False) + frame(PING, b"hi"))
        assert next_frame(client) == (PONG, b"hi")
        client.sendall(frame(CONTINUED, end=False) + frame(CONTINUED, SMALL[300:]))
        assert json.loads(next_frame(client)[1])["faces"] == []


REFUSED = [
    ("/v1/detect", 404),
    ("/nothing", 404),
    ("/", 404),
    ("/v1/track/", 404),
    ("/v1/track?max_faces=0", 422),
    ("/v1/track?max_faces=257", 422),
    ("/v1/track?max_faces=nan", 422),
    ("/v1/track?boxes=1,1,9,9", 422),
    ("/v1/track?min_face=nan", 422),
    ("/v1/track?scheme=%ff", 422),
]


def answer_of(live, path):
    return live.send("GET", path, None, HANDSHAKE)


@pytest.mark.parametrize(("path", "status"), REFUSED, ids=[each[0] for each in REFUSED])
def test_a_websocket_that_is_not_opened_gets_a_json_error(live, path, status):
    refused(answer_of(live, path), status)
    served(live)


def test_the_token_is_checked_before_the_options_and_may_be_long():
    token = "t" * 300
    with running(token=token) as live:
        assert answer_of(live, "/v1/track?fps=3").status == 401
        assert answer_of(live, "/v1/track?fps=3&token=" + token).status == 422
        with live.connect() as client:
            path = "/v1/track?token=" + token
            assert " 101 " in open_track(live, client, path)
