"""Missing or broken OpenCV: one error with the command to type, the same as in doctor."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import pytest

from lineament import opencv
from lineament.errors import ExtraError

SOURCE = Path(opencv.__file__).parent


def test_opencv_is_the_module_of_that_name():
    assert opencv.load() is opencv.cv2 is cv2


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (ModuleType("cv2"), "its module cv2 has no warpAffine"),
        (None, "import of cv2 halted; None in sys.modules"),
    ],
    ids=["empty", "absent"],
)
def test_a_broken_or_absent_module_is_one_error(monkeypatch, module, reason):
    monkeypatch.setitem(sys.modules, "cv2", module)
    with pytest.raises(ExtraError) as caught:
        opencv.load()
    assert str(caught.value) == f"OpenCV cannot be used: {reason}; {opencv.remedy()}"


def test_the_advice_removes_all_opencv_packages_and_installs_one(monkeypatch):
    found = {"opencv-python": "4.11.0", "opencv-python-headless": "4.11.0"}
    monkeypatch.setattr(opencv, "installed_versions", lambda: found)
    monkeypatch.setattr(opencv, "required_versions", lambda: "<6,>=4.10")
    assert opencv.remedy() == (
        "type: pip uninstall -y opencv-python opencv-python-headless && "
        "pip install --no-deps 'opencv-python-headless<6,>=4.10'"
    )
    found.clear()
    assert opencv.remedy() == (
        "type: pip install --no-deps 'opencv-python-headless<6,>=4.10'"
    )


def test_doctor_and_import_give_one_advice_if_opencv_is_empty(tmp_path):
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2/__init__.py").write_text("")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import lineament\n"
        "try:\n    lineament.Predictor\n"
        "except lineament.ExtraError as error:\n    print(error)\n"
        "from lineament.cli import main\n"
        "sys.argv = ['lineament', 'doctor']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    advice = opencv.remedy()
    message = f"OpenCV cannot be used: its module cv2 has no warpAffine; {advice}"
    assert done.stdout.splitlines()[0] == message
    failed = [line for line in done.stderr.splitlines() if "extra" not in line]
    needed = [line for line in failed if "lineament[" not in line]
    assert needed == [f"opencv-python-headless: {advice}"]


def test_only_one_file_imports_opencv_itself():
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import) and node.names[0].name == "cv2":
                found.append(path.name)
    assert set(found) == {"opencv.py"}
