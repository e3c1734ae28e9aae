"""Format the report of `compare` as a Markdown table; only here are fractions shown as percent."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    ("NME, exact points", "nme_exact", 100, "{:.2f} %"),
    ("FR@8", "failure_rate_exact_8", 100, "{:.1f} %"),
    ("FR@10", "failure_rate_exact_10", 100, "{:.1f} %"),
    ("NME, all shared", "nme_shared", 100, "{:.2f} %"),
    ("less offsets", "nme_shared_no_offset", 100, "{:.2f} %"),
    ("misses", "misses", 1, "{:.0f}"),
    ("ms per face", "ms_per_face", 1, "{:.2f}"),
    ("CPU ms", "ms_cpu", 1, "{:.2f}"),
    ("ms, model", "ms_model", 1, "{:.2f}"),
    ("faces/s, 64 on 2 threads", "faces_per_second", 1, "{:.0f}"),
    ("peak MB", "peak_mb", 1, "{:.0f}"),
    ("install MB", "install_mb", 1, "{:.0f}"),
)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one line per peer, with a dash for a missing figure."""
    heads = ["system", *(title for title, *_ in COLUMNS)]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    for row in rows:
        cells = [str(row["name"])]
        for _, key, factor, shape in COLUMNS:
            value = row.get(key)
            cells.append(
                "-" if value is None or value != value else shape.format(factor * value)
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spans(indices: Sequence[int]) -> str:
    """Format indices as ranges: [0, 1, 2, 5] -> "0-2, 5"; [] -> "none"."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or "none"


def markdown(report: Mapping[str, Any]) -> str:
    """Return the page: machine, table, notes about rows, and peers that were not measured."""
    machine = report["machine"]
    lines = [
        f"# Comparison on {report['protocol']}, {report['images']} faces, truth boxes",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:.0f} GB, "
        f"{machine['system']}, Python {machine['python']}; {report['date']}; "
        f"load {machine['load_before']:.2f} before, {machine['load_after']:.2f} after.",
    ]
    if machine["busy"]:
        lines.append(
            "**Another program was using the processor: these times are not for the record.**"
        )
    lines += [
        "",
        markdown_table(report["peers"]),
        "",
        *_explanations(report),
        "",
        "| system | version | how it batches | license | note |",
        "|---|---|---|---|---|",
    ]
    for peer in report["peers"]:
        cells = [
            peer[key] for key in ("name", "version", "batching", "license", "note")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if report["skipped"]:
        lines += ["", "Not measured:", *(f"- {why}" for why in report["skipped"])]
    return "\n".join(lines) + "\n"


def _explanations(report: Mapping[str, Any]) -> list[str]:
    """Return notes about the columns of the table."""
    settings, points = report["settings"], report["points"]
    return [
        f"- Points of ibug68 that are exact for every system: {spans(points['exact'])}. "
        f"All shared, with the nearest vertex of a mesh: {spans(points['shared'])}. "
        "Errors are divided by the distance of the outer eye corners. `less offsets`: each point "
        "less its median offset from the annotation on the other half of the faces, which removes "
        "differences of definition.",
        "- `ms per face`: from image and box to points in the image, crop included, one face per "
        "call; `CPU ms`: its processor time over all threads; `ms, model`: the model alone. "
        f"Median of {settings['rounds']} rounds over {settings['timed_faces']} faces, the systems "
        f"taking turns, each process pinned to one core (number {settings['one_cpu']}) and each "
        "library set to one thread. FR is on the exact points; a missed face fails.",
        f"- `faces/s`: {settings['batch']} faces at once, crops included, the process pinned to "
        "two cores. `peak MB`: peak resident memory of a process given one face at a time, Python "
        f"and NumPy included (Python with NumPy alone: {report['machine']['bare_mb']:.0f} MB). "
        "`install MB`: beyond an empty environment, model files included.",
    ]
