"""The scripts of both pages, run in node with a browser reduced to what they use."""

import json
import shutil
import subprocess
from importlib.resources import files

import pytest

from lineament.serving.page import STATIC

REVIEW = files("lineament").joinpath("serving/static_review/review.js")
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")

CAMERA = """
const track = new EventTarget();
track.readyState = "live";
track.stop = () => { track.readyState = "ended"; };
const stream = { getVideoTracks: () => [track], getTracks: () => [track] };
const mediaDevices = { getUserMedia: async () => stream };
Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
let frames = 1;
const video = { play: async () => {}, requestVideoFrameCallback: (act) => {
  if (frames-- > 0) setTimeout(act, 0);
} };
globalThis.document = { createElement: () => video };
globalThis.createImageBitmap = async () => ({ close() {} });
const later = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));
const told = [];
const start = (ask) => startCamera({ ask }, {
  onFrame: () => told.push("frame"),
  onEnd: (error) => told.push(error ? error.message : "end"),
});
"""

PAGE = """
class Thing extends EventTarget {
  constructor(name = "") { super(); this.name = name; this.options = []; }
  matches(selector) { return selector.split(", ").includes(this.name); }
  add(option) { this.options.push(option); }
  setAttribute() {}
  focus() {}
  getContext() {
    return new Proxy({}, { get: () => () => {}, set: () => true });
  }
}
class HTMLSelectElement extends Thing {}
class HTMLButtonElement extends Thing {}
class ResizeObserver { constructor(act) { globalThis.resized = act; } observe() {} }
class Image { set src(_) { setTimeout(() => this.onload(), 0); } }
class Option { constructor(text) { this.text = text; } }
Object.assign(globalThis, { HTMLSelectElement, HTMLButtonElement, ResizeObserver, Image, Option });
globalThis.window = { devicePixelRatio: 1 };
const things = {};
globalThis.document = new Thing();
document.getElementById = (id) => (things[id] ??= Object.assign(new Thing(), {
  clientWidth: 800, clientHeight: 600,
}));
const face = () => ({
  image: "a.jpg", image_size: [9, 9], doubt: 1, status: "", side: 8, second: null,
  landmarks: [[1, 1], [8, 8]], start: [[1, 1], [8, 8]], occluded: [false, false],
  sigma_px: [null, null], region: [0, 0, 9, 9],
});
const review = {
  points: ["a", "b"], edges: [], mirror: [1, 0], reviewer: "ann", scheme: "two",
  faces: [0, 1, 2].map((n) => ({ name: `${n}`, status: "" })),
};
const saved = [];
globalThis.fetch = async (path, options) => {
  if (options?.method === "PUT") {
    await later(5);
    saved.push(path);
  }
  const value = path === "api/review" ? review : face();
  return { ok: true, json: async () => value };
};
const later = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));
function press(key, on = "canvas", more = {}) {
  const event = Object.assign(new Event("keydown", { cancelable: true }), { key, ...more });
  Object.defineProperty(event, "target", { value: new Thing(on) });
  document.dispatchEvent(event);
  return event.defaultPrevented;
}
"""


def in_node(script):
    """Run a module; return the JSON values that it prints."""
    command = [NODE, "--input-type=module", "--eval", script]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def with_camera(act):
    address = json.dumps((STATIC / "camera.js").as_uri())
    imported = f"const {{ startCamera }} = await import({address});"
    shown = "console.log(JSON.stringify([told, track.readyState])); process.exit(0);"
    return in_node(f"{CAMERA}{imported}{act}{shown}")


def on_review(act, page=PAGE):
    address = json.dumps(REVIEW.as_uri())
    shown = "console.log(JSON.stringify(saved)); process.exit(0);"
    return in_node(f"{page}await import({address}); await later(); {act} {shown}")


def test_a_camera_that_gives_no_frame_is_released_when_stopped():
    act = "const stop = start(async () => ({})); await later(); stop(); await later();"
    assert with_camera(act) == [["frame", "end"], "ended"]


def test_a_camera_that_was_unplugged_ends_with_an_error():
    act = "start(async () => ({})); await later(); track.readyState = 'ended';"
    act += "track.dispatchEvent(new Event('ended')); await later();"
    assert with_camera(act) == [["frame", "it was disconnected"], "ended"]


def test_a_stopped_camera_reports_no_error_of_its_worker():
    act = "const stop = start(async () => { await later(); throw Error('gone'); });"
    act += "await later(5); stop(); await later(60);"
    assert with_camera(act) == [["end"], "ended"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("doubt: 1", "a.jpg, 9 × 9 px; ranking score 1.00"),
        ("x: 1", "a.jpg, 9 × 9 px"),
    ],
)
def test_a_ranking_score_is_shown_only_if_the_order_has_one(given, shown):
    script = PAGE.replace("doubt: 1", given)
    act = "saved.push(things.facts.textContent);"
    assert on_review(act, script) == [shown]


def test_the_enter_key_accepts_a_face_once():
    twice = "press('Enter'); press('Enter'); await later(60);"
    assert on_review(twice) == ["api/faces/0"]
    held = (
        "press('Enter'); await later(60); press('Enter', 'canvas', { repeat: true });"
    )
    assert on_review(f"{held} await later(60);") == ["api/faces/0"]


@pytest.mark.parametrize("name", ["summary", "button"])
def test_the_enter_key_on_a_control_operates_the_control(name):
    act = f"if (press('Enter', '{name}')) saved.push('prevented'); await later(60);"
    assert on_review(act) == []


def test_a_slow_answer_keeps_the_face_that_was_opened_since():
    act = "press('Enter'); press(']'); press(']'); await later(60);"
    act += "saved.push(things.progress.textContent.slice(0, 11));"
    assert on_review(act) == ["api/faces/0", "Face 3 of 3"]


def test_the_face_is_fitted_again_when_the_window_is_resized():
    # the longer side of the face's box takes 90 % of the smaller side of the canvas
    act = "const marks = []; things.canvas.getContext = () => new Proxy({}, {"
    act += (
        "get: (_, name) => (x) => name === 'arc' && marks.push(x), set: () => true });"
    )
    act += "const span = () => { marks.length = 0; resized(); "
    act += "return Math.round(marks[1] - marks[0]); };"
    act += "things.canvas.clientHeight = 200; saved.push(span());"
    act += "things.canvas.clientHeight = 400; saved.push(span());"
    act += "press('+'); const zoomed = span(); things.canvas.clientHeight = 200;"
    act += "saved.push(span() === zoomed);"
    # 7 of the 8 pixels of `side` lie between both landmarks: 7/8 of 180 and of 360
    assert on_review(act) == [158, 315, True]
