"""The three files of onnxruntime-web that the web page needs, pinned by digest.

They are too large to include in the package: they are downloaded with npm or given as a folder.
"""

import shutil
import subprocess
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from ..atomic import write_bytes
from ..data.sample import cache_root
from ..errors import InputError

PACKAGE, VERSION = "onnxruntime-web", "1.24.3"
FILES = {
    "ort.wasm.min.mjs": "d5a6d7bc8ee587648fb3742dde8c0094d17cbd3822a68bbec8ddfcd4f2adb88e",
    "ort-wasm-simd-threaded.mjs": (
        "5687566b1bc1c8cf628d76c2ddb16b2a3b81a7997273d4666564880495088e57"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "be0e129949062ad50290ef94683fac8be5bb6156f709e030b7a5f1661a2f6c17"
    ),
}
"""SHA-256 of each file: the module imported by pages, its loader and the WebAssembly."""
RUNTIME_SUBFOLDERS = ("", "dist", "package/dist", f"node_modules/{PACKAGE}/dist")
"""Subfolders that may contain the files."""
NPM_SECONDS = 600


def find_runtime(folder: Path | None = None) -> Path:
    """Return a folder that contains all FILES.

    Args:
        folder: A folder that contains them, or in which npm installed or unpacked the package;
            None: the user's cache, filled with npm if needed.

    Raises:
        InputError: If the files are missing, have wrong digests, or cannot be downloaded.
    """
    if folder is None:
        return cached_runtime()
    for place in RUNTIME_SUBFOLDERS:
        if all((folder / place / name).is_file() for name in FILES):
            check_runtime(folder / place)
            return folder / place
    raise InputError(
        f"{folder}: no {', '.join(FILES)} there; "
        f"expected the folder of the npm package {PACKAGE} {VERSION}"
    )


def check_runtime(folder: Path) -> None:
    """Raise InputError if a file in `folder` has a wrong digest."""
    for name, expected in FILES.items():
        found = sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            raise InputError(
                f"{folder / name}: SHA-256 {found[:16]}..., expected "
                f"{expected[:16]}... of {PACKAGE} {VERSION}; type: npm install "
                f"{PACKAGE}@{VERSION}"
            )


def cached_runtime() -> Path:
    """Return the cached folder with the files, downloading them with npm if needed."""
    cached = cache_root() / f"{PACKAGE}-{VERSION}"
    if not all((cached / name).is_file() for name in FILES):
        _fetch(cached)
    check_runtime(cached)
    return cached


def _fetch(target: Path) -> None:
    """Download the package with npm, and keep only the three files."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"npm is not installed, but is needed to fetch {PACKAGE} {VERSION}; "
            "install it, or give --runtime the folder of that package"
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent"]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=NPM_SECONDS,
                check=False,
            )
            failure = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except (OSError, subprocess.TimeoutExpired) as error:
            failure = [str(error)]
        packed = next(Path(folder).glob("*.tgz"), None)
        if packed is None:
            reason = failure[0] if failure else "no package was written"
            raise InputError(
                f"npm cannot fetch {PACKAGE} {VERSION} ({reason}); give --runtime the folder "
                "of that package"
            )
        with tarfile.open(packed) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/dist/{name}")
                assert member is not None  # this version contains the file
                write_bytes(target / name, member.read())
