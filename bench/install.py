"""Create a virtual environment per peer with its models, once, in a cache folder."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
MESH = f"{SITE}/mediapipe/modules/face_landmark/face_landmark.tflite"


@dataclass(frozen=True)
class Environment:
    """One virtual environment."""

    name: str
    requirements: tuple[str, ...]
    imports: tuple[str, ...]
    """Modules that must be importable."""
    ours: bool = False
    """True if it contains this package, which is reinstalled when its sources change."""


@dataclass(frozen=True)
class PeerPlan:
    """Command and notes of one row of the table."""

    name: str
    environment: str
    script: str
    arguments: tuple[str, ...]
    license: str
    """License of code and model, for the table's notes."""
    note: str = ""


ENVIRONMENTS = (
    Environment("bare", (), ()),
    Environment("lineament", (str(ROOT),), ("lineament", "onnxruntime"), ours=True),
    Environment("video", (f"{ROOT}[video]",), ("lineament", "av"), ours=True),
    Environment("dlib", ("dlib-bin==20.0.1.post1", "numpy"), ("dlib",)),
    Environment("mediapipe", ("mediapipe==0.10.21", "numpy<2"), ("mediapipe",)),
    Environment(
        "litert",
        ("ai-edge-litert==2.3.0", "opencv-python-headless", "numpy"),
        ("ai_edge_litert", "cv2"),
    ),
)
OURS = "code MIT; models trained on research-only data"
PEERS = (
    PeerPlan(
        "dlib 68",
        "dlib",
        "dlib68.py",
        ("{cache}/data/shape_predictor_68_face_landmarks.dat",),
        "code BSL-1.0; predictor: Debian's libdlib-data states CC0; its author states that it was "
        "trained on 300W and that 300W's terms exclude commercial use",
        "its training faces of 300W are not published: on 300W its errors are a lower bound",
    ),
    PeerPlan(
        "MediaPipe mesh, graph",
        "mediapipe",
        "mediapipe_graph.py",
        ("plain",),
        "Apache-2.0, code and model",
        "FaceLandmarkCpu of the wheel on the given square; "
        "`model` is that graph on a crop of 192 x 192",
    ),
    PeerPlan(
        "MediaPipe mesh + attention, graph",
        "mediapipe",
        "mediapipe_graph.py",
        ("attention",),
        "Apache-2.0, code and model",
        "refine_landmarks=True: eyes, irises and lips refined",
    ),
    PeerPlan(
        "MediaPipe mesh, LiteRT",
        "litert",
        "mediapipe_litert.py",
        ("{cache}/mediapipe/" + MESH,),
        "Apache-2.0, code and model",
        "the same face_landmark.tflite without the graph: the fairest time of the model alone",
    ),
)


def python_of(cache: Path, environment: str) -> Path:
    """Return the interpreter of an environment."""
    return cache / environment / "bin" / "python"


def _stamp(environment: Environment) -> str:
    """Return two lines: hashes of the dependencies, and of our sources and weights."""
    dependencies, sources = [*environment.requirements, sys.version], list[str]()
    if environment.ours:
        dependencies.append((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        for path in sorted((ROOT / "src").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                sources.append(f"{path}{path.stat().st_mtime_ns}")
    return f"{_hash(dependencies)}\n{_hash(sources)}"


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def make_environment(environment: Environment, cache: Path) -> str:
    """Create an environment unless it is up to date; return the reason of a failure, else ""."""
    folder, stamp = cache / environment.name, _stamp(environment)
    stamped = folder / "made"
    before = stamped.read_text(encoding="utf-8") if stamped.is_file() else ""
    if before == stamp:
        return ""
    python = python_of(cache, environment.name)
    # recreated, since dependencies that are no longer needed would count in the size
    if before.partition("\n")[0] != stamp.partition("\n")[0]:
        shutil.rmtree(folder, ignore_errors=True)
    steps = [] if python.is_file() else [[sys.executable, "-m", "venv", str(folder)]]
    if environment.requirements:
        steps.append(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        )
        steps[-1] += environment.requirements
        if environment.ours:
            steps.append([*steps[-1], "--force-reinstall", "--no-deps"])
    steps += [[str(python), "-c", f"import {name}"] for name in environment.imports]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["?"])[-1]
            return f"{environment.name}: {' '.join(step[1:4])} failed: {reason}"
    stamped.write_text(stamp, encoding="utf-8")
    return ""


def fetch_dlib_data(cache: Path) -> str:
    """Copy dlib's predictor from libdlib-data to the cache; return the reason of a failure.

    The package is unpacked, not installed; if it is installed already, its file is used.
    """
    target = cache / "data" / "shape_predictor_68_face_landmarks.dat"
    if target.is_file():
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    installed = Path("/usr/share/dlib") / target.name
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        source = installed
        if not installed.is_file():
            get = ["apt-get", "download", "libdlib-data"]
            if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
                return (
                    "dlib: no apt-get and dpkg here; "
                    "install libdlib-data's predictor under /usr/share/dlib"
                )
            if subprocess.run(
                get, cwd=folder, capture_output=True, check=False
            ).returncode:
                subprocess.run(
                    ["apt-get", "update", "-q"], capture_output=True, check=False
                )
                subprocess.run(get, cwd=folder, capture_output=True, check=False)
            packages = list(Path(folder).glob("*.deb"))
            if not packages:
                return "dlib: `apt-get download libdlib-data`, the source of its predictor, failed"
            subprocess.run(["dpkg", "-x", str(packages[0]), folder], check=True)
            source = Path(folder) / "usr/share/dlib" / target.name
        shutil.copy(source, target.with_suffix(".part"))
        target.with_suffix(".part").replace(target)
    return ""


def folder_mb(path: Path) -> float:
    """Return the size of all files below `path`, in MB, without following links."""
    return (
        sum(
            p.lstat().st_size
            for p in path.rglob("*")
            if not p.is_symlink() and p.is_file()
        )
        / 1e6
    )


def install_mb(plan: PeerPlan, cache: Path) -> float:
    """Return the size that the peer adds to a bare environment, including model files, in MB."""
    size = folder_mb(cache / plan.environment) - folder_mb(cache / "bare")
    for argument in plan.arguments:
        path = Path(argument.format(cache=cache))
        if path.is_file() and cache / plan.environment not in path.parents:
            size += path.stat().st_size / 1e6
    return size


def install(cache: Path, names: set[str]) -> dict[str, str]:
    """Create the environments in `names`; return the reason of each failure."""
    cache.mkdir(parents=True, exist_ok=True)
    failed = {}
    for environment in ENVIRONMENTS:
        if environment.name in names and (why := make_environment(environment, cache)):
            failed[environment.name] = why
    if "dlib" in names and "dlib" not in failed and (why := fetch_dlib_data(cache)):
        failed["dlib"] = why
    return failed


def main() -> None:
    """Create every environment below a folder; failures are written to failed.json."""
    cache = Path(sys.argv[1]).absolute()
    failed = install(cache, {environment.name for environment in ENVIRONMENTS})
    (cache / "failed.json").write_text(json.dumps(failed), encoding="utf-8")
    for why in failed.values():
        print(why, file=sys.stderr)
    # rows of missing peers are omitted, but these are required
    needed = {each.name for each in ENVIRONMENTS if each.ours} | {"bare"}
    if failed.keys() & needed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
