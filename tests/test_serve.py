"""The server: responses equal to the library's in every format, and its state."""

import asyncio
import gzip
import io
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from PIL import Image

from lineament import Predictor, __version__, head_pose
from lineament.io.formats import faces_to_dict, to_dict
from lineament.serving import responses
from lineament.serving.lifecycle import Lifecycle
from lineament.serving.work_queue import Job
from live_server import ASTRONAUT, PICTURES, form, running, wait_until

PHOTO = ASTRONAUT.read_bytes()
HOPPER = (PICTURES / "grace_hopper.jpg").read_bytes()
BOX = [150.0, 60.0, 300.0, 250.0]


@pytest.fixture(scope="module")
def live():
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def predictor():
    return Predictor("fast", threads=1)


def wanted(faces, name=""):
    """Return the expected response for these faces."""
    size = {"image_size": list(faces.image_size)}
    return json.loads(json.dumps(faces_to_dict(faces, name, 4) | size))


class Blocker:
    """A job that blocks one thread of the queue until the context exits."""

    def __init__(self, live, cost_s=0.05):
        self.opened, entered = threading.Event(), threading.Event()
        live.service.queue._costs["block"] = cost_s

        def block(items):
            entered.set()
            assert self.opened.wait(60)
            return items

        live.service.queue.submit(Job("block", block, None), always=True)
        assert entered.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.opened.set()


def test_a_raw_body_gives_the_result_of_the_library(live, predictor):
    found = live.post("/v1/detect", PHOTO)
    assert found.status == 200
    assert found.headers["content-type"] == "application/json"
    assert found.json == wanted(predictor(PHOTO))
    assert len(found.json["faces"]) == 1
    responses.FacesResponse.model_validate(found.json)


def test_the_default_content_type_of_curl_is_accepted(live, predictor):
    found = live.post("/v1/detect", PHOTO, "application/x-www-form-urlencoded")
    assert found.json == wanted(predictor(PHOTO))


def test_a_form_of_one_file_is_one_document_with_its_name(live, predictor):
    found = live.post("/v1/detect", *form(("file", "me.jpg", PHOTO)))
    assert found.json == wanted(predictor(PHOTO), "me.jpg")


def test_several_files_are_lines_in_their_order(live, predictor):
    parts = [("f", "a.jpg", PHOTO), ("f", "b.jpg", HOPPER), ("f", "c.jpg", PHOTO)]
    found = live.post("/v1/detect", *form(*parts))
    assert found.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in found.body.splitlines()]
    assert lines == [wanted(predictor(data), name) for _, name, data in parts]


def test_options_may_be_fields_of_the_form(live):
    parts = [("file", "me.jpg", PHOTO), ("scheme", None, b"five")]
    found = live.post("/v1/detect", *form(*parts))
    assert found.json["scheme"] == "five"
    assert (
        found.json["faces"] == live.post("/v1/detect?scheme=five", PHOTO).json["faces"]
    )


def test_given_boxes_replace_the_detector(live, predictor):
    query = ",".join(map(str, BOX))
    found = live.post(f"/v1/landmarks?boxes={query}&boxes={query}", PHOTO)
    assert found.json == wanted(predictor(PHOTO, [BOX, BOX]))
    assert (
        found.json == live.post(f"/v1/detect?boxes={query}&boxes={query}", PHOTO).json
    )


def test_landmarks_need_boxes(live):
    assert live.post("/v1/landmarks", PHOTO).status == 422


def test_the_smallest_face_is_passed_on(live):
    for size in ("40px", "0.9"):
        expected = Predictor("fast", threads=1, min_face=size)(PHOTO)
        found = live.post(f"/v1/detect?min_face={size}", PHOTO)
        assert found.json == wanted(expected)


def test_requested_face_sizes_load_no_more_networks(live):
    cached = live.service.models.predictor
    for size in range(20, 30):
        assert live.post(f"/v1/detect?min_face={size}px", PHOTO).status == 200
    networks = {
        id(cached(None, None, f"{size}px").detector.function.detector.network)
        for size in range(20, 30)
    }
    assert len(networks) == 1


