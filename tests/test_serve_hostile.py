"""Hostile requests: each gets an error code in the common format, and the next one is served."""

import gzip
import io
import json
import struct
import time
import zlib

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from PIL import Image

from live_server import ASTRONAUT, form, read_all, running

LIMIT = 200_000
SLOW_S = 0.5
PHOTO = ASTRONAUT.read_bytes()


def encoded(size=(64, 64), kind="JPEG", **options):
    file = io.BytesIO()
    Image.new("RGB", size, (120, 90, 80)).save(file, kind, **options)
    return file.getvalue()


SMALL = encoded()
SIDES = struct.pack(">HH", 64, 64)
"""Bytes of the size in SMALL."""
BOX = "/v1/landmarks?boxes=10,10,50,50"


@pytest.fixture(scope="module")
def live():
    limits = {
        "max_bytes": LIMIT,
        "body_timeout_s": SLOW_S,
        "header_timeout_s": SLOW_S,
        "max_files": 20,
    }
    with running(**limits) as server:
        yield server


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, rows=b"", extra=b""):
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def text_bomb(kind):
    return chunk(kind, b"k\0\0" + zlib.compress(bytes(100_000_000), 9))


def gif(screen, frame):
    """Return a GIF with these sides of its screen and its only frame."""
    data = bytearray(encoded(kind="GIF"))
    data[6:10] = struct.pack("<HH", screen, screen)
    place = data.index(b"\x2c") + 5
    data[place : place + 4] = struct.pack("<HH", frame, frame)
    return bytes(data)


def tiff(width, height):
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8)]
    entries += [(277, 1), (278, height), (279, 1)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)


def bmp(width, height):
    size = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 60, 0, 0, 54) + size + bytes(6)


def webp(width, height):
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def ico(inner):
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + inner


def many_scans():
    start = PHOTO.index(b"\xff\xda")
    return PHOTO[:start] + 200 * PHOTO[start : start + 14] + b"\xff\xd9"


def upright(data):
    """Return a JPEG whose EXIF is garbage."""
    return data[:2] + b"\xff\xe1\x00\x20Exif\0\0" + bytes(range(24)) + data[2:]


# (what, status, body, headers) to /v1/detect
BODIES = [
    ("nothing", 400, b"", {}),
    ("text", 415, b"hello, this is no image", {}),
    ("a PDF", 415, b"%PDF-1.7\n", {}),
    ("an SVG with an entity", 415, b"<svg xmlns='x'>&a;</svg>", {}),
    ("an icon of a bomb", 415, ico(png(30000, 30000)), {}),
    ("zeros", 415, bytes(100_000), {}),
    ("a zip archive", 415, b"PK\x03\x04" + bytes(100), {}),
    ("a compressed body", 415, gzip.compress(SMALL), {"Content-Encoding": "gzip"}),
    ("a GIF with a huge screen", 413, gif(65_535, 64), {}),
    ("a GIF with a huge frame", 413, gif(64, 65_535), {}),
    ("a PNG with a text bomb", 400, png(8, 8, bytes(16), text_bomb(b"zTXt")), {}),
    ("a PNG with a profile bomb", 400, png(8, 8, bytes(16), text_bomb(b"iCCP")), {}),
    ("a PNG without rows", 400, png(16, 16), {}),
    ("a PNG of no pixels", 400, png(0, 0), {}),
    ("a broken AVIF", 400, b"\0\0\0\x18ftypavif" + bytes(200), {}),
    ("a JPEG larger than its data", 413, SMALL.replace(SIDES, b"\xff" * 4), {}),
    ("a truncated photo", 400, PHOTO[:20_000], {}),
    ("a header alone", 400, PHOTO[:4], {}),
    ("noise after a signature", 400, b"\xff\xd8\xff" + bytes(range(256)) * 9, {}),
    ("a PNG bomb", 413, png(60_000, 60_000), {}),
    ("a PNG of 41 million pixels", 413, png(8_000, 5_125, bytes(5_130_125)), {}),
    ("a TIFF bomb", 413, tiff(50_000, 50_000), {}),
    ("a BMP bomb", 413, bmp(2**30, 2**30), {}),
    ("a WebP bomb", 413, webp(16_383, 16_383), {}),
    ("a JPEG of 200 scans", 413, many_scans(), {}),
    ("too many bytes", 413, bytes(LIMIT + 1), {}),
    ("JSON", 415, b"{}", {"Content-Type": "application/json"}),
    ("a form without boundary", 400, b"x", {"Content-Type": "multipart/form-data"}),
]


