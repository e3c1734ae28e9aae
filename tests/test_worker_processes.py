"""Predictors in the worker processes of other libraries, joblib and gunicorn, act as here."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from free_images import FOLDER
from lineament import Predictor, to_dict

pytestmark = pytest.mark.slow
IMAGES = (FOLDER / "astronaut.jpg", FOLDER / "grace_hopper.jpg")
APP = """
import json
from lineament import Predictor, to_dict

predictor = Predictor("fast", threads=1)
predictor({warm_up!r})  # with --preload, workers inherit running threads


def app(environ, start_response):
    faces = predictor(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(to_dict(faces)).encode()]
"""


@pytest.fixture(scope="module")
def expected():
    predictor = Predictor("fast", threads=1)
    return [json.dumps(to_dict(predictor(path))) for path in IMAGES]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_finds_the_same_faces(expected, backend):
    joblib = pytest.importorskip("joblib")
    predictor = Predictor("fast", threads=1)
    jobs = [joblib.delayed(predictor)(path) for path in IMAGES]
    found = joblib.Parallel(n_jobs=2, backend=backend)(jobs)
    assert [json.dumps(to_dict(faces)) for faces in found] == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs fork")
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_gunicorn_workers_find_the_same_faces(expected, tmp_path, options):
    pytest.importorskip("gunicorn")
    (tmp_path / "detect_app.py").write_text(APP.format(warm_up=str(IMAGES[0])))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", address]
    server = subprocess.Popen(
        [*command, *options, "detect_app:app"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    try:
        # twice each, so that probably both workers answer
        found = [ask(f"http://{address}{path}") for path in (*IMAGES, *IMAGES)]
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert found == expected * 2


def ask(url):
    """Return the answer of a server that may still be starting."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