def test_the_head_pose_equals_that_of_the_library(live, predictor):
    faces = predictor(PHOTO)
    found = live.post("/v1/detect?head_pose=true", PHOTO).json
    assert found["faces"][0]["head_pose"] == to_dict(
        head_pose(faces[0], faces.image_size)
    )
    responses.FacesResponse.model_validate(found)


def test_accept_jpeg_or_draw_returns_the_drawn_image(live):
    drawn = live.post("/v1/detect", PHOTO, Accept="image/jpeg")
    assert drawn.headers["content-type"] == "image/jpeg"
    assert drawn.body == live.post("/v1/detect?draw=true", PHOTO).body
    pixels = np.asarray(Image.open(io.BytesIO(drawn.body))).astype(int)
    original = np.asarray(Image.open(io.BytesIO(PHOTO))).astype(int)
    difference = np.abs(pixels - original).max(2)
    assert pixels.shape == original.shape
    assert difference[85:180, 175:270].max() > 100  # in the face
    assert difference[300:].max() < 60  # below it, only the JPEG differs


def test_many_clients_at_once_get_the_same_answers(live, predictor):
    expected = {data: wanted(predictor(data)) for data in (PHOTO, HOPPER)}

    def ask(number):
        data = (PHOTO, HOPPER)[number % 2]
        found = live.post("/v1/detect", data)
        while found.status == 503:
            time.sleep(0.2)
            found = live.post("/v1/detect", data)
        return found.json == expected[data]

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(ask, range(24)))
    assert len(live.service.queue) == 0


def test_batches_across_requests_give_the_same_answers(predictor):
    with running(max_batch=8) as live, ThreadPoolExecutor(6) as threads:
        with Blocker(live) as blocker:
            data = [PHOTO, HOPPER, PHOTO[:9000], PHOTO, b"GIF89a", HOPPER]
            found = [threads.submit(live.post, "/v1/detect", each) for each in data]
            wait_until(lambda: len(live.service.queue) == 7)
            blocker.opened.set()
        results = [future.result() for future in found]
    assert [result.status for result in results] == [200, 200, 400, 200, 400, 200]
    for number in (0, 1, 3, 5):
        assert_close(results[number].json, wanted(predictor(data[number])))


def assert_close(found, expected):
    """Assert equality up to rounding, since batches may sum in another order."""
    assert len(found["faces"]) == len(expected["faces"])
    for one, other in zip(found["faces"], expected["faces"], strict=True):
        for key in ("box", "landmarks", "scores", "sigma_px"):
            np.testing.assert_allclose(one[key], other[key], atol=0.01)


def test_a_busy_server_rejects_with_the_time_to_wait(live):
    with Blocker(live, cost_s=9.0):
        found = live.post("/v1/detect", PHOTO)
        assert live.get("/health/ready").status == 200
    assert (found.status, found.code) == (503, "busy")
    assert 6 <= int(found.headers["retry-after"]) <= 9


def test_requests_of_disconnected_clients_are_not_processed(live):
    service = live.service
    with Blocker(live):
        head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PHOTO)}\r\n\r\n"
        with live.connect() as client:
            client.sendall(head.encode() + PHOTO)
            wait_until(lambda: len(service.queue) == 2)
        wait_until(lambda: len(service.queue) == 1)
    wait_until(lambda: service.lifecycle.active == 0)
    left = 'route="/v1/detect",status="499"'
    wait_until(lambda: left in live.get("/metrics").body.decode())


def test_models_are_listed_with_their_schemes(live):
    found = live.get("/v1/models").json
    responses.ModelsResponse.model_validate(found)
    (only,) = found["models"]
    assert (only["name"], only["default"]) == ("fast", True)
    assert (only["scheme"], only["points"]) == ("ibug68", 68)
    assert "Research only" in only["license"]


def test_health_is_live_and_ready(live):
    assert live.get("/health/live").json == {"status": "live"}
    assert live.get("/health/ready").json == {"status": "ready"}


def test_health_answers_head_requests_of_load_balancers(live):
    for path in (
        "/health/live",
        "/health/ready",
        "/v2/health/live",
        "/v2/health/ready",
    ):
        found = live.send("HEAD", path, None, {})
        assert (found.status, found.body) == (200, b"")


