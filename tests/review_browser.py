"""A headless Chromium that tests drive through its debugging protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 60
SIZE = (1400, 1000)


class Tab:
    """One page of the browser."""

    def __init__(self, socket):
        self.socket = socket
        self.numbers = itertools.count(1)
        self.problems = []
        self.call("Page.enable")
        self.call("Runtime.enable")

    def call(self, method, **values):
        """Call a method of the protocol; return its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": values}))
        while True:
            answer = json.loads(self.socket.recv(timeout=WAIT_S))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.problems.append(answer["params"])
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script):
        """Return the value of an expression."""
        values = {"returnByValue": True, "awaitPromise": True}
        found = self.call("Runtime.evaluate", expression=script, **values)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script):
        """Wait until an expression is true."""
        end = time.monotonic() + WAIT_S
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)

    def key(self, key, modifiers=0):
        """Press and release a key."""
        code = f"Key{key.upper()}" if len(key) == 1 and key.isalpha() else key
        values = {"key": key, "code": code, "modifiers": modifiers}
        if key == "Enter":
            values |= {"windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def drag(self, start, end):
        """Drag the pointer from one place of the page to another."""
        for kind, (x, y), pressed in (
            ("mousePressed", start, 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):
            values = {"x": x, "y": y, "buttons": pressed, "clickCount": 1}
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, button=button, **values)

    def screenshot(self, path: Path):
        """Write what the page shows as PNG."""
        data = self.call("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def browser(folder: Path):
    """Yield a tab of a new browser; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium")
    client = pytest.importorskip("websockets.sync.client")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += ["--remote-debugging-port=0", f"--user-data-dir={folder}"]
    options += [f"--window-size={SIZE[0]},{SIZE[1]}", "about:blank"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen([program, *options], stdout=quiet, stderr=quiet) as process:
        try:
            port = _port(folder / "DevToolsActivePort")
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=WAIT_S) as pages:
                listed = json.load(pages)
            page = next(each for each in listed if each["type"] == "page")
            address = page["webSocketDebuggerUrl"]
            with client.connect(address, max_size=None) as socket:
                yield Tab(socket)
        finally:
            process.terminate()


def _port(path: Path) -> int:
    end = time.monotonic() + WAIT_S
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < end, "Chromium does not start"
        time.sleep(0.1)
    return int(path.read_text().splitlines()[0])
