"""`lineament serve` as a process: options, variables, signals, and its container."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from commands import call
from live_server import ASTRONAUT

ROOT = Path(__file__).parents[1]


@contextmanager
def process(*words, **variables):
    """Run `lineament serve words...`; yield the process and its address."""
    command = [sys.executable, "-m", "lineament", "serve", "--port", "0", *words]
    serving = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    try:
        lines = []
        while not lines or "serving at" not in lines[-1]:
            lines.append(serving.stderr.readline())
            assert lines[-1], "".join(lines)
        yield serving, lines[-1].split()[-1], "".join(lines)
    finally:
        serving.kill()
        serving.communicate()


def get(address, path, **headers):
    request = urllib.request.Request(address + path, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def wait_until_ready(address):
    """Wait until the server is ready; until then its status must be "warming_up"."""
    end = time.monotonic() + 120
    codes = set()
    while time.monotonic() < end:
        try:
            get(address, "/health/ready")
            break
        except urllib.error.HTTPError as error:
            codes.add(json.load(error)["error"]["code"])
            time.sleep(0.05)
    assert codes <= {"warming_up"}


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_ten_seconds_without_an_error(stop):
    with process("--model", "fast") as (serving, address, _):
        wait_until_ready(address)
        start = time.monotonic()
        serving.send_signal(stop)
        _, log = serving.communicate(timeout=60)
        seconds = time.monotonic() - start
        # unless other programs use the cores
        assert seconds < 10 or os.getloadavg()[0] > 2 * os.cpu_count()
        assert serving.returncode == 0
        assert "draining" in log
        assert "Traceback" not in log


def test_environment_variables_set_the_same_as_options():
    variables = {"LINEAMENT_MODEL": "fast accurate", "LINEAMENT_TOKEN": "opens"}
    with process(**variables) as (_, address, _):
        found = json.loads(get(address, "/v1/models", Authorization="Bearer opens"))
    assert [model["name"] for model in found["models"]] == ["fast", "accurate"]


def test_a_public_address_without_a_token_causes_a_warning():
    with process("--model", "fast", "--host", "0.0.0.0") as (_, address, said):
        assert "warning: 0.0.0.0 accepts connections from any machine" in said
        assert address.startswith("http://0.0.0.0:")
    with process("--model", "fast", "--host", "0.0.0.0", "--token", "x") as (
        _,
        _,
        said,
    ):
        assert "warning" not in said


def test_an_address_in_use_gives_a_one_line_error():
    with process("--model", "fast") as (_, address, _):
        port = address.rpartition(":")[2]
        code, _, error = call("serve", "--model", "fast", "--port", port)
    assert code == 1
    assert "choose another --port" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "nobody"), "unknown model 'nobody'"),
        (("--device", "abacus"), "unknown device 'abacus'"),
        (("--page", "nowhere"), "has no index.html"),
    ],
)
def test_a_wrong_setting_gives_a_one_line_error(words, message):
    code, _, error = call("serve", *words)
    assert code == 1
    assert message in error
    assert len(error.splitlines()) == 1


def test_an_empty_token_is_rejected():
    # as from an unset variable of a shell; the server would be open
    code, _, error = call("serve", "--host", "0.0.0.0", "--token", "")
    assert code == 2
    assert "--token is empty" in error


def test_the_container_runs_as_another_user_and_checks_its_health():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    assert user not in ("root", "0")
    text = "\n".join(lines)
    check = re.search(r'HEALTHCHECK.*?CMD \["python", "-c", "(.*?)"\]', text, re.DOTALL)
    with process("--model", "fast") as (_, address, _):
        wait_until_ready(address)
        variables = {**os.environ, "LINEAMENT_PORT": address.rpartition(":")[2]}
        command = [sys.executable, "-c", check[1]]
        options = {"env": variables, "check": False, "timeout": 60}
        assert subprocess.run(command, **options).returncode == 0
    failed = subprocess.run(command, capture_output=True, **options)
    assert failed.returncode != 0


def test_the_server_writes_no_file(tmp_path):
    before = set(tmp_path.iterdir())
    variables = {"TMPDIR": str(tmp_path / "absent"), "HOME": str(tmp_path)}
    with process("--model", "fast", **variables) as (_, address, _):
        wait_until_ready(address)
        boundary = "x"
        body = b"--x\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n"
        body += ASTRONAUT.read_bytes() * 20 + b"\r\n--x--\r\n"  # a file of 2 MB
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(address + "/v1/detect", body, kind)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["faces"]
    assert set(tmp_path.iterdir()) == before
