"""The page and lineament.js, run in node and Chromium, find the same faces as Python."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")

from chromium import Chromium, FolderServer, find_chromium
from free_images import FOLDER, free_images
from lineament import Predictor, faces_from_json
from lineament.errors import InputError
from lineament.geometry import box_side
from lineament.inference.face_detector import FaceDetector
from lineament.inference.model_files import find_model
from lineament.io.image import ORIENTATION_TAG
from lineament.serving import page as pages
from lineament.serving.page import write_page
from lineament.serving.runtime import find_runtime

pytestmark = pytest.mark.slow
NODE = shutil.which("node")
SCRIPT = Path(__file__).parent / "page_in_node.mjs"
needs_node = pytest.mark.skipif(NODE is None, reason="needs node")
needs_chromium = pytest.mark.skipif(not find_chromium(), reason="needs Chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The folder of a page with both models."""
    try:
        runtime = find_runtime()
    except InputError as error:
        pytest.skip(f"needs onnxruntime-web: {error}")
    folder = tmp_path_factory.mktemp("page") / "page"
    write_page(folder, ["fast", "accurate"], runtime=runtime)
    return folder


@pytest.fixture(scope="module")
def images():
    return free_images()


def in_node(page, folder, images, boxes=None, **job):
    """Run lineament.js in node on RGB images and return the results."""
    listed = []
    for k, image in enumerate(images):
        height, width = image.shape[:2]
        opaque = np.full((height, width, 1), 255, np.uint8)
        path = folder / f"{k}.rgba"
        path.write_bytes(np.concatenate([image, opaque], axis=2).tobytes())
        listed.append({"file": str(path), "width": width, "height": height})
        if boxes is not None:
            listed[-1]["boxes"] = boxes[k].tolist()
    (folder / "job.json").write_text(json.dumps({"images": listed} | job))
    command = [NODE, SCRIPT, page, folder / "job.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def landmarks_of(result):
    return np.array([face["landmarks"] for face in result["faces"]])


@pytest.fixture(scope="module")
def predictor(page):
    """Return a Python predictor that uses the files of the page."""
    detector = page / "detector.onnx"
    shutil.copy(find_model("detector").with_suffix(".json"), page / "detector.json")
    yield Predictor(page / "fast.onnx", FaceDetector(detector, proposals=True))
    (page / "detector.json").unlink()


@pytest.fixture(scope="module")
def expected(images, predictor):
    """The faces that Python finds in the free images."""
    return predictor(images)


def check_faces(expected, results):
    """Check that both found the same faces, with landmarks within a pixel."""
    assert len(expected) == len(results) == 20
    for faces, result in zip(expected, results, strict=True):
        # a face close to the presence threshold may be found by only one of them
        sure = [face for face in faces if face.presence > 0.92]
        found = [face for face in result["faces"] if face["presence"] > 0.92]
        assert len(sure) == len(found) > 0
        for face, other in zip(sure, found, strict=True):
            moves = np.linalg.norm(face.landmarks - other["landmarks"], axis=1)
            assert moves.max() <= 1
            np.testing.assert_allclose(face.box, other["box"], atol=0.1)
            np.testing.assert_allclose(face.scores, other["scores"], atol=0.02)
            np.testing.assert_allclose(face.sigma_px, other["sigma_px"], rtol=0.1)
            np.testing.assert_allclose(face.visible, other["visible"], atol=0.02)


@needs_node
def test_node_finds_the_faces_that_python_finds(page, images, expected, tmp_path):
    check_faces(expected, in_node(page, tmp_path, images, model="fast"))


@needs_node
@pytest.mark.parametrize("model", ["fast", "accurate"])
def test_given_boxes_have_the_landmarks_that_the_shipped_model_finds(
    page, images, predictor, tmp_path, model
):
    boxes = [predictor(image).boxes[:1] for image in images]
    results = in_node(page, tmp_path, images, boxes, model=model)
    shipped, web = Predictor(model), Predictor(page / f"{model}.onnx")
    size, padding = shipped.model.size, shipped.model.padding
    moves = []
    for image, box, result in zip(images, boxes, results, strict=True):
        pixel = (
            padding * box_side(box[0]) / size
        )  # size of a crop pixel in image pixels
        same = web(image, box).landmarks - landmarks_of(result)
        assert np.linalg.norm(same, axis=2).max() <= 0.4
        moved = shipped(image, box).landmarks - landmarks_of(result)
        moves.append(np.linalg.norm(moved, axis=2) / pixel)
    # the shipped file rounds its activations to 8 bits, this one does not
    assert np.median(moves) <= 0.5


@needs_node
def test_the_shipped_files_run_unchanged(images, page, tmp_path, monkeypatch):
    """If onnx is not installed, the page has the shipped files."""
    monkeypatch.setattr(pages, "has_onnx", lambda: False)
    write_page(tmp_path / "int8", ["fast"], runtime=find_runtime())
    shipped = Predictor("fast")
    pair = [images[0], images[10]]
    boxes = [shipped(image).boxes[:1] for image in pair]
    results = in_node(tmp_path / "int8", tmp_path, pair, boxes)
    for image, box, result in zip(pair, boxes, results, strict=True):
        moved = shipped(image, box).landmarks - landmarks_of(result)
        pixel = 1.3 * box_side(box[0]) / shipped.model.size
        # 8-bit kernels round differently in the browser
        assert np.linalg.norm(moved, axis=2).max() / pixel <= 0.5


@needs_node
def test_a_face_is_followed_from_frame_to_frame(page, images, tmp_path):
    frames = [np.roll(images[0], 3 * k, axis=1) for k in range(12)]
    results = in_node(page, tmp_path, frames, track=True)
    first = landmarks_of(results[0])
    for k, result in enumerate(results):
        assert len(result["faces"]) == 1
        found = landmarks_of(result)
        moves = np.linalg.norm(found - first - [3 * k, 0], axis=2)
        assert np.median(moves) < 1
        box = [*found[0].min(0), *found[0].max(0)]
        np.testing.assert_allclose(result["faces"][0]["box"], box, atol=1e-9)


@needs_node
def test_json_of_the_module_is_read_by_python(page, images, tmp_path):
    script = tmp_path / "save.mjs"
    address = (page / "lineament.js").as_uri()
    script.write_text(
        f"import {{ toJson, toCsv }} from '{address}';\n"
        "import fs from 'node:fs';\n"
        f"const results = JSON.parse(fs.readFileSync('{tmp_path}/results.json'));\n"
        "for (const result of results) result.image = 'M\\u00fcller, \"a\".jpg';\n"
        f"fs.writeFileSync('{tmp_path}/faces.json', toJson(results[0]));\n"
        f"fs.writeFileSync('{tmp_path}/faces.csv', toCsv(results));\n"
    )
    results = in_node(page, tmp_path, images[:1])
    (tmp_path / "results.json").write_text(json.dumps(results))
    subprocess.run([NODE, script], check=True)
    name, faces = faces_from_json((tmp_path / "faces.json").read_text("ascii"))
    assert name == 'Müller, "a".jpg'
    assert faces.scheme == "ibug68"
    np.testing.assert_array_equal(faces.landmarks, landmarks_of(results[0]))
    head, row = (tmp_path / "faces.csv").read_text("utf-8").splitlines()
    assert head.split(",") == ["image", *faces.columns(68)]
    assert row.startswith('"Müller, ""a"".jpg",0,ibug68,,')


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    """Yield a Chromium that shows the page, with a fake camera."""
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    profile = tmp_path_factory.mktemp("chromium")
    with FolderServer(page) as address, Chromium(profile, *flags) as opened:
        opened.address = address
        opened.open(f"{address}/index.html")
        opened.wait_for("document.getElementById('status').textContent === 'Ready.'")
        yield opened


@needs_chromium
def test_chromium_finds_the_faces_that_python_finds(browser, page, images, expected):
    for k, image in enumerate(images):
        Image.fromarray(image).save(page / f"{k}.png", compress_level=1)
    script = f"""(async () => {{
      const {{ load }} = await import("{browser.address}/lineament.js");
      const lineament = await load({{ model: "fast" }});
      const results = [];
      for (let k = 0; k < {len(images)}; k++) {{
        const blob = await (await fetch(`${{k}}.png`)).blob();
        results.push(await lineament.detect(blob));
      }}
      return JSON.stringify(results);
    }})()"""
    results = json.loads(browser.evaluate(script))
    for path in page.glob("*.png"):
        path.unlink()
    check_faces(expected, results)


def status(browser):
    return browser.evaluate("document.getElementById('status').textContent")


@needs_chromium
def test_chosen_images_are_searched_as_in_python(browser, page, predictor):
    paths = [FOLDER / "astronaut.jpg", FOLDER / "grace_hopper.jpg"]
    browser.choose_files("#files", paths)
    browser.wait_for(
        "document.querySelectorAll('#images button').length === 2 && "
        "!document.getElementById('images').textContent.includes('…')"
    )
    script = f"""(async () => {{
      const {{ load }} = await import("{browser.address}/lineament.js");
      const lineament = await load({{ model: "fast" }});
      const photo = await (await fetch("photo.jpg")).blob();
      return JSON.stringify(await lineament.detect(photo));
    }})()"""
    photo = page / "photo.jpg"
    turned = Image.open(paths[0]).rotate(90, expand=True)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6  # upright again
    turned.save(photo, exif=exif, quality=95)
    result = json.loads(browser.evaluate(script))
    (face,) = predictor(photo)
    photo.unlink()
    assert abs(face.box[0] - 177) < 3
    moves = np.linalg.norm(landmarks_of(result)[0] - face.landmarks, axis=1)
    assert moves.max() <= 1


@needs_chromium
def test_keys_select_images_and_update_the_status(browser):
    label = "document.getElementById('canvas').getAttribute('aria-label')"
    browser.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))")
    browser.wait_for(
        "document.getElementById('status').textContent.startsWith('grace')"
    )
    assert browser.evaluate(label).startswith("1 face, one ")
    assert not browser.evaluate("document.getElementById('sigmas').checked")
    browser.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'u'}))")
    assert browser.evaluate("document.getElementById('sigmas').checked")


