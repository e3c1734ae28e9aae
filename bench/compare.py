"""Compare Lineament with peers on the same pixels and boxes: errors, times, memory, size."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lineament.atomic import write_text
from lineament.data.readers.registry import data_set
from lineament.data.readers.w300 import read_300w
from lineament.data.sample import Sample, data_root

from .install import OURS, PEERS, ROOT, PeerPlan, install_mb, python_of
from .machine import BUSY_LOAD, describe, timing_cpus, today
from .process import PeerError, PeerProcess
from .score import score_peers
from .table import markdown

BATCH = 64


@dataclass
class Row:
    """A running peer and its measurements."""

    plan: PeerPlan
    process: PeerProcess
    points: list[Any] = field(default_factory=list)
    ms: list[list[float]] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    net_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)


def read_faces(part: str, root: Path) -> list[Sample]:
    """Return the faces of 300W common, or the validation faces (a tenth of its training faces)."""
    if part == "common":
        return read_300w(root / "300w", "common")
    return [
        sample for sample in read_300w(root / "300w", "train") if sample.is_validation()
    ]


def write_faces(samples: list[Sample], folder: Path) -> list[dict[str, Any]]:
    """Write pixels as .npy files and return the faces in the format of the contract."""
    faces = []
    for index, sample in enumerate(samples):
        path = folder / f"{index:05d}.npy"
        np.save(path, sample.read())
        faces.append({"image": str(path), "box": sample.face_box().tolist()})
    return faces


def start(
    plans: list[PeerPlan], cache: Path, logs: Path, stack: ExitStack
) -> tuple[list[Row], list[str]]:
    """Start the peers; return the running ones, and a line for each that failed."""
    failed = cache / "failed.json"
    reasons: dict[str, str] = (
        json.loads(failed.read_text(encoding="utf-8")) if failed.is_file() else {}
    )
    rows, skipped = [], []
    for number, plan in enumerate(plans):
        if plan.environment in reasons:
            skipped.append(f"{plan.name}: {reasons[plan.environment]}")
            continue
        script = ROOT / "bench" / "peers" / plan.script
        command = [str(python_of(cache, plan.environment)), str(script)]
        command += [argument.format(cache=cache) for argument in plan.arguments]
        try:
            process = PeerProcess(plan.name, command, logs / f"{number}.log")
        except (PeerError, OSError) as error:
            skipped.append(str(error))
            continue
        stack.callback(process.close)
        rows.append(Row(plan, process))
    return rows, skipped


def measure(
    row: Row, faces: list[dict[str, Any]], options: argparse.Namespace, step: str
) -> None:
    """Measure one `step` of one peer: "predict", "time" or "batch"."""
    one, two = timing_cpus()
    if step == "predict":
        row.points = [
            row.process.ask(do="predict", cpus=one, **face)["points"] for face in faces
        ]
        row.peaks.append(row.process.ask(do="memory")["peak_mb"])
    elif step == "time":
        reply = row.process.ask(do="time", cpus=one, faces=faces[: options.faces])
        row.ms.append(reply["ms"])
        row.cpu_ms += reply["cpu_ms"]
        row.net_ms += reply["net_ms"]
    else:
        many = [faces[i % len(faces)] for i in range(BATCH)]
        row.batch_ms.append(row.process.ask(do="batch", cpus=two, faces=many)["ms"])


def run_rounds(
    rows: list[Row],
    faces: list[dict[str, Any]],
    options: argparse.Namespace,
    first: tuple[str, ...] = ("predict",),
) -> tuple[list[Row], list[str]]:
    """Run the `first` steps, then the timed steps, alternating between peers.

    Returns:
        The peers without errors, and a line for each of the others.
    """
    failed: dict[str, str] = {}
    # One more batch than rounds: the first is a warm-up.
    for step in [*first, *["time"] * options.rounds, *["batch"] * (options.rounds + 1)]:
        for row in rows:
            if row.plan.name in failed:
                continue
            try:
                measure(row, faces, options, step)
            except PeerError as error:
                failed[row.plan.name] = f"{error} (while asked to {step})"
    return [row for row in rows if row.plan.name not in failed], list(failed.values())


def times_of(row: Row) -> dict[str, Any]:
    """Return median times in ms, and faces per second of all batches except the first."""
    return {
        "ms_per_face": float(np.median(np.concatenate(row.ms))),
        "ms_per_face_rounds": [float(np.median(ms)) for ms in row.ms],
        "ms_cpu": float(np.median(row.cpu_ms)),
        "ms_model": float(np.median(row.net_ms)),
        "faces_per_second": 1e3 * BATCH / float(np.median(row.batch_ms[1:])),
    }


def describe_row(row: Row, figures: dict[str, float], cache: Path) -> dict[str, Any]:
    """Return the row of the report."""
    return {
        "name": row.plan.name,
        "version": row.process.hello["version"],
        "scheme": row.process.hello["scheme"],
        "batching": row.process.hello["batching"],
        "license": row.plan.license,
        "note": row.plan.note,
        **figures,
        **times_of(row),
        "peak_mb": row.peaks[0],
        "install_mb": install_mb(row.plan, cache),
    }


def bare_mb(cache: Path) -> float:
    """Return the peak memory of a Python process that has only loaded NumPy."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import contract; print(contract.peak_mb())"
    command = [
        str(python_of(cache, "lineament")),
        "-c",
        code,
        str(ROOT / "bench" / "peers"),
    ]
    return float(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )


