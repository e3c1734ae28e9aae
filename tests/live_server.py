"""Run a server in a thread of this process, with small clients for its tests."""

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lineament.serving.server import Server
from lineament.serving.service import make_service
from lineament.serving.settings import ServerSettings

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
ASTRONAUT = PICTURES / "astronaut.jpg"


@dataclass
class Answer:
    """The response to one request."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error code in the body."""
        return self.json["error"]["code"]


@dataclass
class Live:
    """A running server."""

    server: Server
    port: int

    @property
    def service(self):
        return self.server.service

    def send(self, method, path, body=None, headers=None, timeout=60):
        """Send one request over a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.send("GET", path, None, headers)

    def post(self, path, body, kind="image/jpeg", **headers):
        return self.send("POST", path, body, {"Content-Type": kind, **headers})

    def send_raw(self, data, timeout=30):
        """Send raw bytes; return everything received until the connection closes."""
        with self.connect(timeout) as client:
            client.sendall(data)
            return read_all(client)

    def connect(self, timeout=30):
        return socket.create_connection(("127.0.0.1", self.port), timeout)


def read_all(client):
    """Return everything received until the connection closes."""
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def form(*parts, boundary="lineament"):
    """Return the body and content type of a form with parts (name, file name or None, bytes)."""
    lines = b""
    for name, file_name, data in parts:
        place = f'form-data; name="{name}"'
        if file_name is not None:
            place += f'; filename="{file_name}"'
        lines += f"--{boundary}\r\nContent-Disposition: {place}\r\n\r\n".encode()
        lines += data + b"\r\n"
    body = lines + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


@contextmanager
def running(**settings):
    """Run a server with these settings in a thread, and wait until it is ready."""
    started = threading.Event()
    service = make_service(ServerSettings(**{"models": ("fast",), **settings}))
    server = Server(service, "127.0.0.1", 0, lambda address: started.set())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(30)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        wait_until(lambda: service.lifecycle.is_ready)
        yield Live(server, port)
    finally:
        server._loop.call_soon_threadsafe(server.drain)
        thread.join(20)
        assert not thread.is_alive()


def wait_until(holds, seconds=60):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.01)