def served(live):
    """Assert that the next request is served."""
    answer = live.post(BOX, SMALL)
    assert answer.status == 200, answer.body
    assert live.get("/health/ready").status == 200


def refused(answer, status):
    assert answer.status == status, answer.body
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "message"}
    text = answer.body.decode()
    assert "Traceback" not in text
    assert "\\n" not in text


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [case[1:] for case in BODIES],
    ids=[case[0] for case in BODIES],
)
def test_a_hostile_body_has_its_code(live, status, body, headers):
    headers = {"Content-Type": "image/jpeg", **headers}
    refused(live.send("POST", "/v1/detect", body, headers), status)
    served(live)


FORMS = [
    ("no file", 400, [("a", None, b"1")]),
    ("files beyond the limit", 400, [("a", "a", b"1")] * 21),
    ("an unknown field", 422, [("a", "a", SMALL), ("modle", None, b"fast")]),
    ("a wrong field", 422, [("a", "a", SMALL), ("draw", None, b"perhaps")]),
    ("an empty file", 400, [("a", "a", b"")]),
    ("a file without a field name", 400, [('"; x="', None, b"1")]),
    ("a long file name", 400, [("a", "a" * 9000, SMALL)]),
    ("a long field", 422, [("a", "a", SMALL), ("model", None, bytes(100_000))]),
    ("a field that is not UTF-8", 422, [("a", "a", SMALL), ("model", None, b"\xff")]),
    ("a private field", 422, [("a", "a", SMALL), ("__class__", None, b"1")]),
    (
        "fields beyond the limit",
        400,
        [("a", "a", SMALL)] + [("draw", None, b"")] * 1300,
    ),
    (
        "boxes for two files",
        422,
        [("a", "a", SMALL)] * 2 + [("boxes", None, b"1,1,9,9")],
    ),
]


@pytest.mark.parametrize(
    ("status", "parts"), [case[1:] for case in FORMS], ids=[case[0] for case in FORMS]
)
def test_a_hostile_form_has_its_code(live, status, parts):
    refused(live.post("/v1/detect", *form(*parts)), status)
    served(live)


def test_a_truncated_form_is_rejected(live):
    body, kind = form(("a", "a", SMALL))
    refused(live.post("/v1/detect", body[:-30], kind), 400)
    served(live)


QUERIES = [
    "model=../../weights/fast.onnx",
    "model=nobody",
    "scheme=/etc/passwd.toml",
    "scheme=nobody",
    "scheme=mediapipe478",
    "min_face=nan",
    "min_face=0",
    "min_face=two",
    "boxes=1,2,3",
    "boxes=a,b,c,d",
    "boxes=nan,1,2,3",
    "boxes=-inf,-inf,inf,inf",
    "boxes=500,500,600,600",
    "boxes=30,30,10,10",
    "boxes=" + "&boxes=".join(["1,1,9,9"] * 300),
    "draw=maybe",
    "head_pose=2",
    "unknown=1",
    "boxes=",
    "boxes=[]",
    "boxes=[10,10,50,50]",
    "boxes[]=1,1,9,9",
    "boxes=-50,-50,-20,-20",
    "boxes=0,0,0,0",
    "boxes=1e999,0,1,1",
    "boxes=1,2,3,4,5",
    "min_face=-5px",
    "min_face=infpx",
    "scheme=",
    "draw=",
    "model=fast&model=nobody",
    "model=%00",
    "model=%ff%fe",
    "%00=1",
    "=",
    "model=" + "x" * 5000,
]


@pytest.mark.parametrize("query", QUERIES, ids=[query[:24] for query in QUERIES])
def test_a_hostile_option_is_invalid(live, query):
    answer = live.post("/v1/detect?" + query, SMALL)
    refused(answer, 422)
    assert len(answer.body) < 1500
    served(live)