def test_the_open_inference_protocol_describes_server_and_models(live):
    assert live.get("/v2").json["version"] == __version__
    assert live.get("/v2/health/live").json == {"live": True}
    assert live.get("/v2/health/ready").json == {"ready": True}
    assert live.get("/v2/models/fast/ready").json == {"name": "fast", "ready": True}
    found = live.get("/v2/models/fast").json
    responses.ModelMetadataResponse.model_validate(found)
    crops = {"name": "crops", "datatype": "UINT8", "shape": [-1, 128, 128, 3]}
    assert found["inputs"] == [crops]
    landmarks = {"name": "landmarks_crop", "datatype": "FP32", "shape": [-1, 68, 2]}
    assert landmarks in found["outputs"]
    assert live.get("/v2/models/nobody").status == 404


def test_metrics_count_requests_and_faces(live):
    counted = 'lineament_requests_total{route="/v1/detect",status="200"}'
    live.post("/v1/detect", PHOTO)
    wait_until(lambda: counted in live.get("/metrics").body.decode())
    text = live.get("/metrics").body.decode()
    assert "lineament_faces_total" in text
    assert "lineament_expected_wait_seconds 0.0" in text
    assert "process_resident_memory_bytes" in text


def test_the_description_has_the_types_of_all_answers(live):
    described = live.get("/openapi.json").json
    for path in ("/v1/detect", "/v1/landmarks"):
        post = described["paths"][path]["post"]
        bodies = post["requestBody"]["content"]
        kinds = {"image/*", "application/octet-stream", "multipart/form-data"}
        assert kinds == set(bodies)
        for status in ("400", "401", "408", "413", "415", "422", "500", "503"):
            schema = post["responses"][status]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith("/ErrorResponse")
        types = post["responses"]["200"]["content"]
        assert types["application/json"]["schema"]["$ref"].endswith("/FacesResponse")
        assert "image/jpeg" in types
        # several files cannot have boxes
        assert ("application/x-ndjson" in types) == (path == "/v1/detect")
        names = {each["name"] for each in post["parameters"]}
        assert names == {"model", "scheme", "boxes", "min_face", "head_pose", "draw"}
        form_schema = bodies["multipart/form-data"]["schema"]
        assert set(form_schema["properties"]) == names | {"file"}
    # FastAPI's own error type is never sent
    assert "HTTPValidationError" not in described["components"]["schemas"]
    for path in ("/v1/models", "/v2/models/{name}"):
        assert "401" in described["paths"][path]["get"]["responses"]


def test_the_plain_page_loads_nothing(live):
    found = live.get("/")
    assert found.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in found.headers["content-security-policy"]
    assert b"/v1/detect" in found.body