@needs_chromium
def test_the_number_of_a_face_zooms_to_its_box(browser):
    size = "[canvas.width, canvas.height]"
    browser.evaluate("document.querySelectorAll('#images button')[1].click()")
    browser.wait_for("canvas.height === 600")
    pressed = "document.querySelector('#faces button').getAttribute('aria-pressed')"
    browser.evaluate("document.querySelector('#faces button').click()")
    browser.wait_for("canvas.width === 800")
    assert browser.evaluate(size) == [800, 800]
    assert browser.evaluate(pressed) == "true"
    # after the last face, the key shows the whole image
    browser.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'f'}))")
    browser.wait_for("canvas.width === 512")
    assert browser.evaluate(size) == [512, 600]
    assert browser.evaluate(pressed) == "false"


@needs_chromium
def test_a_selected_image_keeps_the_focus(browser):
    buttons = "document.querySelectorAll('#images button')"
    for index in (0, 1):
        browser.evaluate(f"{buttons}[{index}].focus(), {buttons}[{index}].click()")
        assert browser.evaluate(f"document.activeElement === {buttons}[{index}]")
    browser.wait_for("canvas.height === 600")


@needs_chromium
def test_selecting_the_current_image_keeps_its_zoom(browser):
    browser.evaluate("document.querySelector('#faces button').click()")
    browser.evaluate("document.querySelectorAll('#images button')[1].click()")
    # longer than opening an image takes
    time.sleep(1)
    assert browser.evaluate("canvas.width") == 800
    browser.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'f'}))")