def test_a_box_of_any_size_gives_numbers_or_a_refusal(live):
    for box in (
        "-1e300,-1e300,1e300,1e300",
        "-1e9,-1e9,1e9,1e9",
        "10,10,10.001,10.001",
    ):
        answer = live.post(f"/v1/landmarks?boxes={box}", SMALL)
        assert answer.status in (200, 422), answer.body
    served(live)


def test_a_search_of_too_many_pixels_is_rejected_before_it_runs(live):
    large = encoded((4000, 3000))
    start = time.monotonic()
    refused(live.post("/v1/detect?min_face=2px", large), 422)
    assert time.monotonic() - start < 20
    served(live)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/detect", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/v2/models/..%2f..%2fpyproject", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/docs", 404),
        ("PUT", "/v1/detect", 405),
        ("OPTIONS", "/v1/landmarks", 405),
        ("POST", "/health/live", 405),
        ("POST", "/", 405),
        ("POST", "/v1/detect/", 404),
        ("POST", "//v1/detect", 404),
        ("GET", "/v1/track", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/v2/models/fast%00", 404),
        ("POST", "/v2/models/fast/infer", 404),
    ],
)
def test_a_wrong_path_or_method_is_also_a_json_error(live, method, path, status):
    refused(live.send(method, path), status)
    served(live)


HEAD = "POST /v1/detect HTTP/1.1\r\nHost: x\r\n"
RAW = [
    ("no HTTP", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9 + b"\r\n\r\n"),
    ("a huge header", 400, HEAD.encode() + b"X: " + b"a" * 200_000 + b"\r\n\r\n"),
    ("a million headers", 400, HEAD.encode() + b"X: a\r\n" * 50_000 + b"\r\n"),
    ("a negative length", 400, f"{HEAD}Content-Length: -5\r\n\r\n".encode()),
    (
        "two lengths",
        400,
        f"{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\n".encode(),
    ),
    ("a broken chunk", 400, f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode()),
    ("two hosts", 400, HEAD.encode() + b"Host: y\r\n\r\n"),
    ("no host", 400, b"GET /health/live HTTP/1.1\r\n\r\n"),
    ("a NUL in a header", 400, HEAD.encode() + b"X: a\0b\r\n\r\n"),
    ("a header without a colon", 400, HEAD.encode() + b"junk\r\n\r\n"),
    ("an endless length", 400, f"{HEAD}Content-Length: {'9' * 5000}\r\n\r\n".encode()),
    ("an unknown encoding", 400, f"{HEAD}Transfer-Encoding: gzip\r\n\r\n".encode()),
    ("half a head", 408, HEAD.encode()),
    ("nothing at all", 408, b""),
]


@pytest.mark.parametrize(
    ("status", "data"), [case[1:] for case in RAW], ids=[case[0] for case in RAW]
)
def test_bytes_that_are_no_request_are_rejected(live, status, data):
    try:
        answer = live.send_raw(data)
    except ConnectionError:  # closed by the server while the bytes were being sent
        answer = b""
    if answer or len(data) < 100_000:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert set(json.loads(body)) == {"error"}
    served(live)


def test_a_slow_body_times_out_and_releases_its_memory(live):
    with live.connect() as client:
        client.sendall(f"{HEAD}Content-Length: 1000\r\n\r\nabc".encode())
        start = time.monotonic()
        answer = read_all(client)
    assert time.monotonic() - start < 20
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b'"timeout"' in answer
    assert live.service.bodies.held.count == 0
    served(live)


def test_a_chunked_body_beyond_the_limit_is_cut_off(live):
    piece = b"4e20\r\n" + bytes(20_000) + b"\r\n"
    with live.connect() as client:
        client.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(40):
                client.sendall(piece)
            client.sendall(b"0\r\n\r\n")
        except ConnectionError:
            pass
        answer = read_all(client)
    assert b" 413 " in answer.split(b"\r\n")[0]
    served(live)


def test_a_large_body_is_rejected_before_it_is_sent(live):
    with live.connect() as client:
        head = f"{HEAD}Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        answer = read_all(client)
    assert b" 413 " in answer.split(b"\r\n")[0]
    served(live)


