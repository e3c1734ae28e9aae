"""A headless Chromium for tests, driven over a pipe by its DevTools protocol."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium():
    """Return the path of the Chromium executable, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without logging, with the MIME types for modules and WebAssembly."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_):
        pass


class FolderServer:
    """Context manager that serves a folder on a free port; yields the URL."""

    def __init__(self, folder):
        handler = partial(QuietHandler, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Chromium:
    """One page of a headless Chromium.

    `requests` lists the URL of every request by the page and its workers.
    """

    def __init__(self, profile, *flags):
        theirs, self.output = os.pipe()
        self.input, ours = os.pipe()
        command = [find_chromium(), "--headless", "--no-sandbox", "--disable-gpu"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={profile}"]
        command += ["--no-first-run", "--disable-background-networking", *flags]

        def connect():
            # the browser reads from file descriptor 3 and writes to 4
            high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, ours)]
            for end, place in zip(high, (3, 4), strict=True):
                os.dup2(end, place)

        self.process = subprocess.Popen(
            command, pass_fds=(3, 4), preexec_fn=connect, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(ours)
        self.buffer, self.number, self.requests, self.messages = b"", 0, [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attach = {"targetId": target, "flatten": True}
        self.session = self.call("Target.attachToTarget", **attach)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Target.setAutoAttach",
            autoAttach=True,
            waitForDebuggerOnStart=False,
            flatten=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=20)
        os.close(self.input)
        os.close(self.output)

    def read(self):
        """Return the next message."""
        while b"\0" not in self.buffer:
            part = os.read(self.input, 1 << 20)
            assert part, "the browser ended"
            self.buffer += part
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        self.note(message)
        return message

    def note(self, message):
        """Record requests, log entries and exceptions; enable the same for new workers."""
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Target.attachedToTarget":
            if params["targetInfo"]["type"] == "worker":
                self.send("Network.enable", params["sessionId"])
                self.send("Log.enable", params["sessionId"])
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            shown = details.get("exception", {}).get("description", details["text"])
            self.messages.append(shown)

    def send(self, method, session=None, **params):
        """Send a command and return its id."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        return self.number

    def call(self, method, **params):
        """Send a command and return its result."""
        number = self.send(method, getattr(self, "session", None), **params)
        while True:
            message = self.read()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]

    def evaluate(self, expression):
        """Evaluate a JavaScript expression, await a promise, and return the value."""
        done = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def open(self, address):
        """Load a page."""
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete'")

    def wait_for(self, expression, seconds=90):
        """Wait until an expression is truthy, and return its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.1)
        shown = self.evaluate("document.body.innerText")
        raise AssertionError(f"{expression} is not true; {self.messages}; {shown}")

    def choose_files(self, selector, paths):
        """Select files in an <input type=file>."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=list(map(str, paths)))

    def key(self, key, modifiers=0):
        """Press and release a key."""
        code = f"Key{key.upper()}" if len(key) == 1 and key.isalpha() else key
        values = {"key": key, "code": code, "modifiers": modifiers}
        if key == "Enter":
            values |= {"windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def drag(self, start, end):
        """Drag the pointer from one point of the page to another."""
        for kind, (x, y), pressed in (
            ("mousePressed", start, 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):
            values = {"x": x, "y": y, "buttons": pressed, "clickCount": 1}
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, button=button, **values)

    def screenshot(self, path, width=1200, height=900):
        """Save a screenshot of the page as a PNG file."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", mobile=False, **metrics)
        shot = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(shot))