@needs_chromium
def test_the_page_is_not_wider_than_a_phone(browser):
    phone = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.call("Emulation.setDeviceMetricsOverride", **phone)
    width = browser.evaluate("document.documentElement.scrollWidth")
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert width == 380


@needs_chromium
def test_results_are_saved_as_json_csv_and_a_drawn_image(browser):
    browser.evaluate(
        "window.saved = []; const make = URL.createObjectURL; "
        "URL.createObjectURL = (blob) => { saved.push(blob); return make(blob); }; "
        "HTMLAnchorElement.prototype.click = function () { saved.push(this.download); }"
    )
    for number, name in enumerate(("json", "csv", "png"), 1):
        browser.evaluate(f"document.getElementById('{name}').click()")
        browser.wait_for(f"saved.length === {2 * number}")
    names = [browser.evaluate(f"saved[{k}]") for k in (1, 3, 5)]
    assert names == ["faces.jsonl", "faces.csv", "grace_hopper-faces.png"]
    lines = browser.evaluate("saved[0].text()").splitlines()
    read = [faces_from_json(line) for line in lines]
    assert [image for image, _ in read] == ["astronaut.jpg", "grace_hopper.jpg"]
    assert [len(faces) > 0 for _, faces in read] == [True, True]
    rows = browser.evaluate("saved[2].text()").splitlines()
    assert len(rows) == 1 + sum(len(faces) for _, faces in read)
    size = "createImageBitmap(saved[4]).then(({ width, height }) => [width, height])"
    assert browser.evaluate(size) == [512, 600]