def test_a_folder_of_files_is_the_page(tmp_path):
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<p>own page")
    (folder / "code.js").write_text("let x")
    large = "let x\n" * 1000
    (folder / "large.js").write_text(large)
    (tmp_path / "secret.txt").write_text("secret")
    with running(page=folder) as live:
        assert live.get("/").body == b"<p>own page"
        assert "frame-ancestors" in live.get("/").headers["content-security-policy"]
        assert "javascript" in live.get("/code.js").headers["content-type"]
        small = live.get("/code.js", **{"Accept-Encoding": "gzip"})
        assert "content-encoding" not in small.headers
        packed = live.get("/large.js", **{"Accept-Encoding": "gzip, br"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept-Encoding"
        assert "javascript" in packed.headers["content-type"]
        assert "frame-ancestors" in packed.headers["content-security-policy"]
        assert len(packed.body) < 500
        assert gzip.decompress(packed.body) == large.encode()
        assert live.get("/large.js").body == large.encode()
        cached = {"If-None-Match": packed.headers["etag"], "Accept-Encoding": "gzip"}
        assert live.get("/large.js", **cached).status == 304
        # a file that was changed since the start
        (folder / "large.js").write_text("let y" + " " * 2000)
        os.utime(folder / "large.js", (1, 1))
        changed = live.get("/large.js", **{"Accept-Encoding": "gzip"})
        assert changed.body.startswith(b"let y")
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"):
            assert live.get(path).status == 404
        assert live.post("/v1/detect", PHOTO).status == 200


def test_with_a_token_only_health_page_and_description_are_open():
    with running(token="opens all") as live:
        for path in (
            "/",
            "/health/live",
            "/health/ready",
            "/v2/health/ready",
            "/openapi.json",
        ):
            assert live.get(path).status == 200, path
        for path in ("/v1/models", "/v2/models/fast", "/metrics"):
            assert live.get(path).status == 401, path
            assert live.get(path, Authorization="Bearer opens all").status == 200
        for wrong in ("Bearer opens", "Basic opens all", "Bearer", "Bearer öpens"):
            refused = live.post("/v1/detect", PHOTO, Authorization=wrong)
            assert (refused.status, refused.code) == (401, "unauthorized")
            assert refused.headers["www-authenticate"] == "Bearer"


def test_bodies_of_all_requests_together_are_limited():
    with running(max_pending_bytes=len(PHOTO) - 1) as live:
        found = live.post("/v1/detect", PHOTO)
        assert (found.status, found.code) == (503, "busy")
        assert live.service.bodies.held.count == 0


def test_connections_beyond_the_limit_are_rejected():
    with running(max_connections=2) as live:
        with live.connect(), live.connect(), live.connect() as third:
            assert b" 503 " in third.recv(1000).split(b"\r\n")[0]
        wait_until(lambda: live.get("/health/live").status == 200)


def test_a_log_line_has_the_route_but_no_request_data(live, caplog):
    with caplog.at_level("INFO", logger="lineament.serve"):
        live.post("/v1/detect", *form(("file", "holiday-with-anna.jpg", PHOTO)))
        live.post("/v1/landmarks?boxes=151,61,301,251", PHOTO)
        live.get("/photos/of/anna")
        wait_until(
            lambda: len(caplog.records) >= 3
        )  # the line is logged after the response
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("POST /v1/detect 200 ")
    assert not any(word in " ".join(lines) for word in ("anna", "151", "127.0.0.1"))


def test_an_internal_error_is_logged_in_one_line_without_traceback(
    live, monkeypatch, caplog
):
    def fail(data):
        raise RuntimeError("the secret of the image")

    monkeypatch.setattr("lineament.serving.detect_work.read_image", fail)
    with caplog.at_level("INFO", logger="lineament.serve"):
        found = live.post("/v1/detect", PHOTO)
        wait_until(lambda: len(caplog.records) >= 2)
    assert (found.status, found.code) == (500, "internal")
    text = caplog.text + found.body.decode()
    assert "RuntimeError at" in text
    assert "secret" not in text
    assert "Traceback" not in text


def test_a_failed_warm_up_is_logged_and_the_server_is_not_ready(live, caplog):
    class Broken:
        def warm_up(self):
            raise RuntimeError("no memory")

    lifecycle = Lifecycle(live.service.queue, Broken())
    with caplog.at_level("INFO", logger="lineament.serve"):
        asyncio.run(lifecycle.warm_up())
    assert not lifecycle.is_ready
    assert "RuntimeError at" in caplog.text
    assert "the server will not be ready" in caplog.text


def test_draining_finishes_started_requests_and_rejects_new_ones():
    with running(drain_timeout_s=30) as live, ThreadPoolExecutor(1) as threads:
        with Blocker(live):
            begun = threads.submit(live.post, "/v1/detect", PHOTO)
            wait_until(lambda: len(live.service.queue) == 2)
            live.server._loop.call_soon_threadsafe(live.server.drain)
            wait_until(lambda: live.get("/health/ready").status == 503)
            assert live.get("/health/ready").code == "draining"
            assert live.get("/health/live").status == 200
            refused = live.post("/v1/detect", PHOTO)
            assert (refused.status, refused.code) == (503, "draining")
            assert refused.headers["retry-after"] == "1"
        assert begun.result(60).status == 200


def test_draining_has_a_time_limit():
    with (
        running(drain_timeout_s=0.2, body_timeout_s=60) as live,
        live.connect() as client,
    ):
        client.sendall(
            b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        )
        wait_until(lambda: live.service.lifecycle.active == 1)
        start = time.monotonic()
        live.server._loop.call_soon_threadsafe(live.server.drain)
        wait_until(lambda: not live.server.started or live.server.should_exit, 20)
        assert time.monotonic() - start < 15