def plans_of(options: argparse.Namespace) -> list[PeerPlan]:
    """Return the peers to run, including our own models from the options."""
    ours = [
        PeerPlan(f"lineament {Path(m).stem}", "lineament", "ours.py", (m,), OURS)
        for m in options.ours
    ]
    plans = [*ours, *PEERS]
    substrings = [w.lower() for w in options.peers or [""]]
    return [
        replace(plan)
        for plan in plans
        if any(w in plan.name.lower() for w in substrings)
    ]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument(
        "--part",
        choices=("common", "val"),
        default="common",
        help="val: the validation faces, a tenth of the training faces",
    )
    parser.add_argument(
        "--data", help="folder of the data sets; default: LINEAMENT_DATA, else data"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT / ".venv-bench",
        help="folder of the virtual environments",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument(
        "--peers", nargs="*", help="substrings of peer names; default: all"
    )
    parser.add_argument(
        "--ours",
        nargs="*",
        default=["fast", "accurate", "best"],
        help="Lineament models: names or .onnx files",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faces", type=int, default=60, help="faces timed per round")
    parser.add_argument("--limit", type=int, help="number of faces, for a quick run")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print the page, and write it together with its JSON."""
    options = parse()
    options.cache = options.cache.absolute()
    machine = describe()
    samples = read_faces(options.part, data_root(options.data))
    note = (
        data_set("300w").missing(samples, "common") if options.part == "common" else ""
    )
    samples = samples[: options.limit]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        faces = write_faces(samples, Path(folder))
        rows, skipped = start(plans_of(options), options.cache, Path(folder), stack)
        rows, failed = run_rounds(rows, faces, options)
        if not rows:
            sys.exit("\n".join(["no peer could be measured:", *skipped, *failed]))
        landmarks_of_peers = {
            r.plan.name: [
                None if p is None else np.array(p, dtype=float) for p in r.points
            ]
            for r in rows
        }
        schemes = {r.plan.name: r.process.hello["scheme"] for r in rows}
        shared, figures = score_peers(
            landmarks_of_peers, schemes, [s.landmarks for s in samples]
        )
        peers = [
            describe_row(row, figures[row.plan.name], options.cache) for row in rows
        ]
    report = {
        "protocol": f"300w-{options.part}",
        "images": len(samples),
        "date": today(),
        "machine": machine
        | {"load_after": os.getloadavg()[0], "bare_mb": bare_mb(options.cache)},
        "settings": {
            "rounds": options.rounds,
            "timed_faces": min(options.faces, len(samples)),
            "batch": BATCH,
            "one_cpu": timing_cpus()[0][0],
            "busy_load": BUSY_LOAD,
        },
        "points": {"exact": shared.exact.tolist(), "shared": shared.any.tolist()},
        "peers": peers,
        "skipped": [*([note] if note else []), *skipped, *failed],
    }
    page = markdown(report)
    write_text(
        options.out / f"compare-{options.part}.json",
        json.dumps(report, indent=1) + "\n",
    )
    write_text(options.out / f"compare-{options.part}.md", page)
    print(page)
    print(f"written: {options.out}/compare-{options.part}.md and .json")


if __name__ == "__main__":
    main()