@needs_chromium
@pytest.mark.parametrize("event", ["drop", "paste"])
def test_images_can_be_dropped_and_pasted(browser, page, event):
    count = "document.querySelectorAll('#images li').length"
    before = browser.evaluate(count)
    kinds = {"drop": "DragEvent", "paste": "ClipboardEvent"}
    field = {"drop": "dataTransfer", "paste": "clipboardData"}[event]
    shutil.copy(FOLDER / "grace_hopper.jpg", page / "photo.jpg")
    browser.evaluate(
        f"""fetch("photo.jpg").then((answer) => answer.blob()).then((blob) => {{
          const files = new DataTransfer();
          files.items.add(new File([blob], "{event}ed.jpg", {{ type: "image/jpeg" }}));
          dispatchEvent(new {kinds[event]}("{event}", {{ {field}: files }}));
        }})"""
    )
    (page / "photo.jpg").unlink()
    browser.wait_for(f"{count} === {before + 1}")
    browser.wait_for(
        f"document.getElementById('status').textContent === '{event}ed.jpg: 1 face.'"
    )


@needs_chromium
def test_a_dropped_file_that_is_not_an_image_is_named_in_the_error(browser):
    browser.evaluate(
        """(() => {
          const files = new DataTransfer();
          files.items.add(new File(["a"], "notes.txt", { type: "text/plain" }));
          dispatchEvent(new DragEvent("drop", { dataTransfer: files }));
        })()"""
    )
    assert status(browser) == "notes.txt: not an image."


@needs_chromium
def test_a_broken_image_is_named_in_the_error(browser, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")
    browser.choose_files("#files", [path])
    browser.wait_for(
        "document.getElementById('status').textContent.includes('not an image')"
    )
    assert status(browser) == "broken.jpg: not an image that can be opened."
    count = "document.querySelectorAll('#images li').length"
    before = browser.evaluate(count)
    browser.evaluate("document.getElementById('remove').click()")
    browser.wait_for(f"{count} === {before - 1}")


@needs_chromium
def test_the_camera_starts_and_stops(browser):
    browser.evaluate("document.getElementById('camera').click()")
    browser.wait_for(
        "/^[1-9]/.test(document.getElementById('rate').textContent) && "
        "document.getElementById('status').textContent.startsWith('Camera: ')"
    )
    browser.evaluate("document.getElementById('camera').click()")
    browser.wait_for(
        "document.getElementById('camera').getAttribute('aria-pressed') === 'false'"
    )


@needs_chromium
def test_neither_the_page_nor_its_worker_can_reach_another_host(browser):
    elsewhere = "http://localhost:9/"
    attempt = f"fetch('{elsewhere}').then(() => 'sent', error => error.message)"
    with_policy = "securitypolicyviolation"
    seen = browser.evaluate(
        f"""new Promise((resolve) => {{
          addEventListener("{with_policy}", (event) => resolve(event.blockedURI));
          {attempt};
          setTimeout(() => resolve("no violation"), 5000);
        }})"""
    )
    assert seen.startswith("http://localhost:9")
    # a worker from a blob, as client.js makes it
    seen = browser.evaluate(
        f"""new Promise((resolve) => {{
          const code = `addEventListener("{with_policy}",
            (event) => postMessage(event.blockedURI));
            {attempt}; setTimeout(() => postMessage("no violation"), 5000);`;
          const blob = new Blob([code], {{ type: "text/javascript" }});
          const worker = new Worker(URL.createObjectURL(blob), {{ type: "module" }});
          worker.onmessage = ({{ data }}) => resolve(data);
        }})"""
    )
    assert seen.startswith("http://localhost:9")


@needs_chromium
def test_every_request_went_to_the_origin_of_the_page(browser):
    allowed = (browser.address, f"blob:{browser.address}", "data:", "blob:null")
    others = [url for url in browser.requests if not url.startswith(allowed)]
    assert [url for url in others if not url.startswith("http://localhost:9/")] == []
    assert any(url.endswith(".wasm") for url in browser.requests)
