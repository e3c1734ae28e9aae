"""Bulk jobs: one plan and each row once, even after kills and reruns, locally and on S3."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from bulk_jobs import (
    DEADLY,
    children,
    image_of,
    rows_of,
    run_here,
    run_job,
    wait_for_parts,
    write_images,
)
from commands import call
from lineament.errors import DataError, WorkError
from lineament.serving.bulk import processes
from lineament.serving.bulk.addresses import read_bytes, shown_address
from lineament.serving.bulk.folder import OutputFolder
from lineament.serving.bulk.job import read_status
from lineament.serving.bulk.plan import PARTS, PLAN, open_plan, table_bytes
from lineament.serving.bulk.processes import MAX_TRIES, process_tasks
from lineament.serving.bulk.sources import find_sources

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "in", 20)


def parts_of(out):
    return sorted(Path(out, PARTS).glob("*.parquet"))


# --- rows


def test_each_image_has_a_row_per_face_or_one_without(images, tmp_path):
    run_here([images], tmp_path / "out")
    rows = rows_of(tmp_path / "out", images)
    # images 0 to 19 with 0, 1, 2 faces in turn: 7 without a face, 7 with one, 6 with two
    assert len(rows) == 7 + 7 + 6 * 2
    assert len({row[0] for row in rows}) == 20
    first = parquet.read_table(parts_of(tmp_path / "out")[0]).to_pylist()[0]
    assert (first["width"], first["height"]) == (8, 6)
    assert first["image"] == str(images / "0" / "0000.png")
    assert first["face"] is first["error"] is None
    assert first["scheme"] == "five"


def test_landmarks_are_those_that_the_predictor_found(images, tmp_path):
    run_here([images / "1"], tmp_path / "out")
    (found,) = [
        row
        for path in parts_of(tmp_path / "out")
        for row in parquet.read_table(path).to_pylist()
        if row["image"].endswith("0013.png")
    ]
    # image 13: one face at green 13, blue 0
    assert found["x"] == [13, 14, 15, 16, 17]
    assert found["y"] == [0, 1, 2, 3, 4]
    assert (found["face"], found["score"], found["box"][:2]) == (0, 0.5, [13, 0])


def test_a_broken_image_gives_an_error_row_and_changes_no_other(tmp_path):
    whole = write_images(tmp_path / "whole", 100)
    broken = write_images(tmp_path / "broken", 100, broken_every=100)
    run_here([whole], tmp_path / "a")
    counts = run_here([broken], tmp_path / "b")
    name = "/1/0007.png"
    expected = [row for row in rows_of(tmp_path / "a", whole) if row[0] != name]
    found = rows_of(tmp_path / "b", broken)
    assert [row for row in found if row[0] != name] == expected
    (error,) = [row for row in found if row[0] == name]
    assert f"{name}: not an image but text" in error[4]
    assert sum(part.errors for part in counts.values()) == 1


def test_a_file_name_that_is_not_valid_unicode_is_read_and_escaped(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    odd = folder / os.fsdecode(b"\xff.png")
    try:
        image_of(1).save(odd)
    except OSError:
        pytest.skip("the file system wants text")
    run_here([folder], tmp_path / "out")
    (row,) = rows_of(tmp_path / "out", folder)
    assert row[0] == "/\\udcff.png"
    assert row[4] == ""


# --- plan


def test_a_plan_is_written_once_and_then_reused(images, tmp_path):
    folder = OutputFolder(tmp_path / "out")
    plan = open_plan(folder, [str(images)], {"model": "a"}, 6)
    text = (tmp_path / "out" / PLAN).read_bytes()
    image_of(1).save(images / "new.png")
    again = open_plan(folder, [str(images)], {"model": "a"}, 3)
    assert again == plan
    assert (tmp_path / "out" / PLAN).read_bytes() == text
    assert (plan.parts, plan.sources) == (4, 20)
    listed = [plan.read_part(folder, number) for number in range(4)]
    assert [len(part) for part in listed] == [6, 6, 6, 2]
    sources = [source for part in listed for source in part]
    assert sources == find_sources([str(images / "0"), str(images / "1")])


def test_other_inputs_or_options_are_rejected(images, tmp_path):
    folder = OutputFolder(tmp_path / "out")
    open_plan(folder, [str(images)], {"model": "a"})
    with pytest.raises(DataError, match=r"contains a plan of model a; choose another"):
        open_plan(folder, [str(images)], {"model": "b"})
    with pytest.raises(DataError, match=r"contains a plan of inputs .*/in; choose"):
        open_plan(folder, [str(images / "0")], {"model": "a"})


def test_the_digest_depends_on_images_and_options(images, tmp_path):
    digests = set()
    for name, inputs, model in [
        ("a", images, "m"),
        ("b", images, "n"),
        ("c", images / "0", "m"),
    ]:
        folder = OutputFolder(tmp_path / name)
        digests.add(open_plan(folder, [str(inputs)], {"model": model}).digest)
    assert len(digests) == 3


def test_a_folder_without_a_plan_has_no_status(tmp_path):
    with pytest.raises(DataError, match="contains no plan of a bulk job"):
        read_status(tmp_path)


def test_a_broken_plan_is_an_error(images, tmp_path):
    (tmp_path / PLAN).write_text("{}")
    with pytest.raises(DataError, match="is not a plan of this version"):
        open_plan(OutputFolder(tmp_path), [str(images)], {})


def test_a_broken_part_is_named_with_the_remedy(images, tmp_path):
    folder = OutputFolder(tmp_path / "out")
    plan = open_plan(folder, [str(images)], {}, part_images=10)
    name = f"{PARTS}/{plan.part_name(1)}"
    folder.write(name, b"")
    with pytest.raises(
        DataError, match=f"{plan.part_name(1)}: a broken part .*; delete"
    ):
        read_status(folder.address)
    table = pyarrow.table({"image": ["of another program"]})
    folder.write(name, table_bytes(table, 1))
    with pytest.raises(DataError, match="a broken part"):
        read_status(folder.address)


# --- reruns


def test_an_existing_part_is_not_recomputed(images, tmp_path):
    out = tmp_path / "out"
    assert set(run_here([images], out)) == {0, 1, 2, 3}
    rows, times = rows_of(out), [path.stat().st_mtime_ns for path in parts_of(out)]
    assert run_here([images], out) == {}
    parts_of(out)[2].unlink()
    assert set(run_here([images], out)) == {2}
    assert rows_of(out) == rows
    kept = [path.stat().st_mtime_ns for path in parts_of(out)]
    assert [kept[k] == times[k] for k in range(4)] == [True, True, False, True]


def test_several_processes_write_the_same_rows_and_no_other_files(images, tmp_path):
    run_here([images], tmp_path / "a")
    (tmp_path / "b" / PARTS).mkdir(parents=True)
    (tmp_path / "b" / PARTS / ".abc.17.part").write_text("half")
    counts = run_job([images], tmp_path / "b", workers=2)
    assert rows_of(tmp_path / "b") == rows_of(tmp_path / "a")
    assert sum(part.images for part in counts.values()) == 20
    names = {path.name for path in (tmp_path / "b" / PARTS).iterdir()}
    assert names == {path.name for path in parts_of(tmp_path / "b")}


def test_a_part_that_crashes_its_processes_fails_and_the_others_complete(tmp_path):
    folder = write_images(tmp_path / "in", 6)
    deadly = Image.new("RGB", (8, 6), (DEADLY, 0, 0))
    deadly.save(folder / "0" / "0000.png")
    counts = run_job([folder], tmp_path / "out", workers=2, part_images=2)
    assert [number for number, part in counts.items() if part.failure] == [0]
    assert f"{MAX_TRIES} processes died" in counts[0].failure
    assert len(parts_of(tmp_path / "out")) == 2


def test_repeatedly_crashing_processes_end_the_job(monkeypatch):
    monkeypatch.setattr(processes, "MAX_DEATHS", 3)
    tasks = process_tasks(_die, range(10), 2)
    with pytest.raises(WorkError, match="3 processes in a row ended"):
        list(tasks)


def _die(task):
    os._exit(3)


def start(images, out):
    """Start a job with two workers in a separate process."""
    return subprocess.Popen(
        [sys.executable, "-m", "bulk_jobs", images, out],
        cwd=Path(__file__).parent,
        stderr=subprocess.PIPE,
        text=True,
    )


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "driver"])
def test_a_job_killed_five_times_has_the_rows_of_an_uninterrupted_one(tmp_path, victim):
    folder = write_images(tmp_path / "in", 300, broken_every=100)
    run_here([folder], tmp_path / "whole")
    expected, out = rows_of(tmp_path / "whole", folder), tmp_path / "out"
    assert len([row for row in expected if row[4]]) == 3
    generator = random.Random(4)
    driver = start(folder, out)
    for kill in range(5):
        # there are 60 parts; kill at a random one in each tenth
        wait_for_parts(out, kill * 8 + generator.randint(1, 8), driver)
        assert driver.poll() is None
        workers = children(driver.pid)
        if victim == "worker":
            os.kill(generator.choice(workers), signal.SIGKILL)
            continue
        driver.kill()
        driver.communicate()
        driver = start(folder, out)
    assert driver.communicate(timeout=120) == (None, "")
    assert driver.returncode == 0
    assert len(parts_of(out)) == 60
    assert rows_of(out, folder) == expected


@needs_proc
def test_workers_exit_if_the_driver_is_killed(tmp_path):
    folder = write_images(tmp_path / "in", 400)
    driver = start(folder, tmp_path / "out")
    wait_for_parts(tmp_path / "out", 1, driver)
    workers = children(driver.pid)
    assert len(workers) >= 2
    driver.kill()
    driver.communicate()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.05)


# --- commands


def test_the_command_runs_a_job_and_states_its_status(tmp_path):
    out = tmp_path / "out"
    words = ("docs/pictures/*o*.jpg", "--out", out, "--model", "fast", "--workers", 1)
    code, _, errors = call("bulk", *_from_root(words))
    assert code == 0, errors
    # astronaut and grace_hopper have one face each, drawn.jpg does not match
    assert "2 images, 2 faces, 0 errors in 1 of 1 parts -> " in errors
    assert "(1 kept from an earlier run)" in call("bulk", *_from_root(words))[2]
    code, text, _ = call("bulk", "status", out, "--format", "json")
    status = json.loads(text)
    assert (status["done"], status["images"], status["faces"]) == (True, 2, 2)
    assert status["cpu_s"] > 0
    code, text, _ = call("bulk", "status", out)
    assert "hours per million images" in text
    _same_as_detect(out, tmp_path)


def _from_root(words):
    root = Path(__file__).parents[1]
    return [root / words[0], *words[1:]]


def _same_as_detect(out, tmp_path):
    pictures = Path(__file__).parents[1] / "docs" / "pictures"
    _, text, _ = call("detect", pictures / "astronaut.jpg", "--model", "fast")
    face = json.loads(text)["faces"][0]
    (path,) = parts_of(out)
    rows = parquet.read_table(path).to_pylist()
    (row,) = [row for row in rows if row["image"].endswith("astronaut.jpg")]
    # batches and threads may change the last bits of a float32
    for (x, y), *found in zip(face["landmarks"], row["x"], row["y"], strict=True):
        assert [x, y] == pytest.approx(found, abs=0.01)


def test_an_input_without_images_gives_a_one_line_error(tmp_path):
    (tmp_path / "in").mkdir()
    code, _, errors = call("bulk", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 1
    assert "no image, video or tar in it" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


# --- S3


@pytest.fixture
def bucket(monkeypatch):
    """Yield the URL of an empty bucket on a local server."""
    server = pytest.importorskip("moto.server")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    thread = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    thread.start()
    host, port = thread.get_host_and_port()
    options = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    from pyarrow import fs

    system = fs.S3FileSystem(
        endpoint_override=f"{host}:{port}",
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
        request_timeout=60,
    )
    system.create_dir("bucket")
    yield system, f"s3://bucket/{{}}?{options}"
    thread.stop()


def test_images_and_parts_may_be_on_s3(bucket, tmp_path):
    system, address = bucket
    folder = write_images(tmp_path / "in", 30, broken_every=30)
    run_here([folder], tmp_path / "local")
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).as_posix()
        with system.open_output_stream(f"bucket/in/{name}") as file:
            file.write(path.read_bytes())
    out = address.format("out")
    counts = run_job([address.format("in")], out, workers=2)
    assert sum(part.images for part in counts.values()) == 30
    assert run_job([address.format("in")], out) == {}
    status = read_status(out)
    assert (status.is_done, status.images, status.errors) == (True, 30, 1)
    from pyarrow import fs

    fs.copy_files(
        "bucket/out",
        str(tmp_path / "copy"),
        source_filesystem=system,
        destination_filesystem=fs.LocalFileSystem(),
    )
    assert rows_of(tmp_path / "copy", "s3://bucket/in") == rows_of(
        tmp_path / "local", folder
    )
    assert find_sources([address.format("in/*/000[0-9].png")]) == [
        source
        for source in find_sources([address.format("in")])
        if "/000" in source.address
    ]


def test_keys_on_s3_may_contain_any_sign(bucket):
    system, address = bucket
    names = ["a?b.png", "a#b.png", "a%20b.png", "a?x=1", "[1].png", "*.png"]
    for name in names:
        with system.open_output_stream(f"bucket/signs/{name}") as file:
            file.write(name.encode())
    found = find_sources([address.format("signs")])
    listed = {read_bytes(each.address).decode() for each in found}
    assert listed == set(names) - {"a?x=1"}
    for name in names:
        (source,) = find_sources([address.format(f"signs/{name}")])
        assert read_bytes(source.address).decode() == name
    matched = find_sources([address.format("signs/a?b.*")])
    assert [shown_address(each.address) for each in matched] == [
        "s3://bucket/signs/a#b.png",
        "s3://bucket/signs/a?b.png",
    ]


def test_a_missing_bucket_is_a_single_error(bucket, tmp_path):
    _, address = bucket
    absent = address.format("x").replace("bucket", "absent")
    with pytest.raises(DataError, match=r"s3://absent/x: "):
        find_sources([absent])
