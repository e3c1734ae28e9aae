"""Parts of the server without a running one: queue, tracks, drawing, files of the page."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from fastapi import FastAPI

from commands import call
from lineament.face import Faces
from lineament.serving import server, track_routes
from lineament.serving.detect_work import MAX_JPEG_SIDE, DetectRequest, _result
from lineament.serving.refusals import Refusal
from lineament.serving.static_page import add_page
from lineament.serving.uploads import Upload
from lineament.serving.work_queue import Job, WorkQueue


def test_jobs_of_disconnected_clients_hold_no_image():
    started, go_on = threading.Event(), threading.Event()

    def block(items):
        started.set()
        go_on.wait(30)
        return items

    queue = WorkQueue(1, wait_s=100)
    queue.submit(Job("blocking", block, None))
    assert started.wait(30)
    try:
        for _ in range(5):
            queue.submit(Job("quick", block, b"image")).future.cancel()
        kept = queue.submit(Job("quick", block, b"image"))
        assert list(queue._jobs) == [kept]
    finally:
        go_on.set()
        queue.close()


def test_a_track_counts_before_its_handshake_ends(monkeypatch):
    lifecycle = SimpleNamespace(active=0, tracks=0)
    counted = []

    class Socket:
        async def accept(self):
            counted.append((lifecycle.active, lifecycle.tracks))

    async def run(*_):
        pass

    service = SimpleNamespace(lifecycle=lifecycle)
    monkeypatch.setattr(track_routes, "get_service", lambda _: service)
    opened = SimpleNamespace(discard=lambda: None)
    monkeypatch.setattr(track_routes, "_open", lambda *_: opened)
    monkeypatch.setattr(track_routes, "_run", run)
    asyncio.run(track_routes.track(Socket()))
    assert counted == [(1, 1)]
    assert (lifecycle.active, lifecycle.tracks) == (0, 0)


def test_an_image_too_long_for_a_drawn_jpeg_is_rejected():
    image = np.zeros((1, MAX_JPEG_SIDE + 1, 3), np.uint8)
    faces = Faces((), "five", 5)
    request = DetectRequest(Upload("", b""), None, None, False, True, 10**9)
    with pytest.raises(Refusal, match="has a side of 65501 pixels") as refused:
        _result(request, image, faces)
    assert refused.value.status == 422
    longest = _result(request, image[:, 1:], faces)
    assert longest.media_type == "image/jpeg"


def messages_of(app, kind, path):
    """Return the messages with which an application answers one request."""
    sent = []
    scope = {"type": kind, "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {"headers": [], "query_string": b"", "root_path": "", "extensions": {}}

    async def receive():
        await asyncio.sleep(0)
        return {"type": "websocket.connect", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_modules_of_the_page_have_their_type_on_every_system(tmp_path, monkeypatch):
    # as on Windows, whose registry may call them text
    plain = ("text/plain", None)
    monkeypatch.setattr("starlette.responses.guess_type", lambda *_: plain)
    for name in ("index.html", "page.js"):
        (tmp_path / name).write_text("content")
    app = FastAPI()
    add_page(app, tmp_path)
    start = messages_of(app, "http", "/page.js")[0]
    assert (b"content-type", b"text/javascript; charset=utf-8") in start["headers"]


def test_a_websocket_to_the_page_is_rejected(tmp_path):
    (tmp_path / "index.html").write_text("content")
    app = FastAPI()
    add_page(app, tmp_path)
    (message,) = messages_of(app, "websocket", "/page")
    assert message["type"] == "websocket.close"


def test_a_token_from_a_file_has_no_line_break(monkeypatch):
    given = []
    monkeypatch.setattr(server, "serve", lambda settings, *_: given.append(settings))
    monkeypatch.setenv("LINEAMENT_TOKEN", "secret\n")
    call("serve")
    assert given[0].token == "secret"
