"""The program as a process: help, version, pipes and signals."""

import os
import resource
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from commands import call, run
from free_images import FOLDER
from lineament import __version__
from lineament.cli import app

IMAGE = FOLDER / "astronaut.jpg"


def test_version_prints_the_package_version():
    assert call("version")[1] == f"lineament {__version__}\n"


def test_help_takes_less_than_half_a_second():
    # CPU time, since other programs may be using the machine
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "detect" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_help_of_every_command_imports_no_heavy_library():
    script = (
        "import sys; from typer.testing import CliRunner; from lineament.cli import app\n"
        "names = [c.name or c.callback.__name__ for c in app.registered_commands]\n"
        "names = [name.replace('_', '-') for name in names]\n"
        "codes = [CliRunner().invoke(app, [name, '--help']).exit_code for name in names]\n"
        "heavy = {'torch', 'cv2', 'onnxruntime', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{codes} {heavy}' if any(codes) or heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_quiet():
    process = subprocess.Popen(
        [sys.executable, "-m", "lineament", "version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1)


def test_closed_streams_do_not_end_a_command():
    # windowed programs have none
    script = (
        "import sys; from lineament.cli import main\n"
        f"sys.argv[1:] = ['detect', {str(IMAGE)!r}, '--model', 'tiny']\n"
        "sys.stdout = sys.stderr = None; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60)
    assert done.returncode == 0


def test_a_frozen_program_runs_its_worker_processes():
    script = (
        "import multiprocessing, sys; from lineament.cli import main\n"
        "sys.frozen = True; sys.argv[1:] = ['--multiprocessing-fork']\n"
        "multiprocessing.freeze_support = lambda: sys.exit('worker')\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "worker\n"


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_an_interrupted_process_exits_with_130_without_traceback():
    script = (
        "import time\n"
        "from lineament.cli import main\n"
        "import lineament.inference.model_files\n"
        "lineament.inference.model_files.list_models = "
        "lambda: (print('ready', flush=True), time.sleep(30))\n"
        "import sys; sys.argv = ['lineament', 'models']; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == ""


def test_version_is_also_an_option():
    assert (
        CliRunner().invoke(app, ["--version"]).stdout
        == CliRunner().invoke(app, ["version"]).stdout
    )