@pytest.mark.parametrize(
    ("status", "kind"), [(413, "image/jpeg"), (415, "application/json")]
)
def test_a_client_that_sends_a_refused_body_still_gets_the_reason(live, status, kind):
    headers = {"Content-Type": kind, "Connection": "close"}
    # larger than the buffers of a connection
    refused(live.send("POST", "/v1/detect", bytes(30_000_000), headers), status)
    assert live.service.bodies.held.count == 0
    served(live)


def test_errors_about_addresses_and_options_say_what_to_do(live):
    unknown = live.post("/v1/detect?modle=fast", SMALL).json["error"]["message"]
    assert unknown == "modle: unknown option; did you mean 'model'?"
    assert "use POST" in live.get("/v1/detect").json["error"]["message"]
    assert "/openapi.json" in live.get("/v1/nothing").json["error"]["message"]


@pytest.mark.parametrize(
    ("accepted", "kind"),
    [
        (["text/html", "image/jpeg"], "image/jpeg"),
        (["application/json, Image/JPEG; q=0.5"], "image/jpeg"),
        (["image/jpeg;q=0, */*"], "application/json"),
        (["image/jpeg2000"], "application/json"),
    ],
)
def test_accept_headers_are_read_as_lists(live, accepted, kind):
    head = f"{HEAD}Connection: close\r\nContent-Length: {len(SMALL)}\r\n"
    head += "".join(f"Accept: {each}\r\n" for each in accepted)
    answer = live.send_raw(head.encode() + b"\r\n" + SMALL)
    assert f"content-type: {kind}\r\n".encode() in answer


@pytest.mark.parametrize("name", [b"\xff\xfe.jpg", b"a\0b.jpg", b"a\nb.jpg"])
def test_odd_file_names_stay_in_one_line(live, name):
    part = (
        b'--x\r\nContent-Disposition: form-data; name=f; filename="%s"\r\n\r\n' % name
    )
    body = (part + SMALL + b"\r\n") * 2 + b"--x--\r\n"
    answer = live.post("/v1/detect", body, "multipart/form-data; boundary=x")
    assert answer.status == 200
    lines = answer.body.splitlines()
    assert [json.loads(line)["image"] for line in lines] == [name.decode("latin-1")] * 2


def test_an_aborted_body_releases_its_memory(live):
    for _ in range(5):
        with live.connect() as client:
            client.sendall(
                f"{HEAD}Content-Length: 90000\r\n\r\n".encode() + bytes(50_000)
            )
    served(live)
    assert live.service.bodies.held.count == 0
    assert len(live.service.queue) == 0


def test_file_names_are_echoed_and_never_opened(live):
    names = ["../../../etc/passwd", "C:\\windows\\x.jpg", "a" * 300 + ".jpg"]
    body, kind = form(*[("file", name.replace("\\", "\\\\"), SMALL) for name in names])
    answer = live.post("/v1/detect", body, kind)
    assert answer.status == 200
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert len(lines) == 3
    assert lines[0]["image"] == names[0]
    served(live)


def test_a_broken_file_among_others_is_one_line_of_error(live):
    parts = [
        ("f", "good.jpg", SMALL),
        ("f", "bad.jpg", b"bad"),
        ("f", "last.jpg", SMALL),
    ]
    answer = live.post("/v1/detect", *form(*parts))
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["image"] for line in lines] == ["good.jpg", "bad.jpg", "last.jpg"]
    assert lines[1]["error"]["code"] == "unsupported_media_type"
    assert lines[0]["faces"] == lines[2]["faces"]


def test_garbage_in_metadata_is_ignored(live):
    assert live.post("/v1/detect", upright(SMALL)).status == 200


def test_corrupted_images_are_served_or_rejected(live):
    numbers = np.random.default_rng(0)
    for _ in range(15):
        data = bytearray(SMALL)
        for place in numbers.integers(2, len(data), 20):
            data[place] = numbers.integers(256)
        assert live.post(BOX, bytes(data)).status in (200, 400, 413, 415)
    served(live)
